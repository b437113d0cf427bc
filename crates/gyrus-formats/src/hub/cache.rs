//! The cache that Hugging Face's own tools use, so that a file is stored once for all of them.
//!
//! ```text
//! HF_HUB_CACHE/models--OWNER--NAME/blobs/ETAG                  the bytes
//!                                 /snapshots/COMMIT/FILE       a relative link to them (on Windows a copy)
//!                                 /refs/main                   COMMIT
//! ```

use std::path::{Component, Path, PathBuf};

use crate::{Error, Result};

/// What kind of repository holds a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dataset,
    Model,
}

/// A repository of the hub and its folder in the cache.
pub(super) struct Repository {
    /// `owner/name`.
    pub(super) id: String,
    kind: Kind,
    folder: PathBuf,
}

impl Repository {
    pub(super) fn new(cache: &Path, kind: Kind, owner: &str, name: &str) -> Self {
        let plural = match kind {
            Kind::Dataset => "datasets",
            Kind::Model => "models",
        };
        let folder = cache.join(format!("{plural}--{owner}--{name}"));
        Self { id: format!("{owner}/{name}"), kind, folder }
    }

    /// The path of a file below the hub's address, percent-encoded.
    pub(super) fn path(&self, file: &str) -> String {
        let prefix = match self.kind {
            Kind::Dataset => "datasets/",
            Kind::Model => "",
        };
        let mut path = format!("{prefix}{}/resolve/main/", self.id);
        for byte in file.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                    path.push(char::from(byte));
                }
                _ => path.push_str(&format!("%{byte:02X}")),
            }
        }
        path
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    /// The newest snapshot that is known here.
    pub(super) fn snapshot(&self) -> Option<PathBuf> {
        let commit = std::fs::read_to_string(self.folder.join("refs/main")).ok()?;
        let path = self.folder.join("snapshots").join(commit.trim());
        path.is_dir().then_some(path)
    }

    /// The file's place in the newest snapshot, if it is there.
    pub(super) fn cached(&self, file: &str) -> Option<PathBuf> {
        let path = self.snapshot()?.join(file);
        path.exists().then_some(path)
    }

    /// Makes the blob `etag` the file `file` of `commit`, which becomes the newest snapshot.
    ///
    /// # Errors
    /// [`Error::Write`] where the cache cannot be written.
    pub(super) fn enter(&self, commit: &str, file: &str, etag: &str) -> Result<PathBuf> {
        let pointer = self.folder.join("snapshots").join(commit).join(file);
        let parents = Path::new(file).components().count();
        let mut blob = PathBuf::from("../".repeat(parents + 1));
        blob.extend(["blobs", etag]);
        if std::fs::read_link(&pointer).ok().as_ref() != Some(&blob) {
            replace(&pointer, |new| link(&blob, &self.blobs().join(etag), new))?;
        }
        let main = self.folder.join("refs/main");
        if std::fs::read_to_string(&main).ok().as_deref() != Some(commit) {
            replace(&main, |new| std::fs::write(new, commit))?;
        }
        Ok(pointer)
    }
}

/// Whether a file's name stays inside its repository.
pub(super) fn is_inside(file: &str) -> bool {
    let plain = |part| matches!(part, Component::Normal(_));
    !file.is_empty() && !file.contains(['\\', ':']) && Path::new(file).components().all(plain)
}

/// Puts what `make` makes at a temporary path to `path`, whatever was there.
fn replace(path: &Path, make: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::write(path))?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}.new", std::process::id()));
    let new = PathBuf::from(new);
    // Left behind by a process that had the same number and was killed.
    let _ = std::fs::remove_file(&new);
    make(&new).and_then(|()| std::fs::rename(&new, path)).map_err(|source| {
        let _ = std::fs::remove_file(&new);
        Error::write(path)(source)
    })
}

#[cfg(unix)]
fn link(relative: &Path, _blob: &Path, new: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(relative, new)
}

/// Links need a privilege on Windows that few users have.
#[cfg(not(unix))]
fn link(_relative: &Path, blob: &Path, new: &Path) -> std::io::Result<()> {
    std::fs::copy(blob, new).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_for_the_address_and_stay_inside_the_repository() {
        let repository = Repository::new(Path::new("cache"), Kind::Dataset, "some", "thing");
        assert_eq!(
            repository.path("a/b c?#é.bin"),
            "datasets/some/thing/resolve/main/a/b%20c%3F%23%C3%A9.bin"
        );
        for inside in ["a", "a/b.bin", "..a/b"] {
            assert!(is_inside(inside), "{inside}");
        }
        for outside in ["", "/a", "../a", "a/../../b", "a\\b", "c:a"] {
            assert!(!is_inside(outside), "{outside}");
        }
    }

    #[test]
    fn a_newer_snapshot_replaces_the_reference_and_keeps_the_older_one() {
        let cache = tempfile::tempdir().unwrap();
        let repository = Repository::new(cache.path(), Kind::Model, "some", "thing");
        std::fs::create_dir_all(repository.blobs()).unwrap();
        for (commit, etag) in [("c1", "old"), ("c2", "new"), ("c2", "newer")] {
            std::fs::write(repository.blobs().join(etag), etag).unwrap();
            let path = repository.enter(commit, "folder/file", etag).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), etag);
            assert_eq!(repository.cached("folder/file").unwrap(), path);
            assert_eq!(repository.cached("folder/other"), None);
        }
        let old = cache.path().join("models--some--thing/snapshots/c1/folder/file");
        assert_eq!(std::fs::read_to_string(old).unwrap(), "old");
        #[cfg(unix)]
        assert_eq!(
            std::fs::read_link(cache.path().join("models--some--thing/snapshots/c2/folder/file")).unwrap(),
            Path::new("../../../blobs/newer")
        );
    }
}
