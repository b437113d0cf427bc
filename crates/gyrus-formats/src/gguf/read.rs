//! Reading a GGUF file into its metadata and tensors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::format_number;
use crate::{Bytes, Error, Format, Result, Tensor};

/// The most dimensions of a tensor.
const MAXIMUM_EXTENTS: u32 = 4;
/// The longest key or tensor name.
const MAXIMUM_NAME_BYTES: usize = 1 << 10;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any integer.
    Integer(i128),
    /// Any floating-point number.
    Number(f64),
    /// A boolean.
    Flag(bool),
    /// A string; bytes that are not UTF-8 are replaced.
    Text(String),
    /// A list of strings.
    Texts(Vec<String>),
    /// A list of numbers or booleans.
    Numbers(Vec<f64>),
}

/// A file's metadata and tensors.
#[derive(Clone, Debug)]
pub struct Gguf {
    /// The file, for messages.
    pub path: PathBuf,
    /// The metadata.
    pub entries: BTreeMap<String, Value>,
    /// The tensors under the file's names.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Gguf {
    /// Reads a file's bytes; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Format`] if the bytes are not a GGUF file of version 2 or 3, or hold numbers in an unknown format.
    pub fn parse(path: &Path, bytes: &Bytes) -> Result<Self> {
        let mut reader = Reader { path, all: bytes.as_slice(), offset: 0 };
        if reader.take(4)? != b"GGUF" {
            return Err(Error::format(path, 0, "other bytes", "\"GGUF\""));
        }
        let version = reader.u32()?;
        if !(2..=3).contains(&version) {
            return Err(Error::format(
                path,
                4,
                format!("version {version}"),
                "version 2 or 3, little-endian",
            ));
        }
        // A tensor takes at least its name's length, a number of dimensions, a type and an offset; an entry takes a key's
        // length, a type and a byte.
        let tensors = reader.count(24, "tensors")?;
        let count = reader.count(13, "entries")?;
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let place = reader.offset;
            let key = reader.name()?;
            let kind = reader.u32()?;
            let value = reader.value(kind)?;
            if entries.insert(key.clone(), value).is_some() {
                return Err(Error::format(
                    path,
                    place as u64,
                    format!("'{key}' a second time"),
                    "each key once",
                ));
            }
        }
        let alignment = match entries.get("general.alignment") {
            None => 32,
            Some(Value::Integer(alignment @ 1..=65536)) if alignment.count_ones() == 1 => *alignment as usize,
            Some(other) => {
                let got = format!("{other:?}");
                return Err(Error::field(path, "general.alignment", got, "a power of two up to 65536"));
            }
        };
        let infos = (0..tensors).map(|_| reader.tensor()).collect::<Result<Vec<_>>>()?;
        let start = reader.offset.next_multiple_of(alignment);
        let mut named = BTreeMap::new();
        for info in infos {
            let name = info.name.clone();
            let tensor = info.locate(path, bytes, start)?;
            if named.insert(name.clone(), tensor).is_some() {
                return Err(Error::tensor(path, name, "the tensor a second time", "each once"));
            }
        }
        Ok(Self { path: path.to_owned(), entries, tensors: named })
    }

    /// An error that names an entry of this file.
    #[must_use]
    pub fn error(&self, key: &str, got: impl Into<String>, expected: impl Into<String>) -> Error {
        Error::field(&self.path, key, got, expected)
    }

    fn wrong(&self, key: &str, value: &Value, expected: &str) -> Error {
        let got: String = format!("{value:?}").chars().take(60).collect();
        self.error(key, got, expected)
    }

    /// A string, if the file has this entry.
    ///
    /// # Errors
    /// [`Error::Field`] if it has another type.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.entries.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, other, "a string")),
        }
    }

    /// A finite number, if the file has this entry.
    ///
    /// # Errors
    /// [`Error::Field`] if it has another type.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        match self.entries.get(key) {
            None => Ok(None),
            Some(Value::Number(number)) if number.is_finite() => Ok(Some(*number)),
            Some(Value::Integer(number)) => Ok(Some(*number as f64)),
            Some(other) => Err(self.wrong(key, other, "a number")),
        }
    }

    /// An integer from 0 to 2²⁴, if the file has this entry.
    ///
    /// # Errors
    /// [`Error::Field`] if it has another type.
    pub fn count(&self, key: &str) -> Result<Option<usize>> {
        match self.entries.get(key) {
            None => Ok(None),
            Some(Value::Integer(number @ 0..=0x100_0000)) => Ok(Some(*number as usize)),
            Some(other) => Err(self.wrong(key, other, "an integer from 0 to 16777216")),
        }
    }

    /// A boolean, or `default`.
    ///
    /// # Errors
    /// [`Error::Field`] if it has another type.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.entries.get(key) {
            None => Ok(default),
            Some(Value::Flag(flag)) => Ok(*flag),
            Some(other) => Err(self.wrong(key, other, "a boolean")),
        }
    }

    /// A list of strings, if the file has this entry.
    ///
    /// # Errors
    /// [`Error::Field`] if it has another type.
    pub fn texts(&self, key: &str) -> Result<Option<&[String]>> {
        match self.entries.get(key) {
            None => Ok(None),
            Some(Value::Texts(texts)) => Ok(Some(texts)),
            Some(other) => Err(self.wrong(key, other, "a list of strings")),
        }
    }

    /// A list of numbers, if the file has this entry.
    ///
    /// # Errors
    /// [`Error::Field`] if it has another type.
    pub fn numbers(&self, key: &str) -> Result<Option<&[f64]>> {
        match self.entries.get(key) {
            None => Ok(None),
            Some(Value::Numbers(numbers)) => Ok(Some(numbers)),
            Some(other) => Err(self.wrong(key, other, "a list of numbers")),
        }
    }
}

