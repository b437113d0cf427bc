//! The sources in a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{MOST_BYTES, SourceKind};
use crate::{Error, Result};

/// The deepest folder, and the most files.
const DEEPEST: usize = 64;
const MOST_FILES: usize = 2_000_000;

/// A file that can be a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path from the folder, with `/` between the parts.
    pub name: String,
    /// Its path.
    pub path: PathBuf,
    /// Its kind.
    pub kind: SourceKind,
    /// Its length.
    pub bytes: u64,
    /// When it was changed, in nanoseconds since 1970; 0 where the system does not say.
    pub modified_ns: u64,
}

/// The sources below `folder`, by name, and what was left out, with the reason. Hidden files and folders are left out silently;
/// links are not followed, so nothing outside the folder is ever read.
///
/// # Errors
/// If the folder itself cannot be read.
pub fn walk(folder: &Path) -> Result<(Vec<Found>, Vec<(String, String)>)> {
    let mut found = Vec::new();
    let mut left = Vec::new();
    let mut open = vec![(folder.to_owned(), String::new(), 0)];
    while let Some((path, name, depth)) = open.pop() {
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(Error::io("read", folder)(error)),
            Err(error) => {
                left.push((name, format!("cannot be read: {error}")));
                continue;
            }
        };
        for entry in entries.flatten() {
            let file = entry.file_name();
            let part = file.to_string_lossy();
            if part.starts_with('.') {
                continue;
            }
            let name = if name.is_empty() { part.into_owned() } else { format!("{name}/{part}") };
            let path = entry.path();
            // Of the link itself, never of what it points to.
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_symlink() {
                left.push((name, "a link; links are not followed".to_owned()));
            } else if metadata.is_dir() {
                if depth + 1 >= DEEPEST {
                    left.push((name, format!("deeper than {DEEPEST} folders")));
                } else {
                    open.push((path, name, depth + 1));
                }
            } else if let Some(kind) = SourceKind::of(&path).filter(|_| metadata.is_file()) {
                if metadata.len() > MOST_BYTES {
                    left.push((name, format!("longer than {} MiB", MOST_BYTES >> 20)));
                    continue;
                }
                if found.len() >= MOST_FILES {
                    return Err(Error::Request(format!(
                        "{} holds more than {MOST_FILES} sources",
                        folder.display()
                    )));
                }
                let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                let modified_ns = modified.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(0));
                found.push(Found { name, path, kind, bytes: metadata.len(), modified_ns });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    left.sort();
    Ok((found, left))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_and_hidden_files_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(outside.path().join("secret.txt"), "secret").unwrap();
        symlink(outside.path(), root.join("way-out")).unwrap();
        symlink(outside.path().join("secret.txt"), root.join("b.txt")).unwrap();
        symlink(root, root.join("round")).unwrap();
        fs::create_dir_all(root.join("sub/.git")).unwrap();
        fs::write(root.join("sub/.git/x.txt"), "x").unwrap();
        fs::write(root.join("sub/..odd.md"), "hidden").unwrap();
        fs::write(root.join("sub/a b.MD"), "x").unwrap();
        fs::write(root.join("z.exe"), "x").unwrap();
        let (found, left) = walk(root).unwrap();
        let names: Vec<&str> = found.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["sub/a b.MD"]);
        assert_eq!(
            left.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["b.txt", "round", "way-out"]
        );
        assert!(walk(&root.join("none")).is_err());
    }
}
