//! Prophesee's files: lines that begin with `% `, then events, little-endian. Rows are counted from the top.
//!
//! - **DAT** (2D, version 2): a byte for the type (0 or 12) and one for the size of an event (8), then events of 8 bytes:
//!   32 bits of time in µs; column (bits 13-0), row (bits 27-14), polarity (bit 28).
//! - **EVT 2.0**: words of 32 bits, whose highest four say what they are. An event (0 darker, 1 brighter) has the lowest 6
//!   bits of the time (bits 27-22), column (21-11) and row (10-0); a `TIME_HIGH` (8) has the 28 bits above.
//! - **EVT 3.0**: words of 16 bits that set a row (0), the base of a vector (3), the lower (6) and the upper 12 bits of the
//!   time (8), or give events at the row and time that were set: one (2), or those of 12 (4) or 8 (5) columns whose bits
//!   are set. Each vector moves its base on.
//!
//! Events before the first `TIME_HIGH` have no time and are left out. Where `TIME_HIGH` falls by more than half of its
//! range the clock has wrapped, and time goes on from there (2³⁴ µs, or 2²⁴ µs for EVT 3.0). Triggers and other words that
//! are no events are skipped, words of a type that is not specified are errors. Sources:
//! <https://docs.prophesee.ai/stable/data/file_formats/dat.html>, `.../encoding_formats/evt2.html`,
//! `.../encoding_formats/evt3.html`.

use std::path::Path;

use super::{Events, Format, Recorder, header, records};
use crate::{Error, Result};

/// Which of the three a file is, by its header.
///
/// # Errors
/// [`Error::Format`] for a coding that is not read here, as EVT 2.1.
pub(super) fn format(bytes: &[u8], path: &Path) -> Result<Format> {
    Header::read(bytes, path).map(|header| header.format)
}

/// What the lines of text say.
struct Header {
    format: Format,
    /// The first byte after them.
    end: usize,
    /// Width and height, if they say so.
    size: Option<(usize, usize)>,
}

impl Header {
    fn read(bytes: &[u8], path: &Path) -> Result<Self> {
        let (end, lines) = header(bytes, b"%", "% end");
        let value = |key: &str| {
            let fields = lines.iter().filter_map(|line| line.strip_prefix("% ")?.split_once(' '));
            fields.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.trim())
        };
        let unknown = |got: &str| {
            let got = format!("the coding {got:?}");
            Err(Error::format(path, 0, got, "DAT version 2, EVT2 or EVT3"))
        };
        // `% format EVT3;height=720;width=1280` in newer files, `% evt 3.0` in older ones.
        let format = value("format");
        let named = format.map(|format| format.split(';').next().unwrap_or_default().trim());
        let kind = match (named, value("evt")) {
            (Some("EVT2"), _) | (None, Some("2.0")) => Format::Evt2,
            (Some("EVT3"), _) | (None, Some("3.0")) => Format::Evt3,
            (Some(other), _) | (None, Some(other)) => return unknown(other),
            (None, None) => match value("version") {
                None | Some("2") => Format::Dat,
                Some(other) => return unknown(&format!("DAT version {other}")),
            },
        };
        let field = |key: &str| {
            let mut parts = format.unwrap_or_default().split(';').filter_map(|part| part.split_once('='));
            parts.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim())
        };
        let geometry = value("geometry").and_then(|text| text.split_once('x'));
        let number = |text: &str| text.parse::<u16>().ok().map(usize::from).filter(|size| *size > 0);
        let size = [geometry, field("width").zip(field("height")), value("width").zip(value("height"))]
            .into_iter()
            .flatten()
            .find_map(|(width, height)| number(width).zip(number(height)));
        Ok(Self { format: kind, end, size })
    }
}

/// Reads a whole file; `path` is for the errors.
///
/// # Errors
/// [`Error::Format`] with the byte for a header of another format, a last word that is cut off, an unknown type of word,
/// an event outside of the sensor, or time that goes back.
pub fn decode(bytes: &[u8], path: &Path) -> Result<Events> {
    let header = Header::read(bytes, path)?;
    let recorder = Recorder::new(path, header.size);
    match header.format {
        Format::Evt2 => evt2(bytes, header.end, recorder),
        Format::Evt3 => evt3(bytes, header.end, recorder),
        _ => dat(bytes, header.end, recorder),
    }
}

