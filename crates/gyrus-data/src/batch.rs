//! Batches: the order of an epoch, and the filling of a buffer with network input.
//!
//! Both are pure functions of (seed, epoch, index), in parallel over examples: any number of threads gives the
//! same bits, and a resumed run sees what the uninterrupted one would have seen.

use std::cell::RefCell;

use rayon::prelude::*;

use crate::augment::{self, Augment, Size};
use crate::random::{Purpose, Stream};
use crate::{Examples, Features, Preprocessing};

/// The numbers `0..len` in the random order of one epoch; every epoch of a seed has its own.
///
/// Only the first `u32::MAX` numbers are visited.
#[must_use]
pub fn epoch_order(len: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..u32::try_from(len).unwrap_or(u32::MAX)).collect();
    Stream::new(Purpose::Order, seed, epoch, 0).shuffle(&mut order);
    order
}

/// Writes the examples at `indices` to `out` as network input, replacing what it held but not its memory:
/// `[indices, height, width, channels]` for images (normalized), `[indices, columns]` for tables, and
/// `[indices, steps, height, width, channels]` for frames of events, which are not augmented.
///
/// `augment` is `(settings, seed, epoch)`. What an example draws depends on these two and its index only.
///
/// # Panics
/// Where an index is not below `examples.len()`, as slice indexing does, or where `preprocessing` belongs to
/// examples of another kind or number of channels.
pub fn fill_batch(
    examples: &Examples,
    preprocessing: &Preprocessing,
    indices: &[u32],
    augment: Option<(&Augment, u64, u64)>,
    out: &mut Vec<f32>,
) {
    // An augmentation that changes nothing must not cost anything either.
    let augment = augment.filter(|(settings, ..)| **settings != Augment::default());
    let length = examples.features.example_length();
    out.resize(indices.len() * length, 0.0);
    if length == 0 {
        return;
    }
    let stream = |seed, epoch, index: u32| Stream::new(Purpose::Augment, seed, epoch, u64::from(index));
    match &examples.features {
        Features::Table(table) => {
            for (row, index) in out.chunks_exact_mut(length).zip(indices) {
                row.copy_from_slice(&table.values[*index as usize * length..][..length]);
                if let Some((settings, seed, epoch)) = augment.filter(|(settings, ..)| settings.noise > 0.0) {
                    let mut stream = stream(seed, epoch, *index);
                    row.iter_mut().for_each(|value| *value += settings.noise * stream.normal());
                }
            }
        }
        Features::Frames(frames) => {
            out.par_chunks_exact_mut(length).zip(indices).with_min_len(8).for_each(|(out, index)| {
                let counts = &frames.counts[*index as usize * length..][..length];
                out.iter_mut().zip(counts).for_each(|(out, count)| *out = f32::from(*count));
            });
        }
        Features::Images(images) => {
            let tables = preprocessing.brightness_tables();
            assert_eq!(tables.len(), images.channels, "the preprocessing belongs to other images");
            let size = Size { height: images.height, width: images.width, channels: images.channels };
            out.par_chunks_exact_mut(length).zip(indices).with_min_len(8).for_each(|(out, index)| {
                let pixels = &images.pixels[*index as usize * length..][..length];
                let Some((settings, seed, epoch)) = augment else {
                    augment::normalize(pixels, &tables, out);
                    return;
                };
                thread_local!(static PADDED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) });
                PADDED.with_borrow_mut(|padded| {
                    let mut stream = stream(seed, epoch, *index);
                    augment::augment_image(settings, size, pixels, &tables, &mut stream, padded, out);
                });
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Images, Table, Targets};

    fn images() -> (Examples, Preprocessing) {
        let pixels = (0..40 * 7 * 5 * 3).map(|i| (i * 97 % 251) as u8).collect();
        let images = Images { pixels, count: 40, height: 7, width: 5, channels: 3 };
        let preprocessing = Preprocessing::for_images(&images);
        let targets = Targets::Classes(vec![0; 40]);
        (Examples { features: Features::Images(images), targets }, preprocessing)
    }

    #[test]
    fn an_order_is_a_permutation_of_its_own_per_epoch_and_seed() {
        let order = epoch_order(1000, 7, 3);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<u32>>());
        assert_eq!(order, epoch_order(1000, 7, 3));
        assert_ne!(order, epoch_order(1000, 7, 4));
        assert_ne!(order, epoch_order(1000, 8, 3));
        assert!(epoch_order(0, 1, 1).is_empty());
    }

    #[test]
    fn a_batch_without_augmentation_is_normalized_per_channel() {
        let (examples, preprocessing) = images();
        let Preprocessing::Image { mean, deviation, .. } = &preprocessing else { panic!("an image") };
        let Features::Images(images) = &examples.features else { panic!("images") };
        // What the buffer held must not show.
        let mut out = vec![9.0; 1000];
        fill_batch(&examples, &preprocessing, &[3, 0], Some((&Augment::default(), 1, 2)), &mut out);
        assert_eq!(out.len(), 2 * 105);
        for (at, value) in out.iter().enumerate() {
            let image = if at < 105 { 3 } else { 0 };
            let pixel = images.get(image).unwrap()[at % 105];
            let expected = (f32::from(pixel) / 255.0 - mean[at % 3]) / deviation[at % 3];
            assert!((value - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn the_number_of_threads_and_the_neighbors_change_nothing() {
        let (examples, preprocessing) = images();
        let augment: Augment = "strong".parse().unwrap();
        let order = epoch_order(40, 5, 6);
        let fill = |threads: usize, indices: &[u32]| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = Vec::new();
            pool.install(|| {
                fill_batch(&examples, &preprocessing, indices, Some((&augment, 5, 6)), &mut out);
            });
            out
        };
        let whole = fill(1, &order);
        assert_eq!(whole, fill(2, &order));
        assert_eq!(whole, fill(5, &order));
        for (at, index) in order.iter().enumerate() {
            assert_eq!(whole[at * 105..][..105], fill(1, &[*index]));
        }
        let mut other = Vec::new();
        fill_batch(&examples, &preprocessing, &order, Some((&augment, 5, 7)), &mut other);
        assert_ne!(whole, other, "another epoch draws other changes");
    }

    #[test]
    fn tables_are_copied_and_noise_has_the_asked_deviation() {
        let values: Vec<f32> = (0..4000).map(|v| v as f32).collect();
        let features = Features::Table(Table { values: values.clone(), rows: 1000, columns: 4 });
        let examples = Examples { features, targets: Targets::Values(vec![0.0; 1000]) };
        let preprocessing = Preprocessing::Table { columns: Vec::new(), target: "y".into() };
        let indices: Vec<u32> = (0..1000).collect();
        let mut out = Vec::new();
        fill_batch(&examples, &preprocessing, &indices, None, &mut out);
        assert_eq!(out, values);
        let augment = Augment { noise: 0.5, ..Augment::default() };
        fill_batch(&examples, &preprocessing, &indices, Some((&augment, 1, 1)), &mut out);
        let variance = out.iter().zip(&values).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / 4000.0;
        assert!((variance.sqrt() - 0.5).abs() < 0.03, "deviation {}", variance.sqrt());
    }
}
