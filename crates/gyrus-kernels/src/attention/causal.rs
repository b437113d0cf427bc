//! Causal self-attention for training, `softmax(scale * q kᵀ) v` within each head (Vaswani et al. 2017), and its
//! gradient, with rotated queries and keys (Su et al. 2021) and query heads that share a key head (Ainslie et al. 2023).
//!
//! Queries, keys and values of a token lie in one row, as one product of all three weights makes them. Rows are cut
//! into texts that do not see each other, so a batch and documents packed one after the other are the same thing.
//! Scores are never stored: the forward pass keeps the logarithm of each softmax's denominator, from which the backward
//! pass makes them again, [`BLOCK`] queries at a time (Dao et al. 2022). Cost: for each head `4 * head_width` operations
//! a visible pair of tokens forward and 10 backward; memory for two strips of `BLOCK` rows by the longest text a thread.
//! A task is a text and a key head, with all its query heads in turn, so that every sum has one order.

use pulp::{Arch, Simd, WithSimd};

use crate::base::math::{exp, tanh};
use crate::base::parallel::{SharedMut, for_each_task, vectorized, with_aligned_scratch};
use crate::base::tile::{Epilogue, PANEL, Runs, Segment, inner, outer, with_tile};

/// Queries whose scores are in memory at once: a multiple of every tile height.
const BLOCK: usize = 48;
/// Lanes of a sum.
const LANES: usize = 16;
/// Operations below which all stays on one thread.
const SERIAL_OPERATIONS: usize = 1 << 18;

/// The shape of an attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CausalAttention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads, of which `heads` is a multiple.
    pub key_value_heads: usize,
    /// Elements of a head.
    pub head_width: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// `c` in `c * tanh(score / c)`, which a score becomes (Gemma 2).
    pub softcap: Option<f32>,
    /// How many tokens one sees, itself included; all before it where there is none.
    pub window: Option<usize>,
}

/// How queries and keys are turned: pairs of elements of a head by an angle, which depends on the token's place in its
/// text.
#[derive(Clone, Copy, Debug)]
pub struct Rotation<'a> {
    /// `[positions, pairs]`, at least as many positions as the longest text has.
    pub cosines: &'a [f32],
    /// As `cosines`.
    pub sines: &'a [f32],
    /// At most half of a head's elements.
    pub pairs: usize,
    /// Whether a pair is the elements `2i` and `2i + 1` rather than `i` and `i + pairs`.
    pub interleaved: bool,
}

impl CausalAttention {
    /// Columns of a row of queries, keys and values.
    #[must_use]
    pub fn columns(&self) -> usize {
        (self.heads + 2 * self.key_value_heads) * self.head_width
    }

    /// Columns of a row of the result.
    #[must_use]
    pub fn query_columns(&self) -> usize {
        self.heads * self.head_width
    }

    /// Rows of `x`, after all checks.
    fn check(&self, ends: &[usize], x: &[f32], rotation: Option<Rotation<'_>>) -> usize {
        assert!(self.head_width > 0 && self.key_value_heads > 0, "a head has elements");
        assert!(self.heads.is_multiple_of(self.key_value_heads), "query heads come in groups");
        assert!(x.len().is_multiple_of(self.columns()), "x is [rows, columns]");
        let rows = x.len() / self.columns();
        let ordered = ends.windows(2).all(|pair| pair[0] <= pair[1]);
        assert!(ordered && ends.last().copied().unwrap_or(0) == rows, "the last text ends with the rows");
        assert!(self.window != Some(0), "a token sees itself");
        if let Some(Rotation { cosines, sines, pairs, .. }) = rotation {
            let longest = texts(ends).map(|(start, end)| end - start).max().unwrap_or(0);
            assert!(2 * pairs <= self.head_width, "a head holds the pairs");
            assert!(cosines.len() == sines.len() && cosines.len() >= longest * pairs, "angles reach");
        }
        rows
    }
}

/// Start and end of each text.
fn texts(ends: &[usize]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let starts = core::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends.iter().copied())
}

