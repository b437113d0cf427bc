//! The IDX format of MNIST and its relatives.
//!
//! Big-endian: two zero bytes, one byte for the element type (8 = unsigned byte, the only one these data sets
//! use), one byte for the number of dimensions, a `u32` per dimension, then the elements, last dimension
//! fastest. Source: <https://yann.lecun.com/exdb/mnist/>.

use std::io::Read;
use std::path::Path;

use crate::read::Positioned;
use crate::{Error, Result};

/// An array of bytes with its shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// The size of each dimension.
    pub shape: Vec<usize>,
    /// The elements, as many as the product of `shape`.
    pub values: Vec<u8>,
}

/// Reads a whole (decompressed) IDX stream of `dimensions` dimensions with at most `maximum` elements; `path` is
/// for the errors.
///
/// Nothing is allocated for elements that the header promises but the stream does not bring.
///
/// # Errors
/// [`Error::Format`] with the byte offset for a wrong magic number, type or number of dimensions, an empty or
/// absurd shape, a stream that is too short or too long, or damaged gzip data; [`Error::Io`].
pub fn read(reader: impl Read, path: &Path, dimensions: u8, maximum: u64) -> Result<Idx> {
    let mut reader = Positioned::new(reader, path);
    let magic = reader.bytes(4, "the 4 bytes of an IDX magic number")?;
    let expected = [0, 0, 8, dimensions];
    if let Some(offset) = (0..4).find(|at| magic[*at] != expected[*at]) {
        return Err(Error::format(
            path,
            offset as u64,
            format!("the magic number {magic:02x?}"),
            format!("{expected:02x?}: IDX, unsigned bytes, {dimensions} dimensions"),
        ));
    }
    let mut shape = Vec::with_capacity(usize::from(dimensions));
    let mut elements = 1_u64;
    for dimension in 0..dimensions {
        let offset = reader.position;
        let bytes = reader.bytes(4, "the size of a dimension")?;
        let size = bytes.iter().fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
        elements = elements.saturating_mul(size);
        if size == 0 || elements > maximum {
            return Err(Error::format(
                path,
                offset,
                format!("{size} as the size of dimension {}", dimension + 1),
                format!("at least 1, and at most {maximum} elements in all"),
            ));
        }
        shape.push(size as usize);
    }
    let values = reader.bytes(elements, &format!("the {elements} elements of shape {shape:?}"))?;
    reader.end(&format!("the end of the file after {elements} elements of shape {shape:?}"))?;
    Ok(Idx { shape, values })
}
