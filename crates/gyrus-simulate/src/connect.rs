//! From rules to synapses: what a circuit needs, and every synapse as a function of its index.

mod rules;

use core::ops::Range;

use gyrus_kernels::circuit::Real;

use crate::circuit::{Circuit, Precision};
use crate::error::{Error, Result, wrong};
use crate::plasticity::Plasticity;
use crate::projection::{Link, RuleKind};
use crate::quantity::{Distribution, Quantity};
use crate::random::Stream;
use crate::simulation::Memory;

/// Most steps of a delay.
const LONGEST: f64 = 65_535.0;
/// Most neurons of all populations together.
const MOST_NEURONS: u64 = u32::MAX as u64;
/// Most neurons of a part: a step's sums of a part stay in the first-level cache.
const MOST: usize = 2048;
/// The same where synapses change: their updates cost far more than the neurons, and more parts keep more threads busy.
const MOST_PLASTIC: usize = 512;
/// Sums of all steps to come of a part: they stay in the second-level cache, and two bytes name one of them.
const RING: usize = 1 << 16;

/// What a circuit needs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Need {
    /// Number of neurons.
    pub neurons: u64,
    /// Number of synapses; expected, where they are drawn with a probability.
    pub synapses: u64,
    /// Bytes of memory.
    pub memory: Memory,
    /// Steps that run in one pass: those of the shortest delay.
    pub interval_steps: u64,
    /// Steps of the longest delay.
    pub longest_delay_steps: u64,
}

/// Bytes of memory that are free, if the system says so.
#[must_use]
pub fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// A projection whose settings have been checked.
pub(crate) struct Wiring<'a> {
    pub(crate) kind: &'a RuleKind,
    pub(crate) autapses: bool,
    pub(crate) multapses: bool,
    /// Whether source and target population are the same.
    pub(crate) recurrent: bool,
    pub(crate) sources: usize,
    pub(crate) targets: usize,
    pub(crate) source: usize,
    pub(crate) target: usize,
    pub(crate) weight: Quantity,
    pub(crate) delay: Quantity,
    pub(crate) plasticity: Option<Plasticity>,
    /// The weight of all synapses, if they share it.
    pub(crate) one_weight: Option<f64>,
    /// The delay of all synapses in steps, if they share it.
    pub(crate) one_delay: Option<u32>,
    /// Shortest and longest delay in steps that can occur.
    pub(crate) delays: (u32, u32),
    /// Number of synapses, exact or expected.
    pub(crate) synapses: u64,
    pub(crate) stream: Stream,
    pub(crate) dt_ms: f64,
}

/// Where a part lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) population: usize,
    /// First neuron within the population.
    pub(crate) within: usize,
    pub(crate) count: usize,
    /// Index among the parts of its population.
    pub(crate) index: usize,
}

/// A circuit that has been checked.
pub(crate) struct Plan<'a> {
    pub(crate) circuit: &'a Circuit,
    pub(crate) wirings: Vec<Wiring<'a>>,
    /// First neuron of each population, and the number of all neurons.
    pub(crate) starts: Vec<usize>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) need: Need,
}

impl Circuit {
    /// Checks every setting and computes what the circuit needs, without allocating anything in proportion to it.
    ///
    /// # Errors
    /// The first setting that is out of range or impossible.
    pub fn check(&self) -> Result<Need> {
        Ok(Plan::new(self)?.need)
    }
}

