//! Options of a spiking network: time steps, encoder, readout, surrogate.

use gyrus_blueprint::{Discretization, Integration, Reset};
use gyrus_data::{EventOptions, Preprocessing};
use gyrus_nn::{Encoder, Intensity, Readout, SpikingSettings};

use crate::Result;
use crate::verbs::names::unknown;

/// The range of nearly all standardized numbers of a table.
const USUAL_RANGE: (f32, f32) = (-2.5, 2.5);

/// Options of a spiking network.
#[derive(Clone, Debug)]
pub struct SpikingOptions {
    /// Time steps per example, or frames into which a recording is cut. Default: [`SpikingOptions::STEPS`], 10 for event
    /// cameras, 100 for a cochlea.
    pub steps: Option<u32>,
    /// Length of a step in milliseconds.
    pub dt_ms: f64,
    /// Membrane time constant of the neurons in milliseconds.
    pub tau_ms: f64,
    /// Integration of the neurons' equations: exact | euler.
    pub integration: String,
    /// What a spike does to the membrane: subtract (the threshold) | zero, as in NIR files and most other programs.
    pub reset: String,
    /// How numbers become currents or spikes: direct (default) | rate | latency | population; for event recordings: spikes
    /// (default) | counts.
    pub encoder: Option<String>,
    /// Neurons per number in the population code.
    pub population: u32,
    /// What is read as the answer: membrane | counts | first-spike.
    pub readout: String,
    /// Surrogate derivative of a spike: atan | fast-sigmoid | triangular | gaussian | multi-gaussian | boxcar, with a width as in
    /// `atan:2`.
    pub surrogate: String,
    /// Let gradients flow through resets as well.
    pub attach_reset: bool,
    /// Truncate back-propagation through time to this many steps.
    pub truncate: Option<u32>,
}

impl Default for SpikingOptions {
    fn default() -> Self {
        Self {
            steps: None,
            dt_ms: Self::DT_MS,
            tau_ms: Self::TAU_MS,
            integration: Self::INTEGRATION.to_owned(),
            reset: Self::RESET.to_owned(),
            encoder: None,
            population: Self::POPULATION,
            readout: Self::READOUT.to_owned(),
            surrogate: Self::SURROGATE.to_owned(),
            attach_reset: false,
            truncate: None,
        }
    }
}

impl SpikingOptions {
    /// Default time steps of an example that is not a recording.
    pub const STEPS: usize = 4;
    /// Default of [`Self::dt_ms`].
    pub const DT_MS: f64 = 1.0;
    /// Default of [`Self::tau_ms`].
    pub const TAU_MS: f64 = 2.0;
    /// Default of [`Self::integration`].
    pub const INTEGRATION: &str = "exact";
    /// Default of [`reset`](field@Self::reset).
    pub const RESET: &str = "subtract";
    /// Default of [`Self::population`].
    pub const POPULATION: u32 = 8;
    /// Default of [`Self::readout`].
    pub const READOUT: &str = "membrane";
    /// Default of [`Self::surrogate`].
    pub const SURROGATE: &str = "atan";

    /// How event recordings become frames; `steps` is their default number and `side` the longer side of a frame in pixels.
    pub(super) fn events(&self, steps: usize, side: Option<usize>) -> Result<EventOptions> {
        let binary = match self.encoder.as_deref() {
            None | Some("spikes") => true,
            Some("counts") => false,
            Some(other) => return Err(unknown("encoder for events", other, "spikes or counts")),
        };
        let steps = self.steps.map_or(steps, |steps| steps as usize);
        Ok(EventOptions { steps, binary, side })
    }

    /// What a spike does to the membrane.
    pub(super) fn reset(&self) -> Result<Reset> {
        match self.reset.as_str() {
            "subtract" => Ok(Reset::Subtract),
            "zero" => Ok(Reset::Hard),
            other => Err(unknown("reset", other, "subtract or zero")),
        }
    }

    /// The settings for data of this kind.
    pub(super) fn settings(&self, preprocessing: &Preprocessing) -> Result<SpikingSettings> {
        let intensity = || match preprocessing {
            Preprocessing::Image { mean, deviation, .. } => {
                Intensity::Pixels { mean: mean.clone(), std: deviation.clone() }
            }
            Preprocessing::Table { .. } | Preprocessing::Events { .. } => Intensity::Logistic,
        };
        let (encoder, steps) = match (preprocessing, self.encoder.as_deref()) {
            // The data has already been cut into frames by these two.
            (Preprocessing::Events { steps, binary, .. }, _) => (Encoder::Frames { binary: *binary }, *steps),
            (_, encoder) => {
                let encoder = match encoder.unwrap_or("direct") {
                    "direct" => Encoder::Direct,
                    "rate" => Encoder::Rate { intensity: intensity() },
                    "latency" => Encoder::Latency { intensity: intensity() },
                    "population" => {
                        let (low, high) = match preprocessing {
                            // Of any channel, black to white.
                            Preprocessing::Image { mean, deviation, .. } => {
                                let of = |pixel: f32| {
                                    mean.iter().zip(deviation).map(move |(m, d)| (pixel - m) / d)
                                };
                                let (black, white) = (of(0.0), of(1.0));
                                (black.fold(f32::INFINITY, f32::min), white.fold(f32::NEG_INFINITY, f32::max))
                            }
                            _ => USUAL_RANGE,
                        };
                        Encoder::Population { neurons: self.population as usize, low, high }
                    }
                    other => return Err(unknown("encoder", other, "direct, rate, latency or population")),
                };
                (encoder, self.steps.map_or(Self::STEPS, |steps| steps as usize))
            }
        };
        let readout = match self.readout.as_str() {
            "membrane" => Readout::Membrane,
            "counts" => Readout::Counts,
            "first-spike" => Readout::FirstSpike,
            other => return Err(unknown("readout", other, "membrane, counts or first-spike")),
        };
        let integration = match self.integration.as_str() {
            "exact" => Integration::Exact,
            "euler" => Integration::Euler,
            other => return Err(unknown("integration", other, "exact or euler")),
        };
        let settings = SpikingSettings {
            steps,
            time: Discretization { dt_ms: self.dt_ms, integration },
            encoder,
            readout,
            surrogate: self.surrogate.clone(),
            detach_reset: !self.attach_reset,
            truncate: self.truncate.map(|steps| steps as usize),
        };
        settings.check()?;
        Ok(settings)
    }
}
