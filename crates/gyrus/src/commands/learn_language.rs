//! `gyrus learn` on a corpus: options of a language model, and what is printed of one.

use clap::Args;
use gyrus::language_train::TokenizerKind;
use gyrus::verbs::quoted;
use gyrus::{LearnLanguage, LearnLanguageReport};

use crate::exit::Failure;
use crate::output::{note, say, say_json};

/// The shape of a language model.
#[derive(Args)]
#[command(next_help_heading = "Language models")]
pub(super) struct LanguageArguments {
    /// characters | bytes (pairs of them) [default: by the size of the corpus]
    #[arg(long, value_parser = ["characters", "bytes"])]
    tokenizer: Option<String>,
    /// Tokens of a vocabulary of byte pairs
    #[arg(long, default_value_t = LearnLanguage::VOCABULARY, value_parser = clap::value_parser!(u32).range(256..=1_000_000))]
    vocabulary: u32,
    /// Layers of the decoder [default: by the size of the corpus]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    layers: Option<u16>,
    /// Elements of its stream [default: by the size of the corpus]
    #[arg(long, value_parser = clap::value_parser!(u16).range(2..=16_384))]
    width: Option<u16>,
    /// Heads of attention [default: one for each 32 elements]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    heads: Option<u16>,
    /// Heads that have keys and values of their own [default: all]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    key_value_heads: Option<u16>,
    /// Tokens that it sees at once
    #[arg(long, default_value_t = LearnLanguage::CONTEXT, value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    context: u32,
    /// Training steps [default: by the size of the corpus]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    train_steps: Option<u64>,
    /// Gradients that are averaged for one step
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    accumulate: u32,
}

impl LanguageArguments {
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
        "validation loss: {:.4} nats a token, {:.4} a character, in {:.1} s\n\n{}",
        report.validation_loss,
        report.validation_loss_per_character,
        report.total_seconds,
        report.sample.trim()
    ))?;
    let path = quoted(&report.run);
    say(format_args!(
        "\nNext:\n  gyrus write {path} \"PROMPT\"      goes on with a text\n  \
         gyrus see {path} \"TEXT\"          looks into it while it reads\n  open {}      curves and settings",
        quoted(&report.page)
    ))?;
    if report.documents > 1 {
        note("the texts are separated by <|endoftext|>, which also begins each");
    }
    Ok(())
}
