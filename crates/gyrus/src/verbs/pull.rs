//! Bringing a model of the Hugging Face hub to this machine.

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use super::{HubName, HubPart, serialized};
use crate::{Error, Result};

/// Downloads a model from the Hugging Face hub into its cache, where it is not there yet.
#[derive(Clone, Debug)]
pub struct Pull {
    /// The model: a name that [`HubName::read`] understands.
    pub model: PathBuf,
}

/// Where a model is now.
#[derive(Clone, Debug, Serialize)]
pub struct PullReport {
    /// The model as it was named.
    pub model: String,
    /// Its folder or GGUF file in the cache.
    #[serde(serialize_with = "serialized::path")]
    pub path: PathBuf,
    /// Bytes of its files that are there.
    pub bytes: u64,
    /// Seconds that it took.
    pub seconds: f64,
}

impl Pull {
    /// This model.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self { model: model.into() }
    }

    /// Whether the model is one of the hub rather than a file or folder that is here.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        !self.model.exists() && !matches!(HubName::read(&self.model), Ok(None))
    }

    /// Downloads; `progress` is told the file, the bytes that are there and the bytes that there will be.
    ///
    /// # Errors
    /// If the name is no name of the hub, the hub does not have the model, or a download fails.
    pub fn run(&self, progress: impl Fn(&str, u64, u64) + Send + Sync + 'static) -> Result<PullReport> {
        let start = Instant::now();
        let Some(name) = HubName::read(&self.model)? else {
            return Err(Error::Request(format!(
                "{}: expected the name of a model on the hub, such as OWNER/NAME or OWNER/NAME:Q4_K_M",
                self.model.display()
            )));
        };
        let path = download(&name, progress)?;
        let files = if path.is_dir() {
            std::fs::read_dir(&path).into_iter().flatten().flatten().map(|file| file.path()).collect()
        } else {
            vec![path.clone()]
        };
        let bytes = files.iter().filter_map(|file| Some(std::fs::metadata(file).ok()?.len())).sum();
        let model = self.model.display().to_string();
        Ok(PullReport { model, path, bytes, seconds: start.elapsed().as_secs_f64() })
    }
}

#[cfg(feature = "hub")]
fn download(name: &HubName, progress: impl Fn(&str, u64, u64) + Send + Sync + 'static) -> Result<PathBuf> {
    fetched(&gyrus_formats::hub::Hub::from_environment()?.with_progress(progress), name)
}

#[cfg(not(feature = "hub"))]
fn download(name: &HubName, _progress: impl Fn(&str, u64, u64) + Send + Sync + 'static) -> Result<PathBuf> {
    let HubName { owner, name, .. } = name;
    Err(Error::Request(format!(
        "{owner}/{name}: this build has no downloads; build with `--features hub` to add them"
    )))
}

/// Models that this process has asked the hub for, and where they are: it asks once.
#[cfg(feature = "hub")]
static ASKED: std::sync::Mutex<Vec<(PathBuf, HubName, PathBuf)>> = std::sync::Mutex::new(Vec::new());

/// Where a model of the hub lies in the cache, downloaded where it is not there yet. A repository that has GGUF files alone
/// stands for a usual one of them.
#[cfg(feature = "hub")]
pub(crate) fn fetched(hub: &gyrus_formats::hub::Hub, name: &HubName) -> Result<PathBuf> {
    let cache = hub.cache();
    if let Ok(asked) = ASKED.lock()
        && let Some((.., place)) = asked.iter().find(|(there, other, _)| there == cache && other == name)
        && place.exists()
    {
        return Ok(place.clone());
    }
    let place = ask(hub, name)?;
    if let Ok(mut asked) = ASKED.lock() {
        asked.push((cache.to_owned(), name.clone(), place.clone()));
    }
    Ok(place)
}

#[cfg(feature = "hub")]
fn ask(hub: &gyrus_formats::hub::Hub, name: &HubName) -> Result<PathBuf> {
    let HubName { owner, name, part } = name;
    Ok(match part {
        Some(HubPart::File(file)) => hub.model_file(owner, name, file)?,
        Some(HubPart::Tag(tag)) => hub.model_gguf(owner, name, Some(tag))?,
        None => match hub.model(owner, name) {
            Ok(folder) => folder,
            Err(error) => {
                let files = hub.model_files(owner, name).unwrap_or_default();
                let has = |end: &str| files.iter().any(|file| file.ends_with(end));
                if has(".gguf") && !has(".safetensors") {
                    hub.model_gguf(owner, name, None)?
                } else {
                    return Err(error.into());
                }
            }
        },
    })
}
