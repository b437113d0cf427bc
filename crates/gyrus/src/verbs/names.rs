//! Errors for unknown names.

use crate::Error;

/// The error for a name that does not exist, with those that do.
pub(crate) fn unknown(what: &str, got: &str, known: &str) -> Error {
    Error::Request(format!("unknown {what} `{got}`; expected {known}"))
}
