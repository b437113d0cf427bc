//! Writes a blueprint and its parameters as a NIR file, and lists where other importers would differ.

use crate::neuron::{Discretization, Integration, NeuronConstant, NeuronModel, Parameters, Reset};
use crate::{Blueprint, Conv1d, Conv2d, Error, Node, NodeKind, Padding, Result, Shape, without_spiking_form};

use super::graph::bypass;
use super::hdf5::{self, Data, Field, Tree};
use super::{list, neurons, parameter, starts_at_rest};

/// Version of the Python package whose layout this writes.
const LAYOUT: &str = "1.0.8";

/// The bytes of a NIR file, and one warning for each way in which an importer without Gyrus's metadata would compute
/// something else. `parameters` must hold every parameter of [`Blueprint::shapes`]; `time` goes into the metadata.
///
/// # Errors
/// If a node has no form in NIR, or a parameter is missing, of another shape or out of range. Errors name the node.
pub fn write_nir(
    blueprint: &Blueprint,
    parameters: &Parameters,
    time: Discretization,
) -> Result<(Vec<u8>, Vec<String>)> {
    let shapes = blueprint.shapes()?;
    let mut writer = Writer { parameters, time, nodes: Tree::default(), notes: Notes::default() };
    let name = |index: usize| blueprint.nodes()[index].name.clone();
    let mut edges: Vec<(String, String)> =
        blueprint.edges().iter().map(|&(from, to)| (name(from), name(to))).collect();
    for (index, node) in blueprint.nodes().iter().enumerate() {
        match &node.kind {
            NodeKind::Dropout { .. } => {
                bypass(&node.name, &mut edges)?;
                writer.notes.dropped.push(node.name.clone());
            }
            NodeKind::GlobalAvgPool => {
                writer.global_pool(node, shapes.input(index), blueprint, &mut edges)?
            }
            _ => writer.node(node, shapes.input(index), shapes.output(index))?,
        }
    }
    for (from, _) in blueprint.back_edges() {
        let parameters = shapes.parameters(from);
        if parameters.iter().any(|parameter| parameter.name == "bias") {
            writer.notes.late.push(name(from));
        }
    }
    let mut metadata = neurons::time_metadata(time);
    metadata.fields.insert("gyrus_name".to_owned(), Field::text(&blueprint.name));
    let shape = vec![edges.len(), 2];
    let names = edges.into_iter().flat_map(|(from, to)| [from, to]).collect();
    let mut graph = typed("NIRGraph");
    graph.fields.insert("edges".to_owned(), Field { shape, data: Data::Text(names) });
    graph.groups.insert("metadata".to_owned(), metadata);
    graph.groups.insert("nodes".to_owned(), writer.nodes);
    let mut file = Tree::default();
    file.fields.insert("version".to_owned(), Field::text(LAYOUT));
    file.groups.insert("node".to_owned(), graph);
    Ok((hdf5::write(file)?, writer.notes.warnings(time)))
}

fn typed(kind: &str) -> Tree {
    let mut tree = Tree::default();
    tree.fields.insert("type".to_owned(), Field::text(kind));
    tree
}

struct Writer<'a> {
    parameters: &'a Parameters,
    time: Discretization,
    nodes: Tree,
    notes: Notes,
}

