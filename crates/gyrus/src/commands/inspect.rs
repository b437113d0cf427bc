//! `gyrus inspect`: what is in a run folder, a NIR file or a safetensors file, without running anything.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use gyrus_blueprint::{Blueprint, Parameters, load_nir, text};
use gyrus_nn::from_safetensors;
use gyrus_train::RunFolder;
use safetensors::SafeTensors;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::say::say;

/// The largest safetensors file that is looked into: 16 GiB, as for a run's model.
const MAX_BYTES: u64 = 16 << 30;
/// How every HDF5 file begins.
const HDF5: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

/// Show what is in a run folder, a NIR file (.nir) or a safetensors file: nodes, shapes, parameters
#[derive(Args)]
pub(crate) struct Arguments {
    /// A run folder that `gyrus learn` has left, a .nir or a .safetensors file
    file: PathBuf,
    /// Print one JSON object on standard output, and nothing else
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = &arguments.file;
    let found = match path.is_dir() {
        true => of_run(path)?,
        false if is_nir(path) => of_nir(path)?,
        false => of_safetensors(path)?,
    };
    if arguments.json { say(found.json) } else { say(found.text.trim_end()) }
}

/// One description, for programs and for people.
struct Found {
    json: Value,
    text: String,
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

fn of_run(path: &Path) -> Result<Found, Failure> {
    let folder = RunFolder::open(path)?;
    let record = folder.read_record()?;
    let blueprint = folder.read_blueprint()?;
    let (state, _) = from_safetensors(&folder.read_model()?)?;
    let mut found = network(&blueprint, &state)?;
    let test = record.results.as_ref().and_then(|results| results.test.as_ref());
    let accuracy = test.and_then(|test| test.accuracy);
    found.json["format"] = json!("run");
    found.json["path"] = json!(path);
    found.json["data"] = json!(record.data.name);
    found.json["status"] = json!(record.status.name());
    found.json["test_accuracy"] = json!(accuracy);
    found.json["spiking"] = json!(record.settings.spiking);
    let result =
        accuracy.map_or(String::new(), |accuracy| format!(", {:.2} % right on the test", accuracy * 100.0));
    let time = record.settings.spiking.as_ref().map_or(String::new(), |spiking| {
        format!(", spiking over {} steps of {} ms", spiking.steps, spiking.time.dt_ms)
    });
    let head =
        format!("run {}: {} of {}{result}{time}", path.display(), record.status.name(), record.data.name);
    found.text = format!("{head}\n\n{}", found.text);
    Ok(found)
}

fn of_nir(path: &Path) -> Result<Found, Failure> {
    let nir = load_nir(path)?;
    let mut found = network(&nir.blueprint, &nir.parameters)?;
    found.json["format"] = json!("nir");
    found.json["path"] = json!(path);
    found.json["version"] = json!(nir.version);
    found.json["time"] = json!(nir.time);
    found.json["warnings"] = json!(nir.warnings);
    let time = match nir.time {
        Some(time) => format!("steps of {} ms ({:?})", time.dt_ms, time.integration).to_lowercase(),
        None => "a time step that the file does not say".to_owned(),
    };
    found.text = format!("NIR file {}, version {:?}, {time}\n\n{}", path.display(), nir.version, found.text);
    for warning in &nir.warnings {
        found.text += &format!("note: {warning}\n");
    }
    Ok(found)
}

/// Nodes with kinds, shapes and parameters, and totals.
fn network(blueprint: &Blueprint, parameters: &Parameters) -> Result<Found, Failure> {
    let shapes = blueprint.shapes()?;
    let name = |node: usize| blueprint.nodes()[node].name.as_str();
    let mut nodes = Vec::new();
    for (index, node) in blueprint.nodes().iter().enumerate() {
        // The kind with fields is a map of one entry, its name; without, a name.
        let kind = serde_json::to_value(&node.kind).map_err(Failure::failed)?;
        let settings = kind.get(node.kind.name()).cloned().unwrap_or_else(|| json!({}));
        let stored: Map<String, Value> = shapes
            .parameters(index)
            .iter()
            .map(|spec| (spec.name.to_owned(), json!({"shape": spec.shape, "trained": spec.trainable})))
            .collect();
        nodes.push(json!({
            "name": node.name,
            "kind": node.kind.name(),
            "settings": settings,
            "input_shape": shapes.input(index),
            "output_shape": shapes.output(index),
            "parameters": stored,
            "multiply_accumulates": shapes.node(index).multiply_accumulates,
        }));
    }
    let edges: Vec<[&str; 2]> = blueprint.edges().iter().map(|&(from, to)| [name(from), name(to)]).collect();
    let mut table = text(blueprint)?;
    if !parameters.is_empty() {
        table += "\n";
        let longest = parameters.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        for (name, array) in parameters {
            table += &format!("{name:<longest$}  {:?}\n", array.shape);
        }
    }
    let json = json!({
        "name": blueprint.name,
        "nodes": nodes,
        "edges": edges,
        "trained_parameters": shapes.trainable_parameters(),
        "stored_statistics": shapes.stored_statistics(),
        // Beyond 64 bits no JSON reader follows.
        "multiply_accumulates": u64::try_from(shapes.multiply_accumulates()).unwrap_or(u64::MAX),
    });
    Ok(Found { json, text: table })
}

fn of_safetensors(path: &Path) -> Result<Found, Failure> {
    let wrong = |what: String| Failure::Caller(format!("{}: {what}", path.display()));
    let unreadable = |error: std::io::Error| wrong(format!("cannot be read: {error}"));
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(wrong(format!("is longer than {} GiB", MAX_BYTES >> 30)));
    }
    let no_model = |error| {
        wrong(format!(
            "neither a NIR nor a safetensors file ({error}); expected one of these or a run folder"
        ))
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(no_model)?;
    let mut names = header.offset_keys();
    names.sort();
    let mut tensors = Map::new();
    let mut table = String::new();
    let mut elements = 0u64;
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for name in &names {
        let Some(info) = header.info(name) else { continue };
        let dtype = info.dtype.to_string();
        // What was validated has as many bytes as its shape says, so the product fits.
        elements += info.shape.iter().map(|&extent| extent as u64).product::<u64>();
        table += &format!("{:<longest$}  {dtype:<4}  {:?}\n", printable(name), info.shape);
        tensors.insert(name.clone(), json!({"dtype": dtype, "shape": info.shape}));
    }
    let metadata = header.metadata().clone().unwrap_or_default();
    let text = format!(
        "safetensors file {}: {} tensors, {elements} numbers, {} bytes\n\n{table}",
        path.display(),
        names.len(),
        bytes.len()
    );
    let json = json!({
        "format": "safetensors",
        "path": path,
        "tensors": tensors,
        "numbers": elements,
        "bytes": bytes.len(),
        "metadata": metadata.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
    });
    Ok(Found { json, text })
}

/// Names come from files; a terminal shall not obey them.
fn printable(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).collect()
}
