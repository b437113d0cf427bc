//! What an event-driven body does at one step: membranes a block at a time, and spikes added to the sums of their targets.
//!
//! Events are the indices of the elements that spiked, ascending, and perhaps a number for each (without one, 1). A target's
//! sum is one chain of additions (with numbers, fused multiply-adds) in the order of the events, from zero. For
//! convolutions the order of a target's events is ascending kernel row, kernel column and channel, so both kinds of sums
//! equal, bit for bit, those of [`spike_linear`](crate::spikes::linear) and
//! [`spike_convolution`](crate::spikes::convolution) before their bias. Cost: events times targets; nothing else is touched.
//!
//! Rows of sums and of weights are padded to [`LANE`] floats on every machine, so that a row is whole registers.

mod pooling;
mod window;

use pulp::{Arch, Simd, WithSimd};

use crate::base::bits::BITS;
use crate::base::parallel::vectorized;
use crate::base::tile::{load, store};
use crate::convolution::Convolution;
use crate::dense::quantized_relu::steps_in;
pub use crate::events::pooling::{count_max_packed, counts_packed};
use crate::events::window::{COLUMNS, PictureRow, slide};
use crate::neuron::{NeuronKind, step};
use crate::spikes::packed;

/// Floats that rows are padded to.
pub const LANE: usize = 16;
/// Sums of one entry of the map of what was touched.
pub const TOUCHED: usize = 256;
/// Events that are listed at once.
const AT_ONCE: usize = 8;
/// Rows of [`LANE`] floats that a product holds in registers.
const PANEL: usize = 8;
/// Registers that hold sums, at most.
const MOST_VECTORS: usize = 12;

type Lane = [f32; LANE];

/// One step of a row of neurons whose length is a multiple of 32: [`neuron_forward`](crate::neuron::neuron_forward) for one
/// step, in place. `constants` are nine rows; `u` becomes the potentials before a reset, `z` the packed spikes. Neurons that
/// only fill a row up have zero constants and zero state. Returns whether every potential is finite.
///
/// # Panics
/// If the rows are not equally wide.
pub fn membrane_step(
    kind: NeuronKind,
    constants: &[f32],
    x: &[f32],
    state: [&mut [f32]; 3],
    u: &mut [f32],
    z: &mut [u32],
) -> bool {
    step::forward_in_place(kind, constants, (x, x.as_ptr()), state, u, z)
}

/// One step of [signed](crate::neuron::signed) neurons: the row `x` is added to the `sums`, and the spikes −1, 0 and 1 that are due
/// to `counts`; `spikes` becomes them, and `z` tells where they are. Rows are as in [`membrane_step`]. Returns whether every
/// sum is finite.
///
/// # Panics
/// If the rows are not equally wide.
pub fn signed_step(
    (levels, threshold): (f32, f32),
    x: &[f32],
    [sums, spikes, counts]: [&mut [f32]; 3],
    z: &mut [u32],
) -> bool {
    let width = x.len();
    assert!([sums.len(), spikes.len(), counts.len()] == [width; 3], "rows are equally wide");
    let scale = threshold.recip();
    vectorized(
        #[inline(always)]
        || {
            let mut broken = 0.0;
            for (((x, sum), count), spike) in x.iter().zip(&mut *sums).zip(&mut *counts).zip(&mut *spikes) {
                *sum += x;
                // Zero times what is not finite is NaN.
                broken += *sum * 0.0;
                *spike = (steps_in(*sum, levels, scale) - *count).clamp(-1.0, 1.0);
                *count += *spike;
            }
            packed::pack_row(spikes, z);
            broken == 0.0
        },
    )
}

