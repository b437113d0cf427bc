//! One simple body on another, of which training sees some pairs and not others.

use super::families::{Draws, Object, article, part};
use super::{Body, Family, Solid};

/// The kind of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A ball.
    Ball,
    /// A box.
    Block,
    /// A cylinder that stands.
    Cylinder,
    /// A ring that lies.
    Torus,
    /// A cone with its tip up.
    Cone,
}

/// A body on another, each in a color of its own. Round bodies need not touch: a ring may hang around a cone's tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack {
    /// What lies on top.
    pub top: Kind,
    /// What stands on the ground.
    pub bottom: Kind,
}

/// A stack.
const fn of(top: Kind, bottom: Kind) -> Stack {
    Stack { top, bottom }
}

impl Kind {
    /// Its name in captions.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ball => "ball",
            Self::Block => "box",
            Self::Cylinder => "cylinder",
            Self::Torus => "torus",
            Self::Cone => "cone",
        }
    }

    /// A body about as wide as `size` on both sides, and half its height.
    fn body(self, size: f64, draws: &mut Draws) -> (Body, f64) {
        let half = draws.within(0.6, 1.0) * size;
        match self {
            Self::Ball => (Body::Ball(size), size),
            Self::Block => (Body::Block([size, half, draws.within(0.7, 1.0) * size]), half),
            Self::Cylinder => (Body::Cylinder(draws.within(0.6, 0.9) * size, half), half),
            Self::Torus => {
                let tube = draws.within(0.22, 0.32) * size;
                (Body::Torus(size - tube, tube), tube)
            }
            Self::Cone => (Body::Cone(size, half), half),
        }
    }
}

impl Stack {
    /// The pairs of training.
    pub const SEEN: [Self; 20] = {
        use Kind::{Ball, Block, Cone, Cylinder, Torus};
        [
            of(Ball, Ball),
            of(Ball, Block),
            of(Ball, Torus),
            of(Ball, Cone),
            of(Block, Ball),
            of(Block, Block),
            of(Block, Cylinder),
            of(Block, Cone),
            of(Cylinder, Ball),
            of(Cylinder, Cylinder),
            of(Cylinder, Torus),
            of(Cylinder, Cone),
            of(Torus, Ball),
            of(Torus, Block),
            of(Torus, Cylinder),
            of(Torus, Torus),
            of(Cone, Block),
            of(Cone, Cylinder),
            of(Cone, Torus),
            of(Cone, Cone),
        ]
    };
    /// The pairs that training never sees; every kind of body is seen on top and at the bottom of other pairs.
    pub const UNSEEN: [Self; 5] = {
        use Kind::{Ball, Block, Cone, Cylinder, Torus};
        [of(Ball, Cylinder), of(Block, Torus), of(Cylinder, Block), of(Torus, Cone), of(Cone, Ball)]
    };

    /// The object of a seed.
    #[must_use]
    pub fn object(self, seed: u64) -> Object {
        let mix = (self.top as u64) << 40 | (self.bottom as u64) << 48 | 0xff << 56;
        let mut draws = Draws { seed: seed ^ mix, next: 0 };
        let [(one, a), (two, b)] = draws.colors();
        let (low, high) = (draws.within(0.38, 0.6), draws.within(0.24, 0.42));
        let (bottom, low) = self.bottom.body(low, &mut draws);
        let (top, high) = self.top.body(high, &mut draws);
        // Sunk in a little, and onto a tip so far that it holds.
        let sunk = if self.bottom == Kind::Cone { 0.6 * low } else { 0.25 * low.min(high) };
        let below = low - 0.85;
        let above = below + low - sunk + high;
        let solid = Solid::Union(vec![part(bottom, [0.0, below, 0.0], b), part(top, [0.0, above, 0.0], a)]);
        let [first, second] = [article(one), article(two)];
        let (top, bottom) = (self.top.name(), self.bottom.name());
        let caption = format!("{first} {one} {top} on {second} {two} {bottom}");
        Object { family: Family::Stack, caption, solid }
    }
}
