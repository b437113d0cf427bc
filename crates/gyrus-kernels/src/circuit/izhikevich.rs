//! One step of Izhikevich's neuron (2003, IEEE Trans. Neural Netw. 14:1569) by the forward Euler method, as NEST's
//! `izhikevich` with consistent integration: v' = 0.04 v² + 5 v + 140 − u + I, u' = a (b v − u); spikes add to v.

use core::ops::Range;

use super::Real;
use super::leaky::in_blocks;
use crate::base::parallel::vectorized;

/// `Izhikevich`.
#[derive(Clone, Copy, Debug)]
pub struct IzhikevichStep<T> {
    /// Length of the step in ms.
    pub dt: T,
    /// Rate of the recovery.
    pub a: T,
    /// Sensitivity of the recovery to the potential.
    pub b: T,
    /// Potential after a spike.
    pub c: T,
    /// What a spike adds to the recovery.
    pub d: T,
    /// Constant current.
    pub drive: T,
    /// Potential of a spike.
    pub threshold: T,
}

impl<T: Real> IzhikevichStep<T> {
    /// One step: `x` sums of spikes, `current` one a neuron or empty, `v` and `u` the state. Appends the neurons that fire.
    pub fn run(&self, x: &[T], current: &[T], v: &mut [T], u: &mut [T], spikes: &mut Vec<u32>) {
        let count = v.len();
        assert!(x.len() == count && u.len() == count && (current.is_empty() || current.len() == count));
        vectorized(
            #[inline(always)]
            || {
                in_blocks(
                    count,
                    spikes,
                    #[inline(always)]
                    |range: Range<usize>, fired: &mut [bool]| {
                        for (n, fired) in range.zip(fired) {
                            let i = if current.is_empty() { T::ZERO } else { current[n] };
                            let (before, recovery) = (v[n], u[n]);
                            let square = T::of(0.04) * before * before;
                            let change =
                                square + T::of(5.0) * before + T::of(140.0) - recovery + i + self.drive;
                            let moved = before + self.dt * change + x[n];
                            let slower = recovery + self.dt * self.a * (self.b * before - recovery);
                            let fires = moved >= self.threshold;
                            v[n] = if fires { self.c } else { moved };
                            u[n] = if fires { slower + self.d } else { slower };
                            *fired = fires;
                        }
                    },
                );
            },
        );
    }
}
