//! Names of models on the Hugging Face hub, in the ways in which people write them.

use std::path::Path;

use crate::{Error, Result};

/// A model of the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubName {
    /// Who it belongs to.
    pub owner: String,
    /// What it is called.
    pub name: String,
    /// Which of its files is meant; none where it says nothing.
    pub part: Option<HubPart>,
}

/// Which file of a repository is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HubPart {
    /// The file of this name.
    File(String),
    /// The GGUF file of this format, such as `Q4_K_M`.
    Tag(String),
}

/// Where the hub is, as addresses begin.
const HOSTS: [&str; 3] = ["huggingface.co/", "www.huggingface.co/", "hf.co/"];

impl HubName {
    /// Reads `owner/name`, `owner/name:Q4_K_M`, `owner/name/file.gguf`, `hf://owner/name`, `hf.co/owner/name` or an address of
    /// the hub such as `https://huggingface.co/owner/name/blob/main/file.gguf`. `None` for anything else, such as a path.
    ///
    /// # Errors
    /// For an address of another site or of something else than a model, and for another revision than `main`.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let Some(text) = path.to_str() else { return Ok(None) };
        let (rest, is_address) = match within(text)? {
            Some(rest) => (rest, true),
            None => (text.to_owned(), false),
        };
        if !is_address && text.starts_with('/') {
            return Ok(None);
        }
        let rest = rest.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
        let words: Vec<&str> = rest.split('/').collect();
        let wrong = |why: &str| {
            Error::Request(format!(
                "{text}: {why}; expected hf://OWNER/NAME, OWNER/NAME or OWNER/NAME:Q4_K_M"
            ))
        };
        if is_address && matches!(words.first(), Some(&"datasets" | &"spaces")) {
            return Err(wrong("this is no model"));
        }
        let [owner, name, file @ ..] = &words[..] else {
            return if is_address { Err(wrong("this names no model")) } else { Ok(None) };
        };
        let (name, tag) = match name.split_once(':') {
            Some((name, tag)) if file.is_empty() => (name, Some(tag)),
            _ => (*name, None),
        };
        let is_file = [".gguf", ".bin", ".safetensors", ".nir"].iter().any(|end| name.ends_with(end));
        let allowed = plain(owner) && plain(name) && tag.is_none_or(plain);
        if !allowed || (!is_address && is_file) {
            return if is_address { Err(wrong("this names no model")) } else { Ok(None) };
        }
        let file = match file {
            [] | ["tree" | "blob" | "resolve", "main"] => None,
            ["blob" | "resolve", "main", file @ ..] if is_address => Some(file.join("/")),
            ["tree" | "blob" | "resolve", ..] if is_address => {
                return Err(wrong("other revisions than main are not downloaded"));
            }
            // Without hf:// a longer path is a path, unless it ends as only a file of the hub's models does.
            [.., last] if is_address || last.to_lowercase().ends_with(".gguf") => Some(file.join("/")),
            _ => return Ok(None),
        };
        let file = file.filter(|file| !file.is_empty());
        if file.as_deref().is_some_and(|file| !file.to_lowercase().ends_with(".gguf")) {
            return Err(wrong("of single files only GGUF files are downloaded"));
        }
        let part = file.map(HubPart::File).or(tag.map(|tag| HubPart::Tag(tag.to_owned())));
        Ok(Some(Self { owner: (*owner).to_owned(), name: name.to_owned(), part }))
    }
}

/// What follows the hub in an address; none for what is no address.
fn within(text: &str) -> Result<Option<String>> {
    let lower = text.to_lowercase();
    for scheme in ["hf://", "hf:"] {
        if lower.starts_with(scheme) && !lower.starts_with("hf://hf.co") {
            let rest = &text[scheme.len()..];
            return Ok(Some(rest.strip_prefix("models/").unwrap_or(rest).to_owned()));
        }
    }
    let scheme = ["https://", "http://", "hf://"].into_iter().find(|scheme| lower.starts_with(scheme));
    let rest = &text[scheme.map_or(0, str::len)..];
    let host = HOSTS.into_iter().find(|host| rest.to_lowercase().starts_with(host));
    match (scheme, host) {
        (_, Some(host)) => Ok(Some(rest[host.len()..].to_owned())),
        (Some(_), None) => Err(Error::Request(format!(
            "{text}: models are downloaded from the Hugging Face hub alone; expected https://huggingface.co/OWNER/NAME, or a \
             file on this machine"
        ))),
        (None, None) => Ok(None),
    }
}

fn plain(part: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !part.is_empty() && part.bytes().all(allowed) && !part.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_write_them() {
        let file = |name: &str| Some(HubPart::File(name.into()));
        let tag = |name: &str| Some(HubPart::Tag(name.into()));
        for (text, part) in [
            ("org/some-model", None),
            ("org/some-model:Q4_K_M", tag("Q4_K_M")),
            ("org/some-model/a-Q4_0.gguf", file("a-Q4_0.gguf")),
            ("hf://org/some-model", None),
            ("hf:org/some-model:q8_0", tag("q8_0")),
            ("hf://models/org/some-model/sub/a.gguf", file("sub/a.gguf")),
            ("hf.co/org/some-model:Q8_0", tag("Q8_0")),
            ("huggingface.co/org/some-model/", None),
            ("https://huggingface.co/org/some-model", None),
            ("https://huggingface.co/org/some-model/tree/main", None),
            ("https://huggingface.co/org/some-model/blob/main/a.gguf", file("a.gguf")),
            (
                "https://huggingface.co/org/some-model/resolve/main/sub/a.gguf?download=true",
                file("sub/a.gguf"),
            ),
            ("https://hf.co/org/some-model?show_file_info=a.gguf", None),
        ] {
            let name = HubName::read(Path::new(text)).unwrap().expect(text);
            assert_eq!((name.owner.as_str(), name.name.as_str()), ("org", "some-model"), "{text}");
            assert_eq!(name.part, part, "{text}");
        }
    }

    #[test]
    fn paths_are_no_names_and_other_addresses_are_refused() {
        for path in [
            "model.gguf",
            "folder/model.gguf",
            "../a/b",
            "./a",
            "/a/b",
            "a/b/c",
            "a b/c",
            "runs",
            "",
            "a/.b",
            "C:\\a\\b",
            "models/stories/x.bin",
        ] {
            assert_eq!(HubName::read(Path::new(path)).unwrap(), None, "{path}");
        }
        for (text, word) in [
            ("https://example.com/org/model", "huggingface.co"),
            ("https://huggingface.co/datasets/org/data", "no model"),
            ("https://huggingface.co/org", "names no model"),
            ("https://huggingface.co/org/model/tree/v2", "revisions"),
            ("https://huggingface.co/org/model/blob/main/model.safetensors", "GGUF"),
        ] {
            let error = HubName::read(Path::new(text)).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
