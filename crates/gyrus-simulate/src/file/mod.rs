//! Circuits as TOML files, in NEST's words with the units in the names.
//!
//! ```toml
//! name = "two populations"
//! duration_ms = 1000.0
//!
//! [[population]]
//! name = "E"
//! neurons = 800
//! model = "iaf_psc_exp"
//! tau_m_ms = 20.0
//!
//! [[input]]
//! target = "E"
//! device = "poisson_generator"
//! rate_hz = 8000.0
//! weight_pA = 50.0
//!
//! [[projection]]
//! source = "E"
//! target = "E"
//! rule = "fixed_indegree"
//! indegree = 80
//! weight_pA = 20.0
//! delay_ms = 1.5
//! ```
//!
//! `[neuron.NAME]` and `[synapse.NAME]` hold what several populations and projections have in common (NEST's `CopyModel`):
//! `model = "NAME"` and `synapse = "NAME"` take it over. What is not given has NEST's default. A key that nobody knows, a
//! weight without a unit, a population that does not exist and what the engine refuses are errors with the line of the file.

mod changes;
mod edges_csv;
mod fields;
mod neurons;
mod plasticity;
mod read;
mod scaling;

use std::ops::Range;
use std::path::{Path, PathBuf};

use gyrus_files::read_text;

use crate::{Circuit, Error, Need, Result};

/// The largest file.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// A circuit with what to do with it.
#[derive(Clone, Debug, PartialEq)]
pub struct CircuitFile {
    /// Its name.
    pub name: String,
    /// One sentence on what it is; may be empty.
    pub description: String,
    /// What to build.
    pub circuit: Circuit,
    /// How long to simulate.
    pub duration_ms: f64,
    /// How much of the beginning statistics leave out.
    pub discard_ms: f64,
    /// What is recorded besides spikes.
    pub recorders: Vec<Recorder>,
    /// What changes synapses at given times, besides spikes.
    pub changes: Vec<TimedChange>,
    /// Populations whose spikes are recorded, by index; absent: all.
    pub recorded: Option<Vec<usize>>,
    /// What [`CircuitFile::scaled`] keeps.
    pub scaling: Scaling,
    /// The rate of each population in the circuit of full size, where the file gives it.
    pub mean_rates_hz: Vec<Option<f64>>,
    pub(crate) lines: Lines,
    pub(crate) path: Option<PathBuf>,
}

/// What is recorded besides spikes.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorder {
    /// NEST's `voltmeter`: the membrane potential.
    Potential {
        /// Index of the population.
        population: usize,
        /// Which of its neurons.
        neurons: Range<usize>,
        /// From one value to the next.
        interval_ms: f64,
    },
    /// NEST's `weight_recorder`: the weights of a projection at the end.
    Weights {
        /// Index of the projection.
        projection: usize,
    },
}

/// What changes the synapses of a projection at given times.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedChange {
    /// Index of the projection.
    pub projection: usize,
    /// When: multiples of the resolution above 0, ascending.
    pub steps: Vec<u64>,
    /// Every so many steps, besides; 0 for never.
    pub every: u64,
    /// What.
    pub kind: ChangeKind,
}

/// Kinds of [`TimedChange`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ChangeKind {
    /// Reward: eligibility times this is added to weights.
    Reward(f64),
    /// Homeostatic scaling: weights onto each target are multiplied so that they add up to this.
    Scaling(f64),
}

/// What a smaller circuit keeps of the whole one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scaling {
    /// Weights: fewer neurons have fewer synapses of the same weight.
    #[default]
    Weights,
    /// The mean and the variance of the input: weights grow by one over the square root, and a direct current replaces the
    /// mean that is lost (van Albada, Helias and Diesmann 2015, PLOS Computational Biology 11:e1004490). Needs the rate of
    /// each population.
    Statistics,
}

/// The lines of a file on which things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    populations: Vec<usize>,
    projections: Vec<usize>,
}

impl CircuitFile {
    /// A circuit that no file describes, of which only spikes are recorded.
    #[must_use]
    pub fn new(name: &str, circuit: Circuit, duration_ms: f64) -> Self {
        Self {
            name: name.to_owned(),
            description: String::new(),
            mean_rates_hz: vec![None; circuit.populations.len()],
            circuit,
            duration_ms,
            discard_ms: 0.0,
            recorders: Vec::new(),
            changes: Vec::new(),
            recorded: None,
            scaling: Scaling::default(),
            lines: Lines::default(),
            path: None,
        }
    }

    /// Reads a file; what it names is relative to its folder.
    ///
    /// # Errors
    /// If it cannot be read or does not describe a circuit; the error names file and line.
    pub fn load(path: &Path) -> Result<Self> {
        let text = read_text(path, MAX_FILE_BYTES)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let file = Self::parse(&text, folder).map_err(|error| error.in_toml(path))?;
        Ok(Self { path: Some(path.to_owned()), ..file })
    }

    /// Reads a text; `folder` is where the files that it names lie.
    ///
    /// # Errors
    /// If it does not describe a circuit; the error names the line.
    pub fn parse(text: &str, folder: &Path) -> Result<Self> {
        read::read(text, folder)
    }

    /// Whether the circuit can be built, and what it needs, before anything is allocated.
    ///
    /// # Errors
    /// What the engine refuses, with the line of the population or projection.
    pub fn check(&self) -> Result<Need> {
        self.circuit.check().map_err(|error| self.with_line(error))
    }

    /// An error of the engine with the line of the file, where it stands on one.
    #[must_use]
    pub fn with_line(&self, error: Error) -> Error {
        let Error::Setting { place, .. } = &error else { return error };
        let Some(line) = self.line_of(place) else { return error };
        let found = fields::at(line, from_one(&error.to_string()));
        match &self.path {
            Some(path) => found.in_toml(path),
            None => found,
        }
    }

    /// The line of what the engine calls "population `NAME`" or "projection INDEX ...".
    fn line_of(&self, place: &str) -> Option<usize> {
        if let Some(rest) = place.strip_prefix("projection ") {
            let index: usize = rest.split(' ').next()?.parse().ok()?;
            return self.lines.projections.get(index).copied();
        }
        let index = self.circuit.populations.iter().position(|population| population.place() == place)?;
        self.lines.populations.get(index).copied()
    }
}

/// The engine counts projections from 0; people count them from 1.
fn from_one(text: &str) -> String {
    let renumbered = text.strip_prefix("projection ").and_then(|rest| {
        let (index, rest) = rest.split_once(' ')?;
        Some(format!("projection {} {rest}", index.parse::<usize>().ok()? + 1))
    });
    renumbered.unwrap_or_else(|| text.to_owned())
}
