//! A network of images as an ONNX file.

use std::path::PathBuf;

use gyrus_files::write_atomically;
use gyrus_vision::onnx::OPSET;
use serde::Serialize;

use super::{pretrained, serialized};
use crate::{Error, Result};

/// Writes a network of images as an ONNX file, which other programs run.
#[derive(Clone, Debug)]
pub struct Convert {
    /// A run folder of `learn`, a model file or folder of another program, or a name on the Hugging Face hub.
    pub model: PathBuf,
    /// The file to write; its name ends in .onnx.
    pub out: PathBuf,
    /// The names of the classes of another program's network, where it does not know them.
    pub classes: Option<PathBuf>,
    /// Replace the file where it exists.
    pub overwrite: bool,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct ConvertReport {
    /// The network as it was asked for.
    #[serde(serialize_with = "serialized::path")]
    pub model: PathBuf,
    /// The file.
    #[serde(serialize_with = "serialized::path")]
    pub out: PathBuf,
    /// The family of networks, or `run`.
    pub family: &'static str,
    /// The version of ONNX's operators.
    pub opset: i64,
    /// Numbers that the network holds.
    pub parameters: usize,
    /// Shape of the input without its batch: channels, height, width.
    pub input: Vec<usize>,
    /// What the outputs are called.
    pub classes: Vec<String>,
    /// Size of the file.
    pub bytes: u64,
}

impl Convert {
    /// This network to this file; an existing file is not replaced.
    pub fn new(model: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self { model: model.into(), out: out.into(), classes: None, overwrite: false }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If there is no such network, it has a node that ONNX has no operators for, or the file cannot be written.
    pub fn run(&self) -> Result<ConvertReport> {
        let out = &self.out;
        if !out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("onnx")) {
            return Err(Error::Request(format!("{} does not end in .onnx", out.display())));
        }
        if out.exists() && !self.overwrite {
            return Err(Error::Request(format!("{} exists; --overwrite replaces it", out.display())));
        }
        let model = pretrained::open(&self.model, self.classes.as_deref())?;
        let bytes = model.to_onnx(out)?;
        write_atomically(out, &bytes).map_err(Error::io("write", out))?;
        let mut input = model.preprocessing.shape();
        input.rotate_right(1);
        Ok(ConvertReport {
            model: self.model.clone(),
            out: out.clone(),
            family: model.family,
            opset: OPSET,
            parameters: model.parameters.values().map(|tensor| tensor.values.len()).sum(),
            input,
            classes: model.classes,
            bytes: bytes.len() as u64,
        })
    }
}
