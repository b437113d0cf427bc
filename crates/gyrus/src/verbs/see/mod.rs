//! What happens inside a language model while it reads a text, and what the layers of a network have learned; each as a page.

mod network;
mod page;

use std::path::{Path, PathBuf};

use gyrus_files::write_atomically;
use gyrus_language::inspection::{Candidate, Inspection, LensCell, Predictions};
use gyrus_language::{Model, SentenceEncoder};
use gyrus_tensor::with_threads;
use serde::Serialize;

use super::model::resolve_model;
use super::serialized;
use crate::{Error, Result};

pub use network::{
    SeeNetwork, SeeNetworkReport, SeenAttention, SeenBeside, SeenDecision, SeenEdges, SeenLayer,
};

/// Heads named per pattern.
const HEADS: usize = 3;
/// Smallest share of attention that counts as a pattern.
const HABIT: f64 = 0.2;

/// Shows what happens inside a language model while it reads a text: surprisal, predictions, attention maps, logit lens.
#[derive(Clone, Debug)]
pub struct See {
    /// A folder or file, or a Hugging Face id; a sentence encoder of the BERT family shows its attention maps.
    pub model: PathBuf,
    /// The text to read: at most 512 tokens, fewer for models of more than 128 heads.
    pub text: String,
    /// The page to write; a file of this name is replaced.
    pub out: PathBuf,
    /// How many of the most likely next tokens to keep at each position.
    pub top: usize,
    /// Worker threads; 0 for one per core. Results do not depend on it.
    pub threads: usize,
}

/// What was seen.
#[derive(Clone, Debug, Serialize)]
pub struct SeeReport {
    /// The model as it was asked for.
    #[serde(serialize_with = "serialized::path")]
    pub model: PathBuf,
    /// The text that it read.
    pub text: String,
    /// Layers of the model.
    pub layers: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Of the text; `None` for an encoder, and for a single token.
    pub perplexity: Option<f64>,
    /// Of the text's tokens after the first.
    pub mean_surprisal_bits: Option<f64>,
    /// The text's tokens, with what the model's vocabulary puts around them.
    pub tokens: Vec<SeenToken>,
    /// For each pattern by name, how well each head follows it: `[layers][heads]`.
    #[serde(serialize_with = "serialized::map")]
    pub attention_to: Vec<(String, Vec<Vec<f64>>)>,
    /// The page.
    #[serde(rename = "report", serialize_with = "serialized::path")]
    pub page: PathBuf,
    /// Everything that was seen: attention maps, residual streams.
    #[serde(skip)]
    pub look: Inspection,
}

/// A token of the text.
#[derive(Clone, Debug, Serialize)]
pub struct SeenToken {
    /// Its number.
    pub token: u32,
    /// How it is written.
    pub text: String,
    /// What a decoder expected; an encoder expects nothing.
    #[serde(flatten)]
    pub expectation: Option<Expectation>,
}

/// What a decoder expects at a token.
#[derive(Clone, Debug, Serialize)]
pub struct Expectation {
    /// How surprising the token was after those before it; `None` for the first, as the next two.
    pub surprisal_bits: Option<f64>,
    /// How probable it was.
    pub probability: Option<f64>,
    /// Its place among all tokens by probability, from 1.
    pub rank: Option<usize>,
    /// What the model expects after it, the most probable first.
    pub next: Vec<ExpectedToken>,
    /// After how many layers the logit lens shows the model's answer and keeps to it; 0 is the embedding.
    pub lens_settles_after_layers: usize,
    /// The logit lens: `[layers + 1]`.
    pub lens: Vec<LensLayer>,
}

/// A token and how probable it is.
#[derive(Clone, Debug, Serialize)]
pub struct ExpectedToken {
    /// Its number.
    pub token: u32,
    /// How it is written.
    pub text: String,
    /// 0 to 1.
    pub probability: f64,
}

/// The residual stream after some layer, read by the model's head.
#[derive(Clone, Debug, Serialize)]
pub struct LensLayer {
    /// The most probable tokens.
    pub top: Vec<ExpectedToken>,
    /// The probability of the token that is the most probable after the last layer.
    pub answer_probability: f64,
    /// The rank of the token that follows in the text, from 1.
    pub next_rank: Option<usize>,
}

/// A pattern of attention that some heads follow.
#[derive(Clone, Debug)]
pub struct Habit {
    /// What such heads look at.
    pub description: &'static str,
    /// Those that do it most: layer, head, share of attention.
    pub heads: Vec<(usize, usize, f64)>,
}

/// What is known of the model itself.
struct Kind {
    name: String,
    family: String,
    vocabulary: usize,
}