impl Writer<'_> {
    fn node(&mut self, node: &Node, input: &Shape, output: &Shape) -> Result<()> {
        let mut tree = typed(node.kind.name());
        let mut put = |name: &str, field: Field| drop(tree.fields.insert(name.to_owned(), field));
        let stored = |name: &'static str, shape: Shape| -> Result<Field> {
            let array = parameter(self.parameters, node, name, &shape)?;
            match array.values.iter().find(|value| !value.is_finite()) {
                None => Ok(Field { shape: shape.0, data: Data::Single(array.values.clone()) }),
                Some(&got) => Err(Error::NumberOutOfRange {
                    node: node.name.clone(),
                    kind: node.kind.name(),
                    field: name,
                    got: got.into(),
                    expected: "a finite number",
                }),
            }
        };
        let all = |value: f64| {
            let values = vec![value; input.iter().product()];
            Field { shape: input.to_vec(), data: Data::Double(values) }
        };
        match &node.kind {
            NodeKind::Input { shape } => put("shape", Field::wholes(shape)),
            NodeKind::Output => put("shape", Field::wholes(output)),
            NodeKind::Affine { out_features } => {
                put("weight", stored("weight", [*out_features, input[0]].into())?);
                put("bias", stored("bias", [*out_features].into())?);
            }
            NodeKind::Linear { out_features } => {
                put("weight", stored("weight", [*out_features, input[0]].into())?);
            }
            NodeKind::Scale => put("scale", stored("scale", input.clone())?),
            NodeKind::Conv1d(Conv1d { out_channels, kernel, stride, padding, dilation, groups, bias }) => {
                put("weight", stored("weight", [*out_channels, input[0] / groups, *kernel].into())?);
                put("input_shape", Field::whole(input[1] as i64));
                put("stride", Field::whole(*stride as i64));
                put("dilation", Field::whole(*dilation as i64));
                put("groups", Field::whole(*groups as i64));
                put(
                    "padding",
                    match padding {
                        Padding::Same => Field::text("same"),
                        Padding::Valid => Field::text("valid"),
                        Padding::Explicit([each]) => Field::whole(*each as i64),
                        Padding::Sides(_) => return Err(no_form(node, UNEVEN_PADDING)),
                    },
                );
                put(
                    "bias",
                    if *bias { stored("bias", [*out_channels].into())? } else { zeros(*out_channels) },
                );
                if !bias {
                    tree.groups.insert("metadata".to_owned(), no_bias());
                }
                if *groups != 1 {
                    self.notes.mistyped.push(node.name.clone());
                }
            }
            NodeKind::Conv2d(Conv2d { out_channels, kernel, stride, padding, dilation, groups, bias }) => {
                let weight = [*out_channels, input[0] / groups, kernel[0], kernel[1]];
                put("weight", stored("weight", weight.into())?);
                put("input_shape", Field::wholes(&input[1..]));
                put("stride", Field::wholes(stride));
                put("dilation", Field::wholes(dilation));
                put("groups", Field::whole(*groups as i64));
                put(
                    "padding",
                    match padding {
                        Padding::Same => Field::text("same"),
                        Padding::Valid => Field::text("valid"),
                        Padding::Explicit(each) => Field::wholes(each),
                        Padding::Sides(_) => return Err(no_form(node, UNEVEN_PADDING)),
                    },
                );
                put(
                    "bias",
                    if *bias { stored("bias", [*out_channels].into())? } else { zeros(*out_channels) },
                );
                if !bias {
                    tree.groups.insert("metadata".to_owned(), no_bias());
                }
                if *groups != 1 || (kernel[0] != kernel[1] && *padding != Padding::Same) {
                    self.notes.mistyped.push(node.name.clone());
                }
            }
            NodeKind::SumPool2d(pool) | NodeKind::AvgPool2d(pool) => {
                put("kernel_size", Field::wholes(&pool.kernel));
                put("stride", Field::wholes(&pool.stride));
                put("padding", Field::wholes(&pool.padding));
            }
            NodeKind::Flatten { start_axis, end_axis } => flatten(&mut tree, input, *start_axis, *end_axis),
            NodeKind::Delay { delay_ms } => {
                put("delay", all(super::source::shifted(*delay_ms, -3)));
                self.notes.timed = true;
            }
            NodeKind::Threshold { threshold } => put("threshold", all(*threshold)),
            NodeKind::I { .. }
            | NodeKind::IF { .. }
            | NodeKind::LI { .. }
            | NodeKind::LIF { .. }
            | NodeKind::CubaLI { .. }
            | NodeKind::CubaLIF { .. } => {
                let written = neurons::write(node, input, self.parameters, self.time)?;
                let (fields, model) = written.ok_or_else(|| no_form(node, NO_SUCH_KIND))?;
                tree.fields.extend(fields.fields);
                tree.groups = fields.groups;
                self.notes.neuron(node, &model);
            }
            NodeKind::AdaptiveLIF { .. } => {
                return Err(no_form(node, "NIR has no adaptive threshold"));
            }
            NodeKind::SignedIF { .. } => return Err(no_form(node, "NIR has no signed spikes")),
            NodeKind::BatchNorm { .. } => {
                let reason =
                    "NIR has no normalization; convert the run, which folds it into the weights before it";
                return Err(no_form(node, reason));
            }
            NodeKind::MaxPool2d(_) | NodeKind::CountMaxPool2d(_) => {
                let reason = "NIR has no maximum pooling; use AvgPool2d or SumPool2d";
                return Err(no_form(node, reason));
            }
            NodeKind::ReLU | NodeKind::QuantizedReLU { .. } => {
                let reason = "NIR has no activations other than spikes; convert the run first";
                return Err(no_form(node, reason));
            }
            // The caller writes dropouts and global averages, which are not single nodes in NIR.
            NodeKind::Dropout { .. } | NodeKind::GlobalAvgPool | without_spiking_form!() => {
                return Err(no_form(node, NO_SUCH_KIND));
            }
        }
        self.insert(node, node.name.clone(), tree)
    }

    fn insert(&mut self, node: &Node, name: String, tree: Tree) -> Result<()> {
        // HDF5 reads these two as paths.
        if name == "." || name == ".." || self.nodes.groups.contains_key(&name) {
            return Err(Error::NoNirForm {
                node: node.name.clone(),
                kind: node.kind.name(),
                reason: "its name, or the name of one of its parts, has another meaning there; rename it",
            });
        }
        self.nodes.groups.insert(name, tree);
        Ok(())
    }

    /// The mean over an image: an AvgPool2d as large as the image, and a Flatten.
    fn global_pool(
        &mut self,
        node: &Node,
        input: &Shape,
        blueprint: &Blueprint,
        edges: &mut Vec<(String, String)>,
    ) -> Result<()> {
        let &[channels, height, width] = &input[..] else {
            return Err(Error::NoNirForm {
                node: node.name.clone(),
                kind: node.kind.name(),
                reason: "NIR pools [channels, height, width] only",
            });
        };
        let mut joined = format!("{}.flatten", node.name);
        while blueprint.index_of(&joined).is_some() {
            joined.push('_');
        }
        let mut pool = typed("AvgPool2d");
        for (name, pair) in
            [("kernel_size", [height, width]), ("stride", [height, width]), ("padding", [0, 0])]
        {
            pool.fields.insert(name.to_owned(), Field::wholes(&pair));
        }
        let mut flat = typed("Flatten");
        flatten(&mut flat, &Shape::from([channels, 1, 1]), 0, None);
        edges.iter_mut().filter(|edge| edge.0 == node.name).for_each(|edge| edge.0.clone_from(&joined));
        edges.push((node.name.clone(), joined.clone()));
        self.insert(node, node.name.clone(), pool)?;
        self.insert(node, joined, flat)
    }
}

