//! Products with many inputs, with AVX-512 and its 8-bit dot products (VNNI).
//!
//! A task unpacks [`PANEL`] rows of weights once, so that a register holds four codes of each of 16 rows, and then
//! multiplies them with all inputs, [`HEIGHT`] at a time: `out[b][n] += scale_w[n] * scale_x[b] * sum of codes`, a span
//! at a time. Cost: one 8-bit dot product instruction per 64 weights and input, and three more operations per span.

use core::arch::x86_64::*;

use super::activations::{Activations, GROUP, LINE, Order, QUAD, SPAN};
use super::avx512::{MOST_GROUP_BYTES, Registers};
use super::matrix::Matrix;
use crate::base::parallel::{SharedMut, for_each_task, with_aligned_scratch};

/// Rows of weights of one register.
const LANES: usize = 16;
/// Registers of rows side by side.
const WIDTH: usize = 2;
/// Rows of weights per task.
const PANEL: usize = LANES * WIDTH;
/// Inputs that share each read of the weights.
const HEIGHT: usize = 6;
/// Inputs from which unpacking weights pays off.
pub(super) const FEWEST: usize = 8;

/// Unpacked rows of weights.
#[derive(Clone, Copy)]
struct Panel<'a> {
    /// `[span, quad, row]`: four codes each.
    codes: &'a [u32],
    /// `[span, row]`.
    scales: &'a [f32],
    /// `[span, row]`.
    minima: &'a [f32],
}

/// `y = x wᵀ` for whole rows.
///
/// # Safety
/// The machine is [`super::avx512::available`].
pub(super) unsafe fn product<B: Registers>(matrix: &Matrix<'_>, x: &[f32], y: &mut [f32]) {
    let x = &Activations::of::<B>(x, matrix.columns, Order::Plain);
    let (rows, batch, padded) = (matrix.rows, x.batch(), matrix.columns.next_multiple_of(GROUP));
    let spans = padded / B::SPAN;
    let starts = &starts::<B>(x, spans);
    let target = SharedMut(y.as_mut_ptr());
    let (words, floats) = (padded / QUAD * PANEL, spans * PANEL);
    for_each_task(rows.div_ceil(PANEL), false, |task| {
        let first = task * PANEL;
        let count = PANEL.min(rows - first);
        with_aligned_scratch(words + 2 * floats, |scratch| {
            let (codes, scratch) = scratch.split_at_mut(words);
            let (scales, minima) = scratch.split_at_mut(floats);
            // SAFETY: same length and alignment, and every bit pattern is valid for both types.
            let codes = unsafe { core::slice::from_raw_parts_mut(codes.as_mut_ptr().cast::<u32>(), words) };
            // SAFETY: guaranteed by the caller for the machine; the panel is as long as its shape.
            unsafe { take_apart::<B>(matrix, first, count, codes, scales, minima) };
            let panel = Panel { codes, scales, minima };
            let mut b = 0;
            while b < batch {
                let to = Target { y: target, stride: rows, first, count };
                // SAFETY: guaranteed by the caller for the machine; only this task writes these outputs.
                unsafe {
                    b += match batch - b {
                        HEIGHT.. => tile::<B, HEIGHT>(panel, x, starts, b, to),
                        2.. => tile::<B, 2>(panel, x, starts, b, to),
                        _ => tile::<B, 1>(panel, x, starts, b, to),
                    };
                }
            }
        });
    });
}

/// The starting values of each span's dot products: `[batch, spans]`.
fn starts<B: Registers>(x: &Activations, spans: usize) -> Vec<i32> {
    let quads = B::SPAN / QUAD;
    let mut starts = vec![0; x.batch() * spans];
    for (b, starts) in starts.chunks_exact_mut(spans.max(1)).enumerate() {
        let mut of_quads = x.row(b).starts.iter().flat_map(|line| line.0.chunks_exact(quads));
        starts.iter_mut().zip(&mut of_quads).for_each(|(start, quads)| *start = quads.iter().sum());
    }
    starts
}

