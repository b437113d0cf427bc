//! Augmentation: small random changes that do not change the meaning of an example.
//!
//! Rotation, scale, shear, mirror and shift are combined into one affine map. Each output pixel looks up its
//! source under the inverse map, `source = center + inverse * (output - center - shift)`, and interpolates
//! bilinearly between four pixels: one pass whatever is switched on, about 2 ns per pixel and channel.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::random::Stream;

/// What is outside of an image that was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// Black, the paper of MNIST and its relatives.
    #[default]
    Black,
    /// The nearest pixel of the image, for photos.
    Edge,
}

/// How far each random change may go; a zero switches it off.
///
/// From text: `none`, `light`, `digits`, `strong`, `photos`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Largest shift in each direction, in pixels. Alone (with mirroring at most) shifts are whole pixels.
    pub shift_pixels: f32,
    /// Largest rotation to each side, in degrees.
    pub rotate_degrees: f32,
    /// Largest relative change of size: 0.1 means a factor from 0.9 to 1.1.
    pub scale: f32,
    /// Largest horizontal shear to each side, in degrees.
    pub shear_degrees: f32,
    /// Whether half of the images are mirrored left to right.
    pub flip_horizontal: bool,
    /// Share of the area of a square, at a random place, that is replaced by the mean brightness (cutout).
    pub erase_fraction: f32,
    /// Standard deviation of the noise that is added to the standardized values of tables.
    pub noise: f32,
    /// What appears from outside of an image.
    pub outside: Outside,
}

/// The name of an augmentation that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("got the augmentation '{got}', expected one of none, light, digits, strong, photos")]
pub struct ParseAugmentError {
    /// What was given.
    pub got: String,
}

impl FromStr for Augment {
    type Err = ParseAugmentError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let none = Self::default();
        Ok(match name {
            "none" => none,
            "light" => Self {
                shift_pixels: 1.0,
                rotate_degrees: 5.0,
                scale: 0.05,
                noise: 0.05,
                outside: Outside::Edge,
                ..none
            },
            "digits" => Self {
                shift_pixels: 2.0,
                rotate_degrees: 12.0,
                scale: 0.1,
                shear_degrees: 8.0,
                noise: 0.1,
                ..none
            },
            "strong" => Self {
                shift_pixels: 3.0,
                rotate_degrees: 18.0,
                scale: 0.15,
                shear_degrees: 12.0,
                erase_fraction: 0.05,
                noise: 0.2,
                ..none
            },
            "photos" => Self {
                shift_pixels: 4.0,
                flip_horizontal: true,
                erase_fraction: 0.06,
                noise: 0.1,
                outside: Outside::Edge,
                ..none
            },
            _ => return Err(ParseAugmentError { got: name.to_owned() }),
        })
    }
}

impl Augment {
    /// The same augmentation for images whose shorter side is `side` pixels: the named ones are meant for 28 to
    /// 32 pixels, and a shift of 2 of 28 pixels is one of about half a pixel of 8.
    #[must_use]
    pub fn scaled_to(self, side: usize) -> Self {
        Self { shift_pixels: self.shift_pixels * side as f32 / 28.0, ..self }
    }

    fn moves_in_fractions(&self) -> bool {
        self.rotate_degrees != 0.0 || self.scale != 0.0 || self.shear_degrees != 0.0
    }
}

/// Height, width and channels of an image.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
}

/// Inverse affine map in pixels: source x = `xx * x + xy * y + x0`, and y likewise.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Inverse {
    xx: f32,
    xy: f32,
    x0: f32,
    yx: f32,
    yy: f32,
    y0: f32,
}

