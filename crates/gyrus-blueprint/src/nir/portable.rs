//! A network in the form that other programs read from a NIR file.
//!
//! What their importers know and how they compute differs, so a file may be written for one of them (as the sources of
//! snnTorch 1.0, Norse 1.1 and sinabs 3.1 show):
//!
//! | | snnTorch | Norse | sinabs |
//! |---|---|---|---|
//! | pooling | AvgPool2d | SumPool2d | SumPool2d |
//! | Linear | read | its weights are lost | not read |
//! | LIF | β = 1 − 0.1 ms / τ, threshold / (r · 0.1 ms / τ) | 1 − dt / τ, dt = 1 ms unless given, r ignored | e^(−1 / τ), τ in steps written as seconds; r ignored, the input is not scaled |
//! | IF | β = 0.9, which is no IF | adds its input | adds its input, membrane at least −threshold |
//! | reset | to zero | to zero | subtracts, several spikes in a step |
//!
//! For all: a Linear becomes an Affine; averages become sums and sums averages where the importer needs it, their factor going
//! into the weights behind (or before) them, or into the neurons; a maximum over spikes becomes a sum with neurons behind it
//! that fire if anything has. For one of the programs, neurons get the constants with which it computes the same step.

use serde::{Deserialize, Serialize};

use crate::neuron::{Array, Discretization, Integration, NeuronConstant, NeuronModel, Parameters, Reset};
use crate::{Blueprint, Error, Node, NodeKind, Pool2d, Result, Shape};

use super::list;

/// The program that a file is written for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NirTarget {
    /// None in particular: physical time constants, in the words of NIR.
    #[default]
    Any,
    /// snnTorch 1.0.
    SnnTorch,
    /// Norse 1.1, with its default step of 1 ms.
    Norse,
    /// sinabs 3.1.
    Sinabs,
}

impl NirTarget {
    /// Every target.
    pub const ALL: [Self; 4] = [Self::Any, Self::SnnTorch, Self::Norse, Self::Sinabs];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::SnnTorch => "snntorch",
            Self::Norse => "norse",
            Self::Sinabs => "sinabs",
        }
    }

    /// The step and the integration with which it computes.
    fn time(self, own: Discretization) -> Discretization {
        match self {
            Self::Any => own,
            Self::SnnTorch => Discretization { dt_ms: 0.1, integration: Integration::Euler },
            Self::Norse => Discretization { dt_ms: 1.0, integration: Integration::Euler },
            Self::Sinabs => Discretization { dt_ms: 1000.0, integration: Integration::Exact },
        }
    }

    /// The kind of pooling that it reads.
    fn averages(self) -> bool {
        self == Self::SnnTorch
    }
}

/// A network in another form.
#[derive(Clone, Debug, PartialEq)]
pub struct Portable {
    /// Its graph.
    pub blueprint: Blueprint,
    /// Its numbers.
    pub parameters: Parameters,
    /// The step for which its constants are.
    pub time: Discretization,
    /// What the program cannot read or computes otherwise, one sentence each.
    pub warnings: Vec<String>,
}

/// The network as this program reads it.
///
/// # Errors
/// If a node has no form that the program reads, or a parameter is missing.
pub fn portable(
    blueprint: &Blueprint,
    parameters: &Parameters,
    time: Discretization,
    target: NirTarget,
) -> Result<Portable> {
    let mut form = Form {
        nodes: blueprint.nodes().to_vec(),
        edges: blueprint.edges().to_vec(),
        parameters: parameters.clone(),
        target,
        kept: Vec::new(),
        others: Vec::new(),
    };
    let shapes = blueprint.shapes()?;
    for index in 0..blueprint.nodes().len() {
        let entering = shapes.input(index).clone();
        match form.nodes[index].kind.clone() {
            NodeKind::Linear { out_features } => form.with_bias(index, out_features),
            NodeKind::AvgPool2d(pool) if !target.averages() => {
                form.pool(index, NodeKind::SumPool2d(pool), 1.0 / area(pool));
            }
            NodeKind::SumPool2d(pool) if target.averages() => {
                form.pool(index, NodeKind::AvgPool2d(pool), area(pool));
            }
            NodeKind::GlobalAvgPool if !target.averages() => form.global(index, &entering)?,
            NodeKind::MaxPool2d(pool) => form.maximum(index, pool, time)?,
            _ => {}
        }
    }
    let Form { nodes, edges, parameters, others, .. } = &mut form;
    let shaped = Blueprint::new(blueprint.name.clone(), nodes.clone(), edges.clone())?;
    let shapes = shaped.shapes()?;
    let own = target.time(time);
    if target != NirTarget::Any {
        for (index, node) in nodes.iter_mut().enumerate() {
            if let Some(text) = in_steps_of(node, shapes.output(index), parameters, time, target)? {
                others.push(text);
            }
        }
    }
    let Form { nodes, edges, parameters, kept, others, .. } = form;
    let mut warnings = others;
    if !kept.is_empty() {
        let names: Vec<&str> = kept.iter().map(String::as_str).collect();
        let (this, other) =
            if target.averages() { ("SumPool2d", "snnTorch") } else { ("AvgPool2d", "Norse and sinabs") };
        warnings.push(format!("{}: {this}, which {other} cannot read", list(&names)));
    } else if target == NirTarget::Any && nodes.iter().any(|node| matches!(node.kind, NodeKind::SumPool2d(_)))
    {
        warnings.push(
            "pooling is written as SumPool2d, which snnTorch cannot read: for it, write the file with --nir-for snntorch"
                .to_owned(),
        );
    }
    Ok(Portable {
        blueprint: Blueprint::new(blueprint.name.clone(), nodes, edges)?,
        parameters,
        time: own,
        warnings,
    })
}

