//! Which program wrote a file, as far as its numbers tell, and what its files do not say.
//!
//! NIR has no field for the exporter, the time step, or the manner of a reset, and each exporter has habits of its own:
//!
//! | exporter | its mark | step | what the file lost |
//! |---|---|---|---|
//! | Gyrus | metadata `gyrus_...` | in the file | nothing |
//! | snnTorch | r = τ / 0.1 ms in every leaky node | 0.1 ms, Euler | reset by subtraction, its default |
//! | Norse 1.1 | r = 1, τ below 0.1 ms: it writes τ · dt for τ | 0.001 ms, Euler | its own v_reset |
//! | sinabs | r = 1, no v_reset, τ of 1 s and more: it writes steps for seconds; or IF beside kinds that only it writes | 1000 ms, exact | reset by subtraction, several spikes in a step, the lower limit of the membrane, the scale of its input |
//!
//! (snnTorch 0.9 to 1.0, Norse 1.1.0, sinabs 2 and 3, as their sources and files show.)

use crate::neuron::{Discretization, Integration, Parameters, Reset};
use crate::{Blueprint, Node, NodeKind, Result};

use super::{NirNetwork, list};

/// Step that snnTorch's exporter and importer assume.
const SNNTORCH_DT_MS: f64 = 0.1;
/// Time constants that Norse 1.1 writes are shorter: it multiplies those of 1 ms to 100 ms by 0.001.
const NORSE_LONGEST_MS: f64 = 0.1;
/// Time constants that sinabs writes are no shorter: it writes steps as seconds.
const SINABS_SHORTEST_MS: f64 = 1000.0;

/// The program that wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NirExporter {
    /// Gyrus.
    Gyrus,
    /// snnTorch.
    SnnTorch,
    /// Norse 1.1, whose time constants are too short by a factor of 1000.
    Norse11,
    /// sinabs.
    Sinabs,
}

impl NirExporter {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gyrus => "Gyrus",
            Self::SnnTorch => "snnTorch",
            Self::Norse11 => "Norse 1.1",
            Self::Sinabs => "sinabs",
        }
    }

    /// The step with which a file of this exporter gives the exporter's answers; `None` where the file says it.
    #[must_use]
    pub fn time(self) -> Option<Discretization> {
        let (dt_ms, integration) = match self {
            Self::Gyrus => return None,
            Self::SnnTorch => (SNNTORCH_DT_MS, Integration::Euler),
            Self::Norse11 => (0.001, Integration::Euler),
            Self::Sinabs => (1000.0, Integration::Exact),
        };
        Some(Discretization { dt_ms, integration })
    }

    /// What its files do not say and its networks may do, in words; empty if nothing.
    fn lost(self) -> &'static str {
        match self {
            Self::Gyrus | Self::Norse11 => "",
            Self::SnnTorch => "snnTorch subtracts the threshold (a step later) unless told to reset to zero",
            Self::Sinabs => {
                "sinabs subtracts the threshold, several times where the membrane has reached several thresholds, which is \
                 several spikes in a step (here one at most); it may also limit the membrane from below"
            }
        }
    }
}

/// What a neuron's constants say about the exporter.
struct Constants<'a> {
    node: &'a Node,
    parameters: &'a Parameters,
}

impl Constants<'_> {
    /// All values of a constant, one for each neuron or one for all; empty if the kind has none of this name.
    fn of(&self, name: &str) -> Vec<f64> {
        match self.parameters.get(&format!("{}.{name}", self.node.name)) {
            Some(array) => array.values.iter().map(|&value| f64::from(value)).collect(),
            None => {
                let neuron = self.node.kind.neuron();
                let written = neuron.iter().flat_map(|neuron| &neuron.constants);
                written.filter(|(constant, _)| *constant == name).map(|&(_, value)| value).collect()
            }
        }
    }

    fn all(&self, name: &str, is: impl Fn(f64) -> bool) -> bool {
        self.of(name).into_iter().all(is)
    }
}

