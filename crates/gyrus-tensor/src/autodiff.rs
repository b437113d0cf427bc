//! Records [`Operation`]s in Burn's autodiff: one step per operation, with a handwritten gradient.
//!
//! Tensors are unwrapped to those of the Flex backend, run through the kernel, and wrapped again; Burn's graph has one node
//! per operation.

use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::NoCheckpointing};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn_flex::{Flex, FlexTensor};
use burn_tensor::Tensor;

use crate::operation::Operation;

/// The autodiff backend that Burn's devices use, unless they recompute activations.
type Recorded = Autodiff<Flex, NoCheckpointing>;

/// The recorded step of an operation with `N` inputs.
#[derive(Debug)]
struct Step;

impl<const N: usize> Backward<Flex, N> for Step {
    type State = (Operation, Vec<FlexTensor>);

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients.consume::<Flex>(&ops.node);
        let wanted: Vec<bool> = ops.parents.iter().map(Option::is_some).collect();
        let (operation, kept) = ops.state;
        let results = operation.backward(&kept, &dy, &wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(results) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// One input of an operation, of any rank.
pub(crate) enum Input {
    Matrix(Tensor<2>),
    Vector(Tensor<1>),
}

impl Input {
    pub(crate) fn is_autodiff(&self) -> bool {
        match self {
            Self::Matrix(tensor) => tensor.is_autodiff(),
            Self::Vector(tensor) => tensor.is_autodiff(),
        }
    }

    fn plain(self) -> FlexTensor {
        match self {
            Self::Matrix(tensor) => tensor.try_into_primitive::<Flex>(),
            Self::Vector(tensor) => tensor.try_into_primitive::<Flex>(),
        }
        .expect("the caller has checked the device")
    }

    fn recorded(self) -> burn_backend::tensor::FloatTensor<Recorded> {
        match self {
            Self::Matrix(tensor) => tensor.autodiff().try_into_primitive::<Recorded>(),
            Self::Vector(tensor) => tensor.autodiff().try_into_primitive::<Recorded>(),
        }
        .expect("the caller has checked the device")
    }
}

/// Runs the kernel outside autodiff.
pub(crate) fn run(operation: &Operation, inputs: Vec<Input>) -> Tensor<2> {
    let inputs: Vec<FlexTensor> = inputs.into_iter().map(Input::plain).collect();
    Tensor::from_primitive::<Flex>(operation.forward(&inputs).0)
}

/// Runs the kernel and records its gradient.
pub(crate) fn record(operation: Operation, inputs: Vec<Input>) -> Tensor<2> {
    let mut guards = Vec::with_capacity(inputs.len());
    let mut tensors = Vec::with_capacity(inputs.len());
    for input in inputs {
        let (tensor, guard) = input.recorded().into_parts();
        tensors.push(tensor);
        guards.push(guard);
    }
    let (output, extra) = operation.forward(&tensors);
    let kept = operation.keeps(tensors.len());
    let mut state: Vec<FlexTensor> = kept.inputs.iter().map(|&i| tensors[i].clone()).collect();
    if kept.output {
        state.push(output.clone());
    }
    state.extend(extra);
    match guards.len() {
        1 => finish::<1>(guards, (operation, state), output),
        2 => finish::<2>(guards, (operation, state), output),
        3 => finish::<3>(guards, (operation, state), output),
        4 => finish::<4>(guards, (operation, state), output),
        _ => finish::<5>(guards, (operation, state), output),
    }
}

fn finish<const N: usize>(
    guards: Vec<NodeGuard>,
    state: (Operation, Vec<FlexTensor>),
    output: FlexTensor,
) -> Tensor<2> {
    let guards: [NodeGuard; N] = guards.try_into().expect("no operation has more than five inputs");
    let output = match Step.prepare::<NoCheckpointing>(guards).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    };
    Tensor::from_primitive::<Recorded>(output)
}
