//! Dense layers and what trains them: linear layers, activations, losses, optimizers.
//!
//! - [`linear`]: `y = x wᵀ + b` and its gradients. Below it lie the packed matrix product (`matmul`), the weight gradient
//!   (`weight_gradient`) and the dot products for a few rows (`dot`).
//! - [`elementwise`], [`quantized_relu`]: activations and other passes over single elements; [`broadcast`]: products and sums
//!   with something shorter.
//! - [`loss`], [`optimizer`].

pub mod broadcast;
pub(crate) mod dot;
pub mod elementwise;
pub mod linear;
pub mod loss;
pub(crate) mod matmul;
pub mod optimizer;
pub mod quantized_relu;
pub(crate) mod weight_gradient;
