//! Two-dimensional convolution over channels-last images: shape, forward pass and what both passes share.
//!
//! `x` is `[batch, height, width, channels]`, `weight` `[outputs, channels / groups, kernel_height, kernel_width]` (as
//! PyTorch keeps it), `y` `[batch, out_height, out_width, outputs]`:
//!
//! `y[b, i, j, o] = bias[o] + sum_{u, v, c} weight[o, c, u, v] * x[b, i * s - p + u * d, j * s - p + v * d, c]`
//!
//! Each image is copied into a zero-padded scratch that stays in the cache; with channels last, the inputs of one
//! output pixel are then a few contiguous runs that the register tile reads in place: no im2col. Cost:
//! `2 * y.len() * kernel_height * kernel_width * channels / groups` operations. 3×3 kernels of stride 1 between
//! 32 channels or more (multiples of 16) take Winograd's way instead, with 4 multiplications for 9.

mod backward;
mod depthwise;
mod forward;
mod gradients;
mod pixels;
pub mod pooling;
mod shape;
mod winograd;
mod winograd_backward;

pub use backward::convolution_backward;
pub(crate) use forward::direct_convolution;
pub use forward::{convolution, convolution_packed, pack, packed_len};
pub use gradients::ConvolutionGradients;
pub(crate) use gradients::images_per_group;
pub use shape::Convolution;
pub(crate) use winograd::fits as takes_winograd;
