//! One step of leaky integrate-and-fire neurons by exact integration (Rotter & Diesmann 1999, Biol. Cybern. 81:381): delta,
//! exponential and alpha-shaped currents. Potentials are relative to rest.
//!
//! The order within a step is NEST's: a neuron that is not refractory moves by its propagators, synaptic currents decay and
//! take the spikes that arrive, and a potential at or above the threshold becomes a spike and the reset potential.

use core::ops::Range;

use super::Real;
use crate::base::parallel::vectorized;

/// Neurons whose spikes are noted before they are listed.
const BLOCK: usize = 64;

/// Lists the neurons of a block that fired.
#[inline(always)]
fn list(fired: &[bool; BLOCK], first: usize, count: usize, spikes: &mut Vec<u32>) {
    let any = fired.iter().fold(false, |any, &fires| any | fires);
    if any {
        let fired = fired[..count].iter().enumerate().filter(|(_, fires)| **fires);
        spikes.extend(fired.map(|(place, _)| (first + place) as u32));
    }
}

/// Calls `step` with a range of neurons at a time and what to say of each, and lists those that fired.
#[inline(always)]
pub(super) fn in_blocks(
    count: usize,
    spikes: &mut Vec<u32>,
    mut step: impl FnMut(Range<usize>, &mut [bool]),
) {
    let mut first = 0;
    while first < count {
        let length = BLOCK.min(count - first);
        let mut fired = [false; BLOCK];
        step(first..first + length, &mut fired[..length]);
        list(&fired, first, length, spikes);
        first += length;
    }
}

/// After a potential has moved: spike, reset, refractoriness.
#[inline(always)]
pub(super) fn fire<T: Real>(moved: T, threshold: T, reset: T, steps: T, v: &mut T, left: &mut T) -> bool {
    let free = *left <= T::ZERO;
    let u = if free { moved } else { *v };
    let waits = if free { T::ZERO } else { *left - T::ONE };
    let fires = u >= threshold;
    *v = if fires { reset } else { u };
    *left = if fires { steps } else { waits };
    fires
}

/// `IafPscDelta`: dV/dt = −V/τ + I/C, and V jumps by the weight of a spike.
#[derive(Clone, Copy, Debug)]
pub struct DeltaStep<T> {
    /// Factor of the potential.
    pub decay: T,
    /// Factor of a current.
    pub gain: T,
    /// Constant current times `gain`.
    pub drive: T,
    /// Relative to rest.
    pub threshold: T,
    /// Relative to rest.
    pub reset: T,
    /// Steps of the refractory period.
    pub refractory: T,
}

impl<T: Real> DeltaStep<T> {
    /// One step. `x`: sums of spikes; `current`: one a neuron, or empty; `left`: steps still refractory. Appends the neurons
    /// that fire to `spikes`.
    pub fn run(&self, x: &[T], current: &[T], v: &mut [T], left: &mut [T], spikes: &mut Vec<u32>) {
        assert!(x.len() == v.len() && left.len() == v.len());
        assert!(current.is_empty() || current.len() == v.len());
        vectorized(
            #[inline(always)]
            || match current.is_empty() {
                true => self.blocks::<false>(x, x, v, left, spikes),
                false => self.blocks::<true>(x, current, v, left, spikes),
            },
        );
    }

    #[inline(always)]
    fn blocks<const CURRENT: bool>(
        &self,
        x: &[T],
        current: &[T],
        v: &mut [T],
        left: &mut [T],
        spikes: &mut Vec<u32>,
    ) {
        let one = |x: T, i: T, v: &mut T, left: &mut T| {
            let drive = if CURRENT { self.gain.fused(i, self.drive) } else { self.drive };
            let moved = self.decay.fused(*v, drive + x);
            fire(moved, self.threshold, self.reset, self.refractory, v, left)
        };
        let rows = x.chunks(BLOCK).zip(current.chunks(BLOCK));
        let states = v.chunks_mut(BLOCK).zip(left.chunks_mut(BLOCK));
        for (block, ((x, i), (v, left))) in rows.zip(states).enumerate() {
            let mut fired = [false; BLOCK];
            let count = v.len();
            for (place, fired) in fired[..count].iter_mut().enumerate() {
                *fired = one(x[place], i[place], &mut v[place], &mut left[place]);
            }
            list(&fired, block * BLOCK, count, spikes);
        }
    }
}

/// `IafPscExp`: currents that decay exponentially; one synaptic current where both receptors decay alike, else two.
#[derive(Clone, Copy, Debug)]
pub struct ExponentialStep<T> {
    /// Factor of the potential.
    pub decay: T,
    /// Factor of a current from outside.
    pub gain: T,
    /// Constant current times `gain`.
    pub drive: T,
    /// Factors of the synaptic currents in the potential.
    pub reach: [T; 2],
    /// Factors of the synaptic currents themselves.
    pub fade: [T; 2],
    /// Relative to rest.
    pub threshold: T,
    /// Relative to rest.
    pub reset: T,
    /// Steps of the refractory period.
    pub refractory: T,
}

