//! Gabor functions fitted to filters: which units of the first layer are edge detectors, at which orientation and frequency
//! (Hubel and Wiesel 1962; Jones and Palmer 1987, doi:10.1152/jn.1987.58.6.1233).
//!
//! g(x, y) = A exp(−x'²/2σ_x² − y'²/2σ_y²) cos(2πf x' + φ), where x' runs across the stripes, at the orientation θ. For given
//! center, widths, θ and f, amplitude and phase follow from a linear system of two unknowns; the others are searched on a grid
//! and refined by Levenberg and Marquardt's method. A filter of fewer than 25 pixels cannot carry that many parameters: there
//! the envelope is fixed, round and centered, and four parameters are left. Quality is the adjusted coefficient of determination,
//! R² = 1 − (1 − r²)(n − 1)/(n − p − 1) for p parameters and n pixels. A blob fits too: an edge detector must respond to a grating
//! of the fitted frequency at least twice as strongly at its best orientation as at its worst. [`random_quality`] says what noise
//! reaches.

use std::f64::consts::PI;

use gyrus_tensor::splitmix64;
use rayon::prelude::*;

use super::probe::{cholesky, solve_with};

/// From this quality on, a filter that is selective for orientation counts as an edge detector.
pub const EDGE_QUALITY: f64 = 0.7;
/// From this orientation selectivity on: twice the response at the best orientation.
pub const EDGE_SELECTIVITY: f64 = 1.0 / 3.0;
/// Orientations of gratings.
const GRATINGS: u32 = 24;
/// Pixels from which on the envelope is fitted as well.
const WHOLE_FIT: usize = 25;
/// Cycles per pixel at most: at 0.5, a sine is 0 at every pixel.
const HIGHEST: f64 = 0.45;
/// Steps of refinement.
const STEPS: usize = 40;
/// Starts that are refined.
const STARTS: usize = 3;

/// A Gabor function fitted to a filter.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct GaborFit {
    /// Direction across the stripes in degrees, 0 to 180, counterclockwise; an edge lies at a right angle to it.
    pub orientation_degrees: f64,
    /// Cycles per pixel, at least half a cycle within the filter.
    pub frequency: f64,
    /// (best − worst) / (best + worst) of the filter's responses to gratings of this frequency at all orientations, 0 to 1.
    pub orientation_selectivity: f64,
    /// φ in degrees at the center, −180 to 180: near 0 or 180 a bar, near ±90 an edge.
    pub phase_degrees: f64,
    /// A.
    pub amplitude: f64,
    /// The center, `[row, column]`, in pixels from the filter's.
    pub center: [f64; 2],
    /// σ_x and σ_y in pixels.
    pub width: [f64; 2],
    /// The adjusted coefficient of determination; at most 1, and below 0 where a constant fits better.
    pub quality: f64,
}

impl GaborFit {
    /// Whether the filter is an edge detector: the function explains it, and it prefers an orientation.
    #[must_use]
    pub fn is_edge_detector(&self) -> bool {
        self.quality >= EDGE_QUALITY && self.orientation_selectivity >= EDGE_SELECTIVITY
    }
}

/// Center, widths, orientation in radians, frequency.
#[derive(Clone, Copy)]
struct Shape {
    numbers: [f64; 6],
}

const ROW: usize = 0;
const COLUMN: usize = 1;
const ACROSS: usize = 2;
const ALONG: usize = 3;
const ORIENTATION: usize = 4;
const FREQUENCY: usize = 5;

