//! What can go wrong: stored weights that are not what their shape says, and threads that do not start.

use crate::stored::Format;

/// A result whose error is this crate's.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// What can go wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A row is no whole number of blocks.
    #[error(
        "a row of {columns} weights is no whole number of {} blocks, which hold {} weights each",
        format.name(),
        format.block_weights()
    )]
    Columns {
        /// The format asked for.
        format: Format,
        /// Weights of a row.
        columns: usize,
    },
    /// The bytes are not as many as the shape says.
    #[error("a {} matrix of {rows} rows and {columns} columns does not have {bytes} bytes", format.name())]
    Bytes {
        /// The format asked for.
        format: Format,
        /// Rows of the matrix.
        rows: usize,
        /// Weights of a row.
        columns: usize,
        /// Bytes there are.
        bytes: usize,
    },
    /// Values to quantise are no whole number of rows.
    #[error("{values} values are no whole number of rows of {columns}")]
    Values {
        /// Values there are.
        values: usize,
        /// Weights of a row.
        columns: usize,
    },
    /// The threads could not be started.
    #[error("cannot start {threads} threads: {reason}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What the system said.
        reason: String,
    },
}
