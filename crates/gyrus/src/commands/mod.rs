//! The verbs on the command line: arguments in, the library's report out, as sentences or JSON.

pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod embed;
mod generation;
mod help;
pub(crate) mod inspect;
pub(crate) mod learn;
mod learn_language;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod predict;
pub(crate) mod pull;
pub(crate) mod quantize;
pub(crate) mod run;
pub(crate) mod see;
mod see_summary;
pub(crate) mod serve;
pub(crate) mod simulate;
mod simulate_summary;
mod simulate_watch;
pub(crate) mod spike;
mod spike_summary;
mod spiking;
pub(crate) mod tokenize;
pub(crate) mod tune;
mod values;
pub(crate) mod write;