impl Inverse {
    /// Draws the map of one example. Every example draws the same number of values, whatever is switched on.
    fn draw(augment: &Augment, size: Size, stream: &mut Stream) -> Self {
        let mut shift = [stream.symmetric(), stream.symmetric()].map(|draw| draw * augment.shift_pixels);
        let angle = (stream.symmetric() * augment.rotate_degrees).to_radians();
        // A factor near 0 would leave nothing of the image, and its inverse would not be finite.
        let factor = (1.0 + stream.symmetric() * augment.scale).max(0.1);
        let shear = (stream.symmetric() * augment.shear_degrees).clamp(-80.0, 80.0).to_radians().tan();
        let mirrored = stream.unit() < 0.5 && augment.flip_horizontal;
        if !augment.moves_in_fractions() {
            shift = shift.map(f32::round);
        }
        let (sin, cos) = (angle.sin() / factor, angle.cos() / factor);
        // Inverse of rotate, scale and shear: unrotate, then unshear; the mirror comes last.
        let sign = if mirrored { -1.0 } else { 1.0 };
        let (yx, yy) = (-sin, cos);
        let (xx, xy) = (sign * (cos - shear * yx), sign * (sin - shear * yy));
        let (cx, cy) = ((size.width as f32 - 1.0) / 2.0, (size.height as f32 - 1.0) / 2.0);
        let (dx, dy) = (cx + shift[0], cy + shift[1]);
        Self { xx, xy, x0: cx - xx * dx - xy * dy, yx, yy, y0: cy - yx * dx - yy * dy }
    }
}

/// Writes the augmented, normalized image to `out`.
///
/// `pixels` is `[height, width, channels]`, `tables` holds the normalized value of each brightness per channel,
/// `padded` is memory that is reused between calls.
pub(crate) fn augment_image(
    augment: &Augment,
    size: Size,
    pixels: &[u8],
    tables: &[[f32; 256]],
    stream: &mut Stream,
    padded: &mut Vec<f32>,
    out: &mut [f32],
) {
    let inverse = Inverse::draw(augment, size, stream);
    pad(augment.outside, size, pixels, tables, padded);
    // With the number of channels known the inner loops are unrolled.
    match (augment.moves_in_fractions(), size.channels) {
        (true, 1) => warp(inverse, size, 1, padded, out),
        (true, 3) => warp(inverse, size, 3, padded, out),
        (true, channels) => warp(inverse, size, channels, padded, out),
        (false, 1) => shift(inverse, size, 1, padded, out),
        (false, 3) => shift(inverse, size, 3, padded, out),
        (false, channels) => shift(inverse, size, channels, padded, out),
    }
    if augment.erase_fraction > 0.0 {
        erase(augment.erase_fraction, size, stream, out);
    }
}

/// The normalized image with a border of one pixel, so that [`warp`] and [`shift`] need no test for the edges.
fn pad(outside: Outside, size: Size, pixels: &[u8], tables: &[[f32; 256]], padded: &mut Vec<f32>) {
    let Size { height, width, channels } = size;
    let stride = (width + 2) * channels;
    padded.resize((height + 2) * stride, 0.0);
    for (row, line) in padded.chunks_exact_mut(stride).enumerate() {
        let inside = (1..=height).contains(&row);
        let row = row.clamp(1, height) - 1;
        let source = &pixels[row * width * channels..][..width * channels];
        if outside == Outside::Black && !inside {
            fill_black(line, tables);
            continue;
        }
        let middle = &mut line[channels..][..width * channels];
        normalize(source, tables, middle);
        let (left, right) = (channels, width * channels);
        if outside == Outside::Black {
            fill_black(&mut line[..channels], tables);
            fill_black(&mut line[stride - channels..], tables);
        } else {
            line.copy_within(left..left + channels, 0);
            line.copy_within(right..right + channels, stride - channels);
        }
    }
}

fn fill_black(line: &mut [f32], tables: &[[f32; 256]]) {
    for pixel in line.chunks_exact_mut(tables.len()) {
        for (value, table) in pixel.iter_mut().zip(tables) {
            *value = table[0];
        }
    }
}

/// Looks the normalized value of each byte up, channels last.
pub(crate) fn normalize(pixels: &[u8], tables: &[[f32; 256]], out: &mut [f32]) {
    if let [table] = tables {
        for (value, pixel) in out.iter_mut().zip(pixels) {
            *value = table[usize::from(*pixel)];
        }
        return;
    }
    let channels = tables.len();
    for (values, pixel) in out.chunks_exact_mut(channels).zip(pixels.chunks_exact(channels)) {
        for ((value, byte), table) in values.iter_mut().zip(pixel).zip(tables) {
            *value = table[usize::from(*byte)];
        }
    }
}

/// Pixels located together, so that the arithmetic compiles to vector instructions.
const LANES: usize = 16;

/// A source coordinate kept within `0..=last`: beyond it there is only border. A NaN becomes 0.
#[inline(always)]
fn clamp(coordinate: f32, last: f32) -> f32 {
    let positive = if coordinate > 0.0 { coordinate } else { 0.0 };
    if positive < last { positive } else { last }
}

