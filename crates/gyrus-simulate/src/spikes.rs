//! Recorded spikes: the step and the neuron of each, in the order of time.
//!
//! 8 bytes a spike. A spike of step s (from 0) happens at the end of that step, at (s + 1) · resolution, as NEST stamps it.

use std::ops::Range;

/// Spikes in the order of time; within a step by ascending neuron.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spikes {
    /// The step of each spike, from 0.
    pub steps: Vec<u32>,
    /// The neuron of each spike, counted over all populations.
    pub neurons: Vec<u32>,
}

impl Spikes {
    /// Number of spikes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Adds the spikes of a step, which is not before the last one.
    pub fn extend(&mut self, step: u32, neurons: &[u32]) {
        self.steps.resize(self.steps.len() + neurons.len(), step);
        self.neurons.extend_from_slice(neurons);
    }

    /// Step and neuron of each spike.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.steps.iter().copied().zip(self.neurons.iter().copied())
    }

    /// The spikes of some steps and some neurons; neurons are then counted from the first of the range.
    #[must_use]
    pub fn within(&self, steps: Range<u32>, neurons: Range<u32>) -> Self {
        let first = self.steps.partition_point(|step| *step < steps.start);
        let end = self.steps.partition_point(|step| *step < steps.end);
        let mut found = Self::default();
        for place in first..end.max(first) {
            if neurons.contains(&self.neurons[place]) {
                found.steps.push(self.steps[place]);
                found.neurons.push(self.neurons[place] - neurons.start);
            }
        }
        found
    }
}
