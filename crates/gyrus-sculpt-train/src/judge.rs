//! How good a model is: the protocol of occupancy networks (Mescheder et al. 2019), beside what recognition alone gives
//! (Tatarchenko et al. 2019).

use gyrus_sculpt::triposr::{LEVEL, TripoSr};
use gyrus_sculpt::{Comparison, Mesh, centered, compare};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::examples::SIDE;
use crate::random::uniform;
use crate::{Part, Posed, Result};

/// Points in which volumes are compared.
const POINTS: usize = 100_000;
/// Of these, those in which training objects are compared with each other.
const FEW: usize = 10_000;
/// Objects of training that the baselines know.
const KNOWN: u64 = 2000;
/// Samples along a side of the model's field and of the true surface, and points drawn from each.
const RESOLUTION: usize = 96;
const SURFACE_POINTS: usize = 100_000;
/// Shares of a family's objects of which one must hold a point for the mean to hold it; the best is taken.
const SHARES: [f64; 5] = [0.2, 0.3, 0.4, 0.5, 0.6];

/// A model's measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Judgment {
    /// One for each kind of objects.
    pub parts: Vec<Judged>,
}

/// A measurement on one kind of objects: means over them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// What they have in common.
    pub name: String,
    /// How many there are.
    pub objects: usize,
    /// Volumetric intersection over union of the model, in 100,000 points.
    pub iou: f64,
    /// The same of a model that is given the caption, from the front; none where it reads none.
    pub caption_iou: Option<f64>,
    /// The same of the object of training whose picture is most like the given one.
    pub retrieval_iou: f64,
    /// The same of the mean object of the family, at the best threshold; for families that training lacks, of all objects.
    pub family_mean_iou: f64,
    /// The same of everything before and behind the object in its picture, with the true camera.
    pub hull_iou: f64,
    /// The same of the object of training that is most like the true one.
    pub oracle_iou: f64,
    /// Chamfer-L1 of the model, in tenths of the longest side.
    pub chamfer_l1: f64,
    /// Chamfer-L1 of retrieval.
    pub retrieval_chamfer_l1: f64,
    /// Normal consistency of the model.
    pub normal_consistency: f64,
    /// Normal consistency of retrieval.
    pub retrieval_normal_consistency: f64,
    /// F-score of the model within 1 % of the longest side.
    pub f_score: f64,
    /// F-score of retrieval.
    pub retrieval_f_score: f64,
    /// Objects in whose pictures the model saw nothing; they count with an overlap of 0, and are left out of what is
    /// measured on surfaces.
    pub empty: usize,
}

struct Known {
    posed: Posed,
    pixels: Vec<f32>,
    bits: Vec<bool>,
}

fn iou(a: &[bool], b: &[bool]) -> f64 {
    let count = |of: fn(bool, bool) -> bool| a.iter().zip(b).filter(|(a, b)| of(**a, **b)).count();
    let any = count(|a, b| a || b);
    if any == 0 { 0.0 } else { count(|a, b| a && b) as f64 / any as f64 }
}

