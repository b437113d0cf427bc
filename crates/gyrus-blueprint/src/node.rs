//! The kinds of node: NIR's primitives, then the dense nodes that NIR lacks.
//!
//! A kind carries hyper-parameters only. Weights are stored beside the blueprint under `<node>.<parameter>`, and the
//! number of incoming features or channels is inferred from the graph. Spiking kinds follow NIR's equations
//! (v membrane potential, I current, S incoming spikes, z outgoing spikes); all neurons of a node
//! share their constants, except those listed in `per_neuron`. Times are in milliseconds.

use serde::{Deserialize, Serialize};

use crate::Shape;
use crate::neuron::Reset;
use crate::window::{Conv1d, Conv2d, Pool2d};

/// One named node of a [`Blueprint`](crate::Blueprint).
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique in its blueprint; the prefix of its parameters' names.
    pub name: String,
    /// What it computes.
    pub kind: NodeKind,
}

/// What a node computes, with its hyper-parameters.
///
/// In TOML, `kind` is the variant's name and the fields stand beside it; a pair `[height, width]` may be written
/// as one number, and fields with a default may be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum NodeKind {
    /// Where a sample enters the network.
    Input {
        /// Shape of one sample.
        shape: Shape,
    },
    /// Where the network's answer leaves. Its shape is inferred.
    Output,

    /// y = W x + b on `[features]`.
    Affine {
        /// Length of y.
        out_features: usize,
    },
    /// y = W x on `[features]`: [`NodeKind::Affine`] without bias.
    Linear {
        /// Length of y.
        out_features: usize,
    },
    /// y = s ∘ x, one factor per element.
    Scale,
    /// Cross-correlation over `[channels, length]`.
    Conv1d(Conv1d),
    /// Cross-correlation over `[channels, height, width]`.
    Conv2d(Conv2d),
    /// Sum over each window of `[channels, height, width]`.
    SumPool2d(Pool2d),
    /// Mean over each window of `[channels, height, width]`; padded zeros count as elements (as in PyTorch's default).
    AvgPool2d(Pool2d),
    /// Joins the axes `start_axis..=end_axis` into one.
    Flatten {
        /// First axis joined, not counting the batch; 0 by default.
        #[serde(default)]
        start_axis: usize,
        /// Last axis joined; `None` (absent in TOML) is the last axis of the input.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end_axis: Option<usize>,
    },
    /// y(t) = x(t − delay).
    Delay {
        /// At least 0.
        delay_ms: f64,
    },
    /// y = 1 where x > threshold, else 0.
    Threshold {
        /// An input equal to it gives 0.
        threshold: f64,
    },
    /// Integrator: dv/dt = R I.
    I {
        /// R; 1 by default.
        #[serde(default = "unit")]
        resistance: f64,
        /// Names of constants with one value per neuron, stored as `<node>.<constant>`; none by default.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        per_neuron: Vec<String>,
        /// Names of constants that training changes: one value per node, or per neuron if also in `per_neuron`. None by default.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        learned: Vec<String>,
    },
    /// Integrate and fire: dv/dt = R I; z = v > v_threshold; then v ← v_reset (or as `reset` says).
    IF {
        /// R; 1 by default.
        #[serde(default = "unit")]
        resistance: f64,
        /// 1 by default.
        #[serde(default = "unit")]
        v_threshold: f64,
        /// 0 by default; below `v_threshold`.
        #[serde(default)]
        v_reset: f64,
        /// Reset of the membrane after a spike; hard by default.
        #[serde(default)]
        reset: Reset,
        /// Membrane potential before the first step; 0 by default.
        #[serde(default)]
        v_start: f64,
        /// Names of constants with one value per neuron, stored as `<node>.<constant>`; none by default.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        per_neuron: Vec<String>,
        /// Names of constants that training changes: one value per node, or per neuron if also in `per_neuron`. None by default.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        learned: Vec<String>,
    },
    /// Leaky integrator: τ dv/dt = (v_leak − v) + R I.
    LI {
        /// τ, above 0.
        tau_membrane_ms: f64,
        /// R; 1 by default.
        #[serde(default = "unit")]
        resistance: f64,
        /// Resting potential; 0 by default.
        #[serde(default)]
        v_leak: f64,
        /// Names of constants with one value per neuron, stored as `<node>.<constant>`; none by default.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        per_neuron: Vec<String>,
        /// Names of constants that training changes: one value per node, or per neuron if also in `per_neuron`. None by default.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        learned: Vec<String>,
    },
    /// Leaky integrate and fire: τ dv/dt = (v_leak − v) + R I; z = v > v_threshold; then v ← v_reset (or as `reset` says).
    LIF {
        /// τ, above 0.
        tau_membrane_ms: f64,
        /// R; 1 by default.
        #[serde(default = "unit")]
        resistance: f64,
        /// Resting potential; 0 by default.
        #[serde(default)]
        v_leak: f64,
        /// 1 by default.
        #[serde(default = "unit")]
        v_threshold: f64,
        /// 0 by default; below `v_threshold`.
        #[serde(default)]
        v_reset: f64,
        /// Reset of the membrane after a spike; hard by default.
        #[serde(default)]
        reset: Reset,
        /// Names of constants with one value per neuron, stored as `<node>.<constant>`; none by default.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        per_neuron: Vec<String>,
        /// Names of constants that training changes: one value per node, or per neuron if also in `per_neuron`. None by default.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        learned: Vec<String>,
    },
    /// Current-based leaky integrator: τ_syn dI/dt = −I + w_in S; τ_mem dv/dt = (v_leak − v) + R I.
    CubaLI {
        /// τ_syn, above 0.
        tau_synapse_ms: f64,
        /// τ_mem, above 0.
        tau_membrane_ms: f64,
        /// R; 1 by default.
        #[serde(default = "unit")]
        resistance: f64,
        /// Resting potential; 0 by default.
        #[serde(default)]
        v_leak: f64,
        /// Weight of the incoming current; 1 by default.
        #[serde(default = "unit")]
        w_in: f64,
        /// Names of constants with one value per neuron, stored as `<node>.<constant>`; none by default.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        per_neuron: Vec<String>,
        /// Names of constants that training changes: one value per node, or per neuron if also in `per_neuron`. None by default.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        learned: Vec<String>,
    },
    /// Current-based leaky integrate and fire: [`NodeKind::CubaLI`] with z = v > v_threshold; then v ← v_reset (or as `reset` says).
    CubaLIF {
        /// τ_syn, above 0.
        tau_synapse_ms: f64,
        /// τ_mem, above 0.
        tau_membrane_ms: f64,
        /// R; 1 by default.
        #[serde(default = "unit")]
        resistance: f64,
        /// Resting potential; 0 by default.
        #[serde(default)]
        v_leak: f64,
        /// Weight of the incoming current; 1 by default.
        #[serde(default = "unit")]
        w_in: f64,
        /// 1 by default.
        #[serde(default = "unit")]
        v_threshold: f64,
        /// 0 by default; below `v_threshold`.
        #[serde(default)]
        v_reset: f64,
        /// Reset of the membrane after a spike; hard by default.
        #[serde(default)]
        reset: Reset,
        /// Names of constants with one value per neuron, stored as `<node>.<constant>`; none by default.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        per_neuron: Vec<String>,
        /// Names of constants that training changes: one value per node, or per neuron if also in `per_neuron`. None by default.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        learned: Vec<String>,
    },
    /// Adaptive leaky integrate and fire (Bellec et al. 2018, arXiv:1803.09574): [`NodeKind::LIF`] whose threshold is
    /// v_threshold + strength · a, with τ_a da/dt = −a and a ← a + 1 at each spike. Not a NIR primitive.
    AdaptiveLIF {
        /// τ, above 0.
        tau_membrane_ms: f64,
        /// τ_a, above 0.
        tau_adaptation_ms: f64,
        /// What a spike adds to the threshold.
        adaptation_strength: f64,
        /// R; 1 by default.
        #[serde(default = "unit")]
        resistance: f64,
        /// Resting potential; 0 by default.
        #[serde(default)]
        v_leak: f64,
        /// 1 by default.
        #[serde(default = "unit")]
        v_threshold: f64,
        /// 0 by default; below `v_threshold`.
        #[serde(default)]
        v_reset: f64,
        /// Reset of the membrane after a spike; hard by default.
        #[serde(default)]
        reset: Reset,
        /// Names of constants with one value per neuron, stored as `<node>.<constant>`; none by default.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        per_neuron: Vec<String>,
        /// Names of constants that training changes: one value per node, or per neuron if also in `per_neuron`. None by default.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        learned: Vec<String>,
    },
    /// Integrate and fire with signed spikes, the exact spiking form of [`NodeKind::QuantizedReLU`] ("ST-BIF", You et al.
    /// 2024, arXiv:2406.03470). Let S be the stored parameter `start` (one per neuron) plus the sum of all input so far,
    /// and k the net count of the neuron's own spikes. It fires +1 while k < `levels` and S > (k + ½) threshold, and −1 while
    /// k > 0 and S ≤ (k − ½) threshold; at most one spike per step. Not a NIR primitive.
    SignedIF {
        /// Upper bound of the net count, at least 1.
        levels: usize,
        /// Input that one spike represents, above 0; 1 by default.
        #[serde(default = "unit")]
        threshold: f64,
    },

    /// max(0, x).
    ReLU,
    /// A ReLU that saturates and has steps (QCFS, Bu et al. 2022, arXiv:2303.04347): y = λ/L · clip(⌈x L/λ − ½⌉, 0, L),
    /// with one learned threshold λ: the values that spiking neurons can represent in L steps. Trained with the
    /// straight-through gradient.
    QuantizedReLU {
        /// L, at least 1.
        levels: usize,
    },
    /// x Φ(x), exact (with the error function, not its tanh approximation).
    GELU,
    /// x / (1 + e^−x), also called swish.
    SiLU,
    /// min(max(0, x), 6).
    ReLU6,
    /// x min(max(0, x + 3), 6) / 6 (Howard et al. 2019, arXiv:1905.02244).
    Hardswish,
    /// x / (1 + e^−1.702x): GELU as OpenAI's CLIP approximates it.
    QuickGELU,
    /// x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))): GELU as SigLIP and others approximate it.
    TanhGELU,
    /// 1 / (1 + e^−x).
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// e^x divided by its sum along one axis.
    Softmax {
        /// Axis summed over, not counting the batch; 0 (features or channels) by default.
        #[serde(default)]
        axis: usize,
    },
    /// Normalizes each feature of `[features]`, or each channel of `[channels, ...]`, by its mean and variance
    /// over the batch and the remaining axes, then scales and shifts it. Inference uses running statistics.
    BatchNorm {
        /// Added to the variance, above 0; 1e-5 by default.
        #[serde(default = "default_epsilon")]
        epsilon: f64,
        /// Weight of the newest batch in the running statistics (PyTorch's convention), from 0 to 1; 0.1 by
        /// default.
        #[serde(default = "default_momentum")]
        momentum: f64,
    },
    /// Normalizes each sample along its last axis, then scales and shifts each element of that axis.
    LayerNorm {
        /// Added to the variance, above 0; 1e-5 by default.
        #[serde(default = "default_epsilon")]
        epsilon: f64,
    },
    /// Normalizes the channels of each position of `[channels, ...]` (in ConvNeXt each pixel, in a transformer each token),
    /// then scales and shifts each channel.
    ChannelLayerNorm {
        /// Added to the variance, above 0; 1e-5 by default.
        #[serde(default = "default_epsilon")]
        epsilon: f64,
    },
    /// One learned factor per feature of `[features]` or channel of `[channels, ...]` (Touvron et al. 2021, arXiv:2103.17239).
    LayerScale,
    /// The sum of its inputs, which every node forms: for a sum that several nodes read, such as the end of a residual block
    /// without activation.
    Add,
    /// The product of its inputs, element by element; several edges into this kind multiply instead of adding up. An input of
    /// shape `[channels]` beside one of `[channels, ...]` is repeated at each position, as in squeeze-and-excitation (Hu et al.
    /// 2017, arXiv:1709.01507).
    Multiply,
    /// One more token, learned and the same for every sample, before the tokens of `[width, tokens]`.
    ClassToken,
    /// Adds a learned vector per token of `[width, tokens]`, the same for every sample.
    PositionEmbedding,
    /// One token of `[width, tokens]`, as `[width]`.
    SelectToken {
        /// Which, counted from 0; 0 by default, where a [`NodeKind::ClassToken`] puts its token.
        #[serde(default)]
        index: usize,
    },
    /// Multi-head self-attention (Vaswani et al. 2017, arXiv:1706.03762): `[3 width, tokens]`, the queries, keys and values of
    /// each token one below the other, to `[width, tokens]`. Scores are divided by the square root of a head's width. The
    /// projections before and behind it are nodes of their own: a [`Conv1d`] with kernel 1.
    SelfAttention {
        /// Into which queries, keys and values are divided; at least 1.
        heads: usize,
    },
    /// Maximum over each window of `[channels, height, width]`; padding never wins.
    MaxPool2d(Pool2d),
    /// The maximum of spike counts: each window outputs the growth of its largest sum over time, so that at any step the
    /// total output equals the maximum of the total inputs. Conversion turns a dense network's [`NodeKind::MaxPool2d`] into
    /// this kind (a MaxPool2d in a spiking body is the maximum at each step). Not a NIR primitive.
    CountMaxPool2d(Pool2d),
    /// Mean of each channel over all other axes: `[channels, ...]` to `[channels]`. Unlike an [`NodeKind::AvgPool2d`] over
    /// the whole map, it fits images of any size.
    GlobalAvgPool,
    /// In training, sets each element to 0 with this probability and divides the others by 1 − probability.
    Dropout {
        /// From 0 up to, but not including, 1.
        probability: f64,
    },
}

