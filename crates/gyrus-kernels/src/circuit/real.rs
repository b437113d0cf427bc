//! Single and double precision under one name.

use core::fmt::Debug;
use core::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// A number of a circuit: `f32` or `f64`.
pub trait Real:
    Copy
    + Default
    + PartialEq
    + PartialOrd
    + Debug
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + 'static
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Bytes of a number.
    const BYTES: usize;

    /// The nearest number.
    fn of(value: f64) -> Self;
    /// The same number in double precision.
    fn wide(self) -> f64;
    /// A small whole number.
    fn count(value: u32) -> Self;
    /// self · a + b, rounded once.
    #[must_use]
    fn fused(self, a: Self, b: Self) -> Self;
    /// The smaller one.
    #[must_use]
    fn least(self, other: Self) -> Self;
    /// Little-endian bytes.
    fn write(self, bytes: &mut Vec<u8>);
    /// The number of [`Real::write`].
    fn read(bytes: &[u8]) -> Option<Self>;
}

macro_rules! real {
    ($type:ty) => {
        impl Real for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const BYTES: usize = size_of::<$type>();

            #[inline(always)]
            fn of(value: f64) -> Self {
                value as $type
            }

            #[inline(always)]
            fn wide(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn count(value: u32) -> Self {
                value as $type
            }

            #[inline(always)]
            fn fused(self, a: Self, b: Self) -> Self {
                self.mul_add(a, b)
            }

            #[inline(always)]
            fn least(self, other: Self) -> Self {
                if self < other { self } else { other }
            }

            fn write(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }

            fn read(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(<$type>::from_le_bytes)
            }
        }
    };
}

real!(f32);
real!(f64);
