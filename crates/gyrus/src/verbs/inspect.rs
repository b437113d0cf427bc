//! What is in a model, a run, a network, a recording or a file of tensors, without running anything.

mod files;
mod models;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use gyrus_blueprint::{Blueprint, Discretization, NodeKind, Parameters, Shape, load_nir};
use gyrus_data::recordings;
use gyrus_language::Adapter;
use gyrus_nn::{SpikingSettings, from_safetensors};
use gyrus_train::{RunFolder, RunRecord, RunStatus};
use safetensors::SafeTensors;
use serde::Serialize;
use serde_json::Value;

pub use files::{InspectedBlueprint, InspectedCochlea, InspectedRecording};
pub use models::{
    InspectedAdapter, InspectedModel, InspectedShape, InspectedTokenizer, InspectedTraining, InspectedType,
};

use super::model::resolve_model;
use super::serialized;
use crate::{Error, Result};

/// The largest safetensors file that is read: 16 GiB, as for a run's model.
const MAX_BYTES: u64 = 16 << 30;
/// How every HDF5 file begins.
const HDF5: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

/// Looks into a model (GGUF, Hugging Face folder or id, llama2c), an adapter, a run folder, a blueprint (.toml), a NIR file (.nir),
/// an event recording or a safetensors file.
#[derive(Clone, Debug)]
pub struct Inspect {
    /// The folder or file.
    pub path: PathBuf,
}

/// What is in a folder or file.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum InspectReport {
    /// A run that learned from examples.
    Run(Box<InspectedRun>),
    /// A language model or an encoder.
    Model(Box<InspectedModel>),
    /// A low-rank adapter.
    Adapter(Box<InspectedAdapter>),
    /// A network without weights.
    Blueprint(Box<InspectedBlueprint>),
    /// A recording of an event camera.
    Recording(Box<InspectedRecording>),
    /// Recordings of a cochlea.
    Cochlea(Box<InspectedCochlea>),
    /// A network in the Neuromorphic Intermediate Representation.
    Nir(Box<InspectedNir>),
    /// Named tensors.
    Safetensors(InspectedSafetensors),
}

/// A network: its nodes, edges and totals.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedNetwork {
    /// The blueprint's name.
    pub name: String,
    /// In the order in which they work.
    pub nodes: Vec<InspectedNode>,
    /// From and to, by name.
    pub edges: Vec<[String; 2]>,
    /// Numbers that training changes by gradients.
    pub trained_parameters: u64,
    /// Numbers that training only collects, as batch normalization does.
    pub stored_statistics: u64,
    /// For one sample, or one step of it; what is beyond 64 bits is cut to them.
    pub multiply_accumulates: u64,
    /// The graph itself.
    #[serde(skip)]
    pub blueprint: Blueprint,
    /// The shapes of the stored arrays, by name.
    #[serde(skip)]
    pub stored: BTreeMap<String, Vec<usize>>,
}

/// A node of a network.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedNode {
    /// Its name.
    pub name: String,
    /// Its kind, as blueprints write it.
    pub kind: String,
    /// The kind's fields.
    pub settings: Value,
    /// Of one sample.
    pub input_shape: Shape,
    /// Of one sample.
    pub output_shape: Shape,
    /// The parameters that such a node holds, by name.
    #[serde(serialize_with = "serialized::map")]
    pub parameters: Vec<(String, InspectedParameter)>,
    /// For one sample.
    pub multiply_accumulates: u64,
}

/// A parameter of a node.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedParameter {
    /// As PyTorch has it.
    pub shape: Vec<usize>,
    /// Whether gradients change it.
    pub trained: bool,
}

/// A run that learned from examples.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedRun {
    /// Its network.
    #[serde(flatten)]
    pub network: InspectedNetwork,
    /// "run".
    pub format: &'static str,
    /// The folder.
    #[serde(serialize_with = "serialized::path")]
    pub path: PathBuf,
    /// The data set's name.
    pub data: String,
    /// Whether it is finished.
    pub status: RunStatus,
    /// Share of the test examples that were classified correctly.
    pub test_accuracy: Option<f64>,
    /// How a spiking network lives in time.
    pub spiking: Option<SpikingSettings>,
}

