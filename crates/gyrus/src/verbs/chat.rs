//! A conversation with a language model.
//!
//! The whole conversation is turned into text by the model's own template; of its tokens, those that the model has read
//! already are not read again.

use std::path::PathBuf;

use gyrus_language::{Cache, ChatInput, ChatTemplate, Message, Model, Request, Written, generate};
use serde_json::{Map, Value, json};

use super::model::{open_model, use_chat_template};
use super::write::Generation;
use crate::{Error, Result};

/// Opens a conversation with a language model.
#[derive(Clone, Debug)]
pub struct Chat {
    /// A folder or file, or a Hugging Face id, of a model with a chat template.
    pub model: PathBuf,
    /// What the model reads before the conversation.
    pub system: Option<String>,
    /// A folder with a low-rank adapter of the model.
    pub adapter: Option<PathBuf>,
    /// A file with a chat template, instead of the model's own.
    pub chat_template: Option<PathBuf>,
    /// Variables of the chat template, such as `enable_thinking`.
    pub template_variables: Map<String, Value>,
    /// How tokens are chosen, and when to stop.
    pub generation: Generation,
}

impl Chat {
    /// With this model.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            system: None,
            adapter: None,
            chat_template: None,
            template_variables: Map::new(),
            generation: Generation::default(),
        }
    }

    /// Opens the model. Its answers run on the thread pool of the caller: see [`crate::tensor::with_threads`].
    ///
    /// # Errors
    /// If there is no such model, or it has no chat template.
    pub fn open(&self) -> Result<Conversation> {
        let mut model = open_model(&self.model, self.adapter.as_deref())?;
        if let Some(file) = &self.chat_template {
            use_chat_template(&mut model, file)?;
        }
        let Some(template) = model.chat_template()? else {
            return Err(Error::Request(format!(
                "{} has no chat template: use `gyrus write` to continue a text",
                self.model.display()
            )));
        };
        let end_tokens = model.turn_ends(&template);
        let request = Request { end_tokens, ..self.generation.request(&model)? };
        let mut conversation = Conversation {
            cache: Cache::new(model.decoder.config()),
            variables: self.template_variables.clone(),
            model,
            template,
            request,
            messages: Vec::new(),
            read: Vec::new(),
        };
        conversation.instruct(self.system.as_deref().unwrap_or_default());
        Ok(conversation)
    }
}

/// What was said, and what the model has read of it.
pub struct Conversation {
    model: Model,
    template: ChatTemplate,
    variables: Map<String, Value>,
    request: Request,
    messages: Vec<Message>,
    cache: Cache,
    read: Vec<u32>,
}

impl Conversation {
    /// Everything that was said so far.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Forgets what was said, but not the system message.
    pub fn clear(&mut self) {
        self.messages.retain(|message| message.role == SYSTEM);
    }

    /// Replaces the system message, which the model reads before the conversation; an empty text removes it.
    pub fn instruct(&mut self, system: &str) {
        self.messages.retain(|message| message.role != SYSTEM);
        if !system.is_empty() {
            self.messages.insert(0, Message::new(SYSTEM, system));
        }
    }

    /// Adds what a person says and what the model answers; each piece of the answer goes to `show` once it is certain, until
    /// that returns false. What was said until then is the answer.
    ///
    /// # Errors
    /// If the conversation is longer than the model reads, or the template refuses it. It is then as it was before.
    pub fn answer(&mut self, line: &str, show: impl FnMut(&str) -> bool) -> Result<Written> {
        self.messages.push(Message::new("user", line));
        let written = self.next(show);
        match &written {
            Ok(written) => self.messages.push(Message::new("assistant", &written.text)),
            Err(_) => {
                self.messages.pop();
            }
        }
        written
    }

    fn next(&mut self, show: impl FnMut(&str) -> bool) -> Result<Written> {
        let message = |Message { role, content }: &Message| json!({"role": role, "content": content});
        let messages: Vec<Value> = self.messages.iter().map(message).collect();
        let input = ChatInput { messages: &messages, tools: &[], variables: &self.variables, answer: true };
        let text = self.template.render_input(&input)?;
        let tokens = self.model.tokenizer.encode_chat(&text)?;
        let common = self.read.iter().zip(&tokens).take_while(|(read, token)| read == token).count();
        // At least one token must be read for the model to go on.
        let mut common = common.min(tokens.len().saturating_sub(1)).min(self.cache.positions());
        if !self.cache.truncate(common) {
            (self.cache, common) = (Cache::new(self.model.decoder.config()), 0);
        }
        let Model { decoder, tokenizer, .. } = &self.model;
        // Until it succeeds, nobody knows what the cache holds beyond this.
        self.read.truncate(common);
        let written = generate(decoder, tokenizer, &mut self.cache, &tokens[common..], &self.request, show)?;
        self.read = [&tokens[..], &written.tokens].concat();
        Ok(written)
    }
}

const SYSTEM: &str = "system";
