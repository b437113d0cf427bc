//! An HTTP server for language models with OpenAI's interface: `/v1/chat/completions`, `/v1/responses`, `/v1/completions`,
//! `/v1/embeddings`, `/v1/models`; `/tokenize` and `/detokenize`; `/health` and `/metrics` for operators.
//!
//! [`Service`] holds the engines of `gyrus-language`, [`Server`] binds an address and runs until [`Shutdown`]. Requests are
//! parsed field by field ([`ChatRequest`], [`ResponseRequest`], [`CompletionRequest`],
//! [`EmbeddingRequest`]): an unknown field that would change the
//! answer is refused by name. The engines do not know HTTP, and this crate does not know tensors. Answers are returned as
//! OpenAI's JSON, complete or as server-sent events. Everything is bounded: connections, bodies, messages, the time that a
//! client may take to send them, and the queue.
//!
//! ```
//! use gyrus_serve::{Part, ToolForm, ToolReader};
//!
//! // A model's answer, read as it arrives: the text is passed on, the call is recognized.
//! let form = ToolForm::of_template("{% if tools %}<tool_call>{% endif %}");
//! let mut reader = ToolReader::new(form, false);
//! let mut parts = reader.push("Let me see. <tool_");
//! parts.extend(reader.push("call>{\"name\": \"clock\", \"arguments\": {}}</tool_call>"));
//! parts.extend(reader.finish());
//! assert_eq!(parts[0], Part::Text("Let me see. ".to_owned()));
//! assert_eq!(parts[1], Part::Call { name: "clock".to_owned(), arguments: "{}".to_owned() });
//! ```
//!
//! Serving a model:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use gyrus_language::Model;
//! use gyrus_language::engine::{Engine, EngineOptions};
//! use gyrus_serve::{Server, Service, Shutdown};
//!
//! let model = Arc::new(Model::open("model.gguf".as_ref())?);
//! let options =
//!     EngineOptions { slots: 4, queue: 64, context: 2048, prefix_cache_bytes: 512 << 20, threads: 0 };
//! let service = Service::new(Some(("model".to_owned(), Engine::start(model, options)?)), None)?;
//! Server::bind(service, "127.0.0.1", 8080, None)?.run(&Shutdown::new())?;
//! # Ok::<(), gyrus_serve::Error>(())
//! ```

mod answers;
mod chat;
mod completions;
mod conversation;
mod cors;
mod embeddings;
mod error;
mod fields;
mod handlers;
mod metrics;
mod prepare;
mod reasoning;
mod responses;
mod sampling;
mod server;
mod service;
mod stream;
mod tokens;
mod tools;

pub use chat::ChatRequest;
pub use completions::CompletionRequest;
pub use embeddings::EmbeddingRequest;
pub use error::{ApiError, Error, Result};
pub use responses::ResponseRequest;
pub use server::{Server, Shutdown};
pub use service::Service;
pub use tools::{Part, ToolForm, ToolReader};