/// Fits a Gabor function to a filter, `[height, width]`; none for a filter that is constant or has fewer than 9 pixels.
///
/// # Panics
/// If the filter does not have as many pixels as its extents say.
#[must_use]
pub fn fit(filter: &[f32], extents: [usize; 2]) -> Option<GaborFit> {
    let [height, width] = extents;
    assert_eq!(filter.len(), height * width, "a filter is [height, width]");
    let pixels: Vec<f64> = filter.iter().map(|value| f64::from(*value)).collect();
    let mean = pixels.iter().sum::<f64>() / pixels.len().max(1) as f64;
    let variance: f64 = pixels.iter().map(|value| (value - mean).powi(2)).sum();
    if pixels.len() < 9 || height < 3 || width < 3 || variance.is_nan() || variance <= 1e-24 {
        return None;
    }
    let whole = pixels.len() >= WHOLE_FIT;
    let free: &[usize] = match whole {
        true => &[ROW, COLUMN, ACROSS, ALONG, ORIENTATION, FREQUENCY],
        false => &[ORIENTATION, FREQUENCY],
    };
    let problem = Problem { pixels: &pixels, extents, free };
    let side = height.max(width) as f64;
    let mut starts: Vec<(f64, Shape)> = Vec::new();
    let widths: &[f64] = if whole { &[0.15, 0.3] } else { &[0.5] };
    for &scale in widths {
        for turn in 0..12 {
            for cycles in 1..=6 {
                let frequency =
                    ((0.25 + 0.25 * f64::from(cycles)) / side * if whole { 1.4 } else { 1.0 }).min(HIGHEST);
                let orientation = f64::from(turn) * PI / 12.0;
                let numbers = [0.0, 0.0, scale * side, scale * side, orientation, frequency];
                let shape = Shape { numbers };
                starts.push((problem.error(&shape), shape));
            }
        }
    }
    starts.sort_by(|a, b| a.0.total_cmp(&b.0));
    let refined = starts.into_iter().take(STARTS).map(|(_, shape)| problem.refine(shape));
    let (error, shape) = refined.min_by(|a, b| a.0.total_cmp(&b.0))?;
    let (_, [cosine, sine]) = problem.residuals(&shape);
    let parameters = (free.len() + 2) as f64;
    let n = pixels.len() as f64;
    let quality = 1.0 - (error / variance) * (n - 1.0) / (n - parameters - 1.0);
    let [row, column, across, along, orientation, frequency] = shape.numbers;
    // Rows go down, angles counterclockwise; a turn by 180 degrees turns the phase around.
    let degrees = (-orientation).to_degrees();
    let turned = degrees.rem_euclid(360.0) >= 180.0;
    let phase = (-sine).atan2(cosine).to_degrees();
    Some(GaborFit {
        orientation_degrees: degrees.rem_euclid(180.0),
        frequency,
        orientation_selectivity: problem.orientation_selectivity(frequency),
        phase_degrees: if turned { -phase } else { phase },
        amplitude: cosine.hypot(sine),
        center: [row, column],
        width: [across, along],
        quality,
    })
}

struct Problem<'a> {
    pixels: &'a [f64],
    extents: [usize; 2],
    free: &'a [usize],
}

