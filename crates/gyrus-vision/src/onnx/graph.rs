//! The operators of an ONNX graph as nodes of a blueprint.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use gyrus_blueprint::{Blueprint, MAX_NODES, Node, NodeKind, Padding, Shape};
use gyrus_files::{State, StateTensor};

use super::attention::Scores;
use super::proto::{self, attribute, float, int, ints, text};
use super::tensor::Constant;
use super::view::View;
use crate::{Error, Result};

/// The form of a signal, without the batch axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    /// `[channels, height, width]`
    Image,
    /// `[features]`; in ONNX perhaps with two axes of length 1 behind.
    Features,
    /// Axes in another order, or parts: tokens, images with the channels last, heads.
    View(View),
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Constant(Rc<Constant>),
    /// The sum of the outputs of these nodes.
    Signal(Vec<usize>, Form),
    /// A signal times a number, which becomes part of attention or of GELU.
    Scaled(Vec<usize>, Form, f32),
    /// erf(x / √2).
    Erf(Vec<usize>, Form),
    /// `factor` (1 + erf(x / √2)), times x or not.
    Gate {
        sources: Vec<usize>,
        form: Form,
        factor: f32,
        times_input: bool,
    },
    /// The sigmoid of 1.702 x.
    QuickGate(Vec<usize>, Form),
    /// Products of queries and keys.
    Scores(Scores),
    /// Tokens behind a place of zeros.
    Padded(Vec<usize>, View),
}

/// A graph under translation.
pub(super) struct Import<'a> {
    pub(super) path: &'a Path,
    graph: &'a proto::Graph,
    /// Samples for which the file was written; 1 where it leaves that open.
    pub(super) batch: usize,
    /// Numbers that were computed while reading.
    pub(super) folded: usize,
    pub(super) values: HashMap<&'a str, Value>,
    /// How often a name is read.
    pub(super) uses: HashMap<&'a str, usize>,
    pub(super) nodes: Vec<Node>,
    /// The shape of each node's output, where it could be told so far.
    pub(super) shapes: Vec<Option<Vec<usize>>>,
    names: HashSet<String>,
    edges: Vec<(usize, usize)>,
    pub(super) parameters: BTreeMap<String, StateTensor>,
    /// The operator being translated, for messages.
    current: String,
}

