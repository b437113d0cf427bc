//! Recordings of event cameras and artificial cochleas: files to [`Events`], events to [frames].
//!
//! A pixel of an event camera reports when its brightness has changed: (time, column, row, brighter or darker); a
//! channel of a cochlea reports when it fired. Formats are recognized by their content. All are read in one pass over
//! the file, which is held in memory, at a cost of 13 bytes an event; nothing is reserved for events that a header
//! promises but the file does not bring.
//!
//! | format | module | source |
//! |---|---|---|
//! | N-MNIST, N-Caltech101 (`.bin`, `.bs2`) | [`atis`] | Orchard et al. 2015, and its reader Event-Python |
//! | AEDAT 2.0, 3.1, 4.0 (`.aedat`, `.aedat4`) | [`aedat2`], [`aedat3`], [`aedat4`] | iniVation's file formats |
//! | Prophesee `.dat`; `.raw` in EVT2 or EVT3 | [`prophesee`] | Metavision's data formats |
//! | Event Stream (`.es`) | [`event_stream`] | version 2, as faery and dvs-tools write it |
//! | SHD, SSC (`.h5`), many recordings in one file | [`cochlea`] | Cramer et al. 2020 |
//!
//! Time never goes back within a recording. If a format's clock wraps, the format defines how time continues; any other
//! step back is an error that names the event and its byte. (SHD promises no order of spikes: they are sorted.)

pub mod aedat2;
pub mod aedat3;
pub mod aedat4;
pub mod atis;
pub mod cochlea;
mod data_set;
pub mod event_stream;
pub mod frames;
mod heap;
pub mod prophesee;

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::read::{Positioned, open};
use crate::{Error, Result};

pub use data_set::{
    EventOptions, event_folder, event_recordings, is_cochlea_file, is_event_file, is_event_folder,
};

/// The largest file of events that is read, in bytes.
const MAXIMUM_BYTES: u64 = 4 << 30;

/// The most events in one recording. EVT3 packs 12 events into two bytes, so a file's length alone is not a bound.
pub const MAXIMUM_EVENTS: usize = 100_000_000;

/// How a file of events is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Format {
    /// 40 bits an event, without a header: N-MNIST and N-Caltech101.
    Atis,
    /// AEDAT 2.0 of jAER.
    Aedat2,
    /// AEDAT 3.1 of cAER.
    Aedat3,
    /// AEDAT 4.0 of DV.
    Aedat4,
    /// Prophesee's `.dat`.
    Dat,
    /// Prophesee's `.raw`, EVT 2.0.
    Evt2,
    /// Prophesee's `.raw`, EVT 3.0.
    Evt3,
    /// Event Stream 2.0.
    EventStream,
    /// HDF5 with the spikes of a cochlea: SHD and SSC.
    Cochlea,
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Atis => "ATIS 40-bit events (N-MNIST, N-Caltech101)",
            Self::Aedat2 => "AEDAT 2.0",
            Self::Aedat3 => "AEDAT 3.1",
            Self::Aedat4 => "AEDAT 4.0",
            Self::Dat => "Prophesee DAT",
            Self::Evt2 => "Prophesee EVT 2.0",
            Self::Evt3 => "Prophesee EVT 3.0",
            Self::EventStream => "Event Stream 2.0",
            Self::Cochlea => "HDF5 spikes of a cochlea (SHD, SSC)",
        })
    }
}

/// One recording, a column for each property of its events, in the order of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// What it was read from.
    pub format: Format,
    /// Columns of the sensor, or channels of a cochlea. Where the file does not say, one more than the largest `x`.
    pub width: usize,
    /// Rows of the sensor; 1 for a cochlea. Where the file does not say, one more than the largest `y`.
    pub height: usize,
    /// Whether events say brighter or darker; a cochlea's do not.
    pub polarity: bool,
    /// Microseconds, on the clock of the recording; never falling.
    pub time_us: Vec<i64>,
    /// Column of each event, or its channel; below `width`. Counted as the file does.
    pub x: Vec<u16>,
    /// Row of each event; below `height`. Counted as the file does: from the top, but for AEDAT 2.0 and Event Stream.
    pub y: Vec<u16>,
    /// Whether brightness rose (ON); always true for a cochlea.
    pub on: Vec<bool>,
}

