//! Options of how a language model writes, and what is said of its speed.

use std::path::PathBuf;

use clap::Args;
use gyrus::Generation;

/// How tokens are chosen, and when to stop.
#[derive(Args)]
pub(crate) struct GenerationArguments {
    /// How bold: 0 takes the most probable token, 1 draws from the model's own probabilities
    #[arg(long)]
    temperature: Option<f32>,
    /// Draw from so many of the most probable tokens; 0 for all
    #[arg(long)]
    top_k: Option<usize>,
    /// Draw from the fewest most probable tokens whose probabilities sum to this
    #[arg(long)]
    top_p: Option<f32>,
    /// Draw from tokens with at least this share of the largest probability
    #[arg(long)]
    min_p: Option<f32>,
    /// Make tokens that are in the text less probable; 1 for not at all
    #[arg(long)]
    repetition_penalty: Option<f32>,
    /// The most tokens to write
    #[arg(long, default_value_t = Generation::MAX_TOKENS)]
    max_tokens: usize,
    /// Stop before this text; may be given several times
    #[arg(long)]
    stop: Vec<String>,
    /// Write JSON as the schema in this file describes it
    #[arg(long)]
    json_schema: Option<PathBuf>,
    /// Decides all that is random
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl GenerationArguments {
    pub(crate) fn generation(&self) -> Generation {
        Generation {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            max_tokens: self.max_tokens,
            stop: self.stop.clone(),
            json_schema: self.json_schema.clone(),
            seed: self.seed,
        }
    }
}

/// One line on how long it took.
pub(crate) fn speed(
    prompt_tokens: usize,
    prompt_seconds: f64,
    tokens: usize,
    tokens_per_second: f64,
) -> String {
    format!(
        "read {prompt_tokens} tokens in {prompt_seconds:.2} s; wrote {tokens} at {tokens_per_second:.1} tokens/s"
    )
}
