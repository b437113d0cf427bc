//! What spiking nodes share: their constants, how a spike resets the membrane, and one step of time.
//!
//! In every body, a neuron whose incoming current is x does this at each step, in this order:
//!
//! 1. synapse (`Cuba*` only): i ← d_s i + g_s x; other kinds: i = x
//! 2. membrane: u = d v + (g i + c)
//! 3. threshold (kinds that fire): z = 1 if u > θ, else 0; the adaptive kind compares with θ + β a
//! 4. reset: hard v = v_reset, subtract v = u − θ, where z = 1; else v = u. The adaptive kind: a ← ρ a + z
//!
//! with every `a b + c` fused (rounded once), in `f32`, so that all bodies give the same bits. Kinds that do not fire give
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
//! Exact is exact for inputs that are constant within a step. An edge that closes a cycle delivers one step later
//! ([`Blueprint::back_edges`](crate::Blueprint::back_edges)).

use serde::{Deserialize, Serialize};

use crate::{BlueprintError, Node, NodeKind};

/// What a spike does to the membrane potential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reset {
    /// v ← v_reset, as in NIR.
    #[default]
    Hard,
    /// v ← v − v_threshold: what exceeds the threshold is not lost ("soft reset").
    Subtract,
    /// None.
    None,
}

/// The numbers beside a blueprint, by name: `<node>.<parameter>`.
pub use gyrus_files::State as Parameters;
pub use gyrus_files::StateTensor as Array;

/// How continuous time becomes steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discretization {
    /// Length of a step in milliseconds, above 0.
    pub dt_ms: f64,
    /// How the equations are integrated over a step.
    pub integration: Integration,
}

impl Default for Discretization {
    fn default() -> Self {
        Self { dt_ms: 1.0, integration: Integration::Exact }
    }
}

/// How an equation is integrated over a step.
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

/// A node's neurons, ready to step: see the [module](self) for what each number does.
#[derive(Clone, Debug, PartialEq)]
pub struct NeuronModel {
    /// Whether there is a synaptic current with a memory of its own.
    pub synapse: bool,
    /// Whether it fires; else its potential is its output.
    pub fires: bool,
    /// Whether the threshold adapts.
    pub adaptive: bool,
    /// What a spike does to the membrane.
    pub reset: Reset,
    /// By [`NeuronConstant`]; one value for all neurons, or one for each. All nine are of the same length.
    pub constants: [Vec<f32>; NEURON_CONSTANTS],
    /// Membrane potential before the first step: v_start for an IF, the resting potential for what leaks. As long as a row.
    pub v_start: Vec<f32>,
}

impl NeuronModel {
    /// One constant of one neuron.
    #[must_use]
    pub fn constant(&self, which: NeuronConstant, neuron: usize) -> f32 {
        let row = &self.constants[which as usize];
        row[if row.len() == 1 { 0 } else { neuron }]
    }

    /// The model of `node`, which has `neurons` neurons; `None` if its kind is not one of these neurons.
    ///
    /// # Errors
    /// If a constant that should be in `parameters` is missing, of the wrong length, or out of range.
    pub fn new(
        node: &Node,
        neurons: usize,
        parameters: &Parameters,
        time: Discretization,
    ) -> Result<Option<Self>, BlueprintError> {
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
                    return Err(BlueprintError::MissingConstant {
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
            // Without a leak the input adds up over time.
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

fn out_of_range(node: &Node, field: &'static str, got: f64, expected: &'static str) -> BlueprintError {
    BlueprintError::NumberOutOfRange { node: node.name.clone(), kind: node.kind.name(), field, got, expected }
}

/// A spiking node's kind, seen as what all of them share.
#[derive(Clone, Debug, PartialEq)]
pub struct Neuron<'a> {
    /// Name and value of each constant of the kind, in the order in which they are stored.
    pub constants: Vec<(&'static str, f64)>,
    /// What a spike does; `None` for kinds that do not fire.
    pub reset: Option<Reset>,
    /// Constants that each neuron has of its own.
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

    /// Whether a constant lives beside the blueprint.
    #[must_use]
    pub fn is_stored(&self, name: &str) -> bool {
        self.per_neuron.iter().chain(self.learned).any(|stored| stored == name)
    }
}

impl NodeKind {
    /// What spiking kinds share; `None` for the others, [`NodeKind::SignedIF`] among them.
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
            _ => None,
        }
    }

    /// Whether its output depends on what came in at earlier steps.
    #[must_use]
    pub fn has_state(&self) -> bool {
        self.neuron().is_some()
            || matches!(self, Self::SignedIF { .. } | Self::Delay { .. } | Self::CountMaxPool2d { .. })
    }
}
