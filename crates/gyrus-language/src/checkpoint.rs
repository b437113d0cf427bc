//! The tensors of a model by their Hugging Face names, and the check that they are those which a configuration asks
//! for: none missing, none left over, each of its shape.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gyrus_files::hexadecimal;
use sha2::{Digest, Sha256};

use crate::parameters::Parameter;
use crate::tensor::Tensor;
use crate::{DecoderConfig, Error, Family, Format, Result};

/// Tensors by name, and where they come from.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Tensors under Hugging Face's names, read from `path`.
    #[must_use]
    pub fn new(path: &Path, tensors: BTreeMap<String, Tensor>) -> Self {
        Self { path: path.to_owned(), tensors }
    }

    /// The file or folder that they were read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors.
    #[must_use]
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// SHA-256 over names, formats, shapes and weights, in hexadecimal. Reads all of them.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for (name, tensor) in &self.tensors {
            // The description ends in a character that is in no name, so that parts cannot be taken for others.
            hash.update(format!("{name:?} {} {:?}\0", tensor.format().name(), tensor.shape()));
            hash.update(tensor.bytes());
        }
        hexadecimal(&hash.finalize())
    }

    /// Takes a tensor out; it must be there, with this shape.
    ///
    /// # Errors
    /// [`Error::Tensor`] where it is not.
    pub fn take(&mut self, parameter: &Parameter) -> Result<Tensor> {
        self.take_named(&parameter.name, &parameter.shape)
    }

    /// The same by name and shape.
    pub(crate) fn take_named(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        // GPT-2 was published without the name of its outermost module.
        let short = name.strip_prefix("transformer.").unwrap_or(name);
        let found = self.tensors.remove(name).or_else(|| self.tensors.remove(short));
        let tensor =
            found.ok_or_else(|| Error::tensor(&self.path, name, "no such tensor", format!("{shape:?}")))?;
        if tensor.shape() != shape {
            let got = format!("the shape {:?}", tensor.shape());
            return Err(Error::tensor(&self.path, name, got, format!("{shape:?}")));
        }
        Ok(tensor)
    }

    /// The same with the products within the layers rounded to `format`, where their rows are whole blocks of it.
    #[must_use]
    pub fn rounded(mut self, config: &DecoderConfig, format: Format) -> Self {
        for parameter in config.parameters().iter().filter(|parameter| parameter.can_be_adapted()) {
            let rounded = self.tensors.get(&parameter.name).map(|tensor| tensor.to_format(format));
            if let Some(tensor) = rounded.filter(|_| !parameter.transposed) {
                self.tensors.insert(parameter.name.clone(), tensor);
            }
        }
        self
    }

    /// Puts a tensor in the place of another.
    pub(crate) fn replace(&mut self, name: &str, tensor: Tensor) {
        let short = name.strip_prefix("transformer.").unwrap_or(name);
        let name = if self.tensors.contains_key(name) { name } else { short };
        self.tensors.insert(name.to_owned(), tensor);
    }

    /// Fails if something was not taken that would change the result.
    ///
    /// # Errors
    /// [`Error::Tensor`] that names it.
    pub fn finish(self, config: &DecoderConfig) -> Result<()> {
        let harmless = |name: &str| {
            // Tables that follow from the configuration, which old files hold as well.
            name.ends_with(".rotary_emb.inv_freq")
                || config.family == Family::Gpt2
                    && (name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"))
                || config.tied && name == "lm_head.weight"
        };
        match self.tensors.keys().find(|name| !harmless(name)) {
            Some(name) => {
                let expected = "only tensors that the configuration speaks of";
                Err(Error::tensor(&self.path, name, "a tensor that would go unused", expected))
            }
            None => Ok(()),
        }
    }
}
