//! Options of `gyrus learn --spiking`.

use clap::Args;
use gyrus::SpikingOptions;

/// Options of a spiking network.
#[derive(Args)]
#[command(next_help_heading = "Spiking networks")]
pub(crate) struct SpikingArguments {
    /// Train a spiking network by back-propagation through time; ReLUs become leaky integrate-and-fire neurons
    #[arg(long)]
    spiking: bool,
    /// Time steps per example, or frames into which a recording is cut [default: 4; 10 for event cameras, 100 for a cochlea]
    #[arg(long, requires = "spiking", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: Option<u32>,
    /// Length of a step in milliseconds
    #[arg(long, default_value_t = SpikingOptions::DT_MS, requires = "spiking", value_name = "MS")]
    dt: f64,
    /// Membrane time constant of the neurons in milliseconds
    #[arg(long, default_value_t = SpikingOptions::TAU_MS, requires = "spiking", value_name = "MS")]
    tau: f64,
    /// Integration of the neurons' equations: exact | euler
    #[arg(long, default_value = SpikingOptions::INTEGRATION, requires = "spiking")]
    integration: String,
    /// What a spike does to the membrane: subtract (the threshold) | zero, which NIR files express
    #[arg(long, default_value = SpikingOptions::RESET, requires = "spiking")]
    reset: String,
    /// How numbers become currents or spikes: direct | rate | latency | population; for event recordings: spikes | counts
    /// [default: direct, or spikes]
    #[arg(long, requires = "spiking")]
    encoder: Option<String>,
    /// Neurons per number in the population code
    #[arg(long, default_value_t = SpikingOptions::POPULATION, requires = "spiking", value_name = "NEURONS", value_parser = clap::value_parser!(u32).range(3..=1024))]
    population: u32,
    /// What is read as the answer: membrane | counts | first-spike
    #[arg(long, default_value = SpikingOptions::READOUT, requires = "spiking")]
    readout: String,
    /// Surrogate derivative of a spike: atan | fast-sigmoid | triangular | gaussian | multi-gaussian | boxcar, with a width as in
    /// atan:2
    #[arg(long, default_value = SpikingOptions::SURROGATE, requires = "spiking")]
    surrogate: String,
    /// Let gradients flow through resets as well
    #[arg(long, requires = "spiking")]
    attach_reset: bool,
    /// Truncate back-propagation through time to this many steps
    #[arg(long, requires = "spiking", value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..))]
    truncate: Option<u32>,
}

impl SpikingArguments {
    /// The options, if the network shall spike.
    pub(crate) fn options(&self) -> Option<SpikingOptions> {
        self.spiking.then(|| SpikingOptions {
            steps: self.steps,
            dt_ms: self.dt,
            tau_ms: self.tau,
            integration: self.integration.clone(),
            reset: self.reset.clone(),
            encoder: self.encoder.clone(),
            population: self.population,
            readout: self.readout.clone(),
            surrogate: self.surrogate.clone(),
            attach_reset: self.attach_reset,
            truncate: self.truncate,
        })
    }
}
