//! What units do over many examples: what excites them most, how selective and how sparse they are.
//!
//! A unit's response to an example is the mean of its channel over all places; what excites it most is the place where it is
//! largest. The class selectivity index of a unit is (µ_max − µ_rest) / (µ_max + µ_rest), with the mean response to the class it
//! responds to most and the mean over the other classes (Morcos et al. 2018, arXiv:1803.06959): 0 for a unit that does not care,
//! 1 for one that responds to one class alone. Sparseness is that of Vinje and Gallant (2000, doi:10.1126/science.287.5456.1273),
//! S = (1 − (Σ r/n)² / (Σ r²/n)) / (1 − 1/n): 0 for a unit that responds to everything alike, 1 for one that responds once. Both
//! take negative responses as 0.
//!
//! Cost: one pass over the activations, which are not kept.

use gyrus_blueprint::Image;
use rayon::prelude::*;

use super::Layer;

/// Where a unit responded.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Excitation {
    /// The example, counted from 0 in the order in which they were added.
    pub example: usize,
    /// The place in the layer's map.
    pub row: usize,
    /// The place in the layer's map.
    pub column: usize,
    /// The activation there.
    pub value: f32,
}

/// What a unit did over all examples.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct UnitStatistics {
    /// Mean activation, over examples and places.
    pub mean: f64,
    /// Standard deviation of the response over examples.
    pub deviation: f64,
    /// Share of examples in which it was above 0 at some place.
    pub active: f64,
    /// The class selectivity index, 0 to 1; none without classes, and for a unit that never responds.
    pub selectivity: Option<f64>,
    /// The class of the largest mean response.
    pub preferred_class: Option<usize>,
    /// Mean response to each class; empty without classes.
    pub class_means: Vec<f64>,
    /// Sparseness over examples, 0 to 1; none for a unit that never responds.
    pub sparseness: Option<f64>,
    /// Where it was largest, one place for each example, the largest first.
    pub top: Vec<Excitation>,
}

/// What the units of a layer did over all examples.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct LayerStatistics {
    /// One for each unit.
    pub units: Vec<UnitStatistics>,
    /// Mean share of units that are above 0 at a place.
    pub active_share: f64,
}

/// Gathers what the units of some layers do, example by example.
pub struct Collector {
    classes: usize,
    top: usize,
    examples: usize,
    of_class: Vec<u64>,
    layers: Vec<Sums>,
}

/// Running sums of a layer.
struct Sums {
    image: Image,
    sum: Vec<f64>,
    squares: Vec<f64>,
    rectified: Vec<f64>,
    rectified_squares: Vec<f64>,
    active: Vec<u64>,
    /// `[units, classes]`
    by_class: Vec<f64>,
    /// With the mean response, which decides between equals.
    top: Vec<Vec<(Excitation, f32)>>,
    active_places: f64,
}

/// What a unit did in one example.
#[derive(Clone, Copy)]
struct Response {
    mean: f32,
    largest: f32,
    place: usize,
}

impl Collector {
    /// For these layers, with examples of this many classes (0 if they have none), keeping this many excitations of a unit.
    #[must_use]
    pub fn new(layers: &[Layer], classes: usize, top: usize) -> Self {
        let sums = |layer: &Layer| {
            let units = layer.units();
            Sums {
                image: layer.image,
                sum: vec![0.0; units],
                squares: vec![0.0; units],
                rectified: vec![0.0; units],
                rectified_squares: vec![0.0; units],
                active: vec![0; units],
                by_class: vec![0.0; units * classes],
                top: vec![Vec::with_capacity(top + 1); units],
                active_places: 0.0,
            }
        };
        let layers = layers.iter().map(sums).collect();
        Self { classes, top, examples: 0, of_class: vec![0; classes], layers }
    }

    /// Adds a batch: the activations of each layer, `[batch, elements]` channels-last, and the class of each example, where
    /// there are classes.
    ///
    /// # Panics
    /// If there are not as many activations as the layers have.
    pub fn add(&mut self, activations: &[Vec<f32>], classes: Option<&[u32]>) {
        assert_eq!(activations.len(), self.layers.len(), "one batch of activations for each layer");
        let classes = classes.unwrap_or_default();
        let mut batch = 0;
        for (sums, activations) in self.layers.iter_mut().zip(activations) {
            batch = sums.add(activations, (self.examples, self.top), (classes, self.classes));
        }
        self.examples += batch;
        for &class in classes.iter().take(batch) {
            if let Some(count) = self.of_class.get_mut(class as usize) {
                *count += 1;
            }
        }
    }

    /// Examples added so far.
    #[must_use]
    pub fn examples(&self) -> usize {
        self.examples
    }

