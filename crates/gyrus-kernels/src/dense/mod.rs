//! Dense layers, and what trains them.

pub mod elementwise;
pub mod linear;
pub mod loss;
pub mod optimizer;
pub mod quantized_relu;