fn area(pool: Pool2d) -> f32 {
    (pool.kernel[0] * pool.kernel[1]) as f32
}

/// A network on its way.
struct Form {
    nodes: Vec<Node>,
    edges: Vec<(usize, usize)>,
    parameters: Parameters,
    target: NirTarget,
    /// Pools whose factor fits nowhere.
    kept: Vec<String>,
    others: Vec<String>,
}

impl Form {
    fn sources(&self, node: usize) -> Vec<usize> {
        self.edges.iter().filter(|edge| edge.1 == node).map(|edge| edge.0).collect()
    }

    fn targets(&self, node: usize) -> Vec<usize> {
        self.edges.iter().filter(|edge| edge.0 == node).map(|edge| edge.1).collect()
    }

    fn with_bias(&mut self, node: usize, out_features: usize) {
        self.nodes[node].kind = NodeKind::Affine { out_features };
        let bias = Array { shape: vec![out_features], values: vec![0.0; out_features] };
        self.parameters.insert(format!("{}.bias", self.nodes[node].name), bias);
    }

    /// Makes another pool of a node, whose output is then too large by 1 / `factor`.
    fn pool(&mut self, node: usize, kind: NodeKind, factor: f32) {
        if self.scale(node, factor) {
            self.nodes[node].kind = kind;
        } else {
            self.kept.push(self.nodes[node].name.clone());
        }
    }

    /// Multiplies what a node's output does by a factor; false if there is no place for it.
    fn scale(&mut self, node: usize, factor: f32) -> bool {
        // Behind: through nodes that only pass on, to weights or neurons that nothing else feeds.
        let mut behind = Vec::new();
        let mut open = self.targets(node);
        while let Some(next) = open.pop() {
            let alone = self.sources(next).len() == 1;
            match &self.nodes[next].kind {
                NodeKind::Flatten { .. } | NodeKind::Dropout { .. } if alone => {
                    open.extend(self.targets(next))
                }
                NodeKind::Affine { .. }
                | NodeKind::Linear { .. }
                | NodeKind::Conv1d(_)
                | NodeKind::Conv2d(_)
                    if alone =>
                {
                    behind.push(next);
                }
                NodeKind::IF { learned, per_neuron, .. } | NodeKind::LIF { learned, per_neuron, .. }
                    if alone
                        && ![learned, per_neuron].iter().any(|l| l.iter().any(|n| n == "resistance")) =>
                {
                    behind.push(next);
                }
                _ => return self.scale_before(node, factor),
            }
        }
        for next in behind {
            match &mut self.nodes[next].kind {
                NodeKind::IF { resistance, .. } | NodeKind::LIF { resistance, .. } => {
                    *resistance *= f64::from(factor);
                }
                _ => self.times(next, "weight", factor),
            }
        }
        true
    }

    /// The same by weights before the node that feed nothing else.
    fn scale_before(&mut self, node: usize, factor: f32) -> bool {
        let &[before] = &self.sources(node)[..] else { return false };
        let weights = matches!(
            self.nodes[before].kind,
            NodeKind::Affine { .. } | NodeKind::Linear { .. } | NodeKind::Conv1d(_) | NodeKind::Conv2d(_)
        );
        if !weights || self.targets(before) != [node] {
            return false;
        }
        self.times(before, "weight", factor);
        self.times(before, "bias", factor);
        true
    }

    fn times(&mut self, node: usize, parameter: &str, factor: f32) {
        let name = format!("{}.{parameter}", self.nodes[node].name);
        if let Some(array) = self.parameters.get_mut(&name) {
            array.values.iter_mut().for_each(|value| *value *= factor);
        }
    }