    /// What was gathered, layer by layer.
    #[must_use]
    pub fn finish(self) -> Vec<LayerStatistics> {
        let (examples, of_class) = (self.examples.max(1) as f64, self.of_class);
        let layers = self.layers.into_iter().map(|sums| {
            let places = sums.image.pixels().max(1) as f64;
            let share = sums.active_places / (examples * places * sums.image.channels.max(1) as f64);
            let mut top = sums.top.into_iter();
            let units = (0..sums.image.channels).map(|unit| {
                let mean = sums.sum[unit] / examples;
                let row = &sums.by_class[unit * of_class.len()..][..of_class.len()];
                let class_means: Vec<f64> =
                    row.iter().zip(&of_class).map(|(sum, count)| sum / (*count).max(1) as f64).collect();
                let (selectivity, preferred_class) = selectivity(&class_means, &of_class);
                UnitStatistics {
                    mean,
                    deviation: (sums.squares[unit] / examples - mean * mean).max(0.0).sqrt(),
                    active: sums.active[unit] as f64 / examples,
                    selectivity,
                    preferred_class,
                    class_means,
                    sparseness: sparseness(sums.rectified[unit], sums.rectified_squares[unit], examples),
                    top: top
                        .next()
                        .unwrap_or_default()
                        .into_iter()
                        .map(|(excitation, _)| excitation)
                        .collect(),
                }
            });
            LayerStatistics { units: units.collect(), active_share: share }
        });
        layers.collect()
    }
}

impl Sums {
    fn add(
        &mut self,
        activations: &[f32],
        (first, keep): (usize, usize),
        (classes, count): (&[u32], usize),
    ) -> usize {
        let units = self.image.channels;
        let elements = self.image.pixels() * units;
        let responses: Vec<(Vec<Response>, u64)> =
            activations.par_chunks_exact(elements.max(1)).map(|row| respond(row, units)).collect();
        for (index, (responses, active)) in responses.iter().enumerate() {
            let class = classes.get(index).map(|class| *class as usize).filter(|class| *class < count);
            self.active_places += *active as f64;
            for (unit, response) in responses.iter().enumerate() {
                let mean = f64::from(response.mean);
                self.sum[unit] += mean;
                self.squares[unit] += mean * mean;
                let rectified = mean.max(0.0);
                self.rectified[unit] += rectified;
                self.rectified_squares[unit] += rectified * rectified;
                self.active[unit] += u64::from(response.largest > 0.0);
                if let Some(class) = class {
                    self.by_class[unit * count + class] += rectified;
                }
                let top = &mut self.top[unit];
                if keep == 0 || !response.largest.is_finite() {
                    continue;
                }
                // Spike rates are often equal; then the larger mean goes first, and of equals the earlier example.
                let rank = (response.largest, response.mean);
                let place = top.partition_point(|(other, mean)| (other.value, *mean) >= rank);
                if place < keep {
                    let width = self.image.width.max(1);
                    let (row, column) = (response.place / width, response.place % width);
                    let excitation =
                        Excitation { example: first + index, row, column, value: response.largest };
                    top.insert(place, (excitation, response.mean));
                    top.truncate(keep);
                }
            }
        }
        responses.len()
    }
}

/// The responses of all units to one example, `[pixels, units]`, and how many of the numbers are above 0.
fn respond(row: &[f32], units: usize) -> (Vec<Response>, u64) {
    let pixels = (row.len() / units.max(1)).max(1) as f32;
    let mut sums = vec![0.0f32; units];
    let mut largest = vec![f32::NEG_INFINITY; units];
    let mut places = vec![0usize; units];
    let mut active = 0u64;
    for (pixel, values) in row.chunks_exact(units.max(1)).enumerate() {
        for (unit, &value) in values.iter().enumerate() {
            sums[unit] += value;
            active += u64::from(value > 0.0);
            if value > largest[unit] {
                (largest[unit], places[unit]) = (value, pixel);
            }
        }
    }
    let responses = (0..units).map(|unit| Response {
        mean: sums[unit] / pixels,
        largest: largest[unit],
        place: places[unit],
    });
    (responses.collect(), active)
}

/// The class selectivity index, and the class of the largest mean; classes without examples do not count.
fn selectivity(means: &[f64], of_class: &[u64]) -> (Option<f64>, Option<usize>) {
    let seen = || means.iter().zip(of_class).enumerate().filter(|(_, (_, count))| **count > 0);
    let count = seen().count();
    let best = seen().max_by(|a, b| a.1.0.total_cmp(b.1.0).then(b.0.cmp(&a.0)));
    let Some((best, (largest, _))) = best.filter(|_| count > 1) else { return (None, None) };
    let rest = seen().filter(|(class, _)| *class != best).map(|(_, (mean, _))| mean).sum::<f64>();
    let rest = rest / (count - 1) as f64;
    if largest + rest <= 0.0 {
        return (None, None);
    }
    (Some((largest - rest) / (largest + rest)), Some(best))
}

/// Sparseness from the sum and the sum of squares of `count` responses.
fn sparseness(sum: f64, squares: f64, count: f64) -> Option<f64> {
    if squares <= 0.0 || count < 2.0 {
        return None;
    }
    let ratio = (sum / count).powi(2) / (squares / count);
    Some(((1.0 - ratio) / (1.0 - 1.0 / count)).clamp(0.0, 1.0))
}

