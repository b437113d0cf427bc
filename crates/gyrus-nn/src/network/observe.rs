//! What goes through a network in time: its weights' inputs, its neurons' currents, spikes and membranes.

use gyrus_tensor::{Tensor, keep_awake};

use super::Network;
use super::run::Pass;
use crate::Result;

/// What went through a node in one pass.
pub struct Observation {
    /// Index in the blueprint.
    pub node: usize,
    /// What it is.
    pub what: Observed,
    /// `[rows, elements]`, or packed spikes `[rows, words]`; rows are time-major, one for each step and sample, or one for
    /// each sample where nothing changes over time.
    pub tensor: Tensor<2>,
    /// Whether they are packed spikes.
    pub packed: bool,
}

/// Which of a node's signals was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// What enters weights.
    WeightInput,
    /// The current that enters neurons, or what enters a quantised ReLU.
    Current,
    /// The spikes or potentials that leave neurons.
    NeuronOutput,
}

impl Network {
    /// What a network in time says at every step, `[steps · batch, outputs]` and time-major (of a dense network, its
    /// answer), and what went through its weights and neurons on the way.
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

    /// The membranes of a node's neurons after each step, computed again from the current that [`Network::observe`] saw:
    /// `[steps · batch, neurons]`, time-major and channels-last. Empty if the observation is no current.
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
