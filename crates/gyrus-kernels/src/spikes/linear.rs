//! Linear layers of spikes: `y = s wᵀ + b` for bit-packed `s`, and the gradient of `w`.
//!
//! `s` is `[rows, inputs]` as in [`packed`], `w` is `[outputs, inputs]`, `y` is `[rows, outputs]`. Zeros cost nothing:
//! the work is active inputs times outputs. Each output is one chain of additions in ascending input order from zero,
//! with the bias added last, whatever the algorithm, so spikes downstream do not depend on the density. A weight that
//! is not finite matters only where a spike meets it, or, in the dense product, wherever it is.

use crate::base::bits::BITS;
use crate::base::parallel::{SharedMut, with_scratch, with_words};
use crate::base::tile::PANEL;
use crate::dense::linear::{linear_packed, pack, packed_len};
use crate::dense::weight_gradient::weight_gradient;
use crate::spikes::packed::{self, transpose, unpack, unpack_row, words};
use crate::spikes::sparse::{Part, gather_sums, transpose_floats};

/// Share of active inputs above which the dense product is faster.
const DENSE_SHARE: f64 = 0.4;
/// Rows that the dense product unpacks at a time.
const DENSE_ROWS: usize = 512;

fn check(bits: &[u32], rows: usize, inputs: usize) -> (u64, bool) {
    assert_eq!(bits.len(), rows * words(inputs), "bits is [rows, words(inputs)]");
    let active = packed::count(bits);
    (active, active as f64 > DENSE_SHARE * (rows * inputs) as f64)
}

/// `y = s wᵀ + bias` for spikes `s` `[rows, inputs]`.
///
/// `weight` is `[outputs, inputs]`, `bias` `[outputs]`, `y` `[rows, outputs]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn spike_linear(
    bits: &[u32],
    weight: &[f32],
    bias: Option<&[f32]>,
    shape: (usize, usize, usize),
    y: &mut [f32],
) {
    let (rows, inputs, outputs) = shape;
    assert_eq!(weight.len(), outputs * inputs, "weight is [outputs, inputs]");
    assert_eq!(y.len(), rows * outputs, "y is [rows, outputs]");
    assert!(bias.is_none_or(|b| b.len() == outputs), "bias is [outputs]");
    match check(bits, rows, inputs) {
        (_, true) => dense(bits, weight, bias, shape, y),
        (active, false) => sparse(bits, active, weight, bias, shape, y),
    }
}

fn sparse(
    bits: &[u32],
    active: u64,
    weight: &[f32],
    bias: Option<&[f32]>,
    (rows, inputs, outputs): (usize, usize, usize),
    y: &mut [f32],
) {
    let target = SharedMut(y.as_mut_ptr());
    gather_sums(
        bits,
        active,
        (rows, inputs, outputs),
        |columns, width, table| {
            let weight = &weight[columns.start * inputs..columns.end * inputs];
            // SAFETY: the table is `[inputs, width]`, and there are at most `width` columns.
            unsafe { transpose_floats(weight, inputs, (columns.len(), inputs), table.as_mut_ptr(), width) };
        },
        |part: Part, sums| {
            for (row, sums) in part.destinations.zip(sums.chunks_exact(part.width)) {
                let columns = part.columns.clone();
                // SAFETY: each task writes its own columns of each row.
                let y = unsafe { target.slice(row * outputs + columns.start, columns.len()) };
                match bias {
                    Some(bias) => {
                        for ((y, sum), bias) in y.iter_mut().zip(sums).zip(&bias[columns]) {
                            *y = sum + bias;
                        }
                    }
                    None => y.copy_from_slice(&sums[..columns.len()]),
                }
            }
        },
    );
}

/// [`spike_linear`] with the dense product, some rows at a time.
fn dense(
    bits: &[u32],
    weight: &[f32],
    bias: Option<&[f32]>,
    (rows, inputs, outputs): (usize, usize, usize),
    y: &mut [f32],
) {
    with_scratch(packed_len((inputs, outputs)), |packed| {
        pack(weight, (inputs, outputs), packed);
        with_scratch(DENSE_ROWS.min(rows) * inputs, |x| {
            let blocks = bits.chunks(DENSE_ROWS * words(inputs)).zip(y.chunks_mut(DENSE_ROWS * outputs));
            for (bits, y) in blocks {
                let rows = y.len() / outputs;
                let x = &mut x[..rows * inputs];
                unpack(bits, inputs, x);
                linear_packed(x, packed, bias, false, (rows, inputs, outputs), y);
            }
        });
    });
}

/// Gradient of [`spike_linear`] for its weight: `dw = dyᵀ s`, `[outputs, inputs]`, from `dy` `[rows, outputs]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn spike_linear_weight_gradient(bits: &[u32], dy: &[f32], shape: (usize, usize, usize), dw: &mut [f32]) {
    let (rows, inputs, outputs) = shape;
    assert_eq!(dy.len(), rows * outputs, "dy is [rows, outputs]");
    assert_eq!(dw.len(), outputs * inputs, "dw is [outputs, inputs]");
    match check(bits, rows, inputs) {
        (_, true) => dense_weight_gradient(bits, dy, shape, dw),
        (active, false) => sparse_weight_gradient(bits, active, dy, shape, dw),
    }
}

