//! The global heap of an HDF5 file, which stores values of variable length; `hdf5-pure` hands out references into it, but
//! reads only text from it.
//!
//! A collection begins with `GCOL`, a version (1), three reserved bytes and its size (u64); then objects: index (u16),
//! references (u16), four reserved bytes, size (u64), the data, padded to 8 bytes. Index 0 is the free rest. Source: HDF5
//! File Format Specification 3.0, III.E. Cost: a collection is read once as long as references come in its order.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::read::Positioned;
use crate::{Error, Result};

/// A file, or its bytes.
pub(super) trait Source: Read + Seek {}
impl<T: Read + Seek> Source for T {}

/// A reference as the elements of a data set hold it.
#[derive(Clone, Copy)]
pub(super) struct Reference {
    /// Elements of the value.
    pub(super) length: u32,
    collection: u64,
    index: u32,
}

impl Reference {
    /// Bytes of a reference, with addresses of 8 bytes.
    pub(super) const BYTES: usize = 16;

    pub(super) fn parse(bytes: &[u8; Self::BYTES]) -> Self {
        let [l0, l1, l2, l3, a @ .., i0, i1, i2, i3] = *bytes;
        Self {
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            collection: u64::from_le_bytes(a),
            index: u32::from_le_bytes([i0, i1, i2, i3]),
        }
    }
}

/// A collection in memory.
struct Collection {
    address: u64,
    /// What follows its header.
    bytes: Vec<u8>,
    /// The position of the data of each object in `bytes`.
    objects: HashMap<u32, Range<usize>>,
}

/// Reads values of variable length.
pub(super) struct Heap {
    source: Box<dyn Source>,
    path: PathBuf,
    file_bytes: u64,
    /// The last collection that was read.
    last: Option<Collection>,
}

impl Heap {
    pub(super) fn new(mut source: Box<dyn Source>, path: &Path) -> Result<Self> {
        let file_bytes = source.seek(SeekFrom::End(0)).map_err(|source| Error::io(path, source))?;
        Ok(Self { source, path: path.to_owned(), file_bytes, last: None })
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The bytes of a value, whose elements have `element_bytes` each.
    pub(super) fn get(&mut self, reference: Reference, element_bytes: usize) -> Result<&[u8]> {
        if reference.length == 0 {
            return Ok(&[]);
        }
        let address = reference.collection;
        if self.last.as_ref().is_none_or(|last| last.address != address) {
            self.last = None;
            self.last = Some(self.collection(address)?);
        }
        let wanted = u64::from(reference.length) * element_bytes as u64;
        let found = self.last.as_ref().and_then(|last| {
            last.bytes.get(last.objects.get(&reference.index)?.clone())?.get(..usize::try_from(wanted).ok()?)
        });
        found.ok_or_else(|| {
            let got = format!("no object {} of {wanted} bytes in this heap collection", reference.index);
            Error::format(&self.path, address, got, "the object that a data set refers to")
        })
    }

    fn collection(&mut self, address: u64) -> Result<Collection> {
        let error = |got: String, expected: &str| Err(Error::format(&self.path, address, got, expected));
        if address >= self.file_bytes {
            let got = format!("a reference beyond the file's {} bytes", self.file_bytes);
            return error(got, "a heap collection within the file");
        }
        self.source.seek(SeekFrom::Start(address)).map_err(|source| Error::io(&self.path, source))?;
        let mut reader = Positioned::new(&mut self.source, &self.path);
        reader.position = address;
        let header = reader.bytes(16, "the 16 bytes of a heap collection's header")?;
        let [b'G', b'C', b'O', b'L', 1, _, _, _, ref size @ ..] = header[..] else {
            return error(format!("the bytes {:02x?}", &header[..8]), "a heap collection, GCOL version 1");
        };
        let size = size.iter().rev().fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
        if size < 16 || size > self.file_bytes - address {
            let got = format!("a heap collection of {size} bytes");
            return error(got, "one that lies within the file");
        }
        let bytes = reader.bytes(size - 16, "a whole heap collection")?;
        let (mut objects, mut at) = (HashMap::new(), 0_usize);
        while let Some(header) = bytes.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
            let [i0, i1, _, _, _, _, _, _, size @ ..] = *header;
            let index = u32::from(u16::from_le_bytes([i0, i1]));
            if index == 0 {
                break;
            }
            let start = at + 16;
            let end = usize::try_from(u64::from_le_bytes(size)).ok().and_then(|size| start.checked_add(size));
            let Some(end) = end.filter(|end| *end <= bytes.len()) else {
                let got = format!("the heap object {index}, which is longer than its collection");
                return Err(Error::format(&self.path, address + 16 + at as u64, got, "an object within it"));
            };
            objects.insert(index, start..end);
            at = end.next_multiple_of(8);
        }
        Ok(Collection { address, bytes, objects })
    }
}
