//! Event Stream 2.0 (`.es`), as far as it holds events of change detection (`dvs`).
//!
//! `Event Stream`, three bytes of version, one of type (1 = DVS), width and height (u16, little-endian); then events: a
//! byte with the µs since the event before in its upper 7 bits and the polarity in the lowest, then column and row (u16
//! each), counted from the lower left. A single byte 0xff adds 127 µs; a single byte 0xfe is a reset
//! of the camera, which changes nothing here. Source: <https://github.com/neuromorphicsystems/event_stream>.

use std::path::Path;

use super::{Events, Format, Recorder};
use crate::{Error, Result};

/// What such a file begins with.
pub(super) const MAGIC: &[u8] = b"Event Stream";
const HEADER_BYTES: usize = 20;
const DVS: u8 = 1;

/// Reads a whole file; `path` is for the errors.
///
/// # Errors
/// [`Error::Format`] with the byte for another version or type of stream, an event that is cut off or outside of the
/// sensor.
pub fn decode(bytes: &[u8], path: &Path) -> Result<Events> {
    let cut = |offset: usize, expected: &str| {
        let got = format!("the end of the file after {} bytes", bytes.len() - offset);
        Error::format(path, offset as u64, got, expected)
    };
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(cut(0, "a header of 20 bytes"));
    };
    if header[12] != 2 {
        let got = format!("version {}.{}.{}", header[12], header[13], header[14]);
        return Err(Error::format(path, 12, got, "version 2 of Event Stream"));
    }
    if header[15] != DVS {
        let got = format!("a stream of type {}", header[15]);
        return Err(Error::format(path, 15, got, "1, events of change detection (dvs)"));
    }
    let size = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let mut recorder = Recorder::new(path, Some((size(16), size(18))));
    let (mut at, mut time_us) = (HEADER_BYTES, 0_i64);
    while at < bytes.len() {
        match bytes[at] {
            0xff => {
                time_us += 127;
                at += 1;
            }
            0xfe => at += 1,
            first => {
                let Some(&[_, x0, x1, y0, y1]) = bytes[at..].first_chunk() else {
                    return Err(cut(at, "an event of 5 bytes"));
                };
                time_us += i64::from(first >> 1);
                let (x, y) = (u16::from_le_bytes([x0, x1]), u16::from_le_bytes([y0, y1]));
                recorder.push(at, time_us, x, y, first & 1 == 1)?;
                at += 5;
            }
        }
    }
    Ok(recorder.finish(Format::EventStream))
}
