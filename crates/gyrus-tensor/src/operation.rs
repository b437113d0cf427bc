//! Operations with kernels: their results, what they keep for their gradients, and their gradients.

mod keep;
mod spiking;
mod stored;
mod transformer;
mod vision;

use std::sync::Arc;

use burn_flex::{Flex, FlexTensor};
use burn_tensor::Tensor;
use gyrus_kernels::convolution::pooling::{
    Pooling, max_pool, max_pool_backward, sum_pool, sum_pool_backward,
};
use gyrus_kernels::convolution::{
    self, Convolution, ConvolutionGradients, convolution, convolution_backward, convolution_packed,
};
use gyrus_kernels::dense::elementwise::{Activation, activation, activation_backward, add, multiply};
use gyrus_kernels::dense::linear::{
    self, linear, linear_input_gradient, linear_packed, linear_weight_gradient, sum_rows,
};
use gyrus_kernels::dense::loss::{cross_entropy, mean_squared_error, softmax, softmax_backward};
use gyrus_kernels::dense::quantized_relu::{quantized_relu, quantized_relu_backward};
use gyrus_kernels::normalization::batch::{
    BatchNorm, BatchNormGradients, Statistics, batch_norm, batch_norm_backward, batch_statistics,
};
use gyrus_kernels::normalization::layer::{layer_norm, layer_norm_backward};
use rayon::prelude::*;

use crate::device::kernels_run_on;
use crate::pool::filled;

use keep::{Floats, Kept};
pub use spiking::{Neuron, Problem, SignedNeuron, Spiking, coded_tensor, membranes, spike_words};
pub use stored::{LowRankLinear, StoredLinear, StoredMatrix};
pub use transformer::{RotationTable, Transformer};
pub use vision::Vision;

/// An operation with a kernel: everything except its tensors.
///
/// Activations are `[batch, elements]`, with images channels-last within a row; parameters are flat. Brackets list the
/// tensors of each operation.
#[derive(Clone, Debug)]
pub enum Operation {
    /// `y = x wᵀ + b`; `[x, weight, bias?]`
    Linear {
        /// Columns of `x`.
        inputs: usize,
        /// Columns of `y`.
        outputs: usize,
        /// Negative results become zero.
        relu: bool,
    },
    /// `[x, weight, bias?]`, or `[x, weight, bias, residual]`.
    Convolution {
        /// Its `batch` is taken from `x`.
        shape: Convolution,
        /// Applied last. There are gradients for those that [need no input](Activation::gradient_needs_input).
        activation: Option<Activation>,
        /// Whether a residual is added, before the activation.
        residual: bool,
    },
    /// A linear layer or convolution whose weight is packed by [`Operation::packed`]; for inference with kernels only.
    Packed(Box<Operation>),
    /// Elementwise; `[x]`
    Activation(Activation),
    /// A ReLU that saturates at the threshold, in `levels` steps; `[x, threshold]`
    QuantizedRelu {
        /// Steps from 0 to the threshold.
        levels: usize,
    },
    /// An operation in time; see [`Spiking`] for its tensors.
    Spiking(Spiking),
    /// An operation of a transformer; see [`Transformer`] for its tensors.
    Transformer(Transformer),
    /// An operation of a vision network; see [`Vision`] for its tensors.
    Vision(Vision),
    /// The shape's `batch` is taken from `x`; `[x]`
    MaxPool(Pooling),
    /// `[x]`
    SumPool {
        /// Its `batch` is taken from `x`.
        shape: Pooling,
        /// Factor on each sum.
        scale: f32,
    },
    /// `[x]` to `[2, channels]`: mean and variance of each channel over all pixels of the batch. Has no gradient.
    Statistics {
        /// Channels of a pixel.
        channels: usize,
    },
    /// `[x, gamma, beta, statistics, residual?]`
    BatchNorm {
        /// Whether the statistics are those of this batch, with gradients through them; otherwise they are constants.
        own: bool,
        /// Added to the variance.
        epsilon: f32,
        /// Applied last. There are gradients for ReLU and ReLU6.
        activation: Option<Activation>,
    },
    /// Over the last `gamma.len()` elements; `[x, gamma, beta]`
    LayerNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// `[a, b]`
    Add,
    /// `[x, scale]`; the scale has no gradient.
    Multiply,
    /// `[x]`
    Softmax {
        /// Elements that each sum to one.
        columns: usize,
    },
    /// `[x]`: `[pixels, channels]` of each row to `[channels, pixels]`.
    ChannelsFirst {
        /// Height times width.
        pixels: usize,
        /// Channels of a pixel.
        channels: usize,
    },
    /// `[logits]` to `[1, 1]`: mean over the rows, in nats.
    CrossEntropy {
        /// The class of each row.
        targets: Arc<[u32]>,
        /// Columns of the logits.
        classes: usize,
        /// Share of the target spread over all classes.
        smoothing: f32,
    },
    /// `[predictions]` to `[1, 1]`: mean over all elements.
    MeanSquaredError {
        /// One per prediction.
        targets: Arc<[f32]>,
    },
}

