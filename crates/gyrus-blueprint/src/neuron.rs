//! Equations of spiking neurons: their constants, the reset after a spike, and one step of time.
//!
//! In every body, a neuron whose incoming current is x does this at each step, in this order:
//!
//! 1. synapse (`Cuba*` only): i ← d_s i + g_s x; other kinds: i = x
//! 2. membrane: u = d v + (g i + c)
//! 3. threshold (kinds that fire): z = 1 if u > θ, else 0; the adaptive kind compares with θ + β a
//! 4. reset: hard v = v_reset, subtract v = u − θ, where z = 1; else v = u. The adaptive kind: a ← ρ a + z
//!
//! with every `a b + c` fused (rounded once), in `f32`, so that all bodies give the same bits. Kinds that do not fire output
//! u. The [`NeuronConstant`]s come from the continuous equations by [`Discretization`]:
//!
//! | | exact | Euler |
//! |---|---|---|
//! | d | e^(−dt/τ) | 1 − dt/τ |
//! | g, c | (1 − d) R, (1 − d) v_leak | the same |
//! | d_s, g_s | e^(−dt/τ_s), (1 − d_s) w_in | 1 − dt/τ_s, (1 − d_s) w_in |
//! | ρ | e^(−dt/τ_a) | 1 − dt/τ_a |
//! | IF, I | d = 1, g = dt R, c = 0 | the same |
//!
//! Exact integration is exact for inputs that are constant within a step. An edge that closes a cycle delivers one step later
//! ([`Blueprint::back_edges`](crate::Blueprint::back_edges)).

use serde::{Deserialize, Serialize};

use crate::{Error, Node, NodeKind, Result};

/// What a spike does to the membrane potential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reset {
    /// v ← v_reset, as in NIR.
    #[default]
    Hard,
    /// v ← v − v_threshold, which keeps what exceeds the threshold ("soft reset").
    Subtract,
    /// No reset.
    None,
}

pub use gyrus_files::StateTensor as Array;

/// The numbers of a blueprint by name: `<node>.<parameter>`.
pub use gyrus_files::State as Parameters;

/// Discretization of continuous time into steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discretization {
    /// Length of a step in milliseconds, above 0.
    pub dt_ms: f64,
    /// Integration of the equations over a step.
    pub integration: Integration,
}

impl Discretization {
    /// Number of steps of a delay; `None` if that is not a whole number (to a millionth of a step).
    #[must_use]
    pub fn delay_steps(&self, delay_ms: f64) -> Option<usize> {
        let steps = delay_ms / self.dt_ms;
        let whole = (steps - steps.round()).abs() <= 1e-6;
        whole.then(|| steps.round() as usize)
    }
}

impl Default for Discretization {
    fn default() -> Self {
        Self { dt_ms: 1.0, integration: Integration::Exact }
    }
}

/// Integration of an equation over a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Integration {
    /// Exact for an input that is constant within the step.
    #[default]
    Exact,
    /// Forward Euler, as most training libraries do.
    Euler,
}

/// Row of [`NeuronModel::constants`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum NeuronConstant {
    /// d
    Decay = 0,
    /// g
    Gain = 1,
    /// c
    Drive = 2,
    /// θ
    Threshold = 3,
    /// d_s
    SynapseDecay = 4,
    /// g_s
    SynapseGain = 5,
    /// v_reset
    Reset = 6,
    /// β
    AdaptationStrength = 7,
    /// ρ
    AdaptationDecay = 8,
}

/// Number of [`NeuronConstant`]s.
pub const NEURON_CONSTANTS: usize = 9;

/// A node's neurons, ready to step; the [module](self) gives the equations.
#[derive(Clone, Debug, PartialEq)]
pub struct NeuronModel {
    /// Whether the synaptic current has its own dynamics.
    pub synapse: bool,
    /// Whether it fires; otherwise its potential is its output.
    pub fires: bool,
    /// Whether the threshold adapts.
    pub adaptive: bool,
    /// Reset of the membrane after a spike.
    pub reset: Reset,
    /// Indexed by [`NeuronConstant`]; one value for all neurons, or one per neuron. All nine rows have the same length.
    pub constants: [Vec<f32>; NEURON_CONSTANTS],
    /// Membrane potential before the first step: v_start for an IF, the resting potential for leaky neurons. As long as a
    /// row of the constants.
    pub v_start: Vec<f32>,
}

impl NeuronModel {
    /// The model of a [`NodeKind::Threshold`]: a neuron without memory, whose potential is its input.
    #[must_use]
    pub fn threshold(threshold: f64) -> Self {
        let mut constants = [0.0; NEURON_CONSTANTS];
        constants[NeuronConstant::Gain as usize] = 1.0;
        constants[NeuronConstant::Threshold as usize] = threshold as f32;
        constants[NeuronConstant::SynapseGain as usize] = 1.0;
        Self {
            synapse: false,
            fires: true,
            adaptive: false,
            reset: Reset::None,
            constants: constants.map(|value| vec![value]),
            v_start: vec![0.0],
        }
    }

