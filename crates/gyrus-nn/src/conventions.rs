//! Translation of other libraries' neurons, such that both give the same spikes, potentials and gradients.
//!
//! [`gyrus_blueprint::neuron`] defines the order of a step, the same for every neuron and body: synapse, membrane, threshold
//! (`u > θ`), reset within the step. In the tables, β is the decay of a membrane and α that of a synapse in a step of dt;
//! "attached" and "detached" tell whether the library's gradients pass through resets
//! ([`SpikingSettings::detach_reset`](crate::SpikingSettings::detach_reset)). All rows except those with "no equivalent" are
//! tested against the library's own numbers (`tests/neurons_of_peers.rs`): spikes exactly, the rest to 1e-5.
//!
//! # snnTorch 1.0
//!
//! Integration exact; membranes start at 0.
//!
//! | snnTorch | here |
//! |---|---|
//! | `Leaky(beta)` does not scale its input | `LIF`, tau_membrane_ms = −dt / ln β, resistance = 1 / (1 − β) |
//! | `reset_mechanism="zero"` resets at the start of the next step, detached | reset hard, the same spikes; its `mem` is the potential before the reset |
//! | `"zero", reset_delay=False`, attached | reset hard |
//! | `"subtract", reset_delay=False`, attached | reset subtract, as long as no potential exceeds 2 θ: at the next step snnTorch subtracts θ once more from potentials still above it |
//! | `"subtract"`, its default, subtracts θ a step later, not decayed | reset none, and a Linear node that feeds −θ back; spikes and potentials are equal, gradients are not: snnTorch detaches what it subtracts |
//! | `"none"` with its `mem` read | `LI` |
//! | `Synaptic(alpha, beta)` | `CubaLIF`, w_in = 1 / (1 − α), resistance = 1 / (1 − β); with `"none"` and `mem` read, `CubaLI` |
//! | `RLeaky(beta, linear_features)` | `LIF`, and an Affine node from it to it |
//! | `Synaptic` and `RLeaky` with `"zero"` and their default delay lose the current of the step after a spike | no equivalent |
//! | `surrogate.atan(alpha)`, `fast_sigmoid(slope)` | `atan:alpha`, `fast-sigmoid:slope` |
//! | `surrogate.triangular(threshold)` is ±threshold by the sign of the distance, not a triangle | no equivalent |
//!
//! # SpikingJelly 2.0
//!
//! Integration Euler, tau in steps; attached by default. It fires at `u ≥ θ`, which differs only if both are equal.
//!
//! | SpikingJelly | here |
//! |---|---|
//! | `IFNode` | `IF`, resistance = 1 / dt, v_start = v_reset |
//! | `LIFNode(tau, decay_input=True)` leaks to v_reset, or to 0 where that is `None` | `LIF`, tau_membrane_ms = tau dt, v_leak = v_reset |
//! | `decay_input=False` | resistance = tau |
//! | `v_reset=None` | reset subtract |
//! | `ParametricLIFNode` learns w, 1 / τ = 1 / (1 + e^−w) | `learned = ["tau_membrane_ms"]` learns τ; ∂L/∂w = (1 − τ) ∂L/∂τ, so gradient descent takes different steps |
//! | `surrogate.ATan(alpha)` | `atan:alpha` |
//! | `PiecewiseQuadratic(alpha)`, `Rect(alpha)` | `triangular:1/alpha`, `boxcar:1/alpha` |
//! | `Erf(alpha)` | `gaussian:1/(√2 alpha)` |
//! | `SuperSpike(alpha)`, α / (1 + \|x\|)² | `fast-sigmoid:1` for alpha = 1; its alpha is a height, ours a sharpness |
//!
//! # Norse 1.1
//!
//! Integration Euler, `dt` and time constants in seconds: tau_…_ms = 1000 / tau_…_inv.
//!
//! | Norse | here |
//! |---|---|
//! | `lif_box_feed_forward_step` with `reset_value` or `reset_subtract`, attached | `LIF`, reset hard or subtract |
//! | `lif_feed_forward_step`, attached: the current jumps by the whole input before the membrane sees it, and decays after | `CubaLIF`, w_in = τ_synapse / dt; its state `i` is ours times (1 − dt / τ_synapse) |
//! | `lif_step` with recurrent weights, detached | the same, and a Linear node from it to it |
//! | `li_feed_forward_step`, `li_box_feed_forward_step` | `CubaLI` with that w_in, `LI` |
//! | `lsnn_feed_forward_step`, attached: the current reaches the membrane a step later, the threshold decays before it is compared | a Delay of dt in front of an `AdaptiveLIF`, adaptation_strength = beta (1 − dt / τ_adaptation); only with τ_synapse = dt, because `AdaptiveLIF` has no synapse |
//! | `ada_lif_step` subtracts the trace from the current | no equivalent |
//! | method `"super"`, 1 / (1 + \|x\|)², which ignores its alpha | `fast-sigmoid:1` |
//! | method `"triangle"`, alpha 1 | `triangular:1`; its alpha is a height, ours a width |
//! | the other methods | no equivalent |
//!
//! None of these libraries has the multi-Gaussian; it is compared with densities computed by PyTorch.
