//! Two-dimensional convolution and pooling over channels-last images.
//!
//! `x` is `[batch, height, width, channels]`, `weight` is `[outputs, channels / groups, kernel_height, kernel_width]`
//! (as in PyTorch), `y` is `[batch, out_height, out_width, outputs]`:
//!
//! `y[b, i, j, o] = bias[o] + sum_{u, v, c} weight[o, c, u, v] * x[b, i * s - p + u * d, j * s - p + v * d, c]`
//!
//! Each image is copied into a zero-padded scratch that stays in the cache. With channels last, the inputs of one
//! output pixel are then a few contiguous runs that the register tile reads in place. Cost:
//! `2 * y.len() * kernel_height * kernel_width * channels / groups` operations. Some shapes have faster kernels:
//! depthwise convolutions; 3×3 kernels of stride 1 between 32 channels or more (multiples of 16), for which Winograd's
//! algorithm needs 4 multiplications instead of 9; and the rest of those with many outputs, whose inputs are gathered
//! into a matrix.

mod backward;
mod columns;
mod depthwise;
mod forward;
mod gradients;
mod pixels;
pub mod pooling;
mod shape;
mod winograd;
mod winograd_backward;

pub use backward::convolution_backward;
pub use forward::{convolution, convolution_packed, pack, packed_len};
pub(crate) use forward::{direct_convolution, takes_winograd};
pub use gradients::ConvolutionGradients;
pub(crate) use gradients::images_per_group;
pub use shape::Convolution;
