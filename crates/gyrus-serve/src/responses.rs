//! `/v1/responses`: OpenAI's newer interface over the same engine. The server keeps nothing between requests: whoever goes on
//! with a conversation sends its items again.

mod answer;
mod request;

pub(crate) use answer::ResponseAnswer;
pub use request::ResponseRequest;
