//! Synapse models by their names and parameters in NEST.

use super::fields::{Fields, at};
use crate::{Pairing, Plasticity, Result, ShortTerm, SpikeTiming, TimingRule};

/// The models, for messages.
pub(super) const NAMES: [&str; 5] =
    ["static_synapse", "stdp_synapse", "stdp_pl_synapse_hom", "stdp_triplet_synapse", "tsodyks2_synapse"];

/// Time constants of traces that NEST keeps in the target neuron, and their defaults there.
const TAU_MINUS_MS: f64 = 20.0;
const TAU_MINUS_TRIPLET_MS: f64 = 110.0;

/// How the synapses of a projection change, with NEST's defaults for what is not given; `unit` is that of its weights.
pub(super) fn read(
    name: Option<&str>,
    line: usize,
    unit: &str,
    fields: &mut Fields<'_>,
) -> Result<Option<Plasticity>> {
    let place = fields.place.clone();
    let mut number = |key: &str, default: f64| -> Result<f64> { Ok(fields.number(key)?.unwrap_or(default)) };
    let w_max = format!("Wmax_{unit}");
    let (rule, tau_plus_ms) = match name {
        None | Some("static_synapse") => return Ok(None),
        Some("tsodyks2_synapse") => {
            return Ok(Some(Plasticity::ShortTerm(ShortTerm {
                u: number("U", 0.5)?,
                tau_rec_ms: number("tau_rec_ms", 800.0)?,
                tau_fac_ms: number("tau_fac_ms", 0.0)?,
            })));
        }
        Some("stdp_synapse") => {
            let rule = TimingRule::Bounded {
                lambda: number("lambda", 0.01)?,
                alpha: number("alpha", 1.0)?,
                mu_plus: number("mu_plus", 1.0)?,
                mu_minus: number("mu_minus", 1.0)?,
                w_max: number(&w_max, 100.0)?,
            };
            (rule, number("tau_plus_ms", 20.0)?)
        }
        Some("stdp_pl_synapse_hom") => {
            let rule = TimingRule::PowerLaw {
                lambda: number("lambda", 0.1)?,
                alpha: number("alpha", 1.0)?,
                mu: number("mu", 0.4)?,
            };
            (rule, number("tau_plus_ms", 20.0)?)
        }
        Some("stdp_triplet_synapse") => {
            let rule = TimingRule::Triplet {
                a_plus: number("Aplus", 5e-10)?,
                a_plus_triplet: number("Aplus_triplet", 6.2e-3)?,
                a_minus: number("Aminus", 7e-3)?,
                a_minus_triplet: number("Aminus_triplet", 2.3e-4)?,
                tau_plus_triplet_ms: number("tau_plus_triplet_ms", 101.0)?,
                tau_minus_triplet_ms: number("tau_minus_triplet_ms", TAU_MINUS_TRIPLET_MS)?,
                w_max: number(&w_max, 100.0)?,
            };
            (rule, number("tau_plus_ms", 16.8)?)
        }
        Some(other) => {
            let problem =
                format!("{place}: unknown synapse model `{other}`; expected one of {}", NAMES.join(", "));
            return Err(at(line, problem));
        }
    };
    let tau_minus_ms = number("tau_minus_ms", TAU_MINUS_MS)?;
    let tau_eligibility_ms = fields.number("tau_eligibility_ms")?;
    let pairing = match fields.text("pairing")?.as_deref() {
        None | Some("all_to_all") => Pairing::AllToAll,
        Some("nearest") => Pairing::Nearest,
        Some(other) => {
            return Err(at(
                line,
                format!("{place}: `pairing` is `{other}`; expected `all_to_all` or `nearest`"),
            ));
        }
    };
    Ok(Some(Plasticity::SpikeTiming(SpikeTiming {
        rule,
        pairing,
        tau_plus_ms,
        tau_minus_ms,
        tau_eligibility_ms,
    })))
}
