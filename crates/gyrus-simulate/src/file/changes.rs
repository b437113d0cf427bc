//! Reward and homeostatic scaling: what changes synapses at given times.
//!
//! ```toml
//! [[reward]]                 # for STDP synapses with tau_eligibility_ms
//! source = "E"
//! target = "E"
//! times_ms = [500.0, 750.0]
//! amount = 0.5               # may be negative
//!
//! [[homeostasis]]            # the weights onto each target add up to this again
//! source = "E"
//! target = "E"
//! total_weight_pA = 900.0
//! interval_ms = 1000.0
//! ```

use super::fields::{Fields, at};
use super::neurons::weight_unit;
use super::read::populations;
use super::{ChangeKind, CircuitFile, TimedChange};
use crate::{Plasticity, Result};

/// Most times in a list.
const MOST: usize = 1 << 20;

/// The projections between populations that the fields name.
pub(super) fn projections(file: &CircuitFile, own: &mut Fields<'_>) -> Result<Vec<usize>> {
    let source = populations(file, own, "source")?;
    let target = populations(file, own, "target")?;
    let found: Vec<usize> = (file.circuit.projections.iter().enumerate())
        .filter(|(_, own)| source.contains(&own.source) && target.contains(&own.target))
        .map(|(index, _)| index)
        .collect();
    if found.is_empty() {
        return Err(at(own.line, format!("{}: no projection between these populations", own.place)));
    }
    Ok(found)
}

pub(super) fn reward(file: &mut CircuitFile, mut own: Fields<'_>) -> Result<()> {
    let dt_ms = file.circuit.dt_ms;
    let found = projections(file, &mut own)?;
    let amount = own.number("amount")?.ok_or_else(|| own.missing("amount"))?;
    let line = own.line_of("times_ms");
    let rows = own.rows("times_ms")?.ok_or_else(|| own.missing("times_ms"))?;
    let times: Vec<f64> = rows.into_iter().flatten().collect();
    let sound = |time: &f64| time.is_finite() && (*time / dt_ms).round() >= 1.0 && *time / dt_ms < 4e9;
    if times.is_empty() || times.len() > MOST || !times.iter().all(sound) || !amount.is_finite() {
        let problem =
            format!("{}: expected a finite `amount` and `times_ms` of at least one step", own.place);
        return Err(at(line, problem));
    }
    let mut steps: Vec<u64> = times.iter().map(|time| (time / dt_ms).round() as u64).collect();
    steps.sort_unstable();
    for projection in found {
        let rewarded = match file.circuit.projections[projection].plasticity {
            Some(Plasticity::SpikeTiming(timing)) => timing.tau_eligibility_ms.is_some(),
            _ => false,
        };
        if !rewarded {
            let problem = format!(
                "{}: projection {} needs an STDP synapse with `tau_eligibility_ms`, to be rewarded",
                own.place,
                projection + 1
            );
            return Err(at(own.line, problem));
        }
        let kind = ChangeKind::Reward(amount);
        file.changes.push(TimedChange { projection, steps: steps.clone(), every: 0, kind });
    }
    own.finish()
}

pub(super) fn homeostasis(file: &mut CircuitFile, mut own: Fields<'_>) -> Result<()> {
    let dt_ms = file.circuit.dt_ms;
    let found = projections(file, &mut own)?;
    let target = file.circuit.projections[found[0]].target;
    let unit = weight_unit(&file.circuit.populations[target].model).unwrap_or("pA");
    let key = format!("total_weight_{unit}");
    let total = own.number(&key)?.ok_or_else(|| own.missing(&key))?;
    let interval_ms = own.number("interval_ms")?.ok_or_else(|| own.missing("interval_ms"))?;
    let every = (interval_ms / dt_ms).round();
    if !(total.is_finite() && total != 0.0 && (1.0..4e9).contains(&every)) {
        let problem = format!(
            "{}: expected `{key}` other than 0, and `interval_ms` of at least one step of {dt_ms} ms",
            own.place
        );
        return Err(at(own.line, problem));
    }
    for projection in found {
        let own_weights = &file.circuit.projections[projection];
        let shares = own_weights.weight.constant().is_some()
            && !matches!(own_weights.plasticity, Some(Plasticity::SpikeTiming(_)));
        if shares {
            let problem = format!(
                "{}: all synapses of projection {} share one weight; expected a distribution or an STDP synapse",
                own.place,
                projection + 1
            );
            return Err(at(own.line, problem));
        }
        let kind = ChangeKind::Scaling(total);
        file.changes.push(TimedChange { projection, steps: Vec::new(), every: every as u64, kind });
    }
    own.finish()
}