/// The result, `[rows, heads, head_width]`, into `y`, and the logarithm of each softmax's denominator, `[heads, rows]`,
/// into `logarithms`.
///
/// A row of `x` is `heads` queries, `key_value_heads` keys and as many values; text `i` is the rows from
/// `ends[i - 1]` to before `ends[i]`.
///
/// # Panics
/// If a slice is not as long as its shape says, or the texts are not all of the rows.
pub fn causal_attention(
    shape: &CausalAttention,
    ends: &[usize],
    rotation: Option<Rotation<'_>>,
    x: &[f32],
    y: &mut [f32],
    logarithms: &mut [f32],
) {
    let rows = shape.check(ends, x, rotation);
    assert_eq!(y.len(), rows * shape.query_columns(), "y is [rows, heads, head_width]");
    assert_eq!(logarithms.len(), rows * shape.heads, "logarithms are [heads, rows]");
    let (y, logarithms) = (SharedMut(y.as_mut_ptr()), SharedMut(logarithms.as_mut_ptr()));
    for_each_head(shape, ends, rotation, x, |text| {
        let Text { shape, length, head_stride: stride, .. } = *text;
        let (span, width) = (length.next_multiple_of(PANEL), shape.head_width);
        let sizes = [stride * span, stride * span, BLOCK * stride, BLOCK * span];
        with_parts(sizes, |[keys, values, queries, scores]| {
            text.pack_transposed(text.key_column(), true, keys);
            text.pack(text.value_column(), false, values);
            for head in text.heads() {
                for (first, count) in text.blocks() {
                    let seen = first + count;
                    text.copy_rows(head * width, true, (first, count), queries);
                    multiply(queries, stride, (count, width), (keys, width), scores, span, seen);
                    // SAFETY: this task alone has this head's rows of this text.
                    let logarithms = unsafe { logarithms.slice(head * rows + text.start + first, count) };
                    let mut shares = [0.0f32; BLOCK];
                    softmax(shape, scores, span, first, logarithms, &mut shares);
                    multiply(scores, span, (count, seen), (values, length), queries, stride, width);
                    for (row, share) in shares[..count].iter().enumerate() {
                        let place = (text.start + first + row) * shape.query_columns() + head * width;
                        // SAFETY: as above.
                        let to = unsafe { y.slice(place, width) };
                        to.iter_mut().zip(&queries[row * stride..]).for_each(|(to, sum)| *to = sum * share);
                    }
                }
            }
        });
    });
}

