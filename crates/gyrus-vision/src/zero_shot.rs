//! Pictures beside texts: how well each of some labels fits a picture, by the two towers of CLIP or SigLIP.

use std::path::PathBuf;

use gyrus_nn::{Network, floats};
use gyrus_tensor::{Device, filled_tensor};
use rayon::prelude::*;

use crate::text::{Kind, TextTower};
use crate::{Error, Model, Result};

/// An image tower and the vectors of some labels.
pub struct ZeroShot {
    network: Network,
    kind: Kind,
    /// `[labels, width]`
    labels: Vec<f32>,
    width: usize,
    scale: f32,
    bias: f32,
}

/// How well labels fit some pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// `[pictures, labels]`: scores as the towers were trained to give them.
    pub scores: Vec<f32>,
    /// `[pictures, labels]`: of CLIP, shares that add up to 1 over the labels; of SigLIP, for each label alone.
    pub probabilities: Vec<f32>,
}

/// Pictures from files as a model's normalized input, each by itself.
#[must_use]
pub fn read_inputs(model: &Model, files: &[PathBuf]) -> Vec<gyrus_data::Result<Vec<f32>>> {
    let preprocessing = &model.preprocessing;
    let read = |file: &PathBuf| Ok(preprocessing.normalize(&preprocessing.decode_file(file)?));
    files.par_iter().map(read).collect()
}

impl ZeroShot {
    /// With the image tower `model` and the tokens of each label.
    ///
    /// # Errors
    /// [`Error::Setting`] if the towers do not belong together or a label is empty, and what running the tower says.
    pub fn new(model: &Model, tower: &TextTower, labels: &[Vec<u32>], device: &Device) -> Result<Self> {
        let network = model.network(device)?;
        let (width, outputs) = (tower.outputs(), model.classes.len());
        if outputs != width {
            return Err(Error::Setting {
                setting: "the length of a picture's vector",
                got: outputs.to_string(),
                expected: "that of a text's vector: an image tower with its projection",
            });
        }
        let vectors = labels.iter().map(|label| tower.embed(label)).collect::<Result<Vec<_>>>()?;
        let (scale, bias) = tower.scale_and_bias();
        Ok(Self { network, kind: tower.kind(), labels: vectors.concat(), width, scale, bias })
    }

    /// The vectors of normalized pictures, `[pictures, elements]`, each of length 1.
    #[must_use]
    pub fn vectors(&self, inputs: &[f32], pictures: usize) -> Vec<f32> {
        let x = filled_tensor(pictures, inputs.len() / pictures.max(1), |x| x.copy_from_slice(inputs));
        let mut vectors = floats(self.network.infer(x.to_device(self.network.device())));
        for vector in vectors.chunks_exact_mut(self.width) {
            let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
            vector.iter_mut().for_each(|value| *value /= length);
        }
        vectors
    }

    /// How well each label fits each of some normalized pictures.
    #[must_use]
    pub fn fit(&self, inputs: &[f32], pictures: usize) -> Fit {
        let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let (mut scores, mut probabilities) = (Vec::new(), Vec::new());
        for picture in self.vectors(inputs, pictures).chunks_exact(self.width) {
            let own: Vec<f32> = self
                .labels
                .chunks_exact(self.width)
                .map(|label| self.scale * product(picture, label) + self.bias)
                .collect();
            match self.kind {
                Kind::Clip => {
                    let most = own.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let powers: Vec<f32> = own.iter().map(|score| (score - most).exp()).collect();
                    let sum: f32 = powers.iter().sum();
                    probabilities.extend(powers.iter().map(|power| power / sum));
                }
                Kind::Siglip => probabilities.extend(own.iter().map(|score| 1.0 / (1.0 + (-score).exp()))),
            }
            scores.extend(own);
        }
        Fit { scores, probabilities }
    }
}
