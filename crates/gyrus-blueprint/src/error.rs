//! Everything that can be wrong with a blueprint. Each error names the node, what was found and what was expected.

use std::path::PathBuf;

use crate::Shape;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a blueprint was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // The messages explain the fields.
pub enum Error {
    #[error("the blueprint has {count} nodes; at most {limit} are accepted")]
    TooManyNodes { count: usize, limit: usize },
    #[error("the blueprint has {count} edges; at most {limit} are accepted")]
    TooManyEdges { count: usize, limit: usize },
    #[error(
        "node name {name:?} cannot be used: it {problem}; expected 1 to {limit} bytes without control \
         characters or `/`"
    )]
    InvalidName { name: String, problem: &'static str, limit: usize },
    #[error(
        "two nodes are named `{node}` (nodes {first} and {second}, counted from 0); names must be unique"
    )]
    DuplicateName { node: String, first: usize, second: usize },
    #[error("the edge from `{from}` to `{to}` names a node that does not exist: `{missing}`")]
    UnknownEdgeEnd { from: String, to: String, missing: String },
    #[error("the edge from node {from} to node {to} points outside the {nodes} nodes (counted from 0)")]
    EdgeOutOfRange { from: usize, to: usize, nodes: usize },
    #[error(
        "the edge from `{from}` to `{to}` is given twice; to add a node's output twice, use a Scale node"
    )]
    DuplicateEdge { from: String, to: String },
    #[error("there is no {kind} node; a blueprint has exactly one")]
    Missing { kind: &'static str },
    #[error("`{first}` and `{second}` are both {kind} nodes; a blueprint has exactly one")]
    Several { kind: &'static str, first: String, second: String },
    #[error("node `{node}` is the Input and takes no edge, but `{from}` leads into it")]
    EdgeIntoInput { node: String, from: String },
    #[error("node `{node}` is the Output and feeds nothing, but an edge leads from it to `{to}`")]
    EdgeFromOutput { node: String, to: String },
    #[error("node `{node}` cannot be reached from the Input; lead an edge into it or remove it")]
    Unreachable { node: String },
    #[error("node `{node}` does not lead to the Output; lead an edge from it or remove it")]
    DeadEnd { node: String },
    #[error(
        "these nodes form a cycle without a neuron or a Delay: {}; edges must lead forward, or through a node with a \
         state in time",
        cycle_text(.nodes)
    )]
    Cycle { nodes: Vec<String> },
    #[error(
        "node `{node}` adds up its inputs, so their shapes must be equal: `{first}` gives {first_shape}, \
         `{second}` gives {second_shape}"
    )]
    SumMismatch { node: String, first: String, first_shape: Shape, second: String, second_shape: Shape },
    #[error("node `{node}` ({kind}) expects an input of shape {expected}, got {got}{hint}")]
    WrongRank { node: String, kind: &'static str, expected: &'static str, got: Shape, hint: &'static str },
    #[error(
        "node `{node}` ({kind}): the kernel spans {span} elements along the {axis}, more than the padded \
         input's {padded} (input {input})"
    )]
    KernelTooLarge {
        node: String,
        kind: &'static str,
        axis: &'static str,
        span: usize,
        padded: usize,
        input: Shape,
    },
    #[error("node `{node}` ({kind}): {groups} groups do not divide its {channels} {which} channels evenly")]
    GroupsDoNotDivide {
        node: String,
        kind: &'static str,
        groups: usize,
        channels: usize,
        which: &'static str,
    },
    #[error(
        "node `{node}` ({kind}): \"same\" padding needs stride 1, got {stride}; give the padding as a number"
    )]
    SamePaddingWithStride { node: String, kind: &'static str, stride: usize },
    #[error("node `{node}` ({kind}): padding {padding} is more than half of the kernel {kernel}")]
    PoolPaddingTooLarge { node: String, kind: &'static str, padding: usize, kernel: usize },
    #[error("node `{node}` ({kind}): axis {axis} does not exist in an input of shape {input}")]
    AxisOutOfRange { node: String, kind: &'static str, axis: usize, input: Shape },
    #[error("node `{node}` ({kind}): end_axis {end} lies before start_axis {start}")]
    AxesReversed { node: String, kind: &'static str, start: usize, end: usize },
    #[error("node `{node}` ({kind}): {field} is {got}; expected a whole number from {least} to {most}")]
    IntegerOutOfRange {
        node: String,
        kind: &'static str,
        field: &'static str,
        got: usize,
        least: usize,
        most: usize,
    },
    #[error("node `{node}` ({kind}): {field} is {got}; expected {expected}")]
    NumberOutOfRange {
        node: String,
        kind: &'static str,
        field: &'static str,
        got: f64,
        expected: &'static str,
    },
    #[error("node `{node}` ({kind}) has no constant `{constant}`; it has {}", .known.join(", "))]
    UnknownConstant { node: String, kind: &'static str, constant: String, known: Vec<&'static str> },
    #[error(
        "node `{node}` ({kind}): its constant {constant} should have {expected} stored values `{node}.{constant}`, got {got}"
    )]
    MissingConstant { node: String, kind: &'static str, constant: &'static str, expected: usize, got: usize },
    #[error("node `{node}` ({kind}): its {what} of shape {shape} has more than {limit} elements")]
    TooLarge { node: String, kind: &'static str, what: &'static str, shape: Shape, limit: usize },

    #[error("the blueprint is {bytes} bytes long as TOML; at most {limit} are accepted")]
    FileTooLarge { bytes: u64, limit: u64 },
    #[error("line {line}, column {column}: {}{message}", node_text(.node))]
    Toml { line: usize, column: usize, node: Option<String>, message: String },
    #[error("line {line}, column {column}: {source}")]
    At { line: usize, column: usize, source: Box<Error> },
    #[error("the blueprint cannot be written as TOML: {source}")]
    Write { source: toml::ser::Error },
    #[error("cannot read {}: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", .path.display())]
    InFile { path: PathBuf, source: Box<Error> },

    #[error("the file is {bytes} bytes long; at most {limit} are read as NIR")]
    NirTooLarge { bytes: u64, limit: u64 },
    #[error("not a NIR file: {reason}; expected HDF5 that holds a group `node` with a NIRGraph")]
    NotNir { reason: String },
    #[error("`{place}` in the HDF5 file: {problem}")]
    NirData { place: String, problem: String },
    #[error("node `{node}` has the NIR type {found:?}; there are {}", .known.join(", "))]
    UnknownNirType { node: String, found: String, known: &'static [&'static str] },
    #[error("node `{node}` ({kind}): its `{field}` is missing; expected {expected}")]
    NirFieldMissing { node: String, kind: String, field: String, expected: &'static str },
    #[error("node `{node}` ({kind}): its `{field}` is {got}; expected {expected}")]
    NirField { node: String, kind: Box<str>, field: Box<str>, got: String, expected: String },
    #[error("the graph `{graph}` has {count} {ends}, so that {what}; expected one")]
    NirEnds { graph: String, count: usize, ends: &'static str, what: String },
    #[error("node `{node}` ({kind}) has no form in NIR: {reason}")]
    NoNirForm { node: String, kind: &'static str, reason: &'static str },
    #[error("the NIR file cannot be written: {reason}")]
    NirWrite { reason: String },
    #[error("node `{node}` ({kind}): `{node}.{parameter}` should have shape {expected}, got {}", shape_text(.got))]
    ParameterShape {
        node: String,
        kind: &'static str,
        parameter: &'static str,
        expected: Shape,
        got: Option<Shape>,
    },

    #[error("there is no built-in blueprint {name:?}; there are {}", .known.join(", "))]
    UnknownPreset { name: String, known: &'static [&'static str] },
}

impl Error {
    /// The node to change, if the error is about one.
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::InvalidName { name: node, .. }
            | Self::DuplicateName { node, .. }
            | Self::Several { second: node, .. }
            | Self::EdgeIntoInput { node, .. }
            | Self::EdgeFromOutput { node, .. }
            | Self::Unreachable { node }
            | Self::DeadEnd { node }
            | Self::SumMismatch { node, .. }
            | Self::WrongRank { node, .. }
            | Self::KernelTooLarge { node, .. }
            | Self::GroupsDoNotDivide { node, .. }
            | Self::SamePaddingWithStride { node, .. }
            | Self::PoolPaddingTooLarge { node, .. }
            | Self::AxisOutOfRange { node, .. }
            | Self::AxesReversed { node, .. }
            | Self::IntegerOutOfRange { node, .. }
            | Self::NumberOutOfRange { node, .. }
            | Self::UnknownConstant { node, .. }
            | Self::MissingConstant { node, .. }
            | Self::TooLarge { node, .. }
            | Self::UnknownNirType { node, .. }
            | Self::NirFieldMissing { node, .. }
            | Self::NirField { node, .. }
            | Self::NoNirForm { node, .. }
            | Self::ParameterShape { node, .. } => Some(node),
            Self::Cycle { nodes } => nodes.first().map(String::as_str),
            Self::Toml { node, .. } => node.as_deref(),
            Self::At { source, .. } | Self::InFile { source, .. } => source.node(),
            _ => None,
        }
    }
}

/// The names on a cycle, along its edges and back to the first; long cycles are shortened.
fn cycle_text(nodes: &[String]) -> String {
    const SHOWN: usize = 12;
    let mut text: Vec<String> = nodes.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if nodes.len() > SHOWN {
        text.push(format!("… ({} more)", nodes.len() - SHOWN));
    }
    text.extend(nodes.first().map(|name| format!("`{name}`")));
    text.join(" → ")
}

fn shape_text(shape: &Option<Shape>) -> String {
    shape.as_ref().map_or_else(|| "none".to_owned(), Shape::to_string)
}

fn node_text(node: &Option<String>) -> String {
    node.as_ref().map_or_else(String::new, |name| format!("node `{name}`: "))
}
