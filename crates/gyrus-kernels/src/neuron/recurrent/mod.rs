//! Layers of neurons that receive their own previous spikes, over the whole time axis.
//!
//! As [`neuron`](super), with current `x[t] + (w z[t-1] + bias)` at step `t`; `z` before the first step is that of the
//! state, or zero. The product with spikes skips zeros: additions in ascending order, the bias last. Samples are
//! independent, so a task takes a few of them through all steps and nothing waits between steps. Gradients through the
//! weights are a dense product of those samples per step; the gradient of the weight itself is one product over all
//! steps at the end. Cost: forward spikes times neurons, backward `2 * steps * batch * neurons^2` operations.

mod backward;
mod feedback;
mod forward;
#[cfg(test)]
mod tests;

pub use backward::{RecurrentGradients, recurrent_backward};
pub use feedback::Feedback;
pub use forward::recurrent_forward;
