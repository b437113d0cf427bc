//! Connection rules: each synapse is drawn from its index alone.

use super::random::Stream;
use super::wrong;
use crate::Result;

/// Connections from one population to another (or itself).
#[derive(Clone, Debug)]
pub struct Projection {
    /// Index of the source population.
    pub source: usize,
    /// Index of the target population.
    pub target: usize,
    /// Rule that connects neurons.
    pub rule: Rule,
    /// Weight of each synapse; ignored by [`Rule::Listed`].
    pub weight: Weight,
    /// Delay of each synapse; ignored by [`Rule::Listed`].
    pub delay: Delay,
}

/// Connection rule.
#[derive(Clone, Debug)]
pub enum Rule {
    /// Fixed in-degree: every target receives from this many sources, drawn independently. A source may be drawn twice, or be
    /// the target itself.
    FixedInDegree(usize),
    /// Each pair is connected with this probability.
    Probability(f64),
    /// Exactly these synapses, with neurons counted within their populations.
    Listed(Vec<Link>),
}

/// One synapse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Source neuron.
    pub source: usize,
    /// Target neuron.
    pub target: usize,
    /// Weight that a spike adds to the target's input.
    pub weight: f32,
    /// Steps from a spike to its arrival, at least 1.
    pub delay: usize,
}

/// Distribution of weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weight {
    /// The same for all.
    Constant(f32),
    /// Uniform between two numbers.
    Uniform {
        /// The smallest.
        from: f32,
        /// The largest.
        to: f32,
    },
    /// Normally distributed.
    Normal {
        /// Mean.
        mean: f32,
        /// Standard deviation, at least 0.
        std: f32,
    },
}

/// Distribution of delays; they are rounded to whole steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delay {
    /// The same for all.
    Constant {
        /// At least half a step.
        delay_ms: f64,
    },
    /// Uniform between two numbers.
    Uniform {
        /// At least half a step.
        from_ms: f64,
        /// The largest.
        to_ms: f64,
    },
}

/// Most steps of a delay.
const LONGEST: usize = 1 << 16;

impl Weight {
    fn check(self) -> Result<()> {
        let (numbers, sound) = match self {
            Self::Constant(weight) => ([weight, 0.0], true),
            Self::Uniform { from, to } => ([from, to], from <= to),
            Self::Normal { mean, std } => ([mean, std], std >= 0.0),
        };
        match sound && numbers.iter().all(|number| number.is_finite()) {
            true => Ok(()),
            false => Err(wrong(
                "a weight",
                format!("{self:?}"),
                "finite numbers, `from` up to `to`, a standard deviation of at least 0",
            )),
        }
    }

    fn draw(self, stream: Stream, counter: u64) -> f32 {
        match self {
            Self::Constant(weight) => weight,
            Self::Uniform { from, to } => {
                (f64::from(from) + stream.uniform(counter) * (f64::from(to) - f64::from(from))) as f32
            }
            Self::Normal { mean, std } => (f64::from(mean) + stream.normal(counter) * f64::from(std)) as f32,
        }
    }
}

impl Delay {
    /// Shortest and longest, in steps.
    fn steps(self, dt_ms: f64) -> Result<(usize, usize)> {
        let (from, to) = match self {
            Self::Constant { delay_ms } => (delay_ms, delay_ms),
            Self::Uniform { from_ms, to_ms } => (from_ms, to_ms),
        };
        let steps = [from, to].map(|delay| (delay / dt_ms).round());
        match steps[0] >= 1.0 && steps[0] <= steps[1] && steps[1] <= LONGEST as f64 {
            true => Ok((steps[0] as usize, steps[1] as usize)),
            false => Err(wrong("a delay", format!("{self:?}"), "1 to 65,536 steps, `from_ms` up to `to_ms`")),
        }
    }
}

/// A projection whose settings have been checked, with neurons counted over all populations.
struct Checked<'a> {
    rule: &'a Rule,
    weight: Weight,
    /// Shortest and longest, in steps.
    delay: (usize, usize),
    sources: core::ops::Range<usize>,
    targets: core::ops::Range<usize>,
    stream: Stream,
}

