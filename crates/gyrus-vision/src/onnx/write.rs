//! A blueprint and its parameters as an ONNX file of opset 20, which runtimes of 2024 and later know.
//!
//! Every node becomes one operator or a few; a value has the name of the node that makes it, and a parameter its own name, as in
//! the files of PyTorch. Normalizations stay operators of their own, which runtimes fold. The batch axis has no number. The
//! output is that of the blueprint: scores, without a softmax.

use std::collections::HashSet;
use std::path::Path;

use gyrus_blueprint::{Blueprint, Node, NodeKind, Pool2d, Shapes};
use gyrus_files::State;
use prost::Message as _;

use super::{MAXIMUM_BYTES, operators, proto};
use crate::{Error, Result};

/// The version of the operators that is written.
pub const OPSET: i64 = 20;
/// The version of the file's form that belongs to it.
const FORM: i64 = 9;
/// Kinds of numbers and of settings, as `onnx.proto` counts them.
pub(super) const FLOAT: i32 = 1;
const INT64: i32 = 7;
const SETTING_FLOAT: i32 = 1;
const SETTING_INT: i32 = 2;
const SETTING_TEXT: i32 = 3;
const SETTING_INTS: i32 = 7;

/// The bytes of a network's file, which is to lie at `path`, for messages; `facts` are names and texts that are kept beside it.
///
/// # Errors
/// [`Error::Onnx`] with the node that ONNX has no operators for, or whose parameter is missing.
pub fn to_bytes(
    path: &Path,
    blueprint: &Blueprint,
    parameters: &State,
    facts: &[(&str, String)],
) -> Result<Vec<u8>> {
    let shapes = blueprint.shapes()?;
    let mut export = Export {
        path,
        blueprint,
        shapes: &shapes,
        parameters,
        operators: Vec::new(),
        initializers: Vec::new(),
        names: blueprint.nodes().iter().map(|node| node.name.clone()).collect(),
        bytes: 0,
        current: 0,
    };
    let (input, output) = export.run()?;
    let graph = proto::Graph {
        node: export.operators,
        name: blueprint.name.clone(),
        initializer: export.initializers,
        input: vec![input],
        output: vec![output],
    };
    let entry = |(key, value): &(&str, String)| proto::Entry { key: (*key).to_owned(), value: value.clone() };
    let model = proto::Model {
        ir_version: FORM,
        producer_name: "gyrus".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        opset_import: vec![proto::OperatorSet { domain: String::new(), version: OPSET }],
        metadata_props: facts.iter().map(entry).collect(),
    };
    Ok(model.encode_to_vec())
}

/// A network under translation.
pub(super) struct Export<'a> {
    path: &'a Path,
    blueprint: &'a Blueprint,
    pub(super) shapes: &'a Shapes,
    parameters: &'a State,
    operators: Vec<proto::Node>,
    initializers: Vec<proto::Tensor>,
    /// Names of values that are taken.
    names: HashSet<String>,
    bytes: u64,
    /// The node being translated.
    pub(super) current: usize,
}

