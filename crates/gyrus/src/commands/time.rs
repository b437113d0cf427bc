//! What the command line says of time: `learn --spiking` and its options.

use clap::Args;
use gyrus_blueprint::{Discretization, Integration};
use gyrus_data::Preprocessing;
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
    /// Steps for which each example is shown
    #[arg(long, default_value_t = 4, requires = "spiking", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: u32,
    /// Length of a step in milliseconds
    #[arg(long, default_value_t = 1.0, requires = "spiking", value_name = "MS")]
    dt: f64,
    /// Membrane time constant of the neurons that ReLUs become, in milliseconds
    #[arg(long, default_value_t = 2.0, requires = "spiking", value_name = "MS")]
    pub(crate) tau: f64,
    /// How equations are integrated: exact | euler
    #[arg(long, default_value = "exact", requires = "spiking")]
    integration: String,
    /// How numbers become currents or spikes: direct | rate | latency | population
    #[arg(long, default_value = "direct", requires = "spiking")]
    encoder: String,
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

impl TimeArguments {
    /// The settings for data of this kind, if the network shall spike.
    pub(crate) fn settings(&self, preprocessing: &Preprocessing) -> Result<Option<SpikingSettings>, Failure> {
        if !self.spiking {
            return Ok(None);
        }
        let intensity = || match preprocessing {
            Preprocessing::Image { mean, deviation, .. } => {
                Intensity::Pixels { mean: mean.clone(), deviation: deviation.clone() }
            }
            Preprocessing::Table { .. } => Intensity::Logistic,
        };
        let unknown = |what: &str, got: &str, known: &str| {
            Failure::Caller(format!("there is no {what} `{got}`; expected {known}"))
        };
        let encoder = match self.encoder.as_str() {
            "direct" => Encoder::Direct,
            "rate" => Encoder::Rate { intensity: intensity() },
            "latency" => Encoder::Latency { intensity: intensity() },
            "population" => {
                let (low, high) = match preprocessing {
                    // Of whatever channel, black to white.
                    Preprocessing::Image { mean, deviation, .. } => {
                        let of = |pixel: f32| mean.iter().zip(deviation).map(move |(m, d)| (pixel - m) / d);
                        (of(0.0).fold(f32::INFINITY, f32::min), of(1.0).fold(f32::NEG_INFINITY, f32::max))
                    }
                    Preprocessing::Table { .. } => USUAL_RANGE,
                };
                Encoder::Population { neurons: self.population as usize, low, high }
            }
            other => return Err(unknown("encoder", other, "direct, rate, latency or population")),
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
            steps: self.steps as usize,
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
