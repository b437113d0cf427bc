//! Procedural objects: constructive solid geometry of simple bodies (Ricci 1973; signed distances after Quilez), with exact
//! occupancy, colors, normals and captions. An object is a function of its family and a seed.
//!
//! [`Family::TRAINING`] is for training; [`Family::HELD_OUT`] is built of the same bodies in a way that no other family has, for
//! questions about what was really understood.

mod families;
mod stacks;

pub(crate) use families::COLORS;
pub use families::{Family, Object};
pub use stacks::{Kind, Stack};

use crate::mesh::length;
use crate::{Field, Mesh, surface};

/// A body around the origin; all lengths are positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Body {
    /// A ball of this radius.
    Ball(f64),
    /// A box with these half sides.
    Block([f64; 3]),
    /// A cylinder along y of this radius and half height.
    Cylinder(f64, f64),
    /// A ring around y: the radius of its circle, and of its tube.
    Torus(f64, f64),
    /// A cone along y with its tip up: the radius of its base, and half its height.
    Cone(f64, f64),
}

impl Body {
    /// The distance to the surface, negative inside; for a cone a bound that has the right sign.
    fn distance(&self, [x, y, z]: [f64; 3]) -> f64 {
        let wide = x.hypot(z);
        // Outside of two limits the distance is that to their corner.
        let corner = |a: f64, b: f64| a.max(b).min(0.0) + a.max(0.0).hypot(b.max(0.0));
        match *self {
            Self::Ball(radius) => length([x, y, z]) - radius,
            Self::Block(half) => {
                let over = [x.abs() - half[0], y.abs() - half[1], z.abs() - half[2]];
                length(over.map(|part| part.max(0.0)))
                    + over.into_iter().fold(f64::NEG_INFINITY, f64::max).min(0.0)
            }
            Self::Cylinder(radius, half) => corner(wide - radius, y.abs() - half),
            Self::Torus(radius, tube) => (wide - radius).hypot(y) - tube,
            Self::Cone(radius, half) => {
                // The mantle's line falls by 2 half over radius.
                let slope = (2.0 * half).hypot(radius);
                let mantle = (2.0 * half * wide + radius * (y - half)) / slope;
                mantle.max(-half - y)
            }
        }
    }
}

/// A tree of bodies.
#[derive(Clone, Debug, PartialEq)]
pub enum Solid {
    /// A body of one color (red, green, blue, 0 to 1), turned around z by an angle and moved to a place.
    Part {
        /// The body.
        body: Body,
        /// Where its origin is.
        place: [f64; 3],
        /// Turn around the z axis, in radians, before it is moved.
        turn: f64,
        /// Its color.
        color: [f32; 3],
    },
    /// Everything that is in one of them.
    Union(Vec<Solid>),
    /// What is in the first and not in the second; cut faces have the second's color.
    Difference(Box<Solid>, Box<Solid>),
}

impl Solid {
    /// A distance to the surface that is never too large, negative inside, and the color of the part that decides it.
    #[must_use]
    pub fn distance(&self, at: [f64; 3]) -> (f64, [f32; 3]) {
        match self {
            Self::Part { body, place, turn, color } => {
                let [x, y, z] = [at[0] - place[0], at[1] - place[1], at[2] - place[2]];
                let (sine, cosine) = turn.sin_cos();
                (body.distance([cosine * x + sine * y, cosine * y - sine * x, z]), *color)
            }
            Self::Union(parts) => {
                let all = parts.iter().map(|part| part.distance(at));
                all.fold((f64::INFINITY, [0.0; 3]), |best, own| if own.0 < best.0 { own } else { best })
            }
            Self::Difference(from, cut) => {
                let (own, (other, color)) = (from.distance(at), cut.distance(at));
                if -other > own.0 { (-other, color) } else { own }
            }
        }
    }

    /// Whether a point is inside: exact.
    #[must_use]
    pub fn contains(&self, at: [f64; 3]) -> bool {
        self.distance(at).0 < 0.0
    }

    /// The direction in which the distance grows, of length 1.
    #[must_use]
    pub fn normal(&self, at: [f64; 3]) -> [f64; 3] {
        const STEP: f64 = 1e-5;
        let along = |axis: usize| {
            let moved = |by: f64| {
                let mut point = at;
                point[axis] += by;
                self.distance(point).0
            };
            moved(STEP) - moved(-STEP)
        };
        let slope = [along(0), along(1), along(2)];
        let size = length(slope).max(f64::MIN_POSITIVE);
        slope.map(|part| part / size)
    }

    /// A box around it: smallest and largest coordinates. What is cut away is not left out.
    #[must_use]
    pub fn bounds(&self) -> ([f64; 3], [f64; 3]) {
        match self {
            Self::Part { body, place, turn, .. } => {
                let [a, b, c] = match *body {
                    Body::Ball(radius) => [radius; 3],
                    Body::Block(half) => half,
                    Body::Cylinder(radius, half) | Body::Cone(radius, half) => [radius, half, radius],
                    Body::Torus(radius, tube) => [radius + tube, tube, radius + tube],
                };
                let (sine, cosine) = (turn.sin().abs(), turn.cos().abs());
                let half = match *body {
                    Body::Ball(radius) => [radius; 3],
                    _ => [cosine * a + sine * b, sine * a + cosine * b, c],
                };
                let side = |sign: f64| [0, 1, 2].map(|axis| place[axis] + sign * half[axis]);
                (side(-1.0), side(1.0))
            }
            Self::Union(parts) => parts.iter().map(Self::bounds).fold(
                ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]),
                |all, own| {
                    let axes = [0, 1, 2];
                    (
                        axes.map(|axis| all.0[axis].min(own.0[axis])),
                        axes.map(|axis| all.1[axis].max(own.1[axis])),
                    )
                },
            ),
            Self::Difference(from, _) => from.bounds(),
        }
    }

    /// Its surface within -1 to 1 along each axis, from a grid of `side` samples, with colors.
    #[must_use]
    pub fn mesh(&self, side: usize) -> Mesh {
        let step = 2.0 / (side.max(2) - 1) as f64;
        let at = |index: usize| step * index as f64 - 1.0;
        let value =
            |i: usize| -self.distance([at(i % side), at(i / side % side), at(i / side / side)]).0 as f32;
        let values: Vec<f32> = (0..side.pow(3)).map(value).collect();
        let field = Field { values: &values, size: [side; 3], origin: [-1.0; 3], step: [step as f32; 3] };
        let mut mesh = surface(&field, 0.0);
        mesh.colors =
            mesh.positions.iter().map(|position| self.distance(position.map(f64::from)).1).collect();
        mesh
    }
}

#[cfg(test)]
mod tests;
