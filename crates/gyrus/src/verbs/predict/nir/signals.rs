//! Signals of a NIR network over the steps, as files: CSV or NumPy's `.npy`.
//!
//! A CSV file has a line for each step and a column for each element of each signal, in NIR's order (channels first),
//! named `lif1.spikes[0]`; of several inputs, a first column says which. A `.npy` file holds one signal, `[steps, ...]` or,
//! of several inputs of one length, `[inputs, steps, ...]`; several signals become several files.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use gyrus_blueprint::{Blueprint, Image};
use gyrus_files::{StateTensor, to_npy, write_atomically};
use gyrus_nn::{Network, Observation, Observed};
use gyrus_tensor::spike_words;

use crate::{Error, Result};

/// What the network's Output is called in files.
pub(super) const OUTPUT: &str = "output";

/// One signal while a network answers one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedSignal {
    /// `output`, or `NODE.spikes` and `NODE.potentials`.
    pub name: String,
    /// The shape of one step, channels first.
    pub shape: Vec<usize>,
    /// `[steps, ...shape]`. Potentials are those after a step, its reset included.
    pub values: Vec<f32>,
}

/// What was recorded for one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The file of the sample.
    pub file: PathBuf,
    /// The sample in it, from 1, for files that may hold several.
    pub row: Option<usize>,
    /// The time steps.
    pub steps: usize,
    /// Signal by signal.
    pub signals: Vec<RecordedSignal>,
}

/// Whether a file of signals can be written under this name, and nodes of these names recorded.
pub(super) fn check(out: Option<&Path>, nodes: &[String], blueprint: &Blueprint) -> Result<()> {
    let Some(out) = out else {
        return match nodes.first() {
            Some(node) => {
                Err(Error::Request(format!("to record {node}, name the file to write with --out FILE")))
            }
            None => Ok(()),
        };
    };
    if !is_csv(out) && !is_npy(out) {
        return Err(Error::Request(format!("{}: expected a file that ends in .csv or .npy", out.display())));
    }
    if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        return Err(Error::Request(format!(
            "{} is not a folder; expected one for {}",
            folder.display(),
            out.display()
        )));
    }
    let neurons = || blueprint.nodes().iter().filter(|node| node.kind.neuron().is_some());
    for name in nodes.iter().filter(|name| *name != OUTPUT) {
        if !neurons().any(|node| node.name == *name) {
            let known: Vec<&str> = neurons().map(|node| node.name.as_str()).chain([OUTPUT]).collect();
            return Err(Error::Request(format!(
                "no neurons named `{name}`; expected one of: {}",
                known.join(", ")
            )));
        }
    }
    Ok(())
}

fn is_csv(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
}

fn is_npy(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy"))
}

/// The network's outputs at each step, `[steps, outputs]` and channels-last, as a signal.
pub(super) fn output(each_step: &[f32], blueprint: &Blueprint) -> Result<RecordedSignal> {
    let node = blueprint.nodes().iter().position(|node| node.kind == gyrus_blueprint::NodeKind::Output);
    signal(OUTPUT.to_owned(), each_step, blueprint, node.unwrap_or_default())
}

fn signal(name: String, channels_last: &[f32], blueprint: &Blueprint, node: usize) -> Result<RecordedSignal> {
    let shapes = blueprint.shapes()?;
    let shape = shapes.output(node);
    let image = Image::of(shape);
    let elements: usize = shape.iter().product();
    let rows = channels_last.chunks_exact(elements.max(1));
    Ok(RecordedSignal {
        name,
        shape: shape.to_vec(),
        values: rows.flat_map(|row| image.channels_first(row)).collect(),
    })
}

