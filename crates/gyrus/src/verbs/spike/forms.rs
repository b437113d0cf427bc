//! The forms that a network takes on its way from dense to spiking.

use gyrus_blueprint::{Blueprint, Node, NodeKind};
use gyrus_data::Preprocessing;
use gyrus_nn::convert::{exact_form, folded_form, integrate_and_fire_form};
use gyrus_nn::{Network, SpikingSettings, State};
use gyrus_tensor::cpu;
use gyrus_train::{Tick, calibrate};

use super::{Dense, Spike};
use crate::Result;

/// A network with quantized activations.
pub(super) struct Quantized {
    pub(super) blueprint: Blueprint,
    pub(super) state: State,
    pub(super) levels: usize,
    /// Epochs to train it for.
    pub(super) epochs: u32,
}

/// The spiking network, and the dense one whose answers it approaches.
pub(super) struct Spiking {
    pub(super) blueprint: Blueprint,
    pub(super) state: State,
    pub(super) settings: SpikingSettings,
    /// Numbers of steps after which to evaluate.
    pub(super) steps: Vec<usize>,
    pub(super) quantized: Network,
    /// Steps that are enough for any input, for the exact form.
    pub(super) enough_steps: Option<usize>,
}

/// The network with quantized activations, their thresholds calibrated unless the run was trained so.
pub(super) fn calibrated(
    verb: &Spike,
    dense: &Dense,
    blueprint: Blueprint,
    tick: &mut Tick<'_>,
) -> gyrus_train::Result<Quantized> {
    let dataset = &dense.dataset;
    let state = calibrate(&blueprint, &dense.state, &dataset.train, &dataset.preprocessing, &cpu(), tick)?;
    Ok(quantized(verb, dense, blueprint, state))
}

/// The same, with thresholds that are known.
pub(super) fn quantized(verb: &Spike, dense: &Dense, blueprint: Blueprint, state: State) -> Quantized {
    let levels = |node: &Node| match node.kind {
        NodeKind::QuantizedReLU { levels } => Some(levels),
        _ => None,
    };
    let levels = blueprint.nodes().iter().filter_map(levels).max().unwrap_or(0);
    let epochs = match verb.epochs {
        Some(epochs) => epochs,
        None if blueprint == dense.blueprint => 0,
        None => dense.record.settings.epochs.div_ceil(if verb.exact { 2 } else { 4 }),
    };
    Quantized { blueprint, state, levels, epochs }
}

/// Epochs of fine-tuning through time.
pub(super) fn time_epochs(verb: &Spike, dense: &Dense) -> u32 {
    match verb.time_epochs {
        Some(epochs) => epochs,
        // What is exact stays so, and who wants no fine-tuning gets none.
        None if verb.exact || verb.epochs == Some(0) => 0,
        None => (dense.record.settings.epochs / 3).max(1),
    }
}

impl Quantized {
    /// Batch norms and dropouts folded.
    pub(super) fn folded(&self) -> Result<Self> {
        let (blueprint, state) = folded_form(&self.blueprint, &self.state)?;
        Ok(Self { blueprint, state, ..*self })
    }
}

/// The spiking form of a network with quantized activations.
pub(super) fn spiking(verb: &Spike, dense: &Dense, quantized: &Quantized) -> Result<Spiking> {
    let device = cpu();
    if verb.exact {
        let limit = input_limit(&dense.dataset.preprocessing);
        let exact = exact_form(&quantized.blueprint, &quantized.state, limit)?;
        let all = exact.settings.steps;
        let mut steps: Vec<usize> = (0..).map(|power| 1 << power).take_while(|steps| *steps < all).collect();
        steps.push(all);
        return Ok(Spiking {
            quantized: Network::from_state(&exact.quantized.0, &exact.quantized.1, &device)?,
            blueprint: exact.spiking.0,
            state: exact.spiking.1,
            settings: exact.settings,
            steps,
            enough_steps: Some(exact.enough_steps),
        });
    }
    let (blueprint, state) = integrate_and_fire_form(&quantized.blueprint, &quantized.state)?;
    let mut steps: Vec<usize> = verb.steps.iter().map(|steps| *steps as usize).collect();
    if steps.is_empty() {
        steps = Spike::STEPS.map(|steps| steps as usize).to_vec();
    }
    steps.sort_unstable();
    steps.dedup();
    let settings =
        SpikingSettings { steps: steps.last().copied().unwrap_or(1), ..SpikingSettings::default() };
    let quantized = Network::from_state(&quantized.blueprint, &quantized.state, &device)?;
    Ok(Spiking { blueprint, state, settings, steps, quantized, enough_steps: None })
}

/// How far numbers of the network's input can lie from 0: pixels have ends; of table columns, what lies beyond 16
/// deviations is cut.
fn input_limit(preprocessing: &Preprocessing) -> f32 {
    match preprocessing {
        Preprocessing::Image { mean, deviation, .. } => {
            let ends = mean.iter().zip(deviation).map(|(mean, deviation)| mean.max(1.0 - mean) / deviation);
            ends.fold(0.0, f32::max)
        }
        // Recordings of events come from spiking runs alone, which are refused; the limit would do for their counts.
        Preprocessing::Table { .. } | Preprocessing::Events { .. } => 16.0,
    }
}