/// All projections, ready to be drawn for any range of targets.
pub(crate) struct Plan<'a> {
    projections: Vec<Checked<'a>>,
    neurons: usize,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(
        projections: &'a [Projection],
        starts: &[usize],
        dt_ms: f64,
        seed: u64,
    ) -> Result<Self> {
        let mut checked = Vec::new();
        for (index, projection) in projections.iter().enumerate() {
            let range = |population: usize| match (starts.get(population), starts.get(population + 1)) {
                (Some(&first), Some(&end)) => Ok(first..end),
                _ => Err(wrong(
                    "a projection's population",
                    population,
                    &format!("fewer than {}", starts.len() - 1),
                )),
            };
            let (sources, targets) = (range(projection.source)?, range(projection.target)?);
            let delay = match &projection.rule {
                Rule::Listed(links) => listed(links, sources.len(), targets.len())?,
                rule => {
                    projection.weight.check()?;
                    rule.check(sources.len())?;
                    projection.delay.steps(dt_ms)?
                }
            };
            checked.push(Checked {
                rule: &projection.rule,
                weight: projection.weight,
                delay,
                sources,
                targets,
                stream: Stream::new(seed, 1 << 32 | index as u64),
            });
        }
        Ok(Self { projections: checked, neurons: starts[starts.len() - 1] })
    }

    pub(crate) fn neurons(&self) -> usize {
        self.neurons
    }

    /// Steps of the shortest delay of all synapses.
    pub(crate) fn shortest(&self) -> usize {
        self.projections.iter().map(|projection| projection.delay.0).min().unwrap_or(1)
    }

    pub(crate) fn longest(&self) -> usize {
        self.projections.iter().map(|projection| projection.delay.1).max().unwrap_or(1)
    }

    /// Calls `visit` with every synapse onto the neurons from `first` on, in a fixed order. Without `numbers`, only sources and
    /// targets are drawn.
    pub(crate) fn synapses(
        &self,
        targets: core::ops::Range<usize>,
        numbers: bool,
        visit: &mut impl FnMut(Link),
    ) {
        for projection in &self.projections {
            let first = projection.targets.start.max(targets.start);
            let end = projection.targets.end.min(targets.end);
            for target in first..end {
                projection.onto(target, numbers, visit);
            }
            if let Rule::Listed(links) = projection.rule {
                for link in links {
                    let [source, target] =
                        [link.source + projection.sources.start, link.target + projection.targets.start];
                    if targets.contains(&target) {
                        visit(Link { source, target, ..*link });
                    }
                }
            }
        }
    }
}

impl Checked<'_> {
    /// The synapses onto one neuron.
    fn onto(&self, target: usize, numbers: bool, visit: &mut impl FnMut(Link)) {
        let stream = self.stream.sub((target - self.targets.start) as u64);
        let [of_source, of_weight, of_delay] = [0, 1, 2].map(|name| stream.sub(name));
        let mut emit = |index: u64, source: usize| {
            let (mut weight, mut delay) = (0.0, self.delay.0);
            if numbers {
                weight = self.weight.draw(of_weight, index);
                delay += of_delay.below(index, self.delay.1 - self.delay.0 + 1);
            }
            visit(Link { source: self.sources.start + source, target, weight, delay });
        };
        match self.rule {
            Rule::FixedInDegree(count) => {
                for index in 0..*count as u64 {
                    emit(index, of_source.below(index, self.sources.len()));
                }
            }
            Rule::Probability(p) if *p > 0.0 => {
                // From one source to the next the gap is geometric.
                let scale = 1.0 / (1.0 - p).ln();
                let mut source = 0usize;
                for index in 0.. {
                    let gap = (1.0 - of_source.uniform(index)).ln() * scale;
                    source = source.saturating_add(gap as usize);
                    if source >= self.sources.len() {
                        break;
                    }
                    emit(index, source);
                    source += 1;
                }
            }
            Rule::Probability(_) | Rule::Listed(_) => {}
        }
    }
}

impl Rule {
    fn check(&self, sources: usize) -> Result<()> {
        match self {
            Self::FixedInDegree(count) if *count > 0 && sources == 0 => {
                Err(wrong("an in-degree", count, "0, since the source population is empty"))
            }
            Self::Probability(p) if !(0.0..=1.0).contains(p) => {
                Err(wrong("the probability of a connection", p, "a number from 0 to 1"))
            }
            _ => Ok(()),
        }
    }
}

/// Checks a list, and returns its shortest and longest delay.
fn listed(links: &[Link], sources: usize, targets: usize) -> Result<(usize, usize)> {
    let mut delays = (LONGEST, 1);
    for link in links {
        if link.source >= sources || link.target >= targets {
            let got = format!("from neuron {} to neuron {}", link.source, link.target);
            let expected = format!("a source below {sources} and a target below {targets}");
            return Err(wrong("a listed synapse", got, &expected));
        }
        if !(1..=LONGEST).contains(&link.delay) || !link.weight.is_finite() {
            let got = format!("of weight {} and delay {}", link.weight, link.delay);
            return Err(wrong("a listed synapse", got, "a finite weight, and a delay of 1 to 65,536 steps"));
        }
        delays = (delays.0.min(link.delay), delays.1.max(link.delay));
    }
    Ok(delays)
}
