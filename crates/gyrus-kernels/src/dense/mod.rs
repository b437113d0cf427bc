//! Dense layers, and what trains them.

pub(crate) mod dot;
pub mod elementwise;
pub mod linear;
pub mod loss;
pub(crate) mod matmul;
pub mod optimizer;
pub mod quantized_relu;
pub(crate) mod weight_gradient;
