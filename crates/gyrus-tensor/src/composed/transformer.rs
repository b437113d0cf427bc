//! Operations of a transformer, composed of Burn's operations.

use burn_tensor::activation as act;
use burn_tensor::{Bool, Int, Tensor, TensorData};
use gyrus_kernels::attention::causal::CausalAttention;
use gyrus_kernels::token::activation::FeedForwardActivation;
use gyrus_kernels::token::vocabulary_loss::IGNORED;

use crate::Device;
use crate::operation::{LowRankLinear, RotationTable, StoredMatrix, Transformer};

fn indices(values: impl Iterator<Item = u32>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.map(|value| value as i32).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// Rotates the first pairs of each head of `[heads, tokens, head_width]`.
fn rotated(x: Tensor<3>, table: &RotationTable) -> Tensor<3> {
    let [heads, tokens, width] = x.dims();
    let pairs = table.pairs;
    let device = x.device();
    let part = |values: &[f32]| {
        let data = TensorData::new(values[..tokens * pairs].to_vec(), [1, tokens, pairs]);
        Tensor::<3>::from_data(data, &device)
    };
    let (cosines, sines) = (part(&table.cosines), part(&table.sines));
    let rest = x.clone().slice([0..heads, 0..tokens, 2 * pairs..width]);
    let (low, high) = if table.interleaved {
        let both = x.slice([0..heads, 0..tokens, 0..2 * pairs]).reshape([heads, tokens, pairs, 2]);
        let half = |at: usize| {
            both.clone().slice([0..heads, 0..tokens, 0..pairs, at..at + 1]).reshape([heads, tokens, pairs])
        };
        (half(0), half(1))
    } else {
        let half = |at: usize| x.clone().slice([0..heads, 0..tokens, at..at + pairs]);
        (half(0), half(pairs))
    };
    let new_low = low.clone() * cosines.clone() - high.clone() * sines.clone();
    let new_high = high * cosines + low * sines;
    let new = if table.interleaved {
        Tensor::stack::<4>(vec![new_low, new_high], 3).reshape([heads, tokens, 2 * pairs])
    } else {
        Tensor::cat(vec![new_low, new_high], 2)
    };
    if 2 * pairs == width { new } else { Tensor::cat(vec![new, rest], 2) }
}

fn attention(shape: &CausalAttention, x: Tensor<2>, rotation: Option<&RotationTable>) -> Tensor<2> {
    let CausalAttention { heads, key_value_heads, head_width, scale, softcap, window } = *shape;
    let tokens = x.dims()[0];
    let part = |first: usize, count: usize| {
        let columns = first * head_width..(first + count) * head_width;
        x.clone().slice([0..tokens, columns]).reshape([tokens, count, head_width]).swap_dims(0, 1)
    };
    let turn = |x: Tensor<3>| match rotation {
        Some(table) if table.pairs > 0 => rotated(x, table),
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
    let mut scores = queries.matmul(keys.swap_dims(1, 2)) * scale;
    if let Some(cap) = softcap {
        scores = (scores / cap).tanh() * cap;
    }
    let hide = |scores: Tensor<3>, hidden: Tensor<2, Bool>| {
        scores.mask_fill(hidden.unsqueeze::<3>().expand([heads, tokens, tokens]), -1e30)
    };
    // True above the diagonal, and true below the window.
    scores = hide(scores, Tensor::tril_mask([tokens, tokens], 0, &x.device()));
    if let Some(window) = window.filter(|window| *window < tokens) {
        scores = hide(scores, Tensor::triu_mask([tokens, tokens], 1 - window as i64, &x.device()));
    }
    act::softmax(scores, 2).matmul(values).swap_dims(0, 1).reshape([tokens, heads * head_width])
}

fn activation(f: FeedForwardActivation, x: Tensor<2>) -> Tensor<2> {
    match f {
        FeedForwardActivation::Silu => act::silu(x),
        FeedForwardActivation::Gelu => super::gelu(x),
        FeedForwardActivation::GeluTanh => act::gelu_approximate(x),
    }
}

/// A frozen weight as a tensor of floats.
fn stored(weight: &StoredMatrix, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(weight.floats(), [weight.rows(), weight.columns()]), device)
}

fn low_rank(
    linear: &LowRankLinear,
    x: Tensor<2>,
    mut parameter: impl FnMut() -> Tensor<1>,
    residual: Option<Tensor<2>>,
) -> Tensor<2> {
    let ([rows, inputs], device) = (x.dims(), x.device());
    let adapter = (linear.rank() > 0).then(&mut parameter);
    let seen = match linear.dropout {
        Some((probability, stream)) => {
            let mask = crate::dropout_mask(rows, inputs, probability, stream, &device.clone().inner());
            x.clone() * if x.is_autodiff() { Tensor::from_inner(mask) } else { mask }
        }
        None => x.clone(),
    };
    let (mut first, mut second) = (0, linear.rank() * inputs);
    let mut results = Vec::new();
    for part in linear.parts.iter() {
        let outputs = part.weight.rows();
        let mut y = x.clone().matmul(stored(&part.weight, &device).transpose());
        if let Some(bias) = &part.bias {
            y = y + Tensor::<1>::from_data(TensorData::new(bias.to_vec(), [outputs]), &device).unsqueeze();
        }
        if let Some(adapter) = adapter.as_ref().filter(|_| part.rank > 0) {
            let matrix = |start: usize, shape: [usize; 2]| {
                adapter.clone().narrow(0, start, shape[0] * shape[1]).reshape(shape)
            };
            let a = matrix(first, [part.rank, inputs]);
            let b = matrix(second, [outputs, part.rank]);
            y = y + seen.clone().matmul(a.transpose()).matmul(b.transpose()) * part.scale;
        }
        first += part.rank * inputs;
        second += part.rank * outputs;
        results.push(y);
    }
    let y = Tensor::cat(results, 1);
    residual.map_or(y.clone(), |residual| y + residual)
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
            super::times_row(x / (mean + epsilon).sqrt(), weight)
        }
        Transformer::Attention { ref shape, ref ends, ref rotation } => {
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let texts = starts.zip(ends.iter().copied()).filter(|(start, end)| start < end);
            let text = |(start, end): (usize, usize)| {
                attention(shape, x.clone().slice([start..end, 0..columns]), rotation.as_ref())
            };
            Tensor::cat(texts.map(text).collect(), 0)
        }
        Transformer::HeadNorm { ref shape, epsilon, plus_one } => {
            let (queries, keys) = (shape.heads * shape.head_width, shape.key_value_heads * shape.head_width);
            let mut first = 0;
            let mut parts = Vec::new();
            for width in [queries, keys] {
                let weight = if plus_one { parameter() + 1.0 } else { parameter() };
                let length = weight.dims()[0];
                let part = x.clone().slice([0..rows, first..first + width]);
                let part = part.reshape([rows * width / length, length]);
                let mean = part.clone().square().mean_dim(1);
                let normed = part / (mean + epsilon).sqrt() * weight.unsqueeze();
                parts.push(normed.reshape([rows, width]));
                first += width;
            }
            parts.push(x.slice([0..rows, first..columns]));
            Tensor::cat(parts, 1)
        }
        Transformer::Rotate { ref shape, ref ends, ref rotation } => {
            let heads = shape.heads + shape.key_value_heads;
            let width = heads * shape.head_width;
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let texts = starts.zip(ends.iter().copied()).filter(|(start, end)| start < end);
            let text = |(start, end): (usize, usize)| {
                let part = x.clone().slice([start..end, 0..width]);
                let part = part.reshape([end - start, heads, shape.head_width]).swap_dims(0, 1);
                rotated(part, rotation).swap_dims(0, 1).reshape([end - start, width])
            };
            let front = Tensor::cat(texts.map(text).collect(), 0);
            Tensor::cat(vec![front, x.clone().slice([0..rows, width..columns])], 1)
        }
        Transformer::Activated(f) => activation(f, x),
        Transformer::Gated(f) => {
            let gate = x.clone().slice([0..rows, 0..columns / 2]);
            let up = x.slice([0..rows, columns / 2..columns]);
            activation(f, gate) * up
        }
        Transformer::LinearResidual { inputs, outputs } => {
            let weight = parameter().reshape([outputs, inputs]);
            x.matmul(weight.transpose()) + second.expect("the operation has a residual")
        }
        Transformer::LowRank(ref linear) => low_rank(linear, x, parameter, second),
        Transformer::VocabularyLoss { ref targets, vocabulary, softcap, ref frozen, .. } => {
            let weight = match frozen {
                Some(frozen) => stored(frozen, &x.device()),
                None => parameter().reshape([vocabulary, columns]),
            };
            let mut logits = x.matmul(weight.transpose());
            if let Some(cap) = softcap {
                logits = (logits / cap).tanh() * cap;
            }
            let logs = act::log_softmax(logits, 1);
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
