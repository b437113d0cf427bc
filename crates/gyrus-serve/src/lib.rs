//! Language models behind OpenAI's HTTP interface: `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`,
//! `/v1/models`, and `/health` and `/metrics` for those who run it.
//!
//! Requests are read field by field ([`ChatRequest`], [`CompletionRequest`], [`EmbeddingRequest`]): a field that would change
//! the answer and is not known here is refused by its name. Prepared requests go to the engines of `gyrus-language`, which
//! know no HTTP; this crate knows no tensors. What comes back is turned into OpenAI's JSON, whole or as server-sent events.
//! Everything is bounded: connections, bodies, messages, the time that a client may take to send them, and what waits.

mod answers;
mod chat;
mod completions;
mod embeddings;
mod error;
mod fields;
mod handlers;
mod metrics;
mod sampling;
mod server;
mod service;
mod stream;
mod tools;

pub use chat::ChatRequest;
pub use completions::CompletionRequest;
pub use embeddings::EmbeddingRequest;
pub use error::{ApiError, Error, Result};
pub use server::{Server, Shutdown};
pub use service::Service;
pub use tools::{Part, ToolForm, ToolReader};
