//! Where a vision transformer looks: heads, rollout, learned positions.

use gyrus_nn::Network;
use gyrus_report::{AttentionMaps, HeadMap, Picture, PositionSimilarity, SignedMap};
use gyrus_vision::see::attention::{Grid, HeadMaps, attention_maps, position_similarity, rollout};
use serde::Serialize;

use super::{Explained, Seen};
use crate::Result;

/// How the heads of a vision transformer look.
#[derive(Clone, Debug, Serialize)]
pub struct SeenAttention {
    /// Rows and columns of patches.
    pub patches: [usize; 2],
    /// The nodes of attention, in the order of the blocks.
    pub nodes: Vec<String>,
    /// How far each head looks on average over the explained images, in patches: `[nodes][heads]`.
    pub mean_distance: Vec<Vec<f64>>,
    /// The mean cosine between the learned positions of neighboring patches, less that of all pairs; above 0 where the network
    /// has learned the picture's plane. None for a network without learned positions.
    pub neighbors_alike: Option<f64>,
}

/// What was seen of a network with attention.
pub(super) struct Attended {
    grid: Grid,
    /// Of the first explained answer.
    maps: Vec<HeadMaps>,
    mean_distance: Vec<Vec<f64>>,
    /// `[patches, patches]`
    positions: Option<Vec<f32>>,
}

/// How much of each patch there is in the answer to an input; none for a network without attention over patches.
pub(super) fn of_answer(network: &Network, input: &[f32]) -> Result<Option<(Grid, Vec<f32>)>> {
    let Some(grid) = Grid::of(network.blueprint())? else { return Ok(None) };
    let maps = attention_maps(network, input)?;
    Ok(Some((grid, rollout(&maps, &grid))))
}

/// The heads of the explained answers; none for a network without attention over patches.
pub(super) fn attended(network: &Network, explained: &[Explained]) -> Result<Option<Attended>> {
    let (Some(grid), Some(first)) = (Grid::of(network.blueprint())?, explained.first()) else {
        return Ok(None);
    };
    let maps = attention_maps(network, &first.input)?;
    let mut mean_distance: Vec<Vec<f64>> = maps.iter().map(|own| vec![0.0; own.heads]).collect();
    for answer in explained {
        for (sums, own) in mean_distance.iter_mut().zip(attention_maps(network, &answer.input)?) {
            for (head, sum) in sums.iter_mut().enumerate() {
                *sum += own.mean_distance(head, &grid) / explained.len() as f64;
            }
        }
    }
    let positions = position_similarity(network.blueprint(), &network.state(), &grid)?;
    Ok(Some(Attended { grid, maps, mean_distance, positions }))
}

impl Attended {
    pub(super) fn report(&self) -> SeenAttention {
        let Grid { height, width, .. } = self.grid;
        SeenAttention {
            patches: [height, width],
            nodes: self.maps.iter().map(|own| own.node.clone()).collect(),
            mean_distance: self.mean_distance.clone(),
            neighbors_alike: self.positions.as_ref().map(|positions| neighbors_alike(positions, &self.grid)),
        }
    }

    /// What the page shows, for the first explained answer.
    pub(super) fn page(&self, seen: &Seen<'_>) -> Option<AttentionMaps> {
        let first = seen.explained.first()?;
        let Grid { height, width, .. } = self.grid;
        let layers = self.maps.iter().zip(&self.mean_distance).map(|(own, distances)| {
            let head = |(head, distance): (usize, &f64)| HeadMap {
                map: SignedMap { height, width, channels: 1, values: own.to_patches(head, &self.grid) },
                distance: *distance,
            };
            (own.node.clone(), distances.iter().enumerate().map(head).collect())
        });
        Some(AttentionMaps {
            title: first.decision.name.clone(),
            picture: Picture {
                pixels: first.pixels.clone(),
                height: seen.image.height,
                width: seen.image.width,
                channels: seen.image.channels,
            },
            layers: layers.collect(),
            positions: self.positions.clone().map(|values| PositionSimilarity { height, width, values }),
        })
    }
}

/// The mean of the similarities of neighbors, less the mean of those of all pairs.
fn neighbors_alike(positions: &[f32], grid: &Grid) -> f64 {
    let (mut near, mut nears, mut all, mut alls) = (0.0, 0u32, 0.0, 0u32);
    for a in 0..grid.patches() {
        for b in 0..grid.patches() {
            let down = (a / grid.width).abs_diff(b / grid.width);
            let across = (a % grid.width).abs_diff(b % grid.width);
            let value = f64::from(positions[a * grid.patches() + b]);
            if down + across == 1 {
                near += value;
                nears += 1;
            }
            if a != b {
                all += value;
                alls += 1;
            }
        }
    }
    near / f64::from(nears.max(1)) - all / f64::from(alls.max(1))
}
