//! The answers of a NIR file's network for images, currents, spikes and recordings of event cameras.
//!
//! The network's Input decides how an image is scaled: `[channels, height, width]` with 1 or 3 channels, or `[n]` with n a
//! square number for a gray one. Pixels are numbers from 0 to 1 (a network that learned from standardized pixels contains
//! the standardization as a node). They enter as a current that is the same at every step, or as spikes. What else may enter,
//! and how, is told in `inputs`. The answer is the number of spikes of each output, or its mean potential if the last node
//! does not fire; `signals` writes what happened at each step.

mod inputs;
mod signals;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use gyrus_blueprint::{
    Blueprint, Discretization, Integration, NirNetwork, Node, NodeKind, Reset, Shape, load_nir,
};
use gyrus_data::Preprocessing;
use gyrus_nn::{Encoder, Intensity, Network, Readout, SpikingSettings, floats};
use gyrus_tensor::{Device, device, filled_tensor};

use super::events::EventBody;
use super::{Answer, Body, Predict, PredictingNetwork, Prediction, ranking};
use crate::verbs::names::unknown;
use crate::{Error, Result};
use inputs::{Cut, Kind, Sample};

pub use signals::{Recorded, RecordedSignal};

/// What a NIR file does not specify.
#[derive(Clone, Debug, Default)]
pub struct NirOptions {
    /// Time steps per image. Default: [`NirOptions::STEPS`]; of files of steps and of recordings, what they hold.
    pub steps: Option<u32>,
    /// Length of a step in milliseconds. Default: from the file.
    pub dt_ms: Option<f64>,
    /// Integration of the neurons' equations: exact | euler. Default: from the file, what its exporter computes, or euler.
    pub integration: Option<String>,
    /// How pixels become currents or spikes: direct (default) | rate | latency; how the events of a recording become numbers:
    /// counts (default) | spikes.
    pub encoder: Option<String>,
    /// What a spike does to the membrane: subtract (the threshold) | zero (v_reset, as NIR defines it). Default: from the file.
    pub reset: Option<String>,
    /// Milliseconds of a recording in a step. Default: 1, or as many equal parts as there are steps, if these are set.
    pub window_ms: Option<f64>,
    /// Nodes whose spikes and potentials at each step are written to [`Predict::out`]; `output` is the network's Output, and
    /// what is written if this is empty.
    pub record: Vec<String>,
}

impl NirOptions {
    /// Default time steps per image.
    pub const STEPS: u32 = 32;

    /// The first of these options that is set, by its name on the command line.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            ("--steps", self.steps.is_some()),
            ("--dt", self.dt_ms.is_some()),
            ("--integration", self.integration.is_some()),
            ("--encoder", self.encoder.is_some()),
            ("--reset", self.reset.is_some()),
            ("--window", self.window_ms.is_some()),
            ("--record", !self.record.is_empty()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }

    fn reset(&self) -> Result<Option<Reset>> {
        match self.reset.as_deref() {
            None => Ok(None),
            Some("subtract") => Ok(Some(Reset::Subtract)),
            Some("zero") => Ok(Some(Reset::Hard)),
            Some(other) => Err(unknown("reset", other, "subtract or zero")),
        }
    }

    fn cut(&self) -> Result<Cut> {
        let binary = match self.encoder.as_deref() {
            Some("spikes") => true,
            None | Some("counts") => false,
            Some(other) => return Err(unknown("encoder for recordings", other, "counts or spikes")),
        };
        if let Some(window) = self.window_ms.filter(|window| !(window.is_finite() && *window > 0.0)) {
            return Err(Error::Request(format!("--window is {window}; expected milliseconds above 0")));
        }
        let steps = self.steps.map(|steps| steps as usize);
        Ok(Cut { steps, window_ms: self.window_ms, binary })
    }

