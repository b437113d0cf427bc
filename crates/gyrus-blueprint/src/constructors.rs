//! Constructors for the most common kinds of node, with PyTorch's defaults.

use crate::node::{default_epsilon, default_momentum};
use crate::{Conv1d, Conv2d, NodeKind, Padding, Pool2d, Reset};

impl NodeKind {
    /// [`NodeKind::Affine`] with this many outputs.
    pub fn affine(out_features: usize) -> Self {
        Self::Affine { out_features }
    }

    /// [`NodeKind::Linear`] with this many outputs.
    pub fn linear(out_features: usize) -> Self {
        Self::Linear { out_features }
    }

    /// A [`Conv1d`] with PyTorch's defaults; its methods change them one by one.
    pub fn conv1d(out_channels: usize, kernel: usize) -> Conv1d {
        Conv1d {
            out_channels,
            kernel,
            stride: 1,
            padding: Padding::Valid,
            dilation: 1,
            groups: 1,
            bias: true,
        }
    }

    /// A [`Conv2d`] with a square kernel and PyTorch's defaults; its methods change them one by one.
    pub fn conv2d(out_channels: usize, kernel: usize) -> Conv2d {
        Conv2d {
            out_channels,
            kernel: [kernel; 2],
            stride: [1; 2],
            padding: Padding::Valid,
            dilation: [1; 2],
            groups: 1,
            bias: true,
        }
    }

    /// [`NodeKind::MaxPool2d`] over square windows side by side.
    pub fn max_pool2d(kernel: usize) -> Self {
        Self::MaxPool2d(Pool2d::square(kernel))
    }

    /// [`NodeKind::AvgPool2d`] over square windows side by side.
    pub fn avg_pool2d(kernel: usize) -> Self {
        Self::AvgPool2d(Pool2d::square(kernel))
    }

    /// [`NodeKind::Flatten`] of every axis into one.
    pub fn flatten() -> Self {
        Self::Flatten { start_axis: 0, end_axis: None }
    }

    /// [`NodeKind::Softmax`] over features or channels.
    pub fn softmax() -> Self {
        Self::Softmax { axis: 0 }
    }

    /// [`NodeKind::BatchNorm`] with PyTorch's defaults.
    pub fn batch_norm() -> Self {
        Self::BatchNorm { epsilon: default_epsilon(), momentum: default_momentum() }
    }

    /// [`NodeKind::LayerNorm`] with PyTorch's defaults.
    pub fn layer_norm() -> Self {
        Self::LayerNorm { epsilon: default_epsilon() }
    }

    /// [`NodeKind::Dropout`] with this probability.
    pub fn dropout(probability: f64) -> Self {
        Self::Dropout { probability }
    }

    /// [`NodeKind::LIF`] with unit resistance and threshold, resting potential and reset at 0.
    pub fn lif(tau_membrane_ms: f64) -> Self {
        Self::LIF {
            tau_membrane_ms,
            resistance: 1.0,
            v_leak: 0.0,
            v_threshold: 1.0,
            v_reset: 0.0,
            reset: Reset::Hard,
            per_neuron: Vec::new(),
            learned: Vec::new(),
        }
    }

    /// [`NodeKind::IF`] with unit resistance and this threshold, soft reset, and the membrane starting at half the threshold:
    /// the converted form of a [`NodeKind::QuantizedReLU`].
    pub fn soft_if(v_threshold: f64) -> Self {
        Self::IF {
            resistance: 1.0,
            v_threshold,
            v_reset: 0.0,
            reset: Reset::Subtract,
            v_start: v_threshold / 2.0,
            per_neuron: Vec::new(),
            learned: Vec::new(),
        }
    }
}
