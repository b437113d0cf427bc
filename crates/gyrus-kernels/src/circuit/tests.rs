//! Circuit kernels against their naive forms.

#![allow(clippy::unwrap_used)]

use super::*;

fn number(seed: &mut u64) -> f64 {
    *seed = crate::splitmix64(*seed);
    (*seed >> 11) as f64 / (1u64 << 53) as f64
}

#[test]
fn philox_has_the_published_answers() {
    // Round functions of Random123's philox2x32 with 7 and with 10 rounds differ only in their number.
    fn rounds(counter: [u32; 2], mut key: u32, rounds: usize) -> [u32; 2] {
        let [mut a, mut b] = counter;
        for _ in 0..rounds {
            let product = u64::from(a) * 0xD256_D193;
            (a, b) = ((product >> 32) as u32 ^ key ^ b, product as u32);
            key = key.wrapping_add(0x9E37_79B9);
        }
        [a, b]
    }
    assert_eq!(rounds([0, 0], 0, 10), [0xff1d_ae59, 0x6cd1_0df2]);
    assert_eq!(rounds([u32::MAX, u32::MAX], u32::MAX, 10), [0x2c3f_628b, 0xab4f_d7ad]);
    for counter in [[0, 0], [7, 123_456], [u32::MAX, 3]] {
        assert_eq!(philox(counter, 99), rounds(counter, 99, 7));
    }
}

#[test]
fn poisson_numbers_have_their_mean_and_variance_and_do_not_depend_on_blocks() {
    for mean in [0.0, 0.0008, 0.7, 2.0, 6.0, 90.0] {
        let table = PoissonTable::new(mean);
        let mut counts = vec![0.0f32; 64_000];
        for (step, counts) in counts.chunks_mut(640).enumerate() {
            add_poisson(&table, 5, step as u64, 0, 1.0, counts);
        }
        let n = counts.len() as f64;
        let got = counts.iter().map(|&c| f64::from(c)).sum::<f64>() / n;
        let variance = counts.iter().map(|&c| (f64::from(c) - got).powi(2)).sum::<f64>() / n;
        let tolerance = 5.0 * (mean / n).sqrt();
        assert!((got - mean).abs() <= tolerance, "{got} for {mean}");
        assert!((variance - mean).abs() <= 0.05 * mean + 5.0 * (mean / n).sqrt(), "{variance} for {mean}");
        let mut part = vec![0.0f64; 70];
        add_poisson(&table, 5, 3, 128, 1.0, &mut part);
        let same: Vec<f64> = counts[3 * 640 + 128..][..70].iter().map(|&count| f64::from(count)).collect();
        assert_eq!(part, same);
    }
}

#[test]
fn spikes_reach_their_places() {
    let mut seed = 3;
    let starts: Vec<u32> = vec![0, 13, 13, 40, 41, 60];
    let places: Vec<u16> = (0..60).map(|_| (number(&mut seed) * 64.0) as u16).collect();
    let weights: Vec<f32> = (0..60).map(|_| number(&mut seed) as f32).collect();
    let sources = [100u32, 102, 102, 103, 104];
    for own in [true, false] {
        let weights = if own { &weights[..] } else { &[] };
        let rows = Rows { starts: &starts, places: &places, weights, weight: 0.5 };
        let mut sums = vec![0.0f32; 64];
        assert_eq!(deliver(rows, &sources, 100, 17, &mut sums), 13 + 27 + 27 + 1 + 19);
        let mut expected = vec![0.0f32; 64];
        for source in sources {
            let source = (source - 100) as usize;
            for at in starts[source] as usize..starts[source + 1] as usize {
                expected[(17 + places[at] as usize) % 64] += if own { weights[at] } else { 0.5 };
            }
        }
        assert_eq!(sums, expected);
    }
}

/// A membrane with delta synapses, one neuron after another.
#[test]
fn delta_neurons_step_as_written() {
    let step = DeltaStep { decay: 0.99, gain: 0.1, drive: 0.02, threshold: 1.0, reset: 0.1, refractory: 3.0 };
    let (mut seed, count) = (8, 200);
    let (mut v, mut left) = (vec![0.0f64; count], vec![0.0f64; count]);
    let (mut naive_v, mut naive_left) = (v.clone(), vec![0u32; count]);
    for time in 0..200 {
        let x: Vec<f64> = (0..count).map(|_| number(&mut seed) * 0.1).collect();
        let current: Vec<f64> =
            if time % 2 == 0 { Vec::new() } else { (0..count).map(|_| number(&mut seed)).collect() };
        let mut spikes = Vec::new();
        step.run(&x, &current, &mut v, &mut left, &mut spikes);
        let mut expected = Vec::new();
        for n in 0..count {
            if naive_left[n] > 0 {
                naive_left[n] -= 1;
                continue;
            }
            let i = current.get(n).copied().unwrap_or(0.0);
            naive_v[n] = 0.99 * naive_v[n] + 0.1 * i + 0.02 + x[n];
            if naive_v[n] >= 1.0 {
                naive_v[n] = 0.1;
                naive_left[n] = 3;
                expected.push(n as u32);
            }
        }
        assert_eq!(spikes, expected);
        assert!(v.iter().zip(&naive_v).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}

struct Spiral;

impl Equations<2> for Spiral {
    fn slope(&self, y: &[f64; 2]) -> [f64; 2] {
        [-0.1 * y[0] - y[1], y[0] - 0.1 * y[1]]
    }
}

#[test]
fn the_adaptive_solver_keeps_its_tolerance() {
    let (mut y, mut t, mut h) = ([1.0, 0.0], 0.0, 0.1);
    let control = Control { absolute: 1e-9, relative: 0.0 };
    let mut steps = 0;
    while t < 10.0 {
        advance(&Spiral, control, (&mut t, 10.0), &mut h, &mut y);
        steps += 1;
    }
    let exact = [(-1.0f64).exp() * 10f64.cos(), (-1.0f64).exp() * 10f64.sin()];
    assert!((y[0] - exact[0]).abs() < 1e-7 && (y[1] - exact[1]).abs() < 1e-7, "{y:?} for {exact:?}");
    assert!((20..2000).contains(&steps), "{steps} steps");
}
