//! How alike two meshes are, by the protocol of occupancy networks (Mescheder et al. 2019, arXiv:1812.03828): points drawn
//! from both surfaces by area, distances to the nearest point of the other, and points drawn from the space around both.

mod inside;
mod nearest;

use gyrus_kernels::splitmix64;
pub(crate) use inside::Inside;
use nearest::Tree;
use rayon::prelude::*;
use serde::Serialize;

use crate::mesh::{dot, length};
use crate::{Error, Mesh, Result, Topology};

/// What [`compare`] finds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Points drawn from each surface, and from the space around both.
    pub points: usize,
    /// Mean distance of the first mesh's points to the second mesh.
    pub accuracy: f64,
    /// Mean distance of the second mesh's points to the first mesh.
    pub completeness: f64,
    /// The mean of both.
    pub chamfer_l1: f64,
    /// Distance within which a point counts as right: 1 % of the longest side of the second mesh.
    pub threshold: f64,
    /// Share of the first mesh's points that are right.
    pub precision: f64,
    /// Share of the second mesh's points that are found.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f_score: f64,
    /// Mean cosine between the normals of nearest points, whatever their side.
    pub normal_consistency: f64,
    /// Volume of the intersection over that of the union; none unless both are closed.
    pub iou: Option<f64>,
}

/// Points of a surface and the unit normals of their faces.
struct Samples {
    points: Vec<[f32; 3]>,
    normals: Vec<[f32; 3]>,
}

/// Compares a mesh with the one it should be. Both are taken where they lie. Same seed, same numbers.
///
/// # Errors
/// If a mesh has no area.
pub fn compare(mesh: &Mesh, reference: &Mesh, points: usize, seed: u64) -> Result<Comparison> {
    let ours = Samples::of(mesh, points, seed)?;
    let theirs = Samples::of(reference, points, splitmix64(seed))?;
    let (low, high) = reference.bounds();
    let longest = (0..3).map(|axis| f64::from(high[axis]) - f64::from(low[axis])).fold(0.0, f64::max);
    let threshold = 0.01 * longest;
    let there = ours.to(&theirs, threshold);
    let back = theirs.to(&ours, threshold);
    let both = there.within + back.within;
    Ok(Comparison {
        points,
        accuracy: there.distance,
        completeness: back.distance,
        chamfer_l1: 0.5 * (there.distance + back.distance),
        threshold,
        precision: there.within,
        recall: back.within,
        f_score: if both > 0.0 { 2.0 * there.within * back.within / both } else { 0.0 },
        normal_consistency: 0.5 * (there.cosine + back.cosine),
        iou: volumetric_iou(mesh, reference, points, seed),
    })
}

/// A random number from 0 to below 1.
pub(crate) fn uniform(seed: u64, index: u64) -> f64 {
    (splitmix64(splitmix64(seed) ^ index) >> 11) as f64 / (1u64 << 53) as f64
}

/// Means over points.
struct Means {
    distance: f64,
    within: f64,
    cosine: f64,
}

impl Samples {
    fn of(mesh: &Mesh, points: usize, seed: u64) -> Result<Self> {
        let mut sums = Vec::with_capacity(mesh.faces.len());
        let mut sum = 0.0;
        for face in 0..mesh.faces.len() {
            sum += length(mesh.area_vector(face));
            sums.push(sum);
        }
        if !(sum.is_finite() && sum > 0.0) {
            return Err(Error::Request("a mesh without area cannot be compared".to_owned()));
        }
        let sample = |index: u64| {
            let [a, b, c] = [0, 1, 2].map(|draw| uniform(seed, 3 * index + draw));
            let face = sums.partition_point(|own| *own <= a * sum).min(sums.len() - 1);
            let corners = mesh.corners(face);
            let root = b.sqrt();
            let weights = [1.0 - root, root * (1.0 - c), root * c];
            let point =
                [0, 1, 2].map(|axis| (0..3).map(|k| weights[k] * corners[k][axis]).sum::<f64>() as f32);
            let vector = mesh.area_vector(face);
            let size = length(vector);
            (point, vector.map(|part| (part / size) as f32))
        };
        let (points, normals) = (0..points as u64).into_par_iter().map(sample).unzip();
        Ok(Self { points, normals })
    }

    /// Distances from these points to their nearest ones among others.
    fn to(&self, others: &Self, threshold: f64) -> Means {
        let tree = Tree::new(&others.points);
        let nearest: Vec<(f64, f64)> = (self.points.par_iter().zip(&self.normals))
            .map(|(point, normal)| {
                let (index, square) = tree.nearest(*point);
                let other = others.normals[index].map(f64::from);
                (f64::from(square).sqrt(), dot(normal.map(f64::from), other).abs())
            })
            .collect();
        let mean =
            |of: &dyn Fn(&(f64, f64)) -> f64| nearest.iter().map(of).sum::<f64>() / nearest.len() as f64;
        Means {
            distance: mean(&|own| own.0),
            within: mean(&|own| f64::from(u8::from(own.0 <= threshold))),
            cosine: mean(&|own| own.1),
        }
    }
}

/// Of points drawn from the box around both meshes, those in both over those in one at least.
fn volumetric_iou(a: &Mesh, b: &Mesh, points: usize, seed: u64) -> Option<f64> {
    if ![a, b].iter().all(|mesh| Topology::of(mesh).is_watertight()) {
        return None;
    }
    let bounds = [a.bounds(), b.bounds()];
    let low = [0, 1, 2].map(|axis| f64::from(bounds[0].0[axis].min(bounds[1].0[axis])));
    let high = [0, 1, 2].map(|axis| f64::from(bounds[0].1[axis].max(bounds[1].1[axis])));
    let tests = [Inside::new(a), Inside::new(b)];
    let (both, any) = (0..points as u64)
        .into_par_iter()
        .map(|index| {
            let at = |axis: u64| uniform(!seed, 3 * index + axis);
            let point = [0, 1, 2].map(|axis| low[axis] + (high[axis] - low[axis]) * at(axis as u64));
            let [a, b] = [&tests[0], &tests[1]].map(|test| test.contains(point));
            (u64::from(a && b), u64::from(a || b))
        })
        .reduce(|| (0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    (any > 0).then(|| both as f64 / any as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::tests::cube;

    #[test]
    fn a_mesh_is_like_itself_and_a_moved_cube_as_computed_by_hand() {
        let same = compare(&cube(), &cube(), 20_000, 1).unwrap();
        assert_eq!((same.iou, same.threshold), (Some(1.0), 0.01));
        // Two draws of 20,000 points on an area of 6 lie about 0.5 / sqrt(20000 / 6) apart.
        assert!(same.chamfer_l1 < 0.011 && same.normal_consistency > 0.97, "{same:?}");
        let mut moved = cube();
        moved.positions.iter_mut().for_each(|position| position[0] += 0.5);
        let apart = compare(&moved, &cube(), 50_000, 1).unwrap();
        assert!((apart.iou.unwrap() - 1.0 / 3.0).abs() < 0.01, "{apart:?}");
        assert!(apart == compare(&moved, &cube(), 50_000, 1).unwrap());
        let mut open = cube();
        open.faces.pop();
        assert_eq!(compare(&open, &cube(), 1000, 1).unwrap().iou, None);
        open.faces = vec![[0, 0, 1]];
        assert!(compare(&open, &cube(), 1000, 1).is_err());
    }
}
