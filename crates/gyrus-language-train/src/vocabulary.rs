//! Building the vocabulary of a corpus: its characters, or byte-level pairs (Sennrich et al. 2016, in GPT-2's form), both as
//! Hugging Face's `tokenizer.json`.

use std::collections::{BTreeSet, HashMap};

use tokenizers::decoders::fuse::Fuse;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _,
    Tokenizer as HuggingFace, Trainer as _,
};

use crate::{Corpus, Error, Result, TokenStream};

/// The token between documents.
pub const END_OF_TEXT: &str = "<|endoftext|>";
/// The most characters in a character vocabulary.
const MAXIMUM_CHARACTERS: usize = 1 << 16;
/// Words are counted in parts of this many bytes, which no word of a language has.
const LONGEST_WORD: usize = 128;
/// Long texts are tokenized in pieces of about this many bytes.
const PIECE: usize = 1 << 18;

/// The kind of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenizerKind {
    /// A character.
    Characters,
    /// Bytes that often occur together.
    BytePairs,
}

/// The vocabulary of a corpus.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    tokenizer: HuggingFace,
    /// The token of each character, in a character vocabulary.
    characters: Option<HashMap<char, u32>>,
    end_of_text: Option<u32>,
}

impl Vocabulary {
    /// Builds the vocabulary of a corpus: all of its characters, or `size` byte pairs. A corpus of several documents also gets a
    /// token that separates them.
    ///
    /// # Errors
    /// [`gyrus_language::Error::Request`] for a size that is too small, or too many different characters.
    pub fn train(corpus: &Corpus, kind: TokenizerKind, size: usize) -> Result<Self> {
        let several = corpus.documents.len() > 1;
        let mut tokenizer = match kind {
            TokenizerKind::Characters => characters(corpus, several)?,
            TokenizerKind::BytePairs => byte_pairs(corpus, size, several)?,
        };
        if several {
            tokenizer
                .add_special_tokens([AddedToken::from(END_OF_TEXT, true)])
                .map_err(|error| refused(&*error))?;
        }
        Self::of(tokenizer, kind)
    }

    /// Parses a vocabulary from its `tokenizer.json`.
    ///
    /// # Errors
    /// [`gyrus_language::Error::Request`] if the `tokenizers` library refuses it.
    pub fn from_json(json: &[u8], kind: TokenizerKind) -> Result<Self> {
        Self::of(HuggingFace::from_bytes(json).map_err(|error| refused(&*error))?, kind)
    }

    fn of(tokenizer: HuggingFace, kind: TokenizerKind) -> Result<Self> {
        let end_of_text = tokenizer.token_to_id(END_OF_TEXT);
        let characters = (kind == TokenizerKind::Characters).then(|| {
            let single = |(text, token): (String, u32)| {
                let mut letters = text.chars();
                letters.next().filter(|_| letters.next().is_none()).map(|letter| (letter, token))
            };
            tokenizer.get_vocab(false).into_iter().filter_map(single).collect()
        });
        Ok(Self { tokenizer, characters, end_of_text })
    }

    /// Number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The token between documents, if there are several.
    #[must_use]
    pub fn end_of_text(&self) -> Option<u32> {
        self.end_of_text
    }