impl Operation {
    /// The same operation with its weight rearranged for the kernel, which pays if one weight is used many times. `None` if
    /// no kernel runs on the weight, or the operation does not use packed weights.
    ///
    /// # Panics
    /// If the weight does not have the operation's size.
    #[must_use]
    pub fn packed(&self, weight: &Tensor<1>) -> Option<(Self, Tensor<1>)> {
        if !kernels_run_on(weight) || weight.is_autodiff() {
            return None;
        }
        let floats = Floats::new(&weight.clone().try_into_primitive::<Flex>().ok()?);
        let packed = match *self {
            Self::Linear { inputs, outputs, .. } => {
                filled([linear::packed_len((inputs, outputs))], |packed| {
                    linear::pack(floats.get(), (inputs, outputs), packed);
                })
            }
            Self::Convolution { ref shape, .. } => filled([convolution::packed_len(shape)], |packed| {
                convolution::pack(shape, floats.get(), packed)
            }),
            _ => return None,
        };
        Some((Self::Packed(Box::new(self.clone())), Tensor::from_primitive::<Flex>(packed)))
    }

    /// Whether it has a gradient, as far as that does not depend on its tensors.
    pub(crate) fn has_gradient(&self) -> bool {
        match self {
            Self::Packed(_) => false,
            Self::Convolution { activation, .. } => activation.is_none_or(|f| !f.gradient_needs_input()),
            Self::BatchNorm { activation, .. } => {
                activation.is_none_or(|f| matches!(f, Activation::Relu | Activation::Relu6))
            }
            _ => true,
        }
    }

    pub(crate) fn keeps(&self, inputs: usize) -> Kept {
        let (inputs, output): (&[usize], bool) = match self {
            Self::Linear { relu, .. } => (if inputs > 2 { &[0, 1, 2] } else { &[0, 1] }, *relu),
            Self::Convolution { activation, .. } => (&[0, 1], activation.is_some()),
            Self::Spiking(operation) => return operation.keeps(inputs),
            Self::Transformer(operation) => return operation.keeps(),
            Self::Vision(operation) => return operation.keeps(),
            Self::QuantizedRelu { .. } => (&[0, 1], false),
            Self::Activation(f) if f.gradient_needs_input() => (&[0], false),
            Self::Activation(_) | Self::Softmax { .. } => (&[], true),
            Self::MaxPool(_) => (&[0], true),
            Self::BatchNorm { activation, .. } => (&[0, 1, 2, 3], activation.is_some()),
            Self::LayerNorm { .. } => (&[0, 1], false),
            Self::Multiply => (&[1], false),
            Self::Packed(_) => unreachable!("packed weights are for inference"),
            // The forward pass returns the gradient itself as the extra result.
            Self::CrossEntropy { .. }
            | Self::MeanSquaredError { .. }
            | Self::Add
            | Self::Statistics { .. }
            | Self::SumPool { .. }
            | Self::ChannelsFirst { .. } => (&[], false),
        };
        Kept { inputs, output }
    }

