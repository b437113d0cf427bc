//! Models in several files, `name-00001-of-00003.gguf` and so on: the metadata is in the first, tensors are in all.

use std::path::{Path, PathBuf};

use gyrus_formats::Bytes;
use gyrus_formats::gguf::Gguf;

use super::refused;
use crate::{Error, Result};

/// The entries about it.
pub(super) const COUNT: &str = "split.count";
const NUMBER: &str = "split.no";
const TENSORS: &str = "split.tensors.count";
/// The most parts: as many as their names have digits for.
const MOST: usize = 99_999;

/// The number of files of a model; 1 if it is whole.
pub(super) fn parts_of(file: &Gguf) -> Result<usize> {
    match file.count(COUNT)? {
        None | Some(0) => Ok(1),
        Some(count) if count <= MOST => Ok(count),
        Some(count) => Err(refused(file, COUNT, count.to_string(), format!("at most {MOST}"))),
    }
}

/// The whole model of which `file`, read from `path`, is a part: metadata of the first part, tensors of all.
pub(super) fn whole(path: &Path, file: Gguf) -> Result<Gguf> {
    let count = parts_of(&file)?;
    if count == 1 {
        return Ok(file);
    }
    let names = names(path, count).ok_or_else(|| {
        let expected =
            format!("a name that ends in -00001-of-{count:05}.gguf, so that the other parts are found");
        Error::mismatch(path, format!("part of a model in {count} files"), expected)
    })?;
    if let Some(missing) = names.iter().find(|name| !name.is_file()) {
        let got = format!("one of the {count} parts of a model without {}", missing.display());
        return Err(Error::mismatch(path, got, "all parts in the same folder"));
    }
    let mut parts = names.iter().enumerate().map(|(number, name)| {
        let part = if name == path { file.clone() } else { Gguf::parse(name, &Bytes::map(name)?)? };
        let said = (parts_of(&part)?, part.count(NUMBER)?);
        if said != (count, Some(number)) {
            let got = format!("part {:?} of {}", said.1, said.0);
            return Err(Error::mismatch(name, got, format!("part {number} of {count}, counted from 0")));
        }
        Ok(part)
    });
    let Some(first) = parts.next() else { return Ok(file.clone()) };
    let mut whole = first?;
    for (part, name) in parts.zip(&names[1..]) {
        for (tensor, value) in part?.tensors {
            if whole.tensors.insert(tensor.clone(), value).is_some() {
                return Err(Error::tensor(name, tensor, "the tensor a second time", "each in one part"));
            }
        }
    }
    match whole.count(TENSORS)? {
        Some(tensors) if tensors != whole.tensors.len() => {
            let got = format!("{} tensors in all parts", whole.tensors.len());
            Err(refused(&whole, TENSORS, got, tensors.to_string()))
        }
        _ => Ok(whole),
    }
}

/// The paths of all parts, if `path` is named as one of them.
fn names(path: &Path, count: usize) -> Option<Vec<PathBuf>> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(&format!("-of-{count:05}.gguf"))?;
    let (stem, number) = stem.rsplit_once('-')?;
    let is_number = number.len() == 5 && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| {
        (1..=count).map(|part| path.with_file_name(format!("{stem}-{part:05}-of-{count:05}.gguf"))).collect()
    })
}
