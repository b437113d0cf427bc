//! A plan for inference: normalizations become part of the products before them.

use gyrus_tensor::{Activation, Operation, Spiking};

use super::{Plan, Source, Step, Work};

/// A normalization to fold into the weights before it; indices as in [`Work::Normalize`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Folding {
    pub(crate) affine: [usize; 2],
    pub(crate) statistics: usize,
    pub(crate) epsilon: f32,
}

impl Plan {
    /// A plan with the same answers and fewer steps, for inference: a normalization is folded into the linear layer or
    /// convolution before it, if that feeds nothing else, and dropouts vanish. `fold` receives an operation, its parameters
    /// and the normalization, and returns the indices of the new parameters.
    pub(crate) fn folded(&self, mut fold: impl FnMut(&Operation, &[usize], Folding) -> Vec<usize>) -> Self {
        let mut plan = Self { steps: Vec::new(), ..self.clone() };
        // New source of each old step's result.
        let mut moved: Vec<Source> = Vec::with_capacity(self.steps.len());
        // New steps whose own result is no longer computed.
        let mut gone = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            let at = |source: Source| match source {
                Source::Input => Source::Input,
                Source::Step(old) => moved[old],
            };
            let (source, second) = (at(step.source), step.second.map(at));
            let last = index + 1 == self.steps.len();
            if let (Work::Pass | Work::Dropout { .. }, false) = (&step.work, last) {
                moved.push(source);
                continue;
            }
            let mut step = Step { source, second, ..step.clone() };
            if let (Work::Normalize { affine, statistics, epsilon, activation, .. }, Source::Step(before)) =
                (&step.work, source)
                && self.feeds_only(index)
                && let Work::Run { operation, parameters } = &plan.steps[before].work
            {
                let folding = Folding { affine: *affine, statistics: *statistics, epsilon: *epsilon };
                let operation = match operation {
                    Operation::Convolution { shape, activation: None, residual: false } => {
                        let (shape, residual) = (*shape, second.is_some());
                        Some(Operation::Convolution { shape, activation: *activation, residual })
                    }
                    Operation::Linear { inputs, outputs, relu: false }
                        if second.is_none() && matches!(activation, None | Some(Activation::Relu)) =>
                    {
                        let relu = activation.is_some();
                        Some(Operation::Linear { inputs: *inputs, outputs: *outputs, relu })
                    }
                    Operation::Spiking(Spiking::Linear { .. } | Spiking::Convolution(_))
                        if second.is_none() && activation.is_none() =>
                    {
                        Some(operation.clone())
                    }
                    _ => None,
                };
                if let Some(operation) = operation {
                    let parameters = fold(&operation, parameters, folding);
                    step.source = plan.steps[before].source;
                    step.node = plan.steps[before].node;
                    step.work = Work::Run { operation, parameters };
                    // Run the operation in place of the normalization, when the residual is available.
                    plan.steps[before].work = Work::Pass;
                    gone.push(Source::Step(before));
                }
            }
            plan.steps.push(step);
            moved.push(Source::Step(plan.steps.len() - 1));
        }
        let results = self.results.iter().map(|result| {
            let result = match (*result)? {
                Source::Input => Source::Input,
                Source::Step(old) => moved[old],
            };
            (!gone.contains(&result)).then_some(result)
        });
        plan.results = results.collect();
        plan.count_uses();
        plan
    }

    /// Whether the source of step `index` is an operation that feeds only this step.
    fn feeds_only(&self, index: usize) -> bool {
        let Source::Step(before) = self.steps[index].source else { return false };
        self.uses[before] == 1 && matches!(self.steps[before].work, Work::Run { .. })
    }
}