    /// The result, and other tensors that the gradient needs: for losses, the gradient itself.
    pub(crate) fn forward(&self, tensors: &[FlexTensor]) -> (FlexTensor, Vec<FlexTensor>) {
        let floats: Vec<Floats> = tensors.iter().map(Floats::new).collect();
        let input = |i: usize| floats[i].get();
        let x = input(0);
        let optional = |i: usize| floats.get(i).map(Floats::get);
        let rows = tensors[0].layout().shape()[0];
        let output = match self {
            Self::Linear { inputs, outputs, relu } => filled([rows, *outputs], |y| {
                linear(x, input(1), optional(2), *relu, (rows, *inputs, *outputs), y);
            }),
            Self::Convolution { shape, activation, .. } => {
                let shape = Convolution { batch: rows, ..*shape };
                filled([rows, shape.output_len() / rows], |y| {
                    convolution(&shape, x, input(1), optional(2), optional(3), *activation, y);
                })
            }
            Self::Packed(operation) => match **operation {
                Self::Linear { inputs, outputs, relu } => filled([rows, outputs], |y| {
                    linear_packed(x, input(1), optional(2), relu, (rows, inputs, outputs), y);
                }),
                Self::Convolution { shape, activation, .. } => {
                    let shape = Convolution { batch: rows, ..shape };
                    filled([rows, shape.output_len() / rows], |y| {
                        convolution_packed(&shape, x, input(1), optional(2), optional(3), activation, y);
                    })
                }
                _ => unreachable!("only `packed` makes these"),
            },
            Self::Spiking(operation) => operation.forward(rows, &floats),
            Self::Transformer(operation) => return operation.forward(rows, &floats),
            Self::Vision(operation) => operation.forward(rows, &floats),
            Self::QuantizedRelu { levels } => {
                filled([rows, x.len() / rows], |y| quantized_relu(*levels, input(1)[0], x, y))
            }
            Self::Activation(f) => filled([rows, x.len() / rows], |y| activation(*f, x, y)),
            Self::MaxPool(shape) => {
                let shape = Pooling { batch: rows, ..*shape };
                filled([rows, shape.output_len() / rows], |y| max_pool(&shape, x, y))
            }
            Self::SumPool { shape, scale } => {
                let shape = Pooling { batch: rows, ..*shape };
                filled([rows, shape.output_len() / rows], |y| sum_pool(&shape, *scale, x, y))
            }
            Self::Statistics { channels } => filled([2, *channels], |to| {
                let (mean, variance) = to.split_at_mut(*channels);
                batch_statistics(x, mean, variance);
            }),
            Self::BatchNorm { epsilon, activation, .. } => filled([rows, x.len() / rows], |y| {
                let (gamma, beta) = (input(1), input(2));
                let norm = BatchNorm { gamma, beta, epsilon: *epsilon, activation: *activation };
                batch_norm(norm, statistics(input(3)), x, optional(4), y);
            }),
            Self::LayerNorm { epsilon } => filled([rows, x.len() / rows], |y| {
                layer_norm(x, input(1), input(2), *epsilon, y);
            }),
            Self::Add => filled([rows, x.len() / rows], |y| add(x, input(1), y)),
            Self::Multiply => filled([rows, x.len() / rows], |y| multiply(x, input(1), y)),
            Self::Softmax { columns } => filled([rows, x.len() / rows], |y| softmax(x, *columns, y)),
            Self::ChannelsFirst { pixels, channels } => {
                filled([rows, pixels * channels], |y| transpose(x, *pixels, *channels, y))
            }
            Self::CrossEntropy { targets, classes, smoothing } => {
                return loss(x, rows, |g| cross_entropy(x, targets, *classes, *smoothing, g));
            }
            Self::MeanSquaredError { targets } => {
                return loss(x, rows, |g| mean_squared_error(x, targets, g));
            }
        };
        (output, Vec::new())
    }

