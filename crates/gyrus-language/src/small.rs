//! Reading the small files beside a model's weights: JSON and text, up to a size limit.

use std::path::Path;

use gyrus_files::read_bounded;
use serde_json::Value;

use crate::{Error, Result};

/// The largest file that is read; a `tokenizer.json` takes some 30 MB.
const MAXIMUM_BYTES: u64 = 1 << 28;

/// Reads a file of JSON or text.
pub(crate) fn read_small(path: &Path) -> Result<Vec<u8>> {
    let bytes = read_bounded(path, MAXIMUM_BYTES).map_err(gyrus_formats::Error::from)?;
    Ok(bytes)
}

/// Parses an optional JSON file.
pub(crate) fn read_json(path: &Path) -> Result<Option<Value>> {
    if !path.is_file() {
        return Ok(None);
    }
    let value = serde_json::from_slice(&read_small(path)?);
    value.map(Some).map_err(|error| Error::mismatch(path, error.to_string(), "JSON"))
}