/// Spikes and potentials of these nodes, from what was observed.
pub(super) fn of_nodes(
    network: &Network,
    observations: Vec<Observation>,
    nodes: &[String],
    steps: usize,
) -> Result<Vec<RecordedSignal>> {
    let blueprint = network.blueprint();
    let wanted = |observation: &Observation| nodes.contains(&blueprint.nodes()[observation.node].name);
    let mut signals = Vec::new();
    for observation in observations.into_iter().filter(wanted) {
        let node = observation.node;
        let name = &blueprint.nodes()[node].name;
        match observation.what {
            Observed::Current => {
                let potentials = network.membranes(&observation);
                signals.push(signal(format!("{name}.potentials"), &potentials, blueprint, node)?);
            }
            // What does not fire puts out its potential, which is recorded already.
            Observed::NeuronOutput if observation.packed => {
                let elements = blueprint.shapes()?.output(node).iter().product::<usize>();
                let words = spike_words(observation.tensor);
                let width = words.len() / steps.max(1);
                let bit = |step: usize, at: usize| words[step * width + at / 32] >> (at % 32) & 1;
                let spikes: Vec<f32> = (0..steps)
                    .flat_map(|step| (0..elements).map(move |at| f32::from(bit(step, at) as u8)))
                    .collect();
                signals.push(signal(format!("{name}.spikes"), &spikes, blueprint, node)?);
            }
            Observed::NeuronOutput | Observed::WeightInput => {}
        }
    }
    Ok(signals)
}

/// Writes everything that was recorded; returns the files.
///
/// # Errors
/// If inputs of different lengths are to be one `.npy` array, or the operating system refuses.
pub(super) fn write(out: &Path, recorded: &[Recorded]) -> Result<Vec<PathBuf>> {
    let save = |file: PathBuf, bytes: &[u8]| {
        write_atomically(&file, bytes).map_err(Error::io("write", &file)).map(|()| file)
    };
    if is_csv(out) {
        return Ok(vec![save(out.to_owned(), csv(recorded).as_bytes())?]);
    }
    let Some(first) = recorded.first() else { return Ok(Vec::new()) };
    if let Some(other) = recorded.iter().find(|other| other.steps != first.steps) {
        return Err(Error::Request(format!(
            "{}: {} has {} steps and {} has {}, which one array cannot hold; write .csv, or give all the same --steps",
            out.display(),
            first.file.display(),
            first.steps,
            other.file.display(),
            other.steps
        )));
    }
    let mut files = Vec::new();
    for (at, signal) in first.signals.iter().enumerate() {
        let mut shape = if recorded.len() > 1 { vec![recorded.len()] } else { Vec::new() };
        shape.push(first.steps);
        shape.extend(&signal.shape);
        let values = recorded.iter().filter_map(|one| one.signals.get(at));
        let values = values.flat_map(|signal| &signal.values).copied().collect();
        let file = if first.signals.len() > 1 {
            let stem = out.file_stem().unwrap_or_default().to_string_lossy();
            let name: String =
                signal.name.chars().map(|letter| if letter == '/' { '_' } else { letter }).collect();
            out.with_file_name(format!("{stem}.{name}.npy"))
        } else {
            out.to_owned()
        };
        files.push(save(file, &to_npy(&StateTensor { shape, values }))?);
    }
    Ok(files)
}

fn csv(recorded: &[Recorded]) -> String {
    let several = recorded.len() > 1;
    let quoted = |text: &str| match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let mut text = String::from(if several { "input,step" } else { "step" });
    for signal in recorded.first().iter().flat_map(|first| &first.signals) {
        let elements: usize = signal.shape.iter().product();
        for at in 0..elements {
            let _ = write!(text, ",{}", quoted(&format!("{}[{at}]", signal.name)));
        }
    }
    text.push('\n');
    for one in recorded {
        let row = one.row.map_or(String::new(), |row| format!("#{row}"));
        let input = quoted(&format!("{}{row}", one.file.display()));
        for step in 0..one.steps {
            if several {
                let _ = write!(text, "{input},");
            }
            let _ = write!(text, "{step}");
            for signal in &one.signals {
                let elements: usize = signal.shape.iter().product();
                let values = &signal.values[step * elements..][..elements];
                for value in values {
                    let _ = write!(text, ",{value}");
                }
            }
            text.push('\n');
        }
    }
    text
}
