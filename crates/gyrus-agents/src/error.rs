//! Why a query or a database was refused.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is no database that can be opened.
    #[error("cannot open {}: {reason}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A server that does not answer, or does not let in.
    #[error("cannot open {address}: {reason}")]
    Connect {
        /// Its address, without the password.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// A file beside the database that is not as it should be.
    #[error("{}: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// The query must not run.
    #[error("the query is refused: {0}")]
    Refused(#[from] Refusal),
    /// The database could not run the query.
    #[error("the database says: {0}")]
    Engine(String),
    /// No query was found for the question.
    #[error("{0}")]
    NotUnderstood(String),
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// "read", "write", "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The index cannot be used.
    #[error("the index {}: {reason}", .path.display())]
    Index {
        /// Its folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A run cannot be resumed or replayed.
    #[error("the journal {}: {reason}", .path.display())]
    Journal {
        /// Its file.
        path: PathBuf,
        /// What is wrong, with the line.
        reason: String,
    },
    /// The request cannot be done as it is.
    #[error("{0}")]
    Request(String),
    /// The model gave no answer.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// The query took too long, or the caller stopped it.
    #[error("the query was stopped after {seconds:.1} s")]
    Stopped {
        /// How long it ran.
        seconds: f64,
    },
}

/// What the guard does not accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// More text than a query needs.
    #[error("it has {bytes} bytes; the most is {most}")]
    Long {
        /// Its length.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// Text that is not one query.
    #[error("it cannot be parsed: {0}")]
    Parse(String),
    /// None, or several.
    #[error("{0} statements; expected one")]
    Statements(usize),
    /// Something other than a query.
    #[error("{0} is not a query; only SELECT is allowed")]
    Statement(String),
    /// A part of SQL that can write, lock, or call out, or that is not needed for questions.
    #[error("{0} is not allowed")]
    Clause(String),
    /// A function that is not known to be harmless.
    #[error("the function {name} is not allowed{}", suggestion(.meant))]
    Function {
        /// The function.
        name: String,
        /// One that is spelled much like it.
        meant: Option<String>,
    },
    /// A table that does not exist, or must not be read.
    #[error("there is no table {name}{}", suggestion(.meant))]
    Table {
        /// The table.
        name: String,
        /// One that is spelled much like it.
        meant: Option<String>,
    },
    /// A column that does not exist.
    #[error("there is no column {name}{}", suggestion(.meant))]
    Column {
        /// The column.
        name: String,
        /// One that is spelled much like it.
        meant: Option<String>,
    },
    /// A column that must not be read.
    #[error("the column {0} is private")]
    Private(String),
}

#[cfg(feature = "documents")]
impl Error {
    /// For `map_err` of what reads and writes files.
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

fn suggestion(meant: &Option<String>) -> String {
    meant.as_ref().map_or(String::new(), |name| format!("; did you mean {name}?"))
}