    /// The content of `tokenizer.json`.
    ///
    /// # Errors
    /// [`gyrus_language::Error::Request`] if the `tokenizers` library fails.
    pub fn to_json(&self) -> Result<String> {
        self.tokenizer.to_string(true).map_err(|error| refused(&*error))
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &HuggingFace {
        &self.tokenizer
    }

    /// Tokenizes a corpus. With several documents, the separating token precedes each of them and follows the last.
    ///
    /// # Errors
    /// [`gyrus_language::Error::Request`] if the vocabulary cannot express a text.
    pub fn encode(&self, corpus: &Corpus) -> Result<TokenStream> {
        self.encode_watched(corpus, &mut |_| {})
    }

    /// [`Self::encode`]; `done` is told now and then how many bytes are tokenized.
    pub(crate) fn encode_watched(&self, corpus: &Corpus, done: &mut dyn FnMut(usize)) -> Result<TokenStream> {
        let mut tokens = Vec::new();
        let mut bytes = 0;
        for document in &corpus.documents {
            tokens.extend(self.end_of_text);
            match &self.characters {
                Some(characters) => {
                    for letter in document.chars() {
                        let token = characters.get(&letter).ok_or_else(|| {
                            let got = format!("the character {letter:?}");
                            Error::request("the corpus", got, "characters of the vocabulary")
                        })?;
                        tokens.push(*token);
                    }
                }
                None => {
                    for piece in pieces(document) {
                        let encoding =
                            self.tokenizer.encode_fast(piece, false).map_err(|error| refused(&*error))?;
                        tokens.extend_from_slice(encoding.get_ids());
                        bytes += piece.len();
                        done(bytes);
                    }
                }
            }
        }
        tokens.extend(self.end_of_text);
        Ok(TokenStream::new(tokens, self.end_of_text))
    }
}

fn refused(error: &(dyn std::error::Error + Send + Sync)) -> Error {
    Error::request("the vocabulary", error.to_string(), "one that the tokenizers library accepts")
}

/// Byte pairs without merges: each character is a token.
fn characters(corpus: &Corpus, several: bool) -> Result<HuggingFace> {
    let all: BTreeSet<char> = corpus.documents.iter().flat_map(|text| text.chars()).collect();
    if all.len() > MAXIMUM_CHARACTERS {
        let got = format!("{} different characters", all.len());
        let expected = format!("at most {MAXIMUM_CHARACTERS}; use byte pairs for such a corpus");
        return Err(Error::request("the corpus", got, expected));
    }
    // The separator gets the last number, like a token that is added later.
    let tokens = all.iter().map(|letter| letter.to_string()).chain(several.then(|| END_OF_TEXT.to_owned()));
    let vocabulary = tokens.zip(0..).collect::<Vec<(String, u32)>>();
    let model = BPE::builder()
        .vocab_and_merges(vocabulary.into_iter().collect::<tokenizers::models::bpe::Vocab>(), Vec::new());
    let mut tokenizer = HuggingFace::new(model.build().map_err(|error| refused(&*error))?);
    tokenizer.with_decoder(Some(Fuse::default()));
    Ok(tokenizer)
}

fn byte_pairs(corpus: &Corpus, size: usize, several: bool) -> Result<HuggingFace> {
    let alphabet = ByteLevel::alphabet();
    let smallest = alphabet.len() + usize::from(several);
    if size < smallest {
        return Err(Error::request(
            "the vocabulary",
            size.to_string(),
            format!("at least {smallest} tokens"),
        ));
    }
    let mut tokenizer = HuggingFace::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    let special = several.then(|| AddedToken::from(END_OF_TEXT, true));
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(size)
        .show_progress(false)
        .initial_alphabet(alphabet.into_iter().collect())
        .special_tokens(special.into_iter().collect())
        .build();
    let texts = corpus.documents.iter().flat_map(|text| pieces(text));
    trainer.feed(texts, words).map_err(|error| refused(&*error))?;
    let mut model = BPE::default();
    let special = trainer.train(&mut model).map_err(|error| refused(&*error))?;
    tokenizer.with_model(model);
    tokenizer.add_special_tokens(special).map_err(|error| refused(&*error))?;
    Ok(tokenizer)
}

/// The words of a text, as byte-level pairs count them. A text without blanks is one word of any length, in which each merge
/// would move everything behind it: words are counted in parts of [`LONGEST_WORD`].
fn words(text: &str) -> tokenizers::Result<Vec<String>> {
    let mut cut = PreTokenizedString::from(text);
    ByteLevel::new(false, true, true).pre_tokenize(&mut cut)?;
    let mut words = Vec::new();
    for (word, ..) in cut.get_splits(OffsetReferential::Original, OffsetType::Byte) {
        let mut rest = word;
        while let Some((place, _)) = rest.char_indices().nth(LONGEST_WORD) {
            words.push(rest[..place].to_owned());
            rest = &rest[place..];
        }
        words.push(rest.to_owned());
    }
    Ok(words)
}

/// Splits a long text into pieces that have the same tokens as the whole: after the end of a nonempty line that precedes a line
/// beginning with a letter or digit, where the pattern of byte-level pairs always splits. (It separates the last of several line
/// ends if a word follows, and none at the end of a text.)
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let bytes = rest.as_bytes();
        let cut = |&place: &usize| {
            bytes[place - 2].is_ascii_graphic()
                && bytes[place - 1] == b'\n'
                && bytes[place].is_ascii_alphanumeric()
        };
        let place = (PIECE..bytes.len()).find(cut).unwrap_or(bytes.len());
        let (piece, others) = rest.split_at(place);
        rest = others;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(documents: &[&str]) -> Corpus {
        let documents = documents.iter().map(|text| (*text).to_owned()).collect();
        Corpus { name: "test".into(), documents, fingerprint: String::new() }
    }

