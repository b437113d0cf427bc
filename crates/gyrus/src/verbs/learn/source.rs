//! Where the data of a run comes from: a name, a file or a folder.

use std::path::{Path, PathBuf};

use gyrus_data::{Dataset, EventOptions, Preprocessing};
#[cfg(feature = "hub")]
use gyrus_formats::hub::Hub;
use gyrus_train::RunRecord;

use crate::{Error, Result};

/// The data that a run learned from, read again from its old place or from `directory`, and the file or folder itself.
pub(crate) fn reload(record: &RunRecord, directory: Option<&Path>) -> Result<(Dataset, Option<PathBuf>)> {
    let (size, events) = match &record.preprocessing {
        Preprocessing::Image { height, .. } => (Some(*height), None),
        Preprocessing::Table { .. } => (None, None),
        Preprocessing::Events { steps, binary, height, width, .. } => {
            let side = Some(*height.max(width));
            (side, Some(EventOptions { steps: *steps, binary: *binary, side }))
        }
    };
    let path = directory.or(record.data.path.as_deref().map(Path::new));
    let name = match path {
        Some(path) if !STANDARD.contains(&record.data.name.as_str()) => path.to_string_lossy(),
        _ => record.data.name.as_str().into(),
    };
    let source =
        Source { name: &name, directory: path, target: record.data.target.as_deref(), image_size: size };
    source.load(&|_| Ok(events))
}

/// Data sets that are known by name.
const STANDARD: [&str; 4] = ["digits", "mnist", "fashion-mnist", "cifar10"];
/// Jaro-Winkler similarity from which on a name is suggested.
const ALIKE: f64 = 0.8;

/// Where data comes from.
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) directory: Option<&'a Path>,
    pub(super) target: Option<&'a str>,
    pub(super) image_size: Option<usize>,
}

/// How events become frames, given the default number of steps; `None` unless a spiking network is requested.
pub(super) type EventFrames<'a> = &'a dyn Fn(usize) -> Result<Option<EventOptions>>;

/// Frames of an event-camera recording and of a cochlea's, unless the caller chooses.
const CAMERA_STEPS: usize = 10;
const COCHLEA_STEPS: usize = 100;

impl Source<'_> {
    /// The data, and the file or folder that it was read from, if any.
    pub(super) fn load(&self, event_frames: EventFrames<'_>) -> Result<(Dataset, Option<PathBuf>)> {
        let directory = self.directory.map(Path::to_owned);
        let dataset = match (self.name, self.directory) {
            ("digits", _) => return Ok((gyrus_data::digits(), None)),
            ("mnist", Some(directory)) => gyrus_data::mnist(directory)?,
            ("fashion-mnist", Some(directory)) => gyrus_data::fashion_mnist(directory)?,
            ("cifar10", Some(directory)) => gyrus_data::cifar10(directory)?,
            #[cfg(feature = "hub")]
            ("mnist", None) => gyrus_data::hub::mnist(&Hub::from_environment()?)?,
            #[cfg(feature = "hub")]
            ("fashion-mnist", None) => gyrus_data::hub::fashion_mnist(&Hub::from_environment()?)?,
            #[cfg(feature = "hub")]
            ("cifar10", None) => gyrus_data::hub::cifar10(&Hub::from_environment()?)?,
            #[cfg(not(feature = "hub"))]
            ("mnist" | "fashion-mnist" | "cifar10", None) => {
                let text = "this build cannot download; give the folder with the files by --data DIR";
                return Err(Error::Request(text.into()));
            }
            (path, _) => {
                let path = Path::new(path);
                let events = |steps| {
                    event_frames(steps)?.ok_or_else(|| {
                        let path = path.display();
                        Error::Request(format!(
                            "{path} holds event recordings, which only spiking networks take: add --spiking"
                        ))
                    })
                };
                if path.is_dir() && gyrus_data::is_event_folder(path) {
                    let dataset = gyrus_data::event_folder(path, events(CAMERA_STEPS)?)?;
                    return Ok((dataset, Some(path.to_owned())));
                }
                if path.is_file() && gyrus_data::is_cochlea_file(path) {
                    let dataset = gyrus_data::event_recordings(path, events(COCHLEA_STEPS)?)?;
                    return Ok((dataset, Some(path.to_owned())));
                }
                if path.is_dir() {
                    return Ok((gyrus_data::folder(path, self.image_size)?, Some(path.to_owned())));
                }
                if !path.exists() {
                    return Err(unknown_data(self.name));
                }
                let Some(target) = self.target else {
                    return Err(Error::Request(format!(
                        "{} is a table: choose the column to predict with --target COLUMN",
                        path.display()
                    )));
                };
                return Ok((gyrus_data::table(path, target)?, Some(path.to_owned())));
            }
        };
        Ok((dataset, directory))
    }
}

/// The error for data that does not exist, with the known name that is most similar.
fn unknown_data(name: &str) -> Error {
    let similarity = |known: &str| strsim::jaro_winkler(known, &name.to_lowercase());
    let nearest = STANDARD.into_iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    let hint = nearest.filter(|nearest| similarity(nearest) >= ALIKE);
    let hint = hint.map_or(String::new(), |nearest| format!(" (did you mean `{nearest}`?)"));
    Error::Request(format!(
        "unknown data set or path `{name}`{hint}; expected {}, a folder of images or recordings, a CSV table, a .txt or \
         .jsonl file of text or an .h5 file of spikes",
        STANDARD.join(", ")
    ))
}
