//! Threads that run a circuit together: each owns some parts for the whole run, and all meet once a pass.
//!
//! A pass may be a single step of a few microseconds, so threads wait by spinning first, and give up their processor only if
//! that takes long. What a thread computes does not depend on which parts it owns.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Turns of waiting before the processor is offered to others: some microseconds, a share of a pass. A partner that has lost its
/// processor to another program does not come back sooner for being waited for.
const SPINS: u32 = 100;

/// Where the threads of a team meet.
pub(crate) struct Barrier {
    members: usize,
    arrived: AtomicUsize,
    round: AtomicUsize,
}

impl Barrier {
    pub(crate) fn new(members: usize) -> Self {
        Self { members, arrived: AtomicUsize::new(0), round: AtomicUsize::new(0) }
    }

    /// Returns when all members have called it.
    pub(crate) fn wait(&self) {
        if self.members == 1 {
            return;
        }
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.members {
            self.arrived.store(0, Ordering::Release);
            self.round.store(round.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut turns = 0u32;
        while self.round.load(Ordering::Acquire) == round {
            turns += 1;
            if turns < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

/// Divides parts of the given costs between members, the costly ones first, each to the one with the least.
pub(crate) fn divide(costs: &[u64], members: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..costs.len()).collect();
    order.sort_by_key(|&part| core::cmp::Reverse(costs[part]));
    let mut loads = vec![(0u64, Vec::new()); members];
    for part in order {
        if let Some((load, parts)) = loads.iter_mut().min_by_key(|(load, _)| *load) {
            *load += costs[part];
            parts.push(part);
        }
    }
    loads.into_iter().map(|(_, parts)| parts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_meet_each_round() {
        let (barrier, count) = (Barrier::new(3), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for round in 1..=200 {
                        count.fetch_add(1, Ordering::SeqCst);
                        barrier.wait();
                        assert_eq!(count.load(Ordering::SeqCst), 3 * round);
                        barrier.wait();
                    }
                });
            }
        });
    }

    #[test]
    fn costs_are_spread() {
        let shares = divide(&[5, 5, 5, 3, 3, 1], 2);
        let load = |parts: &[usize]| parts.iter().map(|&part| [5, 5, 5, 3, 3, 1][part]).sum::<u64>();
        assert_eq!((load(&shares[0]), load(&shares[1])), (11, 11));
    }
}
