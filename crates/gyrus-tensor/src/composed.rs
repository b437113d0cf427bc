//! The same operations composed of Burn's operations, which run on any device and which Burn differentiates.
//!
//! Images are channels-last in Gyrus and channels-first in Burn, hence the views around convolution and pooling.

mod transformer;
mod vision;

use burn_tensor::activation as act;
use burn_tensor::module::{avg_pool2d, conv2d, max_pool2d};
use burn_tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn_tensor::{Int, Tensor, TensorData};
use gyrus_kernels::convolution::Convolution;
use gyrus_kernels::convolution::pooling::Pooling;
use gyrus_kernels::dense::elementwise::Activation;
use gyrus_kernels::dense::quantized_relu::SMALLEST_THRESHOLD;

use crate::operation::Operation;

fn channels_first(x: Tensor<2>, height: usize, width: usize, channels: usize) -> Tensor<4> {
    let rows = x.dims()[0];
    x.reshape([rows, height, width, channels]).permute([0, 3, 1, 2])
}

fn flat(x: Tensor<4>) -> Tensor<2> {
    let [rows, channels, height, width] = x.dims();
    x.permute([0, 2, 3, 1]).reshape([rows, height * width * channels])
}

fn activated(x: Tensor<2>, f: Option<Activation>) -> Tensor<2> {
    let Some(f) = f else { return x };
    match f {
        Activation::Relu => act::relu(x),
        Activation::Gelu => act::gelu(x),
        Activation::Sigmoid => act::sigmoid(x),
        Activation::Tanh => act::tanh(x),
        Activation::Silu => act::silu(x),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Hardswish => x.clone() * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::QuickGelu => x.clone() * act::sigmoid(x * 1.702),
    }
}

fn rectify(x: Tensor<2>, relu: bool) -> Tensor<2> {
    if relu { act::relu(x) } else { x }
}

