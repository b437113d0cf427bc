//! Pictures that are alike: nearest ones, duplicates, and pictures that are like no others.
//!
//! A picture becomes a vector of length 1: what a network answers before its last layer, or, without a network, its thumbnail of
//! 32 x 32 pixels with the mean taken off. How alike two pictures are is the inner product of their vectors: the cosine, or the
//! correlation of the thumbnails. All pairs are compared, by matrix products in blocks: exact, `2 n² width` operations, so that
//! 10,000 pictures of 1,280 numbers take seconds. An approximate index would pay from some hundred thousand pictures on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use gyrus_blueprint::{Blueprint, NodeKind};
use gyrus_data::{Dataset, Features, Preprocessing};
use gyrus_kernels::dense::linear::linear;
use gyrus_nn::{Network, floats};
use gyrus_tensor::{Device, filled_tensor};
use rayon::prelude::*;

use crate::transfer::{Cut, cut};
use crate::{Error, Model, Result};

/// Side of a thumbnail in pixels.
const THUMBNAIL: usize = 32;
/// Pictures that pass a network together, and that are compared with all others together.
const TOGETHER: usize = 64;
const BLOCK: usize = 128;
/// Neighbors whose mean similarity says how usual a picture is.
const NEIGHBORS: usize = 5;
/// The most pairs that are kept.
const MOST_PAIRS: usize = 1 << 20;
/// Brightness by which a thumbnail must vary, or nothing in it can be compared.
const LEAST_DEVIATION: f32 = 1.5;

/// How a picture becomes a vector.
pub struct Embedder {
    preprocessing: Preprocessing,
    /// None for thumbnails.
    network: Option<Network>,
    /// What the vectors are, for people.
    what: String,
}

/// Pictures as vectors.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// The files.
    pub files: Vec<PathBuf>,
    /// `[files, width]`, each row of length 1, or 0 where there is nothing to compare.
    pub rows: Vec<f32>,
    /// Numbers of a picture.
    pub width: usize,
    /// Files that could not be read, and why.
    pub failed: Vec<(PathBuf, String)>,
}

/// What the comparison of all pictures with each other gives.
#[derive(Clone, Debug, Default)]
pub struct Neighborhood {
    /// Pairs at least as alike as asked for, by index, the most alike first.
    pub pairs: Vec<(usize, usize, f32)>,
    /// Of each picture, the mean similarity to its five nearest.
    pub closeness: Vec<f32>,
    /// Of each picture, the nearest other.
    pub nearest: Vec<Option<(usize, f32)>>,
}

/// The part of a network whose answers describe a picture, and its last node: what comes before the last layer, or all of a
/// network that ends without a layer of classes.
///
/// # Errors
/// [`Error::Cut`] if the network has no single last layer.
fn describing_part(model: &Model) -> Result<(Blueprint, String)> {
    let blueprint = &model.blueprint;
    let sources = blueprint.sources();
    let output = blueprint.nodes().iter().position(|node| node.kind == NodeKind::Output);
    let last = output.and_then(|output| sources[output].first().copied());
    let name = last.map_or_else(String::new, |last| blueprint.nodes()[last].name.clone());
    let classifies = last.is_some_and(|last| {
        matches!(blueprint.nodes()[last].kind, NodeKind::Affine { .. } | NodeKind::Linear { .. })
    });
    if !classifies || crate::families::describes(model.family) {
        return Ok((blueprint.clone(), name));
    }
    let Cut { node, body, .. } = cut(blueprint, None)?;
    Ok((body, node))
}

impl Embedder {
    /// By what a network answers before its last layer.
    ///
    /// # Errors
    /// [`Error::Cut`] if the network has no single last layer; if it has a node without a dense body.
    pub fn of_model(model: &Model, device: &Device) -> Result<Self> {
        let (body, node) = describing_part(model)?;
        let parameters = Cut::parameters(&body, &model.parameters);
        let network = Some(Network::from_state(&body, &parameters, device)?);
        let what = format!("the answers of `{node}`");
        Ok(Self { preprocessing: model.preprocessing.clone(), network, what })
    }

    /// By thumbnails.
    #[must_use]
    pub fn of_pixels() -> Self {
        let preprocessing = Preprocessing::Image {
            height: THUMBNAIL,
            width: THUMBNAIL,
            channels: 3,
            mean: vec![0.0; 3],
            deviation: vec![1.0; 3],
            ink: None,
            resize: None,
        };
        Self { preprocessing, network: None, what: format!("thumbnails of {THUMBNAIL} x {THUMBNAIL} pixels") }
    }