fn flatten(tree: &mut Tree, input: &Shape, start: usize, end: Option<usize>) {
    tree.fields.insert("input_type".to_owned(), Field::wholes(input));
    tree.fields.insert("start_dim".to_owned(), Field::whole(start as i64));
    tree.fields.insert("end_dim".to_owned(), Field::whole(end.map_or(-1, |end| end as i64)));
}

fn zeros(count: usize) -> Field {
    Field { shape: vec![count], data: Data::Single(vec![0.0; count]) }
}

fn no_bias() -> Tree {
    let mut metadata = Tree::default();
    metadata.fields.insert("gyrus_bias".to_owned(), Field::text("none"));
    metadata
}

const UNEVEN_PADDING: &str = "NIR pads both sides of an axis alike";
const NO_SUCH_KIND: &str = "NIR has no such kind of node";

fn no_form(node: &Node, reason: &'static str) -> Error {
    Error::NoNirForm { node: node.name.clone(), kind: node.kind.name(), reason }
}

/// Differences to other importers, by node.
#[derive(Default)]
struct Notes {
    timed: bool,
    subtract: Vec<String>,
    no_reset: Vec<String>,
    starts: Vec<String>,
    rests: Vec<String>,
    adds_up: Vec<String>,
    decays: Vec<(String, f64, f64)>,
    late: Vec<String>,
    dropped: Vec<String>,
    mistyped: Vec<String>,
}

