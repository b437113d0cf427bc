//! `metrics.jsonl`: one line per evaluation, a JSON object, appended during training.
//!
//! Because rows are appended, a crash can leave half of the last line; every reader here ignores an incomplete last line.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use gyrus_files::write_atomically;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, Result};

/// The results of one epoch: the steps from one evaluation to the next. A loss that is not finite is `null` in the file and
/// NaN here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricsRow {
    /// The epoch, counted from 1.
    pub epoch: u32,
    /// Steps (batches) since the start of the training.
    pub step: u64,
    /// Learning rate of the last step.
    #[serde(deserialize_with = "number_or_nan")]
    pub learning_rate: f64,
    /// Mean loss over the epoch's batches, measured while training on them.
    #[serde(deserialize_with = "number_or_nan")]
    pub train_loss: f64,
    /// Share of the epoch's examples that were classified correctly, 0 to 1; classification only.
    pub train_accuracy: Option<f64>,
    /// Mean loss over the validation examples after the epoch.
    #[serde(deserialize_with = "number_or_nan")]
    pub validation_loss: f64,
    /// Share of validation examples that were classified correctly, 0 to 1; classification only.
    pub validation_accuracy: Option<f64>,
    /// Seconds that the epoch took, evaluation included.
    pub seconds: f64,
    /// Pieces of the epoch: the step after which each ended, and the mean training loss over it. Empty where the training has so
    /// many epochs that they are fine enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<(u64, f64)>,
}

/// JSON has neither NaN nor infinity; both are written as `null`.
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
        // A full disk may have kept half of the line. If even this fails, readers ignore the incomplete line.
        let _ = file.set_len(before);
        failed()(error)
    })
}

/// The complete lines of `text`, as rows. A last line without a newline is ignored; with `forgive_last`, so is a last line
/// that does not parse.
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
