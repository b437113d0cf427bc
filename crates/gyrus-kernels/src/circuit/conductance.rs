//! One step of leaky integrate-and-fire neurons whose synapses are conductances.
//!
//! C dV/dt = −g_L (V − E_L) − g_ex (V − E_ex) − g_in (V − E_in) + I. The conductances decay exactly; the potential follows by the
//! classical Runge-Kutta method of fourth order with the conductances at the step's begin, middle and end. As in NEST the potential
//! in the equation is bounded by the threshold and held at the reset while refractory.

use core::ops::Range;

use super::Real;
use super::leaky::{fire, in_blocks};
use crate::base::parallel::vectorized;

/// `IafCondExp` and `IafCondAlpha`; planes are excitatory and inhibitory.
#[derive(Clone, Copy, Debug)]
pub struct ConductanceStep<T> {
    /// Step over capacitance, in ms/pF.
    pub pace: T,
    /// Leak conductance in nS.
    pub leak: T,
    /// Leak conductance times the resting potential, plus the constant current.
    pub drive: T,
    /// Reversal potentials in mV.
    pub reversal: [T; 2],
    /// Factors of the conductances over half a step.
    pub half: [T; 2],
    /// Factors of the conductances over a step.
    pub full: [T; 2],
    /// Half a step and a step in ms where conductances are alpha-shaped, else zeros.
    pub rise: [T; 2],
    /// What a spike of weight 1 adds to the slope (alpha) or to the conductance (exponential).
    pub start: [T; 2],
    /// In mV.
    pub threshold: T,
    /// In mV.
    pub reset: T,
    /// Steps of the refractory period.
    pub refractory: T,
}

impl<T: Real> ConductanceStep<T> {
    /// One step. `slope` is empty for exponential conductances; `thresholds` says one for each neuron in place of
    /// [`Self::threshold`], or is empty. Appends the neurons that fire to `spikes`.
    ///
    /// # Panics
    /// If lengths differ, or alpha-shaped conductances have thresholds of their own.
    pub fn run(
        &self,
        x: [&[T]; 2],
        current: &[T],
        thresholds: &[T],
        v: &mut [T],
        mut slope: [&mut [T]; 2],
        mut g: [&mut [T]; 2],
        left: &mut [T],
        spikes: &mut Vec<u32>,
    ) {
        let count = v.len();
        let alpha = !slope[0].is_empty();
        assert!(
            left.len() == count && x.iter().all(|x| x.len() == count) && g.iter().all(|g| g.len() == count)
        );
        assert!(!alpha || slope.iter().all(|slope| slope.len() == count));
        assert!(current.is_empty() || current.len() == count);
        assert!(thresholds.is_empty() || thresholds.len() == count && !alpha);
        vectorized(
            #[inline(always)]
            || {
                in_blocks(
                    count,
                    spikes,
                    #[inline(always)]
                    |range: Range<usize>, fired: &mut [bool]| {
                        let x = x.map(|x| &x[range.clone()]);
                        let g = g.each_mut().map(|g| &mut g[range.clone()]);
                        let (v, left) = (&mut v[range.clone()], &mut left[range.clone()]);
                        let current = (!current.is_empty()).then(|| &current[range.clone()]);
                        if alpha {
                            let slope = slope.each_mut().map(|slope| &mut slope[range.clone()]);
                            self.alpha(x, current, v, slope, g, left, fired);
                        } else if thresholds.is_empty() {
                            self.exponential(x, current, None, v, g, left, fired);
                        } else {
                            self.exponential(x, current, Some(&thresholds[range]), v, g, left, fired);
                        }
                    },
                );
            },
        );
    }

    /// The potential after a step, from the conductances at its begin, middle and end.
    #[inline(always)]
    fn moved(&self, v: T, current: T, threshold: T, g: [[T; 2]; 3]) -> T {
        let half = T::of(0.5);
        let slope = |v: T, g: [T; 2]| {
            let v = v.least(threshold);
            let pull = g[0].fused(self.reversal[0], g[1].fused(self.reversal[1], self.drive + current));
            let total = self.leak + g[0] + g[1];
            (pull - total * v) * self.pace
        };
        let a = slope(v, g[0]);
        let b = slope(half.fused(a, v), g[1]);
        let c = slope(half.fused(b, v), g[1]);
        let d = slope(v + c, g[2]);
        v + (a + d + (b + c) * T::of(2.0)) * T::of(1.0 / 6.0)
    }

    #[inline(always)]
    fn exponential(
        &self,
        x: [&[T]; 2],
        current: Option<&[T]>,
        thresholds: Option<&[T]>,
        v: &mut [T],
        g: [&mut [T]; 2],
        left: &mut [T],
        fired: &mut [bool],
    ) {
        let count = fired.len();
        let x = x.map(|x| &x[..count]);
        let (v, left) = (&mut v[..count], &mut left[..count]);
        let [excitatory, inhibitory] = g.map(|g| &mut g[..count]);
        for n in 0..count {
            let current = current.map_or(T::ZERO, |current| current[n]);
            let threshold = thresholds.map_or(self.threshold, |thresholds| thresholds[n]);
            let begin = [excitatory[n], inhibitory[n]];
            let middle = [begin[0] * self.half[0], begin[1] * self.half[1]];
            let end = [begin[0] * self.full[0], begin[1] * self.full[1]];
            let moved = self.moved(v[n], current, threshold, [begin, middle, end]);
            excitatory[n] = end[0] + x[0][n];
            inhibitory[n] = end[1] + x[1][n];
            fired[n] = fire(moved, threshold, self.reset, self.refractory, &mut v[n], &mut left[n]);
        }
    }

    #[inline(always)]
    fn alpha(
        &self,
        x: [&[T]; 2],
        current: Option<&[T]>,
        v: &mut [T],
        slope: [&mut [T]; 2],
        g: [&mut [T]; 2],
        left: &mut [T],
        fired: &mut [bool],
    ) {
        let count = fired.len();
        let x = x.map(|x| &x[..count]);
        let (v, left) = (&mut v[..count], &mut left[..count]);
        let slope = slope.map(|slope| &mut slope[..count]);
        let g = g.map(|g| &mut g[..count]);
        for n in 0..count {
            let current = current.map_or(T::ZERO, |current| current[n]);
            let begin = [g[0][n], g[1][n]];
            let (mut middle, mut end) = ([T::ZERO; 2], [T::ZERO; 2]);
            for plane in 0..2 {
                let slope = &mut slope[plane][n];
                middle[plane] = self.half[plane] * self.rise[0].fused(*slope, begin[plane]);
                end[plane] = self.full[plane] * self.rise[1].fused(*slope, begin[plane]);
                *slope = self.full[plane].fused(*slope, self.start[plane] * x[plane][n]);
            }
            let moved = self.moved(v[n], current, self.threshold, [begin, middle, end]);
            g[0][n] = end[0];
            g[1][n] = end[1];
            fired[n] = fire(moved, self.threshold, self.reset, self.refractory, &mut v[n], &mut left[n]);
        }
    }
}
