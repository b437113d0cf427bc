//! What the command line says of time: `learn --spiking` and its options.

use clap::Args;
use gyrus_blueprint::{Discretization, Integration};
use gyrus_data::{EventOptions, Preprocessing};
use gyrus_nn::{Encoder, Intensity, Readout, SpikingSettings};

use crate::failure::Failure;

/// Within which nearly all standardised numbers of a table lie.
const USUAL_RANGE: (f32, f32) = (-2.5, 2.5);

/// Options of a network that lives in time.
#[derive(Args)]
pub(crate) struct TimeArguments {
    /// Train a spiking network, through time; ReLUs of a dense blueprint become leaky integrate-and-fire neurons
    #[arg(long)]
    pub(crate) spiking: bool,
    /// Steps for which each example is shown, or frames that a recording is cut into [default: 4; 10 for recordings of
    /// event cameras, 100 for a cochlea's]
    #[arg(long, requires = "spiking", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: Option<u32>,
    /// Length of a step in milliseconds
    #[arg(long, default_value_t = 1.0, requires = "spiking", value_name = "MS")]
    dt: f64,
    /// Membrane time constant of the neurons that ReLUs become, in milliseconds
    #[arg(long, default_value_t = 2.0, requires = "spiking", value_name = "MS")]
    pub(crate) tau: f64,
    /// How equations are integrated: exact | euler
    #[arg(long, default_value = "exact", requires = "spiking")]
    integration: String,
    /// How numbers become currents or spikes: direct | rate | latency | population; for recordings of events: spikes |
    /// counts [default: direct, or spikes]
    #[arg(long, requires = "spiking")]
    encoder: Option<String>,
    /// Neurons that stand for each number in the population code
    #[arg(long, default_value_t = 8, requires = "spiking", value_name = "NEURONS", value_parser = clap::value_parser!(u32).range(3..=1024))]
    population: u32,
    /// What the answer is: membrane | counts | first-spike
    #[arg(long, default_value = "membrane", requires = "spiking")]
    readout: String,
    /// Derivative of a spike: atan | fast-sigmoid | triangular | gaussian | multi-gaussian | boxcar, with a width as in atan:2
    #[arg(long, default_value = "atan", requires = "spiking")]
    surrogate: String,
    /// Gradients flow through resets as well
    #[arg(long, requires = "spiking")]
    attach_reset: bool,
    /// Truncate back-propagation through time to this many steps
    #[arg(long, requires = "spiking", value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..))]
    truncate: Option<u32>,
}

fn unknown(what: &str, got: &str, known: &str) -> Failure {
    Failure::Caller(format!("there is no {what} `{got}`; expected {known}"))
}

impl TimeArguments {
    /// How recordings of events become frames, if the network shall spike; `steps` is what is usual for them and `side` the
    /// longer side of a frame in pixels.
    pub(crate) fn events(&self, steps: usize, side: Option<usize>) -> Result<Option<EventOptions>, Failure> {
        if !self.spiking {
            return Ok(None);
        }
        let binary = match self.encoder.as_deref() {
            None | Some("spikes") => true,
            Some("counts") => false,
            Some(other) => return Err(unknown("encoder for events", other, "spikes or counts")),
        };
        let steps = self.steps.map_or(steps, |steps| steps as usize);
        Ok(Some(EventOptions { steps, binary, side }))
    }

    /// The settings for data of this kind, if the network shall spike.
    pub(crate) fn settings(&self, preprocessing: &Preprocessing) -> Result<Option<SpikingSettings>, Failure> {
        if !self.spiking {
            return Ok(None);
        }
        let intensity = || match preprocessing {
            Preprocessing::Image { mean, deviation, .. } => {
                Intensity::Pixels { mean: mean.clone(), deviation: deviation.clone() }
            }
            Preprocessing::Table { .. } | Preprocessing::Events { .. } => Intensity::Logistic,
        };
        let (encoder, steps) = match (preprocessing, self.encoder.as_deref()) {
            // The data have been cut into frames by these two already.
            (Preprocessing::Events { steps, binary, .. }, _) => (Encoder::Frames { binary: *binary }, *steps),
            (_, encoder) => {
                let encoder = match encoder.unwrap_or("direct") {
                    "direct" => Encoder::Direct,
                    "rate" => Encoder::Rate { intensity: intensity() },
                    "latency" => Encoder::Latency { intensity: intensity() },
                    "population" => {
                        let (low, high) = match preprocessing {
                            // Of whatever channel, black to white.
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
                (encoder, self.steps.map_or(4, |steps| steps as usize))
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
            time: Discretization { dt_ms: self.dt, integration },
            encoder,
            readout,
            surrogate: self.surrogate.clone(),
            detach_reset: !self.attach_reset,
            truncate: self.truncate.map(|steps| steps as usize),
        };
        settings.check().map_err(Failure::caller)?;
        Ok(Some(settings))
    }
}
