//! Circuits as neuroscience builds them: simulated, measured, written down, and shown on a page.

mod energy;
mod estimate;
mod files;
mod learning;
mod nir;
mod page;
mod report;
mod run;
mod saved;
mod source;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gyrus_kernels::with_threads;
use gyrus_simulate::models::BuiltIn;
use gyrus_simulate::processes::Processes;
use gyrus_simulate::{PopulationStatistics, Recording, Stop, Window};

pub use estimate::{EstimateCircuit, EstimateReport, EstimatedSize};
pub use learning::{LearningReport, LearningRequest, LearningTask, SimulateLearning};
pub use report::{PopulationReport, SimulateReport};
pub use saved::Request as SimulateRequest;

use crate::verbs::counted;
use crate::{Error, Observer, Result};
use run::Ran;
use source::Source;

/// Simulates a circuit, and writes its spikes and a page.
#[derive(Clone, Debug)]
pub struct Simulate {
    /// A built-in circuit by its name (`brunel`, `cuba`, `coba`, `microcircuit`), a TOML file, a SONATA configuration or its
    /// folder, or a NIR file.
    pub circuit: PathBuf,
    /// Times as many neurons, and synapses onto each, as the circuit has.
    pub scale: f64,
    /// Simulated time; by default what the circuit says.
    pub seconds: Option<f64>,
    /// Decides all random numbers.
    pub seed: u64,
    /// Worker threads; 0 for one per core. Spikes do not depend on it.
    pub threads: usize,
    /// How spikes and traces are written.
    pub format: RecordFormat,
    /// Activity of all neurons above this rate over 50 ms ends the run; infinity allows any.
    pub max_rate_hz: f64,
    /// Of a NIR network: length of a step in milliseconds; by default what its file says.
    pub dt_ms: Option<f64>,
    /// Of a NIR network: rate of the Poisson spikes of each element of its input.
    pub input_rate_hz: f64,
    /// The processes that simulate together, where there are several; each calls [`Self::run`] with the same request. The first one
    /// writes the folder.
    pub processes: Option<Arc<dyn Processes>>,
    /// The folder to write. Default: runs/NAME.
    pub out: Option<PathBuf>,
    /// Replace a simulation that the folder holds.
    pub overwrite: bool,
    /// Go on with the run in the folder, which was stopped; [`Simulate::resumed`] reads what it was asked for.
    pub resume: bool,
}

/// Formats of spikes and traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordFormat {
    /// SONATA's HDF5.
    #[default]
    Sonata,
    /// CSV.
    Csv,
    /// Parquet.
    Parquet,
}

impl RecordFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sonata, Self::Csv, Self::Parquet];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sonata => "sonata",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

/// A population as its activity is shown.
pub(super) struct Cells {
    pub(super) name: String,
    pub(super) neurons: Range<u32>,
    pub(super) model: String,
    pub(super) input: String,
    /// Its activity in the time that counts; none where spikes were not recorded.
    pub(super) statistics: Option<PopulationStatistics>,
}

impl Simulate {
    /// Default of [`Self::max_rate_hz`].
    pub const MAX_RATE_HZ: f64 = 300.0;

    /// Default of [`Self::input_rate_hz`].
    pub const INPUT_RATE_HZ: f64 = 20.0;

    /// Of this circuit at its full size, with seed 0, on all cores.
    pub fn new(circuit: impl Into<PathBuf>) -> Self {
        Self {
            circuit: circuit.into(),
            scale: 1.0,
            seconds: None,
            seed: 0,
            threads: 0,
            format: RecordFormat::default(),
            max_rate_hz: Self::MAX_RATE_HZ,
            dt_ms: None,
            input_rate_hz: Self::INPUT_RATE_HZ,
            processes: None,
            out: None,
            overwrite: false,
            resume: false,
        }
    }

    /// How many processes simulate together.
    fn process_count(&self) -> usize {
        self.processes.as_ref().map_or(1, |processes| processes.count())
    }

    /// Whether this process writes what all have found.
    #[must_use]
    pub fn is_first_process(&self) -> bool {
        self.processes.as_ref().is_none_or(|processes| processes.rank() == 0)
    }

    /// With so many times the neurons.
    #[must_use]
    pub fn scale(self, scale: f64) -> Self {
        Self { scale, ..self }
    }

    /// For so long.
    #[must_use]
    pub fn seconds(self, seconds: f64) -> Self {
        Self { seconds: Some(seconds), ..self }
    }

    /// Into this folder.
    #[must_use]
    pub fn out(self, out: impl Into<PathBuf>) -> Self {
        Self { out: Some(out.into()), ..self }
    }

    /// The run in a folder that was stopped, to go on with.
    ///
    /// # Errors
    /// If the folder holds no stopped run.
    pub fn resumed(run: &Path) -> Result<Self> {
        saved::verb(run)
    }

