//! Fusion during lowering: an activation into the step before it, a residual into a normalization or a convolution.

use gyrus_tensor::{Activation, Operation};

use super::lower::Lowering;
use super::{Source, Work};

impl Lowering<'_> {
    /// The step of `source`, if that node feeds only `node`, so that fusing into the step affects no other node.
    fn fusible(&self, node: usize, source: usize) -> Option<usize> {
        match (self.targets[source] == [node], self.results[source]) {
            (true, Some(Source::Step(step))) => Some(step),
            _ => None,
        }
    }

    /// Fuses an activation into the step before it, if possible.
    pub(super) fn fuse_activation(&mut self, node: usize, f: Activation) -> Option<Source> {
        // Kernels have the gradients of these two.
        let cuts = matches!(f, Activation::Relu | Activation::Relu6);
        if !self.purpose.fused || self.purpose.differentiable && !cuts {
            return None;
        }
        let sources = self.sources[node].clone();
        match sources[..] {
            [source] => {
                let step = self.fusible(node, source)?;
                // The result may come from another node's step, such as a sum: fuse only into the source's own step.
                match &mut self.plan.steps[step].work {
                    Work::Run { operation: Operation::Linear { relu, .. }, .. }
                        if !*relu && f == Activation::Relu =>
                    {
                        *relu = true;
                    }
                    Work::Run { operation: Operation::Convolution { activation, .. }, .. }
                    | Work::Normalize { activation, .. }
                        if activation.is_none() =>
                    {
                        *activation = Some(f);
                    }
                    _ => return None,
                }
                self.results[source] = None;
                Some(Source::Step(step))
            }
            [_, _] => self.fuse_sum(node, Some(f)),
            _ => None,
        }
    }

    /// Fuses a residual edge into the normalization or convolution before it, with the activation of `node` or without, if
    /// possible.
    pub(super) fn fuse_sum(&mut self, node: usize, f: Option<Activation>) -> Option<Source> {
        if !self.purpose.fused {
            return None;
        }
        let [a, b] = self.sources[node][..] else { return None };
        let dense = self.purpose.spiking.is_none();
        // The step that comes later in the order adds the other branch.
        let steps = [(a, b), (b, a)].map(|(branch, skip)| {
            let step = self.fusible(node, branch)?;
            let adds = match &self.plan.steps[step].work {
                Work::Normalize { activation: None, .. } => true,
                // The operation tells a residual from a bias by its place.
                Work::Run {
                    operation: Operation::Convolution { activation: None, residual: false, .. },
                    parameters,
                } => dense && parameters.len() == 2,
                _ => false,
            };
            let after = match self.results[skip]? {
                Source::Input => true,
                Source::Step(other) => other < step,
            };
            let free = self.plan.steps[step].second.is_none();
            (adds && after && free).then_some((step, branch, skip))
        });
        let (step, branch, skip) = steps.into_iter().flatten().next()?;
        self.results[branch] = None;
        self.plan.steps[step].second = self.results[skip];
        match &mut self.plan.steps[step].work {
            Work::Normalize { activation, .. } => *activation = f,
            Work::Run { operation: Operation::Convolution { activation, residual, .. }, .. } => {
                (*activation, *residual) = (f, true);
            }
            _ => {}
        }
        Some(Source::Step(step))
    }
}
