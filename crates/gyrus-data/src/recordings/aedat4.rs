//! AEDAT 4.0, what DV records: FlatBuffers in packets, which may be compressed by LZ4 or Zstandard.
//!
//! `#!AER-DAT4.0\r\n`; a table `IOHE` with the compression, the place of an index, and an XML text that says which stream
//! carries what and how large the sensor is; then packets of stream (i32), size (i32) and data up to the index. A stream
//! of type `EVTS` carries tables whose first field is a vector of 16 bytes an event: time in µs (i64), column (i16), row
//! (i16), brighter (u8), padding. The first such stream is read, others are skipped. Sources:
//! <https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-4.0.html> and the internals of
//! FlatBuffers, <https://flatbuffers.dev/internals/>. Both need two tables only, read here with every offset checked.

use std::io::Read;
use std::path::Path;

use super::{Events, Format, Recorder};
use crate::{Error, Result};

const MAGIC: &[u8] = b"#!AER-DAT4.0\r\n";
/// DV writes packets of some ten thousand events; one that decompresses to more than this is refused.
const MAXIMUM_PACKET_BYTES: u64 = 256 << 20;
const EVENT_BYTES: usize = 16;

#[derive(Clone, Copy)]
enum Compression {
    None,
    Lz4,
    Zstandard,
}

/// Reads a whole file; `path` is for the errors.
///
/// # Errors
/// [`Error::Format`] with the byte for a damaged header, table or packet, no stream of events, an event outside of the
/// sensor, or time that goes back. Within a compressed packet the byte is that of the packet.
pub fn decode(bytes: &[u8], path: &Path) -> Result<Events> {
    let error = |at: usize, got: String, expected: &str| Error::format(path, at as u64, got, expected);
    let start = MAGIC.len();
    if !bytes.starts_with(MAGIC) {
        return Err(error(0, "other bytes".into(), "#!AER-DAT4.0 and the end of the line"));
    }
    let length = word(bytes, start).map(|length| length as usize);
    let body = start + 4;
    let header = length.and_then(|length| bytes.get(body..)?.get(..length)).ok_or_else(|| {
        error(start, "a header that is longer than the file".into(), "a header that lies within the file")
    })?;
    let damaged = || error(body, "a damaged header table".into(), "a FlatBuffer of type IOHE");
    let table = Table::root(header, b"IOHE").ok_or_else(damaged)?;
    let code = table.field(0).map_or(Some(0), |at| word(header, at)).ok_or_else(damaged)?;
    let compression = match code {
        0 => Compression::None,
        1 | 2 => Compression::Lz4,
        3 | 4 => Compression::Zstandard,
        other => {
            let got = format!("the compression {other}");
            return Err(error(body, got, "0 (none), 1 or 2 (LZ4), 3 or 4 (Zstandard)"));
        }
    };
    let index = table.field(1).map_or(Some(-1), |at| long(header, at)).ok_or_else(damaged)?;
    let text = table.field(2).and_then(|at| table.vector(at, 1)).ok_or_else(damaged)?;
    let (stream, size) = event_stream(&String::from_utf8_lossy(text))
        .ok_or_else(|| error(body, "no stream of type EVTS".into(), "a recording with events"))?;

    let mut at = body + header.len();
    // Without an index (-1: the recording was not closed) packets go up to the end.
    let end = match usize::try_from(index) {
        Ok(index) if (at..=bytes.len()).contains(&index) => index,
        Ok(index) => {
            let got = format!("an index at byte {index}");
            return Err(error(body, got, "an index after the header and within the file"));
        }
        Err(_) => bytes.len(),
    };
    let mut recorder = Recorder::new(path, size);
    while at < end {
        let (Some(id), Some(size)) = (word(bytes, at), word(bytes, at + 4)) else {
            let got = format!("the end of the file after {} bytes", bytes.len() - at);
            return Err(error(at, got, "a packet's header of 8 bytes"));
        };
        let data = at + 8;
        if size as usize > end.saturating_sub(data) {
            let got = format!("a packet of {size} bytes where {} are left", end.saturating_sub(data));
            return Err(error(at + 4, got, "a packet that lies within the file"));
        }
        if id == stream {
            packet(&bytes[data..data + size as usize], data, compression, path, &mut recorder)?;
        }
        at = data + size as usize;
    }
    Ok(recorder.finish(Format::Aedat4))
}