/// A recording in a few numbers, for `gyrus inspect` and the like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsSummary {
    /// What it was read from.
    pub format: Format,
    /// Columns of the sensor, or channels.
    pub width: usize,
    /// Rows of the sensor, or 1.
    pub height: usize,
    /// Number of events.
    pub events: usize,
    /// Time of the first event in microseconds, if there is one.
    pub first_us: Option<i64>,
    /// Time of the last event in microseconds, if there is one.
    pub last_us: Option<i64>,
    /// Events at which brightness rose.
    pub on: usize,
    /// Events at which brightness fell.
    pub off: usize,
}

impl Events {
    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.time_us.len()
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.time_us.is_empty()
    }

    /// Format, sensor, number of events, times and polarities.
    #[must_use]
    pub fn summary(&self) -> EventsSummary {
        let on = self.on.iter().filter(|on| **on).count();
        EventsSummary {
            format: self.format,
            width: self.width,
            height: self.height,
            events: self.len(),
            first_us: self.time_us.first().copied(),
            last_us: self.time_us.last().copied(),
            on,
            off: self.len() - on,
        }
    }
}

/// Reads one recording in whatever format it is.
///
/// # Errors
/// [`Error::Format`] with the byte for damaged content, an event outside of the sensor or time that goes back;
/// [`Error::Mismatch`] for a file of many recordings (read these with [`cochlea::open`]); [`Error::Io`].
pub fn read(path: &Path) -> Result<Events> {
    from_bytes(&bytes_of(path)?, path)
}

/// As [`read`], from the bytes of the file; `path` is for the errors.
///
/// # Errors
/// As for [`read`].
pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Events> {
    match recognize(bytes, path)? {
        Format::Atis => atis::decode(bytes, path),
        Format::Aedat2 => aedat2::decode(bytes, path),
        Format::Aedat3 => aedat3::decode(bytes, path),
        Format::Aedat4 => aedat4::decode(bytes, path),
        Format::Dat | Format::Evt2 | Format::Evt3 => prophesee::decode(bytes, path),
        Format::EventStream => event_stream::decode(bytes, path),
        Format::Cochlea => {
            Err(Error::mismatch(path, "an HDF5 file of many recordings", "a file with one recording"))
        }
    }
}

/// The format of a file that begins with these bytes. Only the oldest, [`Format::Atis`], has no marker: it is
/// what is left where the length is a multiple of 5.
///
/// # Errors
/// [`Error::Format`] if the format is unknown.
pub fn recognize(bytes: &[u8], path: &Path) -> Result<Format> {
    let starts = |mark: &[u8]| bytes.starts_with(mark);
    if starts(b"\x89HDF\r\n\x1a\n") {
        return Ok(Format::Cochlea);
    }
    if starts(event_stream::MAGIC) {
        return Ok(Format::EventStream);
    }
    if starts(b"#!AER-DAT") {
        return match bytes.get(9..12) {
            Some(b"2.0") => Ok(Format::Aedat2),
            Some(b"3.1") => Ok(Format::Aedat3),
            Some(b"4.0") => Ok(Format::Aedat4),
            other => {
                let got = format!("version {:?}", String::from_utf8_lossy(other.unwrap_or_default()));
                Err(Error::format(path, 9, got, "AEDAT version 2.0, 3.1 or 4.0"))
            }
        };
    }
    if starts(b"% ") || starts(b"%\n") {
        return prophesee::format(bytes, path);
    }
    if bytes.is_empty() || !bytes.len().is_multiple_of(atis::EVENT_BYTES) {
        let got = format!("{} bytes that are no known format of events", bytes.len());
        let expected = "AEDAT 2.0, 3.1 or 4.0, Prophesee DAT, EVT 2.0 or 3.0, Event Stream, or 40-bit events \
                        (a multiple of 5 bytes)";
        return Err(Error::format(path, 0, got, expected));
    }
    Ok(Format::Atis)
}

