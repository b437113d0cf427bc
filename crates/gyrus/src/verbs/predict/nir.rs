//! The answers of a NIR file's network for images.
//!
//! The network's Input decides how an image is scaled: `[channels, height, width]` with 1 or 3 channels, or `[n]` with n a
//! square number for a gray one. Pixels are numbers from 0 to 1 (a network that learned from standardized pixels contains
//! the standardization as a node). They enter as a current that is the same at every step, or as spikes. The answer is the
//! number of spikes of each output, or its mean potential if the last node does not fire.

use std::path::{Path, PathBuf};

use gyrus_blueprint::{Blueprint, Discretization, Integration, NirNetwork, Node, NodeKind, load_nir};
use gyrus_data::Preprocessing;
use gyrus_nn::{Encoder, Intensity, Network, Readout, SpikingSettings, floats};
use gyrus_tensor::{device, filled_tensor};

use super::events::EventBody;
use super::{Answer, Body, Predict, PredictingNetwork, Prediction, ranking};
use crate::verbs::names::unknown;
use crate::{Error, Result};

/// What a NIR file does not specify.
#[derive(Clone, Debug, Default)]
pub struct NirOptions {
    /// Time steps per image. Default: [`NirOptions::STEPS`].
    pub steps: Option<u32>,
    /// Length of a step in milliseconds. Default: from the file.
    pub dt_ms: Option<f64>,
    /// Integration of the neurons' equations: exact | euler. Default: from the file, or euler.
    pub integration: Option<String>,
    /// How pixels become currents or spikes: direct (default) | rate | latency.
    pub encoder: Option<String>,
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
        ];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }

    fn settings(&self, network: &NirNetwork, file: &Path) -> Result<SpikingSettings> {
        let integration = match self.integration.as_deref() {
            None => network.time.map_or(Integration::Euler, |time| time.integration),
            Some("exact") => Integration::Exact,
            Some("euler") => Integration::Euler,
            Some(other) => return Err(unknown("integration", other, "exact or euler")),
        };
        let dt_ms = match self.dt_ms.or(network.time.map(|time| time.dt_ms)) {
            Some(dt_ms) => dt_ms,
            None => match timed(network) {
                None => 1.0,
                Some(node) => {
                    return Err(Error::Request(format!(
                        "{}: node `{node}` depends on the time step, which the file does not state; set it in \
                         milliseconds, as in --dt 1 (Norse's default) or --dt 0.1 (snnTorch's)",
                        file.display()
                    )));
                }
            },
        };
        let intensity = || Intensity::Pixels { mean: vec![0.0], std: vec![1.0] };
        let encoder = match self.encoder.as_deref().unwrap_or("direct") {
            "direct" => Encoder::Direct,
            "rate" => Encoder::Rate { intensity: intensity() },
            "latency" => Encoder::Latency { intensity: intensity() },
            other => return Err(unknown("encoder", other, "direct, rate or latency")),
        };
        let readout = if fires(&network.blueprint) { Readout::Counts } else { Readout::Membrane };
        let time = Discretization { dt_ms, integration };
        let steps = self.steps.unwrap_or(Self::STEPS) as usize;
        let settings = SpikingSettings { steps, time, encoder, readout, ..SpikingSettings::default() };
        settings.check()?;
        Ok(settings)
    }
}

/// A NIR network that is open.
pub(super) struct NirPredictor {
    file: PathBuf,
    settings: SpikingSettings,
    preprocessing: Preprocessing,
    network: Network,
    events: Option<EventBody>,
    warnings: Vec<String>,
}

impl NirPredictor {
    pub(super) fn open(verb: &Predict) -> Result<Self> {
        let file = &verb.network;
        let nir = load_nir(file)?;
        let settings = verb.nir.settings(&nir, file)?;
        let nir = nir.with_step(settings.time)?;
        let preprocessing = pixels(&nir.blueprint, file)?;
        let device = device(&verb.device)?;
        let network = Network::with_state(&nir.blueprint, Some(&settings), &nir.parameters, &device)?;
        let events = match verb.body {
            Body::Clocked => None,
            Body::Events => {
                let numbers = preprocessing.shape().iter().product();
                Some(EventBody::new(&nir.blueprint, &nir.parameters, &settings, numbers)?)
            }
        };
        Ok(Self { file: file.clone(), settings, preprocessing, network, events, warnings: nir.warnings })
    }

    pub(super) fn network(&self) -> PredictingNetwork {
        let SpikingSettings { steps, time, readout, .. } = self.settings;
        PredictingNetwork::Nir { network: self.file.clone(), steps, time, readout }
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) fn predict(&self, image: &Path) -> Result<Prediction> {
        let pixels = self.preprocessing.normalize(&self.preprocessing.decode_file(image)?);
        let (each_step, work) = match &self.events {
            None => {
                let x = filled_tensor(1, pixels.len(), |x| x.copy_from_slice(&pixels));
                (floats(self.network.observe(x)?.0), None)
            }
            Some(events) => {
                let (each_step, work) = events.run(&pixels)?;
                (each_step, Some(work))
            }
        };
        let outputs = read_out(&each_step, &self.settings);
        let answer = Answer::Outputs { class: ranking(&outputs).first().copied(), outputs };
        Ok(Prediction { file: image.to_owned(), row: None, line: None, notes: Vec::new(), answer, work })
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
fn pixels(blueprint: &Blueprint, file: &Path) -> Result<Preprocessing> {
    let shape = blueprint.nodes().iter().find_map(|node| match &node.kind {
        NodeKind::Input { shape } => Some(shape),
        _ => None,
    });
    let extents = shape.map(|shape| shape.to_vec()).unwrap_or_default();
    let (channels, height, width) = match extents[..] {
        [channels @ (1 | 3), height, width] => (channels, height, width),
        [elements] if elements.isqrt().pow(2) == elements => (1, elements.isqrt(), elements.isqrt()),
        _ => {
            return Err(Error::Request(format!(
                "{}: the network takes {extents:?}, to which no image can be scaled; expected [channels, height, width] \
                 with 1 or 3 channels, or [n] with n a square",
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
