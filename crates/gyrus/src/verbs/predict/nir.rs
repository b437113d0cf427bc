//! What the network of a NIR file answers for pictures.
//!
//! The network's Input decides how a picture is brought to size: `[channels, height, width]` with 1 or 3 channels, or
//! `[n]` with n a square for a grey one. Pixels are numbers from 0 to 1 (a network that learned from standardised pixels
//! brings the standardisation as a node). They enter as a current that is the same at each step, or as spikes. The answer
//! is the number of spikes of each output, or its mean potential where the last node does not fire.

use std::path::{Path, PathBuf};

use gyrus_blueprint::{Blueprint, Discretization, Integration, NirNetwork, Node, NodeKind, load_nir};
use gyrus_data::Preprocessing;
use gyrus_nn::{Encoder, Intensity, Network, Readout, SpikingSettings, floats};
use gyrus_tensor::{device, filled_tensor};

use super::{Answer, Predict, PredictingNetwork, Prediction, ranking};
use crate::verbs::names::unknown;
use crate::{Error, Result};

/// What a NIR file leaves open.
#[derive(Clone, Debug, Default)]
pub struct NirOptions {
    /// Steps for which a picture is shown: [`NirOptions::STEPS`] if nothing is said.
    pub steps: Option<u32>,
    /// Length of a step in milliseconds, if not what the file says.
    pub dt_ms: Option<f64>,
    /// exact | euler, if not what the file says, or euler.
    pub integration: Option<String>,
    /// How pixels become currents or spikes: direct (if nothing is said) | rate | latency.
    pub encoder: Option<String>,
}

impl NirOptions {
    /// Steps for which a picture is shown where nothing else is said.
    pub const STEPS: u32 = 32;

    /// The first of these options that was given, as the program calls it.
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
                        "{}: node `{node}` depends on the time step, but the file does not say it; give it \
                         in milliseconds as in --dt 1 (Norse's default) or --dt 0.1 (snnTorch's)",
                        file.display()
                    )));
                }
            },
        };
        let intensity = || Intensity::Pixels { mean: vec![0.0], deviation: vec![1.0] };
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
        Ok(Self { file: file.clone(), settings, preprocessing, network, warnings: nir.warnings })
    }

    pub(super) fn network(&self) -> PredictingNetwork {
        let SpikingSettings { steps, time, readout, .. } = self.settings;
        PredictingNetwork::Nir { network: self.file.clone(), steps, time, readout }
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) fn predict(&self, picture: &Path) -> Result<Prediction> {
        let pixels = self.preprocessing.normalize(&self.preprocessing.decode_file(picture)?);
        let x = filled_tensor(1, pixels.len(), |x| x.copy_from_slice(&pixels));
        let (each_step, _) = self.network.observe(x)?;
        let outputs = read_out(&floats(each_step), &self.settings);
        let answer = Answer::Outputs { class: ranking(&outputs).first().copied(), outputs };
        Ok(Prediction { file: picture.to_owned(), row: None, answer })
    }
}

/// One number for each output, of those at each step.
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

/// How a picture becomes the network's input.
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
                "{}: the network takes {extents:?}, to which no picture can be brought; expected [channels, height, width] \
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
    })
}

/// A node that means something else at another time step.
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