/// Means over a grid of at most `side` by `side` cells: from activations `[batch, height, width, channels]` to
/// `[batch, cells, channels]`. Cells differ by at most one row or column. Returns the features of one example as well.
///
/// # Panics
/// If the activations are not whole images.
#[must_use]
pub fn grid_means(activations: &[f32], image: Image, side: usize) -> (Vec<f32>, usize) {
    let Image { height, width, channels } = image;
    let elements = height * width * channels;
    assert!(elements > 0 && activations.len().is_multiple_of(elements), "whole images");
    let (rows, columns) = (side.clamp(1, height), side.clamp(1, width));
    let features = rows * columns * channels;
    let mut means = vec![0.0; activations.len() / elements * features];
    means.par_chunks_exact_mut(features).zip(activations.par_chunks_exact(elements)).for_each(
        |(means, image)| {
            for (cell, means) in means.chunks_exact_mut(channels).enumerate() {
                let part =
                    |index: usize, parts: usize, of: usize| (index * of / parts, (index + 1) * of / parts);
                let (top, bottom) = part(cell / columns, rows, height);
                let (left, right) = part(cell % columns, columns, width);
                for row in top..bottom {
                    for pixel in image[(row * width + left) * channels..(row * width + right) * channels]
                        .chunks_exact(channels)
                    {
                        means.iter_mut().zip(pixel).for_each(|(mean, value)| *mean += value);
                    }
                }
                let factor = 1.0 / ((bottom - top) * (right - left)) as f32;
                means.iter_mut().for_each(|mean| *mean *= factor);
            }
        },
    );
    (means, features)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(image: Image) -> Layer {
        let name = "layer".to_owned();
        Layer { name, weights: 0, output: 0, before_activation: 0, image, field: None }
    }

    #[test]
    fn selectivity_and_sparseness_have_their_closed_forms() {
        let image = Image { height: 1, width: 1, channels: 3 };
        let mut collector = Collector::new(&[layer(image)], 2, 2);
        // Unit 0 responds to one class alone, unit 1 to all alike, unit 2 three times as much to the second class.
        collector.add(&[vec![1.0, 2.0, 1.0, 0.0, 2.0, 3.0]], Some(&[0, 1]));
        collector.add(&[vec![1.0, 2.0, 1.0, 0.0, 2.0, 3.0]], Some(&[0, 1]));
        let units = &collector.finish()[0].units;
        let close = |got: Option<f64>, expected: f64| (got.expect("it responds") - expected).abs() < 1e-9;
        assert!(close(units[0].selectivity, 1.0) && close(units[1].selectivity, 0.0));
        assert!(close(units[2].selectivity, 0.5));
        assert_eq!([0, 1, 2].map(|unit: usize| units[unit].preferred_class), [Some(0), Some(0), Some(1)]);
        // Half of four responses: (1 - 1/2) / (1 - 1/4).
        assert!(close(units[0].sparseness, 2.0 / 3.0) && close(units[1].sparseness, 0.0));
        assert_eq!(units[2].top.iter().map(|top| top.example).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn what_excites_most_is_found_with_its_place() {
        let image = Image { height: 2, width: 3, channels: 2 };
        let mut collector = Collector::new(&[layer(image)], 0, 1);
        let mut values = vec![0.0; 24];
        values[12 + 2 * 4] = 5.0;
        values[2 * 2 + 1] = 7.0;
        collector.add(&[values], None);
        let units = &collector.finish()[0].units;
        assert_eq!(units[0].top, [Excitation { example: 1, row: 1, column: 1, value: 5.0 }]);
        assert_eq!(units[1].top, [Excitation { example: 0, row: 0, column: 2, value: 7.0 }]);
        assert_eq!((units[0].active, units[0].selectivity), (0.5, None));
    }

    #[test]
    fn a_unit_that_never_responds_has_no_selectivity() {
        let mut collector = Collector::new(&[layer(Image { height: 1, width: 1, channels: 1 })], 2, 1);
        collector.add(&[vec![0.0, 0.0]], Some(&[0, 1]));
        let unit = collector.finish().remove(0).units.remove(0);
        assert_eq!((unit.selectivity, unit.sparseness, unit.preferred_class), (None, None, None));
    }

    #[test]
    fn grid_means_cover_every_place_once() {
        let image = Image { height: 3, width: 3, channels: 1 };
        let values: Vec<f32> = (0..9).map(|value| value as f32).collect();
        assert_eq!(grid_means(&values, image, 1), (vec![4.0], 1));
        // Rows 0 | 1, 2 and columns 0 | 1, 2.
        assert_eq!(grid_means(&values, image, 2), (vec![0.0, 1.5, 4.5, 6.0], 4));
        assert_eq!(grid_means(&values, image, 9), (values.clone(), 9));
    }
}