/// Appends the indices of the set bits of a row of packed spikes.
pub fn list_spikes(bits: &[u32], events: &mut Vec<u32>) {
    vectorized(
        #[inline(always)]
        || {
            for (index, pair) in bits.chunks(2).enumerate() {
                let mut left = u64::from(pair[0]) | pair.get(1).map_or(0, |&high| u64::from(high) << BITS);
                let (base, count) = ((index * 2 * BITS) as u32, left.count_ones() as usize);
                let end = events.len() + count;
                // Some at once, whether there are so many or not: fewer branches that cannot be foretold.
                for _ in 0..count.div_ceil(AT_ONCE) {
                    events.extend_from_slice(&core::array::from_fn::<u32, AT_ONCE, _>(|_| {
                        let event = base + left.trailing_zeros();
                        left &= left.wrapping_sub(1);
                        event
                    }));
                }
                events.truncate(end);
            }
        },
    );
}

/// Takes finished sums, plus bias, and leaves zeros for the next step.
///
/// # Panics
/// If `sums` is not as long as `to`, or `bias` shorter.
pub fn take_sums(sums: &mut [f32], bias: Option<&[f32]>, to: &mut [f32]) {
    assert_eq!(sums.len(), to.len(), "a sum for each result");
    vectorized(
        #[inline(always)]
        || {
            match bias {
                Some(bias) => {
                    let bias = &bias[..to.len()];
                    for ((to, sum), bias) in to.iter_mut().zip(&*sums).zip(bias) {
                        *to = sum + bias;
                    }
                }
                None => to.copy_from_slice(sums),
            }
            sums.fill(0.0);
        },
    );
}

/// Whether a convolution of floats goes Winograd's way, whose sums are not those of single products.
#[must_use]
pub fn takes_winograd(shape: &Convolution) -> bool {
    crate::convolution::winograd::fits(shape)
}

/// Where the rows of a table are: that of event `first` at `from`, the others `width` floats apart.
#[derive(Clone, Copy)]
struct Rows {
    first: u32,
    width: usize,
    from: *const f32,
}

/// Adds the rows of events to sums, `vectors` registers wide.
///
/// # Safety
/// Each row lies in the table, and the sums are so long.
#[inline(always)]
unsafe fn add_rows<S: Simd>(
    simd: S,
    vectors: usize,
    sums: *mut f32,
    rows: Rows,
    list: &[u32],
    values: Option<&[f32]>,
) {
    /// [`add_rows`] with sums that stay in registers.
    #[inline(always)]
    unsafe fn run<S: Simd, const NV: usize>(
        simd: S,
        sums: *mut f32,
        rows: Rows,
        list: &[u32],
        values: Option<&[f32]>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut registers: [S::f32s; NV] =
                core::array::from_fn(|v| load::<S>(sums.add(v * S::F32_LANES)));
            match values {
                None => {
                    for &event in list {
                        let row = rows.from.add((event - rows.first) as usize * rows.width);
                        for (v, register) in registers.iter_mut().enumerate() {
                            *register = simd.add_f32s(*register, load::<S>(row.add(v * S::F32_LANES)));
                        }
                    }
                }
                Some(values) => {
                    for (&event, &value) in list.iter().zip(values) {
                        let row = rows.from.add((event - rows.first) as usize * rows.width);
                        let value = simd.splat_f32s(value);
                        for (v, register) in registers.iter_mut().enumerate() {
                            *register =
                                simd.mul_add_f32s(value, load::<S>(row.add(v * S::F32_LANES)), *register);
                        }
                    }
                }
            }
            for (v, register) in registers.into_iter().enumerate() {
                store::<S>(sums.add(v * S::F32_LANES), register);
            }
        }
    }
    let mut done = 0;
    while done < vectors {
        let count = MOST_VECTORS.min(vectors - done);
        let at = done * S::F32_LANES;
        // SAFETY: the caller's promise.
        unsafe {
            let (sums, rows) = (sums.add(at), Rows { from: rows.from.add(at), ..rows });
            match count {
                1 => run::<S, 1>(simd, sums, rows, list, values),
                2 => run::<S, 2>(simd, sums, rows, list, values),
                3 => run::<S, 3>(simd, sums, rows, list, values),
                4 => run::<S, 4>(simd, sums, rows, list, values),
                5 => run::<S, 5>(simd, sums, rows, list, values),
                6 => run::<S, 6>(simd, sums, rows, list, values),
                7 => run::<S, 7>(simd, sums, rows, list, values),
                8 => run::<S, 8>(simd, sums, rows, list, values),
                9 => run::<S, 9>(simd, sums, rows, list, values),
                10 => run::<S, 10>(simd, sums, rows, list, values),
                11 => run::<S, 11>(simd, sums, rows, list, values),
                _ => run::<S, MOST_VECTORS>(simd, sums, rows, list, values),
            }
        }
        done += count;
    }
}

