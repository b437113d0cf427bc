//! A data set ready to learn from: two sets of examples, what is asked, and what happened on the way.

use std::path::{Path, PathBuf};

use gyrus_files::hexadecimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Examples, Features, Images, Preprocessing, Result, SourceRow, Targets, split_indices};

/// If a data set comes without a split, the split becomes part of the data set: the same for every
/// run, whatever its own seed.
pub(crate) const SPLIT_SEED: u64 = 0x0067_7972_7573;

/// The share of the training part in such a split.
pub(crate) const TRAIN_FRACTION: f64 = 0.8;

/// What a network is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Task {
    /// Choose one class.
    Classification {
        /// The names of the classes, in the order of their numbers.
        classes: Vec<String>,
    },
    /// Predict a number.
    Regression {
        /// The name of the predicted column.
        target: String,
        /// Mean of the training targets, in the unit of the target.
        mean: f32,
        /// Standard deviation of the training targets, in the unit of the target; never 0.
        deviation: f32,
    },
}

/// A file that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// Training and test examples with everything that belongs to them.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// A short name: `digits`, or the name of the folder or file.
    pub name: String,
    /// What is asked.
    pub task: Task,
    /// The examples to learn from; take validation examples from these.
    pub train: Examples,
    /// The examples to evaluate on, once, at the end.
    pub test: Examples,
    /// How a new file becomes network input.
    pub preprocessing: Preprocessing,
    /// SHA-256 over shapes, features and targets of both parts, in hexadecimal.
    pub fingerprint: String,
    /// The files that could not be used.
    pub skipped: Vec<Skipped>,
    /// Notes for the user, one sentence each.
    pub notes: Vec<String>,
    /// Where the rows of a table's test part came from; empty for other data.
    pub test_rows: Vec<SourceRow>,
    /// The training examples that came as a validation part, by index; empty where there was none.
    pub validation: Vec<usize>,
}

impl Dataset {
    pub(crate) fn new(
        name: impl Into<String>,
        task: Task,
        train: Examples,
        test: Examples,
        preprocessing: Preprocessing,
    ) -> Self {
        let fingerprint = fingerprint(&train, &test);
        let (skipped, notes) = (Vec::new(), Vec::new());
        let (test_rows, validation) = (Vec::new(), Vec::new());
        Self {
            name: name.into(),
            task,
            train,
            test,
            preprocessing,
            fingerprint,
            skipped,
            notes,
            test_rows,
            validation,
        }
    }

    /// The same images as a network wants to see them that was trained elsewhere: resized, gray repeated in three channels or
    /// colors reduced to gray, and normalized by its mean and deviation. Other data, and images that fit, stay as they are but for
    /// the preprocessing.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for images that are not gray or colored, or too many to hold in memory at that size.
    pub fn seen_as(mut self, preprocessing: &Preprocessing) -> Result<Self> {
        if !matches!(
            (&self.train.features, preprocessing),
            (Features::Images(_), Preprocessing::Image { .. })
        ) {
            return Ok(self);
        }
        for part in [&mut self.train, &mut self.test] {
            if let Features::Images(images) = &mut part.features {
                *images = images.seen_as(preprocessing).map_err(|got| {
                    let expected = "gray or colored images that fit into memory as the network sees them";
                    Error::mismatch(Path::new(&self.name), got, expected)
                })?;
            }
        }
        self.preprocessing = preprocessing.clone();
        Ok(self)
    }

    /// Images and class numbers that come in two parts.
    pub(crate) fn of_images(
        name: impl Into<String>,
        classes: Vec<String>,
        train: (Images, Vec<u32>),
        test: (Images, Vec<u32>),
    ) -> Self {
        let preprocessing = Preprocessing::for_images(&train.0);
        let examples = |(images, labels)| Examples {
            features: Features::Images(images),
            targets: Targets::Classes(labels),
        };
        Self::new(name, Task::Classification { classes }, examples(train), examples(test), preprocessing)
    }

    /// Images and class numbers that come without a split: the fixed stratified one.
    pub(crate) fn split_images(
        name: impl Into<String>,
        classes: Vec<String>,
        images: &Images,
        labels: &[u32],
    ) -> Self {
        let (train, test) = split_indices(&Targets::Classes(labels.to_vec()), TRAIN_FRACTION, SPLIT_SEED);
        let part = |indices: &[usize]| {
            (images.subset(indices), indices.iter().map(|index| labels[*index]).collect::<Vec<u32>>())
        };
        Self::of_images(name, classes, part(&train), part(&test))
    }
}

/// SHA-256 over both parts. Every section is preceded by its shape, so that no two data sets share their bytes.
fn fingerprint(train: &Examples, test: &Examples) -> String {
    let mut hash = Sha256::new();
    for part in [train, test] {
        match &part.features {
            Features::Images(images) => {
                hash.update(b"images");
                for size in [images.count, images.height, images.width, images.channels] {
                    hash.update((size as u64).to_le_bytes());
                }
                hash.update(&images.pixels);
            }
            Features::Frames(frames) => {
                hash.update(b"frames");
                for size in [frames.count, frames.steps, frames.height, frames.width, frames.channels] {
                    hash.update((size as u64).to_le_bytes());
                }
                hash.update(&frames.counts);
            }
            Features::Table(table) => {
                hash.update(b"table");
                for size in [table.rows, table.columns] {
                    hash.update((size as u64).to_le_bytes());
                }
                table.values.iter().for_each(|value| hash.update(value.to_le_bytes()));
            }
        }
        match &part.targets {
            Targets::Classes(classes) => {
                hash.update(b"classes");
                classes.iter().for_each(|class| hash.update(class.to_le_bytes()));
            }
            Targets::Values(values) => {
                hash.update(b"values");
                values.iter().for_each(|value| hash.update(value.to_le_bytes()));
            }
        }
    }
    hexadecimal(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;

    fn examples(values: &[f32], columns: usize, classes: &[u32]) -> Examples {
        let table = Table { values: values.to_vec(), rows: values.len() / columns, columns };
        Examples { features: Features::Table(table), targets: Targets::Classes(classes.to_vec()) }
    }

    #[test]
    fn the_fingerprint_depends_on_values_shapes_and_targets() {
        let test = examples(&[0.0], 1, &[0]);
        let base = fingerprint(&examples(&[1.0, 2.0], 1, &[0, 1]), &test);
        assert_eq!(base.len(), 64);
        assert_eq!(base, fingerprint(&examples(&[1.0, 2.0], 1, &[0, 1]), &test));
        assert_ne!(base, fingerprint(&examples(&[1.0, 3.0], 1, &[0, 1]), &test));
        assert_ne!(base, fingerprint(&examples(&[1.0, 2.0], 2, &[0, 1]), &test));
        assert_ne!(base, fingerprint(&examples(&[1.0, 2.0], 1, &[1, 1]), &test));
    }
}