    fn ids(vocabulary: &Vocabulary, corpus: &Corpus) -> Vec<u32> {
        let stream = vocabulary.encode(corpus).unwrap();
        stream.random_batch(1, stream.len() - 1, 0, 0).tokens.to_vec()
    }

    #[test]
    fn characters_are_numbered_in_their_order_and_come_back() {
        let text = "ba \n\u{e4}b";
        let one = corpus(&[text]);
        let vocabulary = Vocabulary::train(&one, TokenizerKind::Characters, 0).unwrap();
        assert_eq!((vocabulary.len(), vocabulary.end_of_text()), (5, None));
        let again =
            Vocabulary::from_json(vocabulary.to_json().unwrap().as_bytes(), TokenizerKind::Characters)
                .unwrap();
        assert_eq!(ids(&again, &one), [3, 2, 1, 0, 4]);
        let tokens = vocabulary.tokenizer().encode(text, false).unwrap();
        assert_eq!(tokens.get_ids(), [3, 2, 1, 0, 4, 3]);
        assert_eq!(vocabulary.tokenizer().decode(tokens.get_ids(), true).unwrap(), text);
        assert!(vocabulary.encode(&corpus(&["c"])).unwrap_err().to_string().contains("'c'"));
    }

    #[test]
    fn documents_are_separated() {
        let two = corpus(&["ab", "b"]);
        for (kind, size) in [(TokenizerKind::Characters, 0), (TokenizerKind::BytePairs, 257)] {
            let vocabulary = Vocabulary::train(&two, kind, size).unwrap();
            let end = vocabulary.end_of_text().unwrap();
            let tokens = ids(&vocabulary, &two);
            assert_eq!(tokens.iter().filter(|&&token| token == end).count(), 2, "{tokens:?}");
            assert_eq!((tokens[0], tokens[3], tokens.len()), (end, end, 5));
        }
    }

    #[test]
    fn text_without_blanks_is_learned_in_parts() {
        let mut state = 1u64;
        let mut letter = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            ['A', 'C', 'G', 'T'][(state >> 62) as usize]
        };
        let dna: String = (0..1 << 20).map(|_| letter()).collect();
        let one = corpus(&[&dna]);
        // As one word, this would take hours.
        let vocabulary = Vocabulary::train(&one, TokenizerKind::BytePairs, 2048).unwrap();
        assert_eq!(vocabulary.len(), 2048);
        let tokens = vocabulary.encode(&one).unwrap().len();
        assert!(tokens < dna.len() / 4, "{tokens}");
    }

    #[test]
    fn pairs_come_back_and_pieces_change_no_token() {
        let line =
            "Speak, speak. \u{fffd} First Citizen:\n\nYou are all resolved rather to die than to famish?\nX";
        let text = line.repeat(9000);
        let long = corpus(&[&text]);
        let vocabulary = Vocabulary::train(&long, TokenizerKind::BytePairs, 400).unwrap();
        assert!(vocabulary.len() > 300 && vocabulary.len() <= 400);
        assert!(pieces(&text).count() > 2);
        assert_eq!(pieces(&text).collect::<String>(), text);
        let whole = vocabulary.tokenizer().encode_fast(&text[..], false).unwrap();
        let mut parts: Vec<u32> = Vec::new();
        for piece in pieces(&text) {
            parts.extend_from_slice(vocabulary.tokenizer().encode_fast(piece, false).unwrap().get_ids());
        }
        assert_eq!(parts, whole.get_ids());
        assert_eq!(vocabulary.tokenizer().decode(&parts, true).unwrap(), text);
        let mut usual = HuggingFace::new(BPE::default());
        usual.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        let trainer = BpeTrainerBuilder::new()
            .vocab_size(400)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let mut trainer = tokenizers::models::TrainerWrapper::from(trainer);
        usual.train(&mut trainer, [&text].into_iter()).unwrap();
        assert_eq!(usual.get_vocab(true), vocabulary.tokenizer().get_vocab(true));
        let few = Vocabulary::train(&long, TokenizerKind::BytePairs, 100).unwrap_err();
        assert!(few.to_string().contains("at least 256"), "{few}");
    }
}
