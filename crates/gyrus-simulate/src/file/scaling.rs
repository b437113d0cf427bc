//! The same circuit with fewer neurons.

use super::{CircuitFile, Scaling};
use crate::{Distribution, Error, Input, InputKind, Model, Quantity, Result, RuleKind};

impl CircuitFile {
    /// The circuit with `scale` times as many neurons in each population and synapses onto each neuron. Probabilities stay.
    ///
    /// # Errors
    /// If `scale` is not above 0, a population or an in-degree would vanish, or [`Scaling::Statistics`] lacks a rate.
    pub fn scaled(mut self, scale: f64) -> Result<Self> {
        if !(scale.is_finite() && scale > 0.0) {
            return Err(Error::Scale { scale, problem: "expected a number above 0".to_owned() });
        }
        if scale == 1.0 {
            return Ok(self);
        }
        let currents = match self.scaling {
            Scaling::Weights => None,
            Scaling::Statistics => Some(self.lost_means(scale)?),
        };
        let vanishes = |what: String| Error::Scale { scale, problem: format!("{what} would vanish") };
        let count = |whole: f64| (whole * scale).round();
        for population in &mut self.circuit.populations {
            let neurons = count(population.neurons as f64) as usize;
            if neurons == 0 {
                return Err(vanishes(format!("population `{}`", population.name)));
            }
            for input in &mut population.inputs {
                if let Some(range) = &mut input.neurons {
                    let end = (count(range.end as f64) as usize).clamp(1, neurons);
                    *range = (count(range.start as f64) as usize).min(end - 1)..end;
                }
            }
            if let Model::SpikeSource { times_ms } = &mut population.model
                && times_ms.len() > 1
            {
                times_ms.resize(neurons, Vec::new());
            }
            population.neurons = neurons;
        }
        for (index, projection) in self.circuit.projections.iter_mut().enumerate() {
            let vanishes = || vanishes(format!("projection {}", index + 1));
            match &mut projection.rule.kind {
                RuleKind::FixedInDegree(degree) | RuleKind::FixedOutDegree(degree) => {
                    let scaled = count(*degree as f64) as usize;
                    if scaled == 0 && *degree > 0 {
                        return Err(vanishes());
                    }
                    *degree = scaled;
                }
                RuleKind::FixedTotal(total) => *total = (*total as f64 * scale * scale).round() as u64,
                RuleKind::Listed(_) => {
                    let problem =
                        format!("projection {} is a list of synapses, which has one size", index + 1);
                    return Err(Error::Scale { scale, problem });
                }
                RuleKind::AllToAll | RuleKind::OneToOne | RuleKind::Bernoulli(_) => {}
            }
        }
        for recorder in &mut self.recorders {
            if let super::Recorder::Potential { population, neurons, .. } = recorder {
                let most = self.circuit.populations[*population].neurons;
                *neurons = neurons.start.min(most - 1)..neurons.end.min(most);
            }
        }
        if let Some(currents) = currents {
            self.keep_statistics(scale, &currents);
        }
        Ok(self)
    }

    /// The mean current that each population loses, in pA: `1e-3 tau_syn (1 - sqrt(scale))` times the sum over its synapses,
    /// and over its external ones, of weight times rate.
    fn lost_means(&self, scale: f64) -> Result<Vec<f64>> {
        let circuit = &self.circuit;
        let mut lost = Vec::new();
        for (target, population) in circuit.populations.iter().enumerate() {
            let Model::IafPscExp(model) = &population.model else {
                let problem =
                    format!("population `{}` must be of iaf_psc_exp to keep its statistics", population.name);
                return Err(Error::Scale { scale, problem });
            };
            let mut drive = 0.0;
            for projection in circuit.projections.iter().filter(|projection| projection.target == target) {
                let source = &circuit.populations[projection.source];
                let rate = self.mean_rates_hz[projection.source].ok_or_else(|| Error::Scale {
                    scale,
                    problem: format!("population `{}` needs its mean_rate_hz", source.name),
                })?;
                let degree = in_degree(&projection.rule.kind, source.neurons, population.neurons);
                drive += degree * mean(&projection.weight) * rate;
            }
            for input in &population.inputs {
                if let InputKind::Poisson { rate_hz, weight } = input.kind {
                    drive += rate_hz * weight;
                }
            }
            lost.push(1e-3 * model.tau_syn_ex_ms * (1.0 - scale.sqrt()) * drive);
        }
        Ok(lost)
    }

    /// Larger weights, fewer external spikes, and the current that replaces what is lost.
    fn keep_statistics(&mut self, scale: f64, currents: &[f64]) {
        let growth = 1.0 / scale.sqrt();
        for (population, current) in self.circuit.populations.iter_mut().zip(currents) {
            for Input { kind, .. } in &mut population.inputs {
                if let InputKind::Poisson { rate_hz, weight } = kind {
                    *rate_hz *= scale;
                    *weight *= growth;
                }
            }
            if let Model::IafPscExp(model) = &mut population.model {
                model.i_e_pa += current;
            }
        }
        self.circuit.projections.iter_mut().for_each(|projection| grow(&mut projection.weight, growth));
    }
}

/// Mean number of synapses onto a neuron.
fn in_degree(kind: &RuleKind, sources: usize, targets: usize) -> f64 {
    match kind {
        RuleKind::AllToAll => sources as f64,
        RuleKind::OneToOne => 1.0,
        RuleKind::FixedInDegree(degree) => *degree as f64,
        RuleKind::FixedOutDegree(degree) => *degree as f64 * sources as f64 / targets.max(1) as f64,
        RuleKind::FixedTotal(total) => *total as f64 / targets.max(1) as f64,
        RuleKind::Bernoulli(probability) => probability * sources as f64,
        RuleKind::Listed(links) => links.len() as f64 / targets.max(1) as f64,
    }
}

fn mean(quantity: &Quantity) -> f64 {
    match quantity.distribution {
        Distribution::Constant(value) => value,
        Distribution::Uniform { low, high } => (low + high) / 2.0,
        Distribution::Normal { mean, .. } => mean,
        Distribution::LogNormal { mu, sigma } => (mu + sigma * sigma / 2.0).exp(),
    }
}

fn grow(quantity: &mut Quantity, factor: f64) {
    match &mut quantity.distribution {
        Distribution::Constant(value) => *value *= factor,
        Distribution::Uniform { low, high } => (*low, *high) = (*low * factor, *high * factor),
        Distribution::Normal { mean, std } => (*mean, *std) = (*mean * factor, *std * factor),
        Distribution::LogNormal { mu, .. } => *mu += factor.ln(),
    }
    if let Some(bounds) = &mut quantity.bounds {
        (bounds.low, bounds.high) = (bounds.low * factor, bounds.high * factor);
    }
}