    /// Gradients of the inputs that `wanted` marks, in order. `kept` holds the tensors of [`Operation::keeps`], inputs first,
    /// then the output, then the extra results of [`Operation::forward`].
    pub(crate) fn backward(
        &self,
        kept: &[FlexTensor],
        dy: &FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        if matches!(self, Self::Spiking(Spiking::Pack { .. } | Spiking::Unpack { .. })) {
            // The gradient of packed spikes is that of their zeros and ones.
            return vec![Some(dy.clone())];
        }
        if let Self::Transformer(operation) = self {
            return operation.backward(kept, dy, wanted);
        }
        let kept_rows = kept.first().map_or(0, |kept| kept.layout().shape()[0]);
        let kept: Vec<Floats> = kept.iter().map(Floats::new).collect();
        let rows = dy.layout().shape()[0];
        let dy = Floats::new(dy);
        if let Self::Spiking(operation) = self {
            return operation.backward(rows, &kept, dy.get(), wanted);
        }
        if let Self::Vision(operation) = self {
            return operation.backward(rows, &kept, dy.get(), wanted);
        }
        let kept = |i: usize| kept[i].get();
        let dy = dy.get();
        let same =
            |work: &mut dyn FnMut(&mut [f32])| vec![Some(filled([rows, dy.len() / rows], |dx| work(dx)))];
        match self {
            Self::Linear { inputs, outputs, relu } => {
                let shape = (rows, *inputs, *outputs);
                let masked = relu.then(|| {
                    filled([rows, *outputs], |g| {
                        activation_backward(Activation::Relu, kept(wanted.len()), dy, g)
                    })
                });
                let masked = masked.as_ref().map(Floats::new);
                let dy = masked.as_ref().map_or(dy, Floats::get);
                let dx = || filled([rows, *inputs], |dx| linear_input_gradient(dy, kept(1), shape, dx));
                let dw = || filled([inputs * outputs], |dw| linear_weight_gradient(dy, kept(0), shape, dw));
                let db = || filled([*outputs], |db| sum_rows(dy, *outputs, db));
                let mut gradients = vec![wanted[0].then(dx), wanted[1].then(dw)];
                gradients.extend(wanted.get(2).map(|wanted| wanted.then(db)));
                gradients
            }
            Self::Convolution { shape, activation, residual } => {
                let shape = Convolution { batch: rows, ..*shape };
                // The gradient before the activation is that of the residual too.
                let residual = *residual && wanted.last() == Some(&true);
                let masked = activation.filter(|f| residual || *f != Activation::Relu).map(|f| {
                    filled([rows, dy.len() / rows], |masked| activation_backward(f, kept(2), dy, masked))
                });
                let before = masked.as_ref().map(Floats::new);
                let dy = before.as_ref().map_or(dy, Floats::get);
                let activated = (activation.is_some() && before.is_none()).then(|| kept(2));
                let (mut dx, mut dw, mut db) = (None, None, None);
                if wanted[0] {
                    dx = Some(filled([rows, shape.input_len() / rows], |_| {}));
                }
                if wanted[1] {
                    dw = Some(filled([shape.weight_len()], |_| {}));
                }
                if wanted.get(2) == Some(&true) {
                    db = Some(filled([shape.outputs], |_| {}));
                }
                let gradients = ConvolutionGradients {
                    input: dx.as_mut().map(FlexTensor::storage_mut),
                    weight: dw.as_mut().map(FlexTensor::storage_mut),
                    bias: db.as_mut().map(FlexTensor::storage_mut),
                };
                convolution_backward(&shape, kept(0), kept(1), dy, activated, gradients);
                let residual = residual.then(|| {
                    masked
                        .clone()
                        .unwrap_or_else(|| filled([rows, dy.len() / rows], |to| to.copy_from_slice(dy)))
                });
                let mut all = vec![dx, dw, db, residual];
                all.truncate(wanted.len());
                all
            }
            Self::Packed(_) => unreachable!("packed weights are for inference"),
            Self::Spiking(_) | Self::Transformer(_) | Self::Vision(_) => unreachable!("handled above"),
            Self::QuantizedRelu { levels } => {
                let mut threshold = 0.0;
                let dx = filled([rows, dy.len() / rows], |dx| {
                    threshold = quantized_relu_backward(*levels, kept(1)[0], kept(0), dy, dx);
                });
                vec![Some(dx), wanted[1].then(|| filled([1], |to| to[0] = threshold))]
            }
            Self::Activation(f) => same(&mut |dx| activation_backward(*f, kept(0), dy, dx)),
            Self::MaxPool(shape) => {
                let shape = Pooling { batch: rows, ..*shape };
                vec![Some(filled([rows, shape.input_len() / rows], |dx| {
                    max_pool_backward(&shape, kept(0), kept(1), dy, dx);
                }))]
            }
            Self::SumPool { shape, scale } => {
                let shape = Pooling { batch: rows, ..*shape };
                vec![Some(filled([rows, shape.input_len() / rows], |dx| {
                    sum_pool_backward(&shape, *scale, dy, dx);
                }))]
            }
            Self::Statistics { .. } => vec![None],
            Self::BatchNorm { own, epsilon, activation } => {
                let (gamma, beta) = (kept(1), kept(2));
                let norm = BatchNorm { gamma, beta, epsilon: *epsilon, activation: *activation };
                let channels = norm.gamma.len();
                let mut dx = filled([rows, dy.len() / rows], |_| {});
                let mut residual =
                    (wanted.get(4) == Some(&true)).then(|| filled([rows, dy.len() / rows], |_| {}));
                let (mut gamma, mut beta) = (filled([channels], |_| {}), filled([channels], |_| {}));
                let gradients = BatchNormGradients {
                    input: dx.storage_mut(),
                    residual: residual.as_mut().map(FlexTensor::storage_mut),
                    gamma: gamma.storage_mut(),
                    beta: beta.storage_mut(),
                };
                let activated = activation.map(|_| kept(4));
                batch_norm_backward(norm, statistics(kept(3)), *own, kept(0), activated, dy, gradients);
                let mut all = vec![Some(dx), Some(gamma), Some(beta), None, residual];
                all.truncate(wanted.len());
                all
            }
            Self::LayerNorm { epsilon } => {
                let channels = kept(1).len();
                let mut dx = filled([rows, dy.len() / rows], |_| {});
                let (mut gamma, mut beta) = (filled([channels], |_| {}), filled([channels], |_| {}));
                layer_norm_backward(
                    kept(0),
                    kept(1),
                    *epsilon,
                    dy,
                    dx.storage_mut(),
                    gamma.storage_mut(),
                    beta.storage_mut(),
                );
                vec![Some(dx), Some(gamma), Some(beta)]
            }
            Self::Add => {
                let mut gradients = same(&mut |dx| dx.copy_from_slice(dy));
                let both = gradients[0].clone();
                gradients.push(both);
                gradients
            }
            Self::Multiply => {
                let mut gradients = same(&mut |dx| multiply(dy, kept(0), dx));
                // The scale is a mask, which is never trained.
                gradients.push(None);
                gradients
            }
            Self::Softmax { columns } => same(&mut |dx| softmax_backward(kept(0), dy, *columns, dx)),
            Self::ChannelsFirst { pixels, channels } => same(&mut |dx| transpose(dy, *channels, *pixels, dx)),
            Self::CrossEntropy { .. } | Self::MeanSquaredError { .. } => scaled(kept(0), dy[0], kept_rows),
        }
    }
}

fn statistics(both: &[f32]) -> Statistics<'_> {
    let (mean, variance) = both.split_at(both.len() / 2);
    Statistics { mean, variance }
}

fn loss(x: &[f32], rows: usize, run: impl FnOnce(&mut [f32]) -> f32) -> (FlexTensor, Vec<FlexTensor>) {
    let mut loss = 0.0;
    let gradient = filled([rows, x.len() / rows], |g| loss = run(g));
    (filled([1, 1], |to| to[0] = loss), vec![gradient])
}

fn scaled(gradient: &[f32], by: f32, rows: usize) -> Vec<Option<FlexTensor>> {
    vec![Some(filled([rows, gradient.len() / rows.max(1)], |dx| {
        dx.iter_mut().zip(gradient).for_each(|(dx, g)| *dx = g * by)
    }))]
}

/// Each row's `[a, b]` to `[b, a]`.
fn transpose(x: &[f32], a: usize, b: usize, y: &mut [f32]) {
    x.par_chunks_exact(a * b).zip(y.par_chunks_exact_mut(a * b)).for_each(|(x, y)| {
        for j in 0..b {
            for (i, y) in y[j * a..][..a].iter_mut().enumerate() {
                *y = x[i * b + j];
            }
        }
    });
}
