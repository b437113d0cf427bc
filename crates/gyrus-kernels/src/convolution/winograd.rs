//! 3×3 convolutions of stride 1 with four multiplications per output instead of nine: Winograd's minimal filtering
//! F(2×2, 3×3), Lavin and Gray 2015 (arXiv:1509.09308).
//!
//! Each tile of 4×4 input pixels gives 2×2 output pixels, `Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`: sixteen *positions*, each
//! an ordinary matrix product `[tiles, channels] × [channels, outputs]`. The gradients are the transposed steps of the
//! same formula and share the transformed output gradient `A dY Aᵀ`. Transforms are sums and halvings, which keep the
//! rounding error near that of the direct sum. Tiles are processed in blocks that stay in the second-level cache.

use pulp::{Arch, Simd, WithSimd};

use super::shape::Convolution;
use crate::base::parallel::{SharedMut, for_each_task, with_scratch};
use crate::base::tile::{Epilogue, PANEL, Runs, finish_vector, inner, load, store, with_tile};

/// Output pixels of a tile along each axis, then input pixels.
pub(crate) const OUT: usize = 2;
pub(crate) const SIDE: usize = 4;
pub(crate) const POSITIONS: usize = SIDE * SIDE;
/// Floats of a block's transformed inputs and outputs.
const BLOCK_LEN: usize = 64 << 10;
/// Tiles per block, at most: more bring no gain.
const MOST_TILES: usize = 96;
/// A small number of tiles is cut into blocks of this size so that every thread has work: twice the usual height of a
/// register tile.
const FEW_TILES: usize = 12;

/// Channels from which on saving multiplications outweighs the transforms.
const FEWEST_CHANNELS: usize = 32;

/// Whether this algorithm is used for a convolution.
pub(crate) fn fits(shape: &Convolution) -> bool {
    shape.kernel == [3, 3]
        && shape.stride == [1, 1]
        && shape.dilation == [1, 1]
        && shape.groups == 1
        && [shape.channels, shape.outputs]
            .iter()
            .all(|&channels| channels >= FEWEST_CHANNELS && channels.is_multiple_of(PANEL))
}

/// Floats of the transformed weights.
pub(crate) fn packed_len(shape: &Convolution) -> usize {
    POSITIONS * shape.channels * shape.outputs
}

/// The one-dimensional transforms; [`both_axes`] makes two-dimensional ones of them.
pub(crate) mod one_axis {
    use super::Simd;

    /// `Bᵀ d`
    #[inline(always)]
    pub(crate) fn input<S: Simd>(simd: S, d: [S::f32s; 4]) -> [S::f32s; 4] {
        [
            simd.sub_f32s(d[0], d[2]),
            simd.add_f32s(d[1], d[2]),
            simd.sub_f32s(d[2], d[1]),
            simd.sub_f32s(d[1], d[3]),
        ]
    }

    /// `B m`
    #[inline(always)]
    pub(crate) fn input_gradient<S: Simd>(simd: S, m: [S::f32s; 4]) -> [S::f32s; 4] {
        let zero = simd.splat_f32s(0.0);
        [
            m[0],
            simd.add_f32s(simd.sub_f32s(m[1], m[2]), m[3]),
            simd.add_f32s(simd.sub_f32s(m[1], m[0]), m[2]),
            simd.sub_f32s(zero, m[3]),
        ]
    }

    /// `Aᵀ m`
    #[inline(always)]
    pub(crate) fn output<S: Simd>(simd: S, m: [S::f32s; 4]) -> [S::f32s; 2] {
        [simd.add_f32s(simd.add_f32s(m[0], m[1]), m[2]), simd.sub_f32s(simd.sub_f32s(m[1], m[2]), m[3])]
    }

    /// `A y`
    #[inline(always)]
    pub(crate) fn output_gradient<S: Simd>(simd: S, y: [S::f32s; 2]) -> [S::f32s; 4] {
        let zero = simd.splat_f32s(0.0);
        [y[0], simd.add_f32s(y[0], y[1]), simd.sub_f32s(y[0], y[1]), simd.sub_f32s(zero, y[1])]
    }