    /// One constant of one neuron.
    #[must_use]
    pub fn constant(&self, which: NeuronConstant, neuron: usize) -> f32 {
        let row = &self.constants[which as usize];
        row[if row.len() == 1 { 0 } else { neuron }]
    }

    /// The model of `node`, which has `neurons` neurons; `None` if its kind has no such equations.
    ///
    /// # Errors
    /// If a constant that should be in `parameters` is missing, of the wrong length, or out of range.
    pub fn new(
        node: &Node,
        neurons: usize,
        parameters: &Parameters,
        time: Discretization,
    ) -> Result<Option<Self>> {
        let Some(neuron) = node.kind.neuron() else { return Ok(None) };
        let dt = time.dt_ms;
        if !(dt.is_finite() && dt > 0.0) {
            return Err(out_of_range(node, "dt_ms", dt, "a finite number above 0"));
        }
        let stored =
            |name: &str| neuron.is_stored(name).then(|| parameters.get(&format!("{}.{name}", node.name)));
        for &(name, _) in &neuron.constants {
            if let Some(array) = stored(name) {
                let expected = if neuron.per_neuron.iter().any(|n| n == name) { neurons } else { 1 };
                let got = array.map(|array| array.values.len());
                if got != Some(expected) {
                    return Err(Error::MissingConstant {
                        node: node.name.clone(),
                        kind: node.kind.name(),
                        constant: name,
                        expected,
                        got: got.unwrap_or(0),
                    });
                }
            }
        }
        let own = neuron.constants.iter().any(|(name, _)| neuron.per_neuron.iter().any(|own| own == name));
        let mut model = Self {
            synapse: neuron.has("tau_synapse_ms"),
            fires: neuron.has("v_threshold"),
            adaptive: neuron.has("tau_adaptation_ms"),
            reset: neuron.reset.unwrap_or_default(),
            constants: Default::default(),
            v_start: Vec::new(),
        };
        for index in 0..if own { neurons } else { 1 } {
            let value =
                |name: &str| -> Option<f64> {
                    let &(_, written) = neuron.constants.iter().find(|(constant, _)| *constant == name)?;
                    let array = stored(name).flatten().map(|array| &array.values);
                    Some(array.map_or(written, |values| {
                        f64::from(values[if values.len() == 1 { 0 } else { index }])
                    }))
                };
            for &(name, _) in &neuron.constants {
                let got = value(name).unwrap_or_default();
                let positive = name.starts_with("tau_");
                if !got.is_finite() || (positive && got <= 0.0) {
                    let expected = if positive { "a finite number above 0" } else { "a finite number" };
                    return Err(out_of_range(node, name, got, expected));
                }
            }
            let decay = |tau: Option<f64>| match (tau, time.integration) {
                (None, _) => 1.0,
                (Some(tau), Integration::Exact) => (-dt / tau).exp(),
                (Some(tau), Integration::Euler) => 1.0 - dt / tau,
            };
            let resistance = value("resistance").unwrap_or(1.0);
            let membrane = decay(value("tau_membrane_ms"));
            let synapse = decay(value("tau_synapse_ms"));
            let v_leak = value("v_leak");
            // Without a leak, the input adds up over time.
            let gain = if v_leak.is_some() { (1.0 - membrane) * resistance } else { dt * resistance };
            let row = [
                membrane,
                gain,
                (1.0 - membrane) * v_leak.unwrap_or(0.0),
                value("v_threshold").unwrap_or(0.0),
                synapse,
                (1.0 - synapse) * value("w_in").unwrap_or(1.0),
                value("v_reset").unwrap_or(0.0),
                value("adaptation_strength").unwrap_or(0.0),
                decay(value("tau_adaptation_ms")),
            ];
            for (values, value) in model.constants.iter_mut().zip(row) {
                values.push(value as f32);
            }
            model.v_start.push(value("v_start").or(v_leak).unwrap_or(0.0) as f32);
        }
        Ok(Some(model))
    }
}

fn out_of_range(node: &Node, field: &'static str, got: f64, expected: &'static str) -> Error {
    Error::NumberOutOfRange { node: node.name.clone(), kind: node.kind.name(), field, got, expected }
}

/// What all spiking kinds share.
#[derive(Clone, Debug, PartialEq)]
pub struct Neuron<'a> {
    /// Name and value of each constant of the kind, in the order in which they are stored.
    pub constants: Vec<(&'static str, f64)>,
    /// Reset after a spike; `None` for kinds that do not fire.
    pub reset: Option<Reset>,
    /// Constants with one value per neuron.
    pub per_neuron: &'a [String],
    /// Constants that training changes.
    pub learned: &'a [String],
}

impl Neuron<'_> {
    /// Whether the kind has this constant.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.constants.iter().any(|(constant, _)| *constant == name)
    }

    /// Whether a constant is stored beside the blueprint.
    #[must_use]
    pub fn is_stored(&self, name: &str) -> bool {
        self.per_neuron.iter().chain(self.learned).any(|stored| stored == name)
    }
}

