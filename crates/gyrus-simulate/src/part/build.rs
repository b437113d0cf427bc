//! Building a part: its synapses are counted by source, then written in place; no list of them exists besides.

use gyrus_kernels::circuit::Real;

use super::{Block, Change, Part, Places};
use crate::circuit::Population;
use crate::connect::{Plan, Shape, Wiring};
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::neurons::Cells;
use crate::plasticity::{Plasticity, Resources, Timed};
use crate::random::Stream;

/// Room for `count` numbers.
fn reserve<V: Clone + Default>(count: usize) -> Result<Vec<V>> {
    let mut memory = Vec::new();
    let refused = |_| Error::Memory {
        needed: count.saturating_mul(size_of::<V>()) as u64,
        available: crate::connect::available_memory().unwrap_or(0),
    };
    memory.try_reserve_exact(count).map_err(refused)?;
    memory.resize(count, V::default());
    Ok(memory)
}

impl<T: Real> Part<T> {
    pub(crate) fn new(plan: &Plan<'_>, shape: Shape) -> Result<Self> {
        let circuit = plan.circuit;
        let population = &circuit.populations[shape.population];
        let stream = Stream::new(circuit.seed, 2 << 32 | shape.population as u64);
        let range = (shape.within, shape.count);
        let mut part = Self {
            population: shape.population,
            within: shape.within,
            first: plan.range(shape.population).start + shape.within,
            cells: Cells::new(population, range, circuit.dt_ms, stream),
            inputs: Inputs::new(population, range, circuit.dt_ms, stream),
            blocks: Vec::new(),
            ring: Vec::new(),
            width: shape.count.next_power_of_two(),
            planes: population.model.planes(),
            probes: Vec::new(),
            fired: Vec::new(),
            scaled: Vec::new(),
        };
        let mut longest = 1;
        for (index, wiring) in plan.wirings.iter().enumerate().filter(|(_, w)| w.target == shape.population) {
            let first = plan.range(wiring.source).start as u32;
            let block = part.block(wiring, (index, first), shape, population, &mut longest)?;
            if block.synapses() > 0 {
                part.blocks.push(block);
            }
        }
        if !population.model.is_source() {
            let slots = (longest as usize + 1).next_power_of_two();
            part.ring = reserve(slots * part.stride())?;
        }
        Ok(part)
    }

