//! What an index holds: its sources with their hashes, as JSON beside tantivy's files.
//!
//! Each commit of the index names the generation of its manifest, so the two always belong together, whenever a process dies.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gyrus_files::{read_bounded, write_atomically};
use serde::{Deserialize, Serialize};

use super::sources::SourceKind;
use crate::{Error, Result};

/// The version of the layout; others are built anew.
pub(super) const VERSION: u32 = 1;
/// The longest manifest.
const MOST_BYTES: u64 = 2 << 30;

/// A source of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    pub(super) id: u64,
    pub(super) kind: SourceKind,
    pub(super) bytes: u64,
    pub(super) modified_ns: u64,
    /// Of the file.
    pub(super) sha256: String,
    pub(super) title: Option<String>,
    pub(super) passages: u32,
    pub(super) text_bytes: u64,
    /// Why it has no text.
    pub(super) failed: Option<String>,
}

/// What an index holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) version: u32,
    pub(super) generation: u64,
    pub(super) passage_bytes: usize,
    pub(super) next_id: u64,
    pub(super) indexed_ns: u64,
    /// The encoder of its vectors.
    pub(super) encoder: Option<String>,
    /// By name.
    pub(super) sources: BTreeMap<String, Source>,
}

impl Manifest {
    pub(super) fn new(passage_bytes: usize) -> Self {
        Self {
            version: VERSION,
            generation: 0,
            passage_bytes,
            next_id: 1,
            indexed_ns: 0,
            encoder: None,
            sources: BTreeMap::new(),
        }
    }

    fn path(index: &Path, generation: u64) -> PathBuf {
        index.join(format!("manifest-{generation}.json"))
    }

    /// The file of this generation's vectors.
    pub(super) fn vectors(index: &Path, generation: u64) -> PathBuf {
        index.join(format!("vectors-{generation}.bin"))
    }

    pub(super) fn read(index: &Path, generation: u64) -> Result<Self> {
        let wrong = |reason: String| Error::Index { path: index.to_owned(), reason };
        let path = Self::path(index, generation);
        let bytes = read_bounded(&path, MOST_BYTES).map_err(|error| wrong(error.to_string()))?;
        let manifest: Self = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("{} is damaged: {error}", path.display())))?;
        if manifest.version != VERSION || manifest.generation != generation {
            return Err(wrong(format!("{} belongs to another version", path.display())));
        }
        Ok(manifest)
    }

    pub(super) fn write(&self, index: &Path) -> Result<()> {
        let bytes = serde_json::to_vec(self).map_err(|error| Error::Request(error.to_string()))?;
        let path = Self::path(index, self.generation);
        write_atomically(&path, &bytes).map_err(Error::io("write", &path))
    }

    /// Removes what earlier generations left.
    pub(super) fn remove_others(&self, index: &Path) {
        let Ok(entries) = fs::read_dir(index) else { return };
        let kept = [Self::path(index, self.generation), Self::vectors(index, self.generation)];
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let ours = name.starts_with("manifest-") || name.starts_with("vectors-");
            if ours && !kept.contains(&path) {
                let _ = fs::remove_file(path);
            }
        }
    }
}
