//! `gyrus write`: a language model goes on with a text.

use std::path::PathBuf;

use clap::Args;
use gyrus::Write;

use super::generation::{GenerationArguments, speed};
use super::values::{read_text, threads};
use crate::exit::Failure;
use crate::output::{Streamed, note, say, say_json};

/// Let a language model go on with a text.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A folder or id of Hugging Face, a .gguf file, or a llama2.c file (.bin) with its tokenizer.bin beside it
    model: PathBuf,
    /// The text to go on with; - reads it from standard input, nothing lets the model begin
    #[arg(default_value = "")]
    prompt: String,
    /// A folder with a low-rank adapter of the model, as PEFT and `gyrus tune` leave it
    #[arg(long, value_name = "FOLDER")]
    adapter: Option<PathBuf>,
    #[command(flatten)]
    generation: GenerationArguments,
    /// Threads; 0 for one a core
    #[arg(long, default_value_t = 0, value_parser = threads)]
    threads: usize,
    /// Print one JSON object on standard output, and nothing else
    #[arg(long)]
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
    note(speed(report.prompt_tokens, report.prompt_seconds, report.tokens, report.tokens_per_second));
    Ok(())
}
