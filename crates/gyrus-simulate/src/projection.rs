//! Which neurons are connected, and how strongly.

use crate::plasticity::Plasticity;
use crate::quantity::Quantity;

/// Connections from one population to another (or itself).
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// Index of the source population.
    pub source: usize,
    /// Index of the target population.
    pub target: usize,
    /// Which neurons are connected.
    pub rule: Rule,
    /// Weight of each synapse: a jump in mV for `IafPscDelta` and `Izhikevich`, a peak current in pA for the other models
    /// with currents, a peak conductance in nS for those with conductances. Negative weights inhibit. Ignored by
    /// [`RuleKind::Listed`].
    pub weight: Quantity,
    /// Delay of each synapse in milliseconds, rounded to whole steps, at least one. Ignored by [`RuleKind::Listed`].
    pub delay_ms: Quantity,
    /// How the synapses change; absent: they do not.
    pub plasticity: Option<Plasticity>,
}

/// A connection rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Which rule.
    pub kind: RuleKind,
    /// Whether a neuron may be connected to itself.
    pub autapses: bool,
    /// Whether a pair may be connected more than once.
    pub multapses: bool,
}

/// Kinds of connection rules.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleKind {
    /// Each source with each target.
    AllToAll,
    /// The first source with the first target, and so on; both populations have the same size.
    OneToOne,
    /// Each target receives this many synapses, from random sources.
    FixedInDegree(usize),
    /// Each source has this many synapses, onto random targets.
    FixedOutDegree(usize),
    /// This many synapses in all, each between a random source and a random target. Needs `multapses`.
    FixedTotal(u64),
    /// Each pair is connected with this probability.
    Bernoulli(f64),
    /// Exactly these synapses.
    Listed(Vec<Link>),
}

/// One synapse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Source neuron, within its population.
    pub source: u32,
    /// Target neuron, within its population.
    pub target: u32,
    /// Weight, as in [`Projection::weight`].
    pub weight: f64,
    /// Delay in milliseconds, at least half a step.
    pub delay_ms: f64,
}

impl From<RuleKind> for Rule {
    fn from(kind: RuleKind) -> Self {
        Self { kind, autapses: true, multapses: true }
    }
}

impl Projection {
    /// A projection with constant or distributed weights and delays, without plasticity.
    pub fn new(
        source: usize,
        target: usize,
        rule: impl Into<Rule>,
        weight: impl Into<Quantity>,
        delay_ms: impl Into<Quantity>,
    ) -> Self {
        Self {
            source,
            target,
            rule: rule.into(),
            weight: weight.into(),
            delay_ms: delay_ms.into(),
            plasticity: None,
        }
    }
}
