//! Text generation: sampling one token after another from a model's logits until something ends the text.

mod constraint;
mod disjoint;
mod generate;
mod request;
mod sampling;
mod schema;
mod sequence;

pub use constraint::{Constraint, Constraints};
pub use generate::{Written, generate};
pub use request::{Ending, Request};
pub use sampling::Sampling;
pub use sequence::Choice;
pub(crate) use sequence::GeneratedSequence;