impl NodeKind {
    /// The kind's name, as TOML and drawings write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Input { .. } => "Input",
            Self::Output => "Output",
            Self::Affine { .. } => "Affine",
            Self::Linear { .. } => "Linear",
            Self::Scale => "Scale",
            Self::Conv1d(_) => "Conv1d",
            Self::Conv2d(_) => "Conv2d",
            Self::SumPool2d(_) => "SumPool2d",
            Self::AvgPool2d(_) => "AvgPool2d",
            Self::Flatten { .. } => "Flatten",
            Self::Delay { .. } => "Delay",
            Self::Threshold { .. } => "Threshold",
            Self::I { .. } => "I",
            Self::IF { .. } => "IF",
            Self::LI { .. } => "LI",
            Self::LIF { .. } => "LIF",
            Self::CubaLI { .. } => "CubaLI",
            Self::CubaLIF { .. } => "CubaLIF",
            Self::AdaptiveLIF { .. } => "AdaptiveLIF",
            Self::SignedIF { .. } => "SignedIF",
            Self::ReLU => "ReLU",
            Self::QuantizedReLU { .. } => "QuantizedReLU",
            Self::GELU => "GELU",
            Self::SiLU => "SiLU",
            Self::ReLU6 => "ReLU6",
            Self::Hardswish => "Hardswish",
            Self::QuickGELU => "QuickGELU",
            Self::TanhGELU => "TanhGELU",
            Self::Add => "Add",
            Self::Multiply => "Multiply",
            Self::LayerScale => "LayerScale",
            Self::ChannelLayerNorm { .. } => "ChannelLayerNorm",
            Self::ClassToken => "ClassToken",
            Self::PositionEmbedding => "PositionEmbedding",
            Self::SelectToken { .. } => "SelectToken",
            Self::SelfAttention { .. } => "SelfAttention",
            Self::Sigmoid => "Sigmoid",
            Self::Tanh => "Tanh",
            Self::Softmax { .. } => "Softmax",
            Self::BatchNorm { .. } => "BatchNorm",
            Self::LayerNorm { .. } => "LayerNorm",
            Self::MaxPool2d(_) => "MaxPool2d",
            Self::CountMaxPool2d(_) => "CountMaxPool2d",
            Self::GlobalAvgPool => "GlobalAvgPool",
            Self::Dropout { .. } => "Dropout",
        }
    }
}