/// Gradient of [`causal_attention`] for `x`, given its result `y` and its `logarithms`.
///
/// # Panics
/// As [`causal_attention`].
pub fn causal_attention_backward(
    shape: &CausalAttention,
    ends: &[usize],
    rotation: Option<Rotation<'_>>,
    x: &[f32],
    (y, logarithms): (&[f32], &[f32]),
    dy: &[f32],
    dx: &mut [f32],
) {
    let rows = shape.check(ends, x, rotation);
    assert!(
        y.len() == rows * shape.query_columns() && dy.len() == y.len(),
        "y and dy are [rows, heads, width]"
    );
    assert_eq!(logarithms.len(), rows * shape.heads, "logarithms are [heads, rows]");
    assert_eq!(dx.len(), x.len(), "dx is as x");
    let dx = SharedMut(dx.as_mut_ptr());
    for_each_head(shape, ends, rotation, x, |text| {
        let Text { shape, length, head_stride: stride, .. } = *text;
        let (span, width) = (length.next_multiple_of(PANEL), shape.head_width);
        let all = stride * span;
        let strip = BLOCK * span;
        let sizes = [all, all, all, all, all, BLOCK * stride, BLOCK * stride, strip, strip];
        with_parts(sizes, |parts| {
            let [turned_keys, keys, turned_values, dkeys, dvalues, queries, dys, scores, slopes] = parts;
            text.pack_transposed(text.key_column(), true, turned_keys);
            text.pack(text.key_column(), true, keys);
            text.pack_transposed(text.value_column(), false, turned_values);
            dkeys.fill(0.0);
            dvalues.fill(0.0);
            for head in text.heads() {
                for (first, count) in text.blocks() {
                    let seen = first + count;
                    text.copy_rows(head * width, true, (first, count), queries);
                    let mut means = [0.0f32; BLOCK];
                    for row in 0..count {
                        let place = (text.start + first + row) * shape.query_columns() + head * width;
                        let (y, dy) = (&y[place..][..width], &dy[place..][..width]);
                        dys[row * stride..][..width].copy_from_slice(dy);
                        dys[row * stride + width..(row + 1) * stride].fill(0.0);
                        means[row] = y.iter().zip(dy).map(|(y, dy)| y * dy).sum();
                    }
                    multiply(queries, stride, (count, width), (turned_keys, width), scores, span, seen);
                    multiply(dys, stride, (count, width), (turned_values, width), slopes, span, seen);
                    let logarithms = &logarithms[head * rows + text.start + first..][..count];
                    softmax_backward(shape, (scores, slopes), span, first, logarithms, &means);
                    accumulate((scores, span), (dys, stride), (count, seen), dvalues);
                    accumulate((slopes, span), (queries, stride), (count, seen), dkeys);
                    multiply(slopes, span, (count, seen), (keys, length), queries, stride, width);
                    text.write_rows(head * width, true, (first, count), queries, dx);
                }
            }
            text.write_rows(text.key_column(), true, (0, length), dkeys, dx);
            text.write_rows(text.value_column(), false, (0, length), dvalues, dx);
        });
    });
}

/// One text and one key head.
struct Text<'a> {
    shape: &'a CausalAttention,
    rotation: Option<Rotation<'a>>,
    x: &'a [f32],
    /// The first row.
    start: usize,
    /// Rows.
    length: usize,
    /// The key head.
    group: usize,
    /// Floats of a head in scratch memory: whole panels.
    head_stride: usize,
}

