//! Stored numbers of an ONNX file, as floats and whole numbers.

use std::path::{Component, Path};

use gyrus_files::read_bounded;
use gyrus_formats::{Bytes, Format, Tensor};

use super::{MAXIMUM_BYTES, proto};

/// A constant.
#[derive(Clone, Debug, Default)]
pub(super) struct Constant {
    pub(super) shape: Vec<usize>,
    /// Of all kinds of numbers.
    pub(super) floats: Vec<f32>,
    /// Of whole numbers.
    pub(super) whole: Vec<i64>,
}

/// Kinds of numbers, as `onnx.proto` counts them.
const FLOAT: i32 = 1;
const INT32: i32 = 6;
const INT64: i32 = 7;
const FLOAT16: i32 = 10;
const DOUBLE: i32 = 11;
const BFLOAT16: i32 = 16;

impl Constant {
    /// The numbers of a tensor; the text says what is wrong with it.
    pub(super) fn of(path: &Path, tensor: &proto::Tensor) -> Result<Self, String> {
        let extents = tensor.dims.iter().map(|&extent| usize::try_from(extent).ok());
        let shape: Vec<usize> =
            extents.collect::<Option<_>>().ok_or_else(|| format!("has the shape {:?}", tensor.dims))?;
        let count = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
        let count = count.ok_or_else(|| format!("has the shape {shape:?}, which is beyond all memory"))?;
        let raw = if tensor.data_location == 1 { beside(path, tensor)? } else { tensor.raw_data.clone() };
        let few = |got: usize| format!("has {got} numbers for the shape {shape:?}");
        let of_raw = |size: usize| -> Result<bool, String> {
            match raw.len() {
                0 => Ok(false),
                length if length == count.saturating_mul(size) => Ok(true),
                length => Err(few(length / size)),
            }
        };
        let (mut floats, mut whole) = (Vec::new(), Vec::new());
        match tensor.data_type {
            FLOAT if of_raw(4)? => {
                floats = raw.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
            FLOAT => floats.clone_from(&tensor.float_data),
            DOUBLE if of_raw(8)? => {
                floats = raw.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect();
            }
            DOUBLE => floats = tensor.double_data.iter().map(|&number| number as f32).collect(),
            kind @ (FLOAT16 | BFLOAT16) => {
                let format = if kind == FLOAT16 { Format::F16 } else { Format::BF16 };
                let bytes = match of_raw(2)? {
                    true => raw,
                    false => tensor.int32_data.iter().flat_map(|bits| (*bits as u16).to_le_bytes()).collect(),
                };
                let halves = Tensor::new(format, vec![bytes.len() / 2], Bytes::from(bytes));
                floats = halves.map(|halves| halves.floats()).unwrap_or_default();
            }
            INT64 if of_raw(8)? => {
                whole = raw.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
            }
            INT64 => whole.clone_from(&tensor.int64_data),
            INT32 if of_raw(4)? => {
                whole = raw.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes).into()).collect();
            }
            INT32 => whole = tensor.int32_data.iter().map(|&number| number.into()).collect(),
            other => {
                return Err(format!("holds numbers of the kind {other}; expected floats or whole numbers"));
            }
        }
        if !whole.is_empty() {
            floats = whole.iter().map(|&number| number as f32).collect();
        }
        if floats.len() != count {
            return Err(few(floats.len()));
        }
        Ok(Self { shape, floats, whole })
    }
}

/// The bytes of a tensor that lie in another file of the same folder.
fn beside(path: &Path, tensor: &proto::Tensor) -> Result<Vec<u8>, String> {
    let entry = |key: &str| {
        tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    };
    let location = entry("location").unwrap_or_default();
    let mut parts = Path::new(location).components();
    if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
        return Err(format!("is stored in '{location}'; expected a file in the folder of the model"));
    }
    let file = path.parent().unwrap_or(Path::new(".")).join(location);
    let bytes = read_bounded(&file, MAXIMUM_BYTES).map_err(|error| error.to_string())?;
    let number = |key: &str, usual: usize| entry(key).map_or(Some(usual), |value| value.parse().ok());
    let start = number("offset", 0);
    let length = number("length", bytes.len().saturating_sub(start.unwrap_or(0)));
    let range = start.zip(length).and_then(|(start, length)| Some(start..start.checked_add(length)?));
    let part = range.and_then(|range| bytes.get(range));
    part.map(<[u8]>::to_vec).ok_or_else(|| format!("is stored beyond the end of '{location}'"))
}
