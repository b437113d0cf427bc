//! Prepares a network for inference: folds normalizations into the weights before them, and packs weights for the kernels.

use gyrus_tensor::{Tensor, floats, vector};

use super::Network;
use crate::neurons::Neurons;
use crate::plan::{Group, Plan, Purpose, Work};

/// Plan and parameters for inference: normalizations are folded into the weights before them, and weights are packed for the
/// kernels.
pub(super) struct Folded {
    pub(super) plan: Plan,
    pub(super) values: Vec<Tensor<1>>,
    pub(super) neurons: Vec<Neurons>,
    /// For inference of many rows; empty for a spiking network.
    pub(super) groups: Vec<Group>,
}

impl Network {
    /// For answers alone.
    pub(super) fn fold(&self) -> Folded {
        let mut folded = self.fold_norms(false);
        for step in &mut folded.plan.steps {
            if let Work::Run { operation, parameters } = &mut step.work
                && let Some(weight) = parameters.first_mut()
                && let Some((packed, value)) = operation.packed(&folded.values[*weight])
            {
                *operation = packed;
                *weight = folded.values.len();
                folded.values.push(value);
            }
        }
        folded
    }

    /// Without packed weights, and `differentiable` or not.
    pub(super) fn fold_norms(&self, differentiable: bool) -> Folded {
        let mut values: Vec<Tensor<1>> = self.parameters.iter().map(|p| p.value.clone()).collect();
        let purpose =
            Purpose { spiking: self.spiking.as_ref(), training: false, fused: true, differentiable };
        // A blueprint that was lowered for training can be lowered for inference too, with the same parameters.
        let plan = Plan::new(&self.blueprint, purpose).unwrap_or_else(|_| self.plan.clone());
        let neurons = self.neurons_of(&plan).unwrap_or_default();
        let plan = plan.folded(|_, parameters, folding| {
            let statistics = floats(self.statistics[folding.statistics].clone());
            let (mean, variance) = statistics.split_at(statistics.len() / 2);
            let [gamma, beta] = folding.affine.map(|index| floats(self.parameters[index].value.clone()));
            let factor: Vec<f32> =
                gamma.iter().zip(variance).map(|(gamma, v)| gamma / (v + folding.epsilon).sqrt()).collect();
            let mut weight = floats(values[parameters[0]].clone());
            let row = weight.len() / factor.len();
            for (row, factor) in weight.chunks_exact_mut(row).zip(&factor) {
                row.iter_mut().for_each(|w| *w *= factor);
            }
            let bias = parameters.get(1).map(|&index| floats(values[index].clone()));
            let bias = (0..factor.len())
                .map(|c| beta[c] + factor[c] * (bias.as_ref().map_or(0.0, |bias| bias[c]) - mean[c]))
                .collect();
            values.push(vector(weight, &self.device));
            values.push(vector(bias, &self.device));
            vec![values.len() - 2, values.len() - 1]
        });
        let groups = match self.spiking {
            None => plan.groups(&self.blueprint),
            Some(_) => Vec::new(),
        };
        Folded { plan, values, neurons, groups }
    }
}
