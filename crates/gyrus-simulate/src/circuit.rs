//! What to build: populations, their inputs, and how they are connected.

use core::ops::Range;

use crate::error::{Result, wrong};
use crate::model::Model;
use crate::projection::Projection;
use crate::quantity::Quantity;

/// A circuit, ready to be built.
#[derive(Clone, Debug, PartialEq)]
pub struct Circuit {
    /// Populations; projections name them by index.
    pub populations: Vec<Population>,
    /// Connections between populations.
    pub projections: Vec<Projection>,
    /// Length of a step in milliseconds.
    pub dt_ms: f64,
    /// Decides all random numbers.
    pub seed: u64,
    /// Width of numbers.
    pub precision: Precision,
}

/// Width of states, sums of input and weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits.
    #[default]
    Single,
    /// 64 bits, as in NEST.
    Double,
}

/// Neurons of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Population {
    /// Name, for messages and reports.
    pub name: String,
    /// Number of neurons.
    pub neurons: usize,
    /// Their equations.
    pub model: Model,
    /// Membrane potential before the first step, in mV; absent: the model's resting potential, as in NEST.
    pub v_start_mv: Option<Quantity>,
    /// Input that is not from other neurons.
    pub inputs: Vec<Input>,
}

/// Input to some neurons of a population during some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Which neurons of the population; absent: all.
    pub neurons: Option<Range<usize>>,
    /// The input begins at this time, in milliseconds.
    pub start_ms: f64,
    /// The input ends at this time; infinite if it does not.
    pub stop_ms: f64,
    /// What arrives.
    pub kind: InputKind,
}

/// Kinds of input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InputKind {
    /// Poisson spikes, a train of its own for each neuron.
    Poisson {
        /// Spikes per second, at least 0.
        rate_hz: f64,
        /// Weight of each, as in [`Projection::weight`].
        weight: f64,
    },
    /// A direct current, which acts after a delay. As from NEST's generators, a current from time 0 on acts one step later.
    Current {
        /// In pA.
        amplitude_pa: f64,
        /// Delay of the connection in milliseconds, at least one step.
        delay_ms: f64,
    },
    /// White noise: a normally distributed current, drawn for each neuron and step.
    NoiseCurrent {
        /// Mean in pA.
        mean_pa: f64,
        /// Standard deviation of each step's current in pA.
        std_pa: f64,
        /// Delay of the connection in milliseconds, at least one step.
        delay_ms: f64,
    },
}

impl Default for Circuit {
    fn default() -> Self {
        Self {
            populations: Vec::new(),
            projections: Vec::new(),
            dt_ms: 0.1,
            seed: 0,
            precision: Precision::default(),
        }
    }
}

impl Population {
    /// A population without input that starts at rest.
    pub fn new(name: impl Into<String>, neurons: usize, model: Model) -> Self {
        Self { name: name.into(), neurons, model, v_start_mv: None, inputs: Vec::new() }
    }
}

impl Input {
    /// Poisson spikes to all neurons, always.
    #[must_use]
    pub fn poisson(rate_hz: f64, weight: f64) -> Self {
        Self::always(InputKind::Poisson { rate_hz, weight })
    }

    /// Input to all neurons, always.
    #[must_use]
    pub fn always(kind: InputKind) -> Self {
        Self { neurons: None, start_ms: 0.0, stop_ms: f64::INFINITY, kind }
    }

    pub(crate) fn check(&self, place: &str, neurons: usize, dt_ms: f64) -> Result<()> {
        if let Some(range) = &self.neurons
            && (range.start > range.end || range.end > neurons)
        {
            return Err(wrong(
                place,
                "the neurons of an input",
                format!("{range:?}"),
                format!("within 0..{neurons}"),
            ));
        }
        let sound = self.start_ms.is_finite() && self.start_ms >= 0.0 && self.stop_ms >= self.start_ms;
        if !sound {
            let got = format!("from {} to {} ms", self.start_ms, self.stop_ms);
            return Err(wrong(place, "the time of an input", got, "a start of at least 0, and a later end"));
        }
        let finite = |setting, value: f64| match value.is_finite() {
            true => Ok(()),
            false => Err(wrong(place, setting, value, "a finite number")),
        };
        let delay = |delay_ms: f64| match (delay_ms / dt_ms).round() {
            steps if (1.0..=65_536.0).contains(&steps) => Ok(()),
            _ => Err(wrong(place, "delay_ms of an input", delay_ms, "1 to 65,536 steps")),
        };
        match self.kind {
            InputKind::Poisson { rate_hz, weight } => {
                let expected = rate_hz * dt_ms / 1000.0;
                if !(0.0..=crate::inputs::MOST_EXPECTED).contains(&expected) {
                    let got = format!("{rate_hz} ({expected} spikes a step)");
                    return Err(wrong(place, "rate_hz of an input", got, "0 to 100 spikes a step"));
                }
                finite("weight of an input", weight)
            }
            InputKind::Current { amplitude_pa, delay_ms } => {
                finite("amplitude_pa", amplitude_pa)?;
                delay(delay_ms)
            }
            InputKind::NoiseCurrent { mean_pa, std_pa, delay_ms } => {
                finite("mean_pa", mean_pa)?;
                finite("std_pa", std_pa)?;
                if std_pa < 0.0 {
                    return Err(wrong(place, "std_pa", std_pa, "a number of at least 0"));
                }
                delay(delay_ms)
            }
        }
    }
}

impl Population {
    pub(crate) fn place(&self) -> String {
        format!("population `{}`", self.name)
    }
}
