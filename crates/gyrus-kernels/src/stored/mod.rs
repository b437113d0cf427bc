//! Weights as the files of language models store them, and products with them.
//!
//! `y[b][r] = sum_c w[r][c] * x[b][c]`, where `w` lies in memory exactly as ggml's formats prescribe: row after row,
//! each a chain of blocks of small integers with a scale (`w = scale * code`, for [`Format::Q4_K`]
//! `scale * code - minimum`). Nothing is unpacked or rearranged beforehand, so a matrix can be a part of a mapped file.
//! The inputs are rounded to 8 bits, 32 of them sharing a scale, so that products of blocks are sums of integers.
//!
//! Sources: `ggml-common.h` and `ggml-quants.c` of llama.cpp for the layouts; Dettmers et al. 2022 (arXiv:2208.07339)
//! for products in 8 bits. Cost: one pass over the weights per few rows of `x`; a single row is memory-bound.
//!
//! Where to look: `format` and `matrix` describe stored weights, `matmul` and `dequantize` use them; `blocks` takes
//! each format's blocks apart, `quantizers` makes them; `integers`, `expanded` and `floats` multiply, with `avx2`, `avx512`, `neon`
//! and `tiles` as the inner loops of `integers`; [`low_rank`] adds trainable adapters to frozen weights.

mod activations;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
mod dequantize;
mod expanded;
mod floats;
pub(crate) mod format;
mod integers;
pub mod low_rank;
mod matmul;
mod matrix;
#[cfg(target_arch = "aarch64")]
mod neon;
mod quantizers;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod widen;

pub use dequantize::{dequantize, dequantize_row};
pub use format::Format;
pub use matmul::{matmul, matmul_few, matmul_many};
pub use matrix::Matrix;
pub use quantizers::quantize;
