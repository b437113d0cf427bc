//! safetensors files, mapped into memory: one `model.safetensors`, or shards listed in `model.safetensors.index.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ::safetensors::{Dtype, SafeTensorError, SafeTensors};
use gyrus_files::{State, StateTensor, to_safetensors, write_atomically};
use serde_json::Value;

use crate::pytorch::is_counter;
use crate::{Bytes, Checkpoint, Error, Format, Result, Tensor};

/// Reads the weights in a folder with Hugging Face's layout.
///
/// # Errors
/// [`Error::Mismatch`] if there are none, [`Error::Format`] for damaged files, [`Error::Tensor`] for unsupported number
/// types.
pub fn read_folder(folder: &Path) -> Result<Checkpoint> {
    let single = folder.join("model.safetensors");
    let index = folder.join("model.safetensors.index.json");
    let mut tensors = BTreeMap::new();
    if single.is_file() {
        read_file(&single, &mut tensors)?;
    } else if index.is_file() {
        for file in shards(&index)? {
            read_file(&folder.join(file), &mut tensors)?;
        }
    } else {
        let expected = "model.safetensors or model.safetensors.index.json";
        return Err(Error::mismatch(folder, "no weights", expected));
    }
    Ok(Checkpoint::new(folder, tensors))
}

/// The tensors of one safetensors file.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`] for damaged files, [`Error::Tensor`] for unsupported number types.
pub fn read(path: &Path) -> Result<Checkpoint> {
    let mut tensors = BTreeMap::new();
    read_file(path, &mut tensors)?;
    Ok(Checkpoint::new(path, tensors))
}

/// Adds the tensors of a file.
fn read_file(path: &Path, tensors: &mut BTreeMap<String, Tensor>) -> Result<()> {
    parse(path, &Bytes::map(path)?, tensors)
}

/// Adds the tensors of a file's bytes; `path` is for messages.
///
/// # Errors
/// [`Error::Format`] for damaged files, [`Error::Tensor`] for unsupported number types and for a name that is already
/// taken.
pub fn parse(path: &Path, bytes: &Bytes, tensors: &mut BTreeMap<String, Tensor>) -> Result<()> {
    let damaged =
        |error: SafeTensorError| Error::format(path, 0, error.to_string(), "a whole safetensors file");
    let (header, metadata) = SafeTensors::read_metadata(bytes.as_slice()).map_err(damaged)?;
    // Eight bytes with the header's length come before the header.
    let start = header + 8;
    for (name, info) in metadata.tensors() {
        let format = match info.dtype {
            Dtype::F32 => Format::F32,
            Dtype::F16 => Format::F16,
            Dtype::BF16 => Format::BF16,
            // A buffer 0, 1, 2, ... in old encoder files; not a weight.
            Dtype::I64 if name.ends_with("embeddings.position_ids") || is_counter(&name) => continue,
            other => {
                let got = format!("numbers of type {other:?}");
                return Err(Error::tensor(path, name, got, "F32, F16 or BF16"));
            }
        };
        let (from, to) = info.data_offsets;
        let range = start.checked_add(from).zip(start.checked_add(to));
        let part = range.and_then(|(from, to)| bytes.part(from..to));
        let tensor = part.and_then(|bytes| Tensor::new(format, info.shape.clone(), bytes));
        let Some(tensor) = tensor else {
            let got = format!("bytes {from} to {to}");
            return Err(Error::tensor(path, name, got, format!("numbers of the shape {:?}", info.shape)));
        };
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(Error::tensor(path, name, "the tensor a second time", "each in one file"));
        }
    }
    Ok(())
}

/// The files that an index lists.
fn shards(index: &Path) -> Result<BTreeSet<String>> {
    let json = std::fs::read(index).map_err(|source| Error::io(index, source))?;
    let value: Value =
        serde_json::from_slice(&json).map_err(|error| Error::mismatch(index, error.to_string(), "JSON"))?;
    let map = value.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| Error::field(index, "weight_map", "nothing", "a file for each tensor"))?;
    let mut files = BTreeSet::new();
    for (tensor, file) in map {
        // Untrusted names must not lead out of the folder.
        let name = file.as_str().filter(|name| {
            name.ends_with(".safetensors") && !name.contains(['/', '\\']) && !name.starts_with('.')
        });
        let Some(name) = name else {
            let expected = "the name of a safetensors file in this folder";
            return Err(Error::field(index, format!("weight_map.{tensor}"), file.to_string(), expected));
        };
        files.insert(name.to_owned());
    }
    Ok(files)
}

/// Writes tensors as 32-bit floats to `model.safetensors` in `folder`.
///
/// # Errors
/// [`Error::Write`] if the file cannot be written.
pub fn write(folder: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    let state: State = tensors
        .iter()
        .map(|(name, tensor)| {
            let (shape, values) = (tensor.shape().to_vec(), tensor.floats());
            (name.clone(), StateTensor { shape, values })
        })
        .collect();
    write_floats(&folder.join("model.safetensors"), &state)
}

/// Writes arrays of floats as a safetensors file, with the metadata that `transformers` expects.
///
/// # Errors
/// [`Error::Write`] if the file cannot be written.
pub fn write_floats(path: &Path, state: &State) -> Result<()> {
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = to_safetensors(state, &metadata)
        .map_err(|error| Error::mismatch(path, error.to_string(), "tensors that safetensors can hold"))?;
    write_atomically(path, &bytes).map_err(Error::write(path))
}
