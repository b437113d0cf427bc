//! How synapses change: with the times of spikes (also modulated by reward), and over tens of milliseconds.

mod block;

pub(crate) use block::{Arrival, Resources, Spike, Timed};

use crate::error::{Result, wrong};

/// A rule by which the synapses of a projection change. Their delay must be one for all; it is dendritic, as in NEST.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Plasticity {
    /// Weights change with the times of spikes.
    SpikeTiming(SpikeTiming),
    /// Synapses run out of resources and recover (Tsodyks, Uziel & Markram 2000), NEST's `tsodyks2_synapse`; weights stay.
    ShortTerm(ShortTerm),
}

/// Spike-timing dependent plasticity of positive weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpikeTiming {
    /// How far a pair of spikes moves the weight.
    pub rule: TimingRule,
    /// Which spikes make pairs.
    pub pairing: Pairing,
    /// Time constant of what a spike of the source leaves behind, in ms.
    pub tau_plus_ms: f64,
    /// Time constant of what a spike of the target leaves behind, in ms.
    pub tau_minus_ms: f64,
    /// Changes gather in an eligibility trace with this time constant in ms, which [`reward`](crate::Simulation::reward) turns into weights;
    /// absent: weights change at once.
    pub tau_eligibility_ms: Option<f64>,
}

/// Pairs of spikes that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Every spike of the source with every one of the target.
    AllToAll,
    /// Each spike with the nearest earlier one on the other side.
    Nearest,
}

/// Sizes of changes. p and m are what the source's and the target's earlier spikes have left behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TimingRule {
    /// NEST's `stdp_synapse` (Gütig et al. 2003): w/w_max grows by λ (1 − w/w_max)^μ₊ p and shrinks by λ α (w/w_max)^μ₋ m.
    Bounded {
        /// Step size.
        lambda: f64,
        /// Depression relative to potentiation.
        alpha: f64,
        /// Exponent of potentiation: 0 additive, 1 multiplicative.
        mu_plus: f64,
        /// Exponent of depression.
        mu_minus: f64,
        /// Largest weight.
        w_max: f64,
    },
    /// NEST's `stdp_pl_synapse_hom` (Morrison et al. 2007): w grows by λ w^μ p and shrinks by λ α w m.
    PowerLaw {
        /// Step size.
        lambda: f64,
        /// Depression relative to potentiation.
        alpha: f64,
        /// Exponent of potentiation.
        mu: f64,
    },
    /// NEST's `stdp_triplet_synapse` (Pfister & Gerstner 2006): w grows by p (a_plus + a_plus_triplet m₂) and shrinks by m (a_minus +
    /// a_minus_triplet p₂), with slower traces p₂ and m₂.
    Triplet {
        /// Potentiation of pairs.
        a_plus: f64,
        /// Potentiation of triplets.
        a_plus_triplet: f64,
        /// Depression of pairs.
        a_minus: f64,
        /// Depression of triplets.
        a_minus_triplet: f64,
        /// Time constant of the source's slower trace in ms.
        tau_plus_triplet_ms: f64,
        /// Time constant of the target's slower trace in ms.
        tau_minus_triplet_ms: f64,
        /// Largest weight.
        w_max: f64,
    },
}

/// Short-term plasticity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShortTerm {
    /// Part of the resources that a spike uses, 0 to 1; what it rises from where it facilitates.
    pub u: f64,
    /// Time constant of recovery in ms.
    pub tau_rec_ms: f64,
    /// Time constant of facilitation in ms; 0 for none.
    pub tau_fac_ms: f64,
}

