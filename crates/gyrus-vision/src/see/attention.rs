//! Where a vision transformer looks: the map of each head, and how attention adds up over the blocks.
//!
//! Attention rollout (Abnar and Zuidema 2020, arXiv:2005.00928): in each block a token is half itself and half what it attends
//! to on average over heads, `A' = (A + I) / 2`; the product of these matrices over all blocks says how much of each patch there
//! is in the token that answers. It says where information may have come from, not what it was used for.

use gyrus_blueprint::{Blueprint, NodeKind};
use gyrus_kernels::attention::encoder::EncoderAttention;
use gyrus_kernels::attention::maps::encoder_attention_maps;
use gyrus_nn::{Network, State, floats};
use gyrus_tensor::filled_tensor;

use crate::Result;

/// The maps of one attention node.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadMaps {
    /// The node.
    pub node: String,
    /// Heads.
    pub heads: usize,
    /// Tokens.
    pub tokens: usize,
    /// `[heads, tokens, tokens]`: the share of its attention that each token (row) gives to each.
    pub maps: Vec<f32>,
}

/// How the tokens of a transformer lie in the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Tokens before those of the patches: the class token.
    pub before: usize,
    /// Rows of patches.
    pub height: usize,
    /// Columns of patches.
    pub width: usize,
}

impl Grid {
    /// Of a network whose tokens are the pixels of a map, joined; none where there are no such tokens.
    ///
    /// # Errors
    /// What the blueprint's shapes say.
    pub fn of(blueprint: &Blueprint) -> Result<Option<Self>> {
        let shapes = blueprint.shapes()?;
        let nodes = blueprint.nodes();
        let attends = nodes.iter().position(|node| matches!(node.kind, NodeKind::SelfAttention { .. }));
        let joined =
            nodes.iter().position(|node| matches!(node.kind, NodeKind::Flatten { start_axis: 1, .. }));
        let (Some(attends), Some(joined)) = (attends, joined) else { return Ok(None) };
        let (&[_, height, width], &[_, tokens]) = (&shapes.input(joined)[..], &shapes.input(attends)[..])
        else {
            return Ok(None);
        };
        let before = tokens.checked_sub(height * width);
        Ok(before.map(|before| Self { before, height, width }))
    }

    /// Patches.
    #[must_use]
    pub fn patches(&self) -> usize {
        self.height * self.width
    }
}