/// The sums of one panel of a [`LinearTable`].
struct Panel<'a> {
    sums: &'a mut [Lane],
    table: &'a [Lane],
    events: &'a [u32],
    values: Option<&'a [f32]>,
}

impl WithSimd for Panel<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.sums.len() * LANE;
        let rows = self.table.len() * LANE / width;
        assert!(self.events.iter().all(|&event| (event as usize) < rows), "events are inputs");
        let sums = self.sums.as_mut_ptr().cast();
        let table = Rows { first: 0, width, from: self.table.as_ptr().cast() };
        // SAFETY: every event's row was checked to lie in the table.
        unsafe {
            add_rows(simd, width / S::F32_LANES, sums, table, self.events, self.values);
        }
    }
}

/// Weights of a linear map as spikes read them: for each panel of outputs, a row for each input.
#[derive(Clone, Debug)]
pub struct LinearTable {
    inputs: usize,
    outputs: usize,
    lanes: Vec<Lane>,
}

impl LinearTable {
    /// From a weight `[outputs, inputs]`.
    ///
    /// # Panics
    /// If the weight is not of that size.
    #[must_use]
    pub fn new(weight: &[f32], (inputs, outputs): (usize, usize)) -> LinearTable {
        assert_eq!(weight.len(), inputs * outputs, "weight is [outputs, inputs]");
        let all = outputs.div_ceil(LANE);
        let mut lanes = vec![[0.0; LANE]; all * inputs];
        for (output, weight) in weight.chunks_exact(inputs.max(1)).enumerate() {
            let lane = output / LANE;
            let first = lane / PANEL * PANEL;
            let panel = PANEL.min(all - first);
            for (input, &weight) in weight.iter().enumerate() {
                lanes[first * inputs + input * panel + lane - first][output % LANE] = weight;
            }
        }
        LinearTable { inputs, outputs, lanes }
    }

    /// Floats of a row of sums.
    #[must_use]
    pub fn sums_len(&self) -> usize {
        self.outputs.next_multiple_of(LANE)
    }

    /// Adds what the events set in motion to `sums`, and returns the number of additions.
    ///
    /// # Panics
    /// If `sums` is not as long as [`Self::sums_len`] says, or an event is no input.
    pub fn add(&self, events: &[u32], values: Option<&[f32]>, sums: &mut [f32]) -> u64 {
        assert_eq!(sums.len(), self.sums_len(), "sums are outputs, padded");
        assert!(values.is_none_or(|values| values.len() == events.len()), "a number for each event");
        let (sums, _) = sums.as_chunks_mut::<LANE>();
        for (index, sums) in sums.chunks_mut(PANEL).enumerate() {
            let table = &self.lanes[index * PANEL * self.inputs..][..sums.len() * self.inputs];
            Arch::new().dispatch(Panel { sums, table, events, values });
        }
        events.len() as u64 * self.outputs as u64
    }
}

/// Along one axis, the targets of each input: (kernel element, output).
#[derive(Clone, Debug)]
struct Axis {
    starts: Vec<u32>,
    targets: Vec<(u32, u32)>,
}

impl Axis {
    fn new(shape: &Convolution, axis: usize, inputs: usize, outputs: usize) -> Axis {
        let (stride, dilation, padding) = (shape.stride[axis], shape.dilation[axis], shape.padding[2 * axis]);
        let mut made = Axis { starts: vec![0], targets: Vec::new() };
        for input in 0..inputs {
            for tap in 0..shape.kernel[axis] {
                let Some(place) = (input + padding).checked_sub(tap * dilation) else { break };
                if place.is_multiple_of(stride) && place / stride < outputs {
                    made.targets.push((tap as u32, (place / stride) as u32));
                }
            }
            made.starts.push(made.targets.len() as u32);
        }
        made
    }

