//! Files of the Neuromorphic Intermediate Representation (NIR, Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9): a
//! blueprint and its parameters in HDF5, as Norse, snnTorch, sinabs, SpikingJelly and others exchange them.
//!
//! [`read_nir`] reads files of all versions of the Python package `nir` so far (0.1 to 1.0), every kind of node, nested
//! graphs (flattened; names joined by `.`), branches, cycles and delays. [`write_nir`] writes files that version 1.0.8 of
//! the package reads. The rules of translation:
//!
//! - **Time** is in seconds in files and in milliseconds here. The decimal point moves, so
//!   numbers of up to 15 digits are not rounded.
//! - **Constants of neurons** are one array in a file; here they are one number if all are equal, otherwise `per_neuron`.
//! - **r of I and IF** has no agreed unit. sinabs, Norse and snnTorch write an r of 1 for neurons that add I at each step,
//!   whatever its length ([`NirNetwork::with_step`]). Any other number is per second, as SpikingJelly writes 1 / dt. Our files
//!   hold what one step adds, and the length of the step beside it.
//! - **A sum** is several edges into one node. Edges that close a cycle deliver one step later.
//! - **A Delay or Threshold** that differs between elements becomes one node per value, with masks.
//! - **What NIR leaves open** is written to the `metadata` of nodes and read back from there. Other libraries ignore it, so
//!   [`write_nir`] returns a warning whenever they would compute something else:
//!
//! | name | where | holds |
//! |---|---|---|
//! | `gyrus_reset` | nodes that fire | `subtract` (v ← v − v_threshold) or `none`; without it NIR's v ← v_reset |
//! | `gyrus_v_start` | IF | v before the first step; one number, or one per neuron |
//! | `gyrus_dt_ms` | nodes and the graph | the step in milliseconds |
//! | `gyrus_integration` | nodes and the graph | `exact` (for an input constant within a step) or `euler` |
//! | `gyrus_per_neuron`, `gyrus_learned` | neurons | names of constants that are stored per neuron or trained, joined by commas |
//! | `gyrus_bias` | convolutions | `none`: the zeros in `bias` mean no bias, which NIR cannot express |
//! | `gyrus_name` | the graph | the blueprint's name |
//!
//! A v_reset of 0, the default, is not written: version 1.0.4 of the package does not know the field. [`portable`] gives a
//! network the form that one of the other programs reads.
//!
//! A GlobalAvgPool is written as the AvgPool2d and Flatten that it equals, and Dropout is left out. Other kinds that NIR
//! lacks are errors that name the node, and unknown fields give a warning: nothing is dropped silently.
//!
//! A file is read within the limits that `hdf5` (beside this file) describes. Cost: proportional to the file's contents.

mod exporter;
mod graph;
mod hdf5;
mod neurons;
mod nodes;
mod pixels;
mod portable;
mod source;
mod write;

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use crate::neuron::{Array, Discretization, Parameters};
use crate::{Blueprint, Error, Node, NodeKind, Result, Shape};

pub use exporter::NirExporter;
pub use pixels::with_standardization;
pub use portable::{NirTarget, Portable, portable};
pub use write::write_nir;

use nodes::{GivenShape, Leaf};

/// The largest NIR file to read: 4 GiB.
pub const MAX_NIR_BYTES: u64 = 4 << 30;

/// The contents of a NIR file.
#[derive(Clone, Debug, PartialEq)]
pub struct NirNetwork {
    /// The graph, with its nodes in topological order.
    pub blueprint: Blueprint,
    /// Its numbers, `<node>.<parameter>`, shaped as [`Blueprint::shapes`] says.
    pub parameters: Parameters,
    /// The step and the integration, if the file holds them; NIR itself does not.
    pub time: Option<Discretization>,
    /// Version of the package that wrote the file; empty if unknown.
    pub version: String,
    /// The program that wrote the file, where its numbers tell.
    pub exporter: Option<NirExporter>,
    /// I and IF nodes that add their input at each step, whatever its length; read as 1 per millisecond, that is, for steps
    /// of 1 ms.
    pub each_step: Vec<String>,
    /// Ambiguities of the file, one sentence each.
    pub warnings: Vec<String>,
}

