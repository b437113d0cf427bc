//! Layers of neurons that hear their own last spikes, over the whole time axis.
//!
//! As [`neuron`](crate::neuron), with current `x[t] + (w z[t-1] + bias)` at step `t`; `z` before the first step is the
//! state's, or silence. The product with spikes skips zeros: additions in ascending order, the bias last. Samples do not
//! see each other, so a task takes a few of them through all steps and nothing waits between steps; what comes back
//! through the weights is a dense product of those samples a step. The gradient of the weight is one product over all
//! steps at the end. Cost: forward spikes times neurons, backward `2 * steps * batch * neurons^2` operations.

mod backward;
mod feedback;
mod forward;
#[cfg(test)]
mod tests;

pub use backward::{RecurrentGradients, recurrent_backward};
pub use feedback::Feedback;
pub use forward::recurrent_forward;