    /// `G g`
    #[inline(always)]
    pub(crate) fn weight<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; 4] {
        let half = simd.splat_f32s(0.5);
        let ends = simd.add_f32s(g[0], g[2]);
        [
            g[0],
            simd.mul_f32s(half, simd.add_f32s(ends, g[1])),
            simd.mul_f32s(half, simd.sub_f32s(ends, g[1])),
            g[2],
        ]
    }

    /// `Gᵀ u`
    #[inline(always)]
    pub(crate) fn weight_gradient<S: Simd>(simd: S, u: [S::f32s; 4]) -> [S::f32s; 3] {
        let half = simd.splat_f32s(0.5);
        let sum = simd.mul_f32s(half, simd.add_f32s(u[1], u[2]));
        let difference = simd.mul_f32s(half, simd.sub_f32s(u[1], u[2]));
        [simd.add_f32s(u[0], sum), difference, simd.add_f32s(sum, u[3])]
    }
}

/// Applies a transform to the columns, then to the rows.
#[inline(always)]
pub(crate) fn both_axes<T: Copy, const FROM: usize, const TO: usize>(
    x: [[T; FROM]; FROM],
    transform: impl Fn([T; FROM]) -> [T; TO],
) -> [[T; TO]; TO] {
    let columns: [[T; TO]; FROM] = core::array::from_fn(|j| transform(core::array::from_fn(|i| x[i][j])));
    core::array::from_fn(|i| transform(core::array::from_fn(|j| columns[j][i])))
}

/// `G g Gᵀ` for every pair of channels, in [`inner`]'s panels: `[position, results / 16, depth, 16]`.
///
/// For the forward pass results are the outputs; for the input gradient, `transposed`, they are the input channels.
pub(crate) fn transform_weights(shape: &Convolution, weight: &[f32], transposed: bool, packed: &mut [f32]) {
    let (channels, outputs) = (shape.channels, shape.outputs);
    let (depth, results) = if transposed { (outputs, channels) } else { (channels, outputs) };
    let target = SharedMut(packed.as_mut_ptr());
    for_each_task(depth * results / PANEL / PANEL, depth * results < 1 << 10, |task| {
        let (panel, first) = (task / (depth / PANEL), task % (depth / PANEL) * PANEL);
        let weight = |d: usize, n: usize| {
            let (output, channel) = if transposed { (d, n) } else { (n, d) };
            weight[(output * channels + channel) * 9..].first_chunk::<9>().expect("nine weights a pair")
        };
        Arch::new().dispatch(WeightPanel {
            weight,
            depths: first..first + PANEL,
            panel,
            depth,
            position_len: depth * results,
            to: target,
        });
    });
}

struct WeightPanel<F> {
    weight: F,
    depths: core::ops::Range<usize>,
    panel: usize,
    depth: usize,
    position_len: usize,
    to: SharedMut,
}

impl<'a, F: Fn(usize, usize) -> &'a [f32; 9]> WithSimd for WeightPanel<F> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for d in self.depths {
            let mut taps = [[0.0f32; PANEL]; 9];
            for n in 0..PANEL {
                let weight = (self.weight)(d, self.panel * PANEL + n);
                taps.iter_mut().zip(weight).for_each(|(tap, weight)| tap[n] = *weight);
            }
            for v in (0..PANEL).step_by(S::F32_LANES) {
                let g = core::array::from_fn(|i| {
                    core::array::from_fn(|j| {
                        // SAFETY: `v + F32_LANES <= PANEL`.
                        unsafe { load::<S>(taps[3 * i + j].as_ptr().add(v)) }
                    })
                });
                let u = both_axes(g, |g| one_axis::weight(simd, g));
                for (position, u) in u.into_iter().flatten().enumerate() {
                    let at = position * self.position_len + (self.panel * self.depth + d) * PANEL + v;
                    // SAFETY: only this task writes these depths of this panel.
                    unsafe { store::<S>(self.to.get().add(at), u) };
                }
            }
        }
    }
}

/// How output pixels are cut into tiles.
#[derive(Clone, Copy)]
pub(crate) struct Tiles {
    down: usize,
    across: usize,
    /// Tiles per block.
    pub(crate) block: usize,
}

