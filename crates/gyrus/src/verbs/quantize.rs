//! A language model's weights in fewer bits, as a GGUF file.

use std::path::{Path, PathBuf};

use gyrus_formats::Format;
use gyrus_language::{Parts, gguf};
use gyrus_tensor::with_threads;
use serde::{Serialize, Serializer};

use super::model::resolve_model;
use super::serialized;
use crate::observer::{Observer, Stage};
use crate::{Error, Result};

/// Writes a language model with weights of fewer bits, as a GGUF file.
#[derive(Clone, Debug)]
pub struct Quantize {
    /// A folder or file, or a Hugging Face id.
    pub model: PathBuf,
    /// The file to write; its name ends in .gguf.
    pub out: PathBuf,
    /// The format of the weight matrices: one of [`Quantize::FORMATS`].
    pub format: Format,
    /// Replace the file where it exists.
    pub overwrite: bool,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct QuantizeReport {
    /// The model as it was asked for.
    #[serde(serialize_with = "serialized::path")]
    pub model: PathBuf,
    /// The file.
    #[serde(serialize_with = "serialized::path")]
    pub out: PathBuf,
    /// The format of the weight matrices.
    #[serde(serialize_with = "format_name")]
    pub format: Format,
    /// Numbers that the model holds.
    pub weights: usize,
    /// Size of the file.
    pub bytes: u64,
    /// Of the whole file.
    pub bits_per_weight: f64,
    /// What a person should know about the model.
    pub notes: Vec<String>,
}

fn format_name<S: Serializer>(format: &Format, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&format.name().to_lowercase())
}

impl Quantize {
    /// The formats that can be written, under their names in ggml.
    pub const FORMATS: [(&str, Format); 9] = [
        ("f16", Format::F16),
        ("bf16", Format::BF16),
        ("q8_0", Format::Q8_0),
        ("q6_k", Format::Q6_K),
        ("q5_1", Format::Q5_1),
        ("q5_0", Format::Q5_0),
        ("q4_k", Format::Q4_K),
        ("q4_1", Format::Q4_1),
        ("q4_0", Format::Q4_0),
    ];
    /// Default format: 8 bits.
    pub const FORMAT: (&str, Format) = Self::FORMATS[2];

    /// To 8 bits (q8_0), on all cores; an existing file is not replaced.
    pub fn new(model: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self { model: model.into(), out: out.into(), format: Self::FORMAT.1, overwrite: false, threads: 0 }
    }

    /// In this format.
    #[must_use]
    pub fn format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Writes the file. The observer sees how far it is; it cannot stop it.
    ///
    /// # Errors
    /// If there is no such model, the file exists, or it cannot be written.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<QuantizeReport> {
        with_threads(self.threads, || self.write(observer))?
    }

    fn write(&self, observer: &mut dyn Observer) -> Result<QuantizeReport> {
        let out = &self.out;
        if out.extension().is_none_or(|extension| extension != "gguf") {
            return Err(Error::Request(format!("{} does not end in .gguf", out.display())));
        }
        if out.exists() && !self.overwrite {
            return Err(Error::Request(format!("{} exists; --overwrite replaces it", out.display())));
        }
        let parts = Parts::open(&resolve_model(&self.model)?)?;
        gguf::write_watched(&parts, out, self.format, &mut |done, total| {
            observer.stage(&Stage { name: "writing weights", done, total });
        })?;
        let parameters = parts.config.parameters();
        let weights: usize = parameters.iter().map(|p| p.shape.iter().product::<usize>()).sum();
        let bytes = size(out)?;
        Ok(QuantizeReport {
            model: self.model.clone(),
            out: out.clone(),
            format: self.format,
            weights,
            bytes,
            bits_per_weight: 8.0 * bytes as f64 / weights.max(1) as f64,
            notes: parts.notes,
        })
    }
}

fn size(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path).map_err(Error::io("read", path))?.len())
}
