//! The run folder: what `learn` leaves behind and every other verb takes.
//!
//! | file | content |
//! |---|---|
//! | `run.json` | the [`RunRecord`]; written first, it makes the folder a run |
//! | `blueprint.toml` | the network |
//! | `model.safetensors` | the parameters of the best epoch so far |
//! | `checkpoint.safetensors` | all that is needed to continue: parameters, optimiser state, the loop's state |
//! | `metrics.jsonl` | one [`MetricsRow`] per epoch |
//! | `report.html` | the report for the eye |
//!
//! A language model has no blueprint but Hugging Face's `config.json`, `generation_config.json`, `tokenizer.json` and
//! `tokenizer_config.json`, and a record of its own; an adapter of one has `adapter_config.json` and
//! `adapter_model.safetensors`.
//!
//! `metrics.jsonl` is appended to; every other file is replaced atomically.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gyrus_blueprint::Blueprint;
use gyrus_files::{is_temporary, read_bounded, remove_temporaries, write_atomically};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::record::RunHeader;
use crate::{MetricsRow, RunRecord, RunStatus, TrainError, metrics};

const RECORD: &str = "run.json";
const BLUEPRINT: &str = "blueprint.toml";
pub(crate) const MODEL: &str = "model.safetensors";
const CHECKPOINT: &str = "checkpoint.safetensors";
const METRICS: &str = "metrics.jsonl";
const REPORT: &str = "report.html";
/// What runs of language models hold beside these, under Hugging Face's names.
const DESCRIPTIONS: [&str; 10] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "tokenizer.model",
    "added_tokens.json",
    "adapter_config.json",
    "adapter_model.safetensors",
];

/// The longest `run.json` that is read: 64 MiB.
const MAX_RECORD_BYTES: u64 = 64 << 20;
/// The longest `metrics.jsonl` that is read: 256 MiB, about a million epochs.
const MAX_METRICS_BYTES: u64 = 256 << 20;
/// The longest model or checkpoint that is read: 16 GiB for parameters, and twice as much again for moments.
const MAX_MODEL_BYTES: u64 = 16 << 30;
const MAX_CHECKPOINT_BYTES: u64 = 3 * MAX_MODEL_BYTES;

