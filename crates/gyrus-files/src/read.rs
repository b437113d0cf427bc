//! Reading whole files up to a limit, so that an untrusted file cannot fill the memory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::{Error, Result};

/// Reads a file of at most `limit` bytes. Memory use is bounded by the actual length of the file.
///
/// # Errors
/// [`Error::Io`] if it is not a file or cannot be read, [`Error::TooLarge`] if it is longer.
pub fn read_bounded(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let unreadable = |source| Error::Io { path: path.to_owned(), source };
    let too_large = |bytes| Error::TooLarge { path: path.to_owned(), bytes, limit };
    // Check before opening: opening a pipe would wait for its writer.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::other("not a file")));
    }
    if metadata.len() > limit {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::new();
    let length = usize::try_from(metadata.len()).map_err(|_| too_large(metadata.len()))?;
    bytes.try_reserve_exact(length).map_err(|error| unreadable(error.into()))?;
    let file = File::open(path).map_err(unreadable)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, b"seven b").unwrap();
        assert_eq!(read_bounded(&path, 7).unwrap(), b"seven b");
        let error = read_bounded(&path, 6).unwrap_err();
        assert!(matches!(error, Error::TooLarge { bytes: 7, limit: 6, .. }), "{error}");
        assert!(matches!(read_bounded(directory.path(), 7).unwrap_err(), Error::Io { .. }));
        let missing = read_bounded(directory.path().join("none"), 7).unwrap_err();
        assert!(matches!(missing, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound));
    }
}