impl Export<'_> {
    /// The graph's input and output.
    fn run(&mut self) -> Result<(proto::ValueInfo, proto::ValueInfo)> {
        if let Some(&(_, to)) = self.blueprint.back_edges().first() {
            self.current = to;
            return Err(self.error("it closes a cycle, which an ONNX graph cannot have"));
        }
        let sources = self.blueprint.sources();
        let (mut input, mut output) = (None, None);
        for &index in self.shapes.order() {
            self.current = index;
            let node = &self.blueprint.nodes()[index];
            if matches!(node.kind, NodeKind::Input { .. }) {
                if input.is_some() {
                    return Err(self.error("a second input; expected one"));
                }
                input = Some(self.info(index));
                continue;
            }
            let names: Vec<String> =
                sources[index].iter().map(|&source| self.blueprint.nodes()[source].name.clone()).collect();
            let x = match (&node.kind, &names[..]) {
                (NodeKind::Multiply, _) => String::new(),
                // Two edges into an Add are the sum itself.
                (NodeKind::Add, [_, _]) => String::new(),
                _ => self.sum(&names)?,
            };
            if node.kind == NodeKind::Output {
                output = Some(self.info(index));
            }
            operators::emit(self, node, &names, x)?;
        }
        match (input, output) {
            (Some(input), Some(output)) => Ok((input, output)),
            _ => Err(self.error("the network has no input or no output")),
        }
    }

    pub(super) fn node(&self) -> &Node {
        &self.blueprint.nodes()[self.current]
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> Error {
        let node = self.node().name.clone();
        Error::Onnx { path: self.path.to_owned(), node, problem: problem.into() }
    }

    /// The sum of some values.
    fn sum(&mut self, names: &[String]) -> Result<String> {
        let mut names = names.iter();
        let mut sum = names.next().cloned().ok_or_else(|| self.error("nothing leads into it"))?;
        for name in names {
            sum = self.part("Add", &[&sum, name], Vec::new());
        }
        Ok(sum)
    }

    /// Name, kind of numbers and shape of a node's result.
    fn info(&self, index: usize) -> proto::ValueInfo {
        let batch = proto::Dimension { dim_value: 0, dim_param: "batch".to_owned() };
        let extent =
            |&extent: &usize| proto::Dimension { dim_value: extent as i64, dim_param: String::new() };
        let dim = [batch].into_iter().chain(self.shapes.output(index).iter().map(extent)).collect();
        let shape = Some(proto::TensorShape { dim });
        let kind = proto::Type { tensor_type: Some(proto::TensorType { elem_type: FLOAT, shape }) };
        proto::ValueInfo { name: self.blueprint.nodes()[index].name.clone(), r#type: Some(kind) }
    }

    /// An operator whose result is that of the node.
    pub(super) fn last(&mut self, kind: &str, inputs: &[&str], settings: Vec<proto::Attribute>) {
        let output = self.node().name.clone();
        self.operator(kind, inputs, output, settings);
    }

    /// An operator on the way to the node's result; returns the name of its result.
    pub(super) fn part(&mut self, kind: &str, inputs: &[&str], settings: Vec<proto::Attribute>) -> String {
        let output = self.fresh(&kind.to_lowercase());
        self.operator(kind, inputs, output.clone(), settings);
        output
    }

    fn operator(&mut self, kind: &str, inputs: &[&str], output: String, attribute: Vec<proto::Attribute>) {
        self.operators.push(proto::Node {
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            name: output.clone(),
            output: vec![output],
            op_type: kind.to_owned(),
            attribute,
            domain: String::new(),
        });
    }

    /// A name that no other value has.
    fn fresh(&mut self, part: &str) -> String {
        let node = self.node().name.clone();
        let name = (1..)
            .map(
                |number| {
                    if number == 1 { format!("{node}:{part}") } else { format!("{node}:{part}.{number}") }
                },
            )
            .find(|name| !self.names.contains(name))
            .unwrap_or(node);
        self.names.insert(name.clone());
        name
    }

    /// The numbers of a parameter of the node, and its name.
    pub(super) fn values(&self, parameter: &str) -> Result<(String, Vec<f32>)> {
        let name = format!("{}.{parameter}", self.node().name);
        let needed = self.shapes.parameters(self.current).iter().find(|own| own.name == parameter);
        let needed = needed.and_then(|own| own.shape.elements()).unwrap_or(0);
        match self.parameters.get(&name) {
            Some(tensor) if tensor.values.len() == needed => Ok((name, tensor.values.clone())),
            Some(tensor) => {
                let got = tensor.values.len();
                Err(self.error(format!("its parameter `{parameter}` has {got} numbers; expected {needed}")))
            }
            None => Err(self.error(format!("its parameter `{parameter}` is missing"))),
        }
    }

    /// A parameter as it is stored.
    pub(super) fn parameter(&mut self, parameter: &str) -> Result<String> {
        let (name, values) = self.values(parameter)?;
        let spec = self.shapes.parameters(self.current).iter().find(|own| own.name == parameter);
        let shape: Vec<usize> = spec.map_or_else(Vec::new, |own| own.shape.to_vec());
        self.floats(name, &shape, &values)
    }

    /// A constant of floats.
    pub(super) fn floats(&mut self, name: String, shape: &[usize], values: &[f32]) -> Result<String> {
        self.bytes += 4 * values.len() as u64;
        if self.bytes > MAXIMUM_BYTES {
            return Err(self.error("more than 2 GiB of parameters, which one ONNX file cannot hold"));
        }
        self.names.insert(name.clone());
        let dims = shape.iter().map(|&extent| extent as i64).collect();
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor =
            proto::Tensor { dims, data_type: FLOAT, name: name.clone(), raw_data, ..Default::default() };
        self.initializers.push(tensor);
        Ok(name)
    }

    /// One float.
    pub(super) fn float(&mut self, value: f32) -> Result<String> {
        let name = self.fresh("constant");
        self.floats(name, &[], &[value])
    }

    /// A constant of whole numbers; without an axis where there is one number.
    pub(super) fn whole(&mut self, shape: &[usize], values: &[i64]) -> String {
        let name = self.fresh("numbers");
        let dims = shape.iter().map(|&extent| extent as i64).collect();
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor =
            proto::Tensor { dims, data_type: INT64, name: name.clone(), raw_data, ..Default::default() };
        self.initializers.push(tensor);
        name
    }

    /// Whether the node of this name gives one number for each channel.
    pub(super) fn vector(&self, node: &str) -> bool {
        self.blueprint.index_of(node).is_some_and(|node| self.shapes.output(node).len() == 1)
    }

    /// Brings a value into a shape; the batch stays.
    pub(super) fn reshaped(&mut self, x: &str, shape: &[usize]) -> String {
        let whole: Vec<i64> = [0].into_iter().chain(shape.iter().map(|&extent| extent as i64)).collect();
        let shape = self.whole(&[whole.len()], &whole);
        self.part("Reshape", &[x, &shape], Vec::new())
    }
}

pub(super) fn number(name: &str, value: f64) -> proto::Attribute {
    let (name, f) = (name.to_owned(), Some(value as f32));
    proto::Attribute { name, f, r#type: SETTING_FLOAT, ..Default::default() }
}

pub(super) fn whole(name: &str, value: i64) -> proto::Attribute {
    let (name, i) = (name.to_owned(), Some(value));
    proto::Attribute { name, i, r#type: SETTING_INT, ..Default::default() }
}

pub(super) fn text(name: &str, value: &str) -> proto::Attribute {
    let (name, s) = (name.to_owned(), value.as_bytes().to_vec());
    proto::Attribute { name, s, r#type: SETTING_TEXT, ..Default::default() }
}

pub(super) fn list(name: &str, values: impl IntoIterator<Item = usize>) -> proto::Attribute {
    let ints = values.into_iter().map(|value| value as i64).collect();
    proto::Attribute { name: name.to_owned(), ints, r#type: SETTING_INTS, ..Default::default() }
}

/// The settings of a pool.
pub(super) fn windows(pool: &Pool2d) -> Vec<proto::Attribute> {
    let [rows, columns] = pool.padding;
    vec![
        list("kernel_shape", pool.kernel),
        list("strides", pool.stride),
        list("pads", [rows, columns, rows, columns]),
    ]
}