impl<'a> Plan<'a> {
    pub(crate) fn new(circuit: &'a Circuit) -> Result<Self> {
        let dt_ms = circuit.dt_ms;
        if !(dt_ms.is_finite() && dt_ms > 0.0) {
            return Err(wrong("circuit", "dt_ms", dt_ms, "a finite number above 0"));
        }
        let mut starts = vec![0usize];
        for population in &circuit.populations {
            let place = population.place();
            population.model.check(&place, population.neurons, dt_ms)?;
            if let Some(start) = population.v_start_mv {
                start.check(&place, "v_start_mv")?;
            }
            if population.model.is_source() && !population.inputs.is_empty() {
                let expected = "none, since the population only sends";
                return Err(wrong(&place, "the number of inputs", population.inputs.len(), expected));
            }
            for input in &population.inputs {
                input.check(&place, population.neurons, dt_ms)?;
            }
            let next = (starts[starts.len() - 1] as u64).saturating_add(population.neurons as u64);
            if next > MOST_NEURONS {
                return Err(wrong(&place, "the number of all neurons", next, "fewer than 2^32"));
            }
            starts.push(next as usize);
        }
        let mut wirings = Vec::new();
        for index in 0..circuit.projections.len() {
            wirings.push(Wiring::new(circuit, index)?);
        }
        let mut plan = Self { circuit, wirings, starts, shapes: Vec::new(), need: Need::default() };
        plan.shapes = plan.cut();
        plan.need = plan.count();
        Ok(plan)
    }

    /// What a pass of each part costs, roughly, before anything is built.
    pub(crate) fn costs(&self) -> Vec<u64> {
        let cost = |shape: &Shape| {
            let neurons = self.circuit.populations[shape.population].neurons.max(1) as f64;
            let synapses: f64 = self.onto(shape.population).map(|wiring| wiring.synapses as f64).sum();
            shape.count as u64 * 1000 + (synapses * shape.count as f64 / neurons) as u64
        };
        self.shapes.iter().map(cost).collect()
    }

    fn number_bytes(&self) -> usize {
        match self.circuit.precision {
            Precision::Single => f32::BYTES,
            Precision::Double => f64::BYTES,
        }
    }

    fn onto(&self, population: usize) -> impl Iterator<Item = &Wiring<'a>> {
        self.wirings.iter().filter(move |wiring| wiring.target == population)
    }

    /// Steps of input to come that the parts of a population hold, a power of two.
    fn slots(&self, population: usize) -> usize {
        let longest = self.onto(population).map(|wiring| wiring.likely_longest()).max().unwrap_or(1);
        (longest as usize + 1).next_power_of_two()
    }

    /// Cuts populations into parts of at most [`MOST`] neurons, fewer if delays are long or synapses change.
    fn cut(&self) -> Vec<Shape> {
        let mut shapes = Vec::new();
        for (population, neurons) in self.circuit.populations.iter().enumerate() {
            let each = self.slots(population) * neurons.model.planes();
            let changes = self.onto(population).any(|wiring| wiring.plasticity.is_some());
            let most = if changes { MOST_PLASTIC } else { MOST };
            let most = (RING / each).clamp(256, most).next_power_of_two().min(most);
            let parts = neurons.neurons.div_ceil(most).max(1);
            let size = neurons.neurons.div_ceil(parts).next_multiple_of(64);
            let mut within = 0;
            for index in 0.. {
                if within >= neurons.neurons {
                    break;
                }
                let count = size.min(neurons.neurons - within);
                shapes.push(Shape { population, within, count, index });
                within += count;
            }
        }
        shapes
    }

    fn count(&self) -> Need {
        let bytes = self.number_bytes() as u64;
        let mut need = Need {
            neurons: self.starts[self.starts.len() - 1] as u64,
            interval_steps: u64::from(self.wirings.iter().map(|w| w.delays.0).min().unwrap_or(16)),
            longest_delay_steps: u64::from(
                self.wirings.iter().map(|w| w.likely_longest()).max().unwrap_or(1),
            ),
            ..Need::default()
        };
        for wiring in &self.wirings {
            need.synapses = need.synapses.saturating_add(wiring.synapses);
            let widest =
                self.shapes.iter().filter(|shape| shape.population == wiring.target).map(|shape| shape.count);
            let stride = widest.max().unwrap_or(1).next_power_of_two()
                * self.circuit.populations[wiring.target].model.planes();
            let is_near = wiring.one_delay.is_some() || self.slots(wiring.target) * stride <= RING;
            let place = if is_near { 2 } else { 4 };
            let weight = if wiring.one_weight.is_some() { 0 } else { bytes };
            let all = wiring.synapses.saturating_mul(place + weight);
            need.memory.synapses = need.memory.synapses.saturating_add(all);
            let parts = self.shapes.iter().filter(|shape| shape.population == wiring.target).count() as u64;
            need.memory.rows += parts * (wiring.sources as u64 + 1) * 4;
        }
        for (population, neurons) in self.circuit.populations.iter().enumerate() {
            let rows = match neurons.model.planes() {
                1 => 3,
                _ => 8,
            };
            need.memory.neurons += neurons.neurons as u64 * bytes * rows;
            if neurons.model.is_source() {
                continue;
            }
            let slots = self.slots(population);
            let widths = self.shapes.iter().filter(|shape| shape.population == population);
            let width: usize = widths.map(|shape| shape.count.next_power_of_two()).sum();
            need.memory.rings += (slots * width * neurons.model.planes()) as u64 * bytes;
        }
        need
    }
}

