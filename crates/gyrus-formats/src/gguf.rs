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
        Format::Q4_1 => 3,
        Format::Q5_0 => 6,
        Format::Q5_1 => 7,
        Format::Q8_0 => 8,
        Format::Q2_K => 10,
        Format::Q3_K => 11,
        Format::Q4_K => 12,
        Format::Q5_K => 13,
        Format::Q6_K => 14,
        Format::IQ2_XXS => 16,
        Format::IQ2_XS => 17,
        Format::IQ3_XXS => 18,
        Format::IQ1_S => 19,
        Format::IQ4_NL => 20,
        Format::IQ3_S => 21,
        Format::IQ2_S => 22,
        Format::IQ4_XS => 23,
        Format::IQ1_M => 29,
        Format::BF16 => 30,
        Format::TQ1_0 => 34,
        Format::TQ2_0 => 35,
        Format::MXFP4 => 39,
    }
}