impl<'a> Import<'a> {
    pub(super) fn new(path: &'a Path, graph: &'a proto::Graph) -> Result<Self> {
        let mut import = Self {
            path,
            graph,
            batch: 1,
            folded: 0,
            values: HashMap::new(),
            uses: HashMap::new(),
            nodes: Vec::new(),
            shapes: Vec::new(),
            names: ["output".to_owned()].into(),
            edges: Vec::new(),
            parameters: BTreeMap::new(),
            current: String::new(),
        };
        if graph.node.len() > MAX_NODES {
            return Err(import.error(format!("{} operators; at most {MAX_NODES} are read", graph.node.len())));
        }
        let read = graph.node.iter().flat_map(|node| &node.input);
        for name in read.chain(graph.output.iter().map(|output| &output.name)) {
            *import.uses.entry(name).or_default() += 1;
        }
        for tensor in &graph.initializer {
            let constant = Constant::of(path, tensor)
                .map_err(|problem| import.error(format!("the tensor '{}' {problem}", tensor.name)))?;
            import.values.insert(&tensor.name, Value::Constant(Rc::new(constant)));
        }
        let inputs: Vec<_> =
            graph.input.iter().filter(|input| !import.values.contains_key(input.name.as_str())).collect();
        let [input] = inputs[..] else {
            return Err(
                import.error(format!("the graph has {} inputs; expected one, the picture", inputs.len()))
            );
        };
        let shape = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref()?.shape.as_ref());
        let batch = shape.and_then(|shape| shape.dim.first()).map(|dim| dim.dim_value);
        import.batch = batch.and_then(|batch| usize::try_from(batch).ok()).unwrap_or(1).max(1);
        let extents: Option<Vec<usize>> = shape.and_then(|shape| {
            shape
                .dim
                .iter()
                .skip(1)
                .map(|dim| usize::try_from(dim.dim_value).ok().filter(|n| *n > 0))
                .collect()
        });
        let form = match extents.as_deref() {
            Some([_, _, _]) => Form::Image,
            Some([_]) => Form::Features,
            _ => {
                return Err(import.error(format!(
                    "the input '{}' has no fixed shape; expected [batch, channels, height, width] with numbers",
                    input.name
                )));
            }
        };
        let shape = Shape(extents.unwrap_or_default());
        import.add("input".to_owned(), NodeKind::Input { shape }, &[]);
        import.values.insert(&input.name, Value::Signal(vec![0], form));
        Ok(import)
    }

    pub(super) fn run(mut self) -> Result<(Blueprint, State)> {
        for node in &self.graph.node {
            self.current = if node.name.is_empty() { node.output.join(", ") } else { node.name.clone() };
            self.operator(node)?;
        }
        self.current = String::new();
        let [output] = &self.graph.output[..] else {
            return Err(
                self.error(format!("the graph has {} outputs; expected one", self.graph.output.len()))
            );
        };
        let (sources, form) = self.signal(&output.name)?;
        if let Form::View(view) = form {
            return Err(self.error(format!(
                "its output '{}' has the axes {:?}; expected [batch, classes]",
                output.name,
                view.extents()
            )));
        }
        self.add("output".to_owned(), NodeKind::Output, &sources);
        let mut name = self.graph.name.clone();
        if name.is_empty() {
            name = "onnx".to_owned();
        }
        self.forget_unread();
        Ok((Blueprint::new(name, self.nodes, self.edges)?, self.parameters))
    }

    /// Removes nodes that nothing reads any more, such as queries, keys and values that were joined.
    fn forget_unread(&mut self) {
        let mut from: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        self.edges.iter().for_each(|&(source, target)| from[target].push(source));
        let mut read = vec![false; self.nodes.len()];
        let mut open: Vec<usize> = self.nodes.len().checked_sub(1).into_iter().collect();
        while let Some(node) = open.pop() {
            if !std::mem::replace(&mut read[node], true) {
                open.extend(&from[node]);
            }
        }
        // The input stays, so that what does not read it is said as it is.
        read[0] = true;
        let mut places = Vec::new();
        let mut count = 0;
        for read in &read {
            places.push(count);
            count += usize::from(*read);
        }
        let edges = self.edges.iter().filter(|(source, target)| read[*source] && read[*target]);
        self.edges = edges.map(|&(source, target)| (places[source], places[target])).collect();
        let (kept, unread): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.nodes).into_iter().zip(read).partition(|(_, read)| *read);
        self.nodes = kept.into_iter().map(|(node, _)| node).collect();
        let unread: HashSet<String> = unread.into_iter().map(|(node, _)| node.name).collect();
        self.parameters
            .retain(|name, _| name.rsplit_once('.').is_none_or(|(node, _)| !unread.contains(node)));
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> Error {
        Error::Onnx { path: self.path.to_owned(), node: self.current.clone(), problem: problem.into() }
    }

    fn operator(&mut self, node: &'a proto::Node) -> Result<()> {
        let refuse = |import: &Self| {
            let domain = if node.domain.is_empty() { "" } else { " of another domain" };
            import.error(format!("the operator {}{domain} has no form in a blueprint", node.op_type))
        };
        if !matches!(node.domain.as_str(), "" | "ai.onnx") {
            return Err(refuse(self));
        }
        let first = node.input.first().map_or("", String::as_str);
        let Some(output) = node.output.first() else { return Err(self.error("it has no output")) };
        if let Some(constant) = self.fold(node)? {
            return self.made(node, vec![Value::Constant(constant)]);
        }
        if let Some(values) = self.arranged(node)? {
            return self.made(node, values);
        }
        if let Some(Value::Signal(_, Form::View(view))) = self.values.get(first)
            && !(ELEMENTWISE.contains(&node.op_type.as_str()) && view.is_whole())
        {
            let extents = view.extents();
            let kind = &node.op_type;
            return Err(self
                .error(format!("the operator {kind} over the axes {extents:?} has no form in a blueprint")));
        }
        let value = match node.op_type.as_str() {
            "Constant" => {
                let tensor = attribute(node, "value").and_then(|attribute| attribute.t.as_ref());
                let tensor = tensor.ok_or_else(|| self.error("a constant without a tensor"))?;
                let constant = Constant::of(self.path, tensor).map_err(|problem| self.error(problem))?;
                Value::Constant(Rc::new(constant))
            }
            "Conv" => self.convolution(node)?,
            "Gemm" | "MatMul" => self.linear(node)?,
            "BatchNormalization" => {
                let (sources, form) = self.signal(first)?;
                let epsilon = f64::from(float(node, "epsilon", 1e-5));
                let momentum = f64::from(1.0 - float(node, "momentum", 0.9)).clamp(0.0, 1.0);
                let named = ["weight", "bias", "running_mean", "running_var"];
                let kind = NodeKind::BatchNorm { epsilon, momentum };
                let place = self.place(node, kind, &sources);
                for (index, parameter) in named.into_iter().enumerate() {
                    let constant = self.constant(node, index + 1)?.clone();
                    self.parameter(place, parameter, constant.shape, constant.floats);
                }
                Value::Signal(vec![place], form)
            }
            "Relu" => self.simple(node, NodeKind::ReLU)?,
            "Sigmoid" => self.simple(node, NodeKind::Sigmoid)?,
            "Tanh" => self.simple(node, NodeKind::Tanh)?,
            "HardSwish" => self.simple(node, NodeKind::Hardswish)?,
            "Gelu" => match text(node, "approximate").as_deref() {
                None | Some("none" | "") => self.simple(node, NodeKind::GELU)?,
                Some("tanh") => self.simple(node, NodeKind::TanhGELU)?,
                _ => return Err(refuse(self)),
            },
            "Clip" => self.clip(node)?,
            "Softmax" | "LogSoftmax" => {
                let ends = self.graph.output.iter().any(|last| last.name == *output);
                let (sources, form) = self.signal(first)?;
                match (ends, &form, node.op_type.as_str()) {
                    (true, Form::Features, _) => Value::Signal(sources, form),
                    (false, Form::Features, "Softmax") => self.simple(node, NodeKind::softmax())?,
                    _ => return Err(refuse(self)),
                }
            }
            "Dropout" | "Identity" => {
                let (sources, form) = self.signal(first)?;
                Value::Signal(sources, form)
            }
            "Flatten" | "Reshape" | "Squeeze" => self.flatten(node)?,
            "GlobalAveragePool" => {
                let (sources, _) = self.signal(first)?;
                Value::Signal(vec![self.place(node, NodeKind::GlobalAvgPool, &sources)], Form::Features)
            }
            "ReduceMean" => {
                let (sources, form) = self.signal(first)?;
                let mut axes = match node.input.get(1) {
                    Some(_) => self.constant(node, 1)?.whole.clone(),
                    None => ints(node, "axes"),
                };
                axes.iter_mut().filter(|axis| **axis < 0).for_each(|axis| *axis += 4);
                axes.sort_unstable();
                if axes != [2, 3] || form != Form::Image {
                    return Err(
                        self.error(format!("a mean over the axes {axes:?}; expected height and width"))
                    );
                }
                Value::Signal(vec![self.place(node, NodeKind::GlobalAvgPool, &sources)], Form::Features)
            }
            "MaxPool" | "AveragePool" => self.pool(node)?,
            "Add" | "Sum" => self.sum(node)?,
            "Mul"
                if node
                    .input
                    .iter()
                    .any(|name| matches!(self.values.get(name.as_str()), Some(Value::Constant(_)))) =>
            {
                self.scale(node)?
            }
            "LayerNormalization" => self.layer_norm(node)?,
            "Mul" => {
                let mut factors = Vec::new();
                let mut form = Form::Features;
                for name in &node.input {
                    let (sources, own) = self.signal(name)?;
                    let factor = match sources[..] {
                        [only] => only,
                        _ => self.add(self.free(&format!("{name}.sum")), NodeKind::Add, &sources),
                    };
                    factors.push(factor);
                    form = if own == Form::Features { form } else { own };
                }
                Value::Signal(vec![self.place(node, NodeKind::Multiply, &factors)], form)
            }
            _ => return Err(refuse(self)),
        };
        self.made(node, vec![value])
    }

    /// Gives the outputs of an operator their values.
    fn made(&mut self, node: &'a proto::Node, values: Vec<Value>) -> Result<()> {
        for (output, value) in node.output.iter().zip(values) {
            if self.values.insert(output, value).is_some() {
                return Err(self.error(format!("'{output}' is made twice")));
            }
        }
        Ok(())
    }

    /// The nodes whose outputs add up to a name.
    pub(super) fn signal(&self, name: &str) -> Result<(Vec<usize>, Form)> {
        match self.values.get(name) {
            Some(Value::Signal(sources, form)) => Ok((sources.clone(), form.clone())),
            Some(Value::Constant(_)) => Err(self.error(format!("'{name}' is a constant; expected a signal"))),
            Some(Value::Scores(_)) => Err(self.error(format!(
                "'{name}' is a product of queries and keys, which a blueprint has as a whole"
            ))),
            Some(_) => Err(self.error(format!(
                "'{name}' is a step of GELU or of attention, which a blueprint has as a whole"
            ))),
            None => Err(self.error(format!("it reads '{name}', which nothing before it makes"))),
        }
    }

    pub(super) fn constant(&self, node: &proto::Node, input: usize) -> Result<&Constant> {
        let name = node.input.get(input).map_or("", String::as_str);
        match self.values.get(name) {
            Some(Value::Constant(constant)) => Ok(constant),
            _ => Err(self.error(format!("its input {input} ('{name}') is no constant"))),
        }
    }

    fn add(&mut self, name: String, kind: NodeKind, sources: &[usize]) -> usize {
        let place = self.nodes.len();
        self.shapes.push(self.shape_of(&kind, sources));
        self.names.insert(name.clone());
        self.edges.extend(sources.iter().map(|&source| (source, place)));
        self.nodes.push(Node { name, kind });
        place
    }

    /// The shape of what a node of this kind would give, if what it reads fits.
    fn shape_of(&self, kind: &NodeKind, sources: &[usize]) -> Option<Vec<usize>> {
        if let NodeKind::Input { shape } = kind {
            return Some(shape.to_vec());
        }
        let inputs: Option<Vec<&Vec<usize>>> =
            sources.iter().map(|&source| self.shapes[source].as_ref()).collect();
        // A product repeats factors by channel over the others' axes.
        let input = inputs?.into_iter().max_by_key(|shape| shape.len())?;
        let alone = Blueprint::builder("one").input(input.clone()).node("node", kind.clone()).build().ok()?;
        Some(alone.shapes().ok()?.output(1).to_vec())
    }

    /// What leads into a node.
    pub(super) fn sources_of(&self, place: usize) -> Vec<usize> {
        self.edges.iter().filter(|(_, to)| *to == place).map(|(from, _)| *from).collect()
    }

    /// A node named after its weight, its operator or its output.
    pub(super) fn place(&mut self, node: &proto::Node, kind: NodeKind, sources: &[usize]) -> usize {
        let weight = node.input.get(1).and_then(|name| name.strip_suffix(".weight"));
        let name = match (weight, node.name.strip_prefix('/')) {
            (Some(weight), _) => weight.to_owned(),
            (None, Some(path)) => module(path),
            (None, None) => node.output.first().cloned().unwrap_or_default(),
        };
        let name = self.free(&name);
        self.add(name, kind, sources)
    }

    /// Gives a node another name, if there is one and nothing else has it.
    pub(super) fn rename(&mut self, place: usize, name: Option<&str>) {
        let Some(name) = name.map(|name| self.free(name)).filter(|free| Some(free.as_str()) == name) else {
            return;
        };
        let before = std::mem::replace(&mut self.nodes[place].name, name.clone());
        for parameter in ["weight", "bias"] {
            if let Some(tensor) = self.parameters.remove(&format!("{before}.{parameter}")) {
                self.parameters.insert(format!("{name}.{parameter}"), tensor);
            }
        }
        self.names.remove(&before);
        self.names.insert(name);
    }

    /// A name for a node that no other has, made of this one.
    fn free(&self, name: &str) -> String {
        let clean = |letter: char| if letter == '/' || letter.is_control() { '.' } else { letter };
        let short: String = name.trim_matches('/').chars().take(60).map(clean).collect();
        let short = if short.is_empty() { "node".to_owned() } else { short };
        if !self.names.contains(&short) {
            return short;
        }
        (2..)
            .map(|number| format!("{short}.{number}"))
            .find(|name| !self.names.contains(name))
            .unwrap_or(short)
    }

    pub(super) fn parameter(&mut self, place: usize, name: &str, shape: Vec<usize>, values: Vec<f32>) {
        self.parameters.insert(format!("{}.{name}", self.nodes[place].name), StateTensor { shape, values });
    }

    pub(super) fn simple(&mut self, node: &proto::Node, kind: NodeKind) -> Result<Value> {
        let (sources, form) = self.signal(node.input.first().map_or("", String::as_str))?;
        Ok(Value::Signal(vec![self.place(node, kind, &sources)], form))
    }

    /// Two numbers of a setting, 1 by default.
    pub(super) fn pair(&self, node: &proto::Node, name: &str) -> Result<[usize; 2]> {
        match ints(node, name)[..] {
            [] => Ok([1; 2]),
            [a, b] if a > 0 && b > 0 => Ok([a as usize, b as usize]),
            ref other => Err(self.error(format!("{name} is {other:?}; expected two numbers above 0"))),
        }
    }

    pub(super) fn whole(&self, node: &proto::Node, name: &str, usual: i64) -> Result<usize> {
        let number = int(node, name, usual);
        usize::try_from(number)
            .map_err(|_| self.error(format!("{name} is {number}; expected a number from 0 on")))
    }

    pub(super) fn padding(&self, node: &proto::Node, stride: [usize; 2]) -> Result<Padding> {
        match text(node, "auto_pad").as_deref() {
            None | Some("NOTSET") => {}
            Some("VALID") => return Ok(Padding::Valid),
            Some("SAME_UPPER") if stride == [1; 2] => return Ok(Padding::Same),
            Some(other) => return Err(self.error(format!("auto_pad is {other}; expected numbers as pads"))),
        }
        match ints(node, "pads")[..] {
            [] | [0, 0, 0, 0] => Ok(Padding::Valid),
            [top, left, bottom, right]
                if [top, left, bottom, right].iter().all(|side| (0..1 << 20).contains(side)) =>
            {
                let sides = [[top, bottom], [left, right]].map(|pair| pair.map(|side| side as usize));
                match (top == bottom, left == right) {
                    (true, true) => Ok(Padding::Explicit([sides[0][0], sides[1][0]])),
                    _ => Ok(Padding::Sides(sides)),
                }
            }
            ref other => Err(self.error(format!("pads is {other:?}; expected four numbers from 0 on"))),
        }
    }
}

/// Operators that work alike on each element, however the axes lie.
const ELEMENTWISE: [&str; 10] =
    ["Relu", "Sigmoid", "Tanh", "HardSwish", "Gelu", "Clip", "Dropout", "Identity", "Add", "Mul"];

/// The module that PyTorch's exporter names in the path of an operator: `layer1.0.act` of `layer1/layer1.0/act/Relu`.
fn module(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    let modules = &parts[..parts.len() - 1];
    let mut name = String::new();
    for (place, part) in modules.iter().enumerate() {
        let repeats = modules
            .get(place + 1)
            .is_some_and(|next| next.strip_prefix(part).is_some_and(|rest| rest.starts_with('.')));
        if !repeats {
            name = if name.is_empty() { (*part).to_owned() } else { format!("{name}.{part}") };
        }
    }
    if name.is_empty() { path.to_owned() } else { name }
}
