//! SentencePiece's byte-pair tokens (Kudo and Richardson 2018), used by Llama 2, Gemma 1 and llama2.c.
//!
//! A text is split into characters (or bytes, for characters without a token). Then the adjacent pair that forms the token
//! with the highest score is merged, the leftmost of equals first, until no pair is left. A heap of candidates makes this
//! `O(n log n)`.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// Text that results from merging.
    Text,
    /// A single byte, for characters without a token.
    Byte(u8),
    /// A special token, which is not text.
    Control,
    /// Text that is always a single token (user-defined).
    Whole,
    /// A row of the embedding that stands for no text.
    Unused,
}

/// One token of the vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Its text, with plain spaces.
    pub text: Vec<u8>,
    /// Higher scores are merged first.
    pub score: f32,
    /// Its kind.
    pub kind: PieceKind,
}

impl Piece {
    /// Its exact text; special tokens without the line ends that llama2.c puts around them.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        if self.kind == PieceKind::Control { self.text.trim_ascii() } else { &self.text }
    }

    /// A token of llama2.c's file, where the kind follows from index and text.
    pub(crate) fn of_llama2c(token: usize, text: &[u8], score: f32) -> Self {
        let kind = match (token, byte_of(text)) {
            (0..=2, _) => PieceKind::Control,
            (_, Some(byte)) => PieceKind::Byte(byte),
            _ => PieceKind::Text,
        };
        Self { text: text.to_vec(), score, kind }
    }
}

/// The byte that a text such as `<0x0A>` stands for.
pub(crate) fn byte_of(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 2)?;
    u8::from_str_radix(digits, 16).ok()
}

/// A vocabulary that encodes and decodes text.
#[derive(Clone, Debug)]
pub struct SentencePiece {
    pieces: Vec<Piece>,
    by_text: HashMap<Vec<u8>, u32>,
    bytes: [Option<u32>; 256],
    /// User-defined and special tokens by their first byte, longest first.
    whole: HashMap<u8, Vec<(Vec<u8>, u32)>>,
    /// Tokens that take the white space behind them with them.
    strips: HashSet<u32>,
    unknown: u32,
}

/// An adjacent pair that could be merged.
#[derive(PartialEq)]
struct Candidate {
    score: f32,
    left: usize,
    right: usize,
    /// Length of both in bytes: differs if one of them was merged in the meantime.
    length: usize,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A part of the text that may become a token.
struct Symbol {
    start: usize,
    length: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

impl SentencePiece {
    /// The vocabulary of these tokens; `unknown` replaces what no token can express.
    #[must_use]
    pub fn new(pieces: Vec<Piece>, unknown: u32) -> Self {
        let (mut by_text, mut bytes, mut whole) = (HashMap::new(), [None; 256], HashMap::new());
        for (token, piece) in (0..).zip(&pieces) {
            match piece.kind {
                PieceKind::Text => {
                    by_text.entry(piece.text.clone()).or_insert(token);
                }
                PieceKind::Byte(byte) => bytes[usize::from(byte)] = Some(token),
                PieceKind::Unused => {}
                PieceKind::Whole | PieceKind::Control => {
                    let text = piece.name();
                    if let Some(&byte) = text.first() {
                        let list: &mut Vec<(Vec<u8>, u32)> = whole.entry(byte).or_default();
                        list.push((text.to_vec(), token));
                    }
                }
            }
        }
        whole.values_mut().for_each(|list| list.sort_by_key(|(text, _)| std::cmp::Reverse(text.len())));
        Self { pieces, by_text, bytes, whole, strips: HashSet::new(), unknown }
    }

    /// Lets these user-defined or special tokens take the white space behind them with them.
    #[must_use]
    pub fn stripping(self, tokens: impl IntoIterator<Item = u32>) -> Self {
        Self { strips: tokens.into_iter().collect(), ..self }
    }

    /// Whether a token takes the white space behind it with it.
    #[must_use]
    pub fn strips(&self, token: u32) -> bool {
        self.strips.contains(&token)
    }

