//! What the `run.json` of every run contains: header, status and timings; and the record of runs that need nothing else.
//!
//! [`Record`] is generic over what differs between kinds of runs: the data, the settings, the results.
//! [`RunRecord`](crate::RunRecord), for networks that learn from examples, has more fields.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The version of the run folder's format that this program writes, and the newest that it reads.
pub const RUN_FORMAT_VERSION: u32 = 1;

/// What the records of all runs and all versions have in common, so that a newer record can be told from a broken one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RunHeader {
    /// [`RUN_FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// The version of Gyrus that wrote it.
    pub gyrus_version: String,
    /// How far the run is.
    pub status: RunStatus,
    /// The kind of run; none for a network that learns from examples.
    #[serde(default)]
    pub kind: Option<String>,
    /// The files that this run writes in addition to those of every run.
    #[serde(default)]
    pub files: Vec<String>,
}

impl RunHeader {
    /// Reads and checks the header in the text of a `run.json` that lies at `path`.
    pub(crate) fn from_json(path: &Path, text: &[u8]) -> Result<Self> {
        /// What decides whether the rest can be read.
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
            gyrus_version: String,
        }
        let bad = |error: serde_json::Error| Error::json(path, 1, &error);
        let version: Version = serde_json::from_slice(text).map_err(bad)?;
        if !(1..=RUN_FORMAT_VERSION).contains(&version.format_version) {
            return Err(Error::UnknownVersion {
                path: path.to_owned(),
                found: version.format_version,
                written_by: version.gyrus_version,
                known: RUN_FORMAT_VERSION,
            });
        }
        serde_json::from_slice(text).map_err(bad)
    }
}

/// A record that is stored in `run.json`.
pub trait SavedRecord: Serialize + DeserializeOwned {
    /// The value of `kind`; none for a network that learns from examples.
    const KIND: Option<&'static str>;
    /// The expected kind of run, for the message that refuses another one.
    const EXPECTED: &'static str;

    /// Whether a finished run keeps its checkpoint, so that it can be continued beyond its end.
    const KEEPS_CHECKPOINT: bool = false;

    /// How far the run is.
    fn status(&self) -> RunStatus;

    /// Sets how far the run is.
    fn set_status(&mut self, status: RunStatus);

    /// Where the time went.
    fn timings_mut(&mut self) -> &mut Timings;

    /// Refuses unusable contents.
    ///
    /// # Errors
    /// [`Error::InvalidRecord`].
    fn check(&self, _path: &Path) -> Result<()> {
        Ok(())
    }
}

/// Reads and checks the text of a `run.json` that lies at `path`.
pub(crate) fn from_json<R: SavedRecord>(path: &Path, text: &[u8]) -> Result<R> {
    let header = RunHeader::from_json(path, text)?;
    if header.kind.as_deref() != R::KIND {
        return Err(Error::InvalidRecord {
            path: path.to_owned(),
            field: "kind".to_owned(),
            got: header.kind.unwrap_or_else(|| "absent".to_owned()),
            expected: R::EXPECTED,
        });
    }
    let record: R = serde_json::from_slice(text).map_err(|error| Error::json(path, 1, &error))?;
    record.check(path)?;
    Ok(record)
}

/// The description of a run's data, which also identifies the kind of run.
pub trait RunData: Serialize + DeserializeOwned {
    /// The value of `kind` in `run.json`.
    const KIND: &'static str;
    /// The expected kind of run, for the message that refuses another one.
    const EXPECTED: &'static str;
    /// The files that such a run may write in addition to those of every run.
    const FILES: &'static [&'static str];
}

/// Everything about a run but its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record<Data, Settings, Results> {
    /// [`RUN_FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// The version of Gyrus that wrote it.
    pub gyrus_version: String,
    /// [`RunData::KIND`].
    pub kind: String,
    /// When the run began: RFC 3339, UTC.
    pub created: String,
    /// How far the run is.
    pub status: RunStatus,
    /// The data it learns from.
    pub data: Data,
    /// The settings of the training.
    pub settings: Settings,
    /// The results; absent until the run is finished.
    pub results: Option<Results>,
    /// Where the time went.
    pub timings: Timings,
    /// The files that this run writes in addition to those of every run.
    #[serde(default)]
    pub files: Vec<String>,
}

impl<D: RunData, S, R> Record<D, S, R> {
    /// The record of a run that begins now.
    #[must_use]
    pub fn new(data: D, settings: S) -> Self {
        Self {
            format_version: RUN_FORMAT_VERSION,
            gyrus_version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: D::KIND.to_owned(),
            created: now(),
            status: RunStatus::Running,
            data,
            settings,
            results: None,
            timings: Timings::default(),
            files: D::FILES.iter().map(|name| (*name).to_owned()).collect(),
        }
    }
}

impl<D, S, R> SavedRecord for Record<D, S, R>
where
    D: RunData,
    S: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned,
{
    const KIND: Option<&'static str> = Some(D::KIND);
    const EXPECTED: &'static str = D::EXPECTED;

    fn status(&self) -> RunStatus {
        self.status
    }

    fn set_status(&mut self, status: RunStatus) {
        self.status = status;
    }

    fn timings_mut(&mut self) -> &mut Timings {
        &mut self.timings
    }
}

/// The current time as written in `run.json`: RFC 3339, UTC.
pub(crate) fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Being trained, or killed.
    Running,
    /// Stopped on request; can be resumed.
    Interrupted,
    /// Stopped because the loss or the gradients were no longer numbers; the model is the best one before that.
    Diverged,
    /// Trained and evaluated.
    Finished,
}

impl RunStatus {
    /// The name in `run.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Diverged => "diverged",
            Self::Finished => "finished",
        }
    }
}

/// Seconds spent, summed over all parts of a resumed run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Reading and decoding the data.
    pub data_seconds: f64,
    /// Training steps and the evaluations between them.
    pub train_seconds: f64,
    /// The final evaluation.
    #[serde(default)]
    pub test_seconds: f64,
    /// From start to finish.
    pub total_seconds: f64,
}

impl Timings {
    /// Sets the total of a run whose last part took `elapsed`. For a resumed run, training before the interruption counts too.
    pub(crate) fn finish(&mut self, elapsed: Duration) {
        let parts = self.data_seconds + self.train_seconds + self.test_seconds;
        self.total_seconds = parts.max(elapsed.as_secs_f64());
    }
}
