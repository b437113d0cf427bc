//! The best picture of a unit: an image, made by gradient ascent, that excites it most (Erhan et al. 2009), kept recognizable
//! by random transformations before each step, which a picture must survive (Olah, Mordvintsev and Schubert 2017,
//! doi:10.23915/distill.00007).
//!
//! A unit of a map is excited at the map's middle; what lies outside of its receptive field stays gray. The gradient is taken
//! before the activation, where it never dies. Each step shifts, turns and rescales the image a little, climbs by Adam on the
//! blurred gradient, and keeps every pixel within the range of brightness. Units of a layer are made together, as many as memory allows.

use gyrus_blueprint::Image;
use gyrus_nn::{Network, Signal, floats};
use gyrus_tensor::{filled_tensor, splitmix64};
use rayon::prelude::*;

use super::Layer;
use crate::{Error, Result};

/// Rows of one batch.
const ROWS: usize = 256;

/// How best pictures are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Maximize {
    /// Steps of ascent.
    pub steps: usize,
    /// Learning rate of Adam, in the network's input units.
    pub rate: f32,
    /// The largest shift, in pixels.
    pub jitter_pixels: f32,
    /// The largest turn, in degrees.
    pub rotate_degrees: f32,
    /// The largest change of size, as a share.
    pub scale: f32,
    /// Standard deviation of the blur of the gradient at the first step, in pixels; it falls to a quarter.
    pub blur_pixels: f32,
    /// Share by which a pixel returns to the mean in each step.
    pub decay: f32,
    /// Seed of the random transformations.
    pub seed: u64,
}

impl Maximize {
    /// For images of this size.
    #[must_use]
    pub fn for_image(image: Image) -> Self {
        let side = image.height.min(image.width) as f32;
        Self {
            steps: 64,
            rate: 0.1,
            jitter_pixels: (side / 16.0).clamp(0.5, 8.0),
            rotate_degrees: 5.0,
            scale: 0.05,
            blur_pixels: (side / 28.0).clamp(0.4, 2.0),
            decay: 0.005,
            seed: 0,
        }
    }
}

/// The best pictures of some units.
#[derive(Clone, Debug, PartialEq)]
pub struct BestImages {
    /// `[units, height, width, channels]`, in the network's input units.
    pub images: Vec<f32>,
    /// What each image, untransformed, gives its unit before the activation.
    pub values: Vec<f32>,
}

/// Makes the best picture of each of `units` of a layer. `range` is the lowest and highest input of each channel.
///
/// # Errors
/// [`Error::Setting`] for a unit that the layer does not have, or for another number of channels; those of the network.
pub fn maximize(
    network: &Network,
    layer: &Layer,
    units: &[usize],
    range: &[(f32, f32)],
    settings: &Maximize,
) -> Result<BestImages> {
    let blueprint = network.blueprint();
    let shapes = blueprint.shapes()?;
    let image = shapes.order().first().map_or(layer.image, |&input| Image::of(shapes.output(input)));
    if range.len() != image.channels {
        let got = format!("{} ranges", range.len());
        return Err(Error::Setting { setting: "range", got, expected: "one for each channel of the input" });
    }
    if let Some(unit) = units.iter().find(|unit| **unit >= layer.units()) {
        let expected = "units of the layer, counted from 0";
        return Err(Error::Setting { setting: "unit", got: unit.to_string(), expected });
    }
    let (mut images, mut values) = (Vec::new(), Vec::new());
    for units in units.chunks(super::rows_of_batch(&shapes, ROWS)) {
        let climbed = climb(network, layer, units, (image, range), settings)?;
        images.extend(climbed.images);
        values.extend(climbed.values);
    }
    Ok(BestImages { images, values })
}

