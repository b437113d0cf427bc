//! Standard output and standard error, which may be closed, full, or a pipe that nobody reads any more.

use std::fmt::Display;
use std::io::{self, Write};

use crate::failure::Failure;

/// A line on standard output. A reader that has gone away has read enough.
pub(crate) fn say(text: impl Display) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// A line on standard error; where that cannot be written there is nobody to tell.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
