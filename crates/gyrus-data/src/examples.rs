//! Examples in memory: features (images and frames of events as bytes, tables as numbers) and their targets.
//!
//! Images stay bytes, a quarter of the memory of `f32`, until a batch is filled ([`crate::fill_batch`]).

use crate::Frames;
use crate::random::{Purpose, Stream};

/// Images of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Brightness 0 to 255, `[count, height, width, channels]`, channels last.
    pub pixels: Vec<u8>,
    /// Number of images.
    pub count: usize,
    /// Rows of one image.
    pub height: usize,
    /// Columns of one image.
    pub width: usize,
    /// 1 (gray) or 3 (red, green, blue).
    pub channels: usize,
}

impl Images {
    /// Bytes of one image: `height * width * channels`.
    #[must_use]
    pub fn example_length(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// The pixels of one image, `[height, width, channels]`, or `None` where `index >= count`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let length = self.example_length();
        self.pixels.get(index.checked_mul(length)?..)?.get(..length)
    }

    /// A copy of the images at `indices`, in that order; repeats are allowed.
    ///
    /// # Panics
    /// Where an index is not below `count`, as slice indexing does.
    #[must_use]
    pub fn subset(&self, indices: &[usize]) -> Self {
        let pixels = gather(&self.pixels, self.example_length(), indices);
        Self { pixels, count: indices.len(), ..*self }
    }
}

/// Rows of numbers, already encoded and standardized.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// `[rows, columns]`.
    pub values: Vec<f32>,
    /// Number of rows.
    pub rows: usize,
    /// Number of encoded columns; one column of a file may become several.
    pub columns: usize,
}

/// What a network sees.
#[derive(Debug, Clone, PartialEq)]
pub enum Features {
    /// Images.
    Images(Images),
    /// Rows of a table.
    Table(Table),
    /// Frames of events.
    Frames(Frames),
}

impl Features {
    /// Number of examples.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Images(images) => images.count,
            Self::Table(table) => table.rows,
            Self::Frames(frames) => frames.count,
        }
    }

    /// Whether there are no examples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers per example: `height * width * channels`, the encoded columns, or those of all frames.
    #[must_use]
    pub fn example_length(&self) -> usize {
        match self {
            Self::Images(images) => images.example_length(),
            Self::Table(table) => table.columns,
            Self::Frames(frames) => frames.example_length(),
        }
    }
}

/// What a network should answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// Class numbers, indices into the class names of the task.
    Classes(Vec<u32>),
    /// Regression values, standardized with the mean and deviation of the task.
    Values(Vec<f32>),
}

impl Targets {
    /// Number of targets.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// Whether there are no targets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Features with one target each.
#[derive(Debug, Clone, PartialEq)]
pub struct Examples {
    /// The inputs of the network.
    pub features: Features,
    /// The expected answers, one per example.
    pub targets: Targets,
}

impl Examples {
    /// Number of examples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether there are no examples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy of the examples at `indices`, in that order; repeats are allowed.
    ///
    /// # Panics
    /// Where an index is not below [`Self::len`], as slice indexing does.
    #[must_use]
    pub fn subset(&self, indices: &[usize]) -> Self {
        let features = match &self.features {
            Features::Images(images) => Features::Images(images.subset(indices)),
            Features::Table(table) => Features::Table(Table {
                values: gather(&table.values, table.columns, indices),
                rows: indices.len(),
                columns: table.columns,
            }),
            Features::Frames(frames) => Features::Frames(Frames {
                counts: gather(&frames.counts, frames.example_length(), indices),
                count: indices.len(),
                ..*frames
            }),
        };
        let targets = match &self.targets {
            Targets::Classes(classes) => Targets::Classes(gather(classes, 1, indices)),
            Targets::Values(values) => Targets::Values(gather(values, 1, indices)),
        };
        Self { features, targets }
    }

