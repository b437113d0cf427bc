//! Pictures that are alike, duplicates of a folder, and pictures that are like no others.

use std::path::{Path, PathBuf};
use std::time::Instant;

use gyrus_tensor::{device, with_threads};
use gyrus_vision::similar::{Embedded, Embedder, same_bytes};
use serde::Serialize;

use super::predict::FailedFile;
use super::{pretrained, serialized};
use crate::observer::{Observer, Stage};
use crate::{Error, Result};

/// Finds the pictures of a folder that are most like others, its duplicates and its outliers.
#[derive(Clone, Debug)]
pub struct Similar {
    /// The folder; its sub-folders count.
    pub folder: PathBuf,
    /// Pictures whose nearest are asked for.
    pub images: Vec<PathBuf>,
    /// The network by whose eyes pictures are compared: a run folder, a model file or folder of another program, or a name on
    /// the Hugging Face hub. Without one, thumbnails are compared.
    pub model: Option<PathBuf>,
    /// How many of the nearest pictures are listed.
    pub top: usize,
    /// List pictures that are in the folder several times.
    pub duplicates: bool,
    /// List the pictures that are least like their nearest.
    pub outliers: bool,
    /// Correlation of thumbnails, 0 to 1, from which on two pictures count as the same.
    pub alike: f64,
    /// Worker threads; 0 for one per core. Results do not depend on it.
    pub threads: usize,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct SimilarReport {
    /// The folder.
    #[serde(serialize_with = "serialized::path")]
    pub folder: PathBuf,
    /// Pictures that were compared.
    pub images: usize,
    /// By what they were compared.
    pub compared_by: String,
    /// Numbers that describe a picture.
    pub width: usize,
    /// For each picture asked for, the nearest ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nearest: Vec<NearestImages>,
    /// Groups of pictures that are the same; none if not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<Vec<DuplicateGroup>>,
    /// The pictures that are least like their nearest; none if not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outliers: Option<Vec<Outlier>>,
    /// Files that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedFile>,
    /// Seconds that it took.
    pub seconds: f64,
}

/// The pictures nearest to one.
#[derive(Clone, Debug, Serialize)]
pub struct NearestImages {
    /// The picture asked for.
    #[serde(serialize_with = "serialized::path")]
    pub image: PathBuf,
    /// The nearest ones, the most alike first.
    pub nearest: Vec<Neighbor>,
}

/// A picture and how alike it is.
#[derive(Clone, Debug, Serialize)]
pub struct Neighbor {
    /// The file.
    #[serde(serialize_with = "serialized::path")]
    pub file: PathBuf,
    /// Cosine of the two vectors, at most 1.
    pub similarity: f32,
}

/// Pictures that are the same.
#[derive(Clone, Debug, Serialize)]
pub struct DuplicateGroup {
    /// The files.
    #[serde(serialize_with = "paths")]
    pub files: Vec<PathBuf>,
    /// The smallest correlation of thumbnails of a pair that joins them.
    pub similarity: f32,
    /// Whether all files hold the same bytes.
    pub same_bytes: bool,
    /// Whether some lie in the training part and others in the test part of the folder.
    pub across_parts: bool,
    /// Whether they lie in folders of different names below these parts: different classes.
    pub across_classes: bool,
}

/// A picture that is like no others.
#[derive(Clone, Debug, Serialize)]
pub struct Outlier {
    /// The file.
    #[serde(serialize_with = "serialized::path")]
    pub file: PathBuf,
    /// Mean similarity to its five nearest.
    pub similarity: f32,
    /// How many median absolute deviations that is below the median of all.
    pub deviations: f32,
}

fn paths<S: serde::Serializer>(paths: &[PathBuf], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.display().to_string()))
}

/// Deviations from which on a picture counts as an outlier.
const STRANGE: f32 = 6.0;

impl Similar {
    /// Default number of pictures.
    pub const TOP: usize = 5;
    /// Default correlation of duplicates.
    pub const ALIKE: f64 = 0.995;

