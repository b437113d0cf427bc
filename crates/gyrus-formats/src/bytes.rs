//! Shared bytes: a file mapped into memory, or a buffer in memory. Parts of them are cheap to take and keep the whole alive.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use crate::{Error, Result};

/// A range of a mapped file or of a buffer in memory.
#[derive(Clone)]
pub struct Bytes {
    source: Arc<Source>,
    range: Range<usize>,
}

enum Source {
    Mapped(Mmap),
    Floats(Vec<f32>),
    Bytes(Vec<u8>),
}

impl Bytes {
    /// Maps a whole file into memory; pages are read when they are first used.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened or mapped, [`Error::Mismatch`] if the path is not a file.
    pub fn map(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        if !file.metadata().map_err(|source| Error::io(path, source))?.is_file() {
            return Err(Error::mismatch(path, "something that is not a file", "a file"));
        }
        // SAFETY: the mapping is read-only and lives as long as the bytes do. Overwriting the file in place while it is
        // mapped changes the bytes under us (or raises a bus error if the file shrinks); writers should replace files
        // instead, as all of ours do.
        #[allow(unsafe_code)]
        let mapped = unsafe { Mmap::map(&file) }.map_err(|source| Error::io(path, source))?;
        let range = 0..mapped.len();
        Ok(Self { source: Arc::new(Source::Mapped(mapped)), range })
    }

    /// The bytes in `range`, relative to these; `None` if the range exceeds them.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.range.len() {
            return None;
        }
        Some(self.within(range))
    }

    /// The bytes in `range`, which must lie within these.
    pub(crate) fn within(&self, range: Range<usize>) -> Self {
        let range = self.range.start + range.start..self.range.start + range.end;
        Self { source: self.source.clone(), range }
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        let all = match &*self.source {
            Source::Mapped(mapped) => mapped,
            Source::Floats(floats) => bytemuck::cast_slice(floats),
            Source::Bytes(bytes) => bytes,
        };
        &all[self.range.clone()]
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl From<Vec<f32>> for Bytes {
    fn from(floats: Vec<f32>) -> Self {
        let range = 0..floats.len() * size_of::<f32>();
        Self { source: Arc::new(Source::Floats(floats)), range }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { source: Arc::new(Source::Bytes(bytes)), range }
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} bytes", self.range.len())
    }
}