    /// The mean over an image: a sum as large as the image, and a Flatten.
    fn global(&mut self, node: usize, entering: &Shape) -> Result<()> {
        let &[_, height, width] = &entering[..] else { return Ok(()) };
        let pool = Pool2d { kernel: [height, width], stride: [height, width], padding: [0, 0] };
        if self.scale(node, 1.0 / area(pool)) {
            self.nodes[node].kind = NodeKind::SumPool2d(pool);
            self.behind(node, "flatten", NodeKind::flatten());
        }
        Ok(())
    }

    /// A maximum over spikes: whether any has come.
    fn maximum(&mut self, node: usize, pool: Pool2d, time: Discretization) -> Result<()> {
        let refuse = |reason| {
            let node = &self.nodes[node];
            Err(Error::NoNirForm { node: node.name.clone(), kind: node.kind.name(), reason })
        };
        let sources = self.sources(node);
        let fires = |&source: &usize| self.nodes[source].kind.neuron().is_some_and(|own| own.reset.is_some());
        if sources.len() != 1 || !sources.iter().all(fires) {
            return refuse("only a maximum over spikes has a form in NIR; use AvgPool2d or SumPool2d");
        }
        if self.target == NirTarget::Sinabs {
            return refuse(
                "sinabs' neurons fire several times in a step, so that none can stand for a maximum; use AvgPool2d or SumPool2d",
            );
        }
        // Any number of spikes above none reaches the threshold, and the membrane starts again at 0.
        let neuron = NodeKind::IF {
            resistance: 1.0 / time.dt_ms,
            v_threshold: if self.target.averages() { 0.5 / f64::from(area(pool)) } else { 0.5 },
            v_reset: 0.0,
            reset: Reset::Hard,
            v_start: 0.0,
            per_neuron: Vec::new(),
            learned: Vec::new(),
        };
        self.nodes[node].kind =
            if self.target.averages() { NodeKind::AvgPool2d(pool) } else { NodeKind::SumPool2d(pool) };
        self.behind(node, "any", neuron);
        Ok(())
    }

    /// Puts a node behind another one.
    fn behind(&mut self, node: usize, part: &str, kind: NodeKind) {
        let mut name = format!("{}_{part}", self.nodes[node].name);
        while self.nodes.iter().any(|node| node.name == name) {
            name.push('_');
        }
        let new = self.nodes.len();
        self.nodes.push(Node { name, kind });
        self.edges.iter_mut().filter(|edge| edge.0 == node).for_each(|edge| edge.0 = new);
        self.edges.push((node, new));
    }
}