/// Recognizes the exporter of a file without Gyrus's metadata; `v_reset` says whether a node has a field of that name.
pub(super) fn recognize(
    blueprint: &Blueprint,
    parameters: &Parameters,
    v_reset: bool,
) -> Option<NirExporter> {
    let constants = |node| Constants { node, parameters };
    let neurons = || blueprint.nodes().iter().filter(|node| node.kind.neuron().is_some()).map(constants);
    let leaky: Vec<Constants<'_>> = neurons().filter(|own| !own.of("tau_membrane_ms").is_empty()).collect();
    let unit = |own: &Constants<'_>| own.all("resistance", |r| r == 1.0);
    if !leaky.is_empty() {
        let as_snntorch = |own: &Constants<'_>| {
            let (taus, gains) = (own.of("tau_membrane_ms"), own.of("resistance"));
            let pairs = (0..taus.len().max(gains.len())).map(|at| {
                let one = |values: &[f64]| values[if values.len() == 1 { 0 } else { at }];
                (one(&taus), one(&gains))
            });
            pairs.into_iter().all(|(tau, r)| (tau / SNNTORCH_DT_MS / r - 1.0).abs() < 1e-4)
        };
        if leaky.iter().all(as_snntorch) {
            return Some(NirExporter::SnnTorch);
        }
        let taus = |is: fn(f64) -> bool| leaky.iter().all(|own| own.all("tau_membrane_ms", is));
        if !leaky.iter().all(unit) {
            return None;
        }
        if taus(|tau| tau < NORSE_LONGEST_MS) {
            return Some(NirExporter::Norse11);
        }
        // Its version of the package has no such field.
        if v_reset {
            return None;
        }
        let at_rest = leaky.iter().all(|own| own.all("v_leak", |v| v == 0.0));
        return (at_rest && taus(|tau| tau >= SINABS_SHORTEST_MS)).then_some(NirExporter::Sinabs);
    }
    // Norse writes IF too, but neither Flatten nor SumPool2d.
    let only_sinabs = |node: &Node| matches!(node.kind, NodeKind::Flatten { .. } | NodeKind::SumPool2d(_));
    let fires = neurons().next().is_some() && neurons().all(|own| unit_gain(&own));
    (!v_reset && fires && blueprint.nodes().iter().any(only_sinabs)).then_some(NirExporter::Sinabs)
}

/// Whether an IF adds up its input as it is: r of 1 is read as 1 per millisecond.
fn unit_gain(own: &Constants<'_>) -> bool {
    matches!(own.node.kind, NodeKind::IF { .. } | NodeKind::I { .. }) && own.all("resistance", |r| r == 1.0)
}

impl NirNetwork {
    /// The nodes that fire and whose manner of reset the file does not say, and what that may change; `None` if it says it.
    #[must_use]
    pub fn reset_note(&self) -> Option<String> {
        if self.exporter == Some(NirExporter::Gyrus) {
            return None;
        }
        let fires = |node: &&Node| node.kind.neuron().is_some_and(|neuron| neuron.reset.is_some());
        let nodes: Vec<&str> =
            self.blueprint.nodes().iter().filter(fires).map(|node| node.name.as_str()).collect();
        if nodes.is_empty() {
            return None;
        }
        let known = self.exporter.map_or("", NirExporter::lost);
        let known = if known.is_empty() {
            "snnTorch and sinabs subtract the threshold by default".to_owned()
        } else {
            format!("{known}, and this looks like a file of {}", self.exporter.map_or("", NirExporter::name))
        };
        Some(format!(
            "{}: a spike sets the membrane to v_reset, as NIR defines it; a file cannot say otherwise, but {known}",
            list(&nodes)
        ))
    }

    /// What a file of its exporter does not say about the scale of inputs; `None` if nothing is lost.
    #[must_use]
    pub fn scale_note(&self) -> Option<String> {
        let leaky = |node: &&Node| matches!(node.kind, NodeKind::LIF { .. } | NodeKind::LI { .. });
        let nodes: Vec<&str> =
            self.blueprint.nodes().iter().filter(leaky).map(|node| node.name.as_str()).collect();
        (self.exporter == Some(NirExporter::Sinabs) && !nodes.is_empty()).then(|| {
            format!(
                "{}: sinabs scales inputs by 1 − e^(−1/tau) with norm_input=True, its default, as NIR does; with \
                 norm_input=False it does not, which the file does not say",
                list(&nodes)
            )
        })
    }

    /// The network with this reset in all nodes that fire.
    ///
    /// # Errors
    /// If the result is not a valid blueprint.
    pub fn with_reset(mut self, how: Reset) -> Result<Self> {
        let mut nodes = self.blueprint.nodes().to_vec();
        for node in &mut nodes {
            if let NodeKind::IF { reset, .. }
            | NodeKind::LIF { reset, .. }
            | NodeKind::CubaLIF { reset, .. } = &mut node.kind
            {
                *reset = how;
            }
        }
        let edges = self.blueprint.edges().to_vec();
        self.blueprint = Blueprint::new(self.blueprint.name, nodes, edges)?;
        Ok(self)
    }