    pub(crate) fn time(&self, network: &NirNetwork, file: &Path) -> Result<Discretization> {
        let habit = network.exporter.and_then(|exporter| exporter.time());
        let integration = match self.integration.as_deref() {
            None => network.time.or(habit).map_or(Integration::Euler, |time| time.integration),
            Some("exact") => Integration::Exact,
            Some("euler") => Integration::Euler,
            Some(other) => return Err(unknown("integration", other, "exact or euler")),
        };
        let dt_ms = match (self.dt_ms.or(network.time.map(|time| time.dt_ms)), timed(network)) {
            (Some(dt_ms), _) => dt_ms,
            (None, None) => 1.0,
            (None, Some(node)) => {
                let known = match (network.exporter, habit) {
                    (Some(exporter), Some(time)) => format!(
                        "this looks like a file of {}, which computes with {}",
                        exporter.name(),
                        as_options(time)
                    ),
                    _ => "set it in milliseconds, as in --dt 1 (Norse, but --dt 0.001 for files of Norse 1.1), --dt 0.1 \
                          (snnTorch) or --dt 1000 --integration exact (sinabs)"
                        .to_owned(),
                };
                return Err(Error::Request(format!(
                    "{}: node `{node}` depends on the time step, which the file does not state; {known}",
                    file.display()
                )));
            }
        };
        Ok(Discretization { dt_ms, integration })
    }

    /// The settings for images.
    fn settings(&self, network: &NirNetwork, time: Discretization) -> Result<SpikingSettings> {
        let intensity = || Intensity::Pixels { mean: vec![0.0], std: vec![1.0] };
        let encoder = match self.encoder.as_deref().unwrap_or("direct") {
            // Those of recordings are refused where an image comes.
            "direct" | "spikes" | "counts" => Encoder::Direct,
            "rate" => Encoder::Rate { intensity: intensity() },
            "latency" => Encoder::Latency { intensity: intensity() },
            other => {
                return Err(unknown(
                    "encoder",
                    other,
                    "direct, rate or latency; of recordings counts or spikes",
                ));
            }
        };
        let readout = if fires(&network.blueprint) { Readout::Counts } else { Readout::Membrane };
        let steps = self.steps.unwrap_or(Self::STEPS) as usize;
        let settings = SpikingSettings { steps, time, encoder, readout, ..SpikingSettings::default() };
        settings.check()?;
        Ok(settings)
    }
}

/// A time step as options of the command line.
fn as_options(time: Discretization) -> String {
    let integration = match time.integration {
        Integration::Exact => "exact",
        Integration::Euler => "euler",
    };
    format!("--dt {} --integration {integration}", time.dt_ms)
}

/// A NIR network that is open.
pub(super) struct NirPredictor {
    file: PathBuf,
    options: NirOptions,
    /// For images.
    settings: SpikingSettings,
    nir: NirNetwork,
    shape: Shape,
    device: Device,
    body: Body,
    /// The body for the last kind of sample, which the next one usually is too.
    running: Mutex<Option<(SpikingSettings, Running)>>,
    out: Option<PathBuf>,
    recorded: Mutex<Vec<Recorded>>,
    warnings: Vec<String>,
}

/// A network ready to run.
enum Running {
    Clocked(Box<Network>),
    Events(Box<EventBody>),
}