fn for_each_head(
    shape: &CausalAttention,
    ends: &[usize],
    rotation: Option<Rotation<'_>>,
    x: &[f32],
    work: impl Fn(&Text<'_>) + Sync + Send,
) {
    let mut operations = 0;
    let mut tasks = Vec::new();
    for (start, end) in texts(ends).filter(|(start, end)| start < end) {
        operations += (end - start) * (end - start) * shape.query_columns();
        tasks.extend((0..shape.key_value_heads).map(|group| (start, end - start, group)));
    }
    // Long texts first, so that no thread begins one when the others are done.
    tasks.sort_by_key(|&(_, length, _)| core::cmp::Reverse(length));
    for_each_task(tasks.len(), operations < SERIAL_OPERATIONS, |task| {
        let (start, length, group) = tasks[task];
        let head_stride = shape.head_width.next_multiple_of(PANEL);
        work(&Text { shape, rotation, x, start, length, group, head_stride });
    });
}

impl Text<'_> {
    fn heads(&self) -> core::ops::Range<usize> {
        let group = self.shape.heads / self.shape.key_value_heads;
        self.group * group..(self.group + 1) * group
    }

    /// First query and number of queries of each block.
    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let length = self.length;
        (0..length).step_by(BLOCK).map(move |first| (first, BLOCK.min(length - first)))
    }

    fn key_column(&self) -> usize {
        (self.shape.heads + self.group) * self.shape.head_width
    }

    fn value_column(&self) -> usize {
        self.key_column() + self.shape.key_value_heads * self.shape.head_width
    }

    /// Copies one head's elements of some rows to `to`, `[count, head_stride]`, zeros behind them.
    fn copy_rows(&self, column: usize, turn: bool, (first, count): (usize, usize), to: &mut [f32]) {
        let width = self.shape.head_width;
        for (row, to) in to.chunks_exact_mut(self.head_stride).enumerate().take(count) {
            let from = &self.x[(self.start + first + row) * self.shape.columns() + column..][..width];
            to[..width].copy_from_slice(from);
            to[width..].fill(0.0);
            if turn {
                self.turn(first + row, 1.0, to);
            }
        }
    }

    /// Writes rows from scratch memory, `[count, head_stride]`, to one head's columns of the gradient.
    fn write_rows(
        &self,
        column: usize,
        turn: bool,
        (first, count): (usize, usize),
        from: &mut [f32],
        dx: SharedMut,
    ) {
        for (row, from) in from.chunks_exact_mut(self.head_stride).enumerate().take(count) {
            if turn {
                self.turn(first + row, -1.0, from);
            }
            let place = (self.start + first + row) * self.shape.columns() + column;
            // SAFETY: this task alone has these heads' columns of this text's rows.
            let to = unsafe { dx.slice(place, self.shape.head_width) };
            to.copy_from_slice(&from[..self.shape.head_width]);
        }
    }

    /// Turns a head by the angles of a position, back for a negative `sign`.
    #[inline(always)]
    fn turn(&self, position: usize, sign: f32, head: &mut [f32]) {
        let Some(Rotation { cosines, sines, pairs, interleaved }) = self.rotation else { return };
        let cosines = &cosines[position * pairs..][..pairs];
        let sines = &sines[position * pairs..][..pairs];
        if interleaved {
            let (elements, _) = head[..2 * pairs].as_chunks_mut::<2>();
            for (pair, (cosine, sine)) in elements.iter_mut().zip(cosines.iter().zip(sines)) {
                let ([a, b], sine) = (*pair, sign * sine);
                *pair = [a * cosine - b * sine, b * cosine + a * sine];
            }
            return;
        }
        let (low, high) = head[..2 * pairs].split_at_mut(pairs);
        for i in 0..pairs {
            let (a, b, sine) = (low[i], high[i], sign * sines[i]);
            low[i] = a * cosines[i] - b * sine;
            high[i] = b * cosines[i] + a * sine;
        }
    }

    /// One head of all rows as panels of 16 of its elements: `[head_stride / 16, length, 16]`.
    fn pack(&self, column: usize, turn: bool, panels: &mut [f32]) {
        self.for_each_row(column, turn, |position, row| {
            for (panel, part) in row.chunks_exact(PANEL).enumerate() {
                panels[(panel * self.length + position) * PANEL..][..PANEL].copy_from_slice(part);
            }
        });
    }

    /// One head of all rows as panels of 16 rows: `[span / 16, head_width, 16]`, zeros beyond the last row.
    fn pack_transposed(&self, column: usize, turn: bool, panels: &mut [f32]) {
        let width = self.shape.head_width;
        panels[self.length / PANEL * width * PANEL..].fill(0.0);
        self.for_each_row(column, turn, |position, row| {
            let panel = &mut panels[position / PANEL * width * PANEL + position % PANEL..];
            for (to, value) in panel.iter_mut().step_by(PANEL).zip(&row[..width]) {
                *to = *value;
            }
        });
    }

    fn for_each_row(&self, column: usize, turn: bool, mut work: impl FnMut(usize, &[f32])) {
        with_aligned_scratch(self.head_stride, |row| {
            for position in 0..self.length {
                self.copy_rows(column, turn, (position, 1), row);
                work(position, row);
            }
        });
    }
}

/// Cuts scratch memory into parts of these sizes.
fn with_parts<const N: usize>(sizes: [usize; N], work: impl FnOnce([&mut [f32]; N])) {
    with_aligned_scratch(sizes.iter().sum(), |mut rest| {
        work(sizes.map(|size| {
            let (part, behind) = core::mem::take(&mut rest).split_at_mut(size);
            rest = behind;
            part
        }));
    });
}

