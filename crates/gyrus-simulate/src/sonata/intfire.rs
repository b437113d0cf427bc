//! NEURON's IntFire1, event by event and exactly: circuits of SONATA that name it.
//!
//! A potential m decays with time constant τ, `m(t) = m(t₀) exp(−(t − t₀)/τ)`, and jumps by the weight of each spike that
//! arrives. Above 1 the neuron fires, then ignores its input for the refractory period and begins again at 0 (Carnevale and
//! Hines 2006, The NEURON Book, section 10.2.4.1). Time is continuous; spikes that arrive at the same moment are added in the
//! order in which they were sent. Cost: one exponential per synaptic event, one entry in a queue per spike and delay.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::{Edges, Nodes, Sonata};
use crate::{Error, Result};

/// Seconds, in which NEURON's files of parameters count, to milliseconds.
const MS: f64 = 1e3;
/// Synaptic events after which a run is taken for one that never ends.
const MOST_EVENTS: u64 = 100_000_000_000;

/// A spike of a node: its time, population and node within it, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EventSpike {
    /// Milliseconds.
    pub time_ms: f64,
    /// Index of the population.
    pub population: usize,
    /// The node.
    pub node: u32,
}

struct Cell {
    m: f64,
    since_ms: f64,
    tau_ms: f64,
    refractory_ms: f64,
    ready_ms: f64,
}

/// Synapses of a node that its spikes reach after the same delay.
struct Group {
    delay_ms: f64,
    /// Target among all nodes, and weight.
    links: Vec<(u32, f64)>,
}

/// Spikes under way to a group of synapses.
struct Arrival {
    time_ms: f64,
    order: u64,
    source: u32,
    group: u32,
}

impl Ord for Arrival {
    /// The earliest is the greatest, as the queue wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        other.time_ms.total_cmp(&self.time_ms).then(other.order.cmp(&self.order))
    }
}

impl PartialOrd for Arrival {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Arrival {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Arrival {}

/// Whether all neurons are IntFire1.
#[must_use]
pub fn is_intfire(sonata: &Sonata) -> bool {
    let mut kinds =
        sonata.nodes.iter().flat_map(|nodes| &nodes.types).filter(|kind| !kind.is_virtual()).peekable();
    kinds.peek().is_some() && kinds.all(|kind| kind.template() == "nrn:IntFire1")
}

/// Runs for `duration_ms`. Returns the spikes of all neurons in the order of time, and the number of synaptic events.
///
/// # Errors
/// If a neuron lacks `tau` or `refrac`.
pub fn run_intfire(sonata: &Sonata, duration_ms: f64) -> Result<(Vec<EventSpike>, u64)> {
    let mut starts = vec![0usize];
    sonata.nodes.iter().for_each(|nodes| starts.push(starts[starts.len() - 1] + nodes.ids.len()));
    let mut cells = cells(&sonata.nodes)?;
    let rows = rows(&sonata.edges, &starts);
    let mut queue = BinaryHeap::new();
    let mut order = 0;
    let mut send = |queue: &mut BinaryHeap<Arrival>, source: u32, time_ms: f64| {
        for (group, own) in rows[source as usize].iter().enumerate() {
            let time_ms = time_ms + own.delay_ms;
            if time_ms <= duration_ms {
                queue.push(Arrival { time_ms, order, source, group: group as u32 });
                order += 1;
            }
        }
    };
    for (population, node, time_ms) in sonata.given_spikes() {
        send(&mut queue, (starts[population] + node as usize) as u32, time_ms);
    }
    let (mut spikes, mut events) = (Vec::new(), 0u64);
    while let Some(Arrival { time_ms, source, group, .. }) = queue.pop() {
        let Group { links, .. } = &rows[source as usize][group as usize];
        events += links.len() as u64;
        if events > MOST_EVENTS {
            return Err(Error::Sonata(format!(
                "more than {MOST_EVENTS} synaptic events: activity runs away"
            )));
        }
        for (target, weight) in links {
            let Some(cell) = &mut cells[*target as usize] else { continue };
            if time_ms < cell.ready_ms {
                continue;
            }
            if cell.ready_ms > cell.since_ms {
                (cell.m, cell.since_ms) = (0.0, cell.ready_ms);
            }
            cell.m = cell.m * (-(time_ms - cell.since_ms) / cell.tau_ms).exp() + weight;
            cell.since_ms = time_ms;
            if cell.m > 1.0 {
                cell.ready_ms = time_ms + cell.refractory_ms;
                let population = starts.partition_point(|start| *start <= *target as usize) - 1;
                spikes.push(EventSpike { time_ms, population, node: *target - starts[population] as u32 });
                send(&mut queue, *target, time_ms);
            }
        }
    }
    Ok((spikes, events))
}

fn cells(all: &[Nodes]) -> Result<Vec<Option<Cell>>> {
    let mut cells = Vec::new();
    for nodes in all {
        for kind in &nodes.kinds {
            let kind = &nodes.types[*kind as usize];
            if kind.is_virtual() {
                cells.push(None);
                continue;
            }
            let needed = |name: &str| {
                kind.parameters.get(name).copied().filter(|value| *value > 0.0).ok_or_else(|| {
                    let problem =
                        format!("node type {} of `{}`: `{name}` above 0 is missing", kind.id, nodes.name);
                    Error::Sonata(problem)
                })
            };
            let (tau_ms, refractory_ms) = (MS * needed("tau")?, MS * needed("refrac")?);
            cells.push(Some(Cell {
                m: 0.0,
                since_ms: 0.0,
                tau_ms,
                refractory_ms,
                ready_ms: f64::NEG_INFINITY,
            }));
        }
    }
    Ok(cells)
}

fn rows(edges: &[Edges], starts: &[usize]) -> Vec<Vec<Group>> {
    let mut rows: Vec<Vec<Group>> = (0..starts[starts.len() - 1]).map(|_| Vec::new()).collect();
    for own in edges {
        for edge in 0..own.sources.len() {
            let row = &mut rows[starts[own.source] + own.sources[edge] as usize];
            let link = ((starts[own.target] + own.targets[edge] as usize) as u32, own.weights[edge]);
            match row.iter_mut().find(|group| group.delay_ms == own.delays_ms[edge]) {
                Some(group) => group.links.push(link),
                None => row.push(Group { delay_ms: own.delays_ms[edge], links: vec![link] }),
            }
        }
    }
    rows
}
