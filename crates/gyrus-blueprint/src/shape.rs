//! The extents of an activation or a parameter, in NIR and PyTorch order and without the batch axis:
//! `[features]`, `[channels, length]`, `[channels, height, width]`.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// Extents of one sample's activation, or of one parameter. Reads as a slice of `usize`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(pub Vec<usize>);

impl Shape {
    /// The number of elements, or `None` where it does not fit in a `usize`.
    pub fn elements(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent))
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl<const RANK: usize> From<[usize; RANK]> for Shape {
    fn from(extents: [usize; RANK]) -> Self {
        Self(extents.to_vec())
    }
}

impl From<&[usize]> for Shape {
    fn from(extents: &[usize]) -> Self {
        Self(extents.to_vec())
    }
}

impl From<Vec<usize>> for Shape {
    fn from(extents: Vec<usize>) -> Self {
        Self(extents)
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}