/// `out[i][n] = sum_k left[i][k] * panels[n / 16][k][n % 16]` for `rows` rows and at least `columns` columns: whole
/// panels, of `panel_depth` rows each, of which the first `depth` count.
fn multiply(
    left: &[f32],
    left_stride: usize,
    (rows, depth): (usize, usize),
    (panels, panel_depth): (&[f32], usize),
    out: &mut [f32],
    out_stride: usize,
    columns: usize,
) {
    let columns = columns.next_multiple_of(PANEL);
    assert!(
        depth <= panel_depth && columns <= out_stride && depth <= left_stride,
        "a row holds what is asked"
    );
    assert!(left.len() >= rows * left_stride && out.len() >= rows * out_stride, "all rows are there");
    assert!(panels.len() >= columns * panel_depth, "all panels are there");
    Arch::new().dispatch(Multiply {
        left,
        left_stride,
        rows,
        depth,
        panels,
        panel_depth,
        out,
        out_stride,
        columns,
    });
}

struct Multiply<'a> {
    left: &'a [f32],
    left_stride: usize,
    rows: usize,
    depth: usize,
    panels: &'a [f32],
    panel_depth: usize,
    out: &'a mut [f32],
    out_stride: usize,
    columns: usize,
}

impl WithSimd for Multiply<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(simd: S, task: Multiply<'_>) {
            let (left, out) = (task.left.as_ptr(), task.out.as_mut_ptr());
            for column in (0..task.columns).step_by(PANEL) {
                // SAFETY: `multiply` has checked that rows and panels lie within the slices.
                unsafe {
                    inner::<S, MR, NV, true>(
                        simd,
                        0..task.rows,
                        |row| left.wrapping_add(row * task.left_stride),
                        Runs { offsets: &[0], length: task.depth },
                        task.panels.as_ptr().add(column * task.panel_depth),
                        |row| out.wrapping_add(row * task.out_stride + column),
                        column,
                        PANEL,
                        Epilogue::NONE,
                    );
                }
            }
        }
        with_tile!(simd, run(self));
    }
}

/// `sums[j][n] += sum_i left[i][j] * right[i][n]` for `count` rows `i` and `seen` columns `j` of `left`; `sums` has
/// rows as long as `right`'s, whole panels.
fn accumulate(
    (left, left_stride): (&[f32], usize),
    (right, right_stride): (&[f32], usize),
    (count, seen): (usize, usize),
    sums: &mut [f32],
) {
    assert!(seen <= left_stride && right_stride.is_multiple_of(PANEL), "a row holds what is asked");
    assert!(left.len() >= count * left_stride && right.len() >= count * right_stride, "all rows are there");
    assert!(sums.len() >= seen * right_stride, "all sums are there");
    Arch::new().dispatch(Accumulate { left, left_stride, right, right_stride, count, seen, sums });
}

struct Accumulate<'a> {
    left: &'a [f32],
    left_stride: usize,
    right: &'a [f32],
    right_stride: usize,
    count: usize,
    seen: usize,
    sums: &'a mut [f32],
}

impl WithSimd for Accumulate<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(simd: S, task: Accumulate<'_>) {
            for first in (0..task.seen).step_by(MR) {
                let height = MR.min(task.seen - first);
                for column in (0..task.right_stride).step_by(PANEL) {
                    // SAFETY: `accumulate` has checked that all of it lies within the slices.
                    unsafe {
                        let segment = Segment {
                            x: task.left.as_ptr().add(first),
                            y: task.right.as_ptr().add(column),
                            count: task.count,
                        };
                        let out = task.sums.as_mut_ptr().add(first * task.right_stride + column);
                        outer::<S, MR, NV>(
                            simd,
                            height,
                            core::iter::once(segment),
                            task.left_stride,
                            task.right_stride,
                            out,
                            task.right_stride,
                        );
                    }
                }
            }
        }
        with_tile!(simd, run(self));
    }
}