impl NirPredictor {
    pub(super) fn open(verb: &Predict) -> Result<Self> {
        let file = &verb.network;
        let options = &verb.nir;
        let nir = load_nir(file)?;
        signals::check(verb.out.as_deref(), &options.record, &nir.blueprint)?;
        let time = options.time(&nir, file)?;
        let settings = options.settings(&nir, time)?;
        let mut warnings = nir.warnings.clone();
        warnings.extend(nir.unstable_note(time));
        let habit = nir.exporter.and_then(|exporter| Some((exporter, exporter.time()?)));
        if let Some((exporter, habit)) = habit.filter(|(_, habit)| *habit != time && timed(&nir).is_some()) {
            warnings.push(format!(
                "this looks like a file of {}, which computes with {}",
                exporter.name(),
                as_options(habit)
            ));
        }
        warnings.extend(nir.scale_note());
        let nir = match options.reset()? {
            Some(reset) => nir.with_reset(reset)?,
            None => {
                warnings.extend(nir.reset_note().map(|note| format!("{note}: --reset subtract")));
                nir
            }
        };
        let nir = nir.with_step(time)?;
        if verb.body == Body::Events && options.record.iter().any(|node| node != signals::OUTPUT) {
            return Err(Error::Request(
                "--record shows neurons of the body that runs all of them at every step: leave out --events (their spikes are \
                 the same)"
                    .to_owned(),
            ));
        }
        let input = nir.blueprint.nodes().iter().find_map(|node| match &node.kind {
            NodeKind::Input { shape } => Some(shape.clone()),
            _ => None,
        });
        let predictor = Self {
            file: file.clone(),
            options: options.clone(),
            settings,
            nir,
            shape: input.unwrap_or(Shape(Vec::new())),
            device: device(&verb.device)?,
            body: verb.body,
            running: Mutex::new(None),
            out: verb.out.clone(),
            recorded: Mutex::default(),
            warnings,
        };
        // What cannot run is said before the first input is read.
        *predictor.running.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((predictor.settings.clone(), predictor.ready(&predictor.settings)?));
        Ok(predictor)
    }

    /// The body for samples of these settings.
    fn ready(&self, settings: &SpikingSettings) -> Result<Running> {
        let NirNetwork { blueprint, parameters, .. } = &self.nir;
        Ok(match self.body {
            Body::Clocked => {
                let network = Network::with_state(blueprint, Some(settings), parameters, &self.device)?;
                Running::Clocked(Box::new(network))
            }
            Body::Events => {
                let elements: usize = self.shape.iter().product();
                let frames = if settings.encoder.takes_frames() { settings.steps } else { 1 };
                let numbers = frames.saturating_mul(elements);
                Running::Events(Box::new(EventBody::new(blueprint, parameters, settings, numbers)?))
            }
        })
    }

    pub(super) fn network(&self) -> PredictingNetwork {
        let SpikingSettings { steps, time, readout, .. } = self.settings;
        PredictingNetwork::Nir { network: self.file.clone(), steps, time, readout }
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) fn predict(&self, file: &Path) -> Result<Vec<Prediction>> {
        let kind = Kind::of(file);
        if kind == Kind::Image {
            let pixels = pixels(&self.shape, &self.file)?;
            if let Some(encoder @ ("spikes" | "counts")) = self.options.encoder.as_deref() {
                return Err(unknown("encoder for images", encoder, "direct, rate or latency"));
            }
            let numbers = pixels.normalize(&pixels.decode_file(file)?);
            return Ok(vec![self.answer(file, None, &numbers, self.settings.clone())?]);
        }
        let samples = inputs::samples(file, kind, &self.shape, self.options.cut()?)?;
        let several = samples.len() > 1;
        let answers = samples.into_iter().enumerate().map(|(at, sample)| {
            let row = several.then_some(at + 1);
            let elements = self.shape.iter().product::<usize>().max(1);
            let (numbers, encoder, steps) = match sample {
                Sample::Constant(numbers) => (numbers, Encoder::Direct, self.settings.steps),
                Sample::Frames(numbers) => {
                    let binary = numbers.iter().all(|&number| number == 0.0 || number == 1.0);
                    let steps = numbers.len() / elements;
                    (numbers, Encoder::Frames { binary }, steps)
                }
            };
            let settings = SpikingSettings { encoder, steps, ..self.settings.clone() };
            settings.check()?;
            self.answer(file, row, &numbers, settings)
        });
        answers.collect()
    }