impl Tiles {
    /// For `images` that are processed together.
    pub(crate) fn new(shape: &Convolution, images: usize) -> Self {
        let floats = shape.channels + shape.outputs;
        let [down, across] = shape.output_size().map(|size| size.div_ceil(OUT));
        let most = (BLOCK_LEN / (POSITIONS * floats)).clamp(FEW_TILES, MOST_TILES) / FEW_TILES * FEW_TILES;
        let spread = (images * down * across).div_ceil(8).next_multiple_of(FEW_TILES);
        Self { down, across, block: most.min(spread) }
    }

    pub(crate) fn per_image(&self) -> usize {
        self.down * self.across
    }

    /// Floats of one position of a block, for `channels`. The extra line keeps positions from falling into the same
    /// sets of the cache.
    pub(crate) fn position_len(&self, channels: usize) -> usize {
        self.block * channels + PANEL
    }

    pub(crate) fn block_len(&self, channels: usize) -> usize {
        POSITIONS * self.position_len(channels)
    }

    /// Image, first output row and first output column of a tile.
    #[inline(always)]
    pub(crate) fn place(&self, tile: usize) -> (usize, usize, usize) {
        let within = tile % self.per_image();
        (tile / self.per_image(), within / self.across * OUT, within % self.across * OUT)
    }
}

/// Images in memory, and a substitute for pixels outside of them.
#[derive(Clone, Copy)]
pub(crate) struct Images {
    pub(crate) first: *mut f32,
    pub(crate) outside: *mut f32,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
}

impl Images {
    /// The square of pixels of an image whose first one is (`row`, `column`).
    #[inline(always)]
    pub(crate) fn square<const N: usize>(
        &self,
        image: usize,
        row: isize,
        column: isize,
    ) -> [[*mut f32; N]; N] {
        let (height, width) = (self.height as isize, self.width as isize);
        let start = (image as isize * height + row) * width + column;
        let at = |i: usize, j: usize| {
            self.first.wrapping_offset((start + i as isize * width + j as isize) * self.channels as isize)
        };
        let last = N as isize - 1;
        if row >= 0 && column >= 0 && row + last < height && column + last < width {
            return core::array::from_fn(|i| core::array::from_fn(|j| at(i, j)));
        }
        core::array::from_fn(|i| {
            core::array::from_fn(|j| {
                let exists =
                    (0..height).contains(&(row + i as isize)) && (0..width).contains(&(column + j as isize));
                if exists { at(i, j) } else { self.outside }
            })
        })
    }
}

/// A range of tiles and their transformed inputs or outputs.
pub(crate) struct Block {
    pub(crate) tiles: Tiles,
    pub(crate) range: core::ops::Range<usize>,
}

impl Block {
    /// `Bᵀ d B` of each tile's input: `[position, tile, channels]`.
    ///
    /// # Safety
    /// The images exist for all tiles; `to` is as long as the block.
    #[inline(always)]
    pub(crate) unsafe fn transform_input<S: Simd>(
        &self,
        simd: S,
        shape: &Convolution,
        x: Images,
        to: *mut f32,
    ) {
        let position_len = self.tiles.position_len(x.channels);
        for (index, tile) in self.range.clone().enumerate() {
            let (image, row, column) = self.tiles.place(tile);
            let (row, column) =
                (row as isize - shape.padding[0] as isize, column as isize - shape.padding[2] as isize);
            let pixels = x.square::<SIDE>(image, row, column);
            for c in (0..x.channels).step_by(S::F32_LANES) {
                // SAFETY: pixels are `channels` long, as is a tile's place in each position.
                unsafe {
                    let d = pixels.map(|row| row.map(|pixel| load::<S>(pixel.add(c))));
                    let v = both_axes(d, |d| one_axis::input(simd, d));
                    for (position, v) in v.into_iter().flatten().enumerate() {
                        store::<S>(to.add(position * position_len + index * x.channels + c), v);
                    }
                }
            }
        }
    }

