//! Recordings of events as a data set: a folder with a sub-folder for each class, or a file of SHD or SSC.

use std::path::Path;

use rayon::prelude::*;

use super::frames::{Frames, Grid, Slicing, frames};
use super::{Events, cochlea, read};
use crate::folder::{File, Listing, entries, folders, name};
use crate::{Dataset, Error, Examples, Features, Preprocessing, Result, Skipped, Targets};

/// The longer side of a frame where the caller does not say: larger sensors are scaled down to it.
const USUAL_SIDE: usize = 64;

/// The most memory for the frames of a data set, in bytes.
const MAXIMUM_TOTAL: usize = 16 << 30;

/// How recordings become frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventOptions {
    /// Frames of a recording, at least 1.
    pub steps: usize,
    /// Whether a pixel's events within a frame are one spike (true), or counted.
    pub binary: bool,
    /// The longer side of a frame in pixels; if `None`, the sensor's, but at most 64.
    pub side: Option<usize>,
}

/// Whether a file is one of events, by its ending.
#[must_use]
pub fn is_event_file(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let known = ["bin", "bs2", "aedat", "aedat2", "aedat3", "aedat4", "dat", "raw", "es"];
    known.iter().any(|known| extension == *known) && !path.is_dir()
}

/// Whether a file is one of many recordings of a cochlea, by its ending: `.h5` or `.hdf5`.
#[must_use]
pub fn is_cochlea_file(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    extension == "h5" || extension == "hdf5"
}

/// Whether the classes of a folder hold event files: whether one is in any of its sub-folders, or in one of theirs.
#[must_use]
pub fn is_event_folder(path: &Path) -> bool {
    let within = |path: &Path| folders(path).unwrap_or_default();
    within(path)
        .iter()
        .flat_map(|folder| within(folder).into_iter().chain([folder.clone()]))
        .any(|folder| entries(&folder).is_ok_and(|files| files.iter().any(|file| is_event_file(file))))
}

/// Reads a folder in which each sub-folder is a class of files of events, in any format of [`super::read`].
///
/// Where there are exactly two sub-folders, `Train` and `Test` (as N-MNIST has them; in upper or lower case), the classes
/// are inside these; otherwise a fixed stratified fifth is held back as test. Each recording is cut into
/// [`EventOptions::steps`] slices of equal length. A file that cannot be read is listed in [`Dataset::skipped`]. Files are
/// read twice, first for the size of the sensor, so that no more than the frames must fit into memory.
///
/// # Errors
/// No sub-folders, a single class, a class without two usable recordings (one, where there is a test folder), a test class
/// that is not in the training folder, frames that take more than 16 GiB, or a folder that cannot be listed.
pub fn event_folder(path: &Path, options: EventOptions) -> Result<Dataset> {
    let Listing { classes, train, validation, test, train_folder, test_folder, notes } =
        Listing::of(path, is_event_file, "files of events")?;
    let mut skipped = Vec::new();
    let (mut train_files, train_extent) = usable(train, &mut skipped);
    let (validation_files, validation_extent) = usable(validation, &mut skipped);
    let (test_files, test_extent) = usable(test, &mut skipped);
    let split = test_folder.is_some();
    let minimum = if split { 1 } else { 2 };
    for (class, name) in classes.iter().enumerate() {
        let usable = train_files.iter().filter(|(_, label)| *label as usize == class).count();
        if usable < minimum {
            let got = format!("{usable} usable recordings");
            let expected = format!("at least {minimum} files of events in each class");
            return Err(Error::mismatch(&train_folder.join(name), got, expected));
        }
    }
    if let Some(folder) = test_folder.filter(|_| test_files.is_empty()) {
        return Err(Error::mismatch(&folder, "no usable recording", "at least one to test with"));
    }

    let held_back: Vec<usize> = (0..validation_files.len()).map(|at| train_files.len() + at).collect();
    train_files.extend(validation_files);
    let extent = train_extent.join(validation_extent).join(test_extent);
    let preprocessing = extent.preprocessing(options, None);
    let train = all_frames(&train_files, &preprocessing, path)?;
    let labels: Vec<u32> = train_files.iter().map(|(_, label)| *label).collect();
    let title = path.canonicalize().map(|path| name(&path)).unwrap_or_else(|_| name(path));
    let class_count = classes.len();
    let mut dataset = if split {
        let test_labels = test_files.iter().map(|(_, label)| *label).collect();
        let test = all_frames(&test_files, &preprocessing, path)?;
        Dataset::of_frames(title, classes, (train, labels), (test, test_labels), preprocessing)
    } else {
        Dataset::split_frames(title, classes, &train, &labels, preprocessing)
    };
    let total = dataset.train.len() + dataset.test.len();
    dataset.notes.push(extent.note(total, class_count, &dataset.preprocessing));
    dataset.notes.extend(notes);
    dataset.notes.extend(empty_note(extent.empty));
    dataset.validation = held_back;
    if !skipped.is_empty() {
        let count = gyrus_files::counted(skipped.len() as u64, "file");
        dataset.notes.push(format!("skipped: {count} that could not be read"));
    }
    dataset.skipped = skipped;
    Ok(dataset)
}

