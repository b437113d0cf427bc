//! Writing a model as a GGUF file. Weight matrices use the requested format if their rows are whole blocks of it, otherwise
//! one with smaller blocks or 16-bit floats; normalizations and biases stay 32-bit floats.

use std::path::Path;

use gyrus_formats::gguf::{self, ALIGNMENT, Description, Value};
use gyrus_formats::{Format, Tensor};
use gyrus_kernels::stored::quantize;

use super::{are_interleaved, config, ropes, tensor_name, vocabulary};
use crate::config::rope::interleaved_rows;
use crate::config::{Parameter, Role};
use crate::model::{Parts, templates};
use crate::{DecoderConfig, Error, Family, Normalization, Result};

/// Writes a model to `path`, with weight matrices in `format`.
///
/// # Errors
/// [`gyrus_formats::Error::Mismatch`] if GGUF cannot express the model, [`gyrus_formats::Error::Tensor`] for a missing tensor,
/// [`gyrus_formats::Error::Write`] if the file cannot be written.
pub fn write(parts: &Parts, path: &Path, format: Format) -> Result<()> {
    write_watched(parts, path, format, &mut |_, _| ())
}

/// As [`write()`]; `progress` receives the weights written so far, and of how many.
///
/// # Errors
/// As [`write()`].
pub fn write_watched(
    parts: &Parts,
    path: &Path,
    format: Format,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
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
    entries.extend(chat_template.iter().flat_map(templates::entries));
    let stored = stored(parts, format)?;
    let descriptions: Vec<Description> = stored.iter().map(Stored::description).collect();
    let weights = |stored: &Stored| stored.tensor.shape().iter().product::<usize>() as u64;
    let (mut written, total) = (0, stored.iter().map(weights).sum());
    Ok(gguf::write(path, &entries, &descriptions, |place| {
        let bytes = stored[place].bytes(config);
        written += weights(&stored[place]);
        progress(written, total);
        bytes
    })?)
}

/// A tensor to be written.
struct Stored<'a> {
    name: String,
    parameter: Option<Parameter>,
    tensor: std::borrow::Cow<'a, Tensor>,
    format: Format,
}

impl Stored<'_> {
    fn description(&self) -> Description {
        Description { name: self.name.clone(), shape: self.tensor.shape().to_vec(), format: self.format }
    }

    fn bytes(&self, config: &DecoderConfig) -> Vec<u8> {
        let reordered = self.parameter.as_ref().is_some_and(|parameter| is_reordered(parameter, config));
        if self.tensor.format() == self.format && !reordered {
            return self.tensor.bytes().to_vec();
        }
        let mut floats = self.tensor.floats();
        if reordered {
            let bias = self.tensor.shape().len() == 1;
            floats =
                interleaved_rows(&floats, config.head_width, if bias { 1 } else { self.tensor.columns() });
        }
        // Rows are whole blocks of the format, which was chosen for that.
        quantize(self.format, &floats, self.tensor.columns()).unwrap_or_default()
    }
}

/// Whether rows must be interleaved. GLM-4's are in every format.
fn is_reordered(parameter: &Parameter, config: &DecoderConfig) -> bool {
    let from_halves = config.ropes.first().is_some_and(|rope| !rope.interleaved);
    let queries_and_keys = matches!(parameter.role, Role::Query | Role::Key);
    are_interleaved(config.family) && config.family != Family::Glm4 && from_halves && queries_and_keys
}

/// The format of a tensor: the one asked for, or where its rows are not whole blocks of it, the one that llama.cpp takes
/// instead, or 16-bit floats.
fn format_of(parameter: &Parameter, columns: usize, asked: Format) -> Format {
    if parameter.shape.len() < 2 || parameter.role == Role::PositionEmbedding {
        return Format::F32;
    }
    let instead = match asked {
        Format::Q4_K => Format::Q5_0,
        Format::Q6_K => Format::Q8_0,
        _ => Format::F16,
    };
    let formats = [asked, instead];
    formats.into_iter().find(|format| format.row_bytes(columns).is_some()).unwrap_or(Format::F16)
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
        if partial && is_reordered(&parameter, config) {
            let got = "partially rotated heads";
            return Err(Error::mismatch(parts.checkpoint.path(), got, "fully rotated heads"));
        }
        let tensor = as_in_file(&parameter, tensor, config);
        let format = format_of(&parameter, tensor.columns(), format);
        let name = tensor_name(parameter.role, parameter.layer, parameter.bias);
        list.push(Stored { name, parameter: Some(parameter), tensor, format });
    }
    for (name, divisors) in config.ropes.first().map(ropes::tensors).unwrap_or_default() {
        let tensor = std::borrow::Cow::Owned(Tensor::of_floats(vec![divisors.len()], divisors));
        list.push(Stored { name: name.to_owned(), parameter: None, tensor, format: Format::F32 });
    }
    Ok(list)
}

/// A tensor as these files have it: outputs before inputs, and with the 1 that is added to Gemma's normalizations.
fn as_in_file<'a>(
    parameter: &Parameter,
    tensor: &'a Tensor,
    config: &DecoderConfig,
) -> std::borrow::Cow<'a, Tensor> {
    let normalization = parameter.shape.len() == 1 && !parameter.bias;
    if parameter.transposed {
        let (inputs, outputs) = (tensor.rows(), tensor.columns());
        let floats = tensor.floats();
        let turned = (0..outputs).flat_map(|output| floats.iter().skip(output).step_by(outputs)).copied();
        std::borrow::Cow::Owned(Tensor::of_floats(vec![outputs, inputs], turned.collect()))
    } else if normalization && config.normalization == Normalization::RmsPlusOne {
        let floats = tensor.floats().into_iter().map(|weight| weight + 1.0).collect();
        std::borrow::Cow::Owned(Tensor::of_floats(tensor.shape().to_vec(), floats))
    } else {
        std::borrow::Cow::Borrowed(tensor)
    }
}
