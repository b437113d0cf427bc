//! The tokens of texts.

use std::path::PathBuf;

use gyrus_language::{Adapter, Tokenizer};
use gyrus_language_train::Corpus;
use serde::Serialize;

use super::model::resolve_model;
use super::serialized;
use crate::{Error, Result};

/// The most bytes of a file of texts.
const MAXIMUM_BYTES: u64 = 1 << 30;

/// Cuts texts into a model's tokens. The weights are not read.
#[derive(Clone, Debug)]
pub struct Tokenize {
    /// A folder or file, a Hugging Face id, or a `tokenizer.json`.
    pub model: PathBuf,
    /// The texts.
    pub texts: Vec<String>,
    /// Add the tokens that the model expects around a text, such as the beginning of text.
    pub special: bool,
    /// Say what each token adds to the text, too.
    pub pieces: bool,
}

/// The tokens of each text.
#[derive(Clone, Debug, Serialize)]
pub struct TokenizeReport {
    /// The model as it was asked for.
    #[serde(serialize_with = "serialized::path")]
    pub model: PathBuf,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// One for each text, in their order.
    pub texts: Vec<TokenizedText>,
}

/// A text as tokens.
#[derive(Clone, Debug, Serialize)]
pub struct TokenizedText {
    /// Number of tokens.
    pub count: usize,
    /// Characters of the text.
    pub characters: usize,
    /// Numbers of the tokens.
    pub ids: Vec<u32>,
    /// What each of them adds to the text, unless only numbers were asked for; bytes of incomplete characters as `<0xE4>`.
    pub pieces: Vec<String>,
}

impl Tokenize {
    /// With this model's tokenizer, without special tokens around the texts.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self { model: model.into(), texts: Vec::new(), special: false, pieces: true }
    }

    /// This text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.texts.push(text.into());
        self
    }

    /// The texts in a file: the whole file, or each record of a .jsonl or .json file.
    ///
    /// # Errors
    /// If the file cannot be read, or a record has no text.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let text = gyrus_files::read_text(&path, MAXIMUM_BYTES)?;
        match Corpus::holds_records(&path) {
            true => self.texts.extend(Corpus::records(&path, &text)?.into_iter().map(|(_, text)| text)),
            false => self.texts.push(text),
        }
        Ok(self)
    }

    /// Tokenizes.
    ///
    /// # Errors
    /// If there is no such model, or its vocabulary cannot express a text.
    pub fn run(&self) -> Result<TokenizeReport> {
        let tokenizer = self.open()?;
        let vocabulary = if self.pieces { tokenizer.pieces() } else { Vec::new() };
        let text = |text: &String| {
            let ids = tokenizer.encode(text, self.special)?;
            let piece = |&id: &u32| vocabulary.get(id as usize).cloned();
            let pieces = ids.iter().filter_map(piece).collect();
            Ok(TokenizedText { count: ids.len(), characters: text.chars().count(), ids, pieces })
        };
        let texts = self.texts.iter().map(text).collect::<Result<_>>()?;
        Ok(TokenizeReport { model: self.model.clone(), vocabulary: tokenizer.tokens(), texts })
    }

    /// The tokenizer of the model; of the model that an adapter names.
    fn open(&self) -> Result<Tokenizer> {
        let place = resolve_model(&self.model)?;
        if !place.exists() {
            return Err(Error::Request(format!("{} does not exist", place.display())));
        }
        if Adapter::is_at(&place) && !place.join("tokenizer.json").is_file() {
            let base = Adapter::open(&place)?.config.base;
            let base = base.ok_or_else(|| {
                Error::Request(format!("{} does not name its base model: give that instead", place.display()))
            })?;
            return Ok(Tokenizer::open(&resolve_model(base.as_ref())?)?);
        }
        Ok(Tokenizer::open(&place)?)
    }
}
