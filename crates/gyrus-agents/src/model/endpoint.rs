//! A model behind an OpenAI-compatible HTTP endpoint.

use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::stream::read_body;
use super::{ChatMessage, ChatModel, ChatReply, ChatRequest, ModelError};

/// Tries of a request while the endpoint is busy, and the first pause between them.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);
/// The longest text of an error that is shown, in letters.
const LONGEST_ERROR: usize = 300;

/// A model behind an endpoint such as `http://127.0.0.1:8080/v1`, as OpenAI, llama.cpp, vLLM, Ollama and `gyrus serve` have it.
pub struct Endpoint {
    agent: Agent,
    address: String,
    model: String,
    key: Option<String>,
    /// Whether it takes a JSON schema, and the request for usage in a stream; false once it refused them.
    takes_schema: bool,
    takes_options: bool,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of logs.
        f.debug_struct("Endpoint")
            .field("address", &self.address)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// The model `model` at `url`, which ends before `/chat/completions`. An answer may take `seconds`.
    #[must_use]
    pub fn new(url: &str, model: &str, key: Option<String>, seconds: f64) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let seconds = if seconds.is_finite() { seconds.clamp(1.0, 86_400.0) } else { 86_400.0 };
        let config = Agent::config_builder()
            .tls_config(tls)
            .user_agent(concat!("gyrus/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_global(Some(Duration::from_secs_f64(seconds)));
        let address = url.trim_end_matches('/').trim_end_matches("/chat/completions");
        let model = if model.is_empty() { "default" } else { model };
        Self {
            agent: config.build().into(),
            address: format!("{address}/chat/completions"),
            model: model.to_owned(),
            key: key.filter(|key| !key.is_empty()),
            takes_schema: true,
            takes_options: true,
        }
    }

    /// Whether the endpoint still knows the beginning of a prompt of about `tokens` tokens. Some cut it silently, and then
    /// answer questions whose sources they never saw: a word at the beginning must come back.
    ///
    /// # Errors
    /// If no answer comes.
    pub fn remembers(&mut self, tokens: u64) -> Result<bool, ModelError> {
        const WORD: &str = "heliotrope-4717";
        // "lorem ipsum dolor " is about 5 tokens in most vocabularies.
        let filler =
            "lorem ipsum dolor ".repeat(usize::try_from(tokens / 5).unwrap_or(usize::MAX).min(1 << 20));
        let text =
            format!("The password is {WORD}.\n\n{filler}\n\nWhat is the password? Answer with it alone.");
        let messages = vec![ChatMessage::new("user", text)];
        let request = ChatRequest { purpose: "probe".to_owned(), messages, schema: None, most_tokens: 64 };
        match self.complete(&request) {
            Ok(reply) => Ok(reply.text.contains(WORD)),
            // An honest endpoint refuses what is too long.
            Err(ModelError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn body(&self, request: &ChatRequest) -> Value {
        let mut body = json!({
            "model": self.model,
            "messages": request.messages,
            "max_tokens": request.most_tokens,
            "temperature": 0,
            "stream": true,
        });
        if self.takes_options {
            body["stream_options"] = json!({"include_usage": true});
        }
        if let Some(schema) = request.schema.as_ref().filter(|_| self.takes_schema) {
            let named = json!({"name": "answer", "schema": schema, "strict": true});
            body["response_format"] = json!({"type": "json_schema", "json_schema": named});
        }
        body
    }

    fn once(&self, request: &ChatRequest) -> Result<ChatReply, (u16, ModelError)> {
        let mut post = self.agent.post(&self.address).header("content-type", "application/json");
        if let Some(key) = &self.key {
            post = post.header("authorization", format!("Bearer {key}"));
        }
        let unreachable = |error: ureq::Error| (0, ModelError::Unreachable(error.to_string()));
        let answer = post.send(self.body(request).to_string()).map_err(unreachable)?;
        let status = answer.status();
        let body = answer.into_body();
        if status.is_success() {
            return read_body(body.into_reader()).map_err(|error| (status.as_u16(), error));
        }
        let text = body.into_with_config().limit(1 << 16).read_to_string().unwrap_or_default();
        let said: Option<Value> = serde_json::from_str(&text).ok();
        let said = said.and_then(|said| {
            let error = said.get("error").unwrap_or(&said);
            error.get("message").unwrap_or(error).as_str().map(str::to_owned)
        });
        let mut text: String = said.unwrap_or(text).trim().chars().take(LONGEST_ERROR).collect();
        if let Some(key) = &self.key {
            text = text.replace(key, "[key]");
        }
        let text = format!("{status}: {text}");
        let busy = matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504 | 529);
        Err((status.as_u16(), if busy { ModelError::Busy(text) } else { ModelError::Refused(text) }))
    }
}

impl ChatModel for Endpoint {
    fn name(&self) -> String {
        self.model.clone()
    }

    fn complete(&mut self, request: &ChatRequest) -> Result<ChatReply, ModelError> {
        let mut busy = 0;
        loop {
            match self.once(request) {
                Ok(reply) => return Ok(reply),
                Err((_, ModelError::Busy(_))) if busy + 1 < TRIES => {
                    sleep(PAUSE * 2u32.pow(busy));
                    busy += 1;
                }
                // Not every endpoint knows every field: first without the schema, then without the options.
                Err((400 | 404 | 415 | 422 | 501, ModelError::Refused(_)))
                    if self.takes_schema && request.schema.is_some() =>
                {
                    self.takes_schema = false;
                }
                Err((400 | 415 | 422 | 501, ModelError::Refused(_))) if self.takes_options => {
                    self.takes_options = false;
                }
                Err((_, error)) => return Err(error),
            }
        }
    }
}