/// A NIR file.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedNir {
    /// Its network.
    #[serde(flatten)]
    pub network: InspectedNetwork,
    /// "nir".
    pub format: &'static str,
    /// The file.
    #[serde(serialize_with = "serialized::path")]
    pub path: PathBuf,
    /// Of the package that wrote it.
    #[serde(rename = "nir_version")]
    pub version: String,
    /// The time step, if the file states it.
    pub time: Option<Discretization>,
    /// Ambiguities of the file.
    pub warnings: Vec<String>,
}

/// A safetensors file.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedSafetensors {
    /// "safetensors".
    pub format: &'static str,
    /// The file.
    #[serde(serialize_with = "serialized::path")]
    pub path: PathBuf,
    /// By name.
    pub tensors: BTreeMap<String, InspectedTensor>,
    /// Elements of all tensors.
    pub numbers: u64,
    /// Size of the file.
    pub bytes: usize,
    /// The file's own metadata.
    pub metadata: BTreeMap<String, String>,
}

/// A tensor of a file.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedTensor {
    /// The format of its elements, as safetensors calls it.
    pub dtype: String,
    /// Its extents.
    pub shape: Vec<usize>,
}

impl Inspect {
    /// Of this folder or file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Looks into it.
    ///
    /// # Errors
    /// If it is none of these, or damaged.
    pub fn run(&self) -> Result<InspectReport> {
        let path = &*resolve_model(&self.path)?;
        if !path.exists() {
            return Err(Error::Request(format!("{} does not exist", path.display())));
        }
        if path.is_dir() { of_folder(path) } else { of_file(path) }
    }
}

fn of_folder(path: &Path) -> Result<InspectReport> {
    if Adapter::is_at(path) {
        return Ok(InspectReport::Adapter(Box::new(models::of_adapter(path)?)));
    }
    // The run of a language model is a model as well.
    if path.join("config.json").is_file() {
        return Ok(InspectReport::Model(Box::new(models::of_folder(path)?)));
    }
    if path.join("run.json").is_file() {
        return Ok(InspectReport::Run(Box::new(of_run(path)?)));
    }
    let inside = std::fs::read_dir(path).map_err(Error::io("read", path))?;
    let known = inside.filter_map(|entry| Some(entry.ok()?.path())).find(|file| {
        !file.is_dir() && (is_nir(file) || ["gguf", "safetensors"].iter().any(|end| has_ending(file, end)))
    });
    let hint = known.map_or(String::new(), |file| format!("; did you mean {}?", file.display()));
    Err(Error::Request(format!(
        "{} holds neither a run, nor a model in Hugging Face's files, nor an adapter{hint}",
        path.display()
    )))
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
}

fn of_file(path: &Path) -> Result<InspectReport> {
    let boxed = |model| InspectReport::Model(Box::new(model));
    Ok(if has_ending(path, "toml") {
        InspectReport::Blueprint(Box::new(files::of_blueprint(path)?))
    } else if has_ending(path, "gguf") {
        boxed(models::of_gguf(path)?)
    } else if gyrus_data::is_cochlea_file(path) {
        InspectReport::Cochlea(Box::new(files::of_cochlea(path)?))
    } else if is_nir(path) {
        InspectReport::Nir(Box::new(of_nir(path)?))
    } else if let Some(model) = models::of_llama2c(path) {
        boxed(model)
    } else if recordings::is_event_file(path) {
        InspectReport::Recording(Box::new(files::of_recording(path)?))
    } else {
        InspectReport::Safetensors(of_safetensors(path)?)
    })
}

/// Whether a path is meant as a NIR file: by its name, or because it is HDF5.
pub(crate) fn is_nir(path: &Path) -> bool {
    let begins_as_hdf5 = || {
        let mut start = Vec::new();
        let read = File::open(path).and_then(|file| file.take(8).read_to_end(&mut start));
        read.is_ok() && start == HDF5
    };
    !path.is_dir() && (path.extension().is_some_and(|extension| extension == "nir") || begins_as_hdf5())
}

