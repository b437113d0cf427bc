//! ONNX files as networks (<https://onnx.ai>, operators of opset 7 to 22): what a blueprint can say becomes one; an operator
//! that it cannot say is refused with the name of its node.
//!
//! The batch axis is left out. Nodes are named after their weights (`conv1.weight` belongs to `conv1`), otherwise after their
//! outputs. A Softmax or LogSoftmax at the end is left out, because scores become probabilities where they are shown.
//!
//! Files are bounded, read without running anything, and checked: numbers that are stored beside the file must lie in its
//! folder, an input that no earlier node makes (as in a cycle) is refused, and so are tensors whose bytes do not fit their shape.

mod graph;
mod proto;
mod tensor;

use std::path::Path;

use gyrus_blueprint::Blueprint;
use gyrus_files::{State, read_bounded};
use prost::Message as _;

use crate::{Error, Result};

/// The longest file: what a protobuf message may hold.
const MAXIMUM_BYTES: u64 = (1 << 31) - 1;

/// Reads a file.
///
/// # Errors
/// [`Error::Onnx`] with the node, and what the blueprint is refused for.
pub fn read(path: &Path) -> Result<(Blueprint, State)> {
    parse(path, &read_bounded(path, MAXIMUM_BYTES)?)
}

/// [`read`] of bytes in memory; `path` is for messages, and for numbers that are stored beside the file.
///
/// # Errors
/// As there.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<(Blueprint, State)> {
    let wrong = |problem: String| Error::Onnx { path: path.to_owned(), node: String::new(), problem };
    let model = proto::Model::decode(bytes).map_err(|error| wrong(format!("no ONNX model: {error}")))?;
    let graph = model.graph.ok_or_else(|| wrong("no ONNX model: it has no graph".to_owned()))?;
    graph::Import::new(path, &graph)?.run()
}
