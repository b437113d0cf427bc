//! Plastic synapses of one projection onto one part.
//!
//! A weight changes when its source fires: all spikes of the target since then count, in the order of their times, and then the
//! source's own (Morrison et al. 2007, Neural Comput. 19:1437). The delay is dendritic: a spike of the target counts when it has
//! traveled back. As all synapses have one delay, what a source has left behind is one number a source, not one a synapse;
//! what a target has left behind is kept as of the present minus the delay. A target's spikes are kept until all
//! synapses have seen them, which is brought about now and then.

use std::collections::VecDeque;

use gyrus_kernels::circuit::Real;

use super::{Pairing, ShortTerm, SpikeTiming, TimingRule};

/// Natural logarithm of the smallest factor that counts.
const SMALLEST: f64 = -30.0;

/// A spike of a target, and its slower trace right before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spike {
    pub(crate) stamp: i64,
    pub(crate) slow: f64,
}

/// A spike of a target as all sources of a full block see it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Arrival {
    pub(crate) spike: Spike,
    pub(crate) target: u32,
}

/// What is kept of targets where every source has a synapse onto each, in order: work is in proportion to their spikes.
#[derive(Default)]
pub(crate) struct Full {
    /// Spikes that not all synapses have seen, in the order of their times.
    pub(crate) log: Vec<Arrival>,
    /// Targets with a mark.
    pub(crate) active: Vec<u32>,
    /// Targets that had one since weights were last scaled to this total.
    pub(crate) touched: Vec<u32>,
    pub(crate) total: f64,
}

/// A mark below which it is none.
const FAINT: f64 = 1e-13;

/// exp(−k·h/τ) for whole k.
struct Decay(Vec<f64>);

impl Decay {
    fn new(tau_ms: f64, dt_ms: f64) -> Self {
        let last = (-SMALLEST * tau_ms / dt_ms).ceil().min(1e6) as usize;
        Self((0..last).map(|k| (-(k as f64) * dt_ms / tau_ms).exp()).collect())
    }

    #[inline]
    fn over(&self, steps: i64) -> f64 {
        self.0.get(steps as usize).copied().unwrap_or(0.0)
    }
}

/// State of the sources and targets of synapses that change with the times of spikes. Times are stamps: step + 1.
pub(crate) struct Timed<T> {
    timing: SpikeTiming,
    delay: i64,
    plus: Decay,
    minus: Decay,
    slow: [Decay; 2],
    eligible: Option<Decay>,
    /// Of each source: its last spike, up to where its synapses have seen the targets, its traces.
    pub(crate) last: Vec<i64>,
    pub(crate) seen: Vec<i64>,
    pub(crate) traces: Vec<[f64; 2]>,
    /// Of each target: traces right before the present minus the delay, the stamp of its last spike that counts, spikes.
    pub(crate) marks: Vec<[f64; 2]>,
    pub(crate) recent: Vec<i64>,
    pub(crate) spikes: Vec<Vec<Spike>>,
    /// Spikes of the targets that are still traveling back.
    pub(crate) coming: VecDeque<(i64, u32)>,
    /// Targets whose spikes have just arrived.
    pub(crate) arrived: Vec<u32>,
    /// Eligibility of each synapse as of `seen`.
    pub(crate) eligibility: Vec<T>,
    /// In place of `spikes` and `recent` where the block is full.
    pub(crate) full: Option<Full>,
}

impl<T: Real> Timed<T> {
    pub(crate) fn new(
        timing: SpikeTiming,
        (sources, targets, synapses): (usize, usize, usize),
        delay: u32,
        dt_ms: f64,
    ) -> Self {
        let slow = match timing.rule {
            TimingRule::Triplet { tau_plus_triplet_ms, tau_minus_triplet_ms, .. } => {
                [tau_plus_triplet_ms, tau_minus_triplet_ms]
            }
            _ => [dt_ms; 2],
        };
        let eligible = timing.tau_eligibility_ms.map(|tau| Decay::new(tau, dt_ms));
        Self {
            delay: i64::from(delay),
            plus: Decay::new(timing.tau_plus_ms, dt_ms),
            minus: Decay::new(timing.tau_minus_ms, dt_ms),
            slow: slow.map(|tau| Decay::new(tau, dt_ms)),
            last: vec![0; sources],
            seen: vec![-i64::from(delay); sources],
            traces: vec![[0.0; 2]; sources],
            marks: vec![[0.0; 2]; targets],
            recent: vec![i64::MIN; targets],
            spikes: vec![Vec::new(); targets],
            coming: VecDeque::new(),
            arrived: Vec::new(),
            eligibility: if eligible.is_some() { vec![T::ZERO; synapses] } else { Vec::new() },
            eligible,
            timing,
            full: None,
        }
    }

    /// Says that each source has a synapse onto each target, in order.
    pub(crate) fn fill(&mut self) {
        if self.eligible.is_none() {
            self.full = Some(Full { total: f64::NAN, ..Full::default() });
        }
    }

