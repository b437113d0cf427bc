//! Numbers that `f32` holds exactly: multiples of a power of two within a bound.

/// Whole numbers with up to this many bits are exact in `f32`, with one bit to spare.
pub(super) const EXACT_BITS: i32 = 23;
/// The input is rounded to multiples of 2^−8.
pub(super) const INPUT_FRACTION_BITS: u32 = 8;
/// Bits of a weight without its sign: as many as possible, fewer if sums would grow too large.
pub(super) const WEIGHT_BITS: std::ops::RangeInclusive<i32> = 5..=12;

/// A range of exact numbers: multiples of 2^−`fraction`, at most `bound` in magnitude.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) bound: f64,
    pub(super) fraction: i32,
}

impl Range {
    /// Bits of the largest number, counted in multiples.
    pub(super) fn bits(self) -> i32 {
        self.bound.max(f64::MIN_POSITIVE).log2().ceil() as i32 + self.fraction
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { bound: self.bound + other.bound, fraction: self.fraction.max(other.fraction) }
    }
}

pub(super) fn on_grid(x: f64, fraction: i32) -> f32 {
    let scale = f64::from(fraction).exp2();
    ((x * scale).round() / scale) as f32
}
