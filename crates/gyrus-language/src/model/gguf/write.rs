//! Writing a model as one file. Matrices take the format that is asked for, where their rows are whole blocks of it, and
//! 16-bit floats elsewhere; normalizations and biases stay 32-bit floats.

use std::path::Path;

use gyrus_formats::gguf::{self, ALIGNMENT, Description, Value};
use gyrus_formats::{Format, Tensor};
use gyrus_kernels::stored::quantize;

use super::{config, interleaved, tensor_name, vocabulary};
use crate::config::rope::interleaved_rows;
use crate::config::{Parameter, Role};
use crate::model::Parts;
use crate::{DecoderConfig, Error, Result, RopeScaling};

/// Writes a model to `path`, its matrices in `format`.
///
/// # Errors
/// [`gyrus_formats::Error::Mismatch`] for a model that the format cannot express, [`gyrus_formats::Error::Tensor`] for a tensor that is missing,
/// [`gyrus_formats::Error::Write`] where the file cannot be written.
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
    let descriptions: Vec<Description> = stored.iter().map(Stored::description).collect();
    Ok(gguf::write(path, &entries, &descriptions, |place| stored[place].bytes(config))?)
}

/// A tensor on its way into the file.
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
        let turned = self.parameter.as_ref().is_some_and(|parameter| turns(parameter, config));
        if self.tensor.format() == self.format && !turned {
            return self.tensor.bytes().to_vec();
        }
        let mut floats = self.tensor.floats();
        if turned {
            let bias = self.tensor.shape().len() == 1;
            floats =
                interleaved_rows(&floats, config.head_width, if bias { 1 } else { self.tensor.columns() });
        }
        // The format was chosen so that rows are whole blocks.
        quantize(self.format, &floats, self.tensor.columns()).unwrap_or_default()
    }
}

/// Whether rows must be brought into neighboring pairs.
fn turns(parameter: &Parameter, config: &DecoderConfig) -> bool {
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
    match &rope.scaling {
        RopeScaling::Llama3 { .. } => {
            let plain = crate::Rope::plain(rope.theta, rope.dimensions).inverse_frequencies(0);
            Some(plain.into_iter().zip(rope.inverse_frequencies(0)).map(|(plain, own)| plain / own).collect())
        }
        RopeScaling::LongRope { short, .. } => Some(short.iter().map(|&divisor| divisor as f32).collect()),
        _ => None,
    }
}