/// Unpacks `count` rows of weights; missing rows become zero.
///
/// # Safety
/// The machine is [`super::avx512::available`]; the targets have room for [`PANEL`] rows.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,f16c")]
unsafe fn take_apart<B: Registers>(
    matrix: &Matrix<'_>,
    first: usize,
    count: usize,
    codes: &mut [u32],
    scales: &mut [f32],
    minima: &mut [f32],
) {
    const ZEROS: [u8; MOST_GROUP_BYTES] = [0; MOST_GROUP_BYTES];
    let group_bytes = GROUP / B::WEIGHTS * B::BYTES;
    let spans_of_group = GROUP / B::SPAN;
    let quads_of_span = B::SPAN / QUAD;
    let mut last = [0u8; MOST_GROUP_BYTES];
    let mut lines = [[0u32; GROUP / QUAD]; LANES];
    for index in 0..matrix.columns.div_ceil(GROUP) {
        for part in 0..WIDTH {
            for (lane, line) in lines.iter_mut().enumerate() {
                let row = part * LANES + lane;
                let group = if row < count {
                    let weights = &matrix.rows_at(first + row, 1)[index * group_bytes..];
                    if weights.len() >= group_bytes {
                        weights.as_ptr()
                    } else {
                        // Blocks of zeros complete the group.
                        last[..weights.len()].copy_from_slice(weights);
                        last[weights.len()..].fill(0);
                        last.as_ptr()
                    }
                } else {
                    ZEROS.as_ptr()
                };
                // SAFETY: the group is whole.
                unsafe {
                    for chunk in 0..GROUP / LINE {
                        let to = line.as_mut_ptr().add(chunk * LINE / QUAD);
                        _mm512_storeu_si512(to.cast(), B::chunk(group, chunk));
                    }
                    let (of_spans, minima_of_spans) = B::vector_of_scales(group);
                    let (mut floats, mut minimum_floats) = ([0.0f32; 16], [0.0f32; 16]);
                    _mm512_storeu_ps(floats.as_mut_ptr(), of_spans);
                    _mm512_storeu_ps(minimum_floats.as_mut_ptr(), minima_of_spans);
                    for span in 0..spans_of_group {
                        let to = (index * spans_of_group + span) * PANEL + row;
                        scales[to] = floats[span];
                        if B::MINIMA {
                            minima[to] = minimum_floats[span];
                        }
                    }
                }
            }
            for quad in 0..GROUP / QUAD {
                // Where this quad of the registers belongs.
                let (span, place) = if B::JOINED {
                    let (pair, half, quarter, place) = (quad / 32, quad / 16 % 2, quad / 4 % 4, quad % 4);
                    (pair * 4 + quarter, half * 4 + place)
                } else {
                    (quad / quads_of_span, quad % quads_of_span)
                };
                let to = ((index * spans_of_group + span) * quads_of_span + place) * PANEL + part * LANES;
                for (code, line) in codes[to..][..LANES].iter_mut().zip(&lines) {
                    *code = line[quad];
                }
            }
        }
    }
}

/// Where outputs go.
#[derive(Clone, Copy)]
struct Target {
    y: SharedMut,
    /// Outputs per input.
    stride: usize,
    /// The first output of the panel, and the number of its outputs.
    first: usize,
    count: usize,
}

/// The panel times inputs `b .. b + H`; returns `H`.
///
/// # Safety
/// The machine is [`super::avx512::available`]; the panel is as long as the padded rows, and nothing else uses the
/// outputs.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,f16c")]
// Indices known at compile time, so that the sums stay in registers.
#[allow(clippy::needless_range_loop)]
unsafe fn tile<B: Registers, const H: usize>(
    panel: Panel<'_>,
    x: &Activations,
    starts: &[i32],
    b: usize,
    to: Target,
) -> usize {
    let quads = B::SPAN / QUAD;
    let spans = panel.scales.len() / PANEL;
    // Pointers that only advance: slices would be bounds-checked in the innermost loop.
    let mut codes: [*const i32; H] = [core::ptr::null(); H];
    let mut scales: [*const f32; H] = [core::ptr::null(); H];
    let mut sums_of_x: [*const f32; H] = [core::ptr::null(); H];
    for h in 0..H {
        let row = x.row(b + h);
        codes[h] = row.codes.as_ptr().cast();
        scales[h] = row.scales.as_ptr();
        sums_of_x[h] = row.sums.as_ptr();
    }
    let starts = starts[b * spans..].as_ptr();
    let mut sums = [[_mm512_setzero_ps(); WIDTH]; H];
    for span in 0..spans {
        // SAFETY: all rows are `spans` long, and the panel too.
        unsafe {
            let mut dots = [[_mm512_setzero_si512(); WIDTH]; H];
            if B::OFFSET != 0 {
                for h in 0..H {
                    dots[h] = [_mm512_set1_epi32(*starts.add(h * spans + span)); WIDTH];
                }
            }
            for quad in span * quads..(span + 1) * quads {
                let weights: *const __m512i = panel.codes.as_ptr().add(quad * PANEL).cast();
                let weights = [_mm512_load_si512(weights), _mm512_load_si512(weights.add(1))];
                for h in 0..H {
                    let x = _mm512_set1_epi32(*codes[h].add(quad));
                    for w in 0..WIDTH {
                        dots[h][w] = _mm512_dpbusd_epi32(dots[h][w], weights[w], x);
                    }
                }
            }
            let of_x = span * B::SPAN / SPAN;
            for w in 0..WIDTH {
                let at = span * PANEL + w * LANES;
                let scale = _mm512_load_ps(panel.scales.as_ptr().add(at));
                for h in 0..H {
                    let scale = _mm512_mul_ps(scale, _mm512_set1_ps(*scales[h].add(of_x)));
                    sums[h][w] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[h][w]), scale, sums[h][w]);
                    if B::MINIMA {
                        let minimum = _mm512_load_ps(panel.minima.as_ptr().add(at));
                        let x = _mm512_set1_ps(*sums_of_x[h].add(span));
                        sums[h][w] = _mm512_fnmadd_ps(minimum, x, sums[h][w]);
                    }
                }
            }
        }
    }
    for h in 0..H {
        for w in 0..WIDTH {
            let count = to.count.saturating_sub(w * LANES).min(LANES);
            let mask = ((1u32 << count) - 1) as u16;
            let at = (b + h) * to.stride + to.first + w * LANES;
            // SAFETY: only existing outputs, which belong to this task.
            unsafe { _mm512_mask_storeu_ps(to.y.get().wrapping_add(at), mask, sums[h][w]) };
        }
    }
    H
}