impl See {
    /// Default page.
    pub const OUT: &str = "see.html";
    /// Default number of next tokens.
    pub const TOP: u16 = 10;

    /// Into this model while it reads this text.
    pub fn new(model: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            text: text.into(),
            out: Self::OUT.into(),
            top: Self::TOP.into(),
            threads: 0,
        }
    }

    /// Writes the page to this file.
    #[must_use]
    pub fn out(self, out: impl Into<PathBuf>) -> Self {
        Self { out: out.into(), ..self }
    }

    /// Looks, and writes the page.
    ///
    /// # Errors
    /// If there is no such model, the text is too long, or the page cannot be written.
    pub fn run(&self) -> Result<SeeReport> {
        with_threads(self.threads, || {
            let (kind, look) = self.look()?;
            let page = page::page(&self.model, &kind, &look);
            write_atomically(&self.out, page.as_bytes()).map_err(Error::io("write", &self.out))?;
            Ok(self.report(look))
        })?
    }

    fn look(&self) -> Result<(Kind, Inspection)> {
        let path = resolve_model(&self.model)?;
        if path.join("blueprint.toml").is_file() {
            return Err(Error::Request(format!(
                "{} is the run of a network that knows no language; expected a language model or a sentence encoder, or no text",
                path.display()
            )));
        }
        let name = name_of(&self.model);
        if SentenceEncoder::is_in(&path)? {
            let encoder = SentenceEncoder::open(&path)?;
            let vocabulary = encoder.vocabulary();
            let kind = Kind { name, family: "sentence encoder".to_owned(), vocabulary };
            return Ok((kind, encoder.inspect(&self.text)?));
        }
        let model = Model::open(&path)?;
        let config = model.decoder.config();
        let kind = Kind { name, family: config.family.name().to_owned(), vocabulary: config.vocabulary };
        Ok((kind, model.inspect(&self.text, self.top)?))
    }

    fn report(&self, look: Inspection) -> SeeReport {
        let seen = &look.observation;
        let predictions = look.predictions.as_ref();
        let tokens =
            look.tokens.iter().zip(&look.texts).enumerate().map(|(place, (&token, text))| SeenToken {
                token,
                text: text.clone(),
                expectation: predictions.map(|predictions| expectation(predictions, place)),
            });
        let rows = |scores: &[f64]| scores.chunks(seen.heads()).map(<[f64]>::to_vec).collect();
        let patterns = look.patterns.iter();
        SeeReport {
            model: self.model.clone(),
            text: self.text.clone(),
            layers: seen.layers(),
            heads: seen.heads(),
            perplexity: predictions.and_then(Predictions::perplexity),
            mean_surprisal_bits: predictions.and_then(Predictions::mean_surprisal_bits),
            tokens: tokens.collect(),
            attention_to: patterns.map(|own| (own.pattern.name().to_owned(), rows(&own.scores))).collect(),
            page: self.out.clone(),
            look,
        }
    }
}

fn expectation(predictions: &Predictions, place: usize) -> Expectation {
    let named = |candidates: &[Candidate]| {
        let named = candidates.iter().map(|best| ExpectedToken {
            token: best.token,
            text: predictions.text(best.token).to_owned(),
            probability: best.probability,
        });
        named.collect()
    };
    let lens = |cell: &LensCell| LensLayer {
        top: named(&cell.top),
        answer_probability: cell.answer_probability,
        next_rank: cell.next_rank,
    };
    let own = &predictions.places[place];
    Expectation {
        surprisal_bits: own.surprisal_bits,
        probability: own.probability,
        rank: own.rank,
        next: named(&own.next),
        lens_settles_after_layers: predictions.settles(place),
        lens: predictions.lens.iter().map(|layer| lens(&layer[place])).collect(),
    }
}

impl SeeReport {
    /// The patterns that some heads follow, and those that follow them most.
    #[must_use]
    pub fn habits(&self) -> Vec<Habit> {
        habits(&self.look)
    }
}

fn habits(look: &Inspection) -> Vec<Habit> {
    let heads = look.observation.heads();
    let named = look.patterns.iter().map(|pattern| {
        let best = pattern.ranking().into_iter().take(HEADS);
        let best = best.map(|index| (index / heads, index % heads, pattern.scores[index]));
        let heads = best.filter(|(_, _, score)| *score >= HABIT).collect();
        Habit { description: pattern.pattern.description(), heads }
    });
    named.filter(|pattern| !pattern.heads.is_empty()).collect()
}

fn name_of(path: &Path) -> String {
    let end =
        path.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    end.unwrap_or_else(|| path.display().to_string())
}
