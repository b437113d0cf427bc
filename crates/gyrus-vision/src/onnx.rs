//! ONNX files as networks (<https://onnx.ai>, operators of opset 7 to 22): what a blueprint can say becomes one; an operator
//! that it cannot say is refused with the name of its node.
//!
//! The batch axis is left out. Nodes are named after their weights (`conv1.weight` belongs to `conv1`), otherwise after their
//! operators or outputs. A Softmax or LogSoftmax at the end is left out, because scores become probabilities where they are shown.
//! What exporters take apart is put together again: attention, GELU, shapes that are computed.
//!
//! Files are bounded, read without running anything, and checked: numbers that are stored beside the file must lie in its
//! folder, an input that no earlier node makes (as in a cycle) is refused, and so are tensors whose bytes do not fit their shape.

mod attention;
mod factors;
mod fold;
mod graph;
mod layers;
mod operators;
mod proto;
mod tensor;
mod tokens;
mod view;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use gyrus_blueprint::Blueprint;
use gyrus_files::{State, read_bounded};
use prost::Message as _;

use crate::{Error, Result};
pub use write::{OPSET, to_bytes};

/// The longest file: what a protobuf message may hold.
const MAXIMUM_BYTES: u64 = (1 << 31) - 1;

/// What a file holds.
#[derive(Clone, Debug)]
pub struct File {
    /// The network.
    pub blueprint: Blueprint,
    /// Its parameters, `<node>.<parameter>`.
    pub parameters: State,
    /// Names and texts that are kept beside it (`metadata_props`).
    pub facts: BTreeMap<String, String>,
}

/// Reads a file.
///
/// # Errors
/// [`Error::Onnx`] with the node, and what the blueprint is refused for.
pub fn read(path: &Path) -> Result<File> {
    parse(path, &read_bounded(path, MAXIMUM_BYTES)?)
}

/// [`read`] of bytes in memory; `path` is for messages, and for numbers that are stored beside the file.
///
/// # Errors
/// As there.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<File> {
    let wrong = |problem: String| Error::Onnx { path: path.to_owned(), node: String::new(), problem };
    let model = proto::Model::decode(bytes).map_err(|error| wrong(format!("no ONNX model: {error}")))?;
    let graph = model.graph.ok_or_else(|| wrong("no ONNX model: it has no graph".to_owned()))?;
    let (blueprint, parameters) = graph::Import::new(path, &graph)?.run()?;
    let facts = model.metadata_props.into_iter().map(|entry| (entry.key, entry.value)).collect();
    Ok(File { blueprint, parameters, facts })
}