    #[inline(always)]
    fn of(&self, input: usize) -> &[(u32, u32)] {
        &self.targets[self.starts[input] as usize..self.starts[input + 1] as usize]
    }
}

/// Weights of a convolution as spikes read them, and where each input pixel goes. Pictures and sums are channels-last.
///
/// An input pixel reaches neighbouring output pixels through the elements of a kernel row from the last to the first. Where
/// it reaches one through each of them, their sums lie side by side: the weights of a kernel row do too, in that order, and
/// are added at once.
#[derive(Clone, Debug)]
pub struct ConvolutionTable {
    shape: Convolution,
    out_width: usize,
    out_pixels: usize,
    rows: Axis,
    columns: Axis,
    /// Lanes of the outputs of a group.
    group_lanes: usize,
    /// `[kernel row][channel][kernel column, from the last][outputs of the channel's group]`
    lanes: Vec<Lane>,
}

impl ConvolutionTable {
    /// From a weight `[outputs, channels / groups, kernel height, kernel width]`; the shape's batch does not matter.
    ///
    /// # Panics
    /// If the weight is not of that size.
    #[must_use]
    pub fn new(shape: &Convolution, weight: &[f32]) -> ConvolutionTable {
        let [out_height, out_width] = shape.output_size();
        let (depth, results) = (shape.channels / shape.groups, shape.outputs / shape.groups);
        let [kernel_height, kernel_width] = shape.kernel;
        let taps = kernel_height * kernel_width;
        assert_eq!(
            weight.len(),
            shape.outputs * depth * taps,
            "weight is [outputs, channels / groups, kernel, kernel]"
        );
        let group_lanes = results.div_ceil(LANE);
        let mut lanes = vec![[0.0; LANE]; taps * shape.channels * group_lanes];
        for (output, weight) in weight.chunks_exact((depth * taps).max(1)).enumerate() {
            let (group, result) = (output / results, output % results);
            for (index, &weight) in weight.iter().enumerate() {
                let (channel, tap) = (group * depth + index / taps, index % taps);
                let (u, v) = (tap / kernel_width, kernel_width - 1 - tap % kernel_width);
                let row = (u * shape.channels + channel) * kernel_width + v;
                lanes[row * group_lanes + result / LANE][result % LANE] = weight;
            }
        }
        ConvolutionTable {
            shape: *shape,
            out_width,
            out_pixels: out_height * out_width,
            rows: Axis::new(shape, 0, shape.height, out_height),
            columns: Axis::new(shape, 1, shape.width, out_width),
            group_lanes,
            lanes,
        }
    }

    /// Floats of the sums of one output pixel's group: its outputs, padded.
    #[must_use]
    pub fn group_len(&self) -> usize {
        self.group_lanes * LANE
    }

    /// Floats of all sums, `[out height, out width, groups, group_len]`.
    #[must_use]
    pub fn sums_len(&self) -> usize {
        self.out_pixels * self.shape.groups * self.group_len()
    }

    /// Adds what the events set in motion to `sums`, marks each stretch of [`TOUCHED`] sums that changed in `touched`, and
    /// returns the number of additions.
    ///
    /// # Panics
    /// If `sums` or `touched` are too short, or an event is no input.
    pub fn add(&self, events: &[u32], values: Option<&[f32]>, sums: &mut [f32], touched: &mut [bool]) -> u64 {
        assert_eq!(sums.len(), self.sums_len(), "sums are [out height, out width, groups, group_len]");
        assert!(touched.len() >= sums.len().div_ceil(TOUCHED), "touched has an entry for every 256 sums");
        assert!(values.is_none_or(|values| values.len() == events.len()), "a number for each event");
        Arch::new().dispatch(Scatter { table: self, events, values, sums, touched })
    }
}

