//! Text files as people have them: UTF-8 with or without a byte order mark, UTF-16 with one, plain or gzipped.

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::{Error, Result, read_bounded};

/// How gzipped data begin.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Byte order marks.
const UTF8: &[u8] = b"\xef\xbb\xbf";
const UTF16_LITTLE: &[u8] = b"\xff\xfe";
const UTF16_BIG: &[u8] = b"\xfe\xff";
const UTF32: [&[u8]; 2] = [b"\xff\xfe\0\0", b"\0\0\xfe\xff"];

/// Reads a text file that holds at most `limit` bytes, gzipped or not, and decodes it as [`decode_text`] does.
///
/// # Errors
/// As [`read_bounded`] and [`decode_text`].
pub fn read_text(path: impl AsRef<Path>, limit: u64) -> Result<String> {
    let path = path.as_ref();
    decode_text(path, read_bounded(path, limit)?, limit)
}

/// The text in a file's bytes: unpacked if it is gzipped, without its byte order mark, from UTF-16 if its mark says so. Line
/// ends stay as they are. `path` is for messages.
///
/// # Errors
/// [`Error::TooLarge`] if more than `limit` bytes come out of a gzipped file, [`Error::Gzip`] if it is damaged, and
/// [`Error::NotText`] for bytes that are not text in these encodings.
pub fn decode_text(path: &Path, bytes: Vec<u8>, limit: u64) -> Result<String> {
    let mut bytes = if bytes.starts_with(&GZIP) { unpacked(path, &bytes, limit)? } else { bytes };
    let wrong =
        |offset: usize, got: String| Error::NotText { path: path.to_owned(), offset: offset as u64, got };
    if UTF32.iter().any(|mark| bytes.starts_with(mark)) {
        return Err(wrong(0, "the byte order mark of UTF-32".to_owned()));
    }
    for (mark, big) in [(UTF16_LITTLE, false), (UTF16_BIG, true)] {
        if let Some(rest) = bytes.strip_prefix(mark) {
            let (units, odd) = rest.as_chunks::<2>();
            let unit =
                |pair: &[u8; 2]| if big { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) };
            if !odd.is_empty() {
                return Err(wrong(
                    bytes.len() - 1,
                    "half of a 16-bit number at the end of UTF-16".to_owned(),
                ));
            }
            let mut place = mark.len();
            let mut text = String::with_capacity(units.len());
            for letter in char::decode_utf16(units.iter().map(unit)) {
                let letter = letter.map_err(|error| {
                    wrong(place, format!("the lone surrogate 0x{:04x} in UTF-16", error.unpaired_surrogate()))
                })?;
                place += 2 * letter.len_utf16();
                text.push(letter);
            }
            return Ok(text);
        }
    }
    if bytes.starts_with(UTF8) {
        bytes.drain(..UTF8.len());
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        wrong(offset, format!("the byte 0x{:02x}", error.as_bytes()[offset]))
    })
}

fn unpacked(path: &Path, bytes: &[u8], limit: u64) -> Result<Vec<u8>> {
    let mut whole = Vec::new();
    let read = MultiGzDecoder::new(bytes).take(limit.saturating_add(1)).read_to_end(&mut whole);
    read.map_err(|error| Error::Gzip { path: path.to_owned(), reason: error.to_string() })?;
    if whole.len() as u64 > limit {
        return Err(Error::TooLarge { path: path.to_owned(), bytes: whole.len() as u64, limit });
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn decoded(bytes: &[u8]) -> Result<String> {
        decode_text(Path::new("a.txt"), bytes.to_vec(), 100)
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn every_usual_encoding_gives_the_same_text() {
        let text = "a\r\nä 😀\n";
        let units: Vec<u16> = text.encode_utf16().collect();
        let little: Vec<u8> = [0xFEFF].iter().chain(&units).flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = [0xFEFF].iter().chain(&units).flat_map(|unit| unit.to_be_bytes()).collect();
        let marked = [UTF8, text.as_bytes()].concat();
        for bytes in [text.as_bytes(), &marked, &little, &big] {
            assert_eq!(decoded(bytes).unwrap(), text);
            assert_eq!(decoded(&gzipped(bytes)).unwrap(), text);
        }
        assert_eq!(decoded(&[gzipped(b"a"), gzipped(b"b")].concat()).unwrap(), "ab");
        assert_eq!(decoded(b"").unwrap(), "");
    }

    #[test]
    fn what_is_no_text_is_named_and_bombs_stay_small() {
        let said = |bytes: &[u8]| decoded(bytes).unwrap_err().to_string();
        assert_eq!(
            said(b"ab\xe4"),
            "a.txt, byte 2: got the byte 0xe4, expected text in UTF-8, or in UTF-16 with a byte order mark"
        );
        assert!(said(b"\xff\xfea\0b").contains("byte 4: got half"));
        assert!(said(b"\xff\xfea\0\0\xd8b\0").contains("byte 4: got the lone surrogate 0xd800"));
        assert!(said(b"\xff\xfe\0\0a\0\0\0").contains("UTF-32"));
        assert!(said(b"\x1f\x8bnothing").contains("gzip"));
        assert!(matches!(decoded(&gzipped(&[b'a'; 101])), Err(Error::TooLarge { limit: 100, .. })));
        let whole = gzipped(b"abc");
        assert!(matches!(decoded(&whole[..whole.len() - 4]), Err(Error::Gzip { .. })));
    }
}
