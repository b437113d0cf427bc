//! `gyrus learn` on a corpus: options of a language model, and what is printed of one.

use clap::Args;
use gyrus::language_train::TokenizerKind;
use gyrus::verbs::quoted;
use gyrus::{LearnLanguage, LearnLanguageReport};

use super::help::ACCUMULATE;
use crate::exit::Failure;
use crate::output::{next, note, page, say, say_json};

/// The shape of a language model.
#[derive(Args)]
#[command(next_help_heading = "Language models")]
pub(super) struct LanguageArguments {
    /// What a token is: characters | bytes (byte pairs) [default: chosen by the size of the corpus]
    #[arg(long, value_parser = ["characters", "bytes"])]
    tokenizer: Option<String>,
    /// Size of a byte-pair vocabulary
    #[arg(long, default_value_t = LearnLanguage::VOCABULARY, value_parser = clap::value_parser!(u32).range(256..=1_000_000))]
    vocabulary: u32,
    /// Layers of the decoder [default: chosen by the size of the corpus]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    layers: Option<u16>,
    /// Elements of its residual stream [default: chosen by the size of the corpus]
    #[arg(long, value_parser = clap::value_parser!(u16).range(2..=16_384))]
    width: Option<u16>,
    /// Attention heads [default: one for each 32 elements]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    heads: Option<u16>,
    /// Key and value heads (grouped-query attention) [default: as many as attention heads]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    key_value_heads: Option<u16>,
    /// Context length in tokens
    #[arg(long, default_value_t = LearnLanguage::CONTEXT, value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    context: u32,
    /// Training steps, also of shapes [default: chosen by the size of the corpus]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(super) train_steps: Option<u64>,
    #[arg(long, help = ACCUMULATE, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    accumulate: u32,
}

impl LanguageArguments {
    /// These options, and whether they were given: those with a default, whether they differ from it.
    pub(super) fn given(&self) -> [(&'static str, bool); 9] {
        [
            ("--tokenizer", self.tokenizer.is_some()),
            ("--vocabulary", self.vocabulary != LearnLanguage::VOCABULARY),
            ("--layers", self.layers.is_some()),
            ("--width", self.width.is_some()),
            ("--heads", self.heads.is_some()),
            ("--key-value-heads", self.key_value_heads.is_some()),
            ("--context", self.context != LearnLanguage::CONTEXT),
            ("--train-steps", self.train_steps.is_some()),
            ("--accumulate", self.accumulate != 1),
        ]
    }

    /// A verb with these options.
    pub(super) fn apply(&self, verb: LearnLanguage) -> LearnLanguage {
        LearnLanguage {
            tokenizer: self.tokenizer.as_deref().map(|name| match name {
                "characters" => TokenizerKind::Characters,
                _ => TokenizerKind::BytePairs,
            }),
            vocabulary: self.vocabulary as usize,
            layers: self.layers.map(usize::from),
            width: self.width.map(usize::from),
            heads: self.heads.map(usize::from),
            key_value_heads: self.key_value_heads.map(usize::from),
            context: self.context as usize,
            steps: self.train_steps,
            accumulation: self.accumulate as usize,
            ..verb
        }
    }
}

pub(super) fn conclude(report: &LearnLanguageReport, json: bool) -> Result<(), Failure> {
    if json {
        return say_json(report);
    }
    say(format_args!(
        "validation loss: {:.4} nats per token, {:.4} per character, in {:.1} s\n\n{}",
        report.validation_loss,
        report.validation_loss_per_character,
        report.total_seconds,
        report.sample.trim()
    ))?;
    let path = quoted(&report.run);
    next(format_args!(
        "\nNext:\n  gyrus write {path} \"PROMPT\"      continues a text\n  \
         gyrus see {path} \"TEXT\"          looks into it while it reads\n  open {}      curves and settings",
        page(&report.page)
    ))?;
    if report.documents > 1 {
        note("documents are separated by <|endoftext|>, which also begins each of them");
    }
    Ok(())
}