impl<T: Real> ExponentialStep<T> {
    /// One step, as [`DeltaStep::run`]; `x` and `i` have one or two planes of the neurons.
    pub fn run<const PLANES: usize>(
        &self,
        x: [&[T]; PLANES],
        current: &[T],
        v: &mut [T],
        i: [&mut [T]; PLANES],
        left: &mut [T],
        spikes: &mut Vec<u32>,
    ) {
        let count = v.len();
        assert!(
            left.len() == count && x.iter().all(|x| x.len() == count) && i.iter().all(|i| i.len() == count)
        );
        assert!(current.is_empty() || current.len() == count);
        let mut i = i;
        vectorized(
            #[inline(always)]
            || {
                in_blocks(
                    count,
                    spikes,
                    #[inline(always)]
                    |range: Range<usize>, fired: &mut [bool]| {
                        let x = x.map(|x| &x[range.clone()]);
                        let i = i.each_mut().map(|i| &mut i[range.clone()]);
                        let (v, left) = (&mut v[range.clone()], &mut left[range.clone()]);
                        if current.is_empty() {
                            self.block(x, None, v, i, left, fired);
                        } else {
                            self.block(x, Some(&current[range]), v, i, left, fired);
                        }
                    },
                );
            },
        );
    }

    #[inline(always)]
    fn block<const PLANES: usize>(
        &self,
        x: [&[T]; PLANES],
        current: Option<&[T]>,
        v: &mut [T],
        i: [&mut [T]; PLANES],
        left: &mut [T],
        fired: &mut [bool],
    ) {
        let count = fired.len();
        let x = x.map(|x| &x[..count]);
        let (v, left) = (&mut v[..count], &mut left[..count]);
        let i = i.map(|i| &mut i[..count]);
        for n in 0..count {
            let drive = match current {
                Some(current) => self.gain.fused(current[n], self.drive),
                None => self.drive,
            };
            let mut moved = self.decay.fused(v[n], drive);
            for plane in 0..PLANES {
                moved = self.reach[plane].fused(i[plane][n], moved);
                i[plane][n] = self.fade[plane].fused(i[plane][n], x[plane][n]);
            }
            fired[n] = fire(moved, self.threshold, self.reset, self.refractory, &mut v[n], &mut left[n]);
        }
    }
}

/// `IafPscAlpha`: currents of the shape t·exp(−t/τ).
#[derive(Clone, Copy, Debug)]
pub struct AlphaStep<T> {
    /// Factor of the potential, less one: exp(−h/τ) − 1.
    pub leak: T,
    /// Factor of a current from outside.
    pub gain: T,
    /// Constant current times `gain`.
    pub drive: T,
    /// Factors of the currents' slopes and of the currents in the potential.
    pub reach: [[T; 2]; 2],
    /// Factors of the currents and of their slopes.
    pub fade: [T; 2],
    /// Factors of the slopes in the currents.
    pub rise: [T; 2],
    /// Slope at the arrival of a spike of weight 1.
    pub start: [T; 2],
    /// Relative to rest.
    pub threshold: T,
    /// Relative to rest.
    pub reset: T,
    /// Steps of the refractory period.
    pub refractory: T,
}

impl<T: Real> AlphaStep<T> {
    /// One step, as [`ExponentialStep::run`]; `slope` and `i` are the currents' states.
    pub fn run<const PLANES: usize>(
        &self,
        x: [&[T]; PLANES],
        current: &[T],
        v: &mut [T],
        mut slope: [&mut [T]; PLANES],
        mut i: [&mut [T]; PLANES],
        left: &mut [T],
        spikes: &mut Vec<u32>,
    ) {
        let count = v.len();
        assert!(left.len() == count && x.iter().all(|x| x.len() == count));
        assert!(i.iter().all(|i| i.len() == count) && slope.iter().all(|slope| slope.len() == count));
        assert!(current.is_empty() || current.len() == count);
        vectorized(
            #[inline(always)]
            || {
                in_blocks(
                    count,
                    spikes,
                    #[inline(always)]
                    |range: Range<usize>, fired: &mut [bool]| {
                        let x = x.map(|x| &x[range.clone()]);
                        let slope = slope.each_mut().map(|slope| &mut slope[range.clone()]);
                        let i = i.each_mut().map(|i| &mut i[range.clone()]);
                        let (v, left) = (&mut v[range.clone()], &mut left[range.clone()]);
                        let current = (!current.is_empty()).then(|| &current[range]);
                        self.block(x, current, v, (slope, i), left, fired);
                    },
                );
            },
        );
    }

    #[inline(always)]
    fn block<const PLANES: usize>(
        &self,
        x: [&[T]; PLANES],
        current: Option<&[T]>,
        v: &mut [T],
        (slope, i): ([&mut [T]; PLANES], [&mut [T]; PLANES]),
        left: &mut [T],
        fired: &mut [bool],
    ) {
        let count = fired.len();
        let x = x.map(|x| &x[..count]);
        let (v, left) = (&mut v[..count], &mut left[..count]);
        let slope = slope.map(|slope| &mut slope[..count]);
        let i = i.map(|i| &mut i[..count]);
        for n in 0..count {
            let drive = match current {
                Some(current) => self.gain.fused(current[n], self.drive),
                None => self.drive,
            };
            let mut moved = drive;
            for plane in 0..PLANES {
                let [of_slope, of_current] = self.reach[plane];
                moved = of_slope.fused(slope[plane][n], of_current.fused(i[plane][n], moved));
                i[plane][n] = self.rise[plane].fused(slope[plane][n], self.fade[plane] * i[plane][n]);
                slope[plane][n] = self.fade[plane].fused(slope[plane][n], self.start[plane] * x[plane][n]);
            }
            let moved = v[n] + self.leak.fused(v[n], moved);
            fired[n] = fire(moved, self.threshold, self.reset, self.refractory, &mut v[n], &mut left[n]);
        }
    }
}