/// Measures a model on `objects` objects of each kind that it did not learn from; the baselines know the first objects of the
/// training with the same seed.
///
/// # Errors
/// If a picture is empty, or a surface has no area.
pub fn judge(
    model: &TripoSr,
    seed: u64,
    objects: usize,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<Judgment> {
    let side = model.config().image_side;
    let points: Vec<[f32; 3]> = (0..POINTS as u64)
        .map(|at| [0, 1, 2].map(|axis| (2.0 * uniform(17, 3 * at + axis) - 1.0) as f32))
        .collect();
    let known: Vec<Known> = (0..KNOWN)
        .into_par_iter()
        .map(|index| {
            let posed = Part::Training.object(seed, index);
            let pixels = centered(&posed.picture(), side)?;
            let bits = posed.contains(&points[..FEW]);
            Ok(Known { posed, pixels, bits })
        })
        .collect::<Result<_>>()?;
    let kinds = [
        ("new parameters", Part::NewParameters),
        ("unseen combinations", Part::UnseenPairs),
        ("unseen family", Part::UnseenFamily),
    ];
    let all = (kinds.len() * objects) as u64;
    let mut parts = Vec::new();
    for (kind, (name, part)) in kinds.into_iter().enumerate() {
        let mut sum = Sum::default();
        for index in 0..objects {
            progress("measuring", (kind * objects + index) as u64, all);
            sum.add(model, &known, &points, part.object(seed, index as u64), side)?;
        }
        parts.push(sum.mean(name, objects));
    }
    progress("measuring", all, all);
    Ok(Judgment { parts })
}

#[derive(Default)]
struct Sum {
    iou: f64,
    captions: Option<f64>,
    retrieval: f64,
    mean: [f64; SHARES.len()],
    hull: f64,
    oracle: f64,
    surfaces: Vec<(Comparison, Comparison)>,
}

impl Sum {
    fn add(
        &mut self,
        model: &TripoSr,
        known: &[Known],
        points: &[[f32; 3]],
        posed: Posed,
        side: usize,
    ) -> Result<()> {
        let contains = |posed: &Posed| -> Vec<bool> {
            points.par_chunks(4096).flat_map_iter(|points| posed.contains(points)).collect()
        };
        let truth = contains(&posed);
        let picture = posed.picture();
        let pixels = centered(&picture, side)?;
        let quiet = &mut |_: &str, _: u64, _: u64| ();
        let made = model.look(&pixels, quiet);
        self.iou += iou(&made.contains(points), &truth);
        // What recognition alone gives.
        let apart = |own: &Known| -> f64 {
            own.pixels.iter().zip(&pixels).map(|(a, b)| f64::from((a - b) * (a - b))).sum()
        };
        let nearest = |score: &(dyn Fn(&Known) -> f64 + Sync)| {
            let scores: Vec<f64> = known.par_iter().map(score).collect();
            let best = (0..scores.len()).min_by(|a, b| scores[*a].total_cmp(&scores[*b]));
            best.map(|best| &known[best].posed)
        };
        let few = &truth[..FEW];
        let (Some(retrieved), Some(oracle)) = (nearest(&apart), nearest(&|own| -iou(&own.bits, few))) else {
            return Ok(());
        };
        self.retrieval += iou(&contains(retrieved), &truth);
        self.oracle += iou(&contains(oracle), &truth);
        self.hull += iou(&posed.hull(&picture, points), &truth);
        let family = posed.object.family;
        let is_known = known.iter().any(|own| own.posed.object.family == family);
        let mut counts = vec![0u32; FEW];
        let mut count = 0;
        for own in known.iter().filter(|own| !is_known || own.posed.object.family == family) {
            counts.iter_mut().zip(&own.bits).for_each(|(count, bit)| *count += u32::from(*bit));
            count += 1;
        }
        for (sum, share) in self.mean.iter_mut().zip(SHARES) {
            let mean: Vec<bool> =
                counts.iter().map(|own| f64::from(*own) > share * f64::from(count)).collect();
            *sum += iou(&mean, few);
        }
        // Surfaces.
        let truth_mesh = posed.mesh(RESOLUTION);
        let against = |mesh: &Mesh| compare(mesh, &truth_mesh, SURFACE_POINTS, 0);
        if let Ok((mesh, _)) = made.mesh(RESOLUTION, LEVEL, quiet) {
            self.surfaces.push((against(&mesh)?, against(&retrieved.mesh(RESOLUTION))?));
        }
        if let Ok(tokens) = model.caption_tokens(&posed.object.caption) {
            let mut front = posed;
            front.azimuth = 0.0;
            let made = model.sculpture(&model.plane_tokens(&tokens, quiet));
            *self.captions.get_or_insert(0.0) += iou(&made.contains(points), &contains(&front));
        }
        Ok(())
    }

    fn mean(&self, name: &str, objects: usize) -> Judged {
        let of = |sum: f64| sum / objects as f64;
        let surfaces = |value: &dyn Fn(&(Comparison, Comparison)) -> f64| {
            self.surfaces.iter().map(value).sum::<f64>() / self.surfaces.len().max(1) as f64
        };
        let tenth = 0.1 * SIDE;
        Judged {
            name: name.to_owned(),
            objects,
            iou: of(self.iou),
            caption_iou: self.captions.map(of),
            retrieval_iou: of(self.retrieval),
            family_mean_iou: of(self.mean.iter().copied().fold(0.0, f64::max)),
            hull_iou: of(self.hull),
            oracle_iou: of(self.oracle),
            chamfer_l1: surfaces(&|own| own.0.chamfer_l1 / tenth),
            retrieval_chamfer_l1: surfaces(&|own| own.1.chamfer_l1 / tenth),
            normal_consistency: surfaces(&|own| own.0.normal_consistency),
            retrieval_normal_consistency: surfaces(&|own| own.1.normal_consistency),
            f_score: surfaces(&|own| own.0.f_score),
            retrieval_f_score: surfaces(&|own| own.1.f_score),
            empty: objects - self.surfaces.len(),
        }
    }
}