    /// Notes the spikes of the targets at a step.
    pub(crate) fn note(&mut self, step: u64, fired: &[u32]) {
        self.coming.extend(fired.iter().map(|&target| (step as i64 + 1, target)));
    }

    /// Moves the targets' traces to a step; must be called for each step in turn, before its spikes are received.
    pub(crate) fn advance(&mut self, step: u64) {
        let nearest = self.timing.pairing == Pairing::Nearest;
        for &target in &self.arrived {
            let mark = &mut self.marks[target as usize];
            if let Some(full) = self.full.as_mut().filter(|_| *mark == [0.0; 2]) {
                full.active.push(target);
                full.touched.push(target);
            }
            *mark = if nearest { [1.0; 2] } else { [mark[0] + 1.0, mark[1] + 1.0] };
        }
        self.arrived.clear();
        let [fast, slow] = [self.minus.over(1), self.slow[1].over(1)];
        match &mut self.full {
            None => {
                for mark in &mut self.marks {
                    *mark = [mark[0] * fast, mark[1] * slow];
                }
            }
            Some(full) => full.active.retain(|&target| {
                let mark = &mut self.marks[target as usize];
                *mark = [mark[0] * fast, mark[1] * slow];
                let stays = mark[0].max(mark[1]) > FAINT;
                if !stays {
                    *mark = [0.0; 2];
                }
                stays
            }),
        }
        let present = step as i64 + 1 - self.delay;
        while let Some(&(stamp, target)) = self.coming.front().filter(|(stamp, _)| *stamp <= present) {
            self.coming.pop_front();
            let n = target as usize;
            let spike = Spike { stamp, slow: self.marks[n][1] };
            match &mut self.full {
                Some(full) => full.log.push(Arrival { spike, target }),
                None => {
                    self.spikes[n].push(spike);
                    self.recent[n] = stamp;
                }
            }
            self.arrived.push(target);
        }
    }

    /// [`Self::receive`] where the block is full.
    pub(crate) fn receive_full(&mut self, step: u64, source: usize, weights: &mut [T]) {
        let stamp = step as i64 + 1;
        self.see_full(source, stamp - self.delay, weights);
        let gone = stamp - self.last[source];
        let slow = self.traces[source][1] * self.slow[0].over(gone);
        for &target in self.full.iter().flat_map(|full| &full.active) {
            let weight = &mut weights[target as usize];
            *weight = T::of(self.timing.rule.shrunk(weight.wide(), self.marks[target as usize][0], slow));
        }
        self.leave(source, stamp, slow);
    }

    /// [`Self::see`] where the block is full.
    fn see_full(&mut self, source: usize, present: i64, weights: &mut [T]) {
        let seen = std::mem::replace(&mut self.seen[source], present);
        let (last, p) = (self.last[source], self.traces[source][0]);
        let Some(full) = self.full.as_ref().filter(|_| p > 0.0) else { return };
        let first = full.log.partition_point(|arrival| arrival.spike.stamp <= seen);
        for Arrival { spike, target } in &full.log[first..] {
            let p = p * self.plus.over(spike.stamp + self.delay - last);
            if p > 0.0 {
                let weight = &mut weights[*target as usize];
                *weight = T::of(self.timing.rule.grown(weight.wide(), p, spike.slow));
            }
        }
    }

    /// What a spike of a source leaves behind.
    fn leave(&mut self, source: usize, stamp: i64, slow: f64) {
        let gone = stamp - self.last[source];
        let fast = match self.timing.pairing {
            Pairing::AllToAll => self.traces[source][0] * self.plus.over(gone) + 1.0,
            Pairing::Nearest => 1.0,
        };
        self.traces[source] = [fast, slow + 1.0];
        self.last[source] = stamp;
    }

    /// Forgets what spikes have left behind, as after a long silence. All synapses must have seen all spikes.
    pub(crate) fn settle(&mut self) {
        self.traces.fill([0.0; 2]);
        self.marks.fill([0.0; 2]);
        self.coming.clear();
        self.arrived.clear();
        self.eligibility.fill(T::ZERO);
        if let Some(full) = &mut self.full {
            full.active.clear();
        }
    }

    /// A spike of a source at a step: changes the weights of its row, whose synapses begin at `start`.
    pub(crate) fn receive(
        &mut self,
        step: u64,
        source: usize,
        start: usize,
        places: &[u16],
        weights: &mut [T],
    ) {
        let stamp = step as i64 + 1;
        let present = stamp - self.delay;
        self.see(source, present, start, places, weights);
        let gone = stamp - self.last[source];
        let slow = self.traces[source][1] * self.slow[0].over(gone);
        for (at, (&place, weight)) in places.iter().zip(weights.iter_mut()).enumerate() {
            let m = self.marks[place as usize][0];
            let w = weight.wide();
            let shrunk = self.timing.rule.shrunk(w, m, slow);
            match self.eligibility.get_mut(start + at) {
                Some(eligibility) => *eligibility += T::of(shrunk - w),
                None => *weight = T::of(shrunk),
            }
        }
        self.leave(source, stamp, slow);
    }

