//! Objects to learn from: a procedural object in a pose, its picture, and points with what is there.
//!
//! An object is scaled so that its longest side is [`SIDE`] and moved so that the middle of its box is the origin; then it
//! is turned, and the camera looks at it from the front and a little above. Points are in the model's directions: x towards the
//! camera, z up.

use gyrus_kernels::splitmix64;
use gyrus_sculpt::shapes::{Family, Object, Solid, Stack};
use gyrus_sculpt::{Mesh, View, centered};
use image::{Rgba, RgbaImage};

use crate::Result;
use crate::random::{normal, uniform};

/// Longest side of an object, where the planes reach from -1 to 1.
pub(crate) const SIDE: f64 = 1.4;
/// Pixels of a side of the picture before it is cropped.
const PIXELS: u32 = 80;
/// Vertical angle of view, in degrees.
const ANGLE: f64 = 40.0;
/// Largest turn to either side, and the camera's heights above the horizon, in degrees.
const TURN: f64 = 60.0;
const HEIGHTS: (f64, f64) = (5.0, 35.0);
/// Share of stacks among the objects of training.
const STACKS: f64 = 0.4;
/// Points whose occupancy is learned: half anywhere, half near the surface; and points on the surface whose color is learned.
const OCCUPANCY_POINTS: usize = 768;
const COLOR_POINTS: usize = 128;
/// Spread of the points near the surface.
const NEAR: f64 = 0.05;
/// A ray has met what it is this near to.
const TOUCH: f64 = 1e-3;
const AMBIENT: f64 = 0.35;

/// Which objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Those of training.
    Training,
    /// Others of the same kinds.
    Validation,
    /// Again others of the same kinds.
    NewParameters,
    /// Pairs of bodies that training never sees.
    UnseenPairs,
    /// A family that training never sees.
    UnseenFamily,
}

/// An object in a pose.
#[derive(Clone, Debug)]
pub struct Posed {
    /// The object.
    pub object: Object,
    /// The middle of its box.
    pub center: [f64; 3],
    /// Factor that gives its longest side its length.
    pub scale: f64,
    /// Turn of the camera around y, in degrees.
    pub azimuth: f64,
    /// Height of the camera, in degrees.
    pub elevation: f64,
    /// Half the diagonal of its box after scaling.
    radius: f64,
}

/// What the network learns from.
#[derive(Clone, Debug)]
pub struct Example {
    /// `[side, side, 3]`, 0 to 1; empty where only the caption is wanted.
    pub pixels: Vec<f32>,
    /// What a person would say.
    pub caption: String,
    /// Points of which occupancy is known, then points on the surface.
    pub points: Vec<[f32; 3]>,
    /// Whether each of the first points is inside.
    pub inside: Vec<bool>,
    /// The colors of the others.
    pub colors: Vec<[f32; 3]>,
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn along(a: [f64; 3], by: f64, b: [f64; 3]) -> [f64; 3] {
    [0, 1, 2].map(|axis| a[axis] + by * b[axis])
}

impl Part {
    /// The object of an index.
    #[must_use]
    pub fn object(self, seed: u64, index: u64) -> Posed {
        let stream = splitmix64(splitmix64(seed ^ (self as u64) << 60) ^ index);
        let draw = |at: u64| uniform(stream, at);
        let own = splitmix64(stream);
        let pick = |count: usize| ((draw(1) * count as f64) as usize).min(count - 1);
        let object = match self {
            Self::Training | Self::Validation | Self::NewParameters if draw(0) < STACKS => {
                Stack::SEEN[pick(Stack::SEEN.len())].object(own)
            }
            Self::Training | Self::Validation | Self::NewParameters => {
                Family::TRAINING[pick(Family::TRAINING.len())].object(own)
            }
            Self::UnseenPairs => Stack::UNSEEN[index as usize % Stack::UNSEEN.len()].object(own),
            Self::UnseenFamily => Family::HELD_OUT.object(own),
        };
        let elevation = HEIGHTS.0 + (HEIGHTS.1 - HEIGHTS.0) * draw(3);
        Posed::new(object, TURN * (2.0 * draw(2) - 1.0), elevation)
    }

