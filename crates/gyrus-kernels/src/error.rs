//! Errors: stored weights whose bytes do not match their shape, and threads that cannot be started.

use crate::stored::format::Format;

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Everything that can go wrong in this crate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A row is not a whole number of blocks.
    #[error(
        "a row of {columns} weights is not a whole number of {} blocks, which hold {} weights each",
        format.name(),
        format.block_weights()
    )]
    Columns {
        /// The requested format.
        format: Format,
        /// Weights per row.
        columns: usize,
    },
    /// The number of bytes does not match the shape.
    #[error("a {} matrix of {rows} rows and {columns} columns does not have {bytes} bytes", format.name())]
    Bytes {
        /// The requested format.
        format: Format,
        /// Rows of the matrix.
        rows: usize,
        /// Weights per row.
        columns: usize,
        /// Bytes found.
        bytes: usize,
    },
    /// The values to quantize are not a whole number of rows.
    #[error("{values} values are not a whole number of rows of {columns}")]
    Values {
        /// Values found.
        values: usize,
        /// Weights per row.
        columns: usize,
    },
    /// Weights are read in this format, but not written.
    #[error("no weights are written as {}, which is only read", format.name())]
    ReadOnly {
        /// The requested format.
        format: Format,
    },
    /// The threads could not be started.
    #[error("cannot start {threads} threads: {reason}")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// The system's reason.
        reason: String,
    },
}
