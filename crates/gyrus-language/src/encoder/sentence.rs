//! Sentence embeddings (Reimers and Gurevych 2019): an encoder's token vectors pooled to one vector per text, so that texts
//! with similar meaning are close together.
//!
//! Folders are those of the `sentence-transformers` package: `modules.json` lists what follows the encoder. Without it, the
//! mean is used, as in the package. Other modules are refused, because they would change the result.

use std::path::{Path, PathBuf};

use gyrus_formats::safetensors;
use rayon::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokenizers::{TruncationParams, TruncationStrategy};

use super::{Encoder, EncoderConfig, EncoderMemory};
use crate::small::read_small;
use crate::{Error, Result};

/// The most tokens that go through the encoder together: enough to keep the kernels busy, few enough for the L2 cache.
const TOKENS: usize = 256;

/// How token vectors become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentencePooling {
    /// The first token's vector.
    First,
    /// Their mean.
    Mean,
    /// The maximum of each element.
    Maximum,
    /// Their sum over the square root of their number.
    MeanSquareRoot,
}

/// A sentence encoder with its tokenizer.
#[derive(Debug)]
pub struct SentenceEncoder {
    encoder: Encoder,
    tokenizer: tokenizers::Tokenizer,
    /// A prefix for each text.
    prompt: String,
    lower_case: bool,
    pooling: Vec<SentencePooling>,
    normalized: bool,
    longest_text: usize,
}