fn climb(
    network: &Network,
    layer: &Layer,
    units: &[usize],
    (image, range): (Image, &[(f32, f32)]),
    settings: &Maximize,
) -> Result<BestImages> {
    let elements = image.pixels() * image.channels;
    let rows = units.len();
    let random = |step: u64, row: usize, what: u64| -> f32 {
        let stream =
            splitmix64(settings.seed ^ splitmix64(step.wrapping_mul(0x9E37) ^ (row as u64) << 24) ^ what);
        (stream >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let mut images: Vec<f32> = (0..rows * elements)
        .map(|i| {
            let (low, high) = range[i % image.channels];
            let noise = random(u64::MAX, i, 0) * 0.02 * (high - low);
            noise.clamp(low, high)
        })
        .collect();
    let (mut first, mut second) = (vec![0.0f32; images.len()], vec![0.0f32; images.len()]);
    let (betas, epsilon) = ((0.9f32, 0.99f32), 1e-8f32);
    let middle = (layer.image.height / 2 * layer.image.width + layer.image.width / 2) * layer.units();
    let excited = |weights: &mut [f32], width: usize| {
        weights.fill(0.0);
        weights.chunks_exact_mut(width).zip(units).for_each(|(row, unit)| row[middle + unit] = 1.0);
    };
    for step in 0..settings.steps {
        let turns: Vec<Turn> = (0..rows)
            .map(|row| {
                let number = |what| random(step as u64, row, what);
                Turn::new(
                    image,
                    [settings.jitter_pixels * number(1), settings.jitter_pixels * number(2)],
                    (settings.rotate_degrees * number(3)).to_radians(),
                    1.0 + settings.scale * number(4),
                )
            })
            .collect();
        let x = filled_tensor(rows, elements, |x| {
            let pairs = x.par_chunks_exact_mut(elements).zip(images.par_chunks_exact(elements));
            pairs.zip(&turns).for_each(|((to, from), turn)| turn.apply(image, from, to));
        });
        let weights = |output: &gyrus_tensor::Tensor<2>| {
            let width = output.dims()[1];
            filled_tensor(rows, width, |weights| excited(weights, width))
        };
        let found = network.pull_back(x, layer.before_activation, weights, &[Signal::Input])?;
        let turned = found.gradients.into_iter().next().map(floats).unwrap_or_default();
        let progress = step as f32 / settings.steps.max(1) as f32;
        let kernel = gaussian(settings.blur_pixels * (1.0 - 0.75 * progress));
        let mut gradient = vec![0.0f32; images.len()];
        let pairs = gradient.par_chunks_exact_mut(elements).zip(turned.par_chunks_exact(elements));
        pairs.zip(&turns).for_each(|((to, from), turn)| {
            turn.apply_transposed(image, from, to);
            blur(image, &kernel, to);
            // Units differ in scale by orders of magnitude.
            let length = (to.iter().map(|value| value * value).sum::<f32>() / elements as f32).sqrt();
            let factor = if length > 0.0 { 1.0 / length } else { 0.0 };
            to.iter_mut().for_each(|value| *value *= factor);
        });
        let corrections = (1.0 - betas.0.powi(step as i32 + 1), 1.0 - betas.1.powi(step as i32 + 1));
        for (index, pixel) in images.iter_mut().enumerate() {
            let g = gradient[index];
            first[index] = betas.0 * first[index] + (1.0 - betas.0) * g;
            second[index] = betas.1 * second[index] + (1.0 - betas.1) * g * g;
            let change = first[index] / corrections.0 / ((second[index] / corrections.1).sqrt() + epsilon);
            // Where nothing pulls, as outside of the receptive field, Adam would follow noise.
            let change = if g == 0.0 && second[index] < 1e-12 { 0.0 } else { change };
            let (low, high) = range[index % image.channels];
            *pixel = ((1.0 - settings.decay) * *pixel + settings.rate * change).clamp(low, high);
        }
    }
    let x = filled_tensor(rows, elements, |x| x.copy_from_slice(&images));
    let outputs = network.activations(x, &[layer.before_activation])?;
    let outputs = outputs.into_iter().next().map(floats).unwrap_or_default();
    let width = outputs.len() / rows.max(1);
    let values = units.iter().enumerate().map(|(row, unit)| outputs[row * width + middle + unit]);
    Ok(BestImages { images, values: values.collect() })
}

/// A shift, turn and change of size about the image's middle, by bilinear interpolation; what lies outside is 0, the mean.
struct Turn {
    /// Rows of the matrix that leads from a pixel of the result to its place in the source: row, then column.
    matrix: [[f32; 3]; 2],
}

impl Turn {
    fn new(image: Image, shift: [f32; 2], angle: f32, scale: f32) -> Self {
        let (sin, cos) = angle.sin_cos();
        let (a, b) = (cos / scale, sin / scale);
        let middle = [(image.height as f32 - 1.0) / 2.0, (image.width as f32 - 1.0) / 2.0];
        let row = [a, b, middle[0] + shift[0] - a * middle[0] - b * middle[1]];
        let column = [-b, a, middle[1] + shift[1] + b * middle[0] - a * middle[1]];
        Self { matrix: [row, column] }
    }

    /// Calls `visit(pixel of the result, pixel of the source, factor)`.
    fn taps(&self, image: Image, mut visit: impl FnMut(usize, usize, f32)) {
        for row in 0..image.height {
            for column in 0..image.width {
                let at = |m: [f32; 3]| m[0] * row as f32 + m[1] * column as f32 + m[2];
                let (y, x) = (at(self.matrix[0]), at(self.matrix[1]));
                let (top, left) = (y.floor(), x.floor());
                for (dy, dx) in [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)] {
                    let (source_row, source_column) = (top + dy, left + dx);
                    let factor = (1.0 - (y - source_row).abs()) * (1.0 - (x - source_column).abs());
                    let inside = source_row >= 0.0
                        && source_column >= 0.0
                        && source_row < image.height as f32
                        && source_column < image.width as f32;
                    if inside && factor > 0.0 {
                        let source = source_row as usize * image.width + source_column as usize;
                        visit(row * image.width + column, source, factor);
                    }
                }
            }
        }
    }

    fn apply(&self, image: Image, from: &[f32], to: &mut [f32]) {
        to.fill(0.0);
        let channels = image.channels;
        self.taps(image, |result, source, factor| {
            for channel in 0..channels {
                to[result * channels + channel] += factor * from[source * channels + channel];
            }
        });
    }

    fn apply_transposed(&self, image: Image, from: &[f32], to: &mut [f32]) {
        to.fill(0.0);
        let channels = image.channels;
        self.taps(image, |result, source, factor| {
            for channel in 0..channels {
                to[source * channels + channel] += factor * from[result * channels + channel];
            }
        });
    }
}

/// A blur's factors, from the middle outward.
fn gaussian(deviation: f32) -> Vec<f32> {
    let reach = (2.5 * deviation).ceil().max(0.0) as usize;
    let factor = |distance: usize| match deviation > 0.0 {
        true => (-0.5 * (distance as f32 / deviation).powi(2)).exp(),
        false => f32::from(u8::from(distance == 0)),
    };
    let factors: Vec<f32> = (0..=reach).map(factor).collect();
    let sum = 2.0 * factors.iter().sum::<f32>() - factors[0];
    factors.iter().map(|factor| factor / sum).collect()
}

/// Blurs along rows, then along columns.
fn blur(image: Image, kernel: &[f32], values: &mut [f32]) {
    let Image { height, width, channels } = image;
    let mut from = values.to_vec();
    for (length, lines, step, across) in
        [(width, height, channels, width * channels), (height, width, width * channels, channels)]
    {
        for line in 0..lines {
            for place in 0..length {
                for channel in 0..channels {
                    let at = |place: usize| from[line * across + place * step + channel];
                    let mut sum = kernel[0] * at(place);
                    for (distance, factor) in kernel.iter().enumerate().skip(1) {
                        if let Some(before) = place.checked_sub(distance) {
                            sum += factor * at(before);
                        }
                        if place + distance < length {
                            sum += factor * at(place + distance);
                        }
                    }
                    values[line * across + place * step + channel] = sum;
                }
            }
        }
        from.copy_from_slice(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: Image = Image { height: 6, width: 5, channels: 2 };

    fn noise(count: usize, seed: u64) -> Vec<f32> {
        (0..count as u64).map(|i| (splitmix64(seed + i) >> 40) as f32 / (1 << 24) as f32 - 0.5).collect()
    }

    #[test]
    fn a_turn_and_its_transpose_belong_together() {
        let turn = Turn::new(IMAGE, [0.7, -1.2], 0.3, 1.1);
        let (x, y) = (noise(60, 1), noise(60, 100));
        let (mut turned, mut back) = (vec![0.0; 60], vec![0.0; 60]);
        turn.apply(IMAGE, &x, &mut turned);
        turn.apply_transposed(IMAGE, &y, &mut back);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        assert!((dot(&turned, &y) - dot(&x, &back)).abs() < 1e-5);
    }

    #[test]
    fn nothing_turned_is_the_same_and_a_shift_shifts() {
        let x = noise(60, 1);
        let mut to = vec![0.0; 60];
        Turn::new(IMAGE, [0.0, 0.0], 0.0, 1.0).apply(IMAGE, &x, &mut to);
        assert!(x.iter().zip(&to).all(|(a, b)| (a - b).abs() < 1e-5));
        Turn::new(IMAGE, [1.0, 0.0], 0.0, 1.0).apply(IMAGE, &x, &mut to);
        assert!(x[10..].iter().zip(&to).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn a_blur_keeps_what_is_constant_inside_and_sums_to_one() {
        let kernel = gaussian(0.8);
        assert!((2.0 * kernel.iter().sum::<f32>() - kernel[0] - 1.0).abs() < 1e-6);
        let image = Image { height: 9, width: 9, channels: 1 };
        let mut values = vec![0.0; 81];
        values[40] = 1.0;
        blur(image, &kernel, &mut values);
        assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!((values[40] - kernel[0] * kernel[0]).abs() < 1e-6 && (values[39] - values[31]).abs() < 1e-6);
    }
}
