//! Linear layers of a few rows, which are memory-bound: dot products with the weights read in place.

use pulp::{Arch, Simd, WithSimd};

use super::matmul::SERIAL_OPERATIONS;
use crate::base::parallel::{SharedMut, for_each_task};
use crate::base::tile::Epilogue;

/// Up to this many rows, a linear layer reads the weights in place.
pub(crate) const FEW_ROWS: usize = 4;
/// Rows of weights per task.
const DOT_BLOCK: usize = 32;

struct Dots<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    inputs: usize,
    out: &'a mut [f32],
}

impl WithSimd for Dots<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x_body, x_tail) = S::as_simd_f32s(self.x);
        let dot = |row: &[f32]| {
            let (body, tail) = S::as_simd_f32s(row);
            // Four chains of additions hide their latency.
            let mut sums = [simd.splat_f32s(0.0); 4];
            let (body4, body_rest) = body.as_chunks::<4>();
            let (x4, x_rest) = x_body.as_chunks::<4>();
            for (w, x) in body4.iter().zip(x4) {
                for i in 0..4 {
                    sums[i] = simd.mul_add_e_f32s(w[i], x[i], sums[i]);
                }
            }
            for (&w, &x) in body_rest.iter().zip(x_rest) {
                sums[0] = simd.mul_add_e_f32s(w, x, sums[0]);
            }
            let sum = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
            let mut total = simd.reduce_sum_f32s(sum);
            for (w, x) in tail.iter().zip(x_tail) {
                total += w * x;
            }
            total
        };
        for (row, out) in self.weight.chunks_exact(self.inputs).zip(self.out.iter_mut()) {
            *out = dot(row);
        }
    }
}

/// The dot product of two equally long slices.
pub(crate) fn dot(weight: &[f32], x: &[f32]) -> f32 {
    let mut out = [0.0];
    Arch::new().dispatch(Dots { x, weight, inputs: weight.len(), out: &mut out });
    out[0]
}

pub(super) fn few_rows(
    x: &[f32],
    weight: &[f32],
    epilogue: Epilogue<'_>,
    (rows, inputs, outputs): (usize, usize, usize),
    y: &mut [f32],
) {
    let target = SharedMut(y.as_mut_ptr());
    for_each_task(outputs.div_ceil(DOT_BLOCK), inputs * outputs < SERIAL_OPERATIONS, |block| {
        let first = block * DOT_BLOCK;
        let count = DOT_BLOCK.min(outputs - first);
        for row in 0..rows {
            // SAFETY: this task alone writes these outputs of each row.
            let out =
                unsafe { core::slice::from_raw_parts_mut(target.get().add(row * outputs + first), count) };
            let weight = &weight[first * inputs..][..count * inputs];
            Arch::new().dispatch(Dots { x: &x[row * inputs..][..inputs], weight, inputs, out });
            for (n, value) in out.iter_mut().enumerate() {
                if let Some(bias) = epilogue.bias {
                    *value += bias[first + n];
                }
                if let Some(f) = epilogue.activation {
                    *value = f.of(*value);
                }
            }
        }
    });
}
