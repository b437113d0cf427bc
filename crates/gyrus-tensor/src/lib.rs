//! Burn, plus Gyrus's differentiable operations over its CPU kernels. This is the only crate that names a Burn backend.
//!
//! [`apply`] runs an [`Operation`] on Burn tensors. On the CPU it is a fused kernel with a handwritten gradient; on any other
//! device, or for another number type, it is the same mathematics composed of Burn's operations ([`composed`]), which Burn
//! differentiates. [`AdamW`] and [`Sgd`] steps work in place on the CPU.
//!
//! ```
//! use gyrus_tensor::{Activation, Operation, Tensor, apply, cpu};
//!
//! let x = Tensor::<2>::from_floats([[-1.0, 2.0]], &cpu().autodiff()).require_grad();
//! let y = apply(Operation::Activation(Activation::Relu), x.clone(), vec![], None);
//! let gradients = y.sum().backward();
//! assert_eq!(x.grad(&gradients).unwrap().into_data().try_into_vec::<f32>().unwrap(), [0.0, 1.0]);
//! ```

mod autodiff;
pub mod composed;
mod device;
mod operation;
mod optimizer;
mod pool;
pub mod probe;
mod values;

pub use burn_tensor::{Device, Gradients, Tensor, TensorData};
pub use device::{
    DEVICE_NAMES, Driver, Error, Examined, Result, SOFTWARE, cpu, device, examine, kernels_run_on,
};
pub use gyrus_kernels::attention::causal::CausalAttention;
pub use gyrus_kernels::attention::encoder::EncoderAttention;
pub use gyrus_kernels::convolution::Convolution;
pub use gyrus_kernels::convolution::pooling::Pooling;
pub use gyrus_kernels::dense::elementwise::Activation;
pub use gyrus_kernels::dense::optimizer::{AdamW, Sgd};
pub use gyrus_kernels::dense::quantized_relu::SMALLEST_THRESHOLD;
pub use gyrus_kernels::neuron::{NeuronKind, Reset as NeuronReset, Surrogate};
pub use gyrus_kernels::token::activation::FeedForwardActivation;
pub use gyrus_kernels::token::vocabulary_loss::IGNORED;
pub use gyrus_kernels::{keep_awake, splitmix64, with_threads};
pub use operation::{
    LowRankLinear, Neuron, Operation, Problem, RotationTable, SignedNeuron, Spiking, StoredLinear,
    StoredMatrix, Transformer, Vision, coded_tensor, membranes, spike_words,
};
pub use optimizer::{adamw_step, sgd_step, squared_norm};
pub use pool::{filled_tensor, release_idle_memory};
pub use values::{floats, vector};

use autodiff::Input;

/// A dropout mask `[rows, columns]`: 0 with this probability, otherwise `1 / (1 - probability)`. Equal `stream`s give equal
/// masks on every device.
pub fn dropout_mask(
    rows: usize,
    columns: usize,
    probability: f32,
    stream: u64,
    device: &Device,
) -> Tensor<2> {
    let mask = filled_tensor(rows, columns, |mask| {
        gyrus_kernels::dense::elementwise::dropout_mask(probability, stream, mask);
    });
    mask.to_device(device)
}

/// Runs an operation on `x`, `[batch, elements]`, with its `parameters` in the order that [`Operation`] documents, and its
/// `second` activation if it has one (the other term of a sum, a mask, a residual).
///
/// # Panics
/// If the tensors do not fit the operation.
pub fn apply(
    operation: Operation,
    x: Tensor<2>,
    parameters: Vec<Tensor<1>>,
    second: Option<Tensor<2>>,
) -> Tensor<2> {
    if !kernels_run_on(&x) {
        return composed::apply(&operation, x, parameters, second);
    }
    let mut inputs = Vec::with_capacity(2 + parameters.len());
    inputs.push(Input::Matrix(x));
    inputs.extend(parameters.into_iter().map(Input::Vector));
    inputs.extend(second.map(Input::Matrix));
    if inputs.iter().any(Input::is_autodiff) {
        assert!(operation.has_gradient(), "packed weights and some fused activations have no gradient");
        autodiff::record(operation, inputs)
    } else {
        autodiff::run(&operation, inputs)
    }
}
