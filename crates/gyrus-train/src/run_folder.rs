//! The run folder: the files that a training writes and every other verb reads.
//!
//! | file | content |
//! |---|---|
//! | `run.json` | the [`RunRecord`]; written first, it makes the folder a run |
//! | `blueprint.toml` | the network |
//! | `model.safetensors` | the parameters of the best epoch so far |
//! | `checkpoint.safetensors` | everything needed to continue: parameters, moments, the state of the loop |
//! | `metrics.jsonl` | one [`MetricsRow`] per evaluation |
//! | `report.html` | the page with the results |
//! | `pretrained.safetensors` | of a run that goes on from another network: the parameters that it begins with |
//! | `conversion.json`, `quantized.safetensors` | of a conversion by `gyrus spike` that is not finished: what it needs to go on |
//!
//! The run of a language model has no blueprint. It has other files instead, which its record lists under `files`.
//!
//! `metrics.jsonl` is appended to; every other file is replaced atomically.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gyrus_blueprint::Blueprint;
use gyrus_files::{is_temporary, read_bounded, remove_temporaries, write_atomically};

use crate::{Error, MetricsRow, Result, RunHeader, RunRecord, RunStatus, SavedRecord, metrics, record};

const RECORD: &str = "run.json";
const BLUEPRINT: &str = "blueprint.toml";
pub(crate) const MODEL: &str = "model.safetensors";
const CHECKPOINT: &str = "checkpoint.safetensors";
const METRICS: &str = "metrics.jsonl";
const REPORT: &str = "report.html";
/// What a run begins with, where that is not random.
const PRETRAINED: &str = "pretrained.safetensors";
/// Files of a conversion that is not finished: what was asked for and how far it is, and the quantized network. And of a
/// transfer: what it began with.
const UNFINISHED: [&str; 3] = ["conversion.json", "quantized.safetensors", PRETRAINED];
/// The longest `run.json` that is read: 64 MiB.
const MAX_RECORD_BYTES: u64 = 64 << 20;
/// The longest `metrics.jsonl` that is read: 256 MiB, about a million epochs.
const MAX_METRICS_BYTES: u64 = 256 << 20;
/// The longest model or checkpoint that is read: 16 GiB for parameters, and twice as much again for moments.
const MAX_MODEL_BYTES: u64 = 16 << 30;
const MAX_CHECKPOINT_BYTES: u64 = 3 * MAX_MODEL_BYTES;

/// What [`RunFolder::create`] does with an existing run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse to replace a run that is finished or has a model or a checkpoint.
    Refuse,
    /// Remove the files of the run, and nothing else.
    Replace,
}