/// Gives a node of neurons the constants with which the program computes the same step; returns why it cannot.
fn in_steps_of(
    node: &mut Node,
    shape: &Shape,
    parameters: &mut Parameters,
    time: Discretization,
    target: NirTarget,
) -> Result<Option<String>> {
    if !matches!(node.kind, NodeKind::IF { .. } | NodeKind::LIF { .. }) {
        return Ok(node.kind.neuron().map(|_| {
            format!("`{}`: left as it is; only IF and LIF are written for {}", node.name, target.name())
        }));
    }
    let neurons = shape.iter().product();
    let Some(model) = NeuronModel::new(node, neurons, parameters, time)? else { return Ok(None) };
    let row = |which: NeuronConstant| -> Vec<f64> {
        model.constants[which as usize].iter().map(|&value| f64::from(value)).collect()
    };
    let (decay, gain) = (row(NeuronConstant::Decay), row(NeuronConstant::Gain));
    let (threshold, reset) = (row(NeuronConstant::Threshold), row(NeuronConstant::Reset));
    let leaks = matches!(node.kind, NodeKind::LIF { .. });
    let mut problem = None;
    if row(NeuronConstant::Drive).iter().any(|&drive| drive != 0.0) {
        problem = Some(format!("`{}`: its v_leak is not 0, which {} cannot read", node.name, target.name()));
    }
    if gain.iter().any(|&gain| gain <= 0.0)
        || decay.iter().any(|&decay| decay <= 0.0 && target == NirTarget::Sinabs)
    {
        return Ok(Some(format!("`{}`: its constants have no form in {}", node.name, target.name())));
    }
    let reset_how = node.kind.neuron().and_then(|neuron| neuron.reset).unwrap_or_default();
    let v_leak = match &node.kind {
        NodeKind::LIF { v_leak, .. } => *v_leak,
        _ => 0.0,
    };
    let v_start: Vec<f64> = model.v_start.iter().map(|&value| f64::from(value)).collect();
    let each = |of: &dyn Fn(usize) -> f64| -> Vec<f64> { (0..decay.len()).map(of).collect() };
    let at = |values: &[f64], index: usize| values[if values.len() == 1 { 0 } else { index }];
    // Membranes in units of the gain: inputs then count as they are.
    let scaled = |values: &[f64]| each(&|index| at(values, index) / at(&gain, index));
    // Longer than what single precision tells from 1.
    const FOREVER_MS: f64 = 1e8;
    type Constants = Vec<(&'static str, Vec<f64>)>;
    let (kind, constants): (&str, Constants) = match (target, leaks) {
        (NirTarget::SnnTorch, _) => {
            let tau = each(&|index| match at(&decay, index) {
                decay if decay < 1.0 => 0.1 / (1.0 - decay),
                _ => FOREVER_MS,
            });
            let r = tau.iter().map(|tau| tau / 0.1).collect();
            (
                "LIF",
                vec![
                    ("tau_membrane_ms", tau),
                    ("resistance", r),
                    ("v_threshold", scaled(&threshold)),
                    ("v_reset", scaled(&reset)),
                ],
            )
        }
        (NirTarget::Norse, true) => {
            let tau = each(&|index| 1.0 / (1.0 - at(&decay, index)));
            // r is 1 there: the gain of a step is 1 − decay.
            let own = |values: &[f64]| {
                each(&|index| at(values, index) / at(&gain, index) * (1.0 - at(&decay, index)))
            };
            (
                "LIF",
                vec![
                    ("tau_membrane_ms", tau),
                    ("resistance", vec![1.0]),
                    ("v_threshold", own(&threshold)),
                    ("v_reset", own(&reset)),
                ],
            )
        }
        (NirTarget::Sinabs, true) => {
            let tau = each(&|index| -1000.0 / at(&decay, index).ln());
            // By which the gain of a step is 1 for those who read r, too.
            let r = each(&|index| 1.0 / (1.0 - at(&decay, index)));
            (
                "LIF",
                vec![
                    ("tau_membrane_ms", tau),
                    ("resistance", r),
                    ("v_threshold", scaled(&threshold)),
                    ("v_reset", scaled(&reset)),
                ],
            )
        }
        _ => {
            // What one step adds is written.
            let dt = target.time(time).dt_ms;
            (
                "IF",
                vec![
                    ("resistance", vec![1.0 / dt]),
                    ("v_threshold", scaled(&threshold)),
                    ("v_reset", scaled(&reset)),
                    ("v_start", scaled(&v_start)),
                ],
            )
        }
    };
    if kind == "LIF" && !leaks && v_start.iter().any(|&v| v != 0.0) {
        problem = Some(format!(
            "`{}`: the membrane starts at v_start, which a LIF cannot express, in {} at 0",
            node.name,
            target.name()
        ));
    }
    if target == NirTarget::Sinabs && !leaks {
        problem = Some(format!(
            "`{}`: sinabs keeps the membrane above −threshold, and fires several times in a step where it has reached several \
             thresholds",
            node.name
        ));
    }
    if target == NirTarget::Sinabs && leaks {
        let does = match reset_how {
            Reset::Subtract => {
                "sinabs fires several times in a step where the membrane has reached several thresholds"
            }
            _ => {
                "sinabs subtracts the threshold at a spike, which this network does not; train it with --reset subtract"
            }
        };
        problem = Some(format!("`{}`: {does}", node.name));
    }
    *node = neuron(node.name.clone(), kind, constants, (reset_how, v_leak), shape, parameters);
    Ok(problem)
}

/// A node of neurons with these constants, which are stored if they differ between neurons.
fn neuron(
    name: String,
    kind: &str,
    constants: Vec<(&'static str, Vec<f64>)>,
    (reset, leak): (Reset, f64),
    shape: &Shape,
    parameters: &mut Parameters,
) -> Node {
    for constant in ["tau_membrane_ms", "resistance", "v_leak", "v_threshold", "v_reset", "v_start"] {
        parameters.remove(&format!("{name}.{constant}"));
    }
    let mut per_neuron = Vec::new();
    let mut value = |wanted: &str, usual: f64| -> f64 {
        let Some((constant, values)) = constants.iter().find(|(constant, _)| *constant == wanted) else {
            return usual;
        };
        let first = values.first().copied().unwrap_or(usual);
        if values.iter().any(|&value| value != first) && values.len() > 1 {
            per_neuron.push((*constant).to_owned());
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            parameters.insert(format!("{name}.{constant}"), Array { shape: shape.to_vec(), values });
        }
        first
    };
    let (resistance, v_threshold, v_reset) =
        (value("resistance", 1.0), value("v_threshold", 1.0), value("v_reset", 0.0));
    let kind = match kind {
        "LIF" => {
            let tau_membrane_ms = value("tau_membrane_ms", 1.0);
            NodeKind::LIF {
                tau_membrane_ms,
                resistance,
                v_leak: leak,
                v_threshold,
                v_reset,
                reset,
                per_neuron,
                learned: Vec::new(),
            }
        }
        _ => {
            let v_start = value("v_start", 0.0);
            NodeKind::IF { resistance, v_threshold, v_reset, reset, v_start, per_neuron, learned: Vec::new() }
        }
    };
    Node { name, kind }
}
