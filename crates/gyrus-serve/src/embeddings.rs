//! Requests for `/v1/embeddings`.

use serde_json::Value;

use crate::error::{ApiError, Result};
use crate::fields::{Fields, kind};

/// Texts of one request: OpenAI's bound.
const MOST_TEXTS: usize = 2048;

/// Texts whose vectors are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingRequest {
    pub(crate) model: String,
    pub(crate) texts: Vec<String>,
    /// Vectors as the base64 of 32-bit floats, lowest byte first.
    pub(crate) base64: bool,
    /// The width that the caller expects.
    pub(crate) dimensions: Option<usize>,
}

impl EmbeddingRequest {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// For what is no such request: names the field.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        let model = fields.string("model")?;
        let model = fields.required("model", model)?;
        let input = fields.value("input");
        let list = match fields.required("input", input)? {
            Value::Array(list) => list,
            one => vec![one],
        };
        if !(1..=MOST_TEXTS).contains(&list.len()) {
            return Err(ApiError::field(
                "input",
                format!("{} texts", list.len()),
                format!("1 to {MOST_TEXTS}"),
            ));
        }
        let text = |value: Value| match value {
            Value::String(text) => Ok(text),
            other => Err(ApiError::field("input", kind(&other), "a string or a list of strings")),
        };
        let texts = list.into_iter().map(text).collect::<Result<_, ApiError>>()?;
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
