//! Convolutions: a table in which the weights of each kernel row are contiguous, and the targets of each input pixel.

use pulp::{Arch, Simd, WithSimd};

use super::rows::{LANE, Lane, Rows, add_rows};
use super::window::{COLUMNS, ImageRow, slide};
use crate::convolution::Convolution;

/// Sums per entry of the map of touched sums.
pub const TOUCHED: usize = 256;

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

/// The weights of a convolution laid out for sparse spikes, and the targets of each input pixel. Images and sums are
/// channels-last.
///
/// An input pixel reaches neighboring output pixels through the elements of a kernel row, from the last to the first.
/// If it reaches one through each of them, their sums are contiguous; the weights of a kernel row are too, in that
/// order, and are added in one pass.
#[derive(Clone, Debug)]
pub struct ConvolutionTable {
    shape: Convolution,
    out_width: usize,
    out_pixels: usize,
    rows: Axis,
    columns: Axis,
    /// Lanes for the outputs of one group.
    group_lanes: usize,
    /// `[kernel row][channel][kernel column, from the last][outputs of the channel's group]`
    lanes: Vec<Lane>,
}

impl ConvolutionTable {
    /// From a weight `[outputs, channels / groups, kernel height, kernel width]`; the shape's batch is ignored.
    ///
    /// # Panics
    /// If the weight does not have that size.
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

    /// Adds the effect of the events to `sums`, marks each block of [`TOUCHED`] sums that changed in `touched`, and
    /// returns the number of additions.
    ///
    /// # Panics
    /// If `sums` or `touched` is too short, or an event is not an input.
    pub fn add(&self, events: &[u32], values: Option<&[f32]>, sums: &mut [f32], touched: &mut [bool]) -> u64 {
        assert_eq!(sums.len(), self.sums_len(), "sums are [out height, out width, groups, group_len]");
        assert!(touched.len() >= sums.len().div_ceil(TOUCHED), "touched has an entry for every 256 sums");
        assert!(values.is_none_or(|values| values.len() == events.len()), "a number for each event");
        Arch::new().dispatch(Scatter { table: self, events, values, sums, touched })
    }
}

/// Events to be scattered through a [`ConvolutionTable`].
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
        // A window with so many sums needs the widest registers.
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
    /// Adds spikes row by row of the image, where the sums of a pixel take `LANES` registers.
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
                ImageRow { events, first, channels, padding: shape.padding[2], out_width: table.out_width };
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
                // SAFETY: events ascend and lie in the row; weights and sums were cut to their sizes.
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

    /// `WHOLE`: lanes of a kernel row whose weights are added in one pass; 1 if that number is only known at run time,
    /// 0 if they are not added in one pass.
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
            // All spikes of one input pixel (and one group) have the same targets.
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
                // Where all of a kernel row is added in one pass, its last element reaches the first output pixel.
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
