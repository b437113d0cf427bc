//! Reading files, gzipped or not, without trusting what they claim: every read has an upper bound, so that a
//! few kilobytes that decompress to gigabytes are refused instead of allocated.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::{Error, Result};

/// Opens a file and, where its first two bytes are gzip's, decompresses it.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>> {
    let io = |source| Error::io(path, source);
    let mut file = File::open(path).map_err(io)?;
    let mut magic = Vec::with_capacity(2);
    (&mut file).take(2).read_to_end(&mut magic).map_err(io)?;
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let file = BufReader::with_capacity(1 << 16, file);
    Ok(if magic == [0x1f, 0x8b] { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// The first of `names` that exists in `directory`, each also tried with `.gz`.
pub(crate) fn find(directory: &Path, part: &str, names: &[&str]) -> Result<PathBuf> {
    names
        .iter()
        .flat_map(|name| [directory.join(name), directory.join(format!("{name}.gz"))])
        .find(|path| path.is_file())
        .ok_or_else(|| Error::MissingFile {
            directory: directory.to_owned(),
            part: part.to_owned(),
            looked_for: names.iter().map(|name| format!("{name}[.gz]")).collect(),
        })
}

/// Bytes that are reserved before they have arrived, at most: whole data sets usually fit, so that nothing is copied as
/// they grow, and a file that promises bytes that it does not have costs address space only.
const MOST_RESERVED: u64 = 1 << 26;

/// A reader that knows its position, so that an error can name the byte where it was met.
pub(crate) struct Positioned<'a, R> {
    reader: R,
    path: &'a Path,
    pub(crate) position: u64,
}

impl<'a, R: Read> Positioned<'a, R> {
    pub(crate) fn new(reader: R, path: &'a Path) -> Self {
        Self { reader, path, position: 0 }
    }

    /// Exactly `length` bytes more, which the caller has checked to be a sane number; memory grows only with
    /// the bytes that really arrive. `what` names them in the error for a file that ends too early.
    pub(crate) fn bytes(&mut self, length: u64, what: &str) -> Result<Vec<u8>> {
        let bytes = self.at_most(length)?;
        if (bytes.len() as u64) < length {
            let got = format!("the end of the file after {} of {length} bytes", bytes.len());
            return Err(Error::format(self.path, self.position, got, what));
        }
        Ok(bytes)
    }

    /// Up to `length` bytes more, fewer only at the end of the file.
    pub(crate) fn at_most(&mut self, length: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length.min(MOST_RESERVED) as usize);
        let read = (&mut self.reader).take(length).read_to_end(&mut bytes);
        self.position += bytes.len() as u64;
        read.map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidInput => {
                let got = format!("damaged or truncated gzip data ({source})");
                Error::format(self.path, self.position, got, "an intact gzip stream")
            }
            _ => Error::io(self.path, source),
        })?;
        Ok(bytes)
    }

    /// Fails unless the file ends here; reading on also makes gzip compare its checksum.
    pub(crate) fn end(&mut self, expected: &str) -> Result<()> {
        let position = self.position;
        if self.at_most(1)?.is_empty() {
            return Ok(());
        }
        Err(Error::format(self.path, position, "more bytes", expected))
    }
}
