//! The pooling of SigLIP's image tower (Zhai et al. 2023, arXiv:2303.15343; Zhai et al. 2022, arXiv:2106.04560): one learned
//! query attends to all tokens, and a hidden layer follows.
//!
//! As nodes, it is self-attention of one more token, which carries the query, has the value 0, and a key that is the query itself
//! times a large negative number: its score is so low in every head that its share is exactly 0, and what the query gathers is
//! that of the image's tokens alone. What the other tokens gather is not read.

use gyrus_blueprint::NodeKind;

use super::Origin;
use super::build::Builder;
use super::vit::PROBE;
use crate::checkpoint::Tensors;
use crate::{Error, Result};

/// The score of the additional token for its own query; the exponential of it is 0 beside any other score of a network.
const SCORE: f32 = -1e4;
const HEAD: &str = "vision_model.head.";

/// The nodes behind the last block: normalization of all tokens, pooling, hidden layer.
pub(super) fn pooled(
    builder: Builder,
    tensors: &Tensors,
    (width, heads): (usize, usize),
    (after, epsilon): (&str, f64),
) -> Result<Builder> {
    let name = |part: &str| format!("{HEAD}{part}");
    let read = |part: &str, shape: &[usize]| -> Result<Vec<f32>> {
        let stored = name(part);
        let found = tensors.get(&stored);
        let misshapen = found
            .filter(|tensor| tensor.shape().iter().product::<usize>() != shape.iter().product::<usize>());
        match (found, misshapen) {
            (Some(tensor), None) => Ok(tensor.floats()),
            (found, _) => Err(Error::Tensors {
                path: tensors.path().to_owned(),
                family: "SigLIP image tower",
                missing: if found.is_none() { vec![stored.clone()] } else { Vec::new() },
                extra: Vec::new(),
                misshapen: misshapen
                    .map(|tensor| (stored.clone(), tensor.shape().to_vec(), shape.to_vec()))
                    .into_iter()
                    .collect(),
            }),
        }
    };
    let probe = read(PROBE.trim_start_matches(HEAD), &[width])?;
    let mut weight = read("attention.in_proj_weight", &[3 * width, width])?;
    let mut bias = read("attention.in_proj_bias", &[3 * width])?;
    let row =
        |output: usize| weight[output * width..][..width].iter().zip(&probe).map(|(w, x)| w * x).sum::<f32>();
    let query: Vec<f32> = (0..width).map(|output| row(output) + bias[output]).collect();
    let head_width = width / heads.max(1);
    let factor = (head_width as f32).sqrt();
    let key = query.chunks(head_width.max(1)).flat_map(|head| {
        let square = head.iter().map(|value| value * value).sum::<f32>().max(f32::MIN_POSITIVE);
        head.iter().map(move |value| SCORE * factor / square * value)
    });
    let key: Vec<f32> = key.collect();
    let token: Vec<f32> = query.iter().copied().chain(key).chain(vec![0.0; width]).collect();
    // The image's tokens ask nothing.
    weight[..width * width].fill(0.0);
    bias[..width].fill(0.0);
    let extent = |part: &str| tensors.extent(&name(part), 0).unwrap_or(width);
    let builder = builder
        .node(after, NodeKind::ChannelLayerNorm { epsilon })
        .node(name("keys_and_values"), NodeKind::conv1d(3 * width, 1))
        .origin("weight", Origin::Given(weight))
        .origin("bias", Origin::Given(bias))
        .node(name("query"), NodeKind::ClassToken)
        .origin("token", Origin::Given(token))
        .node(name("attention"), NodeKind::SelfAttention { heads })
        .node(name("select"), NodeKind::SelectToken { index: 0 })
        .node(name("attention.out_proj"), NodeKind::affine(width));
    let entry = builder.last();
    Ok(builder
        .node(name("layernorm"), NodeKind::LayerNorm { epsilon })
        .node(name("mlp.fc1"), NodeKind::affine(extent("mlp.fc1.weight")))
        .node(name("activation"), NodeKind::TanhGELU)
        .node(name("mlp.fc2"), NodeKind::affine(width))
        .node(name("add"), NodeKind::Add)
        .also(&entry))
}
