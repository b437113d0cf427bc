//! Fusion during lowering: a ReLU into the step before it, a residual into a normalization.

use gyrus_tensor::Operation;

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

    /// Fuses a ReLU into the step before it, if possible.
    pub(super) fn fuse_relu(&mut self, node: usize) -> Option<Source> {
        if !self.purpose.fused {
            return None;
        }
        let sources = self.sources[node].clone();
        match sources[..] {
            [source] => {
                let step = self.fusible(node, source)?;
                // The result may come from another node's step, such as a sum: fuse only into the source's own step.
                match &mut self.plan.steps[step].work {
                    Work::Run { operation: Operation::Linear { relu, .. }, .. }
                    | Work::Run { operation: Operation::Convolution { relu, .. }, .. }
                    | Work::Normalize { relu, .. } => {
                        if *relu {
                            return None;
                        }
                        *relu = true;
                        self.results[source] = None;
                        Some(Source::Step(step))
                    }
                    _ => None,
                }
            }
            [_, _] => self.fuse_sum(node, true),
            _ => None,
        }
    }

    /// Fuses a residual edge into the normalization before it, with the ReLU of `node` or without, if possible.
    pub(super) fn fuse_sum(&mut self, node: usize, rectified: bool) -> Option<Source> {
        if !self.purpose.fused {
            return None;
        }
        let [a, b] = self.sources[node][..] else { return None };
        // The normalization that comes later in the order adds the other branch.
        let steps = [(a, b), (b, a)].map(|(norm, skip)| {
            let step = self.fusible(node, norm)?;
            let is_norm = matches!(self.plan.steps[step].work, Work::Normalize { relu: false, .. });
            let after = match self.results[skip]? {
                Source::Input => true,
                Source::Step(other) => other < step,
            };
            let free = self.plan.steps[step].second.is_none();
            (is_norm && after && free).then_some((step, norm, skip))
        });
        let (step, norm, skip) = steps.into_iter().flatten().next()?;
        self.results[norm] = None;
        self.plan.steps[step].second = self.results[skip];
        if let Work::Normalize { relu, .. } = &mut self.plan.steps[step].work {
            *relu = rectified;
        }
        Some(Source::Step(step))
    }
}
