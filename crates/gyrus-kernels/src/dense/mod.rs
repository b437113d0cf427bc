//! Dense layers, and what trains them.

pub mod elementwise;
pub(crate) mod few;
pub mod linear;
pub mod loss;
pub(crate) mod matmul;
pub mod optimizer;
pub mod quantized_relu;
pub(crate) mod weight_gradient;