    /// The tokens of the vocabulary.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The tokens of a text. `leading_space` adds a space before it and after each user-defined or special token, as
    /// llama.cpp does and `transformers` for such vocabularies; `special` turns the names of special tokens into tokens, as in
    /// the output of a chat template.
    #[must_use]
    pub fn encode(&self, text: &str, leading_space: bool, special: bool) -> Vec<u32> {
        let mut tokens = Vec::new();
        let mut rest = text.as_bytes();
        let mut space = leading_space;
        while !rest.is_empty() {
            let (chunk, whole, after) = self.next_whole(rest, special);
            if !chunk.is_empty() {
                // SentencePiece's symbol for a space counts as one in texts as well.
                let chunk = String::from_utf8_lossy(chunk).replace('\u{2581}', " ");
                let chunk = if space { format!(" {chunk}") } else { chunk };
                self.encode_chunk(chunk.as_bytes(), &mut tokens);
            }
            (rest, space) = (after, leading_space);
            if let Some(token) = whole {
                tokens.push(token);
                if self.strips(token) {
                    rest = rest.trim_ascii_start();
                }
            }
        }
        tokens
    }

    /// The text before the next user-defined or special token, that token, and the text after it.
    fn next_whole<'a>(&self, text: &'a [u8], special: bool) -> (&'a [u8], Option<u32>, &'a [u8]) {
        if !self.whole.is_empty() {
            for start in 0..text.len() {
                let list = self.whole.get(&text[start]);
                let is_special = |token: u32| self.pieces[token as usize].kind == PieceKind::Control;
                let found = list.into_iter().flatten().find(|(whole, token)| {
                    text[start..].starts_with(whole) && (special || !is_special(*token))
                });
                if let Some((whole, token)) = found {
                    return (&text[..start], Some(*token), &text[start + whole.len()..]);
                }
            }
        }
        (text, None, &[])
    }

    fn encode_chunk(&self, text: &[u8], tokens: &mut Vec<u32>) {
        let mut symbols: Vec<Symbol> = Vec::new();
        let mut start = 0;
        while start < text.len() {
            // Continuation bytes of UTF-8 begin with the bits 10.
            let more = text[start + 1..].iter().take_while(|&&byte| byte & 0xC0 == 0x80).count();
            let index = symbols.len();
            symbols.push(Symbol {
                start,
                length: 1 + more,
                previous: index.checked_sub(1),
                next: Some(index + 1),
            });
            start += 1 + more;
        }
        if let Some(last) = symbols.last_mut() {
            last.next = None;
        }
        let mut candidates = BinaryHeap::new();
        let propose =
            |symbols: &[Symbol], left: usize, right: usize, candidates: &mut BinaryHeap<Candidate>| {
                let length = symbols[left].length + symbols[right].length;
                if let Some(&token) = self.by_text.get(&text[symbols[left].start..][..length]) {
                    let score = self.pieces[token as usize].score;
                    candidates.push(Candidate { score, left, right, length });
                }
            };
        for left in 1..symbols.len() {
            propose(&symbols, left - 1, left, &mut candidates);
        }
        while let Some(Candidate { left, right, length, .. }) = candidates.pop() {
            let current = symbols[left].length > 0
                && symbols[right].length > 0
                && symbols[left].next == Some(right)
                && symbols[left].length + symbols[right].length == length;
            if !current {
                continue;
            }
            symbols[left].length = length;
            symbols[right].length = 0;
            symbols[left].next = symbols[right].next;
            if let Some(next) = symbols[left].next {
                symbols[next].previous = Some(left);
                propose(&symbols, left, next, &mut candidates);
            }
            if let Some(previous) = symbols[left].previous {
                propose(&symbols, previous, left, &mut candidates);
            }
        }
        for symbol in symbols.iter().filter(|symbol| symbol.length > 0) {
            let chunk = &text[symbol.start..][..symbol.length];
            match self.by_text.get(chunk) {
                Some(&token) => tokens.push(token),
                None => tokens
                    .extend(chunk.iter().map(|&byte| self.bytes[usize::from(byte)].unwrap_or(self.unknown))),
            }
        }
    }

