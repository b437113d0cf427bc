//! What every kernel builds on: the register tile, the thread pool and its scratch memory, bits and masks, fast `exp`
//! and kin, sums in a fixed order, random numbers.
//!
//! Nothing here knows what is being computed. Start with [`tile`] (the inner loop of every product) and [`parallel`]
//! (how work becomes tasks).

pub(crate) mod bits;
pub(crate) mod epilogue;
pub(crate) mod math;
pub(crate) mod parallel;
pub(crate) mod random;
pub(crate) mod sums;
pub(crate) mod tile;
