//! Every operation compared with its composition of Burn's operations, and its gradients with finite differences.
//!
//! `GYRUS_TEST_DEVICE` names the device, `cpu` by default. On the CPU the kernels are compared with Burn's composition and
//! Burn's gradients; on any other device, which composes, the results are compared with the CPU's kernels.
//!
//! Inputs are multiples of 1/4, and biases are odd multiples of 1/32: sums of products are then exact on every device,
//! and none comes close enough to a kink of ReLU for rounding or a finite difference to cross it.

mod case;
mod dense;
mod tensors;
mod transformer;
mod vision;
mod weights;