    /// The bytes that a token stands for; none for special tokens.
    #[must_use]
    pub fn bytes(&self, token: u32) -> &[u8] {
        match self.pieces.get(token as usize) {
            Some(Piece { kind: PieceKind::Byte(byte), .. }) => std::slice::from_ref(byte),
            Some(Piece { kind: PieceKind::Text | PieceKind::Whole, text, .. }) => text,
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> SentencePiece {
        let text = |text: &str, score| Piece { text: text.into(), score, kind: PieceKind::Text };
        let mut pieces = vec![Piece { text: b"<unk>".to_vec(), score: 0.0, kind: PieceKind::Control }];
        pieces.extend((0..=255).map(|byte| Piece { text: vec![], score: 0.0, kind: PieceKind::Byte(byte) }));
        for (piece, score) in
            [(" ", -9.0), ("a", -9.0), ("b", -9.0), ("ab", -1.0), (" a", -2.0), ("aba", -3.0)]
        {
            pieces.push(text(piece, score));
        }
        pieces.push(Piece { text: b"<end>".to_vec(), score: 0.0, kind: PieceKind::Whole });
        SentencePiece::new(pieces, 0)
    }

    #[test]
    fn the_highest_score_is_joined_first_and_what_is_unknown_becomes_bytes() {
        let vocabulary = vocabulary();
        // " ab": "ab" (-1) goes before " a" (-2). "aba": then "ab" + "a".
        assert_eq!(vocabulary.encode("ab", true, false), [257, 260]);
        assert_eq!(vocabulary.encode("aba", false, false), [262]);
        assert_eq!(vocabulary.encode("ababa", false, false), [260, 262]);
        assert_eq!(vocabulary.encode("é", false, false), [1 + 0xC3, 1 + 0xA9]);
        assert_eq!(vocabulary.encode("a<end>a", false, false), [258, 263, 258]);
        assert_eq!(vocabulary.encode("", true, false), [0u32; 0]);
        assert_eq!(vocabulary.encode("<unk>a", false, true), [0, 258]);
        assert_eq!(vocabulary.encode("<unk>a", false, false).len(), 6);
        assert_eq!(vocabulary.bytes(1 + 0xC3), [0xC3]);
        assert_eq!(vocabulary.bytes(0), b"");
        assert_eq!(vocabulary.bytes(9999), b"");
    }

    #[test]
    fn user_defined_tokens_of_white_space_are_whole_and_some_tokens_take_it_with_them() {
        let piece = |text: &str, kind| Piece { text: text.into(), score: -1.0, kind };
        let mut pieces = vec![piece("<unk>", PieceKind::Control)];
        pieces.extend(["\n", "\n\n", "  ", " <tool>"].map(|text| piece(text, PieceKind::Whole)));
        pieces
            .extend([" ", "a", "b", "<", ">", "t", "o", "l", "\n"].map(|text| piece(text, PieceKind::Text)));
        pieces.push(piece("<end>", PieceKind::Control));
        let vocabulary = SentencePiece::new(pieces, 0);
        assert_eq!(vocabulary.encode("a\nb", false, false), [6, 1, 7]);
        assert_eq!(vocabulary.encode("a\n\n\nb", false, false), [6, 2, 1, 7]);
        assert_eq!(vocabulary.encode("a   b", false, false), [6, 3, 5, 7]);
        assert_eq!(vocabulary.encode("a\u{2581}\u{2581} b", false, false), [6, 5, 5, 5, 7]);
        assert_eq!(vocabulary.encode("<tool>a", false, false), [8, 10, 11, 11, 12, 9, 6]);
        assert_eq!(vocabulary.encode("a <tool>a", false, false), [6, 4, 6]);
        assert_eq!(vocabulary.encode("a\nb", true, false), [5, 6, 1, 5, 7]);
        assert_eq!(vocabulary.bytes(4), b" <tool>");
        let stripping = vocabulary.stripping([14]);
        assert_eq!(stripping.encode("<end>\n a", false, true), [14, 6]);
    }

    #[test]
    fn long_texts_take_no_quadratic_time() {
        let text = "ab".repeat(200_000);
        // Quadratic, this would take hours.
        assert_eq!(vocabulary().encode(&text, false, false).len(), 200_000);
    }
}
