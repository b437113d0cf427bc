//! Pictures sorted by words: which of some labels fits each, by a model that knows pictures and texts.

use std::path::{Path, PathBuf};
use std::time::Instant;

use gyrus_language::Tokenizer;
use gyrus_tensor::{device, with_threads};
use gyrus_vision::text::{Kind, TextTower};
use gyrus_vision::zero_shot::{ZeroShot, read_inputs};
use serde::Serialize;

use super::predict::FailedFile;
use super::{ranking, resolve_model, serialized};
use crate::observer::{Observer, Stage};
use crate::{Error, Result};

/// Labels the pictures of a folder with words, without any training: zero-shot classification.
#[derive(Clone, Debug)]
pub struct Label {
    /// A folder of pictures, with its sub-folders, or one picture.
    pub folder: PathBuf,
    /// A CLIP or SigLIP checkpoint of transformers: a folder with both towers and `tokenizer.json`, or a name on the Hugging
    /// Face hub.
    pub model: PathBuf,
    /// The labels, as the model should read them.
    pub like: Vec<String>,
    /// Worker threads; 0 for one per core. Results do not depend on it.
    pub threads: usize,
}

/// What the pictures show.
#[derive(Clone, Debug, Serialize)]
pub struct LabelReport {
    /// The model as it was asked for.
    #[serde(serialize_with = "serialized::path")]
    pub model: PathBuf,
    /// `CLIP` or `SigLIP`.
    pub family: &'static str,
    /// The labels.
    pub labels: Vec<String>,
    /// For each picture, in the order of their paths.
    pub images: Vec<LabeledImage>,
    /// Files that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedFile>,
    /// What a person should know.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// Seconds that it took.
    pub seconds: f64,
}

/// What a picture shows.
#[derive(Clone, Debug, Serialize)]
pub struct LabeledImage {
    /// The file.
    #[serde(serialize_with = "serialized::path")]
    pub file: PathBuf,
    /// The label that fits best.
    pub label: String,
    /// How probable it is: of CLIP among the labels, of SigLIP by itself.
    pub probability: f32,
    /// Of all labels.
    #[serde(serialize_with = "serialized::map")]
    pub probabilities: Vec<(String, f32)>,
    /// Of all labels, the scores that probabilities are made of.
    pub scores: Vec<f32>,
}

/// Pictures per pass.
const TOGETHER: usize = 32;
/// The most labels.
const MOST_LABELS: usize = 10_000;

impl Label {
    /// This folder, by this model, with these labels, on all cores.
    pub fn new(
        folder: impl Into<PathBuf>,
        model: impl Into<PathBuf>,
        like: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let like = like.into_iter().map(Into::into).collect();
        Self { folder: folder.into(), model: model.into(), like, threads: 0 }
    }

    /// Labels all pictures; those that cannot be read are listed in [`LabelReport::failed`].
    ///
    /// # Errors
    /// If there is no such model, it has no text tower, no labels are given, or no picture can be read.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<LabelReport> {
        with_threads(self.threads, || self.label(observer))?
    }

    fn label(&self, observer: &mut dyn Observer) -> Result<LabelReport> {
        let started = Instant::now();
        let labels: Vec<String> = self.like.iter().map(|label| label.trim().to_owned()).collect();
        if labels.is_empty() || labels.len() > MOST_LABELS || labels.iter().any(String::is_empty) {
            return Err(Error::request(
                "expected labels, separated by commas, such as \"a photo of a cat,a photo of a dog\"",
            ));
        }
        let files = match self.folder.is_dir() {
            true => gyrus_data::images_within(&self.folder)?,
            false => vec![self.folder.clone()],
        };
        if files.is_empty() {
            return Err(Error::Request(format!("{} is a folder without images", self.folder.display())));
        }
        let path = resolve_model(&self.model)?;
        if !path.is_dir() {
            return Err(Error::Request(format!(
                "{} is a file; expected the folder of a CLIP or SigLIP model with config.json, tokenizer.json and weights",
                path.display()
            )));
        }
        let tower = TextTower::open(&path)?;
        let model = gyrus_vision::Model::open(&path, None)?;
        let tokens = tokens(&path, tower.kind(), &labels)?;
        let towers = ZeroShot::new(&model, &tower, &tokens, &device("cpu")?)?;
        let mut report = LabelReport {
            model: self.model.clone(),
            family: tower.kind().name(),
            notes: notes(tower.kind(), &tokens, tower.context()),
            labels,
            images: Vec::new(),
            failed: Vec::new(),
            seconds: 0.0,
        };
        for (number, some) in files.chunks(TOGETHER).enumerate() {
            let decoded = read_inputs(&model, some);
            let (mut inputs, mut read) = (Vec::new(), Vec::new());
            for (file, decoded) in some.iter().zip(decoded) {
                match decoded {
                    Ok(own) => {
                        inputs.extend(own);
                        read.push(file);
                    }
                    Err(error) if files.len() == 1 => return Err(error.into()),
                    Err(error) => {
                        report.failed.push(FailedFile { file: file.clone(), reason: error.to_string() });
                    }
                }
            }
            if !read.is_empty() {
                let fit = towers.fit(&inputs, read.len());
                let count = report.labels.len();
                let rows = fit.scores.chunks_exact(count).zip(fit.probabilities.chunks_exact(count));
                for (file, (scores, probabilities)) in read.into_iter().zip(rows) {
                    report.images.push(labeled(file, &report.labels, scores, probabilities));
                }
            }
            let (done, total) = ((number * TOGETHER + some.len()) as u64, files.len() as u64);
            observer.stage(&Stage { name: "labeling images", done, total });
        }
        if report.images.is_empty() {
            let reason = report.failed.first().map_or(String::new(), |failed| failed.reason.clone());
            return Err(Error::Request(format!("no image could be read: {reason}")));
        }
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }
}

