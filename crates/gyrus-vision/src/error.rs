//! The error type of this crate: why a model could not be opened or used, or a network not be looked into.

use std::path::PathBuf;

/// What functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a model could not be opened or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// From `gyrus-formats`.
    #[error(transparent)]
    Formats(#[from] gyrus_formats::Error),
    /// From `gyrus-files`.
    #[error(transparent)]
    Files(#[from] gyrus_files::Error),
    /// From `gyrus-blueprint`.
    #[error(transparent)]
    Blueprint(#[from] gyrus_blueprint::Error),
    /// From `gyrus-nn`.
    #[error(transparent)]
    Network(#[from] gyrus_nn::Error),
    /// From `gyrus-data`.
    #[error(transparent)]
    Data(#[from] gyrus_data::Error),
    /// The path is no model file and no folder with one.
    #[error(
        "{} is no model: expected a .safetensors, .pth, .pt, .th, .bin or .onnx file, or a folder with model.safetensors",
        path.display()
    )]
    NoModel {
        /// The path.
        path: PathBuf,
    },
    /// The tensors are those of no known family.
    #[error(
        "{}: no known vision network has such tensors ({first}{}); known are {known}",
        path.display(),
        if *count > 1 { format!(" and {} more", count - 1) } else { String::new() }
    )]
    UnknownFamily {
        /// The file or folder.
        path: PathBuf,
        /// The name of its first tensor.
        first: String,
        /// How many tensors there are.
        count: usize,
        /// The known families.
        known: String,
    },
    /// Tensors are missing, left over, or have another shape than the family's network needs.
    #[error("{}, read as {family}: {}", path.display(), listed(missing, extra, misshapen))]
    Tensors {
        /// The file or folder.
        path: PathBuf,
        /// The family.
        family: &'static str,
        /// Names that the network needs and the checkpoint lacks.
        missing: Vec<String>,
        /// Names that the checkpoint has and the network does not need.
        extra: Vec<String>,
        /// Names with the shape found and the shape needed.
        misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
    },
    /// An ONNX file is damaged, or holds what a blueprint cannot say.
    #[error("{}{}: {problem}", path.display(), if node.is_empty() { String::new() } else { format!(", node '{node}'") })]
    Onnx {
        /// The file.
        path: PathBuf,
        /// The node; empty where it is about the whole graph.
        node: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A field of a configuration is wrong.
    #[error("{}, field `{field}`: got {got}, expected {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field; nested ones are joined by dots.
        field: String,
        /// What was found there.
        got: String,
        /// What was expected.
        expected: String,
    },
    /// An image or a batch of them does not have the network's input shape.
    #[error("got {got} numbers, expected a multiple of the {expected} numbers of the network's input")]
    InputLength {
        /// Numbers given.
        got: usize,
        /// Numbers of one input.
        expected: usize,
    },
    /// There is no output of this number.
    #[error("got output {got}, expected one of the network's {outputs} outputs, counted from 0")]
    NoSuchOutput {
        /// The output asked for.
        got: usize,
        /// Outputs of the network.
        outputs: usize,
    },
    /// A setting that makes no sense.
    #[error("{setting} is {got}; expected {expected}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// The value given.
        got: String,
        /// The expected value.
        expected: &'static str,
    },
    /// There are too few examples for a statistic.
    #[error("got {got} examples, expected at least {expected} for {what}")]
    TooFewExamples {
        /// What is computed.
        what: &'static str,
        /// Examples given.
        got: usize,
        /// Examples needed.
        expected: usize,
    },
    /// The second network was shown other inputs.
    #[error(
        "the two runs read inputs of {first} and {second} numbers: only networks with the same input can be compared"
    )]
    OtherInput {
        /// Numbers of an input of the first network.
        first: usize,
        /// And of the second.
        second: usize,
    },
    /// The caller's watcher asked to stop.
    #[error("stopped")]
    Stopped,
    /// The network cannot be cut at this node.
    #[error("the network cannot be cut behind `{node}`: {reason}")]
    Cut {
        /// The node.
        node: String,
        /// Why, and what would be right.
        reason: String,
    },
}

/// Names in a message, at most.
const NAMED: usize = 8;

fn listed(missing: &[String], extra: &[String], misshapen: &[(String, Vec<usize>, Vec<usize>)]) -> String {
    let shapes: Vec<String> = misshapen
        .iter()
        .map(|(name, got, needed)| format!("{name} has {got:?} where {needed:?} is needed"))
        .collect();
    let parts = [
        ("missing", some(missing)),
        ("of another shape", some(&shapes)),
        ("not part of the network", some(extra)),
    ];
    let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
    parts.map(|(what, names)| format!("{what}: {names}")).collect::<Vec<_>>().join("; ")
}

fn some(names: &[String]) -> String {
    let mut text = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        text.push_str(&format!(" and {} more", names.len() - NAMED));
    }
    text
}
