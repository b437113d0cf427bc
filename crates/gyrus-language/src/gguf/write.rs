//! Writing a model as one file. Matrices take the format that is asked for, where their rows are whole blocks of it, and
//! 16-bit floats elsewhere; normalisations and biases stay 32-bit floats.

use std::io::Write;
use std::path::Path;

use gyrus_kernels::stored::quantize;

use super::read::Value;
use super::{config, format_number, interleaved, tensor_name, vocabulary};
use gyrus_train::fill_atomically;

use crate::model::Parts;
use crate::parameters::{Parameter, Role};
use crate::tensor::Tensor;
use crate::{DecoderConfig, Error, Format, Result, Stretch};

/// Where tensors begin.
const ALIGNMENT: usize = 32;

/// Writes a model to `path`, its matrices in `format`.
///
/// # Errors
/// [`Error::Mismatch`] for a model that the format cannot express, [`Error::Tensor`] for a tensor that is missing,
/// [`Error::Write`] where the file cannot be written.
pub fn write(parts: &Parts, path: &Path, format: Format) -> Result<()> {
    let Parts { config, tokenizer, chat_template, .. } = parts;
    let refuse = |what: String| Error::mismatch(parts.checkpoint.path(), what, "what GGUF can express");
    let architecture = super::ARCHITECTURES.iter().find(|(_, family)| *family == config.family);
    let (name, _) = architecture.ok_or_else(|| refuse(format!("the family {:?}", config.family)))?;
    let mut entries = vec![
        ("general.architecture".to_owned(), Value::Text((*name).to_owned())),
        ("general.alignment".to_owned(), Value::Integer(ALIGNMENT as i128)),
        ("general.quantization_version".to_owned(), Value::Integer(2)),
    ];
    entries.extend(config::entries(config).map_err(refuse)?);
    entries.extend(vocabulary::entries(tokenizer, config).map_err(refuse)?);
    if let Some(template) = chat_template {
        entries.push(("tokenizer.chat_template".to_owned(), Value::Text(template.clone())));
    }
    let stored = stored(parts, format)?;
    let head = head(&entries, &stored);
    fill_atomically(path, |file| {
        let mut file = std::io::BufWriter::with_capacity(1 << 20, file);
        file.write_all(&head)?;
        for stored in &stored {
            let bytes = stored.bytes(config);
            file.write_all(&bytes)?;
            file.write_all(&vec![0; padding(bytes.len())])?;
        }
        file.flush()
    })
    .map_err(Error::write(path))
}

/// A tensor on its way into the file.
struct Stored<'a> {
    name: String,
    parameter: Option<Parameter>,
    tensor: std::borrow::Cow<'a, Tensor>,
    format: Format,
}

impl Stored<'_> {
    fn size(&self) -> usize {
        self.tensor.rows() * self.format.row_bytes(self.tensor.columns()).unwrap_or(0)
    }

    fn bytes(&self, config: &DecoderConfig) -> Vec<u8> {
        let turned = self.parameter.as_ref().is_some_and(|parameter| turns(parameter, config));
        if self.tensor.format() == self.format && !turned {
            return self.tensor.bytes().to_vec();
        }
        let mut floats = self.tensor.floats();
        if turned {
            let bias = self.tensor.shape().len() == 1;
            floats = to_neighbours(&floats, config.head_width, if bias { 1 } else { self.tensor.columns() });
        }
        // The format was chosen so that rows are whole blocks.
        quantize(self.format, &floats, self.tensor.columns()).unwrap_or_default()
    }
}

/// Whether rows must be brought into neighbouring pairs.
fn turns(parameter: &Parameter, config: &DecoderConfig) -> bool {
    let from_halves = config.ropes.first().is_some_and(|rope| !rope.interleaved);
    interleaved(config) && from_halves && matches!(parameter.role, Role::Query | Role::Key)
}

/// Rows `i` and `i + half` of each head become the neighbours `2i` and `2i + 1`.
pub(crate) fn to_neighbours(rows: &[f32], head_width: usize, columns: usize) -> Vec<f32> {
    let half = head_width / 2;
    rows.chunks_exact(head_width * columns)
        .flat_map(|head| {
            (0..head_width).flat_map(move |row| {
                let from = row / 2 + row % 2 * half;
                head[from * columns..][..columns].iter().copied()
            })
        })
        .collect()
}