/// The description of a tensor, which comes before all numbers.
struct Info {
    name: String,
    shape: Vec<usize>,
    kind: u32,
    /// Within the data section of the file.
    offset: u64,
    /// Where the description begins in the file.
    place: usize,
}

impl Info {
    fn locate(self, path: &Path, bytes: &Bytes, start: usize) -> Result<Tensor> {
        let wrong = |got: String, expected: String| Error::format(path, self.place as u64, got, expected);
        let format = Format::ALL.into_iter().find(|&format| format_number(format) == self.kind);
        let Some(format) = format else {
            let names: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
            let got = format!("'{}' in ggml's format {}", self.name, self.kind);
            return Err(wrong(got, format!("one of {}", names.join(", "))));
        };
        let columns = self.shape.last().copied().unwrap_or(1);
        let rows = self.shape.iter().rev().skip(1).try_fold(1usize, |rows, &extent| rows.checked_mul(extent));
        let size = rows.zip(format.row_bytes(columns)).and_then(|(rows, row)| rows.checked_mul(row));
        let from = usize::try_from(self.offset).ok().and_then(|offset| offset.checked_add(start));
        let range = from.zip(size).and_then(|(from, size)| Some(from..from.checked_add(size)?));
        let tensor = range
            .and_then(|range| bytes.part(range))
            .and_then(|bytes| Tensor::new(format, self.shape.clone(), bytes));
        tensor.ok_or_else(|| {
            let got = format!("'{}' of shape {:?} at {} of the data", self.name, self.shape, self.offset);
            let expected = format!("{} numbers within the {} bytes", format.name(), bytes.as_slice().len());
            wrong(got, expected)
        })
    }
}

struct Reader<'a> {
    path: &'a Path,
    all: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    fn left(&self) -> usize {
        self.all.len() - self.offset
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        if length > self.left() {
            let got = format!("the end at {}", self.all.len());
            return Err(Error::format(self.path, self.offset as u64, got, format!("{length} bytes more")));
        }
        let part = &self.all[self.offset..][..length];
        self.offset += length;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count of items, each of which takes at least `least` bytes.
    fn count(&mut self, least: usize, what: &str) -> Result<usize> {
        let place = self.offset;
        let count = self.u64()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.left() / least => Ok(count),
            _ => {
                let expected = format!("at most {}, for which the file has room", self.left() / least);
                Err(Error::format(self.path, place as u64, format!("{count} {what}"), expected))
            }
        }
    }

    fn text(&mut self) -> Result<String> {
        let length = self.count(1, "bytes of a string")?;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn name(&mut self) -> Result<String> {
        let place = self.offset;
        let name = self.text()?;
        if name.len() > MAXIMUM_NAME_BYTES {
            let got = format!("a name of {} bytes", name.len());
            return Err(Error::format(self.path, place as u64, got, format!("at most {MAXIMUM_NAME_BYTES}")));
        }
        Ok(name)
    }

    fn value(&mut self, kind: u32) -> Result<Value> {
        let place = self.offset;
        Ok(match kind {
            0 => Value::Integer(self.array::<1>()?[0].into()),
            1 => Value::Integer(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Integer(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Integer(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Integer(self.u32()?.into()),
            5 => Value::Integer(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Number(f32::from_le_bytes(self.array()?).into()),
            7 => Value::Flag(self.array::<1>()?[0] != 0),
            8 => Value::Text(self.text()?),
            9 => self.list()?,
            10 => Value::Integer(self.u64()?.into()),
            11 => Value::Integer(i64::from_le_bytes(self.array()?).into()),
            12 => Value::Number(f64::from_le_bytes(self.array()?)),
            _ => {
                let got = format!("a value of type {kind}");
                return Err(Error::format(self.path, place as u64, got, "a type from 0 to 12"));
            }
        })
    }

    fn list(&mut self) -> Result<Value> {
        let place = self.offset;
        let kind = self.u32()?;
        let least = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            _ => {
                let got = format!("a list of type {kind}");
                return Err(Error::format(self.path, place as u64, got, "numbers, booleans or strings"));
            }
        };
        let count = self.count(least, "values")?;
        if kind == 8 {
            return Ok(Value::Texts((0..count).map(|_| self.text()).collect::<Result<_>>()?));
        }
        let numbers = (0..count).map(|_| {
            Ok(match self.value(kind)? {
                Value::Integer(number) => number as f64,
                Value::Number(number) => number,
                Value::Flag(flag) => f64::from(u8::from(flag)),
                Value::Text(_) | Value::Texts(_) | Value::Numbers(_) => f64::NAN,
            })
        });
        Ok(Value::Numbers(numbers.collect::<Result<_>>()?))
    }

    fn tensor(&mut self) -> Result<Info> {
        let place = self.offset;
        let name = self.name()?;
        let extents = self.u32()?;
        if extents > MAXIMUM_EXTENTS {
            let got = format!("'{name}' with {extents} dimensions");
            return Err(Error::format(self.path, place as u64, got, format!("at most {MAXIMUM_EXTENTS}")));
        }
        // The fastest-varying dimension comes first.
        let mut shape = Vec::new();
        for _ in 0..extents {
            let extent = self.u64()?;
            let extent = usize::try_from(extent).map_err(|_| {
                Error::format(
                    self.path,
                    place as u64,
                    format!("the dimension {extent}"),
                    "one that fits in memory",
                )
            })?;
            shape.insert(0, extent);
        }
        Ok(Info { name, shape, kind: self.u32()?, offset: self.u64()?, place })
    }
}
