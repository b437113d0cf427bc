//! How long one batch of 64 images of MNIST's size takes, with and without augmentation.
//!
//! `cargo run --release -p gyrus-data --no-default-features --example batch_speed`

use std::time::Instant;

use gyrus_data::{Augment, Examples, Features, Images, Preprocessing, Targets, epoch_order, fill_batch};

const COUNT: usize = 6400;
const BATCH: usize = 64;

fn main() {
    for (side, channels) in [(28, 1), (32, 3)] {
        let pixels = (0..COUNT * side * side * channels).map(|at| (at * 31 % 256) as u8).collect();
        let images = Images { pixels, count: COUNT, height: side, width: side, channels };
        let preprocessing = Preprocessing::for_images(&images);
        let targets = Targets::Classes(vec![0; COUNT]);
        let examples = Examples { features: Features::Images(images), targets };
        for name in ["none", "digits", "strong", "photos"] {
            let Ok(augment) = name.parse::<Augment>() else { continue };
            let mut batch = Vec::new();
            let mut times: Vec<f64> = (0..5)
                .flat_map(|epoch| {
                    epoch_order(COUNT, 0, epoch).chunks(BATCH).map(<[u32]>::to_vec).collect::<Vec<_>>()
                })
                .map(|indices| {
                    let start = Instant::now();
                    fill_batch(&examples, &preprocessing, &indices, Some((&augment, 0, 0)), &mut batch);
                    start.elapsed().as_secs_f64() * 1e6
                })
                .collect();
            times.sort_by(f64::total_cmp);
            println!(
                "{side}x{side}x{channels} {name:7} median {:7.1} us, fastest {:7.1} us per batch of {BATCH}",
                times[times.len() / 2],
                times[0]
            );
        }
    }
}
