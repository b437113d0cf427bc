//! Requests for `/v1/embeddings`.

use gyrus_language::engine::SentenceInput;

use crate::completions::{Prompt, prompts};
use crate::error::{ApiError, Result};
use crate::fields::Fields;

/// The most texts of a request, as in OpenAI's interface.
const MOST_TEXTS: usize = 2048;

/// A request for embeddings of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingRequest {
    pub(crate) model: String,
    pub(crate) texts: Vec<SentenceInput>,
    /// Whether to return vectors as base64 of little-endian 32-bit floats.
    pub(crate) base64: bool,
    /// The width that the caller expects.
    pub(crate) dimensions: Option<usize>,
}

impl EmbeddingRequest {
    /// Parses the body of a request.
    ///
    /// # Errors
    /// For an invalid request; names the field.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        let model = fields.string("model")?;
        let model = fields.required("model", model)?;
        let of = |prompt| match prompt {
            Prompt::Text(text) => SentenceInput::Text(text),
            Prompt::Tokens(tokens) => SentenceInput::Tokens(tokens),
        };
        let texts = prompts(&mut fields, "input", MOST_TEXTS)?.into_iter().map(of).collect();
        let base64 = match fields.string("encoding_format")?.as_deref() {
            None | Some("float") => false,
            Some("base64") => true,
            Some(_) => return Err(ApiError::field("encoding_format", "another", "float or base64")),
        };
        let dimensions = fields.count("dimensions", 1, u64::from(u32::MAX))?;
        fields.finish()?;
        Ok(Self { model, texts, base64, dimensions })
    }
}
