//! AEDAT 3.1, what cAER records (the DVS gestures among others): lines that begin with `#` up to `#!END-HEADER`, then
//! packets of events of one type, little-endian.
//!
//! A packet has a header of 28 bytes: type (1 = polarity), source, bytes of an event, offset of the time within it,
//! overflow counter, capacity, number of events, number of valid ones. A polarity event is 8 bytes: a word with its
//! validity (bit 0), polarity (bit 1), row (bits 16-2) and column (bits 31-17), and 31 bits of time in µs; the whole time
//! is 2³¹ · overflow + time. Other packets are skipped, as are events that are marked invalid. The file names its sources;
//! the first whose sensor is known gives the size. Source:
//! <https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-3.1.html>.

use std::path::Path;

use super::{Events, Format, Recorder, header};
use crate::{Error, Result};

const END: &str = "#!END-HEADER";
const HEADER_BYTES: usize = 28;
const POLARITY: u16 = 1;
const POLARITY_BYTES: u32 = 8;

/// Sensors by the name of their source.
const SENSORS: [(&str, (usize, usize)); 6] = [
    ("DVS128", (128, 128)),
    ("DAVIS128", (128, 128)),
    ("DAVIS240", (240, 180)),
    ("DAVIS346", (346, 260)),
    ("DAVIS640", (640, 480)),
    ("DAVIS208", (208, 192)),
];

/// Reads a whole file; `path` is for the errors.
///
/// # Errors
/// [`Error::Format`] with the byte for a header without end or in a coding that is not RAW, a packet that is cut off or
/// contradicts itself, an event outside of the sensor, or time that goes back.
pub fn decode(bytes: &[u8], path: &Path) -> Result<Events> {
    let (end, lines) = header(bytes, b"#", END);
    if lines.last().is_none_or(|line| line != END) {
        return Err(Error::format(path, end as u64, "no end of the header", format!("a line {END}")));
    }
    if let Some(format) = lines.iter().find_map(|line| line.strip_prefix("#Format:"))
        && format.trim() != "RAW"
    {
        let got = format!("the coding {:?}", format.trim());
        return Err(Error::format(path, 0, got, "RAW, the only one that is specified"));
    }
    let size = lines.iter().filter(|line| line.starts_with("#Source")).find_map(|line| {
        SENSORS.iter().find(|(name, _)| line.to_ascii_uppercase().contains(name)).map(|(_, size)| *size)
    });
    let mut recorder = Recorder::new(path, size);
    let mut at = end;
    while at < bytes.len() {
        let error = |offset: usize, got: String, expected: &str| {
            Err(Error::format(path, (at + offset) as u64, got, expected))
        };
        let Some(header) = bytes[at..].first_chunk::<HEADER_BYTES>() else {
            let got = format!("the end of the file after {} bytes", bytes.len() - at);
            return error(0, got, "a packet's header of 28 bytes");
        };
        let short = |offset: usize| u16::from_le_bytes([header[offset], header[offset + 1]]);
        let word = |offset: usize| {
            u32::from_le_bytes([header[offset], header[offset + 1], header[offset + 2], header[offset + 3]])
        };
        let (kind, event_bytes, time_offset) = (short(0), word(4), word(8));
        let (overflow, number) = (word(12), word(20));
        let length = u64::from(event_bytes) * u64::from(number);
        let body_at = at + HEADER_BYTES;
        if length > (bytes.len() - body_at) as u64 {
            let got = format!("{number} events of {event_bytes} bytes in {} bytes", bytes.len() - body_at);
            return error(20, got, "a packet that lies within the file");
        }
        let body = &bytes[body_at..body_at + length as usize];
        if kind == POLARITY {
            if (event_bytes, time_offset) != (POLARITY_BYTES, 4) {
                let got = format!("polarity events of {event_bytes} bytes with their time at {time_offset}");
                return error(4, got, "events of 8 bytes with their time at 4");
            }
            for (index, event) in body.as_chunks::<8>().0.iter().enumerate() {
                let [d0, d1, d2, d3, t0, t1, t2, t3] = *event;
                let data = u32::from_le_bytes([d0, d1, d2, d3]);
                let time = i32::from_le_bytes([t0, t1, t2, t3]);
                let offset = body_at + index * 8;
                if time < 0 {
                    let got = format!("the time {time}");
                    return Err(Error::format(path, (offset + 4) as u64, got, "31 bits of time"));
                }
                if data & 1 == 0 {
                    continue;
                }
                let time_us = (i64::from(overflow) << 31) + i64::from(time);
                let (x, y) = ((data >> 17) as u16, (data >> 2 & 0x7fff) as u16);
                recorder.push(offset, time_us, x, y, data >> 1 & 1 == 1)?;
            }
        }
        at = body_at + length as usize;
    }
    Ok(recorder.finish(Format::Aedat3))
}
