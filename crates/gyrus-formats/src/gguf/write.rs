//! Writing metadata and tensors as a GGUF file, one tensor at a time.

use std::io::Write;
use std::path::Path;

use gyrus_files::fill_atomically;

use super::format_number;
use super::read::Value;
use crate::{Error, Format, Result};

/// Each tensor begins at a multiple of this many bytes; `general.alignment` must say so.
pub const ALIGNMENT: usize = 32;

/// The description of a tensor, which comes before all numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its dimensions, the fastest-varying last.
    pub shape: Vec<usize>,
    /// The format of its numbers; a row must be a whole number of the format's blocks.
    pub format: Format,
}

impl Description {
    /// The size of its numbers in bytes.
    fn size(&self) -> usize {
        let rows: usize = self.shape.iter().rev().skip(1).product();
        rows * self.format.row_bytes(self.shape.last().copied().unwrap_or(1)).unwrap_or(0)
    }
}

/// Writes a GGUF file, completely or not at all. `bytes(index)` returns the numbers of the tensor at `index`, in its format.
///
/// # Errors
/// [`Error::Write`] if the file cannot be written.
pub fn write(
    path: &Path,
    entries: &[(String, Value)],
    tensors: &[Description],
    mut bytes: impl FnMut(usize) -> Vec<u8>,
) -> Result<()> {
    let head = head(entries, tensors);
    fill_atomically(path, |file| {
        let mut file = std::io::BufWriter::with_capacity(1 << 20, file);
        file.write_all(&head)?;
        for place in 0..tensors.len() {
            let bytes = bytes(place);
            file.write_all(&bytes)?;
            file.write_all(&vec![0; padding(bytes.len())])?;
        }
        file.flush()
    })
    .map_err(Error::write(path))
}

fn padding(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT) - length
}

/// Everything before the numbers of the first tensor.
fn head(entries: &[(String, Value)], tensors: &[Description]) -> Vec<u8> {
    let mut head = Vec::from(*b"GGUF");
    head.extend(3u32.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend((entries.len() as u64).to_le_bytes());
    for (key, value) in entries {
        put_text(&mut head, key);
        put_value(&mut head, key, value);
    }
    let mut offset = 0u64;
    for tensor in tensors {
        put_text(&mut head, &tensor.name);
        let shape = &tensor.shape;
        head.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|&extent| head.extend((extent as u64).to_le_bytes()));
        head.extend(format_number(tensor.format).to_le_bytes());
        head.extend(offset.to_le_bytes());
        offset += (tensor.size() + padding(tensor.size())) as u64;
    }
    head.resize(head.len() + padding(head.len()), 0);
    head
}

fn put_text(to: &mut Vec<u8>, text: &str) {
    to.extend((text.len() as u64).to_le_bytes());
    to.extend(text.as_bytes());
}

/// Uses the types that other readers expect: unsigned 32-bit integers, 32-bit floats, and signed integers for token types.
fn put_value(to: &mut Vec<u8>, key: &str, value: &Value) {
    let kind = |to: &mut Vec<u8>, kind: u32| to.extend(kind.to_le_bytes());
    match value {
        Value::Integer(number) => {
            kind(to, 4);
            to.extend((*number as u32).to_le_bytes());
        }
        Value::Number(number) => {
            kind(to, 6);
            to.extend((*number as f32).to_le_bytes());
        }
        Value::Flag(flag) => {
            kind(to, 7);
            to.push(u8::from(*flag));
        }
        Value::Text(text) => {
            kind(to, 8);
            put_text(to, text);
        }
        Value::Texts(texts) => {
            kind(to, 9);
            kind(to, 8);
            to.extend((texts.len() as u64).to_le_bytes());
            texts.iter().for_each(|text| put_text(to, text));
        }
        Value::Numbers(numbers) => {
            // Types of tokens are integers, and patterns of layers booleans.
            let number = if key.ends_with("token_type") {
                5
            } else if key.ends_with("pattern") {
                7
            } else {
                6
            };
            kind(to, 9);
            kind(to, number);
            to.extend((numbers.len() as u64).to_le_bytes());
            for value in numbers {
                match number {
                    5 => to.extend((*value as i32).to_le_bytes()),
                    7 => to.push(u8::from(*value != 0.0)),
                    _ => to.extend((*value as f32).to_le_bytes()),
                }
            }
        }
    }
}