/// `coordinate - 0.5`, at least 0 and at most `last`, rounded: as a float and as an integer. So a coordinate lies
/// in the cell that begins there, or exactly on its edge. In adding 2^23 the hardware rounds, and the integer stands
/// in the lowest bits of the sum; unlike a cast of Rust's this needs no test for what does not fit.
#[inline(always)]
fn whole_part(coordinate: f32, last: usize) -> (f32, u32) {
    const ROUND: f32 = 8_388_608.0;
    let sum = clamp(coordinate - 0.5, last as f32) + ROUND;
    (sum - ROUND, sum.to_bits() - ROUND.to_bits())
}

/// Each output pixel from four pixels of the padded image.
#[inline(always)]
fn warp(inverse: Inverse, size: Size, channels: usize, padded: &[f32], out: &mut [f32]) {
    let stride = (size.width + 2) * channels;
    let (last_x, last_y) = (size.width as f32 + 1.0, size.height as f32 + 1.0);
    for (row, out) in out.chunks_exact_mut(size.width * channels).enumerate() {
        // +1 for the border.
        let row_x = inverse.xy * row as f32 + inverse.x0 + 1.0;
        let row_y = inverse.yy * row as f32 + inverse.y0 + 1.0;
        for (block, out) in out.chunks_mut(LANES * channels).enumerate() {
            let (mut at, mut right, mut below) = ([0_u32; LANES], [0.0_f32; LANES], [0.0_f32; LANES]);
            for lane in 0..LANES {
                let column = (block * LANES + lane) as f32;
                let x = clamp(inverse.xx * column + row_x, last_x);
                let y = clamp(inverse.yx * column + row_y, last_y);
                // The last cell begins one pixel before the border's end, so that all four neighbors exist.
                let left = whole_part(x, size.width);
                let top = whole_part(y, size.height);
                at[lane] = top.1 * (size.width as u32 + 2) + left.1;
                right[lane] = x - left.0;
                below[lane] = y - top.0;
            }
            for (lane, out) in out.chunks_exact_mut(channels).enumerate() {
                let start = at[lane] as usize * channels;
                let upper = &padded[start..start + 2 * channels];
                let lower = &padded[start + stride..start + stride + 2 * channels];
                for (channel, out) in out.iter_mut().enumerate() {
                    let above = upper[channel] + right[lane] * (upper[channel + channels] - upper[channel]);
                    let under = lower[channel] + right[lane] * (lower[channel + channels] - lower[channel]);
                    *out = above + below[lane] * (under - above);
                }
            }
        }
    }
}

/// The same where the map only mirrors and shifts by whole pixels: each output pixel is one source pixel.
#[inline(always)]
fn shift(inverse: Inverse, size: Size, channels: usize, padded: &[f32], out: &mut [f32]) {
    let Size { height, width, .. } = size;
    let place =
        |coordinate: f32, length: usize| clamp(coordinate.round() + 1.0, length as f32 + 1.0) as usize;
    let columns: Vec<usize> =
        (0..width).map(|column| place(inverse.xx * column as f32 + inverse.x0, width) * channels).collect();
    for (row, out) in out.chunks_exact_mut(width * channels).enumerate() {
        let source = place(row as f32 + inverse.y0, height) * (width + 2) * channels;
        let source = &padded[source..][..(width + 2) * channels];
        for (out, at) in out.chunks_exact_mut(channels).zip(&columns) {
            let pixel = &source[*at..*at + channels];
            for (channel, out) in out.iter_mut().enumerate() {
                *out = pixel[channel];
            }
        }
    }
}

/// Sets a square around a random center to 0, the mean of normalized images; the edges may cut it.
fn erase(fraction: f32, size: Size, stream: &mut Stream, out: &mut [f32]) {
    let Size { height, width, channels } = size;
    let side = ((height * width) as f32 * fraction.clamp(0.0, 1.0)).sqrt().round() as usize;
    let mut range = |length: usize| {
        let start = stream.below(length as u64) as usize;
        let before = side / 2;
        start.saturating_sub(before)..(start + side - before).min(length)
    };
    let (rows, columns) = (range(height), range(width));
    for row in rows {
        out[(row * width + columns.start) * channels..(row * width + columns.end) * channels].fill(0.0);
    }
}

#[cfg(test)]
#[path = "augment_tests.rs"]
mod tests;
