//! All settings together, and their checks.

use gyrus_blueprint::Discretization;
use serde::{Deserialize, Serialize};

use super::encoder::{Encoder, MOST_FRACTION_BITS, MOST_NEURONS};
use super::readout::Readout;
use super::surrogate::{SURROGATE_NAMES, surrogate};
use crate::{Error, Result};

/// Most steps per sample.
const MOST_STEPS: usize = 100_000;

/// Everything about time that a blueprint does not specify.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpikingSettings {
    /// Steps per sample, at least 1.
    pub steps: usize,
    /// Length of a step and how equations are integrated over it.
    pub time: Discretization,
    /// Turns numbers into currents or spikes.
    pub encoder: Encoder,
    /// Turns the network's output over time into its answer.
    pub readout: Readout,
    /// Derivative of a spike in training, by its name for [`surrogate`].
    pub surrogate: String,
    /// Whether gradients stop at the reset of a membrane (Zenke and Vogels 2021); most libraries do so.
    pub detach_reset: bool,
    /// Truncated back-propagation: gradients do not pass multiples of this many steps.
    pub truncate: Option<usize>,
}

impl SpikingSettings {
    /// Checks every setting.
    ///
    /// # Errors
    /// If a setting is out of range or unknown.
    pub fn check(&self) -> Result<()> {
        let wrong = |setting, got: String, expected: &str| {
            Err(Error::Setting { setting, got, expected: expected.to_owned() })
        };
        if !(1..=MOST_STEPS).contains(&self.steps) {
            return wrong("steps", self.steps.to_string(), "a whole number from 1 to 100,000");
        }
        if !(self.time.dt_ms.is_finite() && self.time.dt_ms > 0.0) {
            return wrong("dt_ms", self.time.dt_ms.to_string(), "a number above 0");
        }
        if self.truncate == Some(0) {
            return wrong("truncate", "0".to_owned(), "at least 1 step");
        }
        if let Encoder::Delta { threshold } = self.encoder
            && !(threshold.is_finite() && threshold > 0.0)
        {
            return wrong("the threshold of the delta code", threshold.to_string(), "a number above 0");
        }
        if let Encoder::Once { fraction_bits, limit } = self.encoder {
            if fraction_bits > MOST_FRACTION_BITS {
                return wrong("fraction_bits", fraction_bits.to_string(), "at most 20");
            }
            if !(limit.is_finite() && limit > 0.0) {
                return wrong("the limit of the input", limit.to_string(), "a number above 0");
            }
        }
        if let Encoder::Population { neurons, low, high } = self.encoder {
            if !(3..=MOST_NEURONS).contains(&neurons) {
                let expected = "a whole number from 3 to 1024";
                return wrong("the neurons of the population code", neurons.to_string(), expected);
            }
            if !(low.is_finite() && high.is_finite() && low < high && (high - low).is_finite()) {
                let expected = "two finite numbers, the second above the first";
                return wrong("the range of the population code", format!("{low} to {high}"), expected);
            }
        }
        if surrogate(&self.surrogate).is_none() {
            return Err(self.wrong_surrogate());
        }
        Ok(())
    }

    pub(crate) fn wrong_surrogate(&self) -> Error {
        let expected = format!("{}, or one of them with a width as in atan:2", SURROGATE_NAMES.join(", "));
        Error::Setting { setting: "surrogate", got: self.surrogate.clone(), expected }
    }
}

impl Default for SpikingSettings {
    fn default() -> Self {
        Self {
            steps: 4,
            time: Discretization::default(),
            encoder: Encoder::Direct,
            readout: Readout::Membrane,
            surrogate: "atan".to_owned(),
            detach_reset: true,
            truncate: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_populations_are_refused() {
        for (neurons, low, high) in [(2, 0.0, 1.0), (1025, 0.0, 1.0), (8, 1.0, 1.0), (8, 0.0, f32::NAN)] {
            let encoder = Encoder::Population { neurons, low, high };
            let settings = SpikingSettings { encoder, ..SpikingSettings::default() };
            let error = settings.check().unwrap_err().to_string();
            assert!(error.contains("population") && error.contains("expected"), "{error}");
        }
    }

    #[test]
    fn settings_without_sense_are_refused() {
        for (encoder, what) in [
            (Encoder::Once { fraction_bits: 40, limit: 1.0 }, "fraction_bits is 40"),
            (Encoder::Once { fraction_bits: 8, limit: f32::NAN }, "limit"),
            (Encoder::Delta { threshold: 0.0 }, "delta"),
        ] {
            let error =
                SpikingSettings { encoder, ..SpikingSettings::default() }.check().unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
