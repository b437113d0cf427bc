//! Times the kernels of a decoder's training step at the sizes of the benchmark: `decoder_speed [THREADS]`.
use std::time::Instant;

use gyrus_kernels::attention::causal::{CausalAttention, causal_attention, causal_attention_backward};
use gyrus_kernels::attention::rotary::Rotation;
use gyrus_kernels::dense::linear::{linear, linear_input_gradient, linear_weight_gradient};
use gyrus_kernels::normalization::rms::{rms_norm, rms_norm_backward};
use gyrus_kernels::oracle::values;
use gyrus_kernels::stored::Matrix;
use gyrus_kernels::token::activation::FeedForwardActivation;
use gyrus_kernels::token::gated::{gated, gated_backward};
use gyrus_kernels::token::vocabulary_loss::{VocabularyLoss, VocabularyLossGradients, vocabulary_loss};

fn time(name: &str, operations: usize, mut work: impl FnMut()) {
    work();
    let mut best = f64::INFINITY;
    for _ in 0..15 {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name:<28} {:8.3} ms  {:6.1} GFLOP/s", best * 1e3, operations as f64 / best * 1e-9);
}

/// `width`, heads, feed-forward width, texts and their length.
fn parts(width: usize, heads: usize, feed_forward: usize, texts: usize, length: usize) {
    println!("width {width}, {texts} texts of {length}");
    let rows = texts * length;
    for (k, n) in [(width, 3 * width), (width, width), (width, 2 * feed_forward), (feed_forward, width)] {
        let (x, w, dy) = (values(rows * k, 1), values(n * k, 2), values(rows * n, 3));
        let (mut y, mut dx, mut dw) = (vec![0.0; rows * n], vec![0.0; rows * k], vec![0.0; n * k]);
        let operations = 2 * rows * k * n;
        time(&format!("linear {rows}x{k}x{n}"), operations, || {
            linear(&x, &w, None, false, (rows, k, n), &mut y);
        });
        time("  dx", operations, || linear_input_gradient(&dy, &w, (rows, k, n), &mut dx));
        time("  dw", operations, || linear_weight_gradient(&dy, &x, (rows, k, n), &mut dw));
    }
    let head_width = width / heads;
    let shape = CausalAttention {
        heads,
        key_value_heads: heads,
        head_width,
        scale: (head_width as f32).powf(-0.5),
        softcap: None,
        window: None,
    };
    let ends: Vec<usize> = (1..=texts).map(|text| text * length).collect();
    let pairs = head_width / 2;
    let angles = values(length * pairs, 4);
    let rotation = Some(Rotation { cosines: &angles, sines: &angles, pairs, interleaved: false });
    let (x, dy) = (values(rows * 3 * width, 5), values(rows * width, 6));
    let (mut y, mut logarithms) = (vec![0.0; rows * width], vec![0.0; rows * heads]);
    let mut dx = vec![0.0; x.len()];
    let operations = 2 * rows * length * width;
    time("attention", operations, || {
        causal_attention(&shape, &ends, rotation, &x, &mut y, &mut logarithms);
    });
    time("  back", operations * 5 / 2, || {
        causal_attention_backward(&shape, &ends, rotation, &x, (&y, &logarithms), &dy, &mut dx);
    });

    let (x, dy) = (values(rows * 2 * feed_forward, 7), values(rows * feed_forward, 8));
    let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
    time("gated", rows * feed_forward, || gated(FeedForwardActivation::Silu, &x, feed_forward, &mut y));
    time("  back", rows * feed_forward, || {
        gated_backward(FeedForwardActivation::Silu, &x, feed_forward, &dy, &mut dx);
    });

    let (x, weight, dy) = (values(rows * width, 9), values(width, 10), values(rows * width, 11));
    let (mut y, mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; width]);
    time("norm", rows * width, || rms_norm(&x, &weight, 1e-5, &mut y));
    time("  back", rows * width, || rms_norm_backward(&x, &weight, 1e-5, &dy, &mut dx, &mut dw));

    let vocabulary = 8192;
    let weight = values(vocabulary * width, 12);
    let targets: Vec<u32> = (0..rows).map(|row| (row * 31 % vocabulary) as u32).collect();
    let mut dw = vec![0.0; weight.len()];
    time("vocabulary loss", 6 * rows * width * vocabulary, || {
        let gradients = VocabularyLossGradients { input: &mut dx, weight: Some(&mut dw) };
        let shape = VocabularyLoss { width, vocabulary, softcap: None };
        vocabulary_loss(shape, &x, Matrix::of_floats(&weight, width), &targets, Some(gradients));
    });
}

fn main() {
    let threads = std::env::args().nth(1).and_then(|t| t.parse().ok()).unwrap_or(2);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .start_handler(|_| gyrus_kernels::flush_denormals())
        .build()
        .expect("threads");
    pool.install(|| {
        parts(256, 8, 688, 8, 128);
        parts(512, 8, 1376, 4, 512);
    });
}