impl Problem<'_> {
    /// What the best amplitudes of cosine and sine leave over, and these.
    fn residuals(&self, shape: &Shape) -> (Vec<f64>, [f64; 2]) {
        let [row, column, across, along, orientation, frequency] = shape.numbers;
        let [height, width] = self.extents;
        let (sin, cos) = orientation.sin_cos();
        let count = self.pixels.len();
        let (mut even, mut odd) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for index in 0..count {
            let y = (index / width) as f64 - (height as f64 - 1.0) / 2.0 - row;
            let x = (index % width) as f64 - (width as f64 - 1.0) / 2.0 - column;
            let (u, v) = (x * cos + y * sin, y * cos - x * sin);
            let envelope = (-0.5 * ((u / across).powi(2) + (v / along).powi(2))).exp();
            let (s, c) = (2.0 * PI * frequency * u).sin_cos();
            even.push(envelope * c);
            odd.push(envelope * s);
        }
        let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (a, b, c) = (sum(&even, &even), sum(&even, &odd), sum(&odd, &odd));
        let (p, q) = (sum(&even, self.pixels), sum(&odd, self.pixels));
        let determinant = a * c - b * b;
        // The sine vanishes with the frequency.
        let amplitudes = match determinant > 1e-9 * a * a.max(c) {
            true => [(p * c - q * b) / determinant, (q * a - p * b) / determinant],
            false => [if a > 0.0 { p / a } else { 0.0 }, 0.0],
        };
        let terms = self.pixels.iter().zip(even.iter().zip(&odd));
        let residuals = terms.map(|(pixel, (e, o))| pixel - amplitudes[0] * e - amplitudes[1] * o);
        (residuals.collect(), amplitudes)
    }

    fn error(&self, shape: &Shape) -> f64 {
        self.residuals(shape).0.iter().map(|value| value * value).sum()
    }

    /// How much more the filter responds to a grating of this frequency at its best orientation than at its worst.
    fn orientation_selectivity(&self, frequency: f64) -> f64 {
        let width = self.extents[1];
        let response = |turn: u32| {
            let (sin, cos) = (PI * f64::from(turn) / f64::from(GRATINGS)).sin_cos();
            let (mut even, mut odd) = (0.0, 0.0);
            for (index, pixel) in self.pixels.iter().enumerate() {
                let place = (index % width) as f64 * cos + (index / width) as f64 * sin;
                let (s, c) = (2.0 * PI * frequency * place).sin_cos();
                even += pixel * c;
                odd += pixel * s;
            }
            even.hypot(odd)
        };
        let responses = (0..GRATINGS).map(response);
        let (worst, best) = responses.fold((f64::MAX, 0.0f64), |(low, high), r| (low.min(r), high.max(r)));
        if best > 0.0 { (best - worst) / (best + worst) } else { 0.0 }
    }

    /// Keeps a shape within the filter.
    fn bounded(&self, mut shape: Shape) -> Shape {
        let [height, width] = self.extents.map(|side| side as f64);
        let side = height.max(width);
        let limits = [
            (-height / 2.0, height / 2.0),
            (-width / 2.0, width / 2.0),
            (0.5, side),
            (0.5, side),
            (-1e3, 1e3),
            ((0.5 / side).min(HIGHEST), HIGHEST),
        ];
        for (number, (low, high)) in shape.numbers.iter_mut().zip(limits) {
            *number = number.clamp(low, high);
        }
        shape
    }

    /// Levenberg and Marquardt, with derivatives from differences.
    fn refine(&self, mut shape: Shape) -> (f64, Shape) {
        let (mut residuals, _) = self.residuals(&shape);
        let mut error: f64 = residuals.iter().map(|value| value * value).sum();
        let mut damping = 1e-2;
        for _ in 0..STEPS {
            let columns: Vec<Vec<f64>> = (self.free.iter())
                .map(|&index| {
                    let mut moved = shape;
                    moved.numbers[index] += 1e-5;
                    let (other, _) = self.residuals(&moved);
                    other.iter().zip(&residuals).map(|(a, b)| (a - b) / 1e-5).collect()
                })
                .collect();
            let count = columns.len();
            let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let gradient: Vec<f64> = columns.iter().map(|column| -sum(column, &residuals)).collect();
            let before = error;
            for _ in 0..6 {
                let mut matrix = vec![0.0; count * count];
                for i in 0..count {
                    for j in 0..count {
                        matrix[i * count + j] = sum(&columns[i], &columns[j]);
                    }
                    matrix[i * (count + 1)] += damping * matrix[i * (count + 1)].max(1e-12);
                }
                let mut step = gradient.clone();
                if cholesky(&mut matrix, count).is_none() {
                    damping *= 10.0;
                    continue;
                }
                solve_with(&matrix, &mut step);
                let mut moved = shape;
                self.free.iter().zip(&step).for_each(|(&index, step)| moved.numbers[index] += step);
                let moved = self.bounded(moved);
                let (other, _) = self.residuals(&moved);
                let other_error: f64 = other.iter().map(|value| value * value).sum();
                if other_error < error {
                    (shape, residuals, error) = (moved, other, other_error);
                    damping = (damping * 0.3).max(1e-9);
                    break;
                }
                damping *= 5.0;
            }
            if before - error <= 1e-10 * before {
                break;
            }
        }
        (error, shape)
    }
}

/// The spatial part of a filter of several channels, `[channels, height, width]`: its projection on the mix of channels that
/// explains most of it, and that mix, of length 1. For one channel the filter itself.
#[must_use]
pub fn spatial_profile(filter: &[f32], channels: usize) -> (Vec<f32>, Vec<f32>) {
    let pixels = filter.len() / channels.max(1);
    let mut mix = vec![1.0 / (channels.max(1) as f32).sqrt(); channels];
    if channels <= 1 {
        return (filter.to_vec(), mix);
    }
    let project = |mix: &[f32]| -> Vec<f32> {
        (0..pixels)
            .map(|pixel| mix.iter().enumerate().map(|(c, m)| m * filter[c * pixels + pixel]).sum())
            .collect()
    };
    // The mix of equals may be the one that cancels; start from the strongest channel as well.
    let strength = |c: usize| filter[c * pixels..][..pixels].iter().map(|v| v * v).sum::<f32>();
    if let Some(strongest) = (0..channels).max_by(|&a, &b| strength(a).total_cmp(&strength(b))) {
        mix[strongest] += 1.0;
    }
    for _ in 0..50 {
        let profile = project(&mix);
        let next: Vec<f32> = (filter.chunks_exact(pixels))
            .map(|channel| channel.iter().zip(&profile).map(|(a, b)| a * b).sum())
            .collect();
        let length = next.iter().map(|value| value * value).sum::<f32>().sqrt();
        if length <= 0.0 {
            break;
        }
        mix = next.iter().map(|value| value / length).collect();
    }
    (project(&mix), mix)
}

/// Fits many filters, `[filters, height, width]`.
#[must_use]
pub fn fit_all(filters: &[f32], extents: [usize; 2]) -> Vec<Option<GaborFit>> {
    filters.par_chunks_exact((extents[0] * extents[1]).max(1)).map(|filter| fit(filter, extents)).collect()
}