#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TransformerFields {
    max_seq_length: Option<usize>,
    do_lower_case: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Modes {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct PoolingFields {
    pooling_mode: Option<Modes>,
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PackageFields {
    prompts: std::collections::BTreeMap<String, String>,
    default_prompt_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenizerFields {
    model_max_length: Option<f64>,
}

#[derive(Deserialize)]
struct KindField {
    model_type: Option<String>,
}

/// Reads a JSON file.
fn read<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T> {
    let text = read_small(path)?;
    serde_json::from_slice(&text).map_err(|error| Error::mismatch(path, error.to_string(), what))
}

/// Reads an optional JSON file.
fn read_if_there<T: DeserializeOwned + Default>(path: &Path, what: &str) -> Result<T> {
    if path.exists() { read(path, what) } else { Ok(T::default()) }
}

impl SentenceEncoder {
    /// Reads a folder written by `sentence-transformers` or `transformers`.
    ///
    /// # Errors
    /// [`Error::Formats`] if something is missing, damaged or unsupported.
    pub fn open(folder: &Path) -> Result<Self> {
        let modules_path = folder.join("modules.json");
        let modules: Vec<Module> = match modules_path.exists() {
            true => read(&modules_path, "a list of modules")?,
            false => Vec::new(),
        };
        let mut transformer = folder.to_owned();
        let (mut pooling, mut normalized) = (None, false);
        for (index, module) in modules.iter().enumerate() {
            let field = format!("{index}.type");
            let place = inside(folder, &module.path).ok_or_else(|| {
                Error::field(&modules_path, format!("{index}.path"), &module.path, "a folder in this one")
            })?;
            match (index, module.kind.rsplit('.').next().unwrap_or("")) {
                (0, "Transformer") => transformer = place,
                (1, "Pooling") => pooling = Some(read_pooling(&place.join("config.json"))?),
                (2.., "Normalize") => normalized = true,
                (0, _) => return Err(Error::field(&modules_path, field, &module.kind, "a Transformer")),
                (1, _) => return Err(Error::field(&modules_path, field, &module.kind, "a Pooling")),
                _ => return Err(Error::field(&modules_path, field, &module.kind, "a Normalize, or nothing")),
            }
        }
        let config = EncoderConfig::from_hugging_face(&transformer.join("config.json"))?;
        let encoder = Encoder::new(config, safetensors::read_folder(&transformer)?)?;
        let fields: TransformerFields =
            read_if_there(&transformer.join("sentence_bert_config.json"), "settings of the encoder")?;
        let package: PackageFields =
            read_if_there(&folder.join("config_sentence_transformers.json"), "settings of the package")?;
        let own: TokenizerFields =
            read_if_there(&transformer.join("tokenizer_config.json"), "settings of the tokenizer")?;
        let path = transformer.join("tokenizer.json");
        let bytes = read_small(&path)?;
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| Error::mismatch(&path, error.to_string(), "a tokenizer.json"))?;
        let own =
            own.model_max_length.filter(|length| *length >= 1.0).map_or(usize::MAX, |length| length as usize);
        let longest_text = fields.max_seq_length.unwrap_or(own).clamp(1, encoder.config().longest_text());
        let truncation = TruncationParams {
            max_length: longest_text,
            strategy: TruncationStrategy::LongestFirst,
            ..TruncationParams::default()
        };
        tokenizer.with_truncation(Some(truncation)).map_err(|error| {
            Error::mismatch(&path, error.to_string(), "a tokenizer that can truncate texts")
        })?;
        tokenizer.with_padding(None);
        let prompt = match &package.default_prompt_name {
            Some(name) => package.prompts.get(name).cloned().ok_or_else(|| {
                let path = folder.join("config_sentence_transformers.json");
                Error::field(&path, "default_prompt_name", name, "the name of one of the prompts")
            })?,
            None => String::new(),
        };
        Ok(Self {
            encoder,
            tokenizer,
            prompt,
            lower_case: fields.do_lower_case,
            pooling: pooling.unwrap_or_else(|| vec![SentencePooling::Mean]),
            normalized,
            longest_text,
        })
    }

    /// Whether a folder contains an encoder rather than a decoder.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Mismatch`] if `config.json` is not valid JSON.
    pub fn is_in(folder: &Path) -> Result<bool> {
        let config = folder.join("config.json");
        if !config.is_file() {
            return Ok(folder.join("modules.json").is_file());
        }
        let kind: KindField = read(&config, "the config.json of a model")?;
        Ok(kind.model_type.is_some_and(|kind| EncoderConfig::knows(&kind)))
    }

    /// Size of the vocabulary.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.encoder.config().vocabulary
    }

    /// Width of an embedding.
    #[must_use]
    pub fn width(&self) -> usize {
        self.encoder.config().width * self.pooling.len()
    }

    /// The number of parameters.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.encoder.parameter_count()
    }

    /// The most tokens of a text that are used; the rest is truncated.
    #[must_use]
    pub fn longest_text(&self) -> usize {
        self.longest_text
    }

    /// The tokens of a text, as the encoder receives them.
    ///
    /// # Errors
    /// [`Error::Request`] if the vocabulary cannot express the text.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.encoding(text)?.get_ids().to_vec())
    }

    /// All tokens of a text, their texts, and which are special tokens.
    ///
    /// # Errors
    /// [`Error::Request`] if the vocabulary cannot express the text, or if it would be truncated.
    pub(crate) fn whole_text(&self, text: &str) -> Result<(Vec<u32>, Vec<String>, Vec<bool>)> {
        let encoding = self.encoding(text)?;
        if !encoding.get_overflowing().is_empty() {
            let expected = format!("at most the {} that this encoder reads", self.longest_text);
            return Err(Error::request("tokens of the text", "more", expected));
        }
        let special = encoding.get_special_tokens_mask().iter().map(|&special| special == 1).collect();
        // The fast encoding does not return the texts of tokens.
        let text = |&token: &u32| self.tokenizer.id_to_token(token).unwrap_or_else(|| format!("<{token}>"));
        Ok((encoding.get_ids().to_vec(), encoding.get_ids().iter().map(text).collect(), special))
    }

    fn encoding(&self, text: &str) -> Result<tokenizers::Encoding> {
        let mut text = format!("{}{text}", self.prompt);
        if self.lower_case {
            text = text.to_lowercase();
        }
        self.tokenizer
            .encode_fast(text, true)
            .map_err(|error| Error::request("text", error.to_string(), "a text of this vocabulary"))
    }

    pub(crate) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The embedding of each text, `[texts, width]`. Its bits do not depend on the number of threads.
    ///
    /// # Errors
    /// As [`Self::tokens`] and [`Encoder::run`].
    pub fn embed<Text: AsRef<str> + Sync>(&self, texts: &[Text]) -> Result<Vec<f32>> {
        let tokens: Vec<Vec<u32>> =
            texts.par_iter().map(|text| self.tokens(text.as_ref())).collect::<Result<_>>()?;
        self.embed_tokens(&tokens)
    }

    /// [`Self::embed`] for texts that are tokens already, special tokens included.
    ///
    /// # Errors
    /// As [`Encoder::run`].
    pub fn embed_tokens(&self, tokens: &[Vec<u32>]) -> Result<Vec<f32>> {
        // Groups depend on the lengths alone.
        let mut groups: Vec<&[Vec<u32>]> = Vec::new();
        let mut rest = tokens;
        while !rest.is_empty() {
            let mut sum = 0;
            let fits = |text: &&Vec<u32>| {
                sum += text.len();
                sum <= TOKENS
            };
            let (group, others) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            groups.push(group);
            rest = others;
        }
        let parts: Vec<Vec<f32>> = groups
            .par_iter()
            .with_max_len(1)
            .map_init(EncoderMemory::default, |memory, group| self.embed_group(group, memory))
            .collect::<Result<_>>()?;
        Ok(parts.concat())
    }

    fn embed_group(&self, group: &[Vec<u32>], memory: &mut EncoderMemory) -> Result<Vec<f32>> {
        let texts: Vec<&[u32]> = group.iter().map(Vec::as_slice).collect();
        let hidden = self.encoder.run(&texts, memory)?;
        let width = self.encoder.config().width;
        let mut embeddings = Vec::with_capacity(group.len() * self.width());
        let mut first = 0;
        for text in texts {
            let rows = &hidden[first * width..][..text.len() * width];
            first += text.len();
            let start = embeddings.len();
            for pooling in &self.pooling {
                pooling.pool(rows, width, &mut embeddings);
            }
            if self.normalized {
                let embedding = &mut embeddings[start..];
                let length = embedding.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
                embedding.iter_mut().for_each(|x| *x /= length);
            }
        }
        Ok(embeddings)
    }
}

