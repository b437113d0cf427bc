//! A decoder's tensors in a checkpoint: taking, replacing and rounding them, and checking that they match the
//! configuration: none missing, none left over, each of its shape.

use gyrus_formats::{Checkpoint, Format, Tensor};

use crate::config::Parameter;
use crate::{DecoderConfig, Error, Family, Result};

impl Parameter {
    /// Removes this tensor from a checkpoint and returns it; it must be there, with its shape.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Tensor`] if it is missing or has another shape.
    pub fn take_from(&self, checkpoint: &mut Checkpoint) -> Result<Tensor> {
        let name = self.name_in(checkpoint).to_owned();
        Ok(checkpoint.take(&name, &self.shape)?)
    }

    /// Replaces it with another tensor.
    pub(crate) fn replace_in(&self, checkpoint: &mut Checkpoint, tensor: Tensor) {
        let name = self.name_in(checkpoint).to_owned();
        checkpoint.insert(&name, tensor);
    }

    /// Its name in the checkpoint: GPT-2 was published without the name of its outermost module.
    fn name_in(&self, checkpoint: &Checkpoint) -> &str {
        let short = self.name.strip_prefix("transformer.").unwrap_or(&self.name);
        let has = |name: &str| checkpoint.tensors().contains_key(name);
        if !has(&self.name) && has(short) { short } else { &self.name }
    }
}

impl DecoderConfig {
    /// The checkpoint with the linear layers inside decoder layers rounded to `format`, where their rows are whole blocks
    /// of it.
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

    /// Fails if the checkpoint still holds a tensor that would change the result.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Tensor`] that names it.
    pub fn check_all_taken(&self, checkpoint: &Checkpoint) -> Result<()> {
        let harmless = |name: &str| {
            // Old files contain tables that follow from the configuration.
            name.ends_with(".rotary_emb.inv_freq")
                || self.family == Family::Gpt2
                    && (name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"))
                || self.tied && name == "lm_head.weight"
        };
        match checkpoint.tensors().keys().find(|name| !harmless(name)) {
            Some(name) => {
                let expected = "only tensors that the configuration mentions";
                Err(Error::tensor(checkpoint.path(), name, "a tensor that would go unused", expected))
            }
            None => Ok(()),
        }
    }
}
