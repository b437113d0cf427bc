//! Standard output and standard error, which may be closed, full, or a pipe that nobody reads any more.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

use crate::exit::Failure;

/// A line on standard output. A reader that has gone away has read enough.
pub(crate) fn say(text: impl Display) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

/// One JSON object on standard output.
pub(crate) fn say_json(report: &impl Serialize) -> Result<(), Failure> {
    say(serde_json::to_value(report).map_err(|error| gyrus::Error::Failed(error.to_string()))?)
}

/// A line on standard error; where that cannot be written there is nobody to tell.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Text that appears while it is generated.
#[derive(Default)]
pub(crate) struct Streamed {
    error: Option<io::Error>,
}

impl Streamed {
    /// Shows a part immediately; false when nobody can read it any more.
    pub(crate) fn show(&mut self, text: &str) -> bool {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => true,
            Err(error) => {
                self.error = Some(error);
                false
            }
        }
    }

    /// A reader that has gone away has read enough; other errors are failures.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self.error {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
            _ => Ok(()),
        }
    }
}
