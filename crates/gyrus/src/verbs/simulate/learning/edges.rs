//! Patches of photographs, filtered as by a retina; what is brighter and what is darker than its surround are inputs of their own.

use std::path::Path;

use gyrus_data::{image_files, images_within};
use gyrus_kernels::splitmix64;
use gyrus_simulate::competition::{CompetitionSettings, Learned};
use gyrus_vision::see::gabor;

use super::patches::Filtered;
use super::{Judged, LearningReport, Shown};
use crate::{Error, Observer, Result, Stage};

/// Rows and columns of a patch.
const SIDE: usize = 14;
/// The rate of the strongest input, in Hz.
const STRONGEST_HZ: f32 = 63.75;
/// The inputs of a patch fire this often on average, whatever its contrast, in Hz.
const MEAN_HZ: f32 = 10.0;
/// The longer side of a photograph is at most this.
const LARGEST: f64 = 512.0;
/// Bytes of a photograph, and photographs.
const MOST_BYTES: u64 = 256 << 20;
const MOST_PHOTOGRAPHS: usize = 500;
/// A patch with less of a photograph's contrast shows nothing.
const LEAST_CONTRAST: f32 = 0.7;
const TRIES: u64 = 200;
/// Fields of noise that say how many would count by chance.
const BY_CHANCE: usize = 100;

pub(super) struct Patches {
    photographs: Vec<Filtered>,
    seed: u64,
}

impl Patches {
    pub(super) fn open(folder: Option<&Path>, seed: u64) -> Result<Self> {
        let Some(folder) = folder else {
            return Err(Error::request("edges are learned from photographs: name a folder with --data DIR"));
        };
        if !folder.is_dir() {
            let folder = folder.display();
            return Err(Error::request(format!("{folder} is not there; expected a folder with photographs")));
        }
        let mut photographs = Vec::new();
        for path in images_within(folder)?.into_iter().take(MOST_PHOTOGRAPHS) {
            let bytes = gyrus_files::read_bounded(&path, MOST_BYTES)?;
            let damaged = |error: &dyn std::fmt::Display| {
                Error::request(format!("{} cannot be read as an image: {error}", path.display()))
            };
            let (width, height) = image_files::dimensions(&bytes).map_err(|error| damaged(&error))?;
            let scale = (LARGEST / f64::from(width.max(height))).min(1.0);
            let side = |extent: u32| ((f64::from(extent) * scale).round() as usize).max(1);
            let (width, height) = (side(width), side(height));
            if width < 2 * SIDE || height < 2 * SIDE {
                continue;
            }
            let pixels = image_files::decode(&bytes, height, width, 1).map_err(|error| damaged(&error))?;
            photographs.push(Filtered::new(&pixels, [height, width]));
        }
        photographs.retain(|own| own.contrast() > 1e-6);
        if photographs.is_empty() {
            let folder = folder.display();
            return Err(Error::request(format!(
                "{folder} holds no photographs of at least {0} × {0} pixels",
                2 * SIDE
            )));
        }
        Ok(Self { photographs, seed })
    }

    fn patch(&self, presentation: usize) -> Vec<f32> {
        let mut best = (f32::MIN, Vec::new());
        for attempt in 0..TRIES {
            let mut bits = splitmix64(self.seed ^ splitmix64((presentation as u64) << 16 | attempt));
            let mut below = |end: usize| {
                bits = splitmix64(bits);
                ((u128::from(bits) * end as u128) >> 64) as usize
            };
            let own = &self.photographs[below(self.photographs.len())];
            let patch = own.patch(below(own.height - SIDE + 1), below(own.width - SIDE + 1), SIDE);
            let power: f32 = patch.iter().map(|value| value * value).sum();
            let contrast = (power / patch.len() as f32).sqrt() / own.contrast();
            if contrast > best.0 {
                best = (contrast, patch);
            }
            if contrast >= LEAST_CONTRAST {
                break;
            }
        }
        best.1
    }
}

impl Shown for Patches {
    fn settings(&self, neurons: usize) -> CompetitionSettings {
        CompetitionSettings::new(2 * SIDE * SIDE, neurons)
    }

    fn rates_hz(&self, presentation: usize) -> Vec<f32> {
        let patch = self.patch(presentation);
        let mean = patch.iter().map(|value| value.abs()).sum::<f32>() / (2 * patch.len()) as f32;
        let rate = |value: f32| (value.max(0.0) / mean.max(1e-12) * MEAN_HZ).min(STRONGEST_HZ);
        patch.iter().map(|&value| rate(value)).chain(patch.iter().map(|&value| rate(-value))).collect()
    }

    fn class(&self, _: usize) -> Option<u32> {
        None
    }

    fn classes(&self) -> usize {
        0
    }

    fn judge(
        &self,
        learned: &Learned,
        report: &mut LearningReport,
        observer: &mut dyn Observer,
    ) -> Result<Judged> {
        observer.stage(&Stage { name: "fitting Gabor functions", done: 0, total: 1 });
        let fields: Vec<f32> =
            (0..report.neurons).flat_map(|neuron| signed(&learned.field(neuron))).collect();
        let fits = gabor::fit_all(&fields, [SIDE, SIDE]);
        report.edge_detectors = Some(fits.iter().flatten().filter(|fit| fit.is_edge_detector()).count());
        report.by_chance = Some(gabor::random_quality([SIDE, SIDE], BY_CHANCE, 0));
        observer.stage(&Stage { name: "fitting Gabor functions", done: 1, total: 1 });
        Ok(Judged { fits, extents: [SIDE, SIDE], ..Judged::default() })
    }
}

/// Weights of bright inputs less those of dark ones.
pub(super) fn signed(field: &[f32]) -> Vec<f32> {
    let (bright, dark) = field.split_at(field.len() / 2);
    bright.iter().zip(dark).map(|(bright, dark)| bright - dark).collect()
}
