//! Writing: the logits of a model become tokens, one after the other, until a token or a text ends them.

mod constraint;
mod generate;
mod request;
mod sampling;
mod sequence;

pub use constraint::{Constraint, Constraints};
pub use generate::{Written, generate};
pub use request::{Ending, Request};
pub use sampling::Sampling;
pub use sequence::Choice;
pub(crate) use sequence::Writing;
