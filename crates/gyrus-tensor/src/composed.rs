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

/// GELU by its error function. Burn's own differentiates an approximation where a device has none of its own, which is off by
/// up to 3e-4.
fn gelu(x: Tensor<2>) -> Tensor<2> {
    let twice_the_share = (x.clone() / core::f32::consts::SQRT_2).erf() + 1.0;
    x * twice_the_share / 2.0
}

fn activated(x: Tensor<2>, f: Option<Activation>) -> Tensor<2> {
    let Some(f) = f else { return x };
    match f {
        Activation::Relu => act::relu(x),
        Activation::Gelu => gelu(x),
        Activation::Sigmoid => act::sigmoid(x),
        Activation::Tanh => act::tanh(x),
        Activation::Silu => act::silu(x),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Hardswish => x.clone() * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::QuickGelu => x.clone() * act::sigmoid(x * 1.702),
    }
}

/// Rows that a device adds up in one loop. Drivers end a loop without a word (Mesa's llvmpipe after 65,536 rounds), and a long
/// sum in 32 bits is inexact.
const BLOCK: usize = 1024;

/// `f` of each block of rows, as `[blocks, rows of a block, columns]`, and of the rows that are left, as a last block.
fn by_block(x: &Tensor<2>, f: impl Fn(Tensor<3>) -> Tensor<2>) -> Vec<Tensor<2>> {
    let [rows, columns] = x.dims();
    let whole = rows / BLOCK * BLOCK;
    let parts = [(0, whole), (whole, rows - whole)].into_iter().filter(|(_, count)| *count > 0);
    let part = |(from, count): (usize, usize)| {
        let block = count.min(BLOCK);
        f(x.clone().narrow(0, from, count).reshape([count / block, block, columns]))
    };
    parts.map(part).collect()
}

/// The sum of each column, `[1, columns]`.
pub(crate) fn sum_of_rows(x: &Tensor<2>) -> Tensor<2> {
    let sums = by_block(x, |blocks| blocks.sum_dim(1).sum_dim(0).squeeze_dim(0));
    sums.into_iter().reduce(|sum, more| sum + more).expect("there are rows")
}

/// `f` of all rows and one row that is combined with each of them; the gradient of the one row is summed block by block.
fn with_row(x: Tensor<2>, row: Tensor<1>, f: impl Fn(Tensor<3>, Tensor<3>) -> Tensor<3>) -> Tensor<2> {
    let columns = row.dims()[0];
    let row = row.reshape([1, 1, columns]);
    let mut parts = by_block(&x, |blocks| {
        let [count, block, _] = blocks.dims();
        // One row becomes a block first, so that its gradient is summed over the blocks and then over a block, in two loops.
        let row = row.clone().expand([1, block, columns]);
        f(blocks, row).reshape([count * block, columns])
    });
    if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(parts, 0) }
}

fn plus_row(x: Tensor<2>, row: Tensor<1>) -> Tensor<2> {
    with_row(x, row, |x, row| x + row)
}

fn times_row(x: Tensor<2>, row: Tensor<1>) -> Tensor<2> {
    with_row(x, row, |x, row| x * row)
}

fn rectify(x: Tensor<2>, relu: bool) -> Tensor<2> {
    if relu { act::relu(x) } else { x }
}

/// Mean and variance of each column, `[1, columns]` both.
fn mean_and_variance(x: &Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let [rows, columns] = x.dims();
    let mean = sum_of_rows(x) / rows as f32;
    let centered = plus_row(x.clone(), -mean.clone().reshape([columns]));
    (mean, sum_of_rows(&centered.square()) / rows as f32)
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
            rectify(if let Some(bias) = bias { plus_row(y, bias) } else { y }, relu)
        }
        Operation::Convolution { shape, activation, .. } => {
            let Convolution { height, width, channels, outputs, kernel, groups, .. } = shape;
            let weight = parameter().reshape([outputs, channels / groups, kernel[0], kernel[1]]);
            let mut options = ConvOptions::new(shape.stride, [0, 0], shape.dilation, groups);
            let [top, bottom, left, right] = shape.padding;
            options.padding = [(top, bottom), (left, right)];
            let mut y = flat(conv2d(channels_first(x, height, width, channels), weight, None, options));
            if let Some(bias) = parameters.next() {
                let elements = y.dims()[1];
                let pixels = y.reshape([rows * elements / outputs, outputs]);
                y = plus_row(pixels, bias).reshape([rows, elements]);
            }
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
            let (mean, variance) = mean_and_variance(&pixels);
            Tensor::cat(vec![mean, variance], 0)
        }
        Operation::BatchNorm { own, epsilon, activation } => {
            let (gamma, beta, statistics) = (parameter(), parameter(), parameter());
            let channels = gamma.dims()[0];
            let pixels = x.reshape([rows * elements / channels, channels]);
            let statistics = statistics.reshape([2, channels]);
            let (mean, variance) = if own {
                mean_and_variance(&pixels)
            } else {
                (statistics.clone().narrow(0, 0, 1), statistics.narrow(0, 1, 1))
            };
            let row = |x: Tensor<2>| x.reshape([channels]);
            let scale = (variance + epsilon).sqrt().recip();
            let normal = times_row(plus_row(pixels, -row(mean)), row(scale));
            let y = plus_row(times_row(normal, gamma), beta).reshape([rows, elements]);
            activated(if let Some(residual) = second { y + residual } else { y }, activation)
        }
        Operation::LayerNorm { epsilon } => {
            let (gamma, beta) = (parameter(), parameter());
            let channels = gamma.dims()[0];
            let x = x.reshape([rows * elements / channels, channels]);
            let centered = x.clone() - x.mean_dim(1);
            let variance = centered.clone().square().mean_dim(1);
            let normal = centered / (variance + epsilon).sqrt();
            plus_row(times_row(normal, gamma), beta).reshape([rows, elements])
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
