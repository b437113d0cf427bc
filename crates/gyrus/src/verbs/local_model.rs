//! A model of this machine as agents use it.

use std::path::Path;

use gyrus_agents::model::{ChatModel, ChatReply, ChatRequest, ModelError, without_thoughts};
use gyrus_language::{Cache, Message, Model, Request, Sampling, generate};
use gyrus_tensor::with_threads;

use super::model::open_model;
use crate::{Error, Result};

/// A language model that answers with its most likely text, bound to the schema of the request.
pub(crate) struct LocalModel {
    name: String,
    model: Model,
    threads: usize,
}

impl LocalModel {
    pub(crate) fn open(path: &Path, threads: usize) -> Result<Self> {
        Ok(Self { name: path.display().to_string(), model: open_model(path, None)?, threads })
    }

    fn answer(&self, request: &ChatRequest) -> Result<ChatReply> {
        let Model { decoder, tokenizer, .. } = &self.model;
        let (prompt, begins) = match self.model.chat_template()? {
            Some(template) => {
                let messages: Vec<Message> = request
                    .messages
                    .iter()
                    .map(|message| Message::new(&message.role, &message.content))
                    .collect();
                (template.render(&messages, true)?, false)
            }
            // A model that only continues texts.
            None => {
                let texts: Vec<&str> =
                    request.messages.iter().map(|message| message.content.as_str()).collect();
                (format!("{}\n\nAnswer:\n", texts.join("\n\n")), true)
            }
        };
        let tokens = tokenizer.encode(&prompt, begins)?;
        let constraint = match &request.schema {
            Some(schema) => Some(self.model.constraints()?.json_schema(schema)?),
            None => None,
        };
        let maximum_tokens = usize::try_from(request.most_tokens).unwrap_or(usize::MAX);
        let sampling = Sampling { temperature: 0.0, ..self.model.recommended };
        let asked = Request { sampling, maximum_tokens, constraint, ..Request::default() };
        let mut cache = Cache::new(decoder.config());
        let written = with_threads(self.threads, || {
            generate(decoder, tokenizer, &mut cache, &tokens, &asked, |_| true)
        })??;
        let wrote = tokenizer.encode(&written.text, false)?.len();
        Ok(ChatReply {
            text: without_thoughts(&written.text).to_owned(),
            tokens_in: Some(tokens.len() as u64),
            tokens_out: Some(wrote as u64),
            is_cut: wrote >= maximum_tokens,
        })
    }
}

impl ChatModel for LocalModel {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn complete(&mut self, request: &ChatRequest) -> std::result::Result<ChatReply, ModelError> {
        self.answer(request).map_err(|error: Error| ModelError::Refused(error.to_string()))
    }
}