/// Reads an HDF5 file of SHD or SSC. Where its name has `train` in it and the same name with `test` exists beside it, that
/// is the test part; otherwise a fixed stratified fifth is held back.
///
/// All recordings are cut into the same [`EventOptions::steps`] slices, from time 0 to the last spike of the file.
///
/// # Errors
/// A damaged file, classes in the test part that the training part does not have, or frames that take more than 16 GiB.
pub fn event_recordings(path: &Path, options: EventOptions) -> Result<Dataset> {
    let mut train = cochlea::open(path)?;
    if train.is_empty() {
        return Err(Error::mismatch(path, "no recording", "at least two"));
    }
    let file_name = name(path);
    let test_path = Some(path.with_file_name(file_name.replace("train", "test")))
        .filter(|_| file_name.contains("train"))
        .filter(|path| path.is_file());
    let mut test = test_path.as_deref().map(cochlea::open).transpose()?;

    let mut extent = Extent::default();
    for index in 0..train.len() {
        extent = extent.join(Extent::of(&train.recording(index)?));
    }
    // Test events later than all training events are dropped, so that the test part does not influence the time axis.
    let window_us = (extent.last_us as u64 + 1).div_ceil(options.steps.max(1) as u64);
    if let Some(test) = &mut test {
        for index in 0..test.len() {
            extent = extent.join(Extent { last_us: 0, ..Extent::of(&test.recording(index)?) });
        }
    }
    // Channels of a cochlea are not pixels: they are not scaled unless requested.
    let options = EventOptions { side: options.side.or(Some(extent.width)), ..options };
    let preprocessing = extent.preprocessing(options, Some(window_us));
    let title = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let classes = train.classes().to_vec();
    let labels = train.labels().to_vec();
    let train_frames = recording_frames(&mut train, &preprocessing, path)?;
    let class_count = classes.len();
    let mut dataset = match (test, &test_path) {
        (Some(mut test), Some(test_path)) => {
            let test_labels = test.labels().to_vec();
            if let Some(label) = test_labels.iter().find(|label| **label as usize >= class_count) {
                let expected = format!("labels below {class_count}, as in {}", path.display());
                return Err(Error::mismatch(test_path, format!("the label {label}"), expected));
            }
            let test = recording_frames(&mut test, &preprocessing, test_path)?;
            Dataset::of_frames(title, classes, (train_frames, labels), (test, test_labels), preprocessing)
        }
        _ => Dataset::split_frames(title, classes, &train_frames, &labels, preprocessing),
    };
    let total = dataset.train.len() + dataset.test.len();
    dataset.notes.push(extent.note(total, class_count, &dataset.preprocessing));
    dataset.notes.extend(empty_note(extent.empty));
    Ok(dataset)
}