/// The maps of all heads for one input, in the order of the blocks.
///
/// # Errors
/// For a spiking network.
pub fn attention_maps(network: &Network, input: &[f32]) -> Result<Vec<HeadMaps>> {
    let blueprint = network.blueprint();
    let (shapes, sources) = (blueprint.shapes()?, blueprint.sources());
    let attending: Vec<usize> = shapes
        .order()
        .iter()
        .copied()
        .filter(|&node| matches!(blueprint.nodes()[node].kind, NodeKind::SelfAttention { .. }))
        .collect();
    let wanted: Vec<usize> = attending.iter().flat_map(|&node| sources[node].clone()).collect();
    let x = filled_tensor(1, input.len(), |x| x.copy_from_slice(input));
    let mut results = network.activations(x.to_device(network.device()), &wanted)?.into_iter();
    let mut all = Vec::with_capacity(attending.len());
    for node in attending {
        let NodeKind::SelfAttention { heads } = blueprint.nodes()[node].kind else { continue };
        // Beside an adapter, queries, keys and values are a sum.
        let mut sum: Vec<f32> = Vec::new();
        for part in results.by_ref().take(sources[node].len()).map(floats) {
            if sum.is_empty() {
                sum = part;
            } else {
                sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
        }
        let (width, tokens) = (shapes.output(node)[0], shapes.output(node)[1]);
        let head_width = width / heads.max(1);
        let shape = EncoderAttention { heads, head_width, scale: 1.0 / (head_width as f32).sqrt() };
        let mut maps = vec![0.0; heads * tokens * tokens];
        encoder_attention_maps(&shape, &sum, &mut maps);
        all.push(HeadMaps { node: blueprint.nodes()[node].name.clone(), heads, tokens, maps });
    }
    Ok(all)
}

impl HeadMaps {
    /// What one head gives to each patch: from the class token, or on average over the patches where there is none.
    #[must_use]
    pub fn to_patches(&self, head: usize, grid: &Grid) -> Vec<f32> {
        let map = &self.maps[head * self.tokens * self.tokens..][..self.tokens * self.tokens];
        // A token that was added behind the blocks asks for all.
        let before = self.tokens.saturating_sub(grid.patches());
        let rows = if before > 0 { 1 } else { self.tokens };
        let mut sums = vec![0.0; grid.patches()];
        for row in map.chunks_exact(self.tokens).take(rows) {
            sums.iter_mut().zip(&row[before..]).for_each(|(sum, share)| *sum += share / rows as f32);
        }
        sums
    }
}

impl HeadMaps {
    /// How far the patches' tokens look on average in one head, in patches: the distance between two patches, weighted by the
    /// share that one gives to the other (Dosovitskiy et al. 2020, arXiv:2010.11929, figure 7).
    #[must_use]
    pub fn mean_distance(&self, head: usize, grid: &Grid) -> f64 {
        let before = self.tokens.saturating_sub(grid.patches());
        let map = &self.maps[head * self.tokens * self.tokens..][..self.tokens * self.tokens];
        let (mut sum, mut weight) = (0.0, 0.0);
        for (from, row) in map.chunks_exact(self.tokens).skip(before).enumerate() {
            for (to, share) in row[before..].iter().enumerate() {
                let down = (from / grid.width).abs_diff(to / grid.width) as f64;
                let across = (from % grid.width).abs_diff(to % grid.width) as f64;
                sum += f64::from(*share) * down.hypot(across);
                weight += f64::from(*share);
            }
        }
        if weight > 0.0 { sum / weight } else { 0.0 }
    }
}

/// How much of each patch there is in the answer, by rollout over all blocks: numbers of 0 to 1, one for each patch.
#[must_use]
pub fn rollout(maps: &[HeadMaps], grid: &Grid) -> Vec<f32> {
    let tokens = grid.before + grid.patches();
    let mut flow: Vec<f32> = (0..tokens * tokens).map(|at| f32::from(at / tokens == at % tokens)).collect();
    let mean_of = |own: &HeadMaps| -> Vec<f32> {
        let size = own.tokens * own.tokens;
        (0..size).map(|at| own.maps.iter().skip(at).step_by(size).sum::<f32>() / own.heads as f32).collect()
    };
    for own in maps.iter().filter(|own| own.tokens == tokens) {
        let mut step = mean_of(own);
        for (at, share) in step.iter_mut().enumerate() {
            *share = (*share + f32::from(at / tokens == at % tokens)) / 2.0;
        }
        let mut next = vec![0.0; tokens * tokens];
        for (row, next) in step.chunks_exact(tokens).zip(next.chunks_exact_mut(tokens)) {
            for (share, before) in row.iter().zip(flow.chunks_exact(tokens)) {
                next.iter_mut().zip(before).for_each(|(next, before)| *next += share * before);
            }
        }
        flow = next;
    }
    // What the answer is read from: a pooling query behind the blocks, the class token, or all patches alike.
    let pooling =
        maps.iter().find(|own| own.tokens == tokens + 1).map(|own| mean_of(own)[1..=tokens].to_vec());
    let reader = pooling.unwrap_or_else(|| match grid.before {
        0 => vec![1.0 / tokens as f32; tokens],
        _ => (0..tokens).map(|token| f32::from(token == 0)).collect(),
    });
    let mut shares = vec![0.0; tokens];
    for (weight, row) in reader.iter().zip(flow.chunks_exact(tokens)) {
        shares.iter_mut().zip(row).for_each(|(share, row)| *share += weight * row);
    }
    shares.split_off(grid.before)
}

/// The cosine between the learned positions of each two patches, `[patches, patches]`; none for a network without.
///
/// # Errors
/// What the blueprint's shapes say.
pub fn position_similarity(blueprint: &Blueprint, state: &State, grid: &Grid) -> Result<Option<Vec<f32>>> {
    let shapes = blueprint.shapes()?;
    let node = blueprint.nodes().iter().position(|node| node.kind == NodeKind::PositionEmbedding);
    let Some(node) = node else { return Ok(None) };
    let (width, tokens) = (shapes.output(node)[0], shapes.output(node)[1]);
    let name = format!("{}.positions", blueprint.nodes()[node].name);
    let Some(positions) = state.get(&name).filter(|tensor| tensor.values.len() == width * tokens) else {
        return Ok(None);
    };
    if tokens != grid.before + grid.patches() {
        return Ok(None);
    }
    let rows: Vec<Vec<f32>> = positions
        .values
        .chunks_exact(width)
        .skip(grid.before)
        .map(|row| {
            let length = row.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
            row.iter().map(|value| value / length).collect()
        })
        .collect();
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    Ok(Some(rows.iter().flat_map(|a| rows.iter().map(|b| product(a, b)).collect::<Vec<_>>()).collect()))
}