/// What [`RunFolder::create`] does with a run that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse a run that has something to lose: a finished one, or one with a model or a checkpoint.
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
    /// Makes the folder for a new run. Write the record first: a folder without one is not taken for a run.
    ///
    /// # Errors
    /// [`TrainError::NotEmpty`] where other files lie there, [`TrainError::RunExists`] for a run that `existing`
    /// protects, [`TrainError::NotAFolder`], [`TrainError::Io`], and with [`Existing::Refuse`] those of
    /// [`Self::read_record`].
    pub fn create(path: impl Into<PathBuf>, existing: Existing) -> Result<Self, TrainError> {
        let folder = Self { path: path.into() };
        let path = &folder.path;
        if path.exists() && !path.is_dir() {
            return Err(TrainError::NotAFolder { path: path.clone() });
        }
        fs::create_dir_all(path).map_err(TrainError::io("make the folder", path))?;
        if folder.file(RECORD).exists() {
            if existing == Existing::Refuse {
                let status = folder.read_header()?.status;
                let has_saved = folder.file(MODEL).exists() || folder.file(CHECKPOINT).exists();
                if status == RunStatus::Finished || has_saved {
                    return Err(TrainError::RunExists { path: path.clone(), status });
                }
            }
            // The record goes last: cut off before that, the folder is still known as a run.
            let files = [MODEL, CHECKPOINT, METRICS, REPORT, BLUEPRINT];
            for name in files.into_iter().chain(DESCRIPTIONS).chain([RECORD]) {
                folder.remove(name)?;
            }
        } else if let Some(entry) = folder.first_foreign_entry()? {
            return Err(TrainError::NotEmpty { path: path.clone(), entry });
        }
        remove_temporaries(path).map_err(TrainError::io("clean up", path))?;
        Ok(folder)
    }

    /// Opens a run to use its model.
    ///
    /// # Errors
    /// [`TrainError::NoSuchFolder`], [`TrainError::NotAFolder`], [`TrainError::NotARun`] without a `run.json` or
    /// `blueprint.toml`, [`TrainError::MissingModel`], and those of [`Self::read_record`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, TrainError> {
        let folder = Self::open_any(path.into())?;
        let status = folder.read_record()?.status;
        if !folder.file(BLUEPRINT).is_file() {
            return Err(TrainError::NotARun { path: folder.path, file: BLUEPRINT });
        }
        if !folder.file(MODEL).is_file() {
            return Err(TrainError::MissingModel { path: folder.path, status });
        }
        Ok(folder)
    }

    /// Opens a run to continue it: a model need not be there yet. Removes what a killed writer left behind.
    ///
    /// # Errors
    /// As [`Self::open`], but for the missing model.
    pub fn open_to_resume(path: impl Into<PathBuf>) -> Result<Self, TrainError> {
        let folder = Self::open_any(path.into())?;
        folder.read_record()?;
        if !folder.file(BLUEPRINT).is_file() {
            return Err(TrainError::NotARun { path: folder.path, file: BLUEPRINT });
        }
        remove_temporaries(&folder.path).map_err(TrainError::io("clean up", &folder.path))?;
        Ok(folder)
    }

    /// Opens the run of a language model to continue it. Removes what a killed writer left behind.
    ///
    /// # Errors
    /// [`TrainError::NoSuchFolder`], [`TrainError::NotAFolder`], [`TrainError::NotARun`] without a `run.json`, and
    /// those of [`Self::read_header`].
    pub fn open_described(path: impl Into<PathBuf>) -> Result<Self, TrainError> {
        let folder = Self::open_any(path.into())?;
        folder.read_header()?;
        remove_temporaries(&folder.path).map_err(TrainError::io("clean up", &folder.path))?;
        Ok(folder)
    }

    /// Where the folder is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the report lies, or would lie.
    #[must_use]
    pub fn report_path(&self) -> PathBuf {
        self.file(REPORT)
    }

    /// Writes `run.json`.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn write_record(&self, record: &RunRecord) -> Result<(), TrainError> {
        self.write_json_record(record)
    }

    /// Writes `run.json` of a run that has a record of its own.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn write_json_record(&self, record: &impl Serialize) -> Result<(), TrainError> {
        let path = self.file(RECORD);
        let mut text = serde_json::to_vec_pretty(record)
            .map_err(|error| TrainError::io("write", &path)(error.into()))?;
        text.push(b'\n');
        self.write(RECORD, &text)
    }

    /// Reads what the records of all runs have.
    ///
    /// # Errors
    /// [`TrainError::Json`] with line and column, [`TrainError::UnknownVersion`], [`TrainError::TooLarge`],
    /// [`TrainError::Io`].
    pub fn read_header(&self) -> Result<RunHeader, TrainError> {
        RunHeader::from_json(&self.file(RECORD), &self.read(RECORD, MAX_RECORD_BYTES)?)
    }

    /// Reads `run.json` of a run that has a record of its own.
    ///
    /// # Errors
    /// As [`Self::read_header`].
    pub fn read_json_record<T: DeserializeOwned>(&self) -> Result<T, TrainError> {
        let path = self.file(RECORD);
        let text = self.read(RECORD, MAX_RECORD_BYTES)?;
        RunHeader::from_json(&path, &text)?;
        serde_json::from_slice(&text).map_err(|error| TrainError::json(&path, 1, &error))
    }

    /// Writes another file of the run.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
        self.write(name, bytes)
    }

    /// The bytes of another file of the run, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`TrainError::TooLarge`], [`TrainError::Io`].
    pub fn read_file(&self, name: &str, limit: u64) -> Result<Vec<u8>, TrainError> {
        self.read(name, limit)
    }

    /// Reads and checks `run.json`.
    ///
    /// # Errors
    /// [`TrainError::Json`] with line and column, [`TrainError::UnknownVersion`], [`TrainError::InvalidRecord`],
    /// [`TrainError::TooLarge`], [`TrainError::Io`].
    pub fn read_record(&self) -> Result<RunRecord, TrainError> {
        let text = self.read(RECORD, MAX_RECORD_BYTES)?;
        RunRecord::from_json(&self.file(RECORD), &text)
    }

    /// Writes `blueprint.toml`.
    ///
    /// # Errors
    /// [`TrainError::Blueprint`] where it is too long, [`TrainError::Io`].
    pub fn write_blueprint(&self, blueprint: &Blueprint) -> Result<(), TrainError> {
        self.write(BLUEPRINT, blueprint.to_toml()?.as_bytes())
    }

    /// Reads and checks `blueprint.toml`.
    ///
    /// # Errors
    /// [`TrainError::Blueprint`], which names the file.
    pub fn read_blueprint(&self) -> Result<Blueprint, TrainError> {
        Ok(Blueprint::load(self.file(BLUEPRINT))?)
    }

    /// Writes `model.safetensors`, given its bytes.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn write_model(&self, safetensors: &[u8]) -> Result<(), TrainError> {
        self.write(MODEL, safetensors)
    }

    /// The bytes of `model.safetensors`, of at most 16 GiB; what they hold is not checked here.
    ///
    /// # Errors
    /// [`TrainError::TooLarge`], [`TrainError::Io`].
    pub fn read_model(&self) -> Result<Vec<u8>, TrainError> {
        self.read(MODEL, MAX_MODEL_BYTES)
    }

    /// Writes `checkpoint.safetensors`, given its bytes.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn write_checkpoint(&self, safetensors: &[u8]) -> Result<(), TrainError> {
        self.write(CHECKPOINT, safetensors)
    }

    /// The bytes of `checkpoint.safetensors`, of at most 48 GiB, or `None` where there is none.
    ///
    /// # Errors
    /// [`TrainError::TooLarge`], [`TrainError::Io`].
    pub fn read_checkpoint(&self) -> Result<Option<Vec<u8>>, TrainError> {
        if !self.file(CHECKPOINT).exists() {
            return Ok(None);
        }
        self.read(CHECKPOINT, MAX_CHECKPOINT_BYTES).map(Some)
    }

    /// Removes the checkpoint of a run that is finished; none is fine.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn remove_checkpoint(&self) -> Result<(), TrainError> {
        self.remove(CHECKPOINT)
    }

    /// Writes `report.html`.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn write_report(&self, html: &str) -> Result<(), TrainError> {
        self.write(REPORT, html.as_bytes())
    }

    /// Ends a run: writes its report and its finished record, then removes the checkpoint. Cut off between these, the
    /// run can be resumed and ended again.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn finish(&self, record: &impl Serialize, report_html: &str) -> Result<(), TrainError> {
        self.write_report(report_html)?;
        self.write_json_record(record)?;
        self.remove_checkpoint()
    }

    /// Appends one line to `metrics.jsonl` and flushes it to the disk.
    ///
    /// # Errors
    /// [`TrainError::Io`]; the file is then as long as before.
    pub fn append_metrics(&self, row: &MetricsRow) -> Result<(), TrainError> {
        metrics::append(&self.file(METRICS), row)
    }

    /// The rows of `metrics.jsonl`; none where there is no file. A last line that is being written is left out.
    ///
    /// # Errors
    /// [`TrainError::Json`] with line and column, [`TrainError::TooLarge`], [`TrainError::Io`].
    pub fn read_metrics(&self) -> Result<Vec<MetricsRow>, TrainError> {
        self.parse_metrics(false)
    }

    /// Makes `metrics.jsonl` what it was after epoch `last_epoch`: later rows and a broken last line vanish. To be
    /// called before a resumed run appends. Returns the rows that stay.
    ///
    /// # Errors
    /// As [`Self::read_metrics`].
    pub fn truncate_metrics(&self, last_epoch: u32) -> Result<Vec<MetricsRow>, TrainError> {
        let mut rows = self.parse_metrics(true)?;
        rows.retain(|row| row.epoch <= last_epoch);
        metrics::replace(&self.file(METRICS), &rows)?;
        Ok(rows)
    }

    fn parse_metrics(&self, forgive_last: bool) -> Result<Vec<MetricsRow>, TrainError> {
        let path = self.file(METRICS);
        if !path.exists() {
            return Ok(Vec::new());
        }
        metrics::parse(&path, &self.read(METRICS, MAX_METRICS_BYTES)?, forgive_last)
    }

    fn open_any(path: PathBuf) -> Result<Self, TrainError> {
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(TrainError::NoSuchFolder { path });
            }
            other => other.map_err(TrainError::io("open", &path))?,
        };
        if !metadata.is_dir() {
            return Err(TrainError::NotAFolder { path });
        }
        let folder = Self { path };
        if !folder.file(RECORD).exists() {
            return Err(TrainError::NotARun { path: folder.path, file: RECORD });
        }
        Ok(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
        let path = self.file(name);
        write_atomically(&path, bytes).map_err(TrainError::io("write", &path))
    }

    fn remove(&self, name: &str) -> Result<(), TrainError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(TrainError::io("remove", &path)),
        }
    }

    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, TrainError> {
        Ok(read_bounded(self.file(name), limit)?)
    }

    /// Some file that is not ours. Temporary files of a killed writer do not count.
    fn first_foreign_entry(&self) -> Result<Option<String>, TrainError> {
        let unreadable = || TrainError::io("read", &self.path);
        for entry in fs::read_dir(&self.path).map_err(unreadable())? {
            let name = entry.map_err(unreadable())?.file_name().to_string_lossy().into_owned();
            if !is_temporary(&name) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}
