//! What a repository of a model holds, and the one GGUF file of it that a person means.
//!
//! The hub says at `api/models/OWNER/NAME` which files a repository has; without the hub the cache knows those that were
//! downloaded. A tag such as `Q4_K_M` means the file whose name ends with it, as it does for llama.cpp.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::cache::{Kind, Repository};
use super::{Hub, cache};
use crate::Result;

/// More than the list of any repository.
const MAXIMUM_BYTES: u64 = 1 << 26;
/// What is taken where nobody says which: small, and little worse than the whole.
const USUAL: [&str; 4] = ["Q4_K_M", "Q4_0", "Q4_K_S", "Q8_0"];
/// The most files that an error names.
const NAMED: usize = 24;

/// A model in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedModel {
    /// `owner/name`.
    pub name: String,
    /// Its folder: the newest snapshot.
    pub path: PathBuf,
    /// The files in it, with `/` between folders.
    pub files: Vec<String>,
    /// Bytes of these files.
    pub bytes: u64,
}

impl Hub {
    /// The folder of the cache.
    #[must_use]
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The files of a model's repository: as the hub lists them or, where it is not to be reached, those in the cache.
    ///
    /// # Errors
    /// [`Error::Hub`](crate::Error::Hub) where neither knows the repository.
    pub fn model_files(&self, owner: &str, name: &str) -> Result<Vec<String>> {
        let repository = Repository::new(&self.cache, Kind::Model, owner, name);
        let cached = || snapshot_files(&repository.snapshot()?);
        if self.offline {
            return cached().ok_or_else(|| self.model_transfer(owner, name, "the list of files").absent());
        }
        match self.listed(owner, name) {
            Ok(files) => Ok(files),
            Err(error) => cached().ok_or(error),
        }
    }

    pub(super) fn listed(&self, owner: &str, name: &str) -> Result<Vec<String>> {
        let transfer = self.model_transfer(owner, name, "the list of files");
        let path = format!("api/models/{owner}/{name}");
        let answer = self.connection.whole(&path, MAXIMUM_BYTES).map_err(|reason| transfer.error(reason))?;
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|error| transfer.error(format!("the hub's answer is no JSON: {error}")))?;
        let siblings = answer["siblings"].as_array().map_or(&[][..], Vec::as_slice);
        let files = siblings.iter().filter_map(|file| file["rfilename"].as_str());
        let files: Vec<String> = files.filter(|file| cache::is_inside(file)).map(str::to_owned).collect();
        if files.is_empty() { Err(transfer.error("the hub lists no files")) } else { Ok(files) }
    }

    /// One file of a model's repository, downloaded where it is not in the cache; of a GGUF file in parts, all parts.
    ///
    /// # Errors
    /// As for [`Self::fetch`].
    pub fn model_file(&self, owner: &str, name: &str, file: &str) -> Result<PathBuf> {
        let one = |file: &str| {
            let transfer = self.model_transfer(owner, name, file);
            transfer.run()?.ok_or_else(|| transfer.absent())
        };
        match part_of(file) {
            None => one(file),
            Some((stem, count)) => {
                let parts = (1..=count).map(|part| one(&format!("{stem}-{part:05}-of-{count:05}.gguf")));
                let parts = parts.collect::<Result<Vec<_>>>()?;
                parts.into_iter().next().ok_or_else(|| self.model_transfer(owner, name, file).absent())
            }
        }
    }

    /// The GGUF file of a repository that `tag` means, such as `Q4_K_M`; without a tag a usual one.
    ///
    /// # Errors
    /// [`Error::Hub`](crate::Error::Hub) where no file fits, with the names of those that are there; otherwise as for [`Self::fetch`].
    pub fn model_gguf(&self, owner: &str, name: &str, tag: Option<&str>) -> Result<PathBuf> {
        let files = self.model_files(owner, name)?;
        let Some(file) = chosen(&files, tag) else {
            let models: Vec<&str> = models(&files).take(NAMED).collect();
            let what = tag.map_or("a GGUF file".to_owned(), |tag| format!("a GGUF file of {tag}"));
            let there = match models.is_empty() {
                true => "no GGUF files at all".to_owned(),
                false => models.join(", "),
            };
            return Err(self.model_transfer(owner, name, &what).error(format!("the repository has {there}")));
        };
        self.model_file(owner, name, file)
    }

    /// The models in the cache, by name.
    #[must_use]
    pub fn cached_models(&self) -> Vec<CachedModel> {
        let folders = std::fs::read_dir(&self.cache).into_iter().flatten().flatten();
        let mut models: Vec<CachedModel> = folders
            .filter_map(|folder| {
                let folder_name = folder.file_name().into_string().ok()?;
                let (owner, name) = folder_name.strip_prefix("models--")?.split_once("--")?;
                let path = Repository::new(&self.cache, Kind::Model, owner, name).snapshot()?;
                let files = snapshot_files(&path)?;
                let size = |file: &String| std::fs::metadata(path.join(file)).map_or(0, |file| file.len());
                let bytes = files.iter().map(size).sum();
                Some(CachedModel { name: format!("{owner}/{name}"), path, files, bytes })
            })
            .collect();
        models.sort_by(|a, b| a.name.cmp(&b.name));
        models
    }
}