fn dat(bytes: &[u8], start: usize, mut recorder: Recorder<'_>) -> Result<Events> {
    match bytes.get(start..start + 2) {
        Some([0 | 12, 8]) => {}
        other => {
            let got = format!("type and size {:?}", other.unwrap_or_default());
            let expected = "[0, 8] or [12, 8]: 2D events of 8 bytes";
            return Err(Error::format(recorder.path, start as u64, got, expected));
        }
    }
    for (offset, &[t0, t1, t2, t3, d0, d1, d2, d3]) in records::<8>(bytes, start + 2, recorder.path)? {
        let data = u32::from_le_bytes([d0, d1, d2, d3]);
        let time_us = u32::from_le_bytes([t0, t1, t2, t3]).into();
        let (x, y) = ((data & 0x3fff) as u16, (data >> 14 & 0x3fff) as u16);
        recorder.push(offset, time_us, x, y, data >> 28 & 1 == 1)?;
    }
    Ok(recorder.finish(Format::Dat))
}

/// The upper bits of a clock that wraps.
struct TimeHigh {
    bits: u32,
    range: i64,
    wraps: i64,
    /// As last read, or `None` before the first.
    value: Option<i64>,
}

impl TimeHigh {
    fn new(bits: u32) -> Self {
        Self { bits, range: 1 << bits, wraps: 0, value: None }
    }

    /// Takes a new value; true if it differs from the one before.
    fn set(&mut self, value: u32) -> bool {
        let value = i64::from(value);
        let last = self.value.replace(value);
        if last.is_some_and(|last| last - value > self.range / 2) {
            self.wraps += 1;
        }
        last != Some(value)
    }

    /// The whole time with these `low_bits` below, once there is one.
    fn time_us(&self, low: u32, low_bits: u32) -> Option<i64> {
        let high = (self.wraps << self.bits) + self.value?;
        Some((high << low_bits) + i64::from(low))
    }
}

fn evt2(bytes: &[u8], start: usize, mut recorder: Recorder<'_>) -> Result<Events> {
    let mut high = TimeHigh::new(28);
    for (offset, word) in records::<4>(bytes, start, recorder.path)? {
        let word = u32::from_le_bytes(*word);
        match word >> 28 {
            kind @ (0 | 1) => {
                if let Some(time_us) = high.time_us(word >> 22 & 0x3f, 6) {
                    let (x, y) = ((word >> 11 & 0x7ff) as u16, (word & 0x7ff) as u16);
                    recorder.push(offset, time_us, x, y, kind == 1)?;
                }
            }
            8 => {
                high.set(word & 0x0fff_ffff);
            }
            // A trigger, a word of the firmware, and its continuation.
            0xa | 0xe | 0xf => {}
            other => return Err(unknown_word(&recorder, offset, other)),
        }
    }
    Ok(recorder.finish(Format::Evt2))
}

fn evt3(bytes: &[u8], start: usize, mut recorder: Recorder<'_>) -> Result<Events> {
    let (mut high, mut low) = (TimeHigh::new(12), 0);
    let (mut row, mut base, mut base_on) = (0, 0_u16, false);
    for (offset, word) in records::<2>(bytes, start, recorder.path)? {
        let word = u16::from_le_bytes(*word);
        let (place, on, lower) = (word & 0x7ff, word >> 11 & 1 == 1, u32::from(word & 0xfff));
        match word >> 12 {
            0 => row = place,
            2 => {
                if let Some(time_us) = high.time_us(low, 12) {
                    recorder.push(offset, time_us, place, row, on)?;
                }
            }
            3 => (base, base_on) = (place, on),
            kind @ (4 | 5) => {
                let columns = if kind == 4 { 12 } else { 8 };
                let set = (0..columns).filter(|column| word >> column & 1 == 1);
                if let Some(time_us) = high.time_us(low, 12) {
                    for column in set {
                        recorder.push(offset, time_us, base + column, row, base_on)?;
                    }
                }
                base += columns;
                if base > 0x7ff + 12 {
                    let got = format!("a vector that goes on to column {base}");
                    return Err(Error::format(recorder.path, offset as u64, got, "columns up to 2047"));
                }
            }
            6 => low = lower,
            8 => {
                // The lower bits of the new time follow; the old ones belong to the old.
                if high.set(lower) {
                    low = 0;
                }
            }
            // A trigger, words of the firmware, and their continuations.
            7 | 0xa | 0xe | 0xf => {}
            other => return Err(unknown_word(&recorder, offset, other.into())),
        }
    }
    Ok(recorder.finish(Format::Evt3))
}

fn unknown_word(recorder: &Recorder<'_>, offset: usize, kind: u32) -> Error {
    let got = format!("a word of type {kind:#x}");
    Error::format(recorder.path, offset as u64, got, "a type that the format specifies")
}