impl SentencePooling {
    /// Appends the pooled vector of `rows`, `[tokens, width]`.
    fn pool(self, rows: &[f32], width: usize, to: &mut Vec<f32>) {
        let start = to.len();
        to.resize(start + width, 0.0);
        let to = &mut to[start..];
        let tokens = rows.len() / width;
        match self {
            Self::First => to.copy_from_slice(rows.get(..width).unwrap_or(&vec![0.0; width])),
            Self::Maximum => {
                to.fill(f32::NEG_INFINITY);
                for row in rows.chunks_exact(width) {
                    to.iter_mut().zip(row).for_each(|(to, x)| *to = to.max(*x));
                }
            }
            Self::Mean | Self::MeanSquareRoot => {
                for row in rows.chunks_exact(width) {
                    to.iter_mut().zip(row).for_each(|(to, x)| *to += x);
                }
                let count = tokens.max(1) as f32;
                let divisor = if self == Self::Mean { count } else { count.sqrt() };
                to.iter_mut().for_each(|to| *to /= divisor);
            }
        }
    }
}

/// A folder inside `folder`, or `folder` itself.
fn inside(folder: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path);
    let plain = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    plain.then(|| folder.join(relative))
}

fn read_pooling(path: &Path) -> Result<Vec<SentencePooling>> {
    let fields: PoolingFields = read(path, "settings of a pooling")?;
    let names: Vec<String> = match fields.pooling_mode {
        Some(Modes::One(name)) => vec![name],
        Some(Modes::Several(names)) => names,
        None => {
            let old = [
                ("cls", fields.pooling_mode_cls_token),
                ("max", fields.pooling_mode_max_tokens),
                ("mean", fields.pooling_mode_mean_tokens),
                ("mean_sqrt_len_tokens", fields.pooling_mode_mean_sqrt_len_tokens),
                ("weightedmean", fields.pooling_mode_weightedmean_tokens),
                ("lasttoken", fields.pooling_mode_lasttoken),
            ];
            old.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()).collect()
        }
    };
    let names = if names.is_empty() { vec!["mean".to_owned()] } else { names };
    let mode = |name: &String| match name.as_str() {
        "cls" => Ok(SentencePooling::First),
        "mean" => Ok(SentencePooling::Mean),
        "max" => Ok(SentencePooling::Maximum),
        "mean_sqrt_len_tokens" => Ok(SentencePooling::MeanSquareRoot),
        other => Err(Error::field(
            path,
            "pooling_mode",
            format!("\"{other}\""),
            "\"cls\", \"mean\", \"max\" or \"mean_sqrt_len_tokens\"",
        )),
    };
    names.iter().map(mode).collect()
}