    /// Nodes with a time constant shorter than the step, which Euler's rule overshoots; `None` if there are none or the
    /// integration is exact.
    #[must_use]
    pub fn unstable_note(&self, time: Discretization) -> Option<String> {
        if time.integration == Integration::Exact {
            return None;
        }
        let shortest = |node: &Node| -> Option<f64> {
            let own = Constants { node, parameters: &self.parameters };
            let taus = ["tau_membrane_ms", "tau_synapse_ms"].into_iter().flat_map(|name| own.of(name));
            // A time constant of one step is a membrane without memory, which files say with a rounding error.
            taus.reduce(f64::min).filter(|tau| *tau < time.dt_ms * (1.0 - 1e-4))
        };
        let nodes: Vec<(&str, f64)> = self
            .blueprint
            .nodes()
            .iter()
            .filter_map(|node| Some((node.name.as_str(), shortest(node)?)))
            .collect();
        let tau = nodes.iter().map(|(_, tau)| *tau).reduce(f64::min)?;
        let names: Vec<&str> = nodes.iter().map(|(name, _)| *name).collect();
        let effect = match time.dt_ms / tau {
            ratio if ratio > 2.0 => "grows without limit and changes its sign at every step",
            _ => "swings from one side to the other",
        };
        Some(format!(
            "{}: the step of {} ms is longer than the time constant of {} ms, where Euler's rule is unstable: the membrane \
             {effect}; use a shorter step, or exact integration",
            list(&names),
            time.dt_ms,
            short(tau)
        ))
    }
}

/// Four significant digits.
fn short(value: f64) -> String {
    let text = format!("{value:.3e}");
    text.parse::<f64>().map_or(text, |rounded| rounded.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(kinds: Vec<NodeKind>) -> NirNetwork {
        let mut builder = Blueprint::builder("x").input([4]);
        for (index, kind) in kinds.into_iter().enumerate() {
            builder = builder.node(format!("n{index}"), kind);
        }
        let blueprint = builder.build().unwrap();
        let exporter = recognize(&blueprint, &Parameters::new(), false);
        NirNetwork {
            blueprint,
            parameters: Parameters::new(),
            time: None,
            version: "1.0.4".into(),
            exporter,
            each_step: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn lif(tau_ms: f64, r: f64) -> NodeKind {
        let mut kind = NodeKind::lif(tau_ms);
        if let NodeKind::LIF { resistance, .. } = &mut kind {
            *resistance = r;
        }
        kind
    }

    #[test]
    fn exporters_are_known_by_their_habits() {
        let fires = || NodeKind::IF {
            resistance: 1.0,
            v_threshold: 1.0,
            v_reset: 0.0,
            reset: Reset::Hard,
            v_start: 0.0,
            per_neuron: Vec::new(),
            learned: Vec::new(),
        };
        for (kinds, exporter) in [
            (vec![lif(0.999_999_7, 9.999_997), lif(0.2, 2.0)], Some(NirExporter::SnnTorch)),
            (vec![lif(0.003_333, 1.0), lif(0.01, 1.0)], Some(NirExporter::Norse11)),
            (vec![lif(20_000.0, 1.0)], Some(NirExporter::Sinabs)),
            (vec![fires(), NodeKind::flatten()], Some(NirExporter::Sinabs)),
            // Norse or sinabs, or a file made by hand.
            (vec![fires()], None),
            (vec![lif(20.0, 1.0)], None),
            (vec![NodeKind::flatten()], None),
        ] {
            let found = network(kinds.clone()).exporter;
            assert_eq!(found, exporter, "{kinds:?}");
        }
        let hard = network(vec![fires(), NodeKind::flatten()]);
        let blueprint = hard.blueprint.clone();
        assert_eq!(recognize(&blueprint, &Parameters::new(), true), None, "sinabs writes no v_reset");
        assert!(hard.reset_note().unwrap().contains("several spikes in a step"));
        let soft = hard.with_reset(Reset::Subtract).unwrap();
        assert!(matches!(soft.blueprint.nodes()[1].kind, NodeKind::IF { reset: Reset::Subtract, .. }));
    }

    #[test]
    fn euler_steps_beyond_the_time_constant_are_noted() {
        let euler = |dt_ms| Discretization { dt_ms, integration: Integration::Euler };
        let network = network(vec![lif(2.0, 1.0), lif(20.0, 1.0)]);
        assert_eq!(network.unstable_note(euler(2.0)), None);
        let note = network.unstable_note(euler(3.0)).unwrap();
        assert!(note.contains("`n0`: the step of 3 ms") && note.contains("swings"), "{note}");
        assert!(network.unstable_note(euler(50.0)).unwrap().contains("`n0`, `n1`"));
        let exact = Discretization { integration: Integration::Exact, ..euler(50.0) };
        assert_eq!(network.unstable_note(exact), None);
    }
}
