//! Signals inside a network: inputs of weights; currents, spikes and membranes of neurons.

use gyrus_tensor::{Tensor, keep_awake};

use super::Network;
use super::run::Pass;
use super::signal::{Observation, Observed};
use crate::Result;

impl Network {
    /// The output at every step, `[steps · batch, outputs]` and time-major (for a dense network, its answer), and the signals
    /// at weights and neurons.
    ///
    /// # Errors
    /// If a membrane potential is not a finite number.
    pub fn observe(&self, x: Tensor<2>) -> Result<(Tensor<2>, Vec<Observation>)> {
        let folded = self.folded.get_or_init(|| self.fold());
        let mut pass = Pass::observing();
        let answer = keep_awake(|| self.run((&folded.plan, &folded.neurons), x, &folded.values, &mut pass));
        self.check_potentials(&pass)?;
        Ok((answer, pass.observations.unwrap_or_default()))
    }

    /// The membranes of a node's neurons after each step, recomputed from a current of [`Network::observe`]:
    /// `[steps · batch, neurons]`, time-major and channels-last. Empty if the observation is not a current.
    pub fn membranes(&self, current: &Observation) -> Vec<f32> {
        let folded = self.folded.get_or_init(|| self.fold());
        let index = folded.plan.neurons.iter().position(|plan| plan.node == current.node);
        match index {
            Some(index) if current.what == Observed::Current => folded.neurons[index].membranes(
                current.tensor.clone(),
                &folded.plan.neurons[index],
                &folded.values,
            ),
            _ => Vec::new(),
        }
    }
}