/// The inverse of [`to_neighbours`].
pub(crate) fn to_halves(rows: &[f32], head_width: usize, columns: usize) -> Vec<f32> {
    let half = head_width / 2;
    rows.chunks_exact(head_width * columns)
        .flat_map(|head| {
            (0..head_width).flat_map(move |row| {
                let from = if row < half { 2 * row } else { 2 * (row - half) + 1 };
                head[from * columns..][..columns].iter().copied()
            })
        })
        .collect()
}

fn stored(parts: &Parts, format: Format) -> Result<Vec<Stored<'_>>> {
    let config = &parts.config;
    let partial = config.ropes.iter().any(|rope| rope.dimensions != config.head_width);
    let mut list = Vec::new();
    for parameter in config.parameters() {
        let tensor = parts.checkpoint.tensors().get(&parameter.name).ok_or_else(|| {
            let expected = format!("{:?}", parameter.shape);
            Error::tensor(parts.checkpoint.path(), &parameter.name, "no such tensor", expected)
        })?;
        if partial && turns(&parameter, config) {
            let got = "heads of which a part is rotated";
            return Err(Error::mismatch(parts.checkpoint.path(), got, "heads that are rotated as a whole"));
        }
        let columns = tensor.columns();
        let format = match (parameter.shape.len(), format.row_bytes(columns)) {
            (2.., Some(_)) => format,
            (2.., None) => Format::F16,
            _ => Format::F32,
        };
        let name = tensor_name(parameter.role, parameter.layer, parameter.bias);
        let tensor = std::borrow::Cow::Borrowed(tensor);
        list.push(Stored { name, parameter: Some(parameter), tensor, format });
    }
    if let Some(divisors) = divisors(config) {
        let tensor = std::borrow::Cow::Owned(Tensor::of_floats(vec![divisors.len()], divisors));
        list.push(Stored {
            name: "rope_freqs.weight".to_owned(),
            parameter: None,
            tensor,
            format: Format::F32,
        });
    }
    Ok(list)
}

/// What plain frequencies are divided by, where that is how positions are stretched.
fn divisors(config: &DecoderConfig) -> Option<Vec<f32>> {
    let rope = config.ropes.first()?;
    match &rope.stretch {
        Stretch::Llama3 { .. } => {
            let plain = crate::Rope::plain(rope.theta, rope.dimensions).inverse_frequencies(0);
            Some(plain.into_iter().zip(rope.inverse_frequencies(0)).map(|(plain, own)| plain / own).collect())
        }
        Stretch::LongRope { short, .. } => Some(short.iter().map(|&divisor| divisor as f32).collect()),
        _ => None,
    }
}

fn padding(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT) - length
}

/// Everything before the first tensor's numbers.
fn head(entries: &[(String, Value)], tensors: &[Stored<'_>]) -> Vec<u8> {
    let mut head = Vec::from(*b"GGUF");
    head.extend(3u32.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend((entries.len() as u64).to_le_bytes());
    for (key, value) in entries {
        put_text(&mut head, key);
        put_value(&mut head, key, value);
    }
    let mut offset = 0u64;
    for stored in tensors {
        put_text(&mut head, &stored.name);
        let shape = stored.tensor.shape();
        head.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|&extent| head.extend((extent as u64).to_le_bytes()));
        head.extend(format_number(stored.format).to_le_bytes());
        head.extend(offset.to_le_bytes());
        offset += (stored.size() + padding(stored.size())) as u64;
    }
    head.resize(head.len() + padding(head.len()), 0);
    head
}

fn put_text(to: &mut Vec<u8>, text: &str) {
    to.extend((text.len() as u64).to_le_bytes());
    to.extend(text.as_bytes());
}

/// The types that other readers expect: unsigned numbers of 32 bits, floats of 32 bits, kinds of tokens as signed.
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
            let whole = key.ends_with("token_type");
            kind(to, 9);
            kind(to, if whole { 5 } else { 6 });
            to.extend((numbers.len() as u64).to_le_bytes());
            for number in numbers {
                if whole {
                    to.extend((*number as i32).to_le_bytes());
                } else {
                    to.extend((*number as f32).to_le_bytes());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_become_neighbours_and_again_halves() {
        let rows: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let turned = to_neighbours(&rows, 4, 2);
        assert_eq!(turned[..8], [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
        assert_eq!(to_halves(&turned, 4, 2), rows);
    }
}