fn sparse_weight_gradient(
    bits: &[u32],
    active: u64,
    dy: &[f32],
    (rows, inputs, outputs): (usize, usize, usize),
    dw: &mut [f32],
) {
    let target = SharedMut(dw.as_mut_ptr());
    with_words(inputs * words(rows), |transposed| {
        transpose(bits, rows, inputs, transposed);
        gather_sums(
            transposed,
            active,
            (inputs, rows, outputs),
            |columns, width, table| {
                for (row, to) in table.chunks_exact_mut(width).enumerate() {
                    to[..columns.len()].copy_from_slice(&dy[row * outputs..][columns.clone()]);
                }
            },
            |part: Part, sums| {
                let to = target.get().wrapping_add(part.columns.start * inputs + part.destinations.start);
                let size = (part.destinations.len(), part.columns.len());
                // SAFETY: each task writes the weights of its own inputs and outputs.
                unsafe { transpose_floats(sums, part.width, size, to, inputs) };
            },
        );
    });
}

/// [`spike_linear_weight_gradient`] with the dense product; strips of the input are unpacked when they are needed.
fn dense_weight_gradient(
    bits: &[u32],
    dy: &[f32],
    (rows, inputs, outputs): (usize, usize, usize),
    dw: &mut [f32],
) {
    let width = words(inputs);
    weight_gradient(dy, (rows, inputs, outputs), false, dw, |first, columns, strip| {
        for (row, to) in bits.chunks_exact(width).zip(strip.chunks_exact_mut(PANEL)) {
            // A strip is half a word.
            unpack_row(&[row[first / BITS] >> (first % BITS)], &mut to[..columns]);
            to[columns..].fill(0.0);
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::{self, assert_close, values};

    /// Products of one shape and density by every algorithm; the forward ones must agree bit for bit.
    fn check_products(shape: (usize, usize, usize), share: f64) {
        let (rows, inputs, outputs) = shape;
        let x = oracle::spike_values(rows * inputs, share, 5);
        let bits = oracle::spikes::pack(&x, inputs);
        let (w, b) = (values(outputs * inputs, 2), values(outputs, 3));
        let dy = values(rows * outputs, 4);
        let expected = oracle::spikes::spike_linear(&bits, &w, Some(&b), shape);
        let active = packed::count(&bits);
        let mut y = vec![f32::NAN; rows * outputs];
        for way in 0..3 {
            y.fill(f32::NAN);
            match way {
                0 => spike_linear(&bits, &w, Some(&b), shape, &mut y),
                1 => sparse(&bits, active, &w, Some(&b), shape, &mut y),
                _ => dense(&bits, &w, Some(&b), shape, &mut y),
            }
            assert!(
                y.iter().map(|y| y.to_bits()).eq(expected.iter().map(|y| y.to_bits())),
                "algorithm {way}"
            );
        }
        assert_close(&y, &oracle::dense::linear(&x, &w, Some(&b), false, shape), 1e-3);
        let (_, expected) = oracle::dense::linear_gradients(&dy, &x, &w, shape);
        let mut dw = vec![f32::NAN; outputs * inputs];
        for way in 0..3 {
            dw.fill(f32::NAN);
            match way {
                0 => spike_linear_weight_gradient(&bits, &dy, shape, &mut dw),
                1 => sparse_weight_gradient(&bits, active, &dy, shape, &mut dw),
                _ => dense_weight_gradient(&bits, &dy, shape, &mut dw),
            }
            assert_close(&dw, &expected, 1e-3);
        }
    }

    proptest! {
        #[test]
        fn products_match_the_oracle(
            rows in 1usize..70, inputs in 1usize..130, outputs in 1usize..150, share in 0.0f64..1.0,
        ) {
            check_products((rows, inputs, outputs), share);
        }
    }

    #[test]
    fn large_products_match_the_oracle_for_any_number_of_threads() {
        // More than one block of sources and of destinations in both directions.
        check_products((1100, 530, 70), 0.1);
        check_products((300, 1100, 9), 0.6);
        let shape = (700, 600, 200);
        let bits = oracle::spikes::pack(&oracle::spike_values(700 * 600, 0.1, 1), 600);
        let dy = values(700 * 200, 2);
        let gradient = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut dw = vec![0.0; 200 * 600];
            pool.install(|| spike_linear_weight_gradient(&bits, &dy, shape, &mut dw));
            dw
        };
        assert_eq!(gradient(1), gradient(3));
    }

    #[test]
    fn no_spikes_give_the_bias_and_empty_shapes_nothing() {
        let mut y = [f32::NAN; 4];
        spike_linear(&[0, 0], &[1.0; 6], Some(&[3.0, 4.0]), (2, 3, 2), &mut y);
        assert_eq!(y, [3.0, 4.0, 3.0, 4.0]);
        spike_linear(&[], &[1.0; 6], None, (0, 3, 2), &mut []);
        let mut dw = [f32::NAN; 6];
        spike_linear_weight_gradient(&[], &[], (0, 3, 2), &mut dw);
        assert_eq!(dw, [0.0; 6]);
    }
}