/// The files below a snapshot, sorted; `None` where there are none.
fn snapshot_files(snapshot: &Path) -> Option<Vec<String>> {
    // Deeper folders than any repository of a model has.
    const DEPTH: usize = 4;
    fn collect(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = entry.path();
            if path.is_dir() && depth > 0 {
                collect(&path, &format!("{prefix}{name}/"), depth - 1, files);
            } else if path.is_file() {
                files.push(format!("{prefix}{name}"));
            }
        }
    }
    let mut files = Vec::new();
    collect(snapshot, "", DEPTH, &mut files);
    files.sort();
    (!files.is_empty()).then_some(files)
}

/// The GGUF files that are models: not their additions for images, and of those in parts only the first.
fn models(files: &[String]) -> impl Iterator<Item = &str> {
    files.iter().map(String::as_str).filter(|file| {
        let name = file.rsplit('/').next().unwrap_or(file).to_lowercase();
        let later = part_of(file).is_some() && !file.contains("-00001-of-");
        name.ends_with(".gguf") && !name.contains("mmproj") && !name.starts_with("imatrix") && !later
    })
}

/// Stem and number of parts of a file such as `model-00001-of-00003.gguf`.
fn part_of(file: &str) -> Option<(&str, u32)> {
    let (rest, count) = file.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, part) = rest.rsplit_once('-')?;
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let count =
        count.parse().ok().filter(|parts| digits(count) && digits(part) && (1..=9999).contains(parts))?;
    Some((stem, count))
}

/// The file that a tag means; without a tag a usual one, or the only one.
fn chosen<'a>(files: &'a [String], tag: Option<&str>) -> Option<&'a str> {
    let ends_with = |file: &str, tag: &str| {
        let stem = part_of(file).map_or(file.strip_suffix(".gguf").unwrap_or(file), |part| part.0);
        let stem = stem.to_lowercase();
        let before = stem.strip_suffix(&tag.to_lowercase());
        // Names of formats hold a digit; half of one, such as the XS of IQ4_XS, is no tag.
        let whole = |before: &str| !before.ends_with('_') || tag.contains(|c: char| c.is_ascii_digit());
        let parted = |before: &str| before.is_empty() || before.ends_with(['-', '.', '_', '/']);
        before.is_some_and(|before| parted(before) && whole(before))
    };
    let find = |tag: &str| models(files).find(|file| ends_with(file, tag));
    match tag {
        Some(tag) if !tag.eq_ignore_ascii_case("latest") => find(tag),
        _ => USUAL.iter().find_map(|tag| find(tag)).or_else(|| models(files).next()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_means_the_file_that_ends_with_it() {
        let files = [
            "README.md",
            "a-BF16.gguf",
            "a-IQ4_XS.gguf",
            "a-Q4_K_M.gguf",
            "a-Q8_0/a-Q8_0-00002-of-00002.gguf",
            "a-Q8_0/a-Q8_0-00001-of-00002.gguf",
            "mmproj-F16.gguf",
        ]
        .map(str::to_owned);
        let chosen = |tag| chosen(&files, tag);
        assert_eq!(chosen(Some("q4_k_m")), Some("a-Q4_K_M.gguf"));
        assert_eq!(chosen(Some("Q8_0")), Some("a-Q8_0/a-Q8_0-00001-of-00002.gguf"));
        assert_eq!(chosen(None), Some("a-Q4_K_M.gguf"));
        assert_eq!(chosen(Some("latest")), chosen(None));
        for missing in ["XS", "F16", "Q4_K", "mmproj-F16", "README.md"] {
            assert_eq!(chosen(Some(missing)), None, "{missing}");
        }
        assert_eq!(part_of("x-00001-of-00002.gguf"), Some(("x", 2)));
        for whole in ["x.gguf", "x-1-of-2.gguf", "x-00001-of-00000.gguf", "-of-00002.gguf"] {
            assert_eq!(part_of(whole), None, "{whole}");
        }
    }
}