/// What recordings have in common.
#[derive(Clone, Copy, Default)]
struct Extent {
    width: usize,
    height: usize,
    polarity: bool,
    last_us: i64,
    /// Recordings without an event.
    empty: usize,
}

/// Says that recordings are empty, where some are.
fn empty_note(empty: usize) -> Option<String> {
    let verb = if empty == 1 { "recording holds" } else { "recordings hold" };
    (empty > 0).then(|| format!("{empty} {verb} no event: nothing can be learned from them"))
}

impl Extent {
    fn of(events: &Events) -> Self {
        let Events { width, height, polarity, .. } = *events;
        let last_us = events.time_us.last().copied().unwrap_or(0).max(0);
        Self { width, height, polarity, last_us, empty: usize::from(events.time_us.is_empty()) }
    }

    fn join(self, other: Self) -> Self {
        Self {
            width: self.width.max(other.width),
            height: self.height.max(other.height),
            polarity: self.polarity || other.polarity,
            last_us: self.last_us.max(other.last_us),
            empty: self.empty + other.empty,
        }
    }

    fn preprocessing(&self, options: EventOptions, window_us: Option<u64>) -> Preprocessing {
        let longer = self.width.max(self.height).max(1);
        let side = options.side.unwrap_or(USUAL_SIDE).min(longer);
        let scaled = |size: usize| (size * side).div_ceil(longer).max(1);
        Preprocessing::Events {
            steps: options.steps,
            height: scaled(self.height),
            width: scaled(self.width),
            sensor_height: self.height,
            sensor_width: self.width,
            polarity: self.polarity,
            binary: options.binary,
            window_us,
        }
    }

    fn note(&self, recordings: usize, classes: usize, preprocessing: &Preprocessing) -> String {
        let shape = preprocessing.shape();
        let what = match preprocessing {
            Preprocessing::Events { window_us: Some(window_us), .. } => {
                format!("{} frames of {window_us} µs", shape[0])
            }
            _ => format!("{} frames of equal length", shape[0]),
        };
        let size = match (self.height, shape[2] == self.width) {
            (1, true) => format!("{} channels", self.width),
            (_, true) => format!("{} by {} pixels", self.width, self.height),
            (_, false) => {
                format!("{} by {} pixels, scaled to {} by {}", self.width, self.height, shape[2], shape[1])
            }
        };
        let recordings = gyrus_files::counted(recordings as u64, "recording");
        format!("{recordings} in {classes} classes, each as {what}, {size}")
    }
}

/// The files that can be read, and what they have in common; the others go to `skipped`.
fn usable(files: Vec<File>, skipped: &mut Vec<Skipped>) -> (Vec<File>, Extent) {
    let extents: Vec<_> =
        files.par_iter().map(|(path, _)| read(path).map(|events| Extent::of(&events))).collect();
    let (mut kept, mut extent) = (Vec::with_capacity(files.len()), Extent::default());
    for (file, read) in files.into_iter().zip(extents) {
        match read {
            Ok(one) => {
                extent = extent.join(one);
                kept.push(file);
            }
            Err(error) => skipped.push(Skipped { path: file.0, reason: error.to_string() }),
        }
    }
    (kept, extent)
}

/// Room for the frames of so many recordings.
fn room(count: usize, preprocessing: &Preprocessing, path: &Path) -> Result<Vec<u8>> {
    let length = preprocessing.shape().iter().try_fold(count, |product, size| product.checked_mul(*size));
    match length.filter(|length| *length <= MAXIMUM_TOTAL) {
        Some(length) => Ok(vec![0; length]),
        None => {
            let got = format!("{count} recordings as frames of shape {:?}", preprocessing.shape());
            let expected = format!("at most {MAXIMUM_TOTAL} numbers in all: fewer steps or smaller frames");
            Err(Error::mismatch(path, got, expected))
        }
    }
}