    /// What the vectors are.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The vectors of some files. `watch` receives how many are done, and of how many, and says whether to go on.
    ///
    /// # Errors
    /// [`Error::Stopped`]
    pub fn embed(&self, files: &[PathBuf], watch: &mut dyn FnMut(usize, usize) -> bool) -> Result<Embedded> {
        let mut all = Embedded { files: Vec::new(), rows: Vec::new(), width: 0, failed: Vec::new() };
        for (number, some) in files.chunks(TOGETHER).enumerate() {
            let decoded: Vec<_> = some.par_iter().map(|file| self.preprocessing.decode_file(file)).collect();
            let mut pixels = Vec::new();
            for (file, decoded) in some.iter().zip(decoded) {
                match decoded {
                    Ok(own) => {
                        all.files.push(file.clone());
                        pixels.push(own);
                    }
                    Err(error) => all.failed.push((file.clone(), error.to_string())),
                }
            }
            let rows = self.vectors(&pixels);
            if !pixels.is_empty() {
                all.width = rows.len() / pixels.len();
            }
            all.rows.extend(rows);
            if !watch((number * TOGETHER + some.len()).min(files.len()), files.len()) {
                return Err(Error::Stopped);
            }
        }
        Ok(all)
    }

    /// Vectors of length 1 of decoded pictures.
    fn vectors(&self, pictures: &[Vec<u8>]) -> Vec<f32> {
        let Some(first) = pictures.first() else { return Vec::new() };
        let mut rows: Vec<f32> = match &self.network {
            Some(network) => {
                let inputs: Vec<f32> =
                    pictures.iter().flat_map(|pixels| self.preprocessing.normalize(pixels)).collect();
                let x = filled_tensor(pictures.len(), inputs.len() / pictures.len(), |x| {
                    x.copy_from_slice(&inputs)
                });
                floats(network.infer(x.to_device(network.device())))
            }
            None => pictures.iter().flatten().map(|pixel| f32::from(*pixel)).collect(),
        };
        let width = rows.len() / pictures.len();
        debug_assert!(self.network.is_some() || width == first.len());
        for row in rows.chunks_exact_mut(width.max(1)) {
            if self.network.is_none() {
                let mean = row.iter().sum::<f32>() / width as f32;
                row.iter_mut().for_each(|value| *value -= mean);
            }
            let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
            let least = if self.network.is_none() { LEAST_DEVIATION * (width as f32).sqrt() } else { 0.0 };
            let factor = if length > least { 1.0 / length } else { 0.0 };
            row.iter_mut().for_each(|value| *value *= factor);
        }
        rows
    }
}

impl Embedded {
    /// The pictures that are most like each of some others, whose vectors have the same width: index and similarity, the most
    /// alike first, at most `top`.
    #[must_use]
    pub fn nearest_to(&self, others: &Self, top: usize) -> Vec<Vec<(usize, f32)>> {
        let count = self.files.len();
        if count == 0 || self.width != others.width {
            return vec![Vec::new(); others.files.len()];
        }
        let mut all = Vec::with_capacity(others.files.len());
        for some in others.rows.chunks(BLOCK * self.width) {
            let rows = some.len() / self.width;
            let mut products = vec![0.0; rows * count];
            linear(some, &self.rows, None, false, (rows, self.width, count), &mut products);
            all.extend(products.chunks_exact(count).map(|row| largest(row.iter().copied().enumerate(), top)));
        }
        all
    }

    /// Compares all pictures with each other; pairs at least this alike are listed.
    #[must_use]
    pub fn neighborhood(&self, alike: f32) -> Neighborhood {
        let count = self.files.len();
        let mut found = Neighborhood::default();
        for (block, some) in self.rows.chunks(BLOCK * self.width.max(1)).enumerate() {
            let rows = some.len() / self.width.max(1);
            let mut products = vec![0.0; rows * count];
            linear(some, &self.rows, None, false, (rows, self.width, count), &mut products);
            for (row, products) in products.chunks_exact(count.max(1)).enumerate() {
                let own = block * BLOCK + row;
                let others = products.iter().copied().enumerate().filter(|(other, _)| *other != own);
                let best = largest(others, NEIGHBORS);
                let sum: f32 = best.iter().map(|(_, similarity)| similarity).sum();
                found.closeness.push(sum / best.len().max(1) as f32);
                found.nearest.push(best.first().copied());
                let pairs =
                    products.iter().enumerate().skip(own + 1).filter(|(_, product)| **product >= alike);
                let room = MOST_PAIRS.saturating_sub(found.pairs.len());
                found.pairs.extend(pairs.take(room).map(|(other, product)| (own, other, product.min(1.0))));
            }
        }
        found.pairs.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
        found
    }
}