fn of_run(path: &Path) -> Result<InspectedRun> {
    let folder = RunFolder::open(path)?;
    let record: RunRecord = folder.read_record()?;
    let blueprint = folder.read_blueprint()?;
    let (state, _) = from_safetensors(&folder.read_model()?)?;
    let test = record.results.as_ref().and_then(|results| results.test.as_ref());
    Ok(InspectedRun {
        network: network(blueprint, &state)?,
        format: "run",
        path: path.to_owned(),
        data: record.data.name.clone(),
        status: record.status,
        test_accuracy: test.and_then(|test| test.accuracy),
        spiking: record.settings.spiking,
    })
}

fn of_nir(path: &Path) -> Result<InspectedNir> {
    let nir = load_nir(path)?;
    Ok(InspectedNir {
        network: network(nir.blueprint, &nir.parameters)?,
        format: "nir",
        path: path.to_owned(),
        version: nir.version,
        time: nir.time,
        warnings: nir.warnings,
    })
}

/// Nodes with kinds, shapes and parameters, and totals.
fn network(blueprint: Blueprint, parameters: &Parameters) -> Result<InspectedNetwork> {
    let shapes = blueprint.shapes()?;
    let name = |node: usize| blueprint.nodes()[node].name.clone();
    let mut nodes = Vec::new();
    for (index, node) in blueprint.nodes().iter().enumerate() {
        let stored = shapes.parameters(index).iter().map(|spec| {
            let parameter = InspectedParameter { shape: spec.shape.to_vec(), trained: spec.trainable };
            (spec.name.to_owned(), parameter)
        });
        nodes.push(InspectedNode {
            name: node.name.clone(),
            kind: node.kind.name().to_owned(),
            settings: settings(&node.kind)?,
            input_shape: shapes.input(index).clone(),
            output_shape: shapes.output(index).clone(),
            parameters: stored.collect(),
            multiply_accumulates: shapes.node(index).multiply_accumulates,
        });
    }
    Ok(InspectedNetwork {
        name: blueprint.name.clone(),
        nodes,
        edges: blueprint.edges().iter().map(|&(from, to)| [name(from), name(to)]).collect(),
        trained_parameters: shapes.trainable_parameters(),
        stored_statistics: shapes.stored_statistics(),
        multiply_accumulates: u64::try_from(shapes.multiply_accumulates()).unwrap_or(u64::MAX),
        stored: parameters.iter().map(|(name, array)| (name.clone(), array.shape.clone())).collect(),
        blueprint,
    })
}

/// The fields of a kind of node.
fn settings(kind: &NodeKind) -> Result<Value> {
    // The kind with fields is a map of one entry, its name; without, a name.
    let value = serde_json::to_value(kind).map_err(Error::failed)?;
    Ok(value.get(kind.name()).cloned().unwrap_or_else(|| serde_json::json!({})))
}

fn of_safetensors(path: &Path) -> Result<InspectedSafetensors> {
    let wrong = |what: String| Error::Request(format!("{}: {what}", path.display()));
    let unreadable = |error: std::io::Error| wrong(format!("cannot be read: {error}"));
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(wrong(format!("is longer than {} GiB", MAX_BYTES >> 30)));
    }
    let no_model = |error| {
        wrong(format!(
            "read as a safetensors file: {error}; expected one, or a run folder, a model, an adapter, a .toml blueprint, \
             a .nir file or an event recording"
        ))
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(no_model)?;
    let mut tensors = BTreeMap::new();
    for name in header.offset_keys() {
        let Some(info) = header.info(&name) else { continue };
        let tensor = InspectedTensor { dtype: info.dtype.to_string(), shape: info.shape.clone() };
        tensors.insert(name, tensor);
    }
    // What was validated has as many bytes as its shape says, so the product fits.
    let elements =
        |tensor: &InspectedTensor| tensor.shape.iter().map(|&extent| extent as u64).product::<u64>();
    Ok(InspectedSafetensors {
        format: "safetensors",
        path: path.to_owned(),
        numbers: tensors.values().map(elements).sum(),
        tensors,
        bytes: bytes.len(),
        metadata: header.metadata().clone().unwrap_or_default().into_iter().collect(),
    })
}
