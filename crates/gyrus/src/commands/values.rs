//! Values of options that several commands take, and what is read from standard input.

use std::io::{self, Read as _};

use crate::exit::Failure;

/// Far more than any machine has cores; each costs memory.
const MAXIMUM_THREADS: usize = 4096;

/// `--threads`.
pub(crate) fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads) if threads <= MAXIMUM_THREADS => Ok(threads),
        _ => Err(format!("expected a whole number from 0 to {MAXIMUM_THREADS}")),
    }
}

/// A finite number above 0.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if value.is_finite() && value > 0.0 { Ok(value) } else { Err("expected a number above 0".into()) }
}

/// A number from 0 to below 1.
pub(crate) fn fraction(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.0..1.0).contains(&value) { Ok(value) } else { Err("expected a number from 0 to below 1".into()) }
}

/// A text as it was given, or standard input for `-`.
pub(crate) fn read_text(given: &str) -> Result<String, Failure> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    // More than any model reads, and little enough for every machine.
    const LIMIT: u64 = 1 << 26;
    let mut bytes = Vec::new();
    match io::stdin().take(LIMIT).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 == LIMIT => {
            Err(Failure::Input(format!("the text on standard input is longer than {} bytes", LIMIT - 1)))
        }
        Ok(_) => Ok(gyrus::files::decode_text("standard input".as_ref(), bytes, LIMIT)?),
        Err(error) => Err(Failure::Input(format!("cannot read a text from standard input: {error}"))),
    }
}

/// A JSON object.
pub(crate) fn json_object(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(object)) => Ok(object),
        Ok(_) => Err("expected a JSON object".into()),
        Err(error) => Err(format!("expected a JSON object: {error}")),
    }
}
