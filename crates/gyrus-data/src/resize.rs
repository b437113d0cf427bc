//! Resizing as Pillow does it, bit for bit, because that is how the training pictures of published networks were resized.
//!
//! A filter is widened by the factor by which the picture shrinks, so that fine detail is averaged and not aliased. Each pass
//! (columns first, then rows) rounds to bytes, with coefficients of 22 fractional bits, as `Resample.c` of Pillow has it. (From
//! version 13 on, Pillow begins with the rows where that is cheaper, which moves some bytes by 1.)
//! Only the pixels that the cut keeps are computed: cost and memory follow the result, and the picture's own size in one axis.

use image::{DynamicImage, RgbImage};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Images, Preprocessing};

/// Fractional bits of a coefficient.
const BITS: u32 = 22;

/// How a picture of any size becomes one of the network's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    /// The filter.
    pub filter: Filter,
    /// The shorter side in pixels after resizing with the proportions kept, before the center is cut out, at least the
    /// network's size; without it the picture is stretched to the network's size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shorter_side: Option<usize>,
}

/// A filter of Pillow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Linear interpolation.
    Bilinear,
    /// Cubic interpolation (Keys 1981, a = −½).
    Bicubic,
    /// Lanczos' kernel over three pixels.
    Lanczos,
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Self::Lanczos if x < 3.0 => sinc(x) * sinc(x / 3.0),
            _ => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * std::f64::consts::PI;
    x.sin() / x
}

impl Resize {
    /// The picture as the network sees it: `[height, width, 3]`.
    pub(crate) fn apply(self, image: &RgbImage, height: usize, width: usize) -> Vec<u8> {
        let (from_width, from_height) = (image.width() as usize, image.height() as usize);
        let (to_width, to_height) = match self.shorter_side {
            None => (width, height),
            Some(side) => {
                // Never smaller than what is cut out, whatever a configuration says.
                let side = side.max(width).max(height);
                let longer =
                    |longer: usize, shorter: usize| (side as f64 * longer as f64 / shorter as f64) as usize;
                if from_width <= from_height {
                    (side, longer(from_height, from_width))
                } else {
                    (longer(from_width, from_height), side)
                }
            }
        };
        let columns = self.axis(from_width, to_width, middle(to_width, width), width);
        let rows = self.axis(from_height, to_height, middle(to_height, height), height);
        let first = rows.iter().map(|taps| taps.first).min().unwrap_or(0);
        let last = rows.iter().map(|taps| taps.first + taps.weights.len()).max().unwrap_or(first);
        let pixels = image.as_raw();
        let stride = width * 3;
        let mut narrowed = vec![0u8; (last - first) * stride];
        let kept = pixels.chunks_exact(from_width * 3).take(last).skip(first);
        for (row, narrowed) in kept.zip(narrowed.chunks_exact_mut(stride)) {
            for (taps, to) in columns.iter().zip(narrowed.as_chunks_mut::<3>().0) {
                let source = row[taps.first * 3..].as_chunks::<3>().0;
                let mut sums = [HALF; 3];
                for (pixel, weight) in source.iter().zip(&taps.weights) {
                    for (sum, value) in sums.iter_mut().zip(pixel) {
                        *sum = sum.wrapping_add(i32::from(*value).wrapping_mul(*weight));
                    }
                }
                *to = sums.map(byte);
            }
        }
        let (mut result, mut sums) = (vec![0u8; height * stride], vec![0i32; stride]);
        for (taps, to) in rows.iter().zip(result.chunks_exact_mut(stride)) {
            sums.fill(HALF);
            let sources = narrowed[(taps.first - first) * stride..].chunks_exact(stride);
            for (source, weight) in sources.zip(&taps.weights) {
                for (sum, value) in sums.iter_mut().zip(source) {
                    *sum = sum.wrapping_add(i32::from(*value).wrapping_mul(*weight));
                }
            }
            to.iter_mut().zip(&sums).for_each(|(to, sum)| *to = byte(*sum));
        }
        result
    }

