//! PyTorch's own files (`.bin`, `.ckpt`, `.pt`, `.pth`): a zip archive of a pickle and raw numbers, mapped into memory; or the
//! form before version 1.6, five pickles and then the raw numbers (`legacy.rs`).
//!
//! A pickle is a program, and running an untrusted one runs untrusted code. This reader runs nothing: it knows
//! dictionaries, lists, numbers, strings and tensors, and refuses every other name that a pickle calls.

mod legacy;
mod pickle;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use pickle::{Machine, Node};

use crate::{Bytes, Checkpoint, Error, Format, Result, Tensor};

/// The largest pickle that is accepted: names and shapes of a hundred thousand tensors.
const MAXIMUM_PICKLE_BYTES: u64 = 1 << 26;

/// Reads the tensors of a file, or those of its inner dictionary `state_dict` if it has one.
///
/// # Errors
/// [`Error::Io`]; [`Error::Mismatch`] for a file that is not a PyTorch archive or holds more than data; [`Error::Tensor`]
/// for tensors that are not floats, or that repeat numbers.
pub fn read(path: &Path) -> Result<Checkpoint> {
    parse(path, &Bytes::map(path)?)
}

/// [`read`] of bytes in memory; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, bytes: &Bytes) -> Result<Checkpoint> {
    if legacy::is_legacy(bytes.as_slice()) {
        return legacy::parse(path, bytes);
    }
    let entries = entries(path, bytes)?;
    let (name, program) = entries.iter().find(|(name, _)| name.ends_with("/data.pkl")).ok_or_else(|| {
        Error::mismatch(path, "an archive without a data.pkl", "an archive that torch.save made")
    })?;
    let folder = name.trim_end_matches("data.pkl");
    if entries.get(&format!("{folder}byteorder")).is_some_and(|order| order.as_slice() != b"little") {
        return Err(Error::mismatch(path, "big-endian numbers", "little-endian numbers"));
    }
    if program.as_slice().len() as u64 > MAXIMUM_PICKLE_BYTES {
        let got = format!("a pickle of {} bytes", program.as_slice().len());
        return Err(Error::mismatch(path, got, format!("at most {MAXIMUM_PICKLE_BYTES}")));
    }
    let machine = Machine::run(path, program.as_slice(), 0)?;
    tensors_of(path, &machine, &entries, folder)
}

/// The tensors of the dictionary that a pickle built.
fn tensors_of(
    path: &Path,
    machine: &Machine<'_>,
    entries: &BTreeMap<String, Bytes>,
    folder: &str,
) -> Result<Checkpoint> {
    let mut root = machine.root();
    if let Some(inner) = root.iter().find(|(key, _)| machine.text(*key) == Some("state_dict")) {
        root = machine.entries(inner.1).unwrap_or(root);
    }
    let mut tensors = BTreeMap::new();
    for (key, value) in root {
        let (Some(name), Node::Tensor { storage, offset, shape, strides }) =
            (machine.text(*key), machine.node(*value))
        else {
            continue;
        };
        let Some((kind, data)) = machine.storage(*storage) else { continue };
        if is_counter(name) {
            continue;
        }
        let tensor = locate(path, name, entries, (folder, kind, data), (*offset, shape, strides))?;
        tensors.insert(name.to_owned(), tensor);
    }
    Ok(Checkpoint::new(path, tensors))
}

/// Whether a tensor is no weight, but the number of batches that a normalization has seen: one 64-bit integer.
pub(crate) fn is_counter(name: &str) -> bool {
    name.rsplit('.').next() == Some("num_batches_tracked")
}

/// The entries of the archive, which must not be compressed.
fn entries(path: &Path, bytes: &Bytes) -> Result<BTreeMap<String, Bytes>> {
    let wrong = |error: zip::result::ZipError| {
        Error::mismatch(path, error.to_string(), "an archive that torch.save made")
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes.as_slice())).map_err(wrong)?;
    let mut entries = BTreeMap::new();
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index).map_err(wrong)?;
        let name = file.name().map_err(wrong)?.into_owned();
        if file.compression() != zip::CompressionMethod::Stored {
            let expected = "uncompressed entries, as torch.save writes them";
            return Err(Error::mismatch(path, format!("'{name}' compressed"), expected));
        }
        let start = file.data_start().and_then(|start| usize::try_from(start).ok());
        let length = usize::try_from(file.size()).ok();
        let range = start.zip(length).and_then(|(start, length)| Some(start..start.checked_add(length)?));
        let part = range.and_then(|range| bytes.part(range));
        let part =
            part.ok_or_else(|| Error::mismatch(path, format!("'{name}' beyond the end"), "a whole file"))?;
        entries.insert(name, part);
    }
    Ok(entries)
}

/// The tensor that a pickle describes.
fn locate(
    path: &Path,
    name: &str,
    entries: &BTreeMap<String, Bytes>,
    (folder, kind, data): (&str, &str, &str),
    (offset, shape, strides): (usize, &[usize], &[usize]),
) -> Result<Tensor> {
    let format = match kind {
        "FloatStorage" => Format::F32,
        "HalfStorage" => Format::F16,
        "BFloat16Storage" => Format::BF16,
        other => return Err(Error::tensor(path, name, format!("a {other}"), "floats of 32 or 16 bits")),
    };
    // In a contiguous tensor, each stride is the product of the dimensions after it.
    let mut product = 1usize;
    let mut contiguous = shape.len() == strides.len();
    for (&extent, &stride) in shape.iter().zip(strides).rev() {
        contiguous &= stride == product || extent <= 1;
        product = product.saturating_mul(extent);
    }
    let size = format.block_bytes();
    let bytes = entries.get(&format!("{folder}data/{data}"));
    if !contiguous {
        let gathered = bytes.and_then(|bytes| gather(bytes.as_slice(), size, offset, shape, strides));
        let tensor = gathered.and_then(|bytes| Tensor::new(format, shape.to_vec(), bytes.into()));
        return tensor.ok_or_else(|| {
            let got = format!("strides {strides:?} of shape {shape:?}");
            Error::tensor(path, name, got, "each number once, and within the archive")
        });
    }
    let range = offset.checked_mul(size).zip(product.checked_mul(size));
    let range = range.and_then(|(from, length)| Some(from..from.checked_add(length)?));
    let tensor = bytes
        .zip(range)
        .and_then(|(bytes, range)| bytes.part(range))
        .and_then(|bytes| Tensor::new(format, shape.to_vec(), bytes));
    tensor.ok_or_else(|| {
        let got = format!("{product} numbers from {offset} of data/{data}");
        Error::tensor(path, name, got, "numbers within the archive")
    })
}

/// The numbers of a tensor whose axes lie in another order in memory (transposed, or channels last), row-major. `None` where
/// there are more than the storage holds, as in a tensor that repeats some, or beyond its end.
fn gather(bytes: &[u8], size: usize, offset: usize, shape: &[usize], strides: &[usize]) -> Option<Vec<u8>> {
    let count = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent))?;
    if shape.len() != strides.len() || count > bytes.len() / size {
        return None;
    }
    let mut gathered = Vec::with_capacity(count * size);
    let mut index = vec![0; shape.len()];
    for _ in 0..count {
        let steps =
            index.iter().zip(strides).map(|(index, stride): (&usize, &usize)| index.checked_mul(*stride));
        let place = steps.into_iter().try_fold(offset, |sum, step| sum.checked_add(step?))?;
        let from = place.checked_mul(size)?;
        gathered.extend_from_slice(bytes.get(from..from.checked_add(size)?)?);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Some(gathered)
}