impl<'a> Wiring<'a> {
    fn new(circuit: &'a Circuit, index: usize) -> Result<Self> {
        let projection = &circuit.projections[index];
        let of = |population: usize| circuit.populations.get(population);
        let (Some(source), Some(target)) = (of(projection.source), of(projection.target)) else {
            let place = format!("projection {index}");
            let got = format!("{} to {}", projection.source, projection.target);
            let expected = format!("indices below {}, the number of populations", circuit.populations.len());
            return Err(wrong(&place, "the populations", got, expected));
        };
        let place = format!("projection {index} (`{}` to `{}`)", source.name, target.name);
        if target.model.is_source() {
            return Err(wrong(&place, "the target's model", target.model.name(), "neurons that receive"));
        }
        let dt_ms = circuit.dt_ms;
        let rule = &projection.rule;
        let mut wiring = Self {
            kind: &rule.kind,
            autapses: rule.autapses,
            multapses: rule.multapses,
            recurrent: projection.source == projection.target,
            sources: source.neurons,
            targets: target.neurons,
            source: projection.source,
            target: projection.target,
            weight: projection.weight,
            delay: projection.delay_ms,
            plasticity: projection.plasticity,
            one_weight: None,
            one_delay: None,
            delays: (1, 1),
            synapses: 0,
            stream: Stream::new(circuit.seed, 1 << 32 | index as u64),
            dt_ms,
        };
        wiring.synapses = wiring.check_rule(&place)?;
        if let RuleKind::Listed(links) = &rule.kind {
            wiring.listed(&place, links)?;
            let lowest = links.iter().map(|link| link.weight).fold(0.0, f64::min);
            wiring.check_plasticity(&place, lowest)?;
            return Ok(wiring);
        }
        projection.weight.check(&place, "weight")?;
        projection.delay_ms.check(&place, "delay_ms")?;
        let (low, high) = projection.delay_ms.range();
        let steps = [low, high].map(|delay| (delay / dt_ms).round());
        if steps[0] < 1.0 {
            let got = match projection.delay_ms.constant() {
                Some(delay) => format!("{delay}"),
                None => {
                    format!("{:?} within {:?}", projection.delay_ms.distribution, projection.delay_ms.bounds)
                }
            };
            return Err(wrong(
                &place,
                "delay_ms",
                got,
                format!("at least one step of {dt_ms} ms, or a lower bound of half a step"),
            ));
        }
        if steps[1] > LONGEST {
            return Err(wrong(&place, "delay_ms", high, format!("at most {LONGEST} steps of {dt_ms} ms")));
        }
        wiring.delays = (steps[0] as u32, steps[1] as u32);
        wiring.one_weight = projection.weight.constant();
        wiring.one_delay = (steps[0] == steps[1]).then_some(steps[0] as u32);
        wiring.check_plasticity(&place, wiring.weight.range().0)?;
        Ok(wiring)
    }

