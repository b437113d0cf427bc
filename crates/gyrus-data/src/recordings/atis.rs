//! The 40-bit events of N-MNIST and N-Caltech101 (`.bin`; SLAYER calls them `.bs2`): no header, nothing but events.
//!
//! An event is five bytes: column, row, then one bit for the polarity (1 = brighter) and 23 bits for the time in
//! microseconds, highest first. Row 240 marks a wrap of the recording chip's 13-bit clock: no event, but 8,192 µs to be
//! added to all later times. Source: <https://www.garrickorchard.com/datasets/n-mnist> and its reader Event-Python.

use std::path::Path;

use super::{Events, Format, Recorder, records};
use crate::Result;

/// Bytes of an event.
pub const EVENT_BYTES: usize = 5;
/// The row that marks a wrap of the clock.
const OVERFLOW_ROW: u8 = 240;
const OVERFLOW_US: i64 = 1 << 13;

/// Reads a whole file; `path` is for the errors.
///
/// # Errors
/// [`crate::Error::Format`] with the byte for a last event that is cut off, or time that goes back.
pub fn decode(bytes: &[u8], path: &Path) -> Result<Events> {
    let mut recorder = Recorder::new(path, None);
    let mut base_us = 0_i64;
    for (offset, &[x, y, high, middle, low]) in records::<EVENT_BYTES>(bytes, 0, path)? {
        if y == OVERFLOW_ROW {
            base_us += OVERFLOW_US;
            continue;
        }
        let time = u32::from_be_bytes([0, high & 0x7f, middle, low]);
        recorder.push(offset, base_us + i64::from(time), x.into(), y.into(), high >> 7 == 1)?;
    }
    Ok(recorder.finish(Format::Atis))
}
