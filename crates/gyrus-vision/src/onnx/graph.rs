//! The operators of an ONNX graph as nodes of a blueprint.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use gyrus_blueprint::{Blueprint, Conv2d, MAX_NODES, Node, NodeKind, Padding, Pool2d, Shape};
use gyrus_files::{State, StateTensor};

use super::proto;
use super::tensor::Constant;
use crate::{Error, Result};

/// The form of a signal, without the batch axis.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// `[channels, height, width]`
    Image,
    /// `[features]`; in ONNX perhaps with two axes of length 1 behind.
    Features,
}

/// What a name stands for.
#[derive(Clone, Debug)]
enum Value {
    Constant(Constant),
    /// The sum of the outputs of these nodes.
    Signal(Vec<usize>, Form),
}

/// A graph under translation.
pub(super) struct Import<'a> {
    path: &'a Path,
    graph: &'a proto::Graph,
    values: HashMap<&'a str, Value>,
    /// How often a name is read.
    uses: HashMap<&'a str, usize>,
    nodes: Vec<Node>,
    edges: Vec<(usize, usize)>,
    parameters: BTreeMap<String, StateTensor>,
    /// The operator being translated, for messages.
    current: String,
}

impl<'a> Import<'a> {
    pub(super) fn new(path: &'a Path, graph: &'a proto::Graph) -> Result<Self> {
        let mut import = Self {
            path,
            graph,
            values: HashMap::new(),
            uses: HashMap::new(),
            nodes: Vec::new(),
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
            import.values.insert(&tensor.name, Value::Constant(constant));
        }
        let inputs: Vec<_> =
            graph.input.iter().filter(|input| !import.values.contains_key(input.name.as_str())).collect();
        let [input] = inputs[..] else {
            return Err(
                import.error(format!("the graph has {} inputs; expected one, the picture", inputs.len()))
            );
        };
        let shape = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref()?.shape.as_ref());
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
        import.nodes.push(Node { name: "input".to_owned(), kind: NodeKind::Input { shape } });
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
        let (sources, _) = self.signal(&output.name)?;
        self.add("output".to_owned(), NodeKind::Output, &sources);
        let mut name = self.graph.name.clone();
        if name.is_empty() {
            name = "onnx".to_owned();
        }
        // What nothing reads (a mask of dropout, say) does not belong to the network.
        Ok((Blueprint::new(name, self.nodes, self.edges)?, self.parameters))
    }

    fn error(&self, problem: impl Into<String>) -> Error {
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
        let value = match node.op_type.as_str() {
            "Constant" => {
                let tensor = attribute(node, "value").and_then(|attribute| attribute.t.as_ref());
                let tensor = tensor.ok_or_else(|| self.error("a constant without a tensor"))?;
                Value::Constant(Constant::of(self.path, tensor).map_err(|problem| self.error(problem))?)
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
            "Gelu" if text(node, "approximate").is_none_or(|how| how == "none") => {
                self.simple(node, NodeKind::GELU)?
            }
            "Clip" => self.clip(node)?,
            "Softmax" | "LogSoftmax" => {
                let ends = self.graph.output.iter().any(|last| last.name == *output);
                let (sources, form) = self.signal(first)?;
                match (ends, form, node.op_type.as_str()) {
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
                    form = if own == Form::Image { own } else { form };
                }
                Value::Signal(vec![self.place(node, NodeKind::Multiply, &factors)], form)
            }
            _ => return Err(refuse(self)),
        };
        if self.values.insert(output, value).is_some() {
            return Err(self.error(format!("'{output}' is made twice")));
        }
        Ok(())
    }

    /// The nodes whose outputs add up to a name.
    fn signal(&self, name: &str) -> Result<(Vec<usize>, Form)> {
        match self.values.get(name) {
            Some(Value::Signal(sources, form)) => Ok((sources.clone(), *form)),
            Some(Value::Constant(_)) => Err(self.error(format!("'{name}' is a constant; expected a signal"))),
            None => Err(self.error(format!("it reads '{name}', which nothing before it makes"))),
        }
    }

    fn constant(&self, node: &proto::Node, input: usize) -> Result<&Constant> {
        let name = node.input.get(input).map_or("", String::as_str);
        match self.values.get(name) {
            Some(Value::Constant(constant)) => Ok(constant),
            _ => Err(self.error(format!("its input {input} ('{name}') is no constant"))),
        }
    }

    fn add(&mut self, name: String, kind: NodeKind, sources: &[usize]) -> usize {
        let place = self.nodes.len();
        self.edges.extend(sources.iter().map(|&source| (source, place)));
        self.nodes.push(Node { name, kind });
        place
    }

    /// A node named after its weight or its output.
    fn place(&mut self, node: &proto::Node, kind: NodeKind, sources: &[usize]) -> usize {
        let weight = node.input.get(1).and_then(|name| name.strip_suffix(".weight"));
        let name = weight.unwrap_or_else(|| node.output.first().map_or("", String::as_str));
        let name = self.free(name);
        self.add(name, kind, sources)
    }

    /// A name for a node that no other has, made of this one.
    fn free(&self, name: &str) -> String {
        let clean = |letter: char| if letter == '/' || letter.is_control() { '.' } else { letter };
        let short: String = name.trim_matches('/').chars().take(60).map(clean).collect();
        let short = if short.is_empty() { "node".to_owned() } else { short };
        let taken = |name: &str| self.nodes.iter().any(|node| node.name == name) || name == "output";
        if !taken(&short) {
            return short;
        }
        (2..).map(|number| format!("{short}.{number}")).find(|name| !taken(name)).unwrap_or(short)
    }

    fn parameter(&mut self, place: usize, name: &str, shape: Vec<usize>, values: Vec<f32>) {
        self.parameters.insert(format!("{}.{name}", self.nodes[place].name), StateTensor { shape, values });
    }

    fn simple(&mut self, node: &proto::Node, kind: NodeKind) -> Result<Value> {
        let (sources, form) = self.signal(node.input.first().map_or("", String::as_str))?;
        Ok(Value::Signal(vec![self.place(node, kind, &sources)], form))
    }

    fn convolution(&mut self, node: &proto::Node) -> Result<Value> {
        let (sources, form) = self.signal(node.input.first().map_or("", String::as_str))?;
        let weight = self.constant(node, 1)?.clone();
        let bias = if node.input.len() > 2 { Some(self.constant(node, 2)?.clone()) } else { None };
        let &[outputs, inputs, height, width] = &weight.shape[..] else {
            return Err(
                self.error(format!("a weight of the shape {:?}; expected two axes of space", weight.shape))
            );
        };
        if form == Form::Features {
            // Behind a global pool, a 1x1 convolution is a linear layer.
            if (height, width) != (1, 1) {
                return Err(self.error("a convolution over one pixel; expected a 1x1 kernel"));
            }
            return Ok(self.affine(node, &sources, (outputs, inputs), weight.floats, bias));
        }
        let (stride, dilation) = (self.pair(node, "strides")?, self.pair(node, "dilations")?);
        let kind = Conv2d {
            out_channels: outputs,
            kernel: [height, width],
            stride,
            padding: self.padding(node, stride)?,
            dilation,
            groups: self.whole(node, "group", 1)?,
            bias: bias.is_some(),
        };
        let place = self.place(node, kind.into(), &sources);
        self.parameter(place, "weight", weight.shape, weight.floats);
        if let Some(bias) = bias {
            self.parameter(place, "bias", bias.shape, bias.floats);
        }
        Ok(Value::Signal(vec![place], Form::Image))
    }

    fn affine(
        &mut self,
        node: &proto::Node,
        sources: &[usize],
        (outputs, inputs): (usize, usize),
        weight: Vec<f32>,
        bias: Option<Constant>,
    ) -> Value {
        let kind = if bias.is_some() { NodeKind::affine(outputs) } else { NodeKind::linear(outputs) };
        let place = self.place(node, kind, sources);
        self.parameter(place, "weight", vec![outputs, inputs], weight);
        if let Some(bias) = bias {
            self.parameter(place, "bias", vec![bias.floats.len()], bias.floats);
        }
        Value::Signal(vec![place], Form::Features)
    }

    fn linear(&mut self, node: &proto::Node) -> Result<Value> {
        let (sources, form) = self.signal(node.input.first().map_or("", String::as_str))?;
        let weight = self.constant(node, 1)?.clone();
        let &[rows, columns] = &weight.shape[..] else {
            return Err(self.error(format!("a weight of the shape {:?}; expected two axes", weight.shape)));
        };
        let is_gemm = node.op_type == "Gemm";
        let one = |name| float(node, name, 1.0) == 1.0;
        if form != Form::Features
            || (is_gemm && !(one("alpha") && one("beta") && int(node, "transA", 0) == 0))
        {
            return Err(self.error("expected y = x w + b on features, with alpha and beta 1 and x as it is"));
        }
        let bias = if is_gemm && node.input.len() > 2 { Some(self.constant(node, 2)?.clone()) } else { None };
        if is_gemm && int(node, "transB", 0) != 0 {
            return Ok(self.affine(node, &sources, (rows, columns), weight.floats, bias));
        }
        let turned =
            (0..weight.floats.len()).map(|at| weight.floats[at % rows * columns + at / rows]).collect();
        Ok(self.affine(node, &sources, (columns, rows), turned, bias))
    }

    fn clip(&mut self, node: &proto::Node) -> Result<Value> {
        let bound = |import: &Self, input: usize, name: &str, usual: f32| -> Result<f32> {
            match node.input.get(input).filter(|name| !name.is_empty()) {
                Some(_) => Ok(import.constant(node, input)?.floats.first().copied().unwrap_or(usual)),
                None => Ok(float(node, name, usual)),
            }
        };
        let bounds = (bound(self, 1, "min", f32::MIN)?, bound(self, 2, "max", f32::MAX)?);
        match bounds {
            (0.0, 6.0) => self.simple(node, NodeKind::ReLU6),
            (0.0, f32::MAX) => self.simple(node, NodeKind::ReLU),
            (least, most) => Err(self.error(format!("a clip to {least} .. {most}; expected 0 .. 6"))),
        }
    }

    fn flatten(&mut self, node: &proto::Node) -> Result<Value> {
        let (sources, form) = self.signal(node.input.first().map_or("", String::as_str))?;
        let fits = match node.op_type.as_str() {
            "Flatten" => int(node, "axis", 1) == 1,
            // [batch, features], one of the two perhaps as -1, the batch perhaps as 0.
            "Reshape" => self.constant(node, 1)?.whole.len() == 2,
            _ => form == Form::Features,
        };
        match (fits, form) {
            (false, _) => Err(self.error("expected [batch, features] as the result")),
            (true, Form::Features) => Ok(Value::Signal(sources, form)),
            (true, Form::Image) => {
                Ok(Value::Signal(vec![self.place(node, NodeKind::flatten(), &sources)], Form::Features))
            }
        }
    }

    fn pool(&mut self, node: &proto::Node) -> Result<Value> {
        let (sources, form) = self.signal(node.input.first().map_or("", String::as_str))?;
        let (kernel, stride) = (self.pair(node, "kernel_shape")?, self.pair(node, "strides")?);
        let padding = match self.padding(node, stride)? {
            Padding::Valid => [0; 2],
            Padding::Explicit(each) => each,
            Padding::Same if kernel.iter().all(|extent| extent % 2 == 1) => kernel.map(|extent| extent / 2),
            _ => return Err(self.error("a pool pads both sides of an axis alike in a blueprint")),
        };
        let average = node.op_type == "AveragePool";
        let counted = padding == [0; 2] || int(node, "count_include_pad", 0) != 0;
        if form != Form::Image || int(node, "ceil_mode", 0) != 0 || self.pair(node, "dilations")? != [1; 2] {
            return Err(self.error("expected a pool over an image, without dilation, rounded down"));
        }
        if average && !counted {
            return Err(self.error("an average that leaves out its padding; expected count_include_pad = 1"));
        }
        let pool = Pool2d { kernel, stride, padding };
        let kind = if average { NodeKind::AvgPool2d(pool) } else { NodeKind::MaxPool2d(pool) };
        Ok(Value::Signal(vec![self.place(node, kind, &sources)], Form::Image))
    }

    fn sum(&mut self, node: &proto::Node) -> Result<Value> {
        let [a, b] = &node.input[..] else { return Err(self.error("expected a sum of two")) };
        let constant = [(a, b), (b, a)].into_iter().find_map(|(signal, constant)| {
            match self.values.get(constant.as_str()) {
                Some(Value::Constant(constant)) => Some((signal, constant.clone())),
                _ => None,
            }
        });
        if let Some((name, constant)) = constant {
            // A bias behind a product.
            let (sources, form) = self.signal(name)?;
            let alone = self.uses.get(name.as_str()) == Some(&1);
            if let ([place], true) = (&sources[..], alone)
                && let NodeKind::Linear { out_features } = self.nodes[*place].kind
                && constant.floats.len() == out_features
            {
                self.nodes[*place].kind = NodeKind::affine(out_features);
                self.parameter(*place, "bias", vec![out_features], constant.floats);
                return Ok(Value::Signal(sources, form));
            }
            return Err(self.error("a constant is added; expected a bias behind a product with weights"));
        }
        let ((mut sources, form), (more, _)) = (self.signal(a)?, self.signal(b)?);
        sources.extend(more);
        // A sum that one node reads is made of the edges into that node.
        match self.uses.get(node.output.first().map_or("", String::as_str)) {
            Some(1) => Ok(Value::Signal(sources, form)),
            _ => Ok(Value::Signal(vec![self.place(node, NodeKind::Add, &sources)], form)),
        }
    }

    /// Two numbers of a setting, 1 by default.
    fn pair(&self, node: &proto::Node, name: &str) -> Result<[usize; 2]> {
        match ints(node, name)[..] {
            [] => Ok([1; 2]),
            [a, b] if a > 0 && b > 0 => Ok([a as usize, b as usize]),
            ref other => Err(self.error(format!("{name} is {other:?}; expected two numbers above 0"))),
        }
    }

    fn whole(&self, node: &proto::Node, name: &str, usual: i64) -> Result<usize> {
        let number = int(node, name, usual);
        usize::try_from(number)
            .map_err(|_| self.error(format!("{name} is {number}; expected a number from 0 on")))
    }

    fn padding(&self, node: &proto::Node, stride: [usize; 2]) -> Result<Padding> {
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

fn attribute<'n>(node: &'n proto::Node, name: &str) -> Option<&'n proto::Attribute> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

fn float(node: &proto::Node, name: &str, usual: f32) -> f32 {
    attribute(node, name).map_or(usual, |attribute| attribute.f)
}

fn int(node: &proto::Node, name: &str, usual: i64) -> i64 {
    attribute(node, name).map_or(usual, |attribute| attribute.i)
}

fn ints(node: &proto::Node, name: &str) -> Vec<i64> {
    attribute(node, name).map_or_else(Vec::new, |attribute| attribute.ints.clone())
}

fn text(node: &proto::Node, name: &str) -> Option<String> {
    attribute(node, name).map(|attribute| String::from_utf8_lossy(&attribute.s).into_owned())
}
