//! Families of objects, their parameters and captions.

use super::{Body, Solid};
use crate::compare::uniform;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A plate on four legs.
    Table,
    /// A seat on four legs with a back.
    Chair,
    /// A hollow cylinder with a handle.
    Mug,
    /// Two balls on a bar.
    Dumbbell,
    /// Three balls on each other.
    Snowman,
    /// A ring that lies on a block.
    RingOnBlock,
    /// A cone on a pole on a foot.
    Lamp,
    /// A block with a round passage.
    Arch,
    /// One body on another: see [`super::Stack`].
    Stack,
}

/// An object within -0.9 to 0.9 along each axis, y up.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its family.
    pub family: Family,
    /// What a person would say, such as "a red table with blue legs".
    pub caption: String,
    /// Its shape and colors.
    pub solid: Solid,
}

/// Colors with names.
pub(crate) const COLORS: [(&str, [f32; 3]); 8] = [
    ("red", [0.8, 0.13, 0.12]),
    ("green", [0.16, 0.6, 0.22]),
    ("blue", [0.15, 0.3, 0.8]),
    ("yellow", [0.92, 0.78, 0.15]),
    ("orange", [0.93, 0.5, 0.12]),
    ("purple", [0.5, 0.2, 0.6]),
    ("white", [0.93, 0.93, 0.92]),
    ("gray", [0.45, 0.46, 0.48]),
];

/// The article before a color.
pub(super) fn article(color: &str) -> &'static str {
    if color.starts_with('o') { "an" } else { "a" }
}

/// Random numbers of one object.
pub(super) struct Draws {
    pub(super) seed: u64,
    pub(super) next: u64,
}

impl Draws {
    pub(super) fn within(&mut self, low: f64, high: f64) -> f64 {
        self.next += 1;
        low + (high - low) * uniform(self.seed, self.next)
    }

    /// Two different colors.
    pub(super) fn colors(&mut self) -> [(&'static str, [f32; 3]); 2] {
        let first = self.within(0.0, COLORS.len() as f64) as usize;
        let step = 1 + self.within(0.0, (COLORS.len() - 1) as f64) as usize;
        [first, first + step].map(|index| COLORS[index % COLORS.len()])
    }
}

pub(super) fn part(body: Body, place: [f64; 3], color: [f32; 3]) -> Solid {
    Solid::Part { body, place, turn: 0.0, color }
}

fn turned(body: Body, place: [f64; 3], turn: f64, color: [f32; 3]) -> Solid {
    Solid::Part { body, place, turn, color }
}

impl Family {
    /// Families to train on.
    pub const TRAINING: [Self; 7] =
        [Self::Table, Self::Chair, Self::Mug, Self::Dumbbell, Self::Snowman, Self::RingOnBlock, Self::Lamp];
    /// The family that training never sees.
    pub const HELD_OUT: Self = Self::Arch;