    /// The example of an index, with a picture of `side` pixels, or without one for 0: then it is seen from the front.
    ///
    /// # Errors
    /// If the picture is empty.
    pub fn example(self, seed: u64, index: u64, side: usize) -> Result<Example> {
        let mut posed = self.object(seed, index);
        if side == 0 {
            posed.azimuth = 0.0;
        }
        let pixels = if side == 0 { Vec::new() } else { centered(&posed.picture(), side)? };
        let stream = splitmix64(splitmix64(!seed ^ (self as u64) << 60) ^ index);
        let near = OCCUPANCY_POINTS / 2;
        let mut points: Vec<[f32; 3]> = (0..(OCCUPANCY_POINTS - near) as u64)
            .map(|at| [0, 1, 2].map(|axis| (2.0 * uniform(stream, 3 * at + axis) - 1.0) as f32))
            .collect();
        let mut painted = Vec::new();
        let mut colors = Vec::new();
        let second = splitmix64(stream);
        for at in 0..near.max(COLOR_POINTS) as u64 {
            let place = posed.on_surface(second, at);
            if (at as usize) < near {
                let noise =
                    [0, 1, 2].map(|axis| NEAR / posed.scale * normal(stream, (1 << 20) + 3 * at + axis));
                points.push(posed.to_model([0, 1, 2].map(|axis| place[axis] + noise[axis])));
            }
            if colors.len() < COLOR_POINTS {
                colors.push(posed.object.solid.distance(place).1);
                painted.push(posed.to_model(place));
            }
        }
        let inside = posed.contains(&points);
        points.extend(painted);
        Ok(Example { pixels, caption: posed.object.caption, points, inside, colors })
    }
}

impl Posed {
    /// An object seen from there.
    #[must_use]
    pub fn new(object: Object, azimuth: f64, elevation: f64) -> Self {
        let (low, high) = object.solid.bounds();
        let sides = [0, 1, 2].map(|axis| high[axis] - low[axis]);
        let scale = SIDE / sides.into_iter().fold(1e-9, f64::max);
        let center = [0, 1, 2].map(|axis| f64::midpoint(low[axis], high[axis]));
        let radius = 0.5 * scale * dot(sides, sides).sqrt();
        Self { object, center, scale, azimuth, elevation, radius }
    }

    /// The directions of the camera's right, of up, and of where the camera stands, level, in the object's directions.
    fn axes(&self) -> [[f64; 3]; 3] {
        let (sine, cosine) = self.azimuth.to_radians().sin_cos();
        [[cosine, 0.0, -sine], [0.0, 1.0, 0.0], [sine, 0.0, cosine]]
    }

    /// A point in the model's directions as one of the object.
    fn place_of(&self, [toward, right, up]: [f32; 3]) -> [f64; 3] {
        let axes = self.axes();
        let own = [right, up, toward].map(|part| f64::from(part) / self.scale);
        (0..3).fold(self.center, |sum, axis| along(sum, own[axis], axes[axis]))
    }

    /// A point of the object in the model's directions.
    fn to_model(&self, point: [f64; 3]) -> [f32; 3] {
        let from = along(point, -1.0, self.center);
        let [right, up, toward] = self.axes().map(|axis| (self.scale * dot(from, axis)) as f32);
        [toward, right, up]
    }

    /// Whether points in the model's directions are inside.
    #[must_use]
    pub fn contains(&self, points: &[[f32; 3]]) -> Vec<bool> {
        points.iter().map(|point| self.object.solid.contains(self.place_of(*point))).collect()
    }

    /// Its surface, y up and towards the camera along z, as inference gives it.
    #[must_use]
    pub fn mesh(&self, side: usize) -> Mesh {
        let mut mesh = self.object.solid.mesh(side);
        for position in &mut mesh.positions {
            let [toward, right, up] = self.to_model(position.map(f64::from));
            *position = [right, up, toward];
        }
        mesh
    }

    /// A point on the surface, nearly: from a random place along the slope of the distance.
    fn on_surface(&self, stream: u64, index: u64) -> [f64; 3] {
        let (low, high) = self.object.solid.bounds();
        let mut best = (f64::INFINITY, self.center);
        for attempt in 0..4 {
            let draw = |axis: usize| uniform(stream, (index * 4 + attempt) * 3 + axis as u64);
            let mut at =
                [0, 1, 2].map(|axis| low[axis] + (high[axis] - low[axis]) * (1.1 * draw(axis) - 0.05));
            let mut distance = self.object.solid.distance(at).0;
            for _ in 0..4 {
                if distance.abs() < 1e-3 {
                    break;
                }
                at = along(at, -distance, self.object.solid.normal(at));
                distance = self.object.solid.distance(at).0;
            }
            if distance.abs() < best.0 {
                best = (distance.abs(), at);
            }
            if best.0 < 0.01 {
                break;
            }
        }
        best.1
    }