    /// Plastic synapses need one delay; those that change with the times of spikes have weights of their own.
    fn check_plasticity(&mut self, place: &str, lowest_weight: f64) -> Result<()> {
        let Some(plasticity) = self.plasticity else { return Ok(()) };
        plasticity.check(place, lowest_weight)?;
        if self.one_delay.is_none() && self.synapses > 0 {
            let got = format!("{:?} to {:?} steps", self.delays.0, self.delays.1);
            return Err(wrong(place, "delay_ms", got, "one delay for all synapses, where they are plastic"));
        }
        if matches!(plasticity, Plasticity::SpikeTiming(_)) {
            self.one_weight = None;
        }
        Ok(())
    }

    /// Checks a list; synapses share weight and delay if all say the same.
    fn listed(&mut self, place: &str, links: &[Link]) -> Result<()> {
        let mut delays = (LONGEST as u32, 1);
        let first = links.first().copied();
        let (mut same_weight, mut same_delay) = (true, true);
        for link in links {
            if link.source as usize >= self.sources || link.target as usize >= self.targets {
                let got = format!("from neuron {} to neuron {}", link.source, link.target);
                let expected = format!("a source below {} and a target below {}", self.sources, self.targets);
                return Err(wrong(place, "a listed synapse", got, expected));
            }
            let steps = (link.delay_ms / self.dt_ms).round();
            if !(1.0..=LONGEST).contains(&steps) || !link.weight.is_finite() {
                let got = format!("of weight {} and delay {} ms", link.weight, link.delay_ms);
                let expected = "a finite weight, and a delay of 1 to 65,535 steps";
                return Err(wrong(place, "a listed synapse", got, expected));
            }
            delays = (delays.0.min(steps as u32), delays.1.max(steps as u32));
            same_weight &= first.is_some_and(|first| first.weight == link.weight);
            same_delay &= delays.0 == delays.1;
        }
        if let Some(first) = first {
            self.delays = delays;
            self.one_weight = same_weight.then_some(first.weight);
            self.one_delay = same_delay.then_some(delays.0);
        }
        Ok(())
    }

    /// The longest delay that is worth making room for beforehand: five standard deviations, where there is no bound.
    fn likely_longest(&self) -> u32 {
        let likely = match self.delay.distribution {
            Distribution::Normal { mean, std } => (mean + 5.0 * std) / self.dt_ms,
            Distribution::LogNormal { mu, sigma } => (mu + 5.0 * sigma).exp() / self.dt_ms,
            _ => return self.delays.1,
        };
        match self.kind {
            RuleKind::Listed(_) => self.delays.1,
            _ => self.delays.1.min(likely.ceil() as u32).max(self.delays.0),
        }
    }

    pub(crate) fn weight_of(&self, stream: Stream, index: u64) -> f64 {
        self.weight.draw(stream.sub(1), index)
    }

    pub(crate) fn delay_of(&self, stream: Stream, index: u64) -> u32 {
        let steps = (self.delay.draw(stream.sub(2), index) / self.dt_ms).round();
        (steps as u32).clamp(self.delays.0, self.delays.1)
    }
}

impl Plan<'_> {
    /// Refuses a circuit whose share of so many processes does not fit into the memory that is free.
    pub(crate) fn fits(&self, processes: usize) -> Result<()> {
        let needed = self.need.memory.total() / processes.max(1) as u64;
        match available_memory() {
            Some(available) if needed > available => Err(Error::Memory { needed, available }),
            _ => Ok(()),
        }
    }

    /// Neurons of a population, counted over all.
    pub(crate) fn range(&self, population: usize) -> Range<usize> {
        self.starts[population]..self.starts[population + 1]
    }
}