    /// The object of a seed.
    #[must_use]
    pub fn object(self, seed: u64) -> Object {
        let mut draws = Draws { seed: seed ^ (self as u64) << 56, next: 0 };
        let [(one, a), (two, b)] = draws.colors();
        let [first, second] = [article(one), article(two)];
        let legs = |wide: f64, deep: f64, top: f64, thick: f64| {
            let half = 0.5 * (top + 0.8);
            [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)].map(|(x, z)| {
                let place = [x * (wide - thick), half - 0.8, z * (deep - thick)];
                part(Body::Block([thick, half, thick]), place, b)
            })
        };
        let (caption, solid) = match self {
            Self::Table => {
                let (wide, deep) = (draws.within(0.45, 0.85), draws.within(0.35, 0.65));
                let (top, thick) = (draws.within(-0.2, 0.4), draws.within(0.05, 0.1));
                let mut parts = vec![part(Body::Block([wide, 0.07, deep]), [0.0, top, 0.0], a)];
                parts.extend(legs(wide, deep, top, thick));
                (format!("{first} {one} table with {two} legs"), Solid::Union(parts))
            }
            Self::Chair => {
                let (wide, seat) = (draws.within(0.35, 0.55), draws.within(-0.35, 0.0));
                let (back, thick) = (draws.within(0.3, 0.42), draws.within(0.05, 0.08));
                let mut parts = vec![
                    part(Body::Block([wide, 0.07, wide]), [0.0, seat, 0.0], a),
                    part(Body::Block([wide, back, 0.07]), [0.0, seat + back, 0.07 - wide], a),
                ];
                parts.extend(legs(wide, wide, seat, thick));
                (format!("{first} {one} chair with {two} legs"), Solid::Union(parts))
            }
            Self::Mug => {
                let (radius, half) = (draws.within(0.3, 0.5), draws.within(0.35, 0.6));
                let wall = draws.within(0.06, 0.1);
                let handle = Solid::Union(ring(0.55 * half, 0.07, [radius, 0.0, 0.0], b));
                let outside = Solid::Union(vec![part(Body::Cylinder(radius, half), [0.0; 3], a), handle]);
                let hollow = part(Body::Cylinder(radius - wall, half), [0.0, 2.0 * wall, 0.0], a);
                let solid = Solid::Difference(Box::new(outside), Box::new(hollow));
                (format!("{first} {one} mug with {second} {two} handle"), solid)
            }
            Self::Dumbbell => {
                let (left, right) = (draws.within(0.18, 0.35), draws.within(0.18, 0.35));
                let bar = turned(
                    Body::Cylinder(draws.within(0.07, 0.12), 0.5),
                    [0.0; 3],
                    0.5 * std::f64::consts::PI,
                    b,
                );
                let ball = |radius: f64, side: f64| part(Body::Ball(radius), [0.5 * side, 0.0, 0.0], a);
                let solid = Solid::Union(vec![bar, ball(left, -1.0), ball(right, 1.0)]);
                (format!("{first} {one} dumbbell with {second} {two} bar"), solid)
            }
            Self::Snowman => {
                let (low, middle, top) =
                    (draws.within(0.35, 0.42), draws.within(0.26, 0.32), draws.within(0.17, 0.22));
                let base = low - 0.85;
                let body = base + 0.85 * low + 0.85 * middle;
                let head = body + 0.85 * middle + 0.85 * top;
                let ball =
                    |radius: f64, y: f64, color: [f32; 3]| part(Body::Ball(radius), [0.0, y, 0.0], color);
                let solid = Solid::Union(vec![ball(low, base, a), ball(middle, body, a), ball(top, head, b)]);
                (format!("{first} {one} snowman with {second} {two} head"), solid)
            }
            Self::RingOnBlock => {
                let (side, half) = (draws.within(0.45, 0.7), draws.within(0.15, 0.35));
                let (radius, tube) = (draws.within(0.28, 0.4), draws.within(0.09, 0.13));
                let solid = Solid::Union(vec![
                    part(Body::Block([side, half, side]), [0.0, half - 0.8, 0.0], b),
                    part(Body::Torus(radius, tube), [0.0, 2.0 * half - 0.8 + 0.8 * tube, 0.0], a),
                ]);
                (format!("{first} {one} torus on {second} {two} box"), solid)
            }
            Self::Lamp => {
                let (foot, shade) = (draws.within(0.25, 0.4), draws.within(0.3, 0.55));
                let (pole, high) = (draws.within(0.05, 0.08), draws.within(0.2, 0.35));
                let solid = Solid::Union(vec![
                    part(Body::Cylinder(foot, 0.06), [0.0, -0.8, 0.0], b),
                    part(Body::Cylinder(pole, 0.7), [0.0, -0.1, 0.0], b),
                    part(Body::Cone(shade, high), [0.0, 0.85 - high, 0.0], a),
                ]);
                (format!("{} {two} lamp with {first} {one} shade", article(two)), solid)
            }
            Self::Stack => {
                let pairs = super::Stack::SEEN;
                let pair = draws.within(0.0, pairs.len() as f64) as usize;
                return pairs[pair % pairs.len()].object(seed);
            }
            Self::Arch => {
                let (wide, high) = (draws.within(0.5, 0.8), draws.within(0.4, 0.7));
                let (deep, radius) = (draws.within(0.2, 0.5), draws.within(0.25, 0.38));
                let passage = Solid::Union(vec![
                    part(Body::Block([radius, high, 1.0]), [0.0, -high - 0.05, 0.0], b),
                    across(radius, [0.0, -0.05, 0.0], b),
                ]);
                let block = part(Body::Block([wide, high, deep]), [0.0; 3], a);
                (
                    format!("{first} {one} arch, {two} inside"),
                    Solid::Difference(Box::new(block), Box::new(passage)),
                )
            }
        };
        Object { family: self, caption, solid }
    }
}

/// A passage along z with a round top: blocks that together leave a polygon of many sides.
fn across(radius: f64, place: [f64; 3], color: [f32; 3]) -> Solid {
    let sides = (0..16).map(|side| {
        let turn = std::f64::consts::PI * f64::from(side) / 16.0;
        let half = radius * (std::f64::consts::PI / 32.0).tan();
        turned(Body::Block([half, radius, 1.0]), place, turn, color)
    });
    Solid::Union(sides.collect())
}

/// A ring in the plane of x and y, of balls so close that they are one.
fn ring(radius: f64, tube: f64, place: [f64; 3], color: [f32; 3]) -> Vec<Solid> {
    let count = (8.0 * radius / tube).ceil().max(8.0) as u32;
    let ball = |index: u32| {
        let (sine, cosine) = (std::f64::consts::TAU * f64::from(index) / f64::from(count)).sin_cos();
        part(Body::Ball(tube), [place[0] + radius * cosine, place[1] + radius * sine, place[2]], color)
    };
    (0..count).map(ball).collect()
}