fn unit() -> f64 {
    1.0
}

pub(crate) fn default_epsilon() -> f64 {
    1e-5
}

pub(crate) fn default_momentum() -> f64 {
    0.1
}

/// The kinds of node of dense networks alone, as a pattern: they have no spiking form and none in NIR. A match that names the
/// other kinds stays exhaustive, so a new kind is either added here or decided everywhere.
///
/// ```
/// use gyrus_blueprint::{NodeKind, without_spiking_form};
///
/// assert!(matches!(NodeKind::GELU, without_spiking_form!()));
/// assert!(!matches!(NodeKind::ReLU, without_spiking_form!()));
/// ```
#[macro_export]
macro_rules! without_spiking_form {
    () => {
        $crate::NodeKind::GELU
            | $crate::NodeKind::SiLU
            | $crate::NodeKind::ReLU6
            | $crate::NodeKind::Hardswish
            | $crate::NodeKind::QuickGELU
            | $crate::NodeKind::TanhGELU
            | $crate::NodeKind::Add
            | $crate::NodeKind::Multiply
            | $crate::NodeKind::LayerScale
            | $crate::NodeKind::ChannelLayerNorm { .. }
            | $crate::NodeKind::ClassToken
            | $crate::NodeKind::PositionEmbedding
            | $crate::NodeKind::SelectToken { .. }
            | $crate::NodeKind::SelfAttention { .. }
            | $crate::NodeKind::Sigmoid
            | $crate::NodeKind::Tanh
            | $crate::NodeKind::Softmax { .. }
            | $crate::NodeKind::LayerNorm { .. }
    };
}
