//! Connection rules. Each synapse is drawn from its index alone, for any range of targets.

use core::ops::Range;

use super::{Shape, Wiring};
use crate::error::{Result, wrong};
use crate::projection::{Link, RuleKind};
use crate::random::Stream;

/// A synapse to be made: source and target within their populations, and what weight and delay are drawn from.
pub(crate) struct Made<'a> {
    pub(crate) source: usize,
    pub(crate) target: usize,
    pub(crate) stream: Stream,
    pub(crate) index: u64,
    pub(crate) link: Option<&'a Link>,
}

/// Which sources a neuron has already; for rules without multapses.
struct Seen {
    marks: Vec<u32>,
    turn: u32,
}

impl Seen {
    fn new(neurons: usize) -> Self {
        Self { marks: vec![0; neurons], turn: 0 }
    }

    fn begin(&mut self) {
        self.turn += 1;
    }

    /// Whether a neuron is new in this turn.
    fn mark(&mut self, neuron: usize) -> bool {
        let is_new = self.marks[neuron] != self.turn;
        self.marks[neuron] = self.turn;
        is_new
    }
}

impl Wiring<'_> {
    /// Whether sources are drawn for each target in ascending order of targets.
    fn no_autapses(&self) -> bool {
        self.recurrent && !self.autapses
    }

    /// Checks the rule and returns the number of synapses.
    pub(super) fn check_rule(&self, place: &str) -> Result<u64> {
        let (sources, targets) = (self.sources as u64, self.targets as u64);
        // Partners of a neuron.
        let others = |all: u64| if self.no_autapses() { all.saturating_sub(1) } else { all };
        let degree = |setting, count: usize, all: u64, what: &str| {
            let possible = others(all);
            if count > 0 && possible == 0 {
                return Err(wrong(place, setting, count, format!("0, since there are no {what}")));
            }
            if !self.multapses && count as u64 > possible {
                let expected = format!("at most {possible}, the number of {what}, without multapses");
                return Err(wrong(place, setting, count, expected));
            }
            Ok(())
        };
        match self.kind {
            RuleKind::AllToAll => Ok(others(sources).saturating_mul(targets)),
            RuleKind::OneToOne if sources != targets => {
                let got = format!("{sources} and {targets}");
                Err(wrong(place, "the sizes of the populations", got, "equal ones, for one-to-one"))
            }
            RuleKind::OneToOne => Ok(if self.no_autapses() { 0 } else { sources }),
            RuleKind::FixedInDegree(count) => {
                degree("the in-degree", *count, sources, "possible sources")?;
                Ok((*count as u64).saturating_mul(targets))
            }
            RuleKind::FixedOutDegree(count) => {
                degree("the out-degree", *count, targets, "possible targets")?;
                Ok((*count as u64).saturating_mul(sources))
            }
            RuleKind::FixedTotal(count) => {
                if !self.multapses {
                    let expected = "true, for a fixed total number";
                    return Err(wrong(place, "multapses", false, expected));
                }
                if *count > 0 && (others(sources) == 0 || targets == 0) {
                    return Err(wrong(
                        place,
                        "the total number",
                        count,
                        "0, since there are no possible pairs",
                    ));
                }
                Ok(*count)
            }
            RuleKind::Bernoulli(p) if !(0.0..=1.0).contains(p) => {
                Err(wrong(place, "the probability", p, "a number from 0 to 1"))
            }
            RuleKind::Bernoulli(p) => Ok((p * others(sources) as f64 * targets as f64).round() as u64),
            RuleKind::Listed(links) => Ok(links.len() as u64),
        }
    }

    /// Calls `make` with every synapse onto the neurons of a part, in a fixed order.
    pub(crate) fn synapses(&self, shape: Shape, make: &mut impl FnMut(Made<'_>)) {
        let targets = shape.within..shape.within + shape.count;
        match self.kind {
            RuleKind::AllToAll => self.for_targets(
                targets,
                |target, stream, make| {
                    for source in (0..self.sources).filter(|&source| self.allowed(source, target)) {
                        make(Made { source, target, stream, index: source as u64, link: None });
                    }
                },
                make,
            ),
            RuleKind::OneToOne => self.for_targets(
                targets,
                |target, stream, make| {
                    if self.allowed(target, target) {
                        make(Made { source: target, target, stream, index: 0, link: None });
                    }
                },
                make,
            ),
            RuleKind::FixedInDegree(count) => self.in_degree(*count, targets, make),
            RuleKind::FixedOutDegree(count) => self.out_degree(*count, &targets, make),
            RuleKind::FixedTotal(count) => self.total(*count, shape, make),
            RuleKind::Bernoulli(p) => self.for_targets(
                targets,
                |target, stream, make| {
                    self.bernoulli(*p, target, stream, make);
                },
                make,
            ),
            RuleKind::Listed(links) => {
                for link in links.iter().filter(|link| targets.contains(&(link.target as usize))) {
                    let (source, target) = (link.source as usize, link.target as usize);
                    make(Made { source, target, stream: self.stream, index: 0, link: Some(link) });
                }
            }
        }
    }

    fn allowed(&self, source: usize, target: usize) -> bool {
        !(self.no_autapses() && source == target)
    }

    fn for_targets<M: FnMut(Made<'_>)>(
        &self,
        targets: Range<usize>,
        one: impl Fn(usize, Stream, &mut M),
        make: &mut M,
    ) {
        for target in targets {
            one(target, self.stream.sub(target as u64), make);
        }
    }

    fn in_degree(&self, count: usize, targets: Range<usize>, make: &mut impl FnMut(Made<'_>)) {
        let mut seen = (!self.multapses).then(|| Seen::new(self.sources));
        for target in targets {
            let stream = self.stream.sub(target as u64);
            let of_source = stream.sub(0);
            if let Some(seen) = &mut seen {
                seen.begin();
                self.distinct(count, (self.sources, target), of_source, seen, &mut |source, index| {
                    make(Made { source, target, stream, index, link: None });
                });
                continue;
            }
            let mut draw = 0;
            for index in 0..count as u64 {
                let mut source = of_source.below(draw, self.sources);
                draw += 1;
                while !self.allowed(source, target) {
                    source = of_source.below(draw, self.sources);
                    draw += 1;
                }
                make(Made { source, target, stream, index, link: None });
            }
        }
    }

    /// `count` different neurons of `all`, without `own` where autapses are not allowed.
    fn distinct(
        &self,
        count: usize,
        (all, own): (usize, usize),
        stream: Stream,
        seen: &mut Seen,
        take: &mut impl FnMut(usize, u64),
    ) {
        let possible = if self.no_autapses() { all - 1 } else { all };
        if 2 * count <= possible {
            let (mut index, mut draw) = (0, 0);
            while index < count as u64 {
                let neuron = stream.below(draw, all);
                draw += 1;
                if self.allowed(neuron, own) && seen.mark(neuron) {
                    take(neuron, index);
                    index += 1;
                }
            }
            return;
        }
        // Selection sampling (Knuth, Algorithm S): in ascending order, each with the probability that remains.
        let (mut left, mut wanted, mut index) = (possible, count, 0);
        for neuron in (0..all).filter(|&neuron| self.allowed(neuron, own)) {
            if stream.below(neuron as u64, left) < wanted {
                take(neuron, index);
                index += 1;
                wanted -= 1;
            }
            left -= 1;
        }
    }

    /// Every part draws all targets of every source, and keeps its own.
    fn out_degree(&self, count: usize, targets: &Range<usize>, make: &mut impl FnMut(Made<'_>)) {
        let mut seen = (!self.multapses).then(|| Seen::new(self.targets));
        for source in 0..self.sources {
            let stream = self.stream.sub(source as u64);
            let of_target = stream.sub(0);
            let mut keep = |target: usize, index: u64| {
                if targets.contains(&target) {
                    make(Made { source, target, stream, index, link: None });
                }
            };
            if let Some(seen) = &mut seen {
                seen.begin();
                self.distinct(count, (self.targets, source), of_target, seen, &mut keep);
                continue;
            }
            let mut draw = 0;
            for index in 0..count as u64 {
                let mut target = of_target.below(draw, self.targets);
                draw += 1;
                while !self.allowed(source, target) {
                    target = of_target.below(draw, self.targets);
                    draw += 1;
                }
                keep(target, index);
            }
        }
    }

    /// The total is divided between parts by binomial numbers, as a multinomial distribution; then pairs are drawn.
    fn total(&self, count: u64, shape: Shape, make: &mut impl FnMut(Made<'_>)) {
        let splits = self.stream.sub(u64::MAX);
        // All parts but the last one are as large as the first.
        let size = shape.within.checked_div(shape.index).unwrap_or(shape.count);
        let (mut left, mut own, mut first) = (count, 0, 0);
        for part in 0..=shape.index {
            let width = size.min(self.targets - first);
            own = splits.binomial(part as u64, left, width as f64 / (self.targets - first) as f64);
            left -= own;
            first += width;
        }
        let stream = self.stream.sub(shape.index as u64);
        let (of_source, of_target) = (stream.sub(0), stream.sub(4));
        let mut draw = 0;
        for index in 0..own {
            let (source, target) = loop {
                let source = of_source.below(draw, self.sources);
                let target = shape.within + of_target.below(draw, shape.count);
                draw += 1;
                if self.allowed(source, target) {
                    break (source, target);
                }
            };
            make(Made { source, target, stream, index, link: None });
        }
    }

    /// From one source to the next the gap is geometric.
    fn bernoulli(&self, p: f64, target: usize, stream: Stream, make: &mut impl FnMut(Made<'_>)) {
        if p <= 0.0 {
            return;
        }
        let (of_source, scale) = (stream.sub(0), 1.0 / (-p).ln_1p());
        let mut source = 0usize;
        for index in 0.. {
            let gap = if p >= 1.0 { 0.0 } else { (1.0 - of_source.uniform(index)).ln() * scale };
            source = source.saturating_add(gap as usize);
            if source >= self.sources {
                return;
            }
            if self.allowed(source, target) {
                make(Made { source, target, stream, index, link: None });
            }
            source += 1;
        }
    }
}