/// What filters of noise reach: the share of `count` of them that would count as edge detectors.
#[must_use]
pub fn random_quality(extents: [usize; 2], count: usize, seed: u64) -> f64 {
    let pixels = extents[0] * extents[1];
    let uniform = |index: usize| (splitmix64(seed ^ index as u64) >> 11) as f64 / (1u64 << 53) as f64;
    // Sums of uniform numbers are nearly normal.
    let normal = |index: usize| (0..6).map(|part| uniform(6 * index + part) - 0.5).sum::<f64>() as f32;
    let filters: Vec<f32> = (0..count * pixels).map(normal).collect();
    let fits = fit_all(&filters, extents);
    let edges = fits.iter().flatten().filter(|fit| fit.is_edge_detector()).count();
    edges as f64 / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gabor(extents: [usize; 2], of: GaborFit) -> Vec<f32> {
        let theta = -of.orientation_degrees.to_radians();
        let value = |index: usize| {
            let y = (index / extents[1]) as f64 - (extents[0] as f64 - 1.0) / 2.0 - of.center[0];
            let x = (index % extents[1]) as f64 - (extents[1] as f64 - 1.0) / 2.0 - of.center[1];
            let (u, v) = (x * theta.cos() + y * theta.sin(), y * theta.cos() - x * theta.sin());
            let envelope = (-0.5 * ((u / of.width[0]).powi(2) + (v / of.width[1]).powi(2))).exp();
            of.amplitude * envelope * (2.0 * PI * of.frequency * u + of.phase_degrees.to_radians()).cos()
        };
        (0..extents[0] * extents[1]).map(|index| value(index) as f32).collect()
    }

    #[test]
    fn the_parameters_of_a_gabor_function_come_back() {
        for (orientation, frequency, phase) in [(30.0, 0.18, 60.0), (120.0, 0.25, -100.0), (90.0, 0.12, 10.0)]
        {
            let made = GaborFit {
                orientation_degrees: orientation,
                frequency,
                orientation_selectivity: 1.0,
                phase_degrees: phase,
                amplitude: 0.7,
                center: [0.4, -0.6],
                width: [1.9, 2.6],
                quality: 1.0,
            };
            let fit = fit(&gabor([11, 11], made), [11, 11]).expect("it varies");
            assert!(fit.quality > 0.999, "{fit:?}");
            assert!((fit.orientation_degrees - orientation).abs() < 0.5, "{fit:?}");
            assert!((fit.frequency - frequency).abs() < 0.003, "{fit:?}");
            assert!((fit.phase_degrees - phase).abs() < 2.0, "{fit:?}");
            assert!((fit.amplitude - 0.7).abs() < 0.02 && (fit.width[1] - 2.6).abs() < 0.05, "{fit:?}");
            assert!(fit.is_edge_detector());
        }
    }

    #[test]
    fn small_edges_are_edges_and_a_dot_is_none() {
        let edge = [1.0, 0.0, -1.0, 1.0, 0.0, -1.0, 1.0, 0.0, -1.0];
        let fit_of = |filter: &[f32]| fit(filter, [3, 3]).expect("it varies");
        let vertical = fit_of(&edge);
        assert!(vertical.is_edge_detector(), "{vertical:?}");
        let off = vertical.orientation_degrees.min(180.0 - vertical.orientation_degrees);
        assert!(off < 5.0, "{vertical:?}");
        for dot in
            [[1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0], [0.3, 0.6, 0.3, 0.6, 1.0, 0.6, 0.3, 0.6, 0.3]]
        {
            assert!(!fit_of(&dot).is_edge_detector(), "{:?}", fit_of(&dot));
        }
        assert_eq!(fit(&[0.5; 9], [3, 3]), None);
    }

    #[test]
    fn noise_seldom_counts() {
        let (large, small) = (random_quality([7, 7], 100, 1), random_quality([3, 3], 400, 1));
        assert!(large < 0.05 && small < 0.3, "{large} {small}");
    }

    #[test]
    fn color_does_not_hide_an_edge() {
        let edge = [1.0, 0.0, -1.0, 1.0, 0.0, -1.0, 1.0, 0.0, -1.0f32];
        // Red against blue, no green.
        let filter: Vec<f32> =
            [1.0, 0.0, -1.0].iter().flat_map(|c| edge.iter().map(move |v| c * v)).collect();
        let (profile, mix) = spatial_profile(&filter, 3);
        assert!((mix[0].abs() - 0.5f32.sqrt()).abs() < 1e-4 && mix[1].abs() < 1e-4, "{mix:?}");
        let scale = 2f32.sqrt() * mix[0].signum();
        assert!(profile.iter().zip(&edge).all(|(a, b)| (a - scale * b).abs() < 1e-4), "{profile:?}");
    }
}