impl Neighborhood {
    /// Pictures that hang together by pairs, each group sorted, the groups by their first picture.
    #[must_use]
    pub fn groups(&self) -> Vec<Vec<usize>> {
        let mut parent: Vec<usize> = (0..self.closeness.len()).collect();
        fn root(parent: &mut [usize], mut node: usize) -> usize {
            while parent[node] != node {
                parent[node] = parent[parent[node]];
                node = parent[node];
            }
            node
        }
        for &(a, b, _) in &self.pairs {
            let (a, b) = (root(&mut parent, a), root(&mut parent, b));
            parent[a.max(b)] = a.min(b);
        }
        let mut groups: HashMap<usize, Vec<usize>> = HashMap::new();
        for node in 0..parent.len() {
            groups.entry(root(&mut parent, node)).or_default().push(node);
        }
        let mut groups: Vec<Vec<usize>> = groups.into_values().filter(|group| group.len() > 1).collect();
        groups.sort();
        groups
    }

    /// Pictures by how little they are like their nearest, the strangest first, with how many median absolute deviations they
    /// lie below the median: `(index, closeness, deviations)`.
    #[must_use]
    pub fn outliers(&self) -> Vec<(usize, f32, f32)> {
        let median = |values: &mut Vec<f32>| {
            values.sort_by(f32::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(0.0)
        };
        let middle = median(&mut self.closeness.clone());
        let spread = median(&mut self.closeness.iter().map(|value| (value - middle).abs()).collect());
        let mut all: Vec<(usize, f32, f32)> = (self.closeness.iter().enumerate())
            .map(|(index, &value)| (index, value, (middle - value) / spread.max(1e-6)))
            .collect();
        all.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        all
    }
}

/// The largest values with their places, the largest first.
fn largest(values: impl Iterator<Item = (usize, f32)>, top: usize) -> Vec<(usize, f32)> {
    let mut all: Vec<(usize, f32)> = values.collect();
    let order = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if all.len() > top && top > 0 {
        all.select_nth_unstable_by(top - 1, order);
    }
    all.truncate(top);
    all.sort_by(order);
    all
}

/// Whether two files hold the same bytes; false where one cannot be read.
#[must_use]
pub fn same_bytes(a: &Path, b: &Path) -> bool {
    let length = |path: &Path| std::fs::metadata(path).map(|data| data.len()).ok();
    length(a).is_some()
        && length(a) == length(b)
        && matches!((std::fs::read(a), std::fs::read(b)), (Ok(a), Ok(b)) if a == b)
}

/// The test examples, by index, whose pixels are those of a training example; empty for other data than pictures.
#[must_use]
pub fn test_twins(dataset: &Dataset) -> Vec<u32> {
    let (Features::Images(train), Features::Images(test)) = (&dataset.train.features, &dataset.test.features)
    else {
        return Vec::new();
    };
    let length = train.example_length();
    if length == 0 || test.example_length() != length {
        return Vec::new();
    }
    let known: std::collections::HashSet<&[u8]> = train.pixels.chunks_exact(length).collect();
    let twins = test.pixels.chunks_exact(length).zip(0..).filter(|(pixels, _)| known.contains(pixels));
    twins.map(|(_, index)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors on a half circle.
    fn embedded(angles: &[f32]) -> Embedded {
        let rows = angles.iter().flat_map(|angle| [angle.cos(), angle.sin()]).collect();
        let files = (0..angles.len()).map(|number| PathBuf::from(number.to_string())).collect();
        Embedded { files, rows, width: 2, failed: Vec::new() }
    }

    #[test]
    fn pairs_groups_and_outliers_are_those_of_the_angles() {
        let mut angles: Vec<f32> = (0..300).map(|number| 0.001 * number as f32).collect();
        angles.extend([1.5, 1.5001, 3.0]);
        let all = embedded(&angles);
        let found = all.neighborhood((0.0005f32).cos());
        assert_eq!(found.pairs[0].0, 300, "{:?}", found.pairs);
        assert_eq!(found.groups(), [vec![300, 301]]);
        assert_eq!(found.outliers()[0].0, 302);
        let nearest = all.nearest_to(&embedded(&[0.1502, 2.9]), 2);
        assert_eq!((nearest[0][0].0, nearest[1][0].0), (150, 302));
        // As a plain search finds them.
        for (own, nearest) in found.nearest.iter().enumerate() {
            let product = |other: usize| (angles[own] - angles[other]).cos();
            let best = (0..angles.len()).filter(|other| *other != own).map(product).fold(f32::MIN, f32::max);
            assert!((nearest.unwrap().1 - best).abs() < 1e-5, "{own}");
        }
    }
}
