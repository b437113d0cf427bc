//! Names that nothing has.

use crate::Error;

/// There is no such thing; there are others.
pub(crate) fn unknown(what: &str, got: &str, known: &str) -> Error {
    Error::Request(format!("there is no {what} `{got}`; expected {known}"))
}
