//! Spikes through synapses: each spike adds the weights of its source's row to the sums of the targets.
//!
//! A row is a list of places in the sums, two bytes each where all synapses have one delay, four where delays differ and the
//! place says the step too. The sums of one step stay in the first-level cache, those of all steps to come in the second-level one;
//! rows come from memory once a spike, and the next spike's row is asked for while one is added.

use super::Real;
use crate::base::parallel::vectorized;

/// The synapses of many sources onto one part, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T, P> {
    /// Begin of each row, and the end of the last one.
    pub starts: &'a [u32],
    /// Place of each synapse's target in the sums.
    pub places: &'a [P],
    /// Weight of each synapse; empty if all have `weight`.
    pub weights: &'a [T],
    /// Weight of all synapses.
    pub weight: T,
}

/// Spikes ahead whose rows are asked for.
const AHEAD: usize = 2;
/// Cache lines of a row that are asked for; the processor follows on its own.
const LINES: usize = 4;

/// Adds the rows of the spikes `sources`, counted from `first`, to `sums`, whose length is a power of two: place p of a row
/// means `sums[(base + p) mod length]`. Returns the number of synaptic events.
///
/// # Panics
/// If a source has no row, a row lies outside of the synapses, or the length of `sums` is not a power of two.
pub fn deliver<T: Real, P: Copy + Into<u32>>(
    rows: Rows<'_, T, P>,
    sources: &[u32],
    first: u32,
    base: usize,
    sums: &mut [T],
) -> u64 {
    assert!(sums.len().is_power_of_two(), "sums of {} places", sums.len());
    let mask = sums.len() - 1;
    let mut events = 0;
    for (index, &source) in sources.iter().enumerate() {
        if let Some(&next) = sources.get(index + AHEAD) {
            ask_for(&rows, (next - first) as usize);
        }
        let source = (source - first) as usize;
        let row = rows.starts[source] as usize..rows.starts[source + 1] as usize;
        events += row.len() as u64;
        let places = &rows.places[row.clone()];
        if rows.weights.is_empty() {
            add_one(sums, (base, mask), places, rows.weight);
        } else {
            add_each(sums, (base, mask), places, &rows.weights[row]);
        }
    }
    events
}

/// Adds a row of weights, one for each of the sums.
///
/// # Panics
/// If the lengths differ.
pub fn deliver_row<T: Real>(weights: &[T], sums: &mut [T]) {
    assert_eq!(weights.len(), sums.len(), "a weight for each sum");
    vectorized(
        #[inline(always)]
        || {
            for (sum, &weight) in sums.iter_mut().zip(weights) {
                *sum += weight;
            }
        },
    );
}

#[inline(always)]
fn ask_for<T, P>(rows: &Rows<'_, T, P>, source: usize) {
    let start = rows.starts[source] as usize;
    let fetch = |place: *const u8| {
        for line in 0..LINES {
            crate::base::parallel::prefetch(place.wrapping_add(line * 64).cast());
        }
    };
    fetch(rows.places.as_ptr().wrapping_add(start).cast());
    if !rows.weights.is_empty() {
        fetch(rows.weights.as_ptr().wrapping_add(start).cast());
    }
}

#[inline(always)]
fn add_one<T: Real, P: Copy + Into<u32>>(
    sums: &mut [T],
    (base, mask): (usize, usize),
    places: &[P],
    weight: T,
) {
    let mut add = |place: P| {
        let place = base.wrapping_add(place.into() as usize) & mask;
        // SAFETY: `mask` is the length, a power of two, less one.
        unsafe { *sums.get_unchecked_mut(place) += weight };
    };
    let (eights, rest) = places.as_chunks::<8>();
    for eight in eights {
        for &place in eight {
            add(place);
        }
    }
    for &place in rest {
        add(place);
    }
}

#[inline(always)]
fn add_each<T: Real, P: Copy + Into<u32>>(
    sums: &mut [T],
    (base, mask): (usize, usize),
    places: &[P],
    weights: &[T],
) {
    let mut add = |place: P, weight: T| {
        let place = base.wrapping_add(place.into() as usize) & mask;
        // SAFETY: `mask` is the length, a power of two, less one.
        unsafe { *sums.get_unchecked_mut(place) += weight };
    };
    let (eights, rest) = places.as_chunks::<8>();
    let (weights, last) = weights.as_chunks::<8>();
    for (places, weights) in eights.iter().zip(weights) {
        for (&place, &weight) in places.iter().zip(weights) {
            add(place, weight);
        }
    }
    for (&place, &weight) in rest.iter().zip(last) {
        add(place, weight);
    }
}
