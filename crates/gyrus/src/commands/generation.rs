//! Options of how a language model writes, and what is said of its speed.

use std::path::PathBuf;

use clap::Args;
use gyrus::Generation;
use gyrus::verbs::counted;

use super::help::SEED;

/// How tokens are chosen, and when to stop.
#[derive(Args)]
pub(crate) struct GenerationArguments {
    /// Sampling temperature: 0 picks the most likely token
    #[arg(long)]
    temperature: Option<f32>,
    /// Sample from the K most likely tokens; 0 = all
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Sample from the smallest set of tokens whose probabilities sum to P
    #[arg(long, value_name = "P")]
    top_p: Option<f32>,
    /// Sample from tokens at least P times as likely as the most likely one
    #[arg(long, value_name = "P")]
    min_p: Option<f32>,
    /// Make tokens that already occur less likely; 1 = no penalty
    #[arg(long)]
    repetition_penalty: Option<f32>,
    /// Maximum number of tokens to write
    #[arg(long, value_name = "TOKENS", default_value_t = Generation::MAX_TOKENS)]
    max_tokens: usize,
    /// Stop before this text; can be repeated
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Constrain the output to the JSON schema in this file
    #[arg(long, value_name = "FILE.json")]
    json_schema: Option<PathBuf>,
    #[arg(long, help = SEED, default_value_t = 0)]
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
    let read = counted(prompt_tokens as u64, "token");
    format!("read {read} in {prompt_seconds:.2} s; wrote {tokens} at {tokens_per_second:.1} tokens/s")
}