impl NodeKind {
    /// The constants and the reset of a spiking kind; `None` for the others, including [`NodeKind::SignedIF`].
    #[must_use]
    pub fn neuron(&self) -> Option<Neuron<'_>> {
        let of = |constants: &[(&'static str, &f64)], reset: Option<Reset>, per_neuron, learned| {
            let constants = constants.iter().map(|&(name, &value)| (name, value)).collect();
            Some(Neuron { constants, reset, per_neuron, learned })
        };
        match self {
            Self::I { resistance, per_neuron, learned } => {
                of(&[("resistance", resistance)], None, per_neuron, learned)
            }
            Self::IF { resistance, v_threshold, v_reset, reset, v_start, per_neuron, learned } => of(
                &[
                    ("resistance", resistance),
                    ("v_threshold", v_threshold),
                    ("v_reset", v_reset),
                    ("v_start", v_start),
                ],
                Some(*reset),
                per_neuron,
                learned,
            ),
            Self::LI { tau_membrane_ms, resistance, v_leak, per_neuron, learned } => of(
                &[("tau_membrane_ms", tau_membrane_ms), ("resistance", resistance), ("v_leak", v_leak)],
                None,
                per_neuron,
                learned,
            ),
            Self::LIF {
                tau_membrane_ms,
                resistance,
                v_leak,
                v_threshold,
                v_reset,
                reset,
                per_neuron,
                learned,
            } => of(
                &[
                    ("tau_membrane_ms", tau_membrane_ms),
                    ("resistance", resistance),
                    ("v_leak", v_leak),
                    ("v_threshold", v_threshold),
                    ("v_reset", v_reset),
                ],
                Some(*reset),
                per_neuron,
                learned,
            ),
            Self::CubaLI {
                tau_synapse_ms,
                tau_membrane_ms,
                resistance,
                v_leak,
                w_in,
                per_neuron,
                learned,
            } => of(
                &[
                    ("tau_synapse_ms", tau_synapse_ms),
                    ("tau_membrane_ms", tau_membrane_ms),
                    ("resistance", resistance),
                    ("v_leak", v_leak),
                    ("w_in", w_in),
                ],
                None,
                per_neuron,
                learned,
            ),
            Self::CubaLIF {
                tau_synapse_ms,
                tau_membrane_ms,
                resistance,
                v_leak,
                w_in,
                v_threshold,
                v_reset,
                reset,
                per_neuron,
                learned,
            } => of(
                &[
                    ("tau_synapse_ms", tau_synapse_ms),
                    ("tau_membrane_ms", tau_membrane_ms),
                    ("resistance", resistance),
                    ("v_leak", v_leak),
                    ("w_in", w_in),
                    ("v_threshold", v_threshold),
                    ("v_reset", v_reset),
                ],
                Some(*reset),
                per_neuron,
                learned,
            ),
            Self::AdaptiveLIF {
                tau_membrane_ms,
                tau_adaptation_ms,
                adaptation_strength,
                resistance,
                v_leak,
                v_threshold,
                v_reset,
                reset,
                per_neuron,
                learned,
            } => of(
                &[
                    ("tau_membrane_ms", tau_membrane_ms),
                    ("tau_adaptation_ms", tau_adaptation_ms),
                    ("adaptation_strength", adaptation_strength),
                    ("resistance", resistance),
                    ("v_leak", v_leak),
                    ("v_threshold", v_threshold),
                    ("v_reset", v_reset),
                ],
                Some(*reset),
                per_neuron,
                learned,
            ),
            Self::SignedIF { .. }
            | Self::Threshold { .. }
            | Self::Delay { .. }
            | Self::Input { .. }
            | Self::Output
            | Self::Affine { .. }
            | Self::Linear { .. }
            | Self::Scale
            | Self::Conv1d(_)
            | Self::Conv2d(_)
            | Self::SumPool2d(_)
            | Self::AvgPool2d(_)
            | Self::MaxPool2d(_)
            | Self::CountMaxPool2d(_)
            | Self::GlobalAvgPool
            | Self::Flatten { .. }
            | Self::ReLU
            | Self::QuantizedReLU { .. }
            | Self::GELU
            | Self::SiLU
            | Self::ReLU6
            | Self::Hardswish
            | Self::QuickGELU
            | Self::TanhGELU
            | Self::Add
            | Self::Multiply
            | Self::LayerScale
            | Self::ChannelLayerNorm { .. }
            | Self::ClassToken
            | Self::PositionEmbedding
            | Self::SelectToken { .. }
            | Self::SelfAttention { .. }
            | Self::Sigmoid
            | Self::Tanh
            | Self::Softmax { .. }
            | Self::BatchNorm { .. }
            | Self::LayerNorm { .. }
            | Self::Dropout { .. } => None,
        }
    }

    /// Whether its output depends on the input of earlier steps.
    #[must_use]
    pub fn has_state(&self) -> bool {
        self.neuron().is_some()
            || matches!(self, Self::SignedIF { .. } | Self::Delay { .. } | Self::CountMaxPool2d(_))
    }
}