/// The events of one packet, whose data begin at byte `offset` of the file.
fn packet(
    data: &[u8],
    offset: usize,
    compression: Compression,
    path: &Path,
    recorder: &mut Recorder<'_>,
) -> Result<()> {
    let error = |got: String, expected: &str| Error::format(path, offset as u64, got, expected);
    let mut plain = Vec::new();
    let limit = MAXIMUM_PACKET_BYTES + 1;
    let read = match compression {
        Compression::None => data.take(limit).read_to_end(&mut plain),
        Compression::Lz4 => lz4_flex::frame::FrameDecoder::new(data).take(limit).read_to_end(&mut plain),
        Compression::Zstandard => zstd::stream::read::Decoder::new(data)
            .and_then(|decoder| decoder.take(limit).read_to_end(&mut plain)),
    };
    read.map_err(|source| {
        error(format!("damaged compressed data ({source})"), "an intact LZ4 or Zstandard frame")
    })?;
    if plain.len() as u64 >= limit {
        let got = format!("a packet that decompresses to more than {MAXIMUM_PACKET_BYTES} bytes");
        return Err(error(got, "a smaller packet"));
    }
    let damaged = || error("a damaged packet".into(), "a FlatBuffer of type EVTS with events of 16 bytes");
    // The size is repeated in front of the table.
    let buffer = plain.get(4..).ok_or_else(damaged)?;
    let table = Table::root(buffer, b"EVTS").ok_or_else(damaged)?;
    let Some(field) = table.field(0) else { return Ok(()) };
    for event in table.vector(field, EVENT_BYTES).ok_or_else(damaged)?.as_chunks::<EVENT_BYTES>().0 {
        let [t @ .., x0, x1, y0, y1, on, _, _, _] = *event;
        let coordinate = |bytes| {
            u16::try_from(i16::from_le_bytes(bytes))
                .map_err(|_| error("an event at a negative place".into(), "columns and rows from 0 on"))
        };
        let (x, y) = (coordinate([x0, x1])?, coordinate([y0, y1])?);
        recorder.push(offset, i64::from_le_bytes(t), x, y, on != 0)?;
    }
    Ok(())
}

/// The number of the first stream of events, and the size of its sensor if it is known.
///
/// The text nests `<node name="0" path="/mainloop/Recorder/outInfo/0/">` with `<attr key="typeIdentifier"
/// ...>EVTS</attr>`, and a node `info` with `sizeX` and `sizeY`; everything about a stream is between its node and the
/// next one's.
fn event_stream(text: &str) -> Option<(u32, Option<(usize, usize)>)> {
    let attribute = |part: &str, key: &str| -> Option<String> {
        let rest = &part[part.find(&format!("key=\"{key}\""))?..];
        let value = &rest[rest.find('>')? + 1..];
        Some(value[..value.find('<')?].trim().to_owned())
    };
    text.split("<node name=\"").enumerate().find_map(|(node, part)| {
        let id: u32 = part[..part.find('"')?].parse().ok()?;
        if attribute(part, "typeIdentifier")? != "EVTS" {
            return None;
        }
        // Its `info` is the node that follows.
        let size = text.split("<node name=\"").nth(node + 1).filter(|next| next.starts_with("info\""));
        let number = |key| size.and_then(|part| attribute(part, key))?.parse::<u16>().ok().map(usize::from);
        Some((id, number("sizeX").zip(number("sizeY"))))
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long(bytes: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A FlatBuffers table: a signed offset back to its vtable, which holds the offset of each field.
struct Table<'a> {
    buffer: &'a [u8],
    at: usize,
    vtable: usize,
    fields: usize,
}

impl<'a> Table<'a> {
    /// The root of a buffer with this identifier, if it is within bounds.
    fn root(buffer: &'a [u8], identifier: &[u8; 4]) -> Option<Self> {
        if buffer.get(4..8)? != identifier {
            return None;
        }
        let at = word(buffer, 0)? as usize;
        let back = i64::from(word(buffer, at)? as i32);
        let vtable = usize::try_from((at as i64).checked_sub(back)?).ok()?;
        let bytes = usize::from(u16::from_le_bytes(*buffer.get(vtable..)?.first_chunk()?));
        buffer.get(vtable..)?.get(..bytes)?;
        Some(Self { buffer, at, vtable, fields: bytes.checked_sub(4)? / 2 })
    }

    /// The position of a field, or `None` if it has its default.
    fn field(&self, number: usize) -> Option<usize> {
        if number >= self.fields {
            return None;
        }
        let entry = self.buffer.get(self.vtable + 4 + 2 * number..)?.first_chunk()?;
        let offset = usize::from(u16::from_le_bytes(*entry));
        (offset != 0).then_some(self.at + offset)
    }

    /// The elements of the vector (or string) that a field points to.
    fn vector(&self, field: usize, element_bytes: usize) -> Option<&'a [u8]> {
        let at = field.checked_add(word(self.buffer, field)? as usize)?;
        let length = (word(self.buffer, at)? as usize).checked_mul(element_bytes)?;
        self.buffer.get(at + 4..)?.get(..length)
    }
}
