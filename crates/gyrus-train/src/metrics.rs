//! `metrics.jsonl`: one JSON object per line and epoch, written as the training goes.
//!
//! Rows are appended, so a crash can tear the last line; every reader here leaves a torn line out.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, Result, write_atomically};

/// What one epoch came to. A loss that is not a finite number is `null` in the file and NaN here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricsRow {
    /// The epoch, counted from 1.
    pub epoch: u32,
    /// Steps (batches) since the start of the training.
    pub step: u64,
    /// Learning rate of the last step.
    #[serde(deserialize_with = "number_or_nan")]
    pub learning_rate: f64,
    /// Mean loss over the epoch's batches, as they were trained on.
    #[serde(deserialize_with = "number_or_nan")]
    pub train_loss: f64,
    /// Share of the epoch's examples that were classified rightly, 0 to 1; classification only.
    pub train_accuracy: Option<f64>,
    /// Mean loss over the validation examples after the epoch.
    #[serde(deserialize_with = "number_or_nan")]
    pub validation_loss: f64,
    /// Share of validation examples that were classified rightly, 0 to 1; classification only.
    pub validation_accuracy: Option<f64>,
    /// Seconds that the epoch took, validation included.
    pub seconds: f64,
}

/// JSON has no NaN and no infinity; `null` stands for them.
pub(crate) fn number_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

pub(crate) fn append(path: &Path, row: &MetricsRow) -> Result<()> {
    let failed = || Error::io("append to", path);
    let mut line = serde_json::to_vec(row).map_err(|error| failed()(error.into()))?;
    line.push(b'\n');
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).map_err(failed())?;
    let before = file.seek(SeekFrom::End(0)).map_err(failed())?;
    file.write_all(&line).and_then(|()| file.sync_data()).map_err(|error| {
        // A full disk may have taken half of the line. If even this fails, readers leave the torn line out.
        let _ = file.set_len(before);
        failed()(error)
    })
}

/// The whole lines of `text`, as rows. A last line without its newline is left out; with `forgive_last`, so is a
/// last line that does not parse.
pub(crate) fn parse(path: &Path, text: &[u8], forgive_last: bool) -> Result<Vec<MetricsRow>> {
    let mut rows = Vec::new();
    let mut lines = text.split_inclusive(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let is_last = lines.peek().is_none();
        if is_last && !line.ends_with(b"\n") {
            break;
        }
        match serde_json::from_slice(line) {
            Ok(row) => rows.push(row),
            Err(_) if is_last && forgive_last => break,
            Err(error) => return Err(Error::json(path, index + 1, &error)),
        }
    }
    Ok(rows)
}

pub(crate) fn replace(path: &Path, rows: &[MetricsRow]) -> Result<()> {
    let mut text = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut text, row).map_err(|error| Error::io("write", path)(error.into()))?;
        text.push(b'\n');
    }
    write_atomically(path, &text).map_err(Error::io("write", path))
}