    /// For every position `out = left × panels`: `[tiles, depth] × [depth, results]`.
    ///
    /// # Safety
    /// `left` and `out` are as long as the block, `panels` holds all positions.
    #[inline(always)]
    pub(crate) unsafe fn multiply<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        (left, depth): (*const f32, usize),
        panels: &[f32],
        (out, results): (*mut f32, usize),
    ) {
        for position in 0..POSITIONS {
            let left = left.wrapping_add(position * self.tiles.position_len(depth));
            let out = out.wrapping_add(position * self.tiles.position_len(results));
            // SAFETY: guaranteed by the caller; rows are tiles.
            unsafe {
                inner::<S, MR, NV, true, true>(
                    simd,
                    0..self.range.len(),
                    |tile| left.wrapping_add(tile * depth),
                    Runs { offsets: &[0], length: depth },
                    (panels.as_ptr().add(position * results * depth), depth * PANEL),
                    |tile| out.wrapping_add(tile * results),
                    (0, results),
                    Epilogue::NONE,
                );
            }
        }
    }
}

struct Forward<'a> {
    shape: &'a Convolution,
    block: Block,
    x: Images,
    y: Images,
    packed: &'a [f32],
    epilogue: Epilogue<'a>,
    inputs: *mut f32,
    sums: *mut f32,
}

impl WithSimd for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(simd: S, this: Forward<'_>) {
            let Forward { block, x, y, .. } = &this;
            // SAFETY: the caller's scratch is as long as the block, and all images of the tiles exist.
            unsafe {
                block.transform_input(simd, this.shape, *x, this.inputs);
                block.multiply::<S, MR, NV>(
                    simd,
                    (this.inputs, x.channels),
                    this.packed,
                    (this.sums, y.channels),
                );
            }
            let position_len = block.tiles.position_len(y.channels);
            for (index, tile) in block.range.clone().enumerate() {
                let (image, row, column) = block.tiles.place(tile);
                let pixels = y.square::<OUT>(image, row as isize, column as isize);
                for c in (0..y.channels).step_by(S::F32_LANES) {
                    // SAFETY: as above; pixels outside are not written.
                    unsafe {
                        let at = this.sums.add(index * y.channels + c);
                        let m = core::array::from_fn(|i| {
                            core::array::from_fn(|j| load::<S>(at.add((SIDE * i + j) * position_len)))
                        });
                        let results = both_axes(m, |m| one_axis::output(simd, m));
                        for i in 0..OUT {
                            for j in 0..OUT {
                                if pixels[i][j] != y.outside {
                                    let to = pixels[i][j].add(c);
                                    finish_vector::<S>(simd, results[i][j], to, c, this.epilogue);
                                }
                            }
                        }
                    }
                }
            }
        }
        with_tile!(simd, run(self));
    }
}

/// The forward pass with transformed weights; the caller has checked all lengths.
pub(crate) fn forward(shape: &Convolution, x: &[f32], packed: &[f32], epilogue: Epilogue<'_>, y: &mut [f32]) {
    let tiles = Tiles::new(shape, shape.batch);
    let total = shape.batch * tiles.per_image();
    let target = SharedMut(y.as_mut_ptr());
    let [out_height, out_width] = shape.output_size();
    let serial = total * POSITIONS * shape.channels * shape.outputs < 1 << 17;
    for_each_task(total.div_ceil(tiles.block), serial, |task| {
        let first = task * tiles.block;
        let lengths = [tiles.block_len(shape.channels), tiles.block_len(shape.outputs), shape.channels];
        with_scratch(lengths.iter().sum(), |scratch| {
            let (inputs, rest) = scratch.split_at_mut(lengths[0]);
            let (sums, outside) = rest.split_at_mut(lengths[1]);
            outside.fill(0.0);
            Arch::new().dispatch(Forward {
                shape,
                block: Block { tiles, range: first..total.min(first + tiles.block) },
                // Only read, despite the pointer's type.
                x: Images {
                    first: x.as_ptr().cast_mut(),
                    outside: outside.as_mut_ptr(),
                    height: shape.height,
                    width: shape.width,
                    channels: shape.channels,
                },
                y: Images {
                    first: target.get(),
                    outside: core::ptr::null_mut(),
                    height: out_height,
                    width: out_width,
                    channels: shape.outputs,
                },
                packed,
                epilogue,
                inputs: inputs.as_mut_ptr(),
                sums: sums.as_mut_ptr(),
            });
        });
    });
}