/// See [`crate::apply`].
///
/// # Panics
/// If the parameters do not match the operation.
pub fn apply(
    operation: &Operation,
    x: Tensor<2>,
    parameters: Vec<Tensor<1>>,
    second: Option<Tensor<2>>,
) -> Tensor<2> {
    let [rows, elements] = x.dims();
    let mut parameters = parameters.into_iter();
    let mut parameter = || parameters.next().expect("the operation has this parameter");
    match *operation {
        Operation::Linear { inputs, outputs, relu } => {
            let weight = parameter().reshape([outputs, inputs]);
            let y = x.matmul(weight.transpose());
            let bias = parameters.next();
            rectify(if let Some(bias) = bias { y + bias.unsqueeze() } else { y }, relu)
        }
        Operation::Convolution { shape, activation, .. } => {
            let Convolution { height, width, channels, outputs, kernel, groups, .. } = shape;
            let weight = parameter().reshape([outputs, channels / groups, kernel[0], kernel[1]]);
            let mut options = ConvOptions::new(shape.stride, [0, 0], shape.dilation, groups);
            let [top, bottom, left, right] = shape.padding;
            options.padding = [(top, bottom), (left, right)];
            let y =
                flat(conv2d(channels_first(x, height, width, channels), weight, parameters.next(), options));
            activated(if let Some(residual) = second { y + residual } else { y }, activation)
        }
        Operation::Packed(_) => unreachable!("`Operation::packed` packs only where kernels run"),
        Operation::Spiking(_) => unreachable!("a spiking network is refused where no kernels run"),
        Operation::Transformer(ref operation) => transformer::apply(operation, x, parameter, second),
        Operation::Vision(ref operation) => vision::apply(operation, x, parameter, second),
        Operation::QuantizedRelu { levels } => {
            let threshold = parameter().clamp_min(SMALLEST_THRESHOLD).reshape([1, 1]);
            let share = (x / threshold.clone()).clamp(0.0, 1.0);
            let steps = (share.clone() * levels as f32 - 0.5).ceil() / levels as f32;
            // Straight-through: the value of the steps, the gradient of the clipped ratio.
            let steps = share.clone() + (steps - share).detach();
            steps * threshold
        }
        Operation::Activation(f) => activated(x, Some(f)),
        Operation::MaxPool(shape) => {
            let [top, bottom, left, right] = shape.padding;
            let options = MaxPoolOptions {
                kernel_size: shape.kernel,
                stride: shape.stride,
                padding: [(top, bottom), (left, right)],
                dilation: [1, 1],
                ceil_mode: false,
            };
            flat(max_pool2d(channels_first(x, shape.height, shape.width, shape.channels), options))
        }
        Operation::SumPool { shape, scale } => {
            let Pooling { height, width, channels, kernel, .. } = shape;
            let [top, bottom, left, right] = shape.padding;
            let options = AvgPoolOptions {
                kernel_size: kernel,
                stride: shape.stride,
                padding: [(top, bottom), (left, right)],
                count_include_pad: true,
                ceil_mode: false,
            };
            let mean = flat(avg_pool2d(channels_first(x, height, width, channels), options));
            mean * (scale * (kernel[0] * kernel[1]) as f32)
        }
        Operation::Statistics { channels } => {
            let pixels = x.reshape([rows * elements / channels, channels]);
            let mean = pixels.clone().mean_dim(0);
            let variance = (pixels - mean.clone()).square().mean_dim(0);
            Tensor::cat(vec![mean, variance], 0)
        }
        Operation::BatchNorm { own, epsilon, activation } => {
            let (gamma, beta, statistics) = (parameter(), parameter(), parameter());
            let channels = gamma.dims()[0];
            let pixels = x.reshape([rows * elements / channels, channels]);
            let statistics = statistics.reshape([2, channels]);
            let (mean, variance) = if own {
                let mean = pixels.clone().mean_dim(0);
                (mean.clone(), (pixels.clone() - mean).square().mean_dim(0))
            } else {
                (statistics.clone().narrow(0, 0, 1), statistics.narrow(0, 1, 1))
            };
            let normal = (pixels - mean) / (variance + epsilon).sqrt();
            let y = (normal * gamma.unsqueeze() + beta.unsqueeze()).reshape([rows, elements]);
            activated(if let Some(residual) = second { y + residual } else { y }, activation)
        }
        Operation::LayerNorm { epsilon } => {
            let (gamma, beta) = (parameter(), parameter());
            let channels = gamma.dims()[0];
            let x = x.reshape([rows * elements / channels, channels]);
            let centered = x.clone() - x.mean_dim(1);
            let variance = centered.clone().square().mean_dim(1);
            let y = centered / (variance + epsilon).sqrt() * gamma.unsqueeze() + beta.unsqueeze();
            y.reshape([rows, elements])
        }
        Operation::Add => x + second.expect("an addition has a second tensor"),
        Operation::Multiply => x * second.expect("a product has a second tensor"),
        Operation::Softmax { columns } => {
            act::softmax(x.reshape([rows * elements / columns, columns]), 1).reshape([rows, elements])
        }
        Operation::ChannelsFirst { pixels, channels } => {
            x.reshape([rows, pixels, channels]).swap_dims(1, 2).reshape([rows, elements])
        }
        Operation::CrossEntropy { ref targets, smoothing, .. } => {
            let device = x.device();
            let targets: Vec<i32> = targets.iter().map(|&t| t as i32).collect();
            let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [rows]), &device);
            let logs = act::log_softmax(x, 1);
            let hit = logs.clone().gather(1, targets.unsqueeze_dim(1)).mean();
            let all = logs.mean();
            (hit * -(1.0 - smoothing) - all * smoothing).reshape([1, 1])
        }
        Operation::MeanSquaredError { ref targets } => {
            let targets =
                Tensor::<2>::from_data(TensorData::new(targets.to_vec(), [rows, elements]), &x.device());
            (x - targets).square().mean().reshape([1, 1])
        }
    }
}
