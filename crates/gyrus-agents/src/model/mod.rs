//! Language models as agents use them: a request in, one text out, whoever runs the model.
//!
//! Models deviate from what they are asked for, endpoints even more. What comes back is therefore read with patience
//! ([`json_in`] finds the object in prose, fences and `<think>` blocks), and nothing in it is believed: callers check it.

#[cfg(feature = "network")]
mod endpoint;
mod json;
mod scripted;
#[cfg(feature = "network")]
mod stream;

#[cfg(feature = "network")]
pub use endpoint::Endpoint;
pub use json::{json_in, without_thoughts};
pub use scripted::Scripted;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}

impl ChatMessage {
    /// A message of this role.
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Self { role: role.to_owned(), content: content.into() }
    }
}

/// What a model is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// What the request is for, such as `plan`; not sent.
    pub purpose: String,
    /// The conversation.
    pub messages: Vec<ChatMessage>,
    /// The JSON schema that the answer must fit; none for plain text.
    pub schema: Option<Value>,
    /// Most tokens of the answer.
    pub most_tokens: u64,
}

impl ChatRequest {
    /// About how many tokens the messages have: one for each 3 bytes, which is more than most texts need.
    #[must_use]
    pub fn estimated_tokens(&self) -> u64 {
        let bytes: usize = self.messages.iter().map(|message| message.content.len() + 12).sum();
        bytes.div_ceil(3) as u64
    }
}

/// What a model answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatReply {
    /// Its text, without thoughts.
    pub text: String,
    /// Tokens that it read; none where the endpoint does not say.
    pub tokens_in: Option<u64>,
    /// Tokens that it wrote; none where the endpoint does not say.
    pub tokens_out: Option<u64>,
    /// Whether the answer ends before the model was done: at the limit, or because the connection broke.
    pub is_cut: bool,
}

/// Why no answer came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ModelError {
    /// Nobody answers at this address.
    #[error("no answer from the model: {0}")]
    Unreachable(String),
    /// It is overloaded or limits the rate; worth another try.
    #[error("the model is busy: {0}")]
    Busy(String),
    /// It refuses the request.
    #[error("the model refuses the request: {0}")]
    Refused(String),
    /// It answered with something that cannot be read.
    #[error("the model's answer cannot be read: {0}")]
    Unreadable(String),
}

/// A language model that answers requests.
pub trait ChatModel {
    /// Its name, for reports.
    fn name(&self) -> String;

    /// Answers a request.
    ///
    /// # Errors
    /// If no answer comes, or none that can be read.
    fn complete(&mut self, request: &ChatRequest) -> Result<ChatReply, ModelError>;
}