fn all_frames(files: &[File], preprocessing: &Preprocessing, path: &Path) -> Result<Vec<u8>> {
    let mut all = room(files.len(), preprocessing, path)?;
    let length = all.len() / files.len().max(1);
    all.par_chunks_exact_mut(length.max(1)).zip(files).try_for_each(|(to, (path, _))| -> Result<()> {
        to.copy_from_slice(&preprocessing.frames_of(&read(path)?, path)?);
        Ok(())
    })?;
    Ok(all)
}

fn recording_frames(
    recordings: &mut cochlea::Cochlea,
    preprocessing: &Preprocessing,
    path: &Path,
) -> Result<Vec<u8>> {
    let mut all = room(recordings.len(), preprocessing, path)?;
    let length = all.len() / recordings.len().max(1);
    for (index, to) in all.chunks_exact_mut(length.max(1)).enumerate() {
        to.copy_from_slice(&preprocessing.frames_of(&recordings.recording(index)?, path)?);
    }
    Ok(all)
}

impl Preprocessing {
    /// The counts of one recording, `[steps, height, width, channels]`; `path` is for the errors.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for an event outside of the sensor, or if this preprocessing is not for events.
    pub fn frames_of(&self, events: &Events, path: &Path) -> Result<Vec<u8>> {
        let Self::Events { steps, height, width, sensor_height, sensor_width, polarity, binary, window_us } =
            *self
        else {
            return Err(Error::mismatch(path, "events", "what the run learned from: no events"));
        };
        let slicing = match window_us {
            Some(window_us) => Slicing::Clock { window_us, frames: steps },
            None => Slicing::Frames(steps),
        };
        let grid = Grid { sensor_width, sensor_height, width, height, polarity };
        let mut frames = frames(events, slicing, grid, path)?;
        if binary {
            frames.make_binary();
        }
        Ok(frames.counts)
    }

    /// The network's input for a file of events, `[recordings, steps, height, width, channels]`, and the number of
    /// recordings: one, or all of an HDF5 file.
    ///
    /// # Errors
    /// As for [`super::read`], [`cochlea::open`] and [`Self::frames_of`].
    pub fn decode_events(&self, path: &Path) -> Result<(Vec<f32>, usize)> {
        let (counts, recordings) = if is_cochlea_file(path) {
            let mut recordings = cochlea::open(path)?;
            (recording_frames(&mut recordings, self, path)?, recordings.len())
        } else {
            (self.frames_of(&read(path)?, path)?, 1)
        };
        Ok((counts.into_iter().map(f32::from).collect(), recordings))
    }
}

impl Dataset {
    fn of_frames(
        name: String,
        classes: Vec<String>,
        train: (Vec<u8>, Vec<u32>),
        test: (Vec<u8>, Vec<u32>),
        preprocessing: Preprocessing,
    ) -> Self {
        let shape = preprocessing.shape();
        let examples = |(counts, labels): (Vec<u8>, Vec<u32>)| {
            let frames = Frames {
                counts,
                count: labels.len(),
                steps: shape[0],
                height: shape[1],
                width: shape[2],
                channels: shape[3],
            };
            Examples { features: Features::Frames(frames), targets: Targets::Classes(labels) }
        };
        let (train, test) = (examples(train), examples(test));
        Self::new(name, crate::Task::Classification { classes }, train, test, preprocessing)
    }

    /// Frames that come without a split: the fixed stratified one.
    fn split_frames(
        name: String,
        classes: Vec<String>,
        counts: &[u8],
        labels: &[u32],
        preprocessing: Preprocessing,
    ) -> Self {
        let targets = Targets::Classes(labels.to_vec());
        let (train, test) =
            crate::split_indices(&targets, crate::dataset::TRAIN_FRACTION, crate::dataset::SPLIT_SEED);
        let length = counts.len() / labels.len().max(1);
        let part = |indices: &[usize]| {
            let counts =
                indices.iter().flat_map(|index| &counts[index * length..][..length]).copied().collect();
            (counts, indices.iter().map(|index| labels[*index]).collect())
        };
        Self::of_frames(name, classes, part(&train), part(&test), preprocessing)
    }
}
