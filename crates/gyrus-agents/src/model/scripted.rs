//! A model that a test plays.

use super::{ChatModel, ChatReply, ChatRequest, ModelError};

/// Answers with a function, so that a test knows what the model says.
pub struct Scripted<F> {
    name: String,
    answer: F,
    /// How many requests came.
    pub calls: usize,
}

impl<F: FnMut(&ChatRequest) -> Result<String, ModelError>> Scripted<F> {
    /// A model of this name that answers with `answer`.
    pub fn new(name: &str, answer: F) -> Self {
        Self { name: name.to_owned(), answer, calls: 0 }
    }
}

impl<F: FnMut(&ChatRequest) -> Result<String, ModelError>> ChatModel for Scripted<F> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn complete(&mut self, request: &ChatRequest) -> Result<ChatReply, ModelError> {
        self.calls += 1;
        let text = (self.answer)(request)?;
        Ok(ChatReply { text, ..ChatReply::default() })
    }
}
