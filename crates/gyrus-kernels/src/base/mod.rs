//! What every kernel stands on.

pub(crate) mod bits;
pub(crate) mod math;
pub(crate) mod parallel;
pub(crate) mod random;
pub(crate) mod sums;
pub(crate) mod tile;