    /// The synapses of a projection onto this part; `longest` becomes the longest delay in steps.
    fn block(
        &self,
        wiring: &Wiring<'_>,
        (projection, first): (usize, u32),
        shape: Shape,
        population: &Population,
        longest: &mut u32,
    ) -> Result<Block<T>> {
        let mut starts: Vec<u32> = reserve(wiring.sources + 1)?;
        let mut count = 0u64;
        wiring.synapses(shape, &mut |made| {
            count += 1;
            // Wraps only if the count is refused below.
            starts[made.source + 1] = starts[made.source + 1].wrapping_add(1);
        });
        let Ok(count) = u32::try_from(count) else {
            let needed = count.saturating_mul(8);
            return Err(Error::Memory { needed, available: crate::connect::available_memory().unwrap_or(0) });
        };
        for source in 0..wiring.sources {
            starts[source + 1] += starts[source];
        }
        let (width, planes, stride) = (self.width, self.planes, self.stride());
        let conductances = population.model.has_conductances();
        // The receptor of a weight, and the weight as it is added there.
        let received = |weight: f64| match weight < 0.0 {
            true => (planes - 1, T::of(if conductances { -weight } else { weight })),
            false => (0, T::of(weight)),
        };
        let one = wiring.one_weight.map(received);
        let mut weights: Vec<T> = if one.is_some() { Vec::new() } else { reserve(count as usize)? };
        let fill = |weights: &mut [T], longest: &mut u32, put: &mut dyn FnMut(usize, usize, u32)| {
            let mut next = starts.clone();
            wiring.synapses(shape, &mut |made| {
                let at = next[made.source] as usize;
                next[made.source] += 1;
                let plane = match one {
                    Some((plane, _)) => plane,
                    None => {
                        let weight = match made.link {
                            Some(link) => link.weight,
                            None => wiring.weight_of(made.stream, made.index),
                        };
                        let (plane, weight) = received(weight);
                        weights[at] = weight;
                        plane
                    }
                };
                let delay = wiring.one_delay.unwrap_or_else(|| match made.link {
                    Some(link) => (link.delay_ms / wiring.dt_ms).round() as u32,
                    None => wiring.delay_of(made.stream, made.index),
                });
                *longest = delay.max(*longest);
                put(at, plane * width + made.target - shape.within, delay);
            });
        };
        let places = if let Some(delay) = wiring.one_delay {
            let mut places: Vec<u16> = reserve(count as usize)?;
            fill(&mut weights, longest, &mut |at, place, _| places[at] = place as u16);
            Places::Near { delay, places }
        } else {
            let mut places: Vec<u16> = reserve(count as usize)?;
            // Delays may be longer than expected.
            let mut reaches = true;
            fill(&mut weights, longest, &mut |at, place, delay| {
                let place = u16::try_from(delay as usize * stride + place);
                reaches &= place.is_ok();
                places[at] = place.unwrap_or(0);
            });
            if reaches {
                sort(&starts, &mut places, &mut weights);
                Places::Far(places)
            } else {
                drop(places);
                let mut places: Vec<u32> = reserve(count as usize)?;
                fill(&mut weights, longest, &mut |at, place, delay| {
                    places[at] = delay * stride as u32 + place as u32;
                });
                sort(&starts, &mut places, &mut weights);
                Places::Farther(places)
            }
        };
        let weight = one.map_or(T::ZERO, |(_, weight)| weight);
        let sizes = (wiring.sources, shape.count, count as usize);
        let change = match wiring.plasticity {
            Some(Plasticity::SpikeTiming(timing)) => {
                Change::Timed(Box::new(Timed::new(timing, sizes, wiring.delays.0, wiring.dt_ms)))
            }
            Some(Plasticity::ShortTerm(term)) => {
                Change::Resources(Resources::new(term, wiring.sources, wiring.dt_ms))
            }
            None => Change::Never,
        };
        let full = match &places {
            Places::Near { places, .. } if is_full(places, &weights, (wiring.sources, shape.count)) => {
                shape.count
            }
            _ => 0,
        };
        let mut change = change;
        if let (Change::Timed(timed), 1..) = (&mut change, full) {
            timed.fill();
        }
        // With an eligibility trace the block is not treated as full.
        let full = match &change {
            Change::Timed(timed) if timed.full.is_none() => 0,
            Change::Resources(_) => 0,
            _ => full,
        };
        Ok(Block {
            projection,
            source: wiring.source,
            first,
            starts,
            places,
            weights,
            weight,
            change,
            scaled: false,
            full,
        })
    }
}

/// Whether each source has one synapse with a weight of its own onto each target, in order.
fn is_full<T>(places: &[u16], weights: &[T], (sources, targets): (usize, usize)) -> bool {
    let own = !weights.is_empty() && places.len() == sources * targets;
    own && places.chunks(targets).all(|row| row.iter().enumerate().all(|(n, &place)| place as usize == n))
}

/// Sorts each row by place, so that a spike walks through the ring in one direction.
fn sort<T: Real, P: Copy + Ord>(starts: &[u32], places: &mut [P], weights: &mut [T]) {
    let mut row: Vec<(P, T)> = Vec::new();
    for ends in starts.windows(2) {
        let range = ends[0] as usize..ends[1] as usize;
        if weights.is_empty() {
            places[range].sort_unstable();
            continue;
        }
        row.clear();
        row.extend(places[range.clone()].iter().copied().zip(weights[range.clone()].iter().copied()));
        row.sort_by_key(|(place, _)| *place);
        for (at, (place, weight)) in range.zip(&row) {
            places[at] = *place;
            weights[at] = *weight;
        }
    }
}