    /// Potentiation by the targets' spikes up to `present`.
    fn see(&mut self, source: usize, present: i64, start: usize, places: &[u16], weights: &mut [T]) {
        let seen = self.seen[source];
        let (last, p) = (self.last[source], self.traces[source][0]);
        if let Some(decay) = &self.eligible {
            let factor = T::of(decay.over(present - seen));
            for eligibility in &mut self.eligibility[start..start + places.len()] {
                *eligibility = *eligibility * factor;
            }
        }
        for (at, (&place, weight)) in places.iter().zip(weights.iter_mut()).enumerate() {
            if self.recent[place as usize] <= seen {
                continue;
            }
            let spikes = &self.spikes[place as usize];
            let first = spikes.iter().rposition(|spike| spike.stamp <= seen).map_or(0, |at| at + 1);
            for spike in &spikes[first..] {
                let p = p * self.plus.over(spike.stamp + self.delay - last);
                let w = weight.wide();
                let grown = self.timing.rule.grown(w, p, spike.slow);
                match (&self.eligible, self.eligibility.get_mut(start + at)) {
                    (Some(decay), Some(eligibility)) => {
                        *eligibility += T::of((grown - w) * decay.over(present - spike.stamp));
                    }
                    _ => *weight = T::of(grown),
                }
            }
        }
        self.seen[source] = present;
    }

    /// Lets all synapses see all spikes that have arrived by a step, and forgets those.
    pub(crate) fn flush(&mut self, step: u64, starts: &[u32], places: &[u16], weights: &mut [T]) {
        let present = step as i64 + 1 - self.delay;
        for (source, ends) in starts.windows(2).enumerate() {
            let row = ends[0] as usize..ends[1] as usize;
            match &self.full {
                Some(full) if full.log.is_empty() => self.seen[source] = present,
                Some(_) => self.see_full(source, present, &mut weights[row]),
                None => self.see(source, present, row.start, &places[row.clone()], &mut weights[row]),
            }
        }
        if let Some(full) = &mut self.full {
            full.log.clear();
        }
        self.spikes.iter_mut().for_each(Vec::clear);
        self.recent.fill(i64::MIN);
    }

    /// Turns eligibility into weights: each changes by `amount` times it.
    pub(crate) fn reward(&mut self, amount: f64, weights: &mut [T]) {
        let most = match self.timing.rule {
            TimingRule::Bounded { w_max, .. } | TimingRule::Triplet { w_max, .. } => w_max,
            TimingRule::PowerLaw { .. } => f64::INFINITY,
        };
        for (weight, eligibility) in weights.iter_mut().zip(&self.eligibility) {
            *weight = T::of((weight.wide() + amount * eligibility.wide()).clamp(0.0, most));
        }
    }

    pub(crate) fn has_eligibility(&self) -> bool {
        self.eligible.is_some()
    }

    /// Bytes of the state.
    pub(crate) fn bytes(&self) -> usize {
        let spikes: usize = self.spikes.iter().map(|spikes| spikes.capacity() * size_of::<Spike>()).sum();
        self.last.capacity() * 32
            + self.marks.capacity() * 48
            + spikes
            + self.eligibility.capacity() * T::BYTES
    }
}

/// Resources of the sources of synapses with short-term plasticity.
pub(crate) struct Resources {
    term: ShortTerm,
    dt_ms: f64,
    /// Of each source: stamp of its last spike, resources x, use u.
    pub(crate) state: Vec<(i64, f64, f64)>,
}

impl Resources {
    pub(crate) fn new(term: ShortTerm, sources: usize, dt_ms: f64) -> Self {
        Self { term, dt_ms, state: vec![(i64::MIN, 1.0, term.u); sources] }
    }

    /// All resources, as after a long silence.
    pub(crate) fn settle(&mut self) {
        self.state.fill((i64::MIN, 1.0, self.term.u));
    }

    /// The factor of the weights for a spike of a source at a step.
    pub(crate) fn factor(&mut self, step: u64, source: usize) -> f64 {
        let stamp = step as i64 + 1;
        let (last, x, u) = &mut self.state[source];
        let is_first = *last == i64::MIN;
        let before = std::mem::replace(last, stamp);
        if is_first {
            return *x * *u;
        }
        let gone = (stamp - before) as f64 * self.dt_ms;
        let recovery = (-gone / self.term.tau_rec_ms).exp();
        let fading = if self.term.tau_fac_ms > 0.0 { (-gone / self.term.tau_fac_ms).exp() } else { 0.0 };
        *x = 1.0 + (*x - *x * *u - 1.0) * recovery;
        *u = self.term.u + *u * (1.0 - self.term.u) * fading;
        *x * *u
    }
}
