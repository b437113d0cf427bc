//! PyTorch's files of before version 1.6: five pickles one behind the other (a magic number, the version, the sizes of the
//! machine's numbers, the object, the names of its storages), then each storage: its length as a 64-bit integer, and its numbers.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::pickle::Machine;
use super::{MAXIMUM_PICKLE_BYTES, tensors_of};
use crate::{Bytes, Checkpoint, Error, Result};

/// The first pickle: protocol 2, an integer of ten bytes, the end.
const MAGIC: [u8; 15] = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];

/// Whether these are the bytes of such a file.
pub(super) fn is_legacy(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// The tensors of such a file.
pub(super) fn parse(path: &Path, bytes: &Bytes) -> Result<Checkpoint> {
    let all = bytes.as_slice();
    let limit = usize::try_from(MAXIMUM_PICKLE_BYTES).unwrap_or(usize::MAX);
    let program = &all[..all.len().min(limit)];
    let version = Machine::run(path, program, MAGIC.len())?;
    let system = Machine::run(path, program, version.end())?;
    let machine = Machine::run(path, program, system.end())?;
    let names = Machine::run(path, program, machine.end())?;
    let expected = "the names of the storages, as torch.save wrote them";
    let listed =
        names.texts().ok_or_else(|| Error::mismatch(path, "a last pickle that is no list", expected))?;
    let kinds: HashMap<&str, &str> = machine.storages().map(|(kind, data)| (data, kind)).collect();
    let mut at = names.end();
    let mut entries = BTreeMap::new();
    for name in listed {
        let size = kinds.get(name).and_then(|kind| element_bytes(kind));
        let size = size.ok_or_else(|| Error::mismatch(path, format!("the storage '{name}'"), expected))?;
        let length =
            all.get(at..).and_then(|rest| rest.first_chunk::<8>()).map(|&bytes| u64::from_le_bytes(bytes));
        let length = length.and_then(|length| usize::try_from(length).ok()).and_then(|n| n.checked_mul(size));
        let start = at + 8;
        let range = length.and_then(|length| Some(start..start.checked_add(length)?));
        let part = range.and_then(|range| bytes.part(range));
        let part = part.ok_or_else(|| {
            Error::format(path, at as u64, format!("storage '{name}' beyond the end"), "a whole file")
        })?;
        at = start + part.as_slice().len();
        entries.insert(format!("data/{name}"), part);
    }
    tensors_of(path, &machine, &entries, "")
}

/// The bytes of one number of a storage.
fn element_bytes(kind: &str) -> Option<usize> {
    Some(match kind {
        "DoubleStorage" | "LongStorage" => 8,
        "FloatStorage" | "IntStorage" => 4,
        "HalfStorage" | "BFloat16Storage" | "ShortStorage" => 2,
        "CharStorage" | "ByteStorage" | "BoolStorage" => 1,
        _ => return None,
    })
}
