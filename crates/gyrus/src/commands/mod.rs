//! The verbs on the command line: arguments in, the library's report out, as sentences or JSON.

pub(crate) mod ask;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod devices;
pub(crate) mod embed;
mod generation;
mod help;
#[cfg(feature = "documents")]
pub(crate) mod index;
pub(crate) mod inspect;
pub(crate) mod label;
pub(crate) mod learn;
mod learn_language;
mod learn_shapes;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod mcp;
pub(crate) mod predict;
pub(crate) mod publish;
pub(crate) mod pull;
pub(crate) mod quantize;
#[cfg(feature = "documents")]
pub(crate) mod research;
pub(crate) mod run;
pub(crate) mod sculpt;
#[cfg(feature = "documents")]
pub(crate) mod search;
pub(crate) mod see;
mod see_summary;
pub(crate) mod serve;
pub(crate) mod similar;
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
