//! NumPy's `.npy` files: one array of numbers with its shape.
//!
//! The format (NEP 1): `\x93NUMPY`, a version, the length of a header, the header as a Python dictionary of three entries
//! (`descr`, `fortran_order`, `shape`), then the numbers. Every type of number but complex ones is read, in either order of
//! bytes and of axes, and becomes `f32`; what is written is little-endian `f32`, row-major. Objects are refused: reading them
//! would run code.

use std::path::Path;

use crate::{Error, Result, StateTensor};

/// The first bytes of every file.
const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header to read; those of arrays of numbers have 128 bytes at most.
const MAX_HEADER: usize = 1 << 16;
/// The most axes.
const MAX_AXES: usize = 32;

/// The array in these bytes of a file; `path` is for the errors.
///
/// # Errors
/// [`Error::Npy`] if they are not such a file, hold something else than numbers, or fewer or more numbers than the shape says.
pub fn from_npy(bytes: &[u8], path: &Path) -> Result<StateTensor> {
    let wrong = |reason: String| Error::Npy { path: path.to_owned(), reason };
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| wrong("it does not begin as such a file".into()))?;
    let cut = || wrong("it ends within its header".into());
    let (length, rest) = match rest.first().ok_or_else(cut)? {
        1 => {
            let field: [u8; 2] = rest.get(2..4).and_then(|field| field.try_into().ok()).ok_or_else(cut)?;
            (usize::from(u16::from_le_bytes(field)), &rest[4..])
        }
        2 | 3 => {
            let field: [u8; 4] = rest.get(2..6).and_then(|field| field.try_into().ok()).ok_or_else(cut)?;
            (u32::from_le_bytes(field) as usize, &rest[6..])
        }
        other => return Err(wrong(format!("its version is {other}; expected 1, 2 or 3"))),
    };
    if length > MAX_HEADER {
        return Err(wrong(format!("its header has {length} bytes; expected at most {MAX_HEADER}")));
    }
    let header = rest.get(..length).ok_or_else(cut)?;
    let header = String::from_utf8_lossy(header);
    let data = &rest[length..];
    let entry = |name: &str| {
        let quoted = [format!("'{name}'"), format!("\"{name}\"")];
        let after = quoted.iter().find_map(|quoted| header.split_once(quoted.as_str()))?.1;
        Some(after.trim_start().strip_prefix(':')?.trim_start())
    };
    let missing = |name: &str| wrong(format!("its header has no {name}: {}", header.trim()));
    let kind = entry("descr").ok_or_else(|| missing("descr"))?;
    let kind = kind.strip_prefix(['\'', '"']).and_then(|kind| kind.split(['\'', '"']).next());
    let kind = kind
        .ok_or_else(|| wrong("it holds records of several fields; expected one array of numbers".into()))?;
    let transposed = entry("fortran_order").ok_or_else(|| missing("fortran_order"))?.starts_with("True");
    let shape = entry("shape").and_then(|shape| shape.strip_prefix('(')?.split(')').next());
    let shape: Option<Vec<usize>> = shape.and_then(|shape| {
        let numbers = shape.split(',').map(str::trim).filter(|number| !number.is_empty());
        numbers.map(|number| number.parse().ok()).collect()
    });
    let shape = shape.filter(|shape| shape.len() <= MAX_AXES).ok_or_else(|| missing("shape"))?;
    let (size, read) = number(kind).ok_or_else(|| {
        wrong(format!("it holds numbers of type {kind:?}; expected booleans, whole numbers or floats"))
    })?;
    let count = shape.iter().try_fold(1usize, |count, &axis| count.checked_mul(axis));
    if count.and_then(|count| count.checked_mul(size)) != Some(data.len()) {
        let expected =
            format!("its shape {shape:?} needs {size} bytes a number, and {} bytes follow", data.len());
        return Err(wrong(expected));
    }
    let big = kind.starts_with('>');
    let values: Vec<f32> = data.chunks_exact(size).map(|bytes| read(bytes, big)).collect();
    let values = if transposed { row_major(&values, &shape) } else { values };
    Ok(StateTensor { shape, values })
}