    /// The file of a built-in circuit, as anyone could have written it.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn show(name: &Path) -> Result<&'static str> {
        match name.to_str().and_then(BuiltIn::named) {
            Some(built_in) => Ok(built_in.toml),
            None => {
                let names = gyrus_simulate::models::BUILT_IN.map(|own| own.name).join(", ");
                let given = name.display();
                Err(Error::request(format!("`{given}` is not built in; expected one of {names}")))
            }
        }
    }

    /// Simulates, and writes the folder. A run that the observer stops, or whose activity runs away, is written as far as it
    /// came; the report says so.
    ///
    /// # Errors
    /// If the circuit is impossible or does not fit into memory, before anything is built; if the folder holds a simulation
    /// that shall not be replaced or cannot be written.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<SimulateReport> {
        let source = Source::open(&self.circuit)?;
        if let Some(seconds) = self.seconds.filter(|seconds| !(seconds.is_finite() && *seconds > 0.0)) {
            return Err(Error::request(format!(
                "the simulated time is {seconds} s; expected a number above 0"
            )));
        }
        let name = match &source {
            Source::Circuit(file, _) => file.name.clone(),
            Source::IntFire(name, _) | Source::Nir(name) => name.clone(),
        };
        let out = self.out.clone().unwrap_or_else(|| Path::new("runs").join(files::safe(&name)));
        files::refuse_existing(&out, self.overwrite)?;
        let several = self.process_count() > 1;
        if several && (self.resume || !matches!(source, Source::Circuit(..))) {
            return Err(Error::request(
                "several processes simulate circuits of TOML and SONATA files from their beginning; run this one in one process",
            ));
        }
        let ran = with_threads(self.threads, || match source {
            Source::Circuit(file, origins) => run::circuit(self, *file, origins, &out, observer),
            Source::IntFire(name, sonata) => run::intfire(self, name, &sonata),
            Source::Nir(name) => nir::nir(self, name, &self.circuit),
        })??;
        self.conclude(ran, &out)
    }

    fn conclude(&self, ran: Ran, out: &Path) -> Result<SimulateReport> {
        let duration_ms = ran.recording.duration_ms(ran.dt_ms);
        let discard_ms = if ran.discard_ms < duration_ms { ran.discard_ms } else { 0.0 };
        let window = Window {
            first: (discard_ms / ran.dt_ms).round() as u32,
            end: u32::try_from(ran.recording.steps).unwrap_or(u32::MAX),
            resolution_ms: ran.dt_ms,
        };
        let mut cells = ran.cells;
        for (index, own) in cells.iter_mut().enumerate() {
            if ran.recorded.as_ref().is_none_or(|recorded| recorded.contains(&index)) {
                let spikes = ran.recording.spikes.within(0..u32::MAX, own.neurons.clone());
                own.statistics = Some(PopulationStatistics::new(&spikes, own.neurons.len(), window));
            }
        }
        let (mut status, mut stopped) = stopped(&ran.recording, duration_ms);
        if self.process_count() > 1 && status == "interrupted" {
            status = "stopped";
            stopped = stopped.map(|text| format!("{text}; a run of several processes cannot go on later"));
        }
        let activity = ran.recording.activity;
        let seconds = ran.recording.seconds.max(1e-9);
        let mut notes = ran.notes;
        if discard_ms < ran.discard_ms {
            notes.push(format!(
                "the statistics count the whole time: it is not longer than the {} ms that the circuit leaves out",
                ran.discard_ms
            ));
        }
        let report = SimulateReport {
            circuit: ran.name,
            neurons: cells.iter().map(|own| own.neurons.len()).sum(),
            synapses: ran.synapses,
            duration_ms,
            planned_ms: ran.planned_ms,
            resolution_ms: ran.dt_ms,
            discard_ms,
            scale: self.scale,
            seed: self.seed,
            populations: cells.iter().map(population).collect(),
            spikes: activity.spikes,
            synaptic_events: activity.synaptic_events,
            build_seconds: ran.build_seconds,
            run_seconds: ran.recording.seconds,
            real_time_factor: seconds / (duration_ms / 1e3).max(1e-9),
            synaptic_events_per_second: activity.synaptic_events as f64 / seconds,
            bytes_per_synapse: (ran.synapses > 0).then(|| ran.synapse_bytes as f64 / ran.synapses as f64),
            circuit_bytes: ran.circuit_bytes,
            processes: self.process_count(),
            neuron_updates: activity.neuron_updates,
            poisson_draws: activity.poisson_draws,
            energy_joules: ran.energy_joules,
            status,
            stopped,
            notes,
            out: out.to_owned(),
            request: saved::Request::of(self),
            page: out.join("report.html"),
            files: Vec::new(),
        };
        if !self.is_first_process() {
            return Ok(report);
        }
        let shown = page::page(&report, &ran.description, &cells, &ran.projections, &ran.recording, window);
        let records = files::Records {
            cells: &cells,
            recording: &ran.recording,
            origins: ran.origins.as_deref(),
            exact: ran.exact.as_deref(),
            dt_ms: ran.dt_ms,
            projections: &ran.projections,
        };
        files::write(report, &shown, &records, self.format)
    }
}

fn population(own: &Cells) -> PopulationReport {
    let seen = own.statistics.as_ref();
    PopulationReport {
        name: own.name.clone(),
        neurons: own.neurons.len(),
        model: own.model.clone(),
        rate_hz: seen.map(|seen| seen.rate_hz),
        cv_of_intervals: seen.and_then(|seen| seen.cv),
        neurons_with_cv: seen.map_or(0, |seen| seen.cvs.len()),
        synchrony: seen.and_then(|seen| seen.synchrony),
        correlation: seen.and_then(|seen| seen.correlation),
    }
}

fn stopped(recording: &Recording, duration_ms: f64) -> (&'static str, Option<String>) {
    match &recording.stopped {
        None => ("finished", None),
        Some(Stop::Asked) => ("interrupted", Some(format!("interrupted after {duration_ms:.0} ms"))),
        Some(Stop::Runaway { rate_hz }) => (
            "stopped",
            Some(format!(
                "activity ran away: all neurons together fired {rate_hz:.0} times a second, so the run ended after \
                 {duration_ms:.0} ms (--max-rate sets the limit)"
            )),
        ),
        Some(Stop::Full) => {
            let spikes = counted(recording.spikes.len() as u64, "spike");
            (
                "stopped",
                Some(format!(
                    "{spikes} were recorded, as many as fit, so the run ended after {duration_ms:.0} ms"
                )),
            )
        }
    }
}
