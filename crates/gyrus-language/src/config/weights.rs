//! A decoder's tensors in a checkpoint: taken out, replaced, rounded, and the check that they are those which the
//! configuration asks for: none missing, none left over, each of its shape.

use gyrus_formats::{Checkpoint, Format, Tensor};

use crate::config::Parameter;
use crate::{DecoderConfig, Error, Family, Result};

impl Parameter {
    /// Takes this tensor out of a checkpoint; it must be there, with its shape.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Tensor`] where it is not.
    pub fn take_from(&self, checkpoint: &mut Checkpoint) -> Result<Tensor> {
        let name = self.name_in(checkpoint).to_owned();
        Ok(checkpoint.take(&name, &self.shape)?)
    }

    /// Puts another tensor in its place.
    pub(crate) fn replace_in(&self, checkpoint: &mut Checkpoint, tensor: Tensor) {
        let name = self.name_in(checkpoint).to_owned();
        checkpoint.insert(&name, tensor);
    }

    /// What it is called there: GPT-2 was published without the name of its outermost module.
    fn name_in(&self, checkpoint: &Checkpoint) -> &str {
        let short = self.name.strip_prefix("transformer.").unwrap_or(&self.name);
        let has = |name: &str| checkpoint.tensors().contains_key(name);
        if !has(&self.name) && has(short) { short } else { &self.name }
    }
}

impl DecoderConfig {
    /// The same checkpoint with the products within the layers rounded to `format`, where their rows are whole blocks of
    /// it.
    #[must_use]
    pub fn rounded(&self, mut checkpoint: Checkpoint, format: Format) -> Checkpoint {
        for parameter in self.parameters().iter().filter(|parameter| parameter.can_be_adapted()) {
            let rounded = checkpoint.tensors().get(&parameter.name).map(|tensor| tensor.to_format(format));
            if let Some(tensor) = rounded.filter(|_| !parameter.transposed) {
                checkpoint.insert(&parameter.name, tensor);
            }
        }
        checkpoint
    }

    /// Fails if a tensor was not taken out of the checkpoint that would change the result.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Tensor`] that names it.
    pub fn check_all_taken(&self, checkpoint: &Checkpoint) -> Result<()> {
        let harmless = |name: &str| {
            // Tables that follow from the configuration, which old files hold as well.
            name.ends_with(".rotary_emb.inv_freq")
                || self.family == Family::Gpt2
                    && (name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"))
                || self.tied && name == "lm_head.weight"
        };
        match checkpoint.tensors().keys().find(|name| !harmless(name)) {
            Some(name) => {
                let expected = "only tensors that the configuration speaks of";
                Err(Error::tensor(checkpoint.path(), name, "a tensor that would go unused", expected))
            }
            None => Ok(()),
        }
    }
}
