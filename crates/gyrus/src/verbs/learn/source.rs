//! Where the data of a run comes from: a name, a file or a folder.

use std::path::{Path, PathBuf};

use gyrus_data::{Dataset, EventOptions, Preprocessing};
#[cfg(feature = "hub")]
use gyrus_formats::hub::Hub;
use gyrus_train::RunRecord;
use gyrus_vision::similar::test_twins;

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
    let source = Source {
        name: &name,
        directory: path,
        target: record.data.target.as_deref(),
        test: record.data.test_path.as_deref().map(Path::new),
        image_size: size,
        // A network that was trained elsewhere saw its images in its own way.
        seen: record.transfer.as_ref().map(|_| &record.preprocessing),
    };
    source.load(&|_| Ok(events))
}

/// A data set of images that is known by name, from the hub or from a folder.
pub(crate) fn standard_images(name: &str, directory: Option<&Path>) -> Result<Dataset> {
    let source = Source { name, directory, target: None, test: None, image_size: None, seen: None };
    source.check()?;
    Ok(source.load(&|_| Ok(None))?.0)
}

/// Data sets that are known by name.
const STANDARD: [&str; 4] = ["digits", "mnist", "fashion-mnist", "cifar10"];
/// Other names of them, as people write them.
const ALIASES: [(&str, &str); 6] = [
    ("fashionmnist", "fashion-mnist"),
    ("fashion_mnist", "fashion-mnist"),
    ("fmnist", "fashion-mnist"),
    ("cifar-10", "cifar10"),
    ("cifar_10", "cifar10"),
    ("digit", "digits"),
];
/// Jaro-Winkler similarity from which on a name is suggested.
const ALIKE: f64 = 0.8;

/// The name of a standard data set, however it is written; `None` for anything else, and for a path that exists.
pub(super) fn canonical(name: &str) -> Option<&'static str> {
    if let Some(known) = STANDARD.into_iter().find(|known| *known == name) {
        return Some(known);
    }
    if Path::new(name).exists() {
        return None;
    }
    let lower = name.to_lowercase();
    let alias = ALIASES.into_iter().find(|(alias, _)| *alias == lower).map(|(_, known)| known);
    STANDARD.into_iter().find(|known| *known == lower).or(alias)
}

/// Where data comes from.
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) directory: Option<&'a Path>,
    pub(super) target: Option<&'a str>,
    pub(super) test: Option<&'a Path>,
    pub(super) image_size: Option<usize>,
    /// How a network that was trained before sees images.
    pub(super) seen: Option<&'a Preprocessing>,
}

/// How events become frames, given the default number of steps; `None` unless a spiking network is requested.
pub(super) type EventFrames<'a> = &'a dyn Fn(usize) -> Result<Option<EventOptions>>;

/// Frames of an event-camera recording and of a cochlea's, unless the caller chooses.
const CAMERA_STEPS: usize = 10;
const COCHLEA_STEPS: usize = 100;