impl NirNetwork {
    /// The network for steps of this length, which files of other libraries do not hold.
    ///
    /// # Errors
    /// If `dt_ms` is not a finite number above 0.
    pub fn with_step(mut self, time: Discretization) -> Result<Self> {
        if !(time.dt_ms.is_finite() && time.dt_ms > 0.0) {
            return Err(Error::NumberOutOfRange {
                node: self.blueprint.name,
                kind: "NIRGraph",
                field: "dt_ms",
                got: time.dt_ms,
                expected: "a finite number above 0",
            });
        }
        let mut nodes = self.blueprint.nodes().to_vec();
        for node in nodes.iter_mut().filter(|node| self.each_step.contains(&node.name)) {
            if let NodeKind::I { resistance, .. } | NodeKind::IF { resistance, .. } = &mut node.kind {
                *resistance = 1.0 / time.dt_ms;
            }
        }
        let edges = self.blueprint.edges().to_vec();
        self.blueprint = Blueprint::new(self.blueprint.name, nodes, edges)?;
        self.time = Some(time);
        Ok(self)
    }
}

/// Reads a NIR file. Errors name the file.
///
/// # Errors
/// If the file cannot be read, or for what [`read_nir`] refuses.
pub fn load_nir(path: impl AsRef<Path>) -> Result<NirNetwork> {
    let path = path.as_ref();
    let unreadable = |source| Error::Read { path: path.to_owned(), source };
    let in_file = |source| Error::InFile { path: path.to_owned(), source: Box::new(source) };
    let file = fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // The limit also holds for files without a known length, such as pipes.
    file.take(MAX_NIR_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    read_nir(bytes).map_err(in_file)
}

/// Reads the bytes of a NIR file.
///
/// # Errors
/// If they are not HDF5, not NIR, or more than they can hold; if a node lacks a field, or a field is of the wrong type or
/// shape or out of range; or if the graph is not a valid blueprint. Errors name the node or the place in the file.
pub fn read_nir(bytes: Vec<u8>) -> Result<NirNetwork> {
    let length = bytes.len() as u64;
    if length > MAX_NIR_BYTES {
        return Err(Error::NirTooLarge { bytes: length, limit: MAX_NIR_BYTES });
    }
    let mut file = hdf5::read(bytes)?;
    let version = match file.fields.remove("version").map(|field| field.data) {
        Some(hdf5::Data::Text(texts)) => texts.concat(),
        _ => String::new(),
    };
    let Some(mut root) = file.groups.remove("node") else {
        return Err(Error::NotNir { reason: "it has no group `node`".to_owned() });
    };
    graph::check_graph(&mut root)?;
    let flat = graph::flatten(root)?;
    let mut nodes = Vec::with_capacity(flat.leaves.len());
    let mut parameters = Parameters::new();
    let mut given = HashMap::new();
    let mut warnings = Vec::new();
    let mut each_step = Vec::new();
    let mut v_reset = false;
    for Leaf { name, kind, parameters: arrays, given: shape, each_step: adds, v_reset: stated, unknown } in
        flat.leaves
    {
        v_reset |= stated;
        if adds {
            each_step.push(name.clone());
        }
        for field in unknown {
            warnings.push(format!("`{name}`: NIR has no field `{field}`, so it is ignored"));
        }
        for (parameter, array) in arrays {
            parameters.insert(format!("{name}.{parameter}"), array);
        }
        if let Some(shape) = shape {
            given.insert(name.clone(), shape);
        }
        nodes.push(Node { name, kind });
    }
    let edges = crate::builder::resolve(&nodes, &flat.edges)?;
    let name = flat.name.unwrap_or_else(|| "nir".to_owned());
    let blueprint = in_working_order(&Blueprint::new(name, nodes, edges)?)?;
    check_shapes(&blueprint, &parameters, &given)?;
    warnings.extend(unclear(&blueprint, &parameters, flat.time, &each_step));
    let exporter = match flat.time {
        Some(_) => Some(NirExporter::Gyrus),
        None => exporter::recognize(&blueprint, &parameters, v_reset),
    };
    Ok(NirNetwork { blueprint, parameters, time: flat.time, version, exporter, each_step, warnings })
}

/// The same graph with its nodes in topological order: HDF5 lists them by name.
fn in_working_order(blueprint: &Blueprint) -> Result<Blueprint> {
    let order = blueprint.topological_order()?;
    let mut places = vec![0; order.len()];
    for (place, &node) in order.iter().enumerate() {
        places[node] = place;
    }
    let nodes = order.iter().map(|&node| blueprint.nodes()[node].clone()).collect();
    let edges = blueprint.edges().iter().map(|&(from, to)| (places[from], places[to])).collect();
    Blueprint::new(blueprint.name.clone(), nodes, edges)
}

/// Compares the shapes in the file with those inferred from the Input's.
fn check_shapes(
    blueprint: &Blueprint,
    parameters: &Parameters,
    given: &HashMap<String, GivenShape>,
) -> Result<()> {
    let shapes = blueprint.shapes()?;
    for (index, node) in blueprint.nodes().iter().enumerate() {
        if let Some(GivenShape { field, shape, skip, broadcasts }) = given.get(&node.name) {
            let entering = shapes.input(index).get(*skip..).unwrap_or_default();
            let one = *broadcasts && shape.iter().product::<usize>() == 1;
            if shape != entering && !one {
                return Err(Error::NirField {
                    node: node.name.clone(),
                    kind: node.kind.name().into(),
                    field: (*field).into(),
                    got: format!("for the shape {shape:?}"),
                    expected: format!("{entering:?}, which is what enters the node"),
                });
            }
        }
        for spec in shapes.parameters(index) {
            parameter(parameters, node, spec.name, &spec.shape)?;
        }
    }
    Ok(())
}

/// A parameter, which must exist in this shape.
fn parameter<'a>(
    parameters: &'a Parameters,
    node: &Node,
    name: &'static str,
    expected: &Shape,
) -> Result<&'a Array> {
    let found = parameters.get(&format!("{}.{name}", node.name));
    match found {
        Some(array) if array.shape[..] == expected[..] && Some(array.values.len()) == expected.elements() => {
            Ok(array)
        }
        _ => Err(Error::ParameterShape {
            node: node.name.clone(),
            kind: node.kind.name(),
            parameter: name,
            expected: expected.clone(),
            got: found.map(|array| Shape(array.shape.clone())),
        }),
    }
}