/// A folder that holds one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Creates the folder of a new run. Write the record first: a folder without one does not count as a run.
    ///
    /// # Errors
    /// [`Error::NotEmpty`] for a folder with other files, [`Error::RunExists`] for a run that `existing`
    /// protects, [`Error::NotAFolder`], [`Error::Io`], and with [`Existing::Refuse`] those of
    /// [`Self::read_record`].
    pub fn create(path: impl Into<PathBuf>, existing: Existing) -> Result<Self> {
        let folder = Self { path: path.into() };
        let path = &folder.path;
        if path.exists() && !path.is_dir() {
            return Err(Error::NotAFolder { path: path.clone() });
        }
        fs::create_dir_all(path).map_err(Error::io("make the folder", path))?;
        if folder.file(RECORD).exists() {
            if existing == Existing::Refuse {
                let status = folder.read_header()?.status;
                let has_saved = folder.file(MODEL).exists() || folder.file(CHECKPOINT).exists();
                if status == RunStatus::Finished || has_saved {
                    return Err(Error::RunExists { path: path.clone(), status });
                }
            }
            // The record goes last: after a crash before that, the folder still counts as a run.
            let own = folder.read_header().map_or_else(|_| Vec::new(), |header| header.files);
            let own = own.iter().map(String::as_str).filter(|name| is_plain(name));
            let files = [MODEL, CHECKPOINT, METRICS, REPORT, BLUEPRINT];
            for name in files.into_iter().chain(UNFINISHED).chain(own).chain([RECORD]) {
                folder.remove(name)?;
            }
        } else if let Some(entry) = folder.first_foreign_entry()? {
            return Err(Error::NotEmpty { path: path.clone(), entry });
        }
        remove_temporaries(path).map_err(Error::io("clean up", path))?;
        Ok(folder)
    }

    /// Opens the run of a network to use its model.
    ///
    /// # Errors
    /// [`Error::NoSuchFolder`], [`Error::NotAFolder`], [`Error::NotARun`] without a `run.json` or
    /// `blueprint.toml`, [`Error::MissingModel`], and those of [`Self::read_record`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let folder = Self::open_any(path.into())?;
        let status = folder.read_record::<RunRecord>()?.status;
        if !folder.file(BLUEPRINT).is_file() {
            return Err(Error::NotARun { path: folder.path, file: BLUEPRINT });
        }
        if !folder.file(MODEL).is_file() {
            return Err(Error::MissingModel { path: folder.path, status });
        }
        Ok(folder)
    }

    /// Opens an unfinished run to continue it, and reads its record. There need not be a model yet. Removes temporary files of
    /// a killed writer.
    ///
    /// # Errors
    /// [`Error::AlreadyFinished`], and those of [`Self::open`] except for the missing model.
    pub fn resume<R: SavedRecord>(path: impl Into<PathBuf>) -> Result<(Self, R)> {
        Self::reopen(path, false)
    }

    /// As [`Self::resume`], and with `beyond` a finished run as well, where it has kept its checkpoint.
    ///
    /// # Errors
    /// As there; [`Error::Checkpoint`] for a finished run without a checkpoint.
    pub fn reopen<R: SavedRecord>(path: impl Into<PathBuf>, beyond: bool) -> Result<(Self, R)> {
        let folder = Self::open_any(path.into())?;
        let record: R = folder.read_record()?;
        if R::KIND.is_none() && !folder.file(BLUEPRINT).is_file() {
            return Err(Error::NotARun { path: folder.path, file: BLUEPRINT });
        }
        if record.status() == RunStatus::Finished {
            if !R::KEEPS_CHECKPOINT {
                // A run that was killed right before its end may still have one.
                folder.remove_checkpoint()?;
            }
            if !beyond {
                return Err(Error::AlreadyFinished { run: folder.path });
            }
            if !folder.file(CHECKPOINT).exists() {
                let problem = format!("the finished run in {} has kept none", folder.path.display());
                return Err(Error::Checkpoint { problem });
            }
        }
        remove_temporaries(&folder.path).map_err(Error::io("clean up", &folder.path))?;
        Ok((folder, record))
    }

    /// The header of the record of any run, in the folder at `path`.
    ///
    /// # Errors
    /// [`Error::NoSuchFolder`], [`Error::NotAFolder`], [`Error::NotARun`] without a `run.json`, [`Error::Json`] with line and
    /// column, [`Error::UnknownVersion`], [`Error::TooLarge`], [`Error::Io`].
    pub fn header(path: impl Into<PathBuf>) -> Result<RunHeader> {
        Self::open_any(path.into())?.read_header()
    }

    /// The record of a run of this kind, in the folder at `path`.
    ///
    /// # Errors
    /// As [`Self::header`], and [`Error::InvalidRecord`] for another kind of run.
    pub fn record<R: SavedRecord>(path: impl Into<PathBuf>) -> Result<R> {
        Self::open_any(path.into())?.read_record()
    }

    /// The path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the report, whether it exists or not.
    #[must_use]
    pub fn report_path(&self) -> PathBuf {
        self.file(REPORT)
    }

    /// Writes `run.json`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_record(&self, record: &impl SavedRecord) -> Result<()> {
        let path = self.file(RECORD);
        let mut text =
            serde_json::to_vec_pretty(record).map_err(|error| Error::io("write", &path)(error.into()))?;
        text.push(b'\n');
        self.write(RECORD, &text)
    }

    /// Reads and checks `run.json`.
    ///
    /// # Errors
    /// [`Error::Json`] with line and column, [`Error::UnknownVersion`], [`Error::InvalidRecord`] for another kind of run or
    /// impossible contents, [`Error::TooLarge`], [`Error::Io`].
    pub fn read_record<R: SavedRecord>(&self) -> Result<R> {
        record::from_json(&self.file(RECORD), &self.read(RECORD, MAX_RECORD_BYTES)?)
    }

    fn read_header(&self) -> Result<RunHeader> {
        RunHeader::from_json(&self.file(RECORD), &self.read(RECORD, MAX_RECORD_BYTES)?)
    }

    /// Writes another file of the run.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.write(name, bytes)
    }

    /// The contents of another file of the run, at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Io`].
    pub fn read_file(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        self.read(name, limit)
    }

    /// Writes `blueprint.toml`.
    ///
    /// # Errors
    /// [`Error::Blueprint`] if it is too long, [`Error::Io`].
    pub fn write_blueprint(&self, blueprint: &Blueprint) -> Result<()> {
        self.write(BLUEPRINT, blueprint.to_toml()?.as_bytes())
    }

    /// Reads and checks `blueprint.toml`.
    ///
    /// # Errors
    /// [`Error::Blueprint`], naming the file.
    pub fn read_blueprint(&self) -> Result<Blueprint> {
        Ok(Blueprint::load(self.file(BLUEPRINT))?)
    }

    /// Writes `model.safetensors`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_model(&self, safetensors: &[u8]) -> Result<()> {
        self.write(MODEL, safetensors)
    }

    /// The contents of `model.safetensors`, at most 16 GiB, unchecked.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Io`].
    pub fn read_model(&self) -> Result<Vec<u8>> {
        self.read(MODEL, MAX_MODEL_BYTES)
    }

    /// Writes `pretrained.safetensors`: the parameters that a run begins with.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_pretrained(&self, safetensors: &[u8]) -> Result<()> {
        self.write(PRETRAINED, safetensors)
    }

    /// The contents of `pretrained.safetensors`, at most 16 GiB; `None` if there is no such file.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Io`].
    pub fn read_pretrained(&self) -> Result<Option<Vec<u8>>> {
        if !self.file(PRETRAINED).exists() {
            return Ok(None);
        }
        self.read(PRETRAINED, MAX_MODEL_BYTES).map(Some)
    }

    /// Removes `pretrained.safetensors`, if there is one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_pretrained(&self) -> Result<()> {
        self.remove(PRETRAINED)
    }

    /// Writes `checkpoint.safetensors`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_checkpoint(&self, safetensors: &[u8]) -> Result<()> {
        self.write(CHECKPOINT, safetensors)
    }

    /// The contents of `checkpoint.safetensors`, at most 48 GiB; `None` if there is no such file.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Io`].
    pub fn read_checkpoint(&self) -> Result<Option<Vec<u8>>> {
        if !self.file(CHECKPOINT).exists() {
            return Ok(None);
        }
        self.read(CHECKPOINT, MAX_CHECKPOINT_BYTES).map(Some)
    }

    /// Removes the checkpoint, if there is one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_checkpoint(&self) -> Result<()> {
        self.remove(CHECKPOINT)
    }

    /// Writes `report.html`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_report(&self, html: &str) -> Result<()> {
        self.write(REPORT, html.as_bytes())
    }

    /// Ends a run whose last part took `elapsed`: writes the report, which `page` makes from the record and the metrics, writes
    /// the finished record, and removes the checkpoint unless [`SavedRecord::KEEPS_CHECKPOINT`]. After a crash in between, the run can be resumed and ended again.
    ///
    /// # Errors
    /// [`Error::Io`], and those of [`Self::read_metrics`].
    pub fn finish<R: SavedRecord>(
        &self,
        record: &mut R,
        elapsed: Duration,
        page: impl FnOnce(&R, &[MetricsRow]) -> String,
    ) -> Result<()> {
        record.set_status(RunStatus::Finished);
        record.timings_mut().finish(elapsed);
        self.write_report(&page(record, &self.read_metrics()?))?;
        self.write_record(record)?;
        if R::KEEPS_CHECKPOINT { Ok(()) } else { self.remove_checkpoint() }
    }

    /// Appends one line to `metrics.jsonl` and flushes it to the disk.
    ///
    /// # Errors
    /// [`Error::Io`]; the file is then as long as before.
    pub fn append_metrics(&self, row: &MetricsRow) -> Result<()> {
        metrics::append(&self.file(METRICS), row)
    }

    /// The rows of `metrics.jsonl`; empty if there is no such file. An incomplete last line is ignored.
    ///
    /// # Errors
    /// [`Error::Json`] with line and column, [`Error::TooLarge`], [`Error::Io`].
    pub fn read_metrics(&self) -> Result<Vec<MetricsRow>> {
        self.parse_metrics(false)
    }

    /// Cuts `metrics.jsonl` back to what it was after epoch `last_epoch`: removes later rows and an incomplete last line. A
    /// resumed run calls this before it appends. Returns the remaining rows.
    ///
    /// # Errors
    /// As [`Self::read_metrics`].
    pub fn truncate_metrics(&self, last_epoch: u32) -> Result<Vec<MetricsRow>> {
        let mut rows = self.parse_metrics(true)?;
        rows.retain(|row| row.epoch <= last_epoch);
        metrics::replace(&self.file(METRICS), &rows)?;
        Ok(rows)
    }

    fn parse_metrics(&self, forgive_last: bool) -> Result<Vec<MetricsRow>> {
        let path = self.file(METRICS);
        if !path.exists() {
            return Ok(Vec::new());
        }
        metrics::parse(&path, &self.read(METRICS, MAX_METRICS_BYTES)?, forgive_last)
    }

    fn open_any(path: PathBuf) -> Result<Self> {
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoSuchFolder { path });
            }
            other => other.map_err(Error::io("open", &path))?,
        };
        if !metadata.is_dir() {
            return Err(Error::NotAFolder { path });
        }
        let folder = Self { path };
        if !folder.file(RECORD).exists() {
            return Err(Error::NotARun { path: folder.path, file: RECORD });
        }
        Ok(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.file(name);
        write_atomically(&path, bytes).map_err(Error::io("write", &path))
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(Error::io("remove", &path)),
        }
    }

    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        Ok(read_bounded(self.file(name), limit)?)
    }

    /// Some entry of the folder, except for temporary files of a killed writer.
    fn first_foreign_entry(&self) -> Result<Option<String>> {
        let unreadable = || Error::io("read", &self.path);
        for entry in fs::read_dir(&self.path).map_err(unreadable())? {
            let name = entry.map_err(unreadable())?.file_name().to_string_lossy().into_owned();
            if !is_temporary(&name) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

/// Whether `name` is a plain file name. A manipulated record must not be able to name files outside of the folder.
fn is_plain(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|own| own == name)
}
