//! Learning rates over the course of a training.

use crate::{Error, Result};

/// The names of all schedules.
pub const SCHEDULE_NAMES: [&str; 4] = ["one-cycle", "cosine", "wsd", "constant"];

/// How the learning rate changes from the first step to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Rises from 1/25 of the full rate to the full rate over the first 25 % of the steps, then falls along a cosine to
    /// 1/10,000 (Smith and Topin 2018).
    OneCycle,
    /// Rises over the first 2 % of the steps, then falls along a cosine to 0 (Loshchilov and Hutter 2017).
    Cosine,
    /// Rises over the first 2 % of the steps, stays, then falls along `1 - sqrt` to 0 over the last 20 % (warmup-stable-decay,
    /// Hägele et al. 2024).
    WarmupStableDecay,
    /// Always the full rate.
    Constant,
}

impl Schedule {
    /// The schedule of this name.
    ///
    /// # Errors
    /// [`Error::UnknownName`].
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "one-cycle" => Ok(Self::OneCycle),
            "cosine" => Ok(Self::Cosine),
            "wsd" => Ok(Self::WarmupStableDecay),
            "constant" => Ok(Self::Constant),
            name => Err(Error::UnknownName { what: "schedule", name: name.into(), known: &SCHEDULE_NAMES }),
        }
    }

    /// The factor on the learning rate at `step` (from 0) of `steps`.
    #[must_use]
    pub fn factor(self, step: u64, steps: u64) -> f64 {
        let at = step as f64 / steps.saturating_sub(1).max(1) as f64;
        let cosine =
            |from: f64, to: f64, at: f64| to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * at).cos());
        let (warm, start, end) = match self {
            Self::Constant => return 1.0,
            Self::WarmupStableDecay => {
                let (warm, decay) = (at / 0.02, (at - 0.8) / 0.2);
                return warm.min(1.0) * (1.0 - decay.clamp(0.0, 1.0).sqrt());
            }
            Self::OneCycle => (0.25, 1.0 / 25.0, 1e-4),
            Self::Cosine => (0.02, 0.0, 0.0),
        };
        if at < warm { cosine(start, 1.0, at / warm) } else { cosine(1.0, end, (at - warm) / (1.0 - warm)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_start_peak_and_end_where_they_should() {
        let s = Schedule::OneCycle;
        assert!((s.factor(0, 1001) - 0.04).abs() < 1e-9);
        assert!((s.factor(250, 1001) - 1.0).abs() < 1e-9);
        assert!((s.factor(1000, 1001) - 1e-4).abs() < 1e-9);
        assert!(Schedule::Cosine.factor(1000, 1001).abs() < 1e-9);
        let s_wsd = Schedule::WarmupStableDecay;
        assert_eq!([s_wsd.factor(0, 1001), s_wsd.factor(20, 1001), s_wsd.factor(800, 1001)], [0.0, 1.0, 1.0]);
        // Halfway in the root of the last fifth.
        assert!((s_wsd.factor(850, 1001) - 0.5).abs() < 1e-9 && s_wsd.factor(1000, 1001).abs() < 1e-9);
        assert_eq!(Schedule::Constant.factor(7, 9), 1.0);
        assert!((0..1000).all(|i| (0.0..=1.0).contains(&s.factor(i, 1000))));
        assert!(s.factor(0, 1).is_finite(), "a training of one step");
    }
}
