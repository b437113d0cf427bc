//! What the picture looks like to the model: the vision transformer DINO (Caron et al. 2021), larger than it was trained, with
//! its positions interpolated as `transformers` 4.35 does it.

use gyrus_formats::Checkpoint;

use super::layers::{Attention, Block, FeedForward, Linear, Norm};
use crate::{Error, Result};

const PREFIX: &str = "image_tokenizer.model";
/// Width of a head in every published network of this kind.
const HEAD_WIDTH: usize = 64;
pub(super) const EPSILON: f32 = 1e-12;
/// Of ImageNet, by which the picture is normalized.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

pub(super) struct Vision {
    patch: Linear,
    /// Side of a patch.
    side: usize,
    width: usize,
    class: Vec<f32>,
    /// Position of the class token, then of each patch of the picture.
    positions: Vec<f32>,
    blocks: Vec<Block>,
    norm: Norm,
}

impl Vision {
    pub(super) fn take(from: &mut Checkpoint, image_side: usize, width: usize) -> Result<Self> {
        let shape =
            |from: &Checkpoint, name: &str| from.tensors().get(name).map(|tensor| tensor.shape().to_vec());
        let projection = format!("{PREFIX}.embeddings.patch_embeddings.projection");
        let weight = format!("{projection}.weight");
        let side = match shape(from, &weight).as_deref() {
            Some([_, _, side, other]) if side == other && *side > 0 => *side,
            _ => 16,
        };
        let kernel = from.take(&weight, &[width, 3, side, side])?;
        from.insert(&weight, gyrus_formats::Tensor::of_floats(vec![width, 3 * side * side], kernel.floats()));
        let patch = Linear::take(from, &projection, (3 * side * side, width), true)?;
        let class = from.take(&format!("{PREFIX}.embeddings.cls_token"), &[1, 1, width])?.floats();
        let name = format!("{PREFIX}.embeddings.position_embeddings");
        let stored = shape(from, &name).and_then(|shape| shape.get(1).copied()).unwrap_or(197);
        let grid = stored.saturating_sub(1).isqrt();
        if grid == 0 || grid * grid + 1 != stored || !image_side.is_multiple_of(side) {
            let expected = "a square grid and a class token";
            return Err(Error::mesh(from.path(), name, format!("{stored} positions"), expected));
        }
        let positions = from.take(&name, &[1, stored, width])?.floats();
        let positions = interpolated(&positions, grid, image_side / side, width);
        let blocks = blocks(from, PREFIX, width)?;
        let norm = Norm::take(from, &format!("{PREFIX}.layernorm"), width, EPSILON)?;
        Ok(Self { patch, side, width, class, positions, blocks, norm })
    }

    pub(super) fn layers(&self) -> usize {
        self.blocks.len()
    }

    /// Tokens of a picture, `[1 + patches, width]`; `pixels` is `[side, side, 3]`, 0 to 1.
    pub(super) fn tokens(&self, pixels: &[f32], image_side: usize, mut layer: impl FnMut()) -> Vec<f32> {
        let (side, grid) = (self.side, image_side / self.side);
        let mut patches = Vec::with_capacity(pixels.len());
        for patch in 0..grid * grid {
            for channel in 0..3 {
                for inner in 0..side * side {
                    let (x, y) = (patch % grid * side + inner % side, patch / grid * side + inner / side);
                    let value = pixels[(y * image_side + x) * 3 + channel];
                    patches.push((value - MEAN[channel]) / DEVIATION[channel]);
                }
            }
        }
        let mut x = vec![0.0; (1 + grid * grid) * self.width];
        let (class, rest) = x.split_at_mut(self.width);
        class.copy_from_slice(&self.class);
        self.patch.run(&patches, rest);
        x.iter_mut().zip(&self.positions).for_each(|(x, position)| *x += position);
        for block in &self.blocks {
            block.run(&mut x, &[]);
            layer();
        }
        self.norm.of(&x)
    }
}

/// All layers under a prefix, as in DINO.
pub(super) fn blocks(from: &mut Checkpoint, prefix: &str, width: usize) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    while from
        .tensors()
        .contains_key(&format!("{prefix}.encoder.layer.{}.layernorm_before.weight", blocks.len()))
    {
        let name = |part: &str| format!("{prefix}.encoder.layer.{}.{part}", blocks.len());
        let hidden = from
            .tensors()
            .get(&name("intermediate.dense.weight"))
            .and_then(|tensor| tensor.shape().first().copied())
            .unwrap_or(4 * width);
        let mut same = |part: &str| Linear::take(from, &name(part), (width, width), true);
        let attention = Attention {
            query: same("attention.attention.query")?,
            key: same("attention.attention.key")?,
            value: same("attention.attention.value")?,
            output: same("attention.output.dense")?,
            heads: (width / HEAD_WIDTH).max(1),
        };
        let up = Linear::take(from, &name("intermediate.dense"), (width, hidden), true)?;
        let down = Linear::take(from, &name("output.dense"), (hidden, width), true)?;
        let before = Norm::take(from, &name("layernorm_before"), width, EPSILON)?;
        let after = Norm::take(from, &name("layernorm_after"), width, EPSILON)?;
        blocks.push(Block {
            attention: (before, attention),
            cross: None,
            feed_forward: (after, FeedForward::plain(up, down)),
        });
    }
    Ok(blocks)
}

/// Positions of a grid of `to` patches a side from those of `from`, by cubic convolution (Keys 1981, a = -0.75).
///
/// `transformers` 4.35 asked for the factor `(to + 0.1) / from` so that rounding could not lose a row, and the model was
/// trained with what follows: each sample lies a little before its place.
fn interpolated(positions: &[f32], from: usize, to: usize, width: usize) -> Vec<f32> {
    if from == to {
        return positions.to_vec();
    }
    let factor = (to as f64 + 0.1) / from as f64;
    // Four neighbors and their weights for each place along an axis.
    let taps: Vec<([usize; 4], [f64; 4])> = (0..to)
        .map(|place| {
            let at = (place as f64 + 0.5) / factor - 0.5;
            let (first, t) = (at.floor(), at - at.floor());
            let near = |x: f64| ((-0.75 + 2.0) * x - (-0.75 + 3.0)) * x * x + 1.0;
            let far = |x: f64| ((-0.75 * x + 5.0 * 0.75) * x - 8.0 * 0.75) * x + 4.0 * 0.75;
            let clamp = |index: f64| index.clamp(0.0, (from - 1) as f64) as usize;
            let places = [-1.0, 0.0, 1.0, 2.0].map(|step| clamp(first + step));
            (places, [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)])
        })
        .collect();
    let mut result = positions[..width].to_vec();
    for (rows, row_weights) in &taps {
        for (columns, column_weights) in &taps {
            let mut sum = vec![0.0f64; width];
            for (row, by_row) in rows.iter().zip(row_weights) {
                for (column, by_column) in columns.iter().zip(column_weights) {
                    let own = &positions[(1 + row * from + column) * width..][..width];
                    sum.iter_mut()
                        .zip(own)
                        .for_each(|(sum, own)| *sum += by_row * by_column * f64::from(*own));
                }
            }
            result.extend(sum.iter().map(|sum| *sum as f32));
        }
    }
    result
}