/// Warnings about a file that holds less than a body needs.
fn unclear(
    blueprint: &Blueprint,
    parameters: &Parameters,
    time: Option<Discretization>,
    each_step: &[String],
) -> Vec<String> {
    let mut rates = Vec::new();
    let mut resting = Vec::new();
    for node in blueprint.nodes() {
        let Some(neuron) = node.kind.neuron() else { continue };
        let is = |name: &str, value: f64| match parameters.get(&format!("{}.{name}", node.name)) {
            Some(array) => array.values.iter().all(|&stored| f64::from(stored) == value),
            None => neuron.constants.iter().all(|&(constant, number)| constant != name || number == value),
        };
        if time.is_none() && neurons::adds_up(node.kind.name()) && !each_step.contains(&node.name) {
            rates.push(node.name.as_str());
        }
        if !is("v_leak", 0.0) {
            resting.push(node.name.as_str());
        }
    }
    let mut warnings = Vec::new();
    if !rates.is_empty() {
        warnings.push(format!("{}: r is read as per second; NIR defines no unit for it", list(&rates)));
    }
    if !resting.is_empty() {
        warnings.push(starts_at_rest(&resting));
    }
    warnings
}

fn starts_at_rest(nodes: &[&str]) -> String {
    format!("{}: the membrane starts at v_leak, not at 0 as in most other libraries", list(nodes))
}

/// Names in backticks; long lists are shortened.
fn list(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    let mut text: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if names.len() > SHOWN {
        text.push(format!("and {} more", names.len() - SHOWN));
    }
    text.join(", ")
}