impl TimingRule {
    /// The weight after potentiation by `p`; `slow` is the target's slower trace.
    #[inline]
    pub(crate) fn grown(&self, w: f64, p: f64, slow: f64) -> f64 {
        match *self {
            Self::Bounded { lambda, mu_plus, w_max, .. } => {
                let normed = w / w_max;
                let grown = normed + lambda * power(1.0 - normed, mu_plus) * p;
                if grown < 1.0 { grown * w_max } else { w_max }
            }
            Self::PowerLaw { lambda, mu, .. } => w + lambda * power(w, mu) * p,
            Self::Triplet { a_plus, a_plus_triplet, w_max, .. } => {
                (w + p * (a_plus + a_plus_triplet * slow)).min(w_max)
            }
        }
    }

    /// The weight after depression by `m`; `slow` is the source's slower trace.
    #[inline]
    pub(crate) fn shrunk(&self, w: f64, m: f64, slow: f64) -> f64 {
        let shrunk = match *self {
            Self::Bounded { lambda, alpha, mu_minus, w_max, .. } => {
                let normed = w / w_max;
                (normed - alpha * lambda * power(normed, mu_minus) * m) * w_max
            }
            Self::PowerLaw { lambda, alpha, .. } => w - lambda * alpha * w * m,
            Self::Triplet { a_minus, a_minus_triplet, .. } => w - m * (a_minus + a_minus_triplet * slow),
        };
        shrunk.max(0.0)
    }
}

/// x^μ.
#[inline]
fn power(x: f64, mu: f64) -> f64 {
    if mu == 1.0 {
        x
    } else if mu == 0.0 {
        1.0
    } else {
        // Single precision is enough for a factor of a small change, and much faster.
        f64::from((x as f32).powf(mu as f32))
    }
}

impl Plasticity {
    pub(crate) fn check(&self, place: &str, lowest_weight: f64) -> Result<()> {
        let above = |setting, value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(wrong(place, setting, value, "a finite number above 0")),
        };
        let at_least = |setting, value: f64| match value >= 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(wrong(place, setting, value, "a finite number of at least 0")),
        };
        match self {
            Self::SpikeTiming(timing) => {
                if lowest_weight < 0.0 {
                    let expected = "weights of at least 0, to change with the times of spikes";
                    return Err(wrong(place, "weight", lowest_weight, expected));
                }
                above("tau_plus_ms", timing.tau_plus_ms)?;
                above("tau_minus_ms", timing.tau_minus_ms)?;
                if let Some(tau) = timing.tau_eligibility_ms {
                    above("tau_eligibility_ms", tau)?;
                }
                match timing.rule {
                    TimingRule::Bounded { lambda, alpha, mu_plus, mu_minus, w_max } => {
                        at_least("lambda", lambda)?;
                        at_least("alpha", alpha)?;
                        at_least("mu_plus", mu_plus)?;
                        at_least("mu_minus", mu_minus)?;
                        above("w_max", w_max)
                    }
                    TimingRule::PowerLaw { lambda, alpha, mu } => {
                        at_least("lambda", lambda)?;
                        at_least("alpha", alpha)?;
                        at_least("mu", mu)
                    }
                    TimingRule::Triplet {
                        a_plus,
                        a_plus_triplet,
                        a_minus,
                        a_minus_triplet,
                        tau_plus_triplet_ms,
                        tau_minus_triplet_ms,
                        w_max,
                    } => {
                        at_least("a_plus", a_plus)?;
                        at_least("a_plus_triplet", a_plus_triplet)?;
                        at_least("a_minus", a_minus)?;
                        at_least("a_minus_triplet", a_minus_triplet)?;
                        above("tau_plus_triplet_ms", tau_plus_triplet_ms)?;
                        above("tau_minus_triplet_ms", tau_minus_triplet_ms)?;
                        above("w_max", w_max)
                    }
                }
            }
            Self::ShortTerm(term) => {
                at_least("tau_fac_ms", term.tau_fac_ms)?;
                above("tau_rec_ms", term.tau_rec_ms)?;
                match (0.0..=1.0).contains(&term.u) {
                    true => Ok(()),
                    false => Err(wrong(place, "u", term.u, "a number from 0 to 1")),
                }
            }
        }
    }
}
