//! The verbs.

pub(crate) mod chat;
pub(crate) mod embed;
mod export_nir;
mod fit;
pub(crate) mod inspect;
pub(crate) mod learn;
mod learn_text;
mod page_data;
pub(crate) mod predict;
mod predict_nir;
pub(crate) mod quantize;
mod recipe;
mod report;
pub(crate) mod see;
pub(crate) mod serve;
pub(crate) mod spike;
mod time;
pub(crate) mod tune;
pub(crate) mod write;