impl CausalAttention {
    /// The first token that the one at `position` sees.
    #[inline(always)]
    fn first_seen(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

/// Makes `exp(score - largest)` of each row's visible scores, scaled and capped first, and zeros of the others; `shares`
/// are what makes them sum to one. Row `i` is query `first + i`.
fn softmax(
    shape: &CausalAttention,
    scores: &mut [f32],
    span: usize,
    first: usize,
    logarithms: &mut [f32],
    shares: &mut [f32; BLOCK],
) {
    let seen = first + logarithms.len();
    vectorized(
        #[inline(always)]
        || {
            let rows = scores.chunks_exact_mut(span).zip(logarithms.iter_mut().zip(shares.iter_mut()));
            for (row, (scores, (logarithm, share))) in rows.enumerate() {
                let (visible, hidden) = scores[..seen].split_at_mut(first + row + 1);
                let (past, visible) = visible.split_at_mut(shape.first_seen(first + row));
                past.fill(0.0);
                let mut scale = shape.scale;
                if let Some(cap) = shape.softcap {
                    visible.iter_mut().for_each(|score| *score = cap * tanh(*score * scale / cap));
                    scale = 1.0;
                }
                let mut lanes = [f32::NEG_INFINITY; LANES];
                let (chunks, rest) = visible.as_chunks::<LANES>();
                for chunk in chunks {
                    for (lane, score) in lanes.iter_mut().zip(chunk) {
                        *lane = if *score > *lane { *score } else { *lane };
                    }
                }
                let largest = rest.iter().chain(&lanes).copied().fold(f32::NEG_INFINITY, f32::max) * scale;
                let mut lanes = [0.0f32; LANES];
                let (chunks, rest) = visible.as_chunks_mut::<LANES>();
                for chunk in chunks {
                    for (lane, score) in lanes.iter_mut().zip(chunk) {
                        *score = exp(*score * scale - largest);
                        *lane += *score;
                    }
                }
                for (lane, score) in lanes.iter_mut().zip(rest) {
                    *score = exp(*score * scale - largest);
                    *lane += *score;
                }
                let sum: f32 = lanes.iter().sum();
                hidden.fill(0.0);
                *share = 1.0 / sum;
                *logarithm = largest + sum.ln();
            }
        },
    );
}

/// Makes each row's scores its softmax again, and the slopes for that softmax the slopes for the scores.
fn softmax_backward(
    shape: &CausalAttention,
    (scores, slopes): (&mut [f32], &mut [f32]),
    span: usize,
    first: usize,
    logarithms: &[f32],
    means: &[f32; BLOCK],
) {
    let (seen, scale) = (first + logarithms.len(), shape.scale);
    vectorized(
        #[inline(always)]
        || {
            let rows = scores.chunks_exact_mut(span).zip(slopes.chunks_exact_mut(span));
            for (row, ((scores, slopes), (logarithm, mean))) in
                rows.zip(logarithms.iter().zip(means)).enumerate()
            {
                let visible = shape.first_seen(first + row)..first + row + 1;
                let (start, end) = (visible.start, visible.end);
                let pairs = scores[visible.clone()].iter_mut().zip(&mut slopes[visible]);
                match shape.softcap {
                    None => {
                        for (score, slope) in pairs {
                            *score = exp(*score * scale - logarithm);
                            *slope = scale * *score * (*slope - mean);
                        }
                    }
                    Some(cap) => {
                        for (score, slope) in pairs {
                            let share = tanh(*score * scale / cap);
                            *score = exp(cap * share - logarithm);
                            *slope = scale * *score * (*slope - mean) * (1.0 - share * share);
                        }
                    }
                }
                for values in [&mut *scores, &mut *slopes] {
                    values[..start].fill(0.0);
                    values[end..seen].fill(0.0);
                }
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::{self, assert_close, values};

    struct Case {
        shape: CausalAttention,
        ends: Vec<usize>,
        x: Vec<f32>,
        dy: Vec<f32>,
        angles: Vec<f64>,
        pairs: usize,
        interleaved: bool,
    }

    impl Case {
        fn new(
            lengths: &[usize],
            (group, key_value_heads, head_width): (usize, usize, usize),
            pairs: usize,
        ) -> Self {
            let heads = group * key_value_heads;
            let shape = CausalAttention {
                heads,
                key_value_heads,
                head_width,
                scale: 0.6,
                softcap: None,
                window: None,
            };
            let mut ends = Vec::new();
            let mut rows = 0;
            for length in lengths {
                rows += length;
                ends.push(rows);
            }
            let longest = lengths.iter().max().copied().unwrap_or(0);
            let angles = values(longest * pairs, 3).iter().map(|&a| 3.0 * f64::from(a)).collect();
            let (x, dy) = (values(rows * shape.columns(), 1), values(rows * shape.query_columns(), 2));
            Self { shape, ends, x, dy, angles, pairs, interleaved: false }
        }

        fn run(&self) -> (Vec<f32>, Vec<f32>) {
            let cosines: Vec<f32> = self.angles.iter().map(|a| a.cos() as f32).collect();
            let sines: Vec<f32> = self.angles.iter().map(|a| a.sin() as f32).collect();
            let rotation = (self.pairs > 0).then_some(Rotation {
                cosines: &cosines,
                sines: &sines,
                pairs: self.pairs,
                interleaved: self.interleaved,
            });
            let rows = self.ends.last().copied().unwrap_or(0);
            let (mut y, mut logarithms) =
                (vec![f32::NAN; self.dy.len()], vec![f32::NAN; rows * self.shape.heads]);
            causal_attention(&self.shape, &self.ends, rotation, &self.x, &mut y, &mut logarithms);
            let mut dx = vec![f32::NAN; self.x.len()];
            causal_attention_backward(
                &self.shape,
                &self.ends,
                rotation,
                &self.x,
                (&y, &logarithms),
                &self.dy,
                &mut dx,
            );
            (y, dx)
        }

        fn check(&self) {
            let (y, dx) = self.run();
            let angles = (self.pairs > 0).then_some((&self.angles[..], self.pairs, self.interleaved));
            let (exact_y, exact_dx) =
                oracle::transformer::causal_attention(&self.shape, &self.ends, &self.x, angles, &self.dy);
            assert_close(&y, &exact_y, 1e-5);
            assert_close(&dx, &exact_dx, 3e-5);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn it_and_its_gradient_are_the_oracle(
            group in 1usize..4, key_value_heads in 1usize..4, head_width in 1usize..40,
            lengths in prop::collection::vec(0usize..70, 1..4), share in 0usize..3,
        ) {
            Case::new(&lengths, (group, key_value_heads, head_width), head_width / 2 * share / 2).check();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn windows_caps_and_neighbours_as_pairs_are_the_oracle(
            head_width in 1usize..20, window in 1usize..90, capped: bool, interleaved: bool,
            lengths in prop::collection::vec(0usize..110, 1..4),
        ) {
            let mut case = Case::new(&lengths, (2, 1, head_width), head_width / 2);
            case.shape.window = Some(window);
            case.shape.softcap = capped.then_some(0.7);
            case.interleaved = interleaved;
            case.check();
        }
    }

    #[test]
    fn long_texts_are_the_oracle() {
        Case::new(&[200, 131], (2, 1, 16), 8).check();
    }

    #[test]
    fn texts_do_not_see_each_other_and_threads_change_no_bit() {
        let both = Case::new(&[70, 50], (2, 2, 24), 12);
        let (y, dx) = both.run();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| both.run()), (y.clone(), dx.clone()));
        }
        let alone = |rows: core::ops::Range<usize>| {
            let mut case = Case::new(&[rows.len()], (2, 2, 24), 12);
            case.angles = both.angles[..rows.len() * 12].to_vec();
            case.x = both.x[rows.start * case.shape.columns()..rows.end * case.shape.columns()].to_vec();
            case.dy = both.dy[rows.start * case.shape.query_columns()..rows.end * case.shape.query_columns()]
                .to_vec();
            case.run()
        };
        let (first, second) = (alone(0..70), alone(70..120));
        assert_eq!(y, [first.0, second.0].concat());
        assert_eq!(dx, [first.1, second.1].concat());
    }
}
