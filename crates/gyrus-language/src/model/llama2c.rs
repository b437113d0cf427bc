//! Models in the format of llama2.c (Karpathy 2023): a header of seven numbers, then 32-bit floats, and nothing else.
//!
//! ```text
//! i32: width, feed_forward, layers, heads, key_value_heads, vocabulary (negative: separate head), positions
//! f32: embedding, then each of these for all layers: attention norm, q, k, v, o, feed-forward norm, w1, w2, w3
//! f32: final norm, two tables of rotation angles that follow from the header (skipped), the head if separate
//! ```
//!
//! Queries and keys are rotated in interleaved pairs. The vocabulary is in a separate file; see [`tokenizer`].

use std::collections::BTreeMap;
use std::path::Path;

use gyrus_formats::{Bytes, Checkpoint, Format, Tensor};

use crate::config::Role;
use crate::tokenizer::sentencepiece::{Piece, SentencePiece};
use crate::{DecoderConfig, Error, Result};

/// The beginning of newer versions of the format ("ak42").
const NEWER: [u8; 4] = *b"24ka";
/// The most tokens, and the longest token, of a vocabulary.
const MAXIMUM_TOKENS: usize = 1 << 22;
const MAXIMUM_TOKEN_BYTES: usize = 1 << 12;

/// Reads a model; the weights stay in the mapped file.
///
/// # Errors
/// [`gyrus_formats::Error::Io`], or [`gyrus_formats::Error::Format`] if the header is invalid or does not match the length of
/// the file.
pub fn read(path: &Path) -> Result<(DecoderConfig, Checkpoint)> {
    parse(path, &Bytes::map(path)?)
}

/// [`read`] of bytes in memory; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, bytes: &Bytes) -> Result<(DecoderConfig, Checkpoint)> {
    let all = bytes.as_slice();
    let Some((header, _)) = all.split_first_chunk::<28>() else {
        return Err(Error::format(path, 0, format!("{} bytes", all.len()), "a header of 28 bytes"));
    };
    if header.starts_with(&NEWER) {
        let expected = "a model of version 0, which `export.py --version 0` writes";
        return Err(Error::format(path, 0, "a newer version of the llama2.c format", expected));
    }
    let number = |index: usize| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|byte| header[4 * index + byte]);
        i32::from_le_bytes([a, b, c, d])
    };
    let names =
        ["width", "feed-forward width", "layers", "heads", "key and value heads", "vocabulary", "positions"];
    let limits = [1 << 16, 1 << 20, 1 << 10, 1 << 12, 1 << 12, MAXIMUM_TOKENS as u32, 1 << 24];
    let mut numbers = [0usize; 7];
    for (index, to) in numbers.iter_mut().enumerate() {
        let value =
            if index == 5 { number(index).unsigned_abs() } else { number(index).try_into().unwrap_or(0) };
        if value == 0 || value > limits[index] {
            let got = format!("{} as {}", number(index), names[index]);
            return Err(Error::format(path, 4 * index as u64, got, format!("1 to {}", limits[index])));
        }
        *to = value as usize;
    }
    let [width, feed_forward, layers, heads, key_value_heads, vocabulary, positions] = numbers;
    if !width.is_multiple_of(heads)
        || !heads.is_multiple_of(key_value_heads)
        || !(width / heads).is_multiple_of(2)
    {
        let got = format!("width {width}, {heads} heads, {key_value_heads} key and value heads");
        let expected = "a width that is an even multiple of the heads, and heads that are one of those";
        return Err(Error::format(path, 12, got, expected));
    }
    let mut config =
        DecoderConfig::llama(vocabulary, width, layers, (heads, key_value_heads), feed_forward, 10_000.0);
    config.ropes[0].interleaved = true;
    config.maximum_positions = positions;
    config.tied = number(5) > 0;
    config.beginning_of_text = Some(1);
    config.end_of_text = vec![1, 2];

    let mut reader = Reader { path, bytes, offset: 28, tensors: BTreeMap::new() };
    reader.take(&config, Role::Embedding, false)?;
    use Role::{
        AttentionOutput, BeforeAttention, BeforeFeedForward, Down, FinalNormalization, Gate, Head, Key,
        Query, Up, Value,
    };
    for role in [BeforeAttention, Query, Key, Value, AttentionOutput, BeforeFeedForward, Gate, Down, Up] {
        reader.take(&config, role, true)?;
    }
    reader.take(&config, FinalNormalization, false)?;
    reader.offset += positions * (width / heads) * size_of::<f32>();
    reader.take(&config, Head, false)?;
    if reader.offset != all.len() {
        let got = format!("{} bytes", all.len());
        return Err(Error::format(
            path,
            reader.offset.min(all.len()) as u64,
            got,
            format!("{}", reader.offset),
        ));
    }
    Ok((config, Checkpoint::new(path, reader.tensors)))
}

