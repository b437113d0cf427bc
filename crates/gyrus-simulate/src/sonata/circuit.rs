//! A SONATA network of NEST's models as a circuit.

use super::Sonata;
use super::nodes::{NodeType, Nodes};
use crate::{
    Circuit, CircuitFile, Error, Leaky, Link, Model, Population, Precision, Projection, Recorder, Result,
    RuleKind,
};

/// The potential before the first step, which NEST keeps where only the resting potential is set.
const NEST_V_MV: f64 = -70.0;
/// The resolution of times in NEST.
const TIC_MS: f64 = 1e-3;

/// Where the neurons of a population of a circuit come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The population of the SONATA network.
    pub population: String,
    /// The number of each neuron in its files.
    pub node_ids: Vec<u64>,
}

impl Sonata {
    /// The circuit, with the origin of each of its populations: one for each type of nodes. Potentials begin where NEST begins
    /// them, and spikes that are given between two steps are sent at the later one.
    ///
    /// # Errors
    /// If a model or one of its parameters is not supported; the error names it.
    pub fn circuit(&self, name: &str) -> Result<(CircuitFile, Vec<Origin>)> {
        let dt_ms = self.dt_ms.unwrap_or(0.1);
        let mut circuit = Circuit { dt_ms, precision: Precision::Double, ..Circuit::default() };
        let mut origins = Vec::new();
        // Population of the circuit and neuron within it, for each node of each population of the network.
        let mut places: Vec<Vec<(usize, u32)>> = Vec::new();
        for (index, nodes) in self.nodes.iter().enumerate() {
            let mut own = vec![(0, 0); nodes.ids.len()];
            for (kind_index, kind) in nodes.types.iter().enumerate() {
                let members: Vec<u32> = (0..nodes.ids.len() as u32)
                    .filter(|node| nodes.kinds[*node as usize] as usize == kind_index)
                    .collect();
                for (place, member) in members.iter().enumerate() {
                    own[*member as usize] = (circuit.populations.len(), place as u32);
                }
                let label = match nodes.types.len() {
                    1 => nodes.name.clone(),
                    _ => format!("{}/{}", nodes.name, kind_name(kind)),
                };
                let model = match kind.is_virtual() {
                    true => self.source(index, &members, dt_ms),
                    false => model(nodes, kind)?,
                };
                let v_start = kind.parameters.get("V_m").copied().unwrap_or(NEST_V_MV);
                let v_start = (!model.is_source()).then_some(v_start);
                let mut population = Population::new(label, members.len(), model);
                population.v_start_mv = v_start.map(Into::into);
                circuit.populations.push(population);
                let node_ids = members.iter().map(|member| nodes.ids[*member as usize]).collect();
                origins.push(Origin { population: nodes.name.clone(), node_ids });
            }
            places.push(own);
        }
        for own in &self.edges {
            let count = circuit.populations.len();
            let mut lists: Vec<Vec<Link>> = vec![Vec::new(); count * count];
            for edge in 0..own.sources.len() {
                let source = places[own.source][own.sources[edge] as usize];
                let target = places[own.target][own.targets[edge] as usize];
                lists[source.0 * count + target.0].push(Link {
                    source: source.1,
                    target: target.1,
                    weight: own.weights[edge],
                    delay_ms: own.delays_ms[edge],
                });
            }
            for (pair, links) in lists.into_iter().enumerate().filter(|(_, links)| !links.is_empty()) {
                let rule = RuleKind::Listed(links);
                circuit.projections.push(Projection::new(pair / count, pair % count, rule, 0.0, 1.0));
            }
        }
        let mut recorders = Vec::new();
        for (population, node) in &self.recorded {
            let (population, neuron) = places[*population][*node as usize];
            let neurons = neuron as usize..neuron as usize + 1;
            recorders.push(Recorder::Potential { population, neurons, interval_ms: dt_ms });
        }
        let duration_ms = self.duration_ms.unwrap_or(1000.0);
        Ok((CircuitFile { recorders, ..CircuitFile::new(name, circuit, duration_ms) }, origins))
    }

    /// Virtual nodes with their given spikes.
    fn source(&self, population: usize, members: &[u32], dt_ms: f64) -> Model {
        let mut times_ms = vec![Vec::new(); members.len()];
        for (_, node, time_ms) in self.given_spikes().filter(|given| given.0 == population) {
            if let Ok(place) = members.binary_search(&node) {
                times_ms[place].push(on_grid(time_ms, dt_ms));
            }
        }
        Model::SpikeSource { times_ms }
    }
}

fn kind_name(kind: &NodeType) -> String {
    kind.properties
        .get("model_name")
        .or(kind.properties.get("pop_name"))
        .cloned()
        .unwrap_or_else(|| kind.id.to_string())
}

fn model(nodes: &Nodes, kind: &NodeType) -> Result<Model> {
    let template = kind.template();
    let mut leaky = Leaky::default();
    for (name, value) in &kind.parameters {
        let place = match name.as_str() {
            "C_m" => &mut leaky.c_m_pf,
            "tau_m" => &mut leaky.tau_m_ms,
            "t_ref" => &mut leaky.t_ref_ms,
            "E_L" => &mut leaky.e_l_mv,
            "V_th" => &mut leaky.v_th_mv,
            "V_reset" => &mut leaky.v_reset_mv,
            "I_e" => &mut leaky.i_e_pa,
            "tau_syn_ex" => &mut leaky.tau_syn_ex_ms,
            "tau_syn_in" => &mut leaky.tau_syn_in_ms,
            "V_m" => continue,
            _ => {
                let problem =
                    format!("node type {} of `{}`: unknown parameter `{name}`", kind.id, nodes.name);
                return Err(Error::Sonata(problem));
            }
        };
        *place = *value;
    }
    match template {
        "nest:iaf_psc_delta" => Ok(Model::IafPscDelta(leaky)),
        "nest:iaf_psc_exp" => Ok(Model::IafPscExp(leaky)),
        "nest:iaf_psc_alpha" => Ok(Model::IafPscAlpha(leaky)),
        _ => {
            let problem = format!(
                "node type {} of `{}`: model `{template}` is not supported; expected nest:iaf_psc_delta, nest:iaf_psc_exp or \
                 nest:iaf_psc_alpha, or nrn:IntFire1 for all neurons",
                kind.id, nodes.name
            );
            Err(Error::Sonata(problem))
        }
    }
}

/// A given time as NEST's generators take it: that of a step where it is less than half a tic away; others wait for the next.
fn on_grid(time_ms: f64, dt_ms: f64) -> f64 {
    let rounded = (time_ms / TIC_MS).round() * TIC_MS;
    let steps = rounded / dt_ms;
    if (steps - steps.round()).abs() < 1e-6 { rounded } else { time_ms }
}
