//! A model, and its parts before they become a network.

use gyrus_formats::Checkpoint;

use crate::{Adapter, ChatTemplates, Constraints, Decoder, DecoderConfig, Result, Sampling, Tokenizer};

/// A decoder with its tokenizer.
#[derive(Clone, Debug)]
pub struct Model {
    /// The network.
    pub decoder: Decoder,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The sampling that its makers recommend.
    pub recommended: Sampling,
    /// The chat templates, if there are any.
    pub chat_template: Option<ChatTemplates>,
    /// What the reader of the model noticed that a person should know.
    pub notes: Vec<String>,
}

/// The content of a model file or folder before it becomes a network; converters start from here.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The shape of the decoder.
    pub config: DecoderConfig,
    /// Its weights.
    pub checkpoint: Checkpoint,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The sampling that its makers recommend.
    pub recommended: Sampling,
    /// The chat templates, if there are any.
    pub chat_template: Option<ChatTemplates>,
    /// What the reader of the model noticed that a person should know.
    pub notes: Vec<String>,
}

impl Model {
    /// This model's vocabulary, prepared for JSON schema constraints.
    ///
    /// # Errors
    /// As [`Constraints::new`].
    pub fn constraints(&self) -> Result<Constraints> {
        Constraints::new(&self.tokenizer, self.decoder.config())
    }
}

impl Parts {
    /// Builds the model.
    ///
    /// # Errors
    /// As [`Decoder::new`].
    pub fn build(self) -> Result<Model> {
        let Self { config, checkpoint, tokenizer, recommended, chat_template, notes } = self;
        Ok(Model { decoder: Decoder::new(config, checkpoint)?, tokenizer, recommended, chat_template, notes })
    }

    /// Builds the model with an adapter.
    ///
    /// # Errors
    /// As [`Decoder::with_adapter`].
    pub fn build_with(self, adapter: &Adapter) -> Result<Model> {
        let Self { config, checkpoint, tokenizer, recommended, chat_template, notes } = self;
        let decoder = Decoder::with_adapter(config, checkpoint, adapter)?;
        Ok(Model { decoder, tokenizer, recommended, chat_template, notes })
    }
}