    /// Two disjoint parts that together are the whole; the first holds about `fraction` of the examples of each
    /// class (of all examples, for regression). See [`split_indices`].
    #[must_use]
    pub fn stratified_split(&self, fraction: f64, seed: u64) -> (Self, Self) {
        let (first, second) = split_indices(&self.targets, fraction, seed);
        (self.subset(&first), self.subset(&second))
    }
}

/// Which examples [`Examples::stratified_split`] puts in its first and in its second part, each ascending.
///
/// Of a class of `n` examples the first part receives `round(n * fraction)`, but where `n >= 2` and `fraction` is
/// strictly between 0 and 1, at least one goes to each part; a single example goes to the first.
#[must_use]
pub fn split_indices(targets: &Targets, fraction: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let groups: Vec<Vec<usize>> = match targets {
        Targets::Classes(classes) => {
            let mut groups = std::collections::BTreeMap::<u32, Vec<usize>>::new();
            for (index, class) in classes.iter().enumerate() {
                groups.entry(*class).or_default().push(index);
            }
            groups.into_values().collect()
        }
        Targets::Values(values) => vec![(0..values.len()).collect()],
    };
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (number, mut group) in groups.into_iter().enumerate() {
        Stream::new(Purpose::Split, seed, 0, number as u64).shuffle(&mut group);
        let mut taken = (group.len() as f64 * fraction).round() as usize;
        if fraction > 0.0 && fraction < 1.0 {
            taken = taken.clamp(1, group.len().saturating_sub(1).max(1));
        }
        let (head, tail) = group.split_at(taken.min(group.len()));
        first.extend_from_slice(head);
        second.extend_from_slice(tail);
    }
    first.sort_unstable();
    second.sort_unstable();
    (first, second)
}

fn gather<T: Copy>(items: &[T], length: usize, indices: &[usize]) -> Vec<T> {
    let mut gathered = Vec::with_capacity(indices.len() * length);
    for index in indices {
        gathered.extend_from_slice(&items[index * length..][..length]);
    }
    gathered
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(targets: Targets) -> Examples {
        let rows = targets.len();
        let values = (0..rows * 2).map(|v| v as f32).collect();
        Examples { features: Features::Table(Table { values, rows, columns: 2 }), targets }
    }

    #[test]
    fn subset_keeps_features_with_their_targets() {
        let examples = rows(Targets::Classes(vec![5, 6, 7]));
        let subset = examples.subset(&[2, 0, 2]);
        assert_eq!(subset.targets, Targets::Classes(vec![7, 5, 7]));
        let Features::Table(table) = subset.features else { panic!("a table stays a table") };
        assert_eq!(table.values, [4.0, 5.0, 0.0, 1.0, 4.0, 5.0]);
    }

    #[test]
    fn images_hand_out_one_image_and_refuse_the_next() {
        let images = Images { pixels: (0..12).collect(), count: 2, height: 3, width: 2, channels: 1 };
        assert_eq!(images.get(1), Some(&[6, 7, 8, 9, 10, 11][..]));
        assert_eq!(images.get(2), None);
        assert_eq!(images.get(usize::MAX), None);
    }

    #[test]
    fn regression_splits_at_random_but_fixed() {
        let targets = Targets::Values(vec![0.0; 100]);
        let (first, second) = split_indices(&targets, 0.8, 3);
        assert_eq!((first.len(), second.len()), (80, 20));
        assert_eq!(split_indices(&targets, 0.8, 3).0, first);
        assert_ne!(split_indices(&targets, 0.8, 4).0, first);
        assert_ne!(first, (0..80).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn a_split_is_a_partition_and_every_class_is_on_both_sides(
            classes in prop::collection::vec(0_u32..5, 1..200), fraction in 0.05..0.95, seed: u64,
        ) {
            let (first, second) = split_indices(&Targets::Classes(classes.clone()), fraction, seed);
            let mut all: Vec<usize> = first.iter().chain(&second).copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..classes.len()).collect::<Vec<_>>());
            for class in 0..5 {
                let of = |part: &[usize]| part.iter().filter(|i| classes[**i] == class).count();
                let total = of(&first) + of(&second);
                if total >= 2 {
                    prop_assert!(of(&first) >= 1 && of(&second) >= 1);
                    prop_assert!((of(&first) as f64 - total as f64 * fraction).abs() <= 1.0);
                }
            }
        }
    }
}