/// Events on their way through a [`ConvolutionTable`].
struct Scatter<'a> {
    table: &'a ConvolutionTable,
    events: &'a [u32],
    values: Option<&'a [f32]>,
    sums: &'a mut [f32],
    touched: &'a mut [bool],
}

impl WithSimd for Scatter<'_> {
    type Output = u64;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> u64 {
        let shape = &self.table.shape;
        let side_by_side = shape.groups == 1 && [shape.stride[1], shape.dilation[1]] == [1, 1];
        // A window of so many sums wants the widest registers.
        if side_by_side && shape.kernel[1] == COLUMNS && self.values.is_none() && S::F32_LANES == LANE {
            match self.table.group_lanes {
                1 => return self.slide::<S, 1>(simd),
                2 => return self.slide::<S, 2>(simd),
                4 => return self.slide::<S, 4>(simd),
                _ => {}
            }
        }
        match (side_by_side, shape.kernel[1] * self.table.group_lanes) {
            (true, 3) => self.run::<S, 3>(simd),
            (true, 6) => self.run::<S, 6>(simd),
            (true, _) => self.run::<S, 1>(simd),
            (false, _) => self.run::<S, 0>(simd),
        }
    }
}

impl Scatter<'_> {
    /// Adds spikes row by row of the picture, where a sum of a pixel is `LANES` registers.
    #[inline(always)]
    fn slide<S: Simd, const LANES: usize>(self, simd: S) -> u64 {
        let Scatter { table, events, sums, touched, .. } = self;
        assert!(events.is_sorted(), "events ascend");
        let shape = &table.shape;
        let (channels, out_row) = (shape.channels, table.out_width * LANES * LANE);
        let weights_of = channels * COLUMNS * LANES;
        let mut additions = 0;
        let mut left = events;
        while let Some(&event) = left.first() {
            let y = event as usize / (shape.width * channels);
            let first = y * shape.width * channels;
            let count = left.partition_point(|&event| (event as usize) < first + shape.width * channels);
            let events = left.split_off(..count).unwrap_or_default();
            let row =
                PictureRow { events, first, channels, padding: shape.padding[2], out_width: table.out_width };
            let mut rows = table.rows.of(y);
            while !rows.is_empty() {
                // At most 24 registers of sums.
                let most = if LANES > 2 { 2 } else { 3 };
                let (now, later) = rows.split_at(most.min(rows.len()));
                rows = later;
                let weights = |r: usize| {
                    let lanes = &table.lanes[now[r].0 as usize * weights_of..][..weights_of];
                    lanes.as_ptr().cast::<f32>()
                };
                let mut sums = |r: usize| sums[now[r].1 as usize * out_row..][..out_row].as_mut_ptr();
                let reached = |from: usize, to: usize| {
                    for &(_, row) in now {
                        let pixel = row as usize * table.out_width;
                        let first = (pixel + from) * LANES * LANE / TOUCHED;
                        let last = ((pixel + to + 1) * LANES * LANE - 1) / TOUCHED;
                        touched[first..=last].fill(true);
                    }
                };
                // SAFETY: events ascend, those of the row are in it; weights and sums were cut to their sizes.
                let reached = unsafe {
                    match now.len() {
                        1 => slide::<S, 1, LANES>(simd, &row, [weights(0)], [sums(0)], reached),
                        2 => {
                            let sums = [sums(0), sums(1)];
                            slide::<S, 2, LANES>(simd, &row, [weights(0), weights(1)], sums, reached)
                        }
                        _ => {
                            let weights = [weights(0), weights(1), weights(2)];
                            let sums = [sums(0), sums(1), sums(2)];
                            slide::<S, 3, LANES>(simd, &row, weights, sums, reached)
                        }
                    }
                };
                additions += reached * now.len();
            }
        }
        additions as u64 * shape.outputs as u64
    }

    /// `WHOLE`: lanes of a kernel row whose weights are added at once; 1 where that is known when the program runs, 0 where
    /// they are not added at once.
    #[inline(always)]
    fn run<S: Simd, const WHOLE: usize>(self, simd: S) -> u64 {
        let Scatter { table, events, values, sums, touched } = self;
        let shape = &table.shape;
        let (channels, depth) = (shape.channels, shape.channels / shape.groups);
        let (lanes, kernel_width) = (table.group_lanes, shape.kernel[1]);
        let whole = if WHOLE > 1 { WHOLE } else { lanes * kernel_width };
        let mut products = 0;
        let mut at = 0;
        while let Some(&event) = events.get(at) {
            // All spikes of one input pixel (and of one group) go the same ways.
            let pixel = event as usize / channels;
            let first = pixel * channels;
            let group = if WHOLE == 0 { (event as usize - first) / depth } else { 0 };
            let lowest = first + group * depth;
            let mut count = 1;
            while events.get(at + count).is_some_and(|&event| (event as usize).wrapping_sub(lowest) < depth) {
                count += 1;
            }
            let list = &events[at..at + count];
            let values = values.map(|values| &values[at..at + count]);
            at += count;
            let (rows, columns) = (table.rows.of(pixel / shape.width), table.columns.of(pixel % shape.width));
            products += count * rows.len() * columns.len();
            for &(u, row) in rows {
                let weights =
                    table.lanes[u as usize * channels * whole..][..channels * whole].as_ptr().cast::<f32>();
                let row = row as usize * table.out_width;
                let whole_row = WHOLE > 0 && columns.len() == kernel_width;
                // Where all of a kernel row goes at once, its last element reaches the first output pixel.
                let targets = if whole_row { &columns[kernel_width - 1..] } else { columns };
                let lanes = if whole_row { whole } else { lanes };
                for &(v, column) in targets {
                    let start = ((row + column as usize) * shape.groups + group) * table.group_lanes;
                    touched[start * LANE / TOUCHED] = true;
                    touched[((start + lanes) * LANE - 1) / TOUCHED] = true;
                    let sums = sums[start * LANE..(start + lanes) * LANE].as_mut_ptr();
                    let of_tap = (kernel_width - 1 - v as usize) * table.group_lanes * LANE;
                    let rows =
                        Rows { first: first as u32, width: whole * LANE, from: weights.wrapping_add(of_tap) };
                    let vectors = lanes * LANE / S::F32_LANES;
                    // SAFETY: the events of a pixel are its channels, and there is a row of `whole` lanes for each.
                    unsafe { add_rows(simd, vectors, sums, rows, list, values) };
                }
            }
        }
        products as u64 * (shape.outputs / shape.groups) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::convolution::convolution;
    use crate::dense::linear::{linear_packed, pack, packed_len};
    use crate::oracle::{self, spike_values, values};
    use crate::spikes::convolution::spike_convolution;
    use crate::spikes::packed::words;

    fn events_of(x: &[f32]) -> (Vec<u32>, Vec<f32>) {
        x.iter().enumerate().filter(|(_, x)| **x != 0.0).map(|(i, x)| (i as u32, *x)).unzip()
    }

    fn same(got: &[f32], expected: &[f32]) {
        assert!(
            got.iter().map(|x| x.to_bits()).eq(expected.iter().map(|x| x.to_bits())),
            "{got:?}\n{expected:?}"
        );
    }

    fn check_convolution(shape: &Convolution, share: f64) {
        let w = values(shape.outputs * shape.channels / shape.groups * shape.kernel[0] * shape.kernel[1], 1);
        let x = spike_values(shape.input_len(), share, 2);
        let table = ConvolutionTable::new(shape, &w);
        let results = shape.outputs / shape.groups;
        let run = |x: &[f32], graded: bool| {
            let (events, numbers) = events_of(x);
            let mut sums = vec![0.0; table.sums_len()];
            let mut touched = vec![false; sums.len().div_ceil(TOUCHED)];
            let additions = table.add(&events, graded.then_some(&numbers[..]), &mut sums, &mut touched);
            for (at, sum) in sums.iter().enumerate() {
                assert!(*sum == 0.0 || touched[at / TOUCHED]);
            }
            (
                sums.chunks(table.group_len())
                    .flat_map(|group| group[..results].to_vec())
                    .collect::<Vec<_>>(),
                additions,
            )
        };
        let mut expected = vec![0.0; shape.output_len()];
        let bits = oracle::pack(&x, shape.input_len());
        assert_eq!(bits.len(), words(shape.input_len()));
        spike_convolution(shape, &bits, &w, None, &mut expected);
        let (sums, additions) = run(&x, false);
        same(&sums, &expected);
        let mut products = 0;
        oracle::convolution_products(shape, |input, _, _| products += u64::from(x[input] != 0.0));
        assert_eq!(additions, products);
        if shape.groups == 1 {
            let graded: Vec<f32> = values(x.len(), 3).iter().zip(&x).map(|(a, b)| a * b).collect();
            convolution(shape, &graded, &w, None, None, false, &mut expected);
            same(&run(&graded, true).0, &expected);
        }
    }

    proptest! {
        #[test]
        fn linear_sums_are_those_of_the_clocked_products(inputs in 1usize..90, outputs in 1usize..300, share in 0.0f64..1.0) {
            let w = values(inputs * outputs, 1);
            let table = LinearTable::new(&w, (inputs, outputs));
            let x = spike_values(inputs, share, 2);
            let (events, ones) = events_of(&x);
            let mut listed = Vec::new();
            list_spikes(&oracle::pack(&x, inputs), &mut listed);
            prop_assert_eq!(&listed, &events);
            let expected = oracle::spike_linear(&oracle::pack(&x, inputs), &w, None, (1, inputs, outputs));
            for with_ones in [None, Some(&ones[..])] {
                let mut sums = vec![0.0; table.sums_len()];
                let additions = table.add(&events, with_ones, &mut sums);
                same(&sums[..outputs], &expected);
                prop_assert_eq!(additions, (events.len() * outputs) as u64);
            }
            let graded: Vec<f32> = values(inputs, 3).iter().zip(&x).map(|(a, b)| a * b).collect();
            let (events, numbers) = events_of(&graded);
            let mut packed = vec![0.0; packed_len((inputs, outputs))];
            pack(&w, (inputs, outputs), &mut packed);
            let mut expected = vec![0.0; outputs];
            linear_packed(&graded, &packed, None, false, (1, inputs, outputs), &mut expected);
            let mut sums = vec![0.0; table.sums_len()];
            table.add(&events, Some(&numbers), &mut sums);
            same(&sums[..outputs], &expected);
        }

        #[test]
        fn sums_of_convolutions_are_those_of_the_clocked_ones(
            height in 4usize..9, width in 4usize..9, channels in 1usize..20, outputs in 1usize..70, groups in 1usize..4,
            kernel in 1usize..4, across in 2usize..4, stride in 1usize..4, padding in 0usize..3, dilation in 1usize..3, share in 0.0f64..1.0,
        ) {
            let shape = Convolution {
                batch: 1,
                height,
                width,
                channels: channels * groups,
                outputs: outputs * groups,
                kernel: [kernel, across],
                stride: [stride, 3 - stride.min(2)],
                padding: [padding, 1, 2, padding],
                dilation: [1, dilation],
                groups,
            };
            check_convolution(&shape, share);
        }

        #[test]
        fn sums_of_windows_that_slide_are_those_of_the_clocked_ones(
            height in 1usize..7, width in 1usize..20, channels in 1usize..20, outputs in 1usize..65,
            kernel in 1usize..6, stride in 1usize..3, padding in 0usize..4, behind in 2usize..4, share in 0.0f64..1.0,
        ) {
            let shape = Convolution {
                batch: 1,
                height,
                width,
                channels,
                outputs,
                kernel: [kernel, 3],
                stride: [stride, 1],
                padding: [kernel, 1, padding, behind],
                dilation: [1, 1],
                groups: 1,
            };
            // Mostly silent pictures have gaps between the windows.
            check_convolution(&shape, share * share * share);
        }
    }
}