    /// In this folder, by thumbnails, its duplicates and outliers.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            images: Vec::new(),
            model: None,
            top: Self::TOP,
            duplicates: true,
            outliers: true,
            alike: Self::ALIKE,
            threads: 0,
        }
    }

    /// Looks for what is asked for.
    ///
    /// # Errors
    /// If the folder holds no picture, the network cannot be read, or a picture asked for cannot.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<SimilarReport> {
        with_threads(self.threads, || self.compare(observer))?
    }

    fn compare(&self, observer: &mut dyn Observer) -> Result<SimilarReport> {
        let started = Instant::now();
        if !self.folder.is_dir() {
            return Err(Error::Request(format!("{} is no folder of images", self.folder.display())));
        }
        let files = gyrus_data::images_within(&self.folder)?;
        if files.is_empty() {
            return Err(Error::Request(format!("{} is a folder without images", self.folder.display())));
        }
        let model = self.model.as_deref().map(|model| pretrained::open(model, None)).transpose()?;
        let embedder = match &model {
            Some(model) => Embedder::of_model(model, &device("cpu")?)?,
            None => Embedder::of_pixels(),
        };
        let all = embed(&embedder, &files, "looking at images", observer)?;
        let nearest = if self.images.is_empty() {
            Vec::new()
        } else {
            let asked = embed(&embedder, &self.images, "looking at the images asked for", observer)?;
            if let Some((file, reason)) = asked.failed.first() {
                return Err(Error::Request(format!("{}: {reason}", file.display())));
            }
            let found = all.nearest_to(&asked, self.top);
            asked.files.iter().zip(found).map(|(image, found)| self.named(&all, image, found)).collect()
        };
        let thumbnails = match (&model, self.duplicates) {
            (Some(_), true) => {
                Some(embed(&Embedder::of_pixels(), &files, "looking at thumbnails", observer)?)
            }
            _ => None,
        };
        let duplicates = self.duplicates.then(|| self.groups(thumbnails.as_ref().unwrap_or(&all)));
        let outliers = self.outliers.then(|| {
            let strange = all.neighborhood(f32::INFINITY).outliers().into_iter();
            let strange = strange.take_while(|(.., deviations)| *deviations >= STRANGE).take(self.top);
            let outlier = |(index, similarity, deviations): (usize, f32, f32)| {
                let file = all.files[index].clone();
                Outlier { file, similarity, deviations }
            };
            strange.map(outlier).collect()
        });
        let failed = all.failed.into_iter().map(|(file, reason)| FailedFile { file, reason });
        Ok(SimilarReport {
            folder: self.folder.clone(),
            images: all.files.len(),
            compared_by: embedder.what().to_owned(),
            width: all.width,
            nearest,
            duplicates,
            outliers,
            failed: failed.collect(),
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    fn named(&self, all: &Embedded, image: &Path, found: Vec<(usize, f32)>) -> NearestImages {
        let neighbor =
            |(index, similarity): (usize, f32)| Neighbor { file: all.files[index].clone(), similarity };
        NearestImages { image: image.to_owned(), nearest: found.into_iter().map(neighbor).collect() }
    }

    fn groups(&self, thumbnails: &Embedded) -> Vec<DuplicateGroup> {
        let found = thumbnails.neighborhood(self.alike as f32);
        let mut least = vec![f32::INFINITY; thumbnails.files.len()];
        for &(a, b, similarity) in &found.pairs {
            least[a] = least[a].min(similarity);
            least[b] = least[b].min(similarity);
        }
        let group = |members: Vec<usize>| {
            let files: Vec<PathBuf> = members.iter().map(|&index| thumbnails.files[index].clone()).collect();
            let place = |file: &PathBuf| place(&self.folder, file);
            let first = place(&files[0]);
            DuplicateGroup {
                similarity: members.iter().map(|&index| least[index]).fold(f32::INFINITY, f32::min),
                same_bytes: files[1..].iter().all(|file| same_bytes(&files[0], file)),
                across_parts: files.iter().any(|file| place(file).0 != first.0),
                across_classes: files.iter().any(|file| place(file).1 != first.1),
                files,
            }
        };
        found.groups().into_iter().map(group).collect()
    }
}

/// Part (training or test) and class of a file, as the folder's names say.
fn place(folder: &Path, file: &Path) -> (bool, Option<String>) {
    let inner = file.strip_prefix(folder).unwrap_or(file);
    let mut names =
        inner.parent().into_iter().flat_map(Path::iter).map(|name| name.to_string_lossy().into_owned());
    let first = names.next();
    let lower = first.as_deref().unwrap_or_default().to_lowercase();
    let tests = ["test", "testing", "val", "valid", "validation", "dev"].contains(&lower.as_str());
    let trains = ["train", "training"].contains(&lower.as_str());
    (tests, if tests || trains { names.next() } else { first })
}

fn embed(
    embedder: &Embedder,
    files: &[PathBuf],
    name: &'static str,
    observer: &mut dyn Observer,
) -> Result<Embedded> {
    let embedded = embedder.embed(files, &mut |done, total| {
        observer.stage(&Stage { name, done: done as u64, total: total as u64 });
        !observer.wants_to_stop()
    })?;
    Ok(embedded)
}
