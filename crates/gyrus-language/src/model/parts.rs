//! A model in parts, and the model that they make.

use gyrus_formats::Checkpoint;

use crate::{Adapter, ChatTemplate, Constraints, Decoder, DecoderConfig, Result, Sampling, Tokenizer};

/// A decoder with its tokenizer.
#[derive(Clone, Debug)]
pub struct Model {
    /// The network.
    pub decoder: Decoder,
    /// The way from text to tokens and back.
    pub tokenizer: Tokenizer,
    /// How its makers recommend to choose tokens.
    pub recommended: Sampling,
    /// The template that turns a conversation into text, where there is one.
    pub chat_template: Option<String>,
}

/// What a file or folder holds, before it becomes a network: converters go on from here.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The shape of the decoder.
    pub config: DecoderConfig,
    /// Its weights.
    pub checkpoint: Checkpoint,
    /// The way from text to tokens and back.
    pub tokenizer: Tokenizer,
    /// How its makers recommend to choose tokens.
    pub recommended: Sampling,
    /// The template that turns a conversation into text, where there is one.
    pub chat_template: Option<String>,
}

impl Model {
    /// This model's vocabulary, prepared to bind texts to JSON schemas.
    ///
    /// # Errors
    /// As [`Constraints::new`].
    pub fn constraints(&self) -> Result<Constraints> {
        Constraints::new(&self.tokenizer, self.decoder.config())
    }

    /// The template that turns a conversation into text; none if the model has none.
    ///
    /// # Errors
    /// As [`ChatTemplate::new`].
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>> {
        compiled(self.chat_template.as_deref(), &self.tokenizer, self.decoder.config())
    }
}

fn compiled(
    template: Option<&str>,
    tokenizer: &Tokenizer,
    config: &DecoderConfig,
) -> Result<Option<ChatTemplate>> {
    let text = |token: Option<u32>| token.and_then(|token| tokenizer.text(token)).unwrap_or_default();
    let (begin, end) = (text(config.beginning_of_text), text(config.end_of_text.first().copied()));
    template.map(|template| ChatTemplate::new(template, &begin, &end)).transpose()
}

impl Parts {
    /// The model that these are the parts of.
    ///
    /// # Errors
    /// As [`Decoder::new`].
    pub fn build(self) -> Result<Model> {
        let Self { config, checkpoint, tokenizer, recommended, chat_template } = self;
        Ok(Model { decoder: Decoder::new(config, checkpoint)?, tokenizer, recommended, chat_template })
    }

    /// The same with what an adapter adds.
    ///
    /// # Errors
    /// As [`Decoder::with_adapter`].
    pub fn build_with(self, adapter: &Adapter) -> Result<Model> {
        let Self { config, checkpoint, tokenizer, recommended, chat_template } = self;
        let decoder = Decoder::with_adapter(config, checkpoint, adapter)?;
        Ok(Model { decoder, tokenizer, recommended, chat_template })
    }

    /// The template that turns a conversation into text; none if the model has none.
    ///
    /// # Errors
    /// As [`ChatTemplate::new`].
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>> {
        compiled(self.chat_template.as_deref(), &self.tokenizer, &self.config)
    }
}