struct Reader<'a> {
    path: &'a Path,
    bytes: &'a Bytes,
    offset: usize,
    tensors: BTreeMap<String, Tensor>,
}

impl Reader<'_> {
    /// Reads the next tensor, or the next of each layer; nothing if this decoder does not have it.
    fn take(&mut self, config: &DecoderConfig, role: Role, in_layers: bool) -> Result<()> {
        let layers = if in_layers { config.layers.len() } else { 1 };
        for layer in 0..layers {
            let Some(parameter) = config.parameter(role, in_layers.then_some(layer), false) else {
                return Ok(());
            };
            // The header's limits rule out an overflow.
            let end = self.offset + parameter.shape.iter().product::<usize>() * size_of::<f32>();
            let tensor = self.bytes.part(self.offset..end);
            let tensor = tensor.and_then(|bytes| Tensor::new(Format::F32, parameter.shape, bytes));
            let Some(tensor) = tensor else {
                let (length, at) = (self.bytes.as_slice().len(), self.offset);
                let expected = format!("'{}' up to byte {end}", parameter.name);
                return Err(Error::format(self.path, at as u64, format!("the end at {length}"), expected));
            };
            self.tensors.insert(parameter.name, tensor);
            self.offset = end;
        }
        Ok(())
    }
}

/// Reads llama2.c's `tokenizer.bin`: the longest token's length, then score, length and bytes of each token.
///
/// # Errors
/// [`gyrus_formats::Error::Io`], or [`gyrus_formats::Error::Format`] if the file ends early, has extra bytes, or a token that is
/// too long.
pub fn tokenizer(path: &Path, tokens: usize) -> Result<SentencePiece> {
    let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
    parse_tokenizer(path, &bytes, tokens)
}

/// [`tokenizer`] of bytes in memory; `path` is for messages.
///
/// # Errors
/// As [`tokenizer`].
pub fn parse_tokenizer(path: &Path, bytes: &[u8], tokens: usize) -> Result<SentencePiece> {
    let end = |offset: usize, what: &str| {
        Error::format(path, offset as u64, format!("the end at {}", bytes.len()), what)
    };
    let at = |offset: usize| bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>());
    at(0).ok_or_else(|| end(0, "the length of the longest token"))?;
    let mut offset = 4;
    // A token takes at least eight bytes.
    let mut pieces = Vec::with_capacity(tokens.min(bytes.len() / 8));
    for token in 0..tokens {
        let score = at(offset).ok_or_else(|| end(offset, &format!("the score of token {token}")))?;
        let length =
            at(offset + 4).ok_or_else(|| end(offset + 4, &format!("the length of token {token}")))?;
        let length = i32::from_le_bytes(*length);
        let size = usize::try_from(length).ok().filter(|&size| size <= MAXIMUM_TOKEN_BYTES);
        let Some(size) = size else {
            let expected = format!("a token of at most {MAXIMUM_TOKEN_BYTES} bytes");
            return Err(Error::format(path, offset as u64 + 4, format!("the length {length}"), expected));
        };
        offset += 8;
        let text = bytes.get(offset..offset + size);
        let text = text.ok_or_else(|| end(offset, &format!("{size} bytes of token {token}")))?;
        pieces.push(Piece::of_llama2c(token, text, f32::from_le_bytes(*score)));
        offset += size;
    }
    if offset != bytes.len() {
        let got = format!("{} more bytes", bytes.len() - offset);
        return Err(Error::format(path, offset as u64, got, format!("the end after {tokens} tokens")));
    }
    Ok(SentencePiece::new(pieces, 0))
}
