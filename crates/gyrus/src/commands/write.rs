//! `gyrus write`: a language model continues a text.

use std::path::PathBuf;

use clap::Args;
use gyrus::Write;

use super::generation::{GenerationArguments, speed};
use super::help::{ADAPTER, JSON, MODEL, THREADS};
use super::values::{read_text, threads};
use crate::exit::Failure;
use crate::output::{Streamed, note, say, say_json};

/// Let a language model continue a text
#[derive(Args)]
pub(crate) struct Arguments {
    #[arg(help = MODEL)]
    model: PathBuf,
    /// Text to continue; - reads it from standard input, an empty one lets the model begin
    #[arg(default_value = "")]
    prompt: String,
    #[arg(long, help = ADAPTER, value_name = "FOLDER")]
    adapter: Option<PathBuf>,
    #[command(flatten)]
    generation: GenerationArguments,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = JSON)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let verb = Write {
        prompt: read_text(&arguments.prompt)?,
        adapter: arguments.adapter.clone(),
        generation: arguments.generation.generation(),
        threads: arguments.threads,
        ..Write::new(&arguments.model)
    };
    if arguments.json {
        return say_json(&verb.run()?);
    }
    let mut stdout = Streamed::default();
    let report = verb.run_streamed(|text| stdout.show(text))?;
    stdout.finish()?;
    say("")?;
    report.notes.iter().for_each(|text| note(format_args!("note: {text}")));
    note(speed(report.prompt_tokens, report.prompt_seconds, report.tokens, report.tokens_per_second));
    Ok(())
}