    /// The camera, as [`gyrus_sculpt::render`] takes it.
    #[must_use]
    pub fn view(&self) -> View {
        let distance = 1.05 * self.radius / (0.5 * ANGLE).to_radians().sin() / self.scale;
        View { center: self.center, distance, azimuth: self.azimuth, elevation: self.elevation, angle: ANGLE }
    }

    /// The camera's place, and its right, up and backward directions, in the object's directions.
    fn camera(&self) -> ([f64; 3], [[f64; 3]; 3]) {
        let [right, up, level] = self.axes();
        let (sine, cosine) = self.elevation.to_radians().sin_cos();
        let back = along(level.map(|part| cosine * part), sine, up);
        let above = along(level.map(|part| -sine * part), cosine, up);
        (along(self.center, self.view().distance, back), [right, above, back])
    }

    /// Its picture on a transparent ground, by rays (Hart 1996).
    #[must_use]
    pub fn picture(&self) -> RgbaImage {
        let (from, [right, above, back]) = self.camera();
        let focal = 0.5 * f64::from(PIXELS) / (0.5 * ANGLE).to_radians().tan();
        let light = along(along(back.map(|part| 0.8 * part), 0.45, above), -0.4, right);
        let size = dot(light, light).sqrt();
        let solid = &self.object.solid;
        RgbaImage::from_fn(PIXELS, PIXELS, |x, y| {
            let column = (f64::from(x) + 0.5 - 0.5 * f64::from(PIXELS)) / focal;
            let row = (f64::from(y) + 0.5 - 0.5 * f64::from(PIXELS)) / focal;
            let way = along(along(right.map(|part| column * part), -row, above), -1.0, back);
            let length = dot(way, way).sqrt();
            let way = way.map(|part| part / length);
            let Some((at, color)) = met(solid, from, way) else { return Rgba([0; 4]) };
            let lit = (dot(solid.normal(at), light) / size).abs();
            let lit = AMBIENT + (1.0 - AMBIENT) * lit;
            let [red, green, blue] =
                color.map(|part| (255.0 * (f64::from(part) * lit).clamp(0.0, 1.0)).round() as u8);
            Rgba([red, green, blue, 255])
        })
    }

    /// Whether points in the model's directions lie behind or before the object in its picture.
    pub(crate) fn hull(&self, picture: &RgbaImage, points: &[[f32; 3]]) -> Vec<bool> {
        let (from, [right, above, back]) = self.camera();
        let focal = 0.5 * f64::from(PIXELS) / (0.5 * ANGLE).to_radians().tan();
        let most = (0.5 * SIDE) as f32;
        let seen = |point: &[f32; 3]| {
            let way = along(self.place_of(*point), -1.0, from);
            let depth = -dot(way, back);
            let x = 0.5 * f64::from(PIXELS) + focal * dot(way, right) / depth;
            let y = 0.5 * f64::from(PIXELS) - focal * dot(way, above) / depth;
            let inside = |at: f64| (0.0..f64::from(PIXELS)).contains(&at);
            inside(x) && inside(y) && picture.get_pixel(x as u32, y as u32).0[3] > 0
        };
        points.iter().map(|point| point.iter().all(|part| part.abs() < most) && seen(point)).collect()
    }
}

/// Where a ray first meets a solid, and the color there.
fn met(solid: &Solid, from: [f64; 3], way: [f64; 3]) -> Option<([f64; 3], [f32; 3])> {
    let (low, high) = solid.bounds();
    let (mut enter, mut leave) = (0.0f64, f64::INFINITY);
    for axis in 0..3 {
        let over = 1.0 / if way[axis].abs() < 1e-12 { 1e-12 } else { way[axis] };
        let (a, b) = ((low[axis] - from[axis]) * over, (high[axis] - from[axis]) * over);
        (enter, leave) = (enter.max(a.min(b)), leave.min(a.max(b)));
    }
    let mut at = enter;
    for _ in 0..96 {
        if at > leave {
            return None;
        }
        let point = along(from, at, way);
        let (distance, color) = solid.distance(point);
        if distance < TOUCH {
            return Some((point, color));
        }
        at += distance;
    }
    None
}

/// A batch of examples, in parallel.
pub(crate) fn batch(
    part: Part,
    seed: u64,
    indices: std::ops::Range<u64>,
    side: usize,
) -> Result<Vec<Example>> {
    use rayon::prelude::*;
    indices.into_par_iter().map(|index| part.example(seed, index, side)).collect()
}
