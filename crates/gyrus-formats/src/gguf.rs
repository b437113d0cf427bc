//! The container of GGUF files, the format of llama.cpp: metadata and tensors in one mapped file, whatever they mean.
//!
//! ```text
//! "GGUF", u32 version, u64 tensors, u64 entries
//! entries: key, u32 type, value          tensors: name, u32 extents, u64 each (fastest first), u32 type, u64 offset
//! padding to the alignment, then the tensors' bytes
//! ```
//!
//! All numbers are little-endian; strings are a u64 length and bytes. No memory is reserved for a count that the rest of
//! the file could not hold.

mod read;
mod write;

pub use read::{Gguf, Value};
pub use write::{ALIGNMENT, Description, write};

use crate::Format;

/// The number of a format in these files.
fn format_number(format: Format) -> u32 {
    match format {
        Format::F32 => 0,
        Format::F16 => 1,
        Format::Q4_0 => 2,
        Format::Q8_0 => 8,
        Format::Q4_K => 12,
        Format::Q6_K => 14,
        Format::BF16 => 30,
    }
}