fn labeled(file: &Path, labels: &[String], scores: &[f32], probabilities: &[f32]) -> LabeledImage {
    let best = ranking(scores).first().copied().unwrap_or(0);
    LabeledImage {
        file: file.to_owned(),
        label: labels[best].clone(),
        probability: probabilities[best],
        probabilities: labels.iter().cloned().zip(probabilities.iter().copied()).collect(),
        scores: scores.to_vec(),
    }
}

/// The tokens of each label, as the model's own processor makes them.
fn tokens(folder: &Path, kind: Kind, labels: &[String]) -> Result<Vec<Vec<u32>>> {
    let file = folder.join("tokenizer.json");
    if !file.is_file() {
        return Err(Error::Request(format!(
            "{} has no tokenizer.json, which the text tower needs; transformers writes it with AutoTokenizer.from_pretrained(...)\
             .save_pretrained(...)",
            folder.display()
        )));
    }
    let tokenizer = Tokenizer::of_hugging_face(&file)?;
    let settings = std::fs::read_to_string(folder.join("tokenizer_config.json")).unwrap_or_default();
    let plain = kind == Kind::Siglip && settings.contains("SiglipTokenizer");
    let encode = |label: &String| {
        let text = match kind {
            Kind::Clip => label.clone(),
            Kind::Siglip if plain => canonical(label),
            Kind::Siglip => label.to_lowercase(),
        };
        Ok(tokenizer.encode(&text, true)?)
    };
    labels.iter().map(encode).collect()
}

/// A text as SigLIP's own tokenizer reads it: small letters, no punctuation, single blanks.
fn canonical(text: &str) -> String {
    let letters: String = text.chars().filter(|letter| !letter.is_ascii_punctuation()).collect();
    letters.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn notes(kind: Kind, tokens: &[Vec<u32>], context: usize) -> Vec<String> {
    let mut notes = Vec::new();
    let long = tokens.iter().filter(|tokens| tokens.len() > context).count();
    if long > 0 {
        notes.push(format!(
            "{long} of {} labels are longer than the {context} tokens that the model reads",
            tokens.len()
        ));
    }
    if kind == Kind::Clip && tokens.len() == 1 {
        notes.push(
            "CLIP says which of several labels fits best: with one label every image gets it; add others"
                .to_owned(),
        );
    }
    notes
}

impl LabelReport {
    /// One line for each picture below a header: the file, its label, and the probability of each label.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let quoted = |cell: &str| match cell.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.to_owned(),
        };
        let names: Vec<String> = self.labels.iter().map(|label| quoted(&format!("p({label})"))).collect();
        let mut text = format!("file,label,{}\n", names.join(","));
        for image in &self.images {
            let cells: Vec<String> = image.probabilities.iter().map(|(_, share)| share.to_string()).collect();
            let file = quoted(&image.file.display().to_string());
            text += &format!("{file},{},{}\n", quoted(&image.label), cells.join(","));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn texts_are_read_as_siglip_was_trained() {
        assert_eq!(canonical("A photo of a  Cat."), "a photo of a cat");
        assert_eq!(canonical("It's 3-D!"), "its 3d");
    }
}