impl Source<'_> {
    /// Refuses a folder that is not there, or that this data does not have.
    pub(super) fn check(&self) -> Result<()> {
        let Some(directory) = self.directory else { return Ok(()) };
        if matches!(canonical(self.name), None | Some("digits")) {
            return Err(Error::Request(format!(
                "--data is the folder with the files of mnist, fashion-mnist or cifar10, and not for {}",
                self.name
            )));
        }
        if !directory.is_dir() {
            return Err(Error::Request(format!(
                "{} is not there; expected a folder with the standard files of {}",
                directory.display(),
                self.name
            )));
        }
        Ok(())
    }

    /// The data, and the file or folder that it was read from, if any.
    pub(super) fn load(&self, event_frames: EventFrames<'_>) -> Result<(Dataset, Option<PathBuf>)> {
        let (dataset, path) = self.read(event_frames)?;
        Ok(match self.seen {
            Some(preprocessing) => (dataset.seen_as(preprocessing)?, path),
            None => (dataset, path),
        })
    }

    fn read(&self, event_frames: EventFrames<'_>) -> Result<(Dataset, Option<PathBuf>)> {
        let directory = self.directory.map(Path::to_owned);
        let dataset = match (canonical(self.name).unwrap_or(self.name), self.directory) {
            ("digits", _) => return Ok((gyrus_data::digits(), None)),
            ("mnist", Some(directory)) => gyrus_data::mnist(directory)?,
            ("fashion-mnist", Some(directory)) => gyrus_data::fashion_mnist(directory)?,
            ("cifar10", Some(directory)) => gyrus_data::cifar10(directory)?,
            #[cfg(feature = "hub")]
            ("mnist", None) => downloaded("mnist", gyrus_data::hub::mnist)?,
            #[cfg(feature = "hub")]
            ("fashion-mnist", None) => downloaded("fashion-mnist", gyrus_data::hub::fashion_mnist)?,
            #[cfg(feature = "hub")]
            ("cifar10", None) => downloaded("cifar10", gyrus_data::hub::cifar10)?,
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
                if let Some(named) = standard_files(path) {
                    return Err(Error::Request(format!(
                        "{0} holds the files of {named}: use gyrus learn {named} --data {0}",
                        path.display()
                    )));
                }
                if path.is_dir() {
                    let dataset = match self.seen {
                        Some(preprocessing) => gyrus_data::folder_for(path, preprocessing)?,
                        None => gyrus_data::folder(path, self.image_size)?,
                    };
                    return Ok((dataset, Some(path.to_owned())));
                }
                if !path.exists() {
                    return Err(unknown_data(self.name));
                }
                if gyrus_data::image_files::is_image(path) {
                    return Err(Error::Request(format!(
                        "{} is an image; expected a folder with one sub-folder of images for each class",
                        path.display()
                    )));
                }
                let Some(target) = self.target else {
                    let columns = gyrus_data::columns(path)?;
                    return Err(Error::Request(format!(
                        "{} is a table: choose the column to predict with --target COLUMN (there are {})",
                        path.display(),
                        columns.join(", ")
                    )));
                };
                let dataset = match self.test {
                    Some(test) => gyrus_data::table_with_test(path, target, test)?,
                    None => gyrus_data::table(path, target)?,
                };
                return Ok((dataset, Some(path.to_owned())));
            }
        };
        Ok((dataset, directory))
    }
}

/// A data set from the hub; where that fails, there is another way.
#[cfg(feature = "hub")]
fn downloaded(name: &str, load: fn(&Hub) -> gyrus_data::Result<Dataset>) -> Result<Dataset> {
    load(&Hub::from_environment()?).map_err(|error| match error {
        gyrus_data::Error::Hub(gyrus_formats::Error::Hub { .. }) => Error::Failed(format!(
            "{error}; without a download, give a folder with the standard files: gyrus learn {name} --data DIR"
        )),
        other => other.into(),
    })
}

/// The data set whose standard files are in a folder. Those of Fashion-MNIST have the names of MNIST's.
fn standard_files(path: &Path) -> Option<&'static str> {
    let names =
        std::fs::read_dir(path).ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_fashion = path.to_string_lossy().to_lowercase().contains("fashion");
    names.into_iter().find_map(|name| match name {
        name if name.contains("-images") && name.contains("idx3-ubyte") => {
            Some(if is_fashion { "fashion-mnist" } else { "mnist" })
        }
        name if name.starts_with("data_batch_") && name.contains(".bin") => Some("cifar10"),
        _ => None,
    })
}

/// The error for data that does not exist, with the known name that is most similar.
fn unknown_data(name: &str) -> Error {
    let similarity = |known: &str| strsim::jaro_winkler(known, &name.to_lowercase());
    let nearest = STANDARD.into_iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    let hint = nearest.filter(|nearest| similarity(nearest) >= ALIKE);
    let hint = hint.map_or(String::new(), |nearest| format!(" (did you mean `{nearest}`?)"));
    let what = match name.contains(['/', '\\', '.']) {
        true => "there is no file or folder",
        false => "unknown data set or path",
    };
    Error::Request(format!(
        "{what} `{name}`{hint}; expected {}, a folder of images or recordings, a CSV table, a .txt or \
         .jsonl file of text or an .h5 file of spikes",
        STANDARD.join(", ")
    ))
}

/// Says so where pictures of the test part are training pictures as well.
pub(super) fn note_twins(dataset: &mut Dataset) {
    let twins = test_twins(dataset).len();
    if twins > 0 {
        let all = dataset.test.len();
        dataset.notes.push(format!(
            "{twins} of {all} test images are also training images, pixel by pixel: the accuracy counts what was seen before; \
             gyrus similar names duplicates"
        ));
    }
}