/// The bytes of a file with this array.
#[must_use]
pub fn to_npy(array: &StateTensor) -> Vec<u8> {
    let axes: Vec<String> = array.shape.iter().map(ToString::to_string).collect();
    let comma = if axes.len() == 1 { "," } else { "" };
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}{comma}), }}", axes.join(", "));
    // The numbers begin at a multiple of 64 bytes.
    let before = MAGIC.len() + 4;
    header.extend(std::iter::repeat_n(' ', 63 - (before + header.len()) % 64));
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    // At most 32 axes of 20 digits.
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(array.values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

type Read = fn(&[u8], bool) -> f32;

/// Bytes of a number of this type, and how one is read.
fn number(kind: &str) -> Option<(usize, Read)> {
    macro_rules! of {
        ($number:ty) => {
            (size_of::<$number>(), |bytes, big| {
                let mut own = [0; size_of::<$number>()];
                own.copy_from_slice(bytes);
                (if big { <$number>::from_be_bytes(own) } else { <$number>::from_le_bytes(own) }) as f32
            })
        };
    }
    Some(match kind.trim_start_matches(['<', '>', '|', '=']) {
        "b1" => (1, |bytes, _| f32::from(bytes[0] != 0)),
        "i1" => of!(i8),
        "i2" => of!(i16),
        "i4" => of!(i32),
        "i8" => of!(i64),
        "u1" => of!(u8),
        "u2" => of!(u16),
        "u4" => of!(u32),
        "u8" => of!(u64),
        "f2" => (2, |bytes, big| half(if big { [bytes[1], bytes[0]] } else { [bytes[0], bytes[1]] })),
        "f4" => of!(f32),
        "f8" => of!(f64),
        _ => return None,
    })
}

/// A half-precision number, little-endian.
fn half(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    let (sign, exponent, fraction) = (bits >> 15 << 31, bits >> 10 & 31, bits & 1023);
    match exponent {
        0 => f32::from_bits(sign | (fraction as f32 / 16_777_216.0).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// The numbers of a column-major array in row-major order.
fn row_major(values: &[f32], shape: &[usize]) -> Vec<f32> {
    let mut at = vec![0; shape.len()];
    let strides: Vec<usize> = shape
        .iter()
        .scan(1usize, |stride, &axis| Some(std::mem::replace(stride, stride.saturating_mul(axis))))
        .collect();
    (0..values.len())
        .map(|_| {
            let place: usize = at.iter().zip(&strides).map(|(at, stride)| at * stride).sum();
            for (at, &axis) in at.iter_mut().zip(shape).rev() {
                *at += 1;
                if *at < axis {
                    break;
                }
                *at = 0;
            }
            values[place]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn read(header: &str, data: &[u8]) -> Result<StateTensor> {
        from_npy(&file(header, data), Path::new("x.npy"))
    }

    #[test]
    fn what_is_written_is_read_back() {
        for shape in [vec![], vec![3], vec![2, 3], vec![1, 2, 0, 4]] {
            let count = shape.iter().product();
            let array = StateTensor { shape, values: (0..count).map(|i| i as f32 / 4.0 - 0.5).collect() };
            let bytes = to_npy(&array);
            assert_eq!((bytes.len() - 4 * count) % 64, 0);
            assert_eq!(from_npy(&bytes, Path::new("x")).unwrap(), array);
        }
    }

    /// Headers as NumPy 2.4 writes them.
    #[test]
    fn numbers_of_all_types_and_orders_are_read() {
        let of = |kind: &str, data: &[u8]| {
            let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (2,), }}\n");
            read(&header, data).unwrap().values
        };
        assert_eq!(of("|b1", &[0, 1]), [0.0, 1.0]);
        assert_eq!(of("|u1", &[0, 255]), [0.0, 255.0]);
        assert_eq!(of("<i2", &[255, 255, 2, 0]), [-1.0, 2.0]);
        assert_eq!(of(">i2", &[255, 255, 0, 2]), [-1.0, 2.0]);
        assert_eq!(of("<i8", &[[3, 0, 0, 0, 0, 0, 0, 0], [255; 8]].concat()), [3.0, -1.0]);
        assert_eq!(of("<f2", &[0x00, 0x3c, 0x01, 0x80]), [1.0, -5.960_464_5e-8]);
        assert_eq!(of("<f8", &[1.5f64.to_le_bytes(), (-2.0f64).to_le_bytes()].concat()), [1.5, -2.0]);
        assert_eq!(of(">f4", &[1.5f32.to_be_bytes(), 2.5f32.to_be_bytes()].concat()), [1.5, 2.5]);
        let columns = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }";
        assert_eq!(read(columns, &[1, 4, 2, 5, 3, 6]).unwrap().values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn damaged_files_are_refused() {
        let header = |kind: &str, shape: &str| {
            format!("{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}")
        };
        for (bytes, reason) in [
            (b"PK\x03\x04".to_vec(), "does not begin"),
            (b"\x93NUMPY\x01\x00\xff\xff{".to_vec(), "within its header"),
            (b"\x93NUMPY\x07\x00".to_vec(), "version is 7"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f".to_vec(), "at most 65536"),
            (file(&header("'|O'", "(1,)"), &[0; 8]), "type \"|O\""),
            (file(&header("[('a', '<f4')]", "(1,)"), &[0; 4]), "several fields"),
            (file(&header("'<f4'", "(2,)"), &[0; 4]), "4 bytes follow"),
            (file(&header("'<f4'", "(4294967296, 4294967296)"), &[]), "0 bytes follow"),
            (file(&header("'<f4'", "(-1,)"), &[]), "no shape"),
            (file("{}", &[]), "no descr"),
        ] {
            let error = from_npy(&bytes, Path::new("x.npy")).unwrap_err().to_string();
            assert!(error.contains("x.npy") && error.contains(reason), "{error} lacks {reason}");
        }
    }
}