    /// What each of `count` pixels from `start` on reads, where `from` pixels become `to`.
    fn axis(self, from: usize, to: usize, start: usize, count: usize) -> Vec<Taps> {
        if from == to {
            return (start..start + count).map(|first| Taps { first, weights: vec![1 << BITS] }).collect();
        }
        let scale = from as f64 / to as f64;
        let widened = scale.max(1.0);
        let support = self.filter.support() * widened;
        (start..start + count)
            .map(|pixel| {
                let center = (pixel as f64 + 0.5) * scale;
                let first = (center - support + 0.5).max(0.0) as usize;
                let end = ((center + support + 0.5) as usize).min(from);
                let weight = |x: usize| self.filter.at((x as f64 - center + 0.5) * (1.0 / widened));
                let weights: Vec<f64> = (first..end).map(weight).collect();
                let sum: f64 = weights.iter().sum();
                let fixed = |weight: f64| {
                    let scaled = if sum == 0.0 { weight } else { weight / sum } * f64::from(1 << BITS);
                    (scaled + 0.5f64.copysign(scaled)) as i32
                };
                Taps { first, weights: weights.into_iter().map(fixed).collect() }
            })
            .collect()
    }
}

/// The most bytes of images in memory: 24 GiB.
const MOST_BYTES: usize = 24 << 30;

impl Images {
    /// These images as a network wants to see them; the text says what cannot be.
    pub(crate) fn seen_as(&self, preprocessing: &Preprocessing) -> Result<Self, String> {
        let Preprocessing::Image { height, width, channels, resize, .. } = *preprocessing else {
            return Err("what is no preprocessing of images".to_owned());
        };
        if (self.height, self.width, self.channels) == (height, width, channels) {
            return Ok(self.clone());
        }
        let length = height.saturating_mul(width).saturating_mul(channels);
        if self.count.saturating_mul(length) > MOST_BYTES {
            return Err(format!("{} images of {height} by {width} pixels", self.count));
        }
        if !matches!((self.channels, channels), (1 | 3, 1 | 3)) {
            return Err(format!("{} channels", self.channels));
        }
        let resize = resize.unwrap_or(Resize { filter: Filter::Bicubic, shorter_side: None });
        let mut pixels = vec![0; self.count * length];
        pixels
            .par_chunks_exact_mut(length.max(1))
            .zip(self.pixels.par_chunks_exact(self.example_length()))
            .for_each(|(to, from)| {
                let colored = match self.channels {
                    1 => from.iter().flat_map(|gray| [*gray; 3]).collect(),
                    _ => from.to_vec(),
                };
                let image =
                    RgbImage::from_raw(self.width as u32, self.height as u32, colored).unwrap_or_default();
                let seen = resize.apply(&image, height, width);
                match channels {
                    3 => to.copy_from_slice(&seen),
                    _ => {
                        let gray = RgbImage::from_raw(width as u32, height as u32, seen).unwrap_or_default();
                        to.copy_from_slice(&DynamicImage::from(gray).into_luma8());
                    }
                }
            });
        Ok(Self { pixels, count: self.count, height, width, channels })
    }
}

/// Pixels that one result reads, and their weights in fixed point.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// A half in fixed point, where every sum begins.
const HALF: i32 = 1 << (BITS - 1);

/// The byte of a sum in fixed point. 32 bits are enough: weights sum to one, and their absolute values to less than two.
fn byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// Where the middle `kept` of `all` pixels begin; a half is rounded to the even number, as torchvision does.
fn middle(all: usize, kept: usize) -> usize {
    let left_out = all.saturating_sub(kept);
    let half = left_out / 2;
    if left_out % 2 == 1 && half % 2 == 1 { half + 1 } else { half }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_rounded_to_even() {
        assert_eq!([0, 1, 2, 3, 4, 5, 7].map(|left_out| middle(10 + left_out, 10)), [0, 0, 1, 2, 2, 2, 4]);
    }

    #[test]
    fn a_picture_of_the_right_size_stays_as_it_is() {
        let image = RgbImage::from_fn(5, 4, |x, y| image::Rgb([x as u8 * 40, y as u8 * 50, 7]));
        let resize = Resize { filter: Filter::Bicubic, shorter_side: None };
        assert_eq!(resize.apply(&image, 4, 5), image.into_raw());
    }
}