impl Notes {
    fn neuron(&mut self, node: &Node, model: &NeuronModel) {
        let name = || node.name.clone();
        match (model.fires, model.reset) {
            (true, Reset::Subtract) => self.subtract.push(name()),
            (true, Reset::None) => self.no_reset.push(name()),
            _ => {}
        }
        let leaks = node.kind.neuron().is_some_and(|neuron| neuron.has("v_leak"));
        if model.v_start.iter().any(|&v| v != 0.0) {
            if leaks { self.rests.push(name()) } else { self.starts.push(name()) }
        }
        match leaks {
            true => {
                self.timed = true;
                let decay = f64::from(model.constant(NeuronConstant::Decay, 0));
                self.decays.push((name(), decay, 1.0 + decay.ln()));
            }
            false => self.adds_up.push(name()),
        }
    }

    fn warnings(self, time: Discretization) -> Vec<String> {
        let names = |nodes: &[String]| list(&nodes.iter().map(String::as_str).collect::<Vec<_>>());
        let dt = time.dt_ms;
        let mut warnings = Vec::new();
        let mut say = |nodes: &[String], text: String| {
            if !nodes.is_empty() {
                warnings.push(format!("{}: {text}", names(nodes)));
            }
        };
        say(
            &self.subtract,
            "reset by subtraction, which NIR cannot express; other libraries set the membrane to v_reset at a spike"
                .to_owned(),
        );
        say(
            &self.no_reset,
            "not reset by spikes, which NIR cannot express; other libraries set the membrane to v_reset at a spike"
                .to_owned(),
        );
        say(&self.starts, "the membrane starts at v_start, in other libraries at 0".to_owned());
        if !self.rests.is_empty() {
            let rests: Vec<&str> = self.rests.iter().map(String::as_str).collect();
            warnings.push(starts_at_rest(&rests));
        }
        if self.timed {
            warnings.push(format!(
                "NIR stores no time step: run the network with steps of {dt} ms in other libraries"
            ));
        }
        if let Some((node, exact, euler)) =
            self.decays.first().filter(|_| time.integration == Integration::Exact)
        {
            warnings.push(format!(
                "neurons are integrated exactly here and by Euler's rule in most other libraries, where the membrane of \
                 `{node}` keeps {euler:.4} of itself in a step instead of {exact:.4}"
            ));
        }
        if !self.adds_up.is_empty() && dt != 1.0 {
            let text = format!("r is written as the gain of a step of {dt} ms; NIR defines no unit for it");
            warnings.push(format!("{}: {text}", names(&self.adds_up)));
        }
        if !self.late.is_empty() {
            let text = "its bias acts from the first step on, in Norse from the second step on";
            warnings.push(format!("{}: {text}", names(&self.late)));
        }
        if !self.dropped.is_empty() {
            warnings.push(format!(
                "{}: left out, since dropout does nothing after training",
                names(&self.dropped)
            ));
        }
        if !self.mistyped.is_empty() {
            warnings.push(format!(
                "{}: the Python package nir 1.0.8 mistakes the shapes of grouped convolutions and of kernels that are not \
                 square, and reads the file with type_check=False only",
                names(&self.mistyped)
            ));
        }
        warnings
    }
}
