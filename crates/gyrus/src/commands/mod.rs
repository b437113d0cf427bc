//! The verbs.

mod fit;
pub(crate) mod learn;
pub(crate) mod predict;
mod recipe;
mod report;
pub(crate) mod spike;
mod time;
