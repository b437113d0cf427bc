//! Models and files of data sets from the Hugging Face hub, through the cache that its own tools use; and models to the hub.
//!
//! A file is fetched once: the hub announces its checksum, the bytes arrive where an interrupted download can go on,
//! and only what has the announced SHA-256 enters the cache. Without a network the cache serves alone. The
//! environment means what it means to Hugging Face's tools: `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN`,
//! `HF_TOKEN_PATH`, `HF_HUB_DISABLE_IMPLICIT_TOKEN`, `HF_HUB_OFFLINE`.

mod cache;
mod connection;
mod listing;
mod models;
mod transfer;
mod upload;

use std::path::{Path, PathBuf};

use crate::{Error, Result};
use cache::{Kind, Repository};
use connection::Connection;
use transfer::Transfer;

pub use listing::CachedModel;
pub use upload::Pushed;

const ENDPOINT: &str = "https://huggingface.co";

/// More than any file of a data set that is fetched here (CIFAR-10's training part has 120 MB).
const MAXIMUM_BYTES: u64 = 1 << 30;

/// Receives the file, the bytes that are there and the bytes that there will be.
type Progress = Box<dyn Fn(&str, u64, u64) + Send + Sync>;

/// A connection to the hub and its cache.
pub struct Hub {
    connection: Connection,
    cache: PathBuf,
    offline: bool,
    progress: Option<Progress>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Hub")
            .field("endpoint", &self.connection.endpoint)
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub as the environment describes it: `HF_ENDPOINT`, `HF_HOME` (or `HF_HUB_CACHE`), `HF_TOKEN`, and no network
    /// at all where `HF_HUB_OFFLINE` is `1`, `true`, `yes` or `on`.
    ///
    /// # Errors
    /// [`Error::Hub`] for an address that is not one of HTTP.
    pub fn from_environment() -> Result<Self> {
        let offline = variable("HF_HUB_OFFLINE").unwrap_or_default().to_lowercase();
        let offline = ["1", "true", "yes", "on"].contains(&offline.as_str());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let cache = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE"));
        let cache = cache.map_or_else(|| home().join("hub"), PathBuf::from);
        Self::build(&endpoint, &cache, offline, token())
    }

    /// A hub at `endpoint` with its cache in `cache`, ignoring the environment.
    ///
    /// # Errors
    /// [`Error::Hub`] for an address that is not one of HTTP.
    pub fn new(endpoint: &str, cache: &Path, offline: bool) -> Result<Self> {
        Self::build(endpoint, cache, offline, None)
    }

    /// The same with a token, for repositories that are not public and for [`Self::push_model`].
    ///
    /// # Errors
    /// As there.
    pub fn with_token(endpoint: &str, cache: &Path, token: &str) -> Result<Self> {
        Self::build(endpoint, cache, false, Some(token.to_owned()))
    }

    fn build(endpoint: &str, cache: &Path, offline: bool, token: Option<String>) -> Result<Self> {
        let connection = Connection::new(endpoint, token).map_err(|reason| Error::Hub {
            endpoint: endpoint.to_owned(),
            repository: "any repository".to_owned(),
            file: "the client".to_owned(),
            reason,
        })?;
        Ok(Self { connection, cache: cache.to_owned(), offline, progress: None })
    }

    /// Calls `report` with the file, the bytes that are there and the bytes that there will be, while a file
    /// arrives.
    #[must_use]
    pub fn with_progress(mut self, report: impl Fn(&str, u64, u64) + Send + Sync + 'static) -> Self {
        self.progress = Some(Box::new(report));
        self
    }

    /// The path in the cache of one file of a data set's repository, downloaded where it is not there yet.
    ///
    /// # Errors
    /// [`Error::Hub`] where the hub cannot be reached (and the file is not cached) or refuses, [`Error::Checksum`]
    /// where something else arrived than was announced, [`Error::Write`] where the cache cannot be written.
    pub fn fetch(&self, owner: &str, name: &str, file: &str) -> Result<PathBuf> {
        let transfer = self.transfer(Kind::Dataset, owner, name, file, MAXIMUM_BYTES);
        transfer.run()?.ok_or_else(|| transfer.absent())
    }

    fn transfer<'a>(
        &'a self,
        kind: Kind,
        owner: &str,
        name: &str,
        file: &'a str,
        maximum_bytes: u64,
    ) -> Transfer<'a> {
        let repository = Repository::new(&self.cache, kind, owner, name);
        Transfer { hub: self, repository, file, maximum_bytes }
    }
}

/// An environment variable that is not blank.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// The folder of Hugging Face's tools.
fn home() -> PathBuf {
    variable("HF_HOME").map(PathBuf::from).unwrap_or_else(|| {
        let caches = variable("XDG_CACHE_HOME").map(PathBuf::from);
        let caches = caches.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
        caches.unwrap_or_else(std::env::temp_dir).join("huggingface")
    })
}

/// The token that the environment holds: `HF_TOKEN`, or the file at `HF_TOKEN_PATH`, or `token` in `HF_HOME`; none
/// where `HF_HUB_DISABLE_IMPLICIT_TOKEN` is set.
fn token() -> Option<String> {
    if variable("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some() {
        return None;
    }
    let file = || {
        let path = variable("HF_TOKEN_PATH").map_or_else(|| home().join("token"), PathBuf::from);
        std::fs::read_to_string(path).ok()
    };
    let token = variable("HF_TOKEN").or_else(file)?;
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}