    /// The answer for one sample.
    fn answer(
        &self,
        file: &Path,
        row: Option<usize>,
        numbers: &[f32],
        settings: SpikingSettings,
    ) -> Result<Prediction> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.as_ref().is_none_or(|(known, _)| *known != settings) {
            *running = Some((settings.clone(), self.ready(&settings)?));
        }
        let Some((_, body)) = running.as_ref() else { return Err(Error::failed("no network is ready")) };
        let mut signals = Vec::new();
        let (each_step, work) = match body {
            Running::Clocked(network) => {
                let x = filled_tensor(1, numbers.len(), |x| x.copy_from_slice(numbers));
                let (outputs, observations) = network.observe(x)?;
                signals = signals::of_nodes(network, observations, &self.options.record, settings.steps)?;
                (floats(outputs), None)
            }
            Running::Events(events) => {
                let (each_step, work) = events.run(numbers)?;
                (each_step, Some(work))
            }
        };
        if self.out.is_some() {
            let record = &self.options.record;
            if record.is_empty() || record.iter().any(|node| node == signals::OUTPUT) {
                signals.insert(0, signals::output(&each_step, &self.nir.blueprint)?);
            }
            let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
            recorded.push(Recorded { file: file.to_owned(), row, steps: settings.steps, signals });
        }
        let outputs = read_out(&each_step, &settings);
        let answer = Answer::Outputs { class: ranking(&outputs).first().copied(), outputs };
        Ok(Prediction { file: file.to_owned(), row, line: None, notes: Vec::new(), answer, work })
    }

    /// Writes what was recorded so far, and returns the files.
    pub(super) fn write_recorded(&self) -> Result<Vec<PathBuf>> {
        let recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.out {
            Some(out) => signals::write(out, &recorded),
            None => Ok(Vec::new()),
        }
    }
}

/// One number per output, from those of each step.
fn read_out(each_step: &[f32], settings: &SpikingSettings) -> Vec<f32> {
    let mut sums = vec![0.0; each_step.len() / settings.steps.max(1)];
    for row in each_step.chunks_exact(sums.len().max(1)) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    if settings.readout == Readout::Membrane {
        sums.iter_mut().for_each(|sum| *sum /= settings.steps as f32);
    }
    sums
}

/// How an image becomes the network's input.
fn pixels(extents: &Shape, file: &Path) -> Result<Preprocessing> {
    let (channels, height, width) = match extents[..] {
        [channels @ (1 | 3), height, width] => (channels, height, width),
        [elements] if elements.isqrt().pow(2) == elements => (1, elements.isqrt(), elements.isqrt()),
        _ => {
            return Err(Error::Request(format!(
                "{}: the network takes {extents}, to which no image can be scaled; expected [channels, height, width] \
                 with 1 or 3 channels, or [n] with n a square; or give it a .csv or .npy file, or a recording",
                file.display()
            )));
        }
    };
    Ok(Preprocessing::Image {
        height,
        width,
        channels,
        mean: vec![0.0; channels],
        deviation: vec![1.0; channels],
        ink: None,
        resize: None,
    })
}

/// A node whose meaning depends on the time step.
fn timed(network: &NirNetwork) -> Option<&str> {
    let depends = |node: &&Node| {
        let neuron = node.kind.neuron().is_some() && !network.each_step.contains(&node.name);
        neuron || matches!(node.kind, NodeKind::Delay { .. })
    };
    network.blueprint.nodes().iter().find(depends).map(|node| node.name.as_str())
}

/// Whether the Output is fed by one node, and that node fires.
fn fires(blueprint: &Blueprint) -> bool {
    let output = blueprint.nodes().iter().position(|node| node.kind == NodeKind::Output);
    let sources = output.map(|output| blueprint.sources()[output].clone()).unwrap_or_default();
    match sources[..] {
        [last] => blueprint.nodes()[last].kind.neuron().is_some_and(|neuron| neuron.reset.is_some()),
        _ => false,
    }
}
