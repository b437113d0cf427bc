//! Writing a model as a GGUF file. Weight matrices use the requested format if their rows are whole blocks of it, otherwise
//! 16-bit floats; normalizations and biases stay 32-bit floats.

use std::path::Path;

use gyrus_formats::gguf::{self, ALIGNMENT, Description, Value};
use gyrus_formats::{Format, Tensor};
use gyrus_kernels::stored::quantize;

use super::{config, interleaved, tensor_name, vocabulary};
use crate::config::rope::interleaved_rows;
use crate::config::{Parameter, Role};
use crate::model::{Parts, templates};
use crate::{DecoderConfig, Error, Result, RopeScaling};

/// Writes a model to `path`, with weight matrices in `format`.
///
/// # Errors
/// [`gyrus_formats::Error::Mismatch`] if GGUF cannot express the model, [`gyrus_formats::Error::Tensor`] for a missing tensor,
/// [`gyrus_formats::Error::Write`] if the file cannot be written.
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
    entries.extend(chat_template.iter().flat_map(templates::entries));
    let stored = stored(parts, format)?;
    let descriptions: Vec<Description> = stored.iter().map(Stored::description).collect();
    Ok(gguf::write(path, &entries, &descriptions, |place| stored[place].bytes(config))?)
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

/// Whether rows must be interleaved.
fn is_reordered(parameter: &Parameter, config: &DecoderConfig) -> bool {
    let from_halves = config.ropes.first().is_some_and(|rope| !rope.interleaved);
    interleaved(config) && from_halves && matches!(parameter.role, Role::Query | Role::Key)
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

/// The divisors of plain frequencies, if the RoPE scaling can be expressed by them.
fn divisors(config: &DecoderConfig) -> Option<Vec<f32>> {
    let rope = config.ropes.first()?;
    match &rope.scaling {
        RopeScaling::Llama3 { .. } => {
            let plain = crate::Rope::plain(rope.theta, rope.dimensions).inverse_frequencies(0);
            Some(plain.into_iter().zip(rope.inverse_frequencies(0)).map(|(plain, own)| plain / own).collect())
        }
        RopeScaling::LongRope { short, .. } => Some(short.iter().map(|&divisor| divisor as f32).collect()),
        _ => None,
    }
}
