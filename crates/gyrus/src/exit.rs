//! Why the program ends without having done its work, and with which exit code.

use std::fmt;
use std::io;

use gyrus::Fault;

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// From the library.
    Verb(Box<gyrus::Error>),
    /// What was given on the command line or on standard input cannot be used.
    Input(String),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl Failure {
    /// 2 for the caller's mistake, 1 for a failure, 130 for a run that Ctrl-C stopped with everything saved.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Verb(error) => match error.fault() {
                Fault::Caller => 2,
                Fault::Failure => 1,
                Fault::Interruption => 130,
            },
            Self::Input(_) => 2,
            Self::Output(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verb(error) => error.fmt(f),
            Self::Input(text) => f.write_str(text),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}

impl<E: Into<gyrus::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Verb(Box::new(error.into()))
    }
}
