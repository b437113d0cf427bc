//! The event-driven body of a spiking network: it computes only where spikes occur, and counts what it computes.

use gyrus_blueprint::Blueprint;
use gyrus_events::{EventNetwork, EventState, Stimulus};
use gyrus_nn::convert::folded_form;
use gyrus_nn::{EncodedSample, SpikingSettings, State};
use serde::Serialize;

use crate::Result;

/// The work of an answer, as it was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EventWork {
    /// Spikes of all neurons, over all steps.
    pub spikes: u64,
    /// Connections that carried a spike or a number.
    pub synaptic_operations: u64,
    /// Those that only add.
    pub accumulates: u64,
    /// Those that multiply.
    pub multiply_accumulates: u64,
    /// Updates of neurons' membranes.
    pub membrane_updates: u64,
}

/// A spiking network that runs event by event.
pub(super) struct EventBody {
    network: EventNetwork,
    settings: SpikingSettings,
}

impl EventBody {
    /// Of a blueprint with its parameters, for samples of so many numbers.
    pub(super) fn new(
        blueprint: &Blueprint,
        state: &State,
        settings: &SpikingSettings,
        numbers: usize,
    ) -> Result<Self> {
        let (blueprint, state) = folded_form(blueprint, state)?;
        let kind = stimulus(&settings.encode(&vec![0.0; numbers])).kind();
        let network = EventNetwork::new(&blueprint, &state, settings.time, kind)?;
        Ok(Self { network, settings: settings.clone() })
    }

    /// The outputs for a sample at each step, `[steps, outputs]`, and the work that they took.
    pub(super) fn run(&self, sample: &[f32]) -> Result<(Vec<f32>, EventWork)> {
        let encoded = self.settings.encode(sample);
        let mut state = EventState::default();
        let outcome = self.network.run(&mut state, stimulus(&encoded), self.settings.steps, false)?;
        let counts = outcome.total();
        let work = EventWork {
            spikes: counts.spikes,
            synaptic_operations: counts.accumulates + counts.multiply_accumulates,
            accumulates: counts.accumulates,
            multiply_accumulates: counts.multiply_accumulates,
            membrane_updates: counts.membrane_updates,
        };
        Ok((outcome.answer, work))
    }

    /// The same, read out: one number for each output.
    pub(super) fn answer(&self, sample: &[f32]) -> Result<(Vec<f32>, EventWork)> {
        let (outputs, work) = self.run(sample)?;
        Ok((self.settings.read_out(&outputs, self.network.outputs()), work))
    }
}

fn stimulus(sample: &EncodedSample) -> Stimulus<'_> {
    match sample {
        EncodedSample::Constant(x) => Stimulus::Constant(x),
        EncodedSample::Once(x) => Stimulus::Once(x),
        EncodedSample::Frames(x) => Stimulus::Frames(x),
        EncodedSample::Spikes(bits) => Stimulus::Spikes(bits),
    }
}
