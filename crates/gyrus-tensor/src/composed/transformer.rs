//! The operations of a transformer, composed of Burn's own.

use burn::tensor::activation as act;
use burn::tensor::{Bool, Int, Tensor, TensorData};
use gyrus_kernels::decoding::FeedForwardActivation;
use gyrus_kernels::transformer::{CausalAttention, IGNORED};

use crate::Device;
use crate::transformer::{RotationTable, Transformer};

fn indices(values: impl Iterator<Item = u32>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.map(|value| value as i32).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// Turns the first pairs of each head of `[heads, tokens, head_width]`.
fn turned(x: Tensor<3>, table: &RotationTable) -> Tensor<3> {
    let [heads, tokens, width] = x.dims();
    let pairs = table.pairs;
    let device = x.device();
    let part = |values: &[f32]| {
        let data = TensorData::new(values[..tokens * pairs].to_vec(), [1, tokens, pairs]);
        Tensor::<3>::from_data(data, &device)
    };
    let (cosines, sines) = (part(&table.cosines), part(&table.sines));
    let low = x.clone().slice([0..heads, 0..tokens, 0..pairs]);
    let high = x.clone().slice([0..heads, 0..tokens, pairs..2 * pairs]);
    let rest = x.slice([0..heads, 0..tokens, 2 * pairs..width]);
    let new_low = low.clone() * cosines.clone() - high.clone() * sines.clone();
    let new_high = high * cosines + low * sines;
    if 2 * pairs == width {
        Tensor::cat(vec![new_low, new_high], 2)
    } else {
        Tensor::cat(vec![new_low, new_high, rest], 2)
    }
}

fn attention(shape: &CausalAttention, x: Tensor<2>, rotation: Option<&RotationTable>) -> Tensor<2> {
    let CausalAttention { heads, key_value_heads, head_width, scale } = *shape;
    let tokens = x.dims()[0];
    let part = |first: usize, count: usize| {
        let columns = first * head_width..(first + count) * head_width;
        x.clone().slice([0..tokens, columns]).reshape([tokens, count, head_width]).swap_dims(0, 1)
    };
    let turn = |x: Tensor<3>| match rotation {
        Some(table) if table.pairs > 0 => turned(x, table),
        _ => x,
    };
    // Each key head serves several query heads.
    let spread = |x: Tensor<3>| {
        let x = x.reshape([key_value_heads, 1, tokens * head_width]);
        x.repeat_dim(1, heads / key_value_heads).reshape([heads, tokens, head_width])
    };
    let queries = turn(part(0, heads));
    let keys = spread(turn(part(heads, key_value_heads)));
    let values = spread(part(heads + key_value_heads, key_value_heads));
    let hidden = Tensor::<2, Bool>::tril_mask([tokens, tokens], 0, &x.device());
    let scores = queries.matmul(keys.swap_dims(1, 2)) * scale;
    let scores = scores.mask_fill(hidden.unsqueeze::<3>().expand([heads, tokens, tokens]), -1e30);
    act::softmax(scores, 2).matmul(values).swap_dims(0, 1).reshape([tokens, heads * head_width])
}

/// See [`crate::apply`].
pub(super) fn apply(
    operation: &Transformer,
    x: Tensor<2>,
    mut parameter: impl FnMut() -> Tensor<1>,
    second: Option<Tensor<2>>,
) -> Tensor<2> {
    let [rows, columns] = x.dims();
    match *operation {
        Transformer::Embedding { ref tokens } => {
            let tokens = indices(tokens.iter().copied(), &x.device());
            x.select(0, tokens)
        }
        Transformer::RmsNorm { epsilon, plus_one } => {
            let weight = if plus_one { parameter() + 1.0 } else { parameter() };
            let mean = x.clone().square().mean_dim(1);
            x / (mean + epsilon).sqrt() * weight.unsqueeze()
        }
        Transformer::Attention { ref shape, ref ends, ref rotation } => {
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let texts = starts.zip(ends.iter().copied()).filter(|(start, end)| start < end);
            let text = |(start, end): (usize, usize)| {
                attention(shape, x.clone().slice([start..end, 0..columns]), rotation.as_ref())
            };
            Tensor::cat(texts.map(text).collect(), 0)
        }
        Transformer::Gated(f) => {
            let gate = x.clone().slice([0..rows, 0..columns / 2]);
            let up = x.slice([0..rows, columns / 2..columns]);
            let gate = match f {
                FeedForwardActivation::Silu => act::silu(gate),
                FeedForwardActivation::Gelu => act::gelu(gate),
                FeedForwardActivation::GeluTanh => act::gelu_approximate(gate),
            };
            gate * up
        }
        Transformer::LinearResidual { inputs, outputs } => {
            let weight = parameter().reshape([outputs, inputs]);
            x.matmul(weight.transpose()) + second.expect("the operation has a residual")
        }
        Transformer::VocabularyLoss { ref targets, vocabulary, .. } => {
            let weight = parameter().reshape([vocabulary, columns]);
            let logs = act::log_softmax(x.matmul(weight.transpose()), 1);
            let counts: Vec<f32> = targets.iter().map(|&t| f32::from(u8::from(t != IGNORED))).collect();
            let counted = counts.iter().sum::<f32>().max(1.0);
            let counts = Tensor::<2>::from_data(TensorData::new(counts, [rows, 1]), &logs.device());
            let targets = targets.iter().map(|&t| if t == IGNORED { 0 } else { t });
            let targets = indices(targets, &logs.device());
            let picked = logs.gather(1, targets.unsqueeze_dim(1)) * counts;
            (picked.sum() * (-1.0 / counted)).reshape([1, 1])
        }
    }
}