/// The bytes of a file of limited size.
fn bytes_of(path: &Path) -> Result<Vec<u8>> {
    let mut reader = Positioned::new(open(path)?, path);
    let bytes = reader.at_most(MAXIMUM_BYTES)?;
    reader.end(&format!("at most {MAXIMUM_BYTES} bytes"))?;
    Ok(bytes)
}

/// Events as they are read: checks each, and knows the extent in the end.
struct Recorder<'a> {
    path: &'a Path,
    /// Width and height, if the file contains them.
    size: Option<(usize, usize)>,
    time_us: Vec<i64>,
    x: Vec<u16>,
    y: Vec<u16>,
    on: Vec<bool>,
}

impl<'a> Recorder<'a> {
    fn new(path: &'a Path, size: Option<(usize, usize)>) -> Self {
        Self { path, size, time_us: Vec::new(), x: Vec::new(), y: Vec::new(), on: Vec::new() }
    }

    /// One event that begins at byte `offset`.
    fn push(&mut self, offset: usize, time_us: i64, x: u16, y: u16, on: bool) -> Result<()> {
        let number = self.time_us.len();
        let error = |got: String, expected: String| {
            Err(Error::format(self.path, offset as u64, format!("event {number} {got}"), expected))
        };
        if let Some(&last) = self.time_us.last()
            && time_us < last
        {
            return error(
                format!("at {time_us} µs"),
                format!("times that do not go back: {last} µs or later"),
            );
        }
        if let Some((width, height)) = self.size
            && (usize::from(x) >= width || usize::from(y) >= height)
        {
            return error(
                format!("at column {x}, row {y}"),
                format!("a sensor of {width} by {height} pixels"),
            );
        }
        if number >= MAXIMUM_EVENTS {
            return error("and more".into(), format!("at most {MAXIMUM_EVENTS} events"));
        }
        self.time_us.push(time_us);
        self.x.push(x);
        self.y.push(y);
        self.on.push(on);
        Ok(())
    }

    fn finish(self, format: Format) -> Events {
        let extent = |values: &[u16]| values.iter().max().map_or(0, |most| usize::from(*most) + 1);
        let (width, height) = self.size.unwrap_or_else(|| (extent(&self.x), extent(&self.y)));
        let Self { time_us, x, y, on, .. } = self;
        Events { format, width, height, polarity: true, time_us, x, y, on }
    }
}

/// Whole records of `N` bytes from `start` on, each with its offset.
///
/// # Errors
/// Where the last one is cut off.
fn records<'a, const N: usize>(
    bytes: &'a [u8],
    start: usize,
    path: &Path,
) -> Result<impl Iterator<Item = (usize, &'a [u8; N])> + use<'a, N>> {
    let (records, rest) = bytes.get(start..).unwrap_or_default().as_chunks::<N>();
    if !rest.is_empty() {
        let got = format!("the end of the file after {} of {N} bytes", rest.len());
        return Err(Error::format(path, bytes.len() as u64, got, format!("events of {N} bytes")));
    }
    Ok(records.iter().enumerate().map(move |(number, record)| (start + number * N, record)))
}

/// Where the lines of text that begin with `mark` end, and these lines. A line that is not
/// text, or longer than 64 KiB, does not count: this distinguishes events that happen to begin with the mark from the header.
fn header(bytes: &[u8], mark: &[u8], last: &str) -> (usize, Vec<String>) {
    let (mut end, mut lines) = (0, Vec::<String>::new());
    while bytes[end..].starts_with(mark) && lines.last().is_none_or(|line| line != last) {
        let rest = &bytes[end..bytes.len().min(end + (1 << 16))];
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else { break };
        if rest[..length].iter().any(|byte| *byte < b' ' && !matches!(byte, b'\t' | b'\r')) {
            break;
        }
        lines.push(String::from_utf8_lossy(&rest[..length]).trim_end().to_owned());
        end += length + 1;
    }
    (end, lines)
}
