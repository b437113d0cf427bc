//! SentencePiece's own file, `tokenizer.model`: a protocol buffer with the pieces, how they were trained, and how texts are
//! normalized. Byte pairs of unchanged text are read, as Llama 2, Mistral and Gemma have them.

use std::path::Path;

use super::sentencepiece::{Piece, PieceKind, SentencePiece, byte_of};
use crate::small::read_small;
use crate::{Error, Result};

/// The kind of training that gives byte pairs.
const BYTE_PAIRS: u64 = 2;
/// The kinds of pieces.
const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;
const UNUSED: u64 = 5;
const BYTE: u64 = 6;

/// A vocabulary and how it is used.
pub(super) struct ModelFile {
    pub(super) vocabulary: SentencePiece,
    /// Whether a space is added before each text.
    pub(super) leading_space: bool,
    /// The beginning of text.
    pub(super) begin: Option<u32>,
}

/// A field of a message.
enum Field<'a> {
    Number(u64),
    Float(f32),
    Bytes(&'a [u8]),
}

impl Field<'_> {
    fn number(&self) -> u64 {
        if let Self::Number(number) = self { *number } else { 0 }
    }

    fn bytes(&self) -> &[u8] {
        if let Self::Bytes(bytes) = self { bytes } else { &[] }
    }
}

/// The fields of a message, with their numbers.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The next field; an error at the end of what can be read.
    fn next(&mut self) -> std::result::Result<Option<(u64, Field<'a>)>, ()> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => Field::Bytes(self.take(8)?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| ())?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                let bytes = self.take(4)?;
                Field::Float(bytes.first_chunk().map_or(0.0, |bytes| f32::from_le_bytes(*bytes)))
            }
            _ => return Err(()),
        };
        Ok(Some((tag >> 3, field)))
    }

    fn take(&mut self, length: usize) -> std::result::Result<&'a [u8], ()> {
        let (part, rest) = self.rest.split_at_checked(length).ok_or(())?;
        self.rest = rest;
        Ok(part)
    }

    fn varint(&mut self) -> std::result::Result<u64, ()> {
        let mut number = 0u64;
        for place in 0..10 {
            let byte = self.take(1)?.first().copied().ok_or(())?;
            number |= u64::from(byte & 0x7F) << (7 * place).min(63);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(())
    }
}

/// Reads a `tokenizer.model`.
pub(super) fn read(path: &Path) -> Result<ModelFile> {
    parse(path, &read_small(path)?)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<ModelFile> {
    let mut file = Fields { rest: bytes };
    let mut pieces = Vec::new();
    // What is not stored has these values.
    let (mut kind, mut unknown, mut begin) = (1, 0, 1);
    let (mut leading_space, mut joins_spaces, mut map) = (true, true, 0);
    let damaged = |rest: &[u8]| {
        let place = bytes.len() - rest.len();
        Error::format(path, place as u64, "damaged bytes", "a field of SentencePiece's model")
    };
    while let Some((number, field)) = file.next().map_err(|()| damaged(file.rest))? {
        let mut inner = Fields { rest: field.bytes() };
        let place = file.rest;
        match number {
            1 => pieces.push(piece(&mut inner).map_err(|()| damaged(place))?),
            2 => {
                while let Some((number, field)) = inner.next().map_err(|()| damaged(place))? {
                    match number {
                        3 => kind = field.number(),
                        40 => unknown = field.number(),
                        41 => begin = field.number(),
                        _ => {}
                    }
                }
            }
            3 => {
                while let Some((number, field)) = inner.next().map_err(|()| damaged(place))? {
                    match number {
                        2 => map = field.bytes().len(),
                        3 => leading_space = field.number() != 0,
                        4 => joins_spaces = field.number() != 0,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if pieces.is_empty() || kind != BYTE_PAIRS {
        let names = ["nothing", "a unigram vocabulary", "no pieces", "words", "characters"];
        let got = names.get(kind as usize).copied().unwrap_or("an unknown kind of vocabulary");
        return Err(Error::mismatch(path, got, "byte pairs of SentencePiece"));
    }
    if joins_spaces || map > 0 {
        let expected = "a vocabulary of unchanged text; convert it to a tokenizer.json with transformers";
        return Err(Error::mismatch(path, "a vocabulary that normalizes texts", expected));
    }
    let token = |number: u64| u32::try_from(number).ok().filter(|&token| (token as usize) < pieces.len());
    let (unknown, begin) = (token(unknown).unwrap_or(0), token(begin));
    Ok(ModelFile { vocabulary: SentencePiece::new(pieces, unknown), leading_space, begin })
}

fn piece(fields: &mut Fields<'_>) -> std::result::Result<Piece, ()> {
    let (mut text, mut score, mut kind) = (String::new(), 0.0, 1);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Bytes(bytes)) => text = String::from_utf8_lossy(bytes).into_owned(),
            (2, Field::Float(float)) => score = float,
            (3, Field::Number(number)) => kind = number,
            _ => {}
        }
    }
    let kind = match (kind, byte_of(text.as_bytes())) {
        (BYTE, Some(byte)) => PieceKind::Byte(byte),
        (UNKNOWN | CONTROL, _) => PieceKind::Control,
        (USER_DEFINED, _) => PieceKind::Whole,
        (UNUSED, _) => PieceKind::Unused,
        _ => PieceKind::Text,
    };
    let text = if kind == PieceKind::Control { text } else { text.replace('\u{2581}', " ") };
    Ok(Piece { text: text.into_bytes(), score, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
    }

    fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
        let score = [&[2 << 3 | 5][..], &score.to_le_bytes()].concat();
        field(1, &[field(1, text.as_bytes()), score, vec![3 << 3, kind]].concat())
    }

    fn file(kind: u8, joins_spaces: u8) -> Vec<u8> {
        let pieces = [piece("<unk>", 0.0, 2), piece("<s>", 0.0, 3), piece("\u{2581}", -3.0, 1)];
        let more =
            [piece("a", -2.0, 1), piece("\u{2581}a", -1.0, 1), piece("\n", 0.0, 4), piece("<0x41>", 0.0, 6)];
        let trained = field(2, &[3 << 3, kind, 0xC0, 0x02, 0]);
        let normalized = field(3, &[3 << 3, 1, 4 << 3, joins_spaces]);
        [pieces.concat(), more.concat(), trained, normalized].concat()
    }

    #[test]
    fn pieces_and_their_use_are_read_and_damage_is_named() {
        let path = Path::new("tokenizer.model");
        let read = parse(path, &file(2, 0)).unwrap();
        assert_eq!((read.leading_space, read.begin), (true, Some(1)));
        assert_eq!(read.vocabulary.encode("a a\nA", read.leading_space, false), [4, 4, 5, 2, 6]);
        let said = |bytes: &[u8]| parse(path, bytes).err().unwrap().to_string();
        assert!(said(&file(1, 0)).contains("unigram"));
        assert!(said(&file(2, 1)).contains("normalizes"));
        let whole = file(2, 0);
        for length in 0..whole.len() {
            let _ = parse(path, &whole[..length]);
        }
        assert!(said(&whole[..20]).contains("byte"), "{}", said(&whole[..20]));
    }
}
