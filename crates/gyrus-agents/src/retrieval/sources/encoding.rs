//! Bytes as text: by their byte order mark, as UTF-8, as their page says, or by what is likely.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Bytes that are looked at for a page's own word on its encoding, as browsers do.
const HEAD: usize = 1024;

/// The text in these bytes.
///
/// # Errors
/// If they are no text.
pub fn decoded(bytes: &[u8], is_html: bool) -> Result<String, String> {
    if bytes.starts_with(&[0xff, 0xfe, 0, 0]) || bytes.starts_with(&[0, 0, 0xfe, 0xff]) {
        return Err("it is UTF-32, which is not read".to_owned());
    }
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return Ok(encoding.decode_without_bom_handling(&bytes[length..]).0.into_owned());
    }
    if let Some(encoding) = halves_of_zeros(bytes) {
        return Ok(encoding.decode_without_bom_handling(bytes).0.into_owned());
    }
    if bytes.contains(&0) {
        return Err("it holds bytes of zero, so it is no text".to_owned());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(text.to_owned());
    }
    let named = if is_html { named(bytes) } else { None };
    let encoding = named.unwrap_or_else(|| {
        let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
        detector.feed(bytes, true);
        detector.guess(None, Utf8Detection::Allow)
    });
    Ok(encoding.decode_without_bom_handling(bytes).0.into_owned())
}

/// UTF-16 without a mark: nearly every second byte is zero.
fn halves_of_zeros(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(4096) & !1];
    if head.len() < 4 {
        return None;
    }
    let zeros = |first: usize| head.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, half) = (zeros(0), zeros(1), head.len() / 2);
    if odd * 10 > half * 9 && even * 10 < half {
        return Some(UTF_16LE);
    }
    (even * 10 > half * 9 && odd * 10 < half).then_some(UTF_16BE)
}

/// What a page says about its encoding: `charset=...` in its head.
fn named(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes[..bytes.len().min(HEAD)].to_ascii_lowercase();
    let at = head.windows(8).position(|part| part == b"charset=")? + 8;
    let rest = &head[at..];
    let start = rest.iter().take_while(|byte| matches!(byte, b'"' | b'\'' | b' ')).count();
    let rest = &rest[start..];
    let end = rest.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b"-_:.".contains(byte)))?;
    // A page that says UTF-8 and is none is read as what it seems.
    Encoding::for_label(&rest[..end]).filter(|encoding| *encoding != UTF_8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_recognized() {
        let text = "Größe: 5 € – naïve";
        let marked: Vec<u8> =
            [0xfe, 0xff].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect();
        assert_eq!(decoded(text.as_bytes(), false).unwrap(), text);
        assert_eq!(decoded(&marked, false).unwrap(), text);
        let plain = "only letters of ASCII, and many of them";
        let unmarked: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decoded(&unmarked, false).unwrap(), plain);
        let windows = encoding_rs::WINDOWS_1252.encode(text).0.into_owned();
        assert_eq!(decoded(&windows, false).unwrap(), text);
        let russian = "Съешь же ещё этих мягких французских булок, да выпей чаю";
        let koi = encoding_rs::KOI8_R.encode(russian).0.into_owned();
        assert_eq!(decoded(&koi, false).unwrap(), russian);
        let page = [b"<meta charset=koi8-r>".as_slice(), &koi[..12]].concat();
        assert!(decoded(&page, true).unwrap().ends_with("Съешь же ещё"));
        assert!(decoded(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0", false).is_err());
    }
}
