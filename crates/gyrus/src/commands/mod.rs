//! The verbs.

mod fit;
pub(crate) mod learn;
pub(crate) mod predict;
mod recipe;
mod report;
mod time;
