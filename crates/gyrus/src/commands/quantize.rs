//! `gyrus quantize`: a language model's weights in fewer bits, as a GGUF file.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gyrus::Quantize;
use gyrus::formats::Format;

use super::values::threads;
use crate::exit::Failure;
use crate::output::{say, say_json};

/// Write a language model with weights of fewer bits, as a GGUF file.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A folder or id of Hugging Face, a .gguf file, or a llama2.c file (.bin) with its tokenizer.bin beside it
    model: PathBuf,
    /// The file to write
    #[arg(value_name = "OUT.gguf")]
    out: PathBuf,
    /// How weights are kept: 8 bits lose nothing that shows, 4 bits need a bit more than half of that memory
    #[arg(long, value_name = "FORMAT", default_value = Quantize::FORMAT.0, value_parser = formats())]
    to: Format,
    /// Replace the file where it exists
    #[arg(long)]
    overwrite: bool,
    /// Threads; 0 for one a core
    #[arg(long, default_value_t = 0, value_parser = threads)]
    threads: usize,
    /// Print one JSON object on standard output, and nothing else
    #[arg(long)]
    json: bool,
}

fn formats() -> impl TypedValueParser<Value = Format> {
    let named = |name: String| Quantize::FORMATS.into_iter().find(|format| format.0 == name);
    PossibleValuesParser::new(Quantize::FORMATS.map(|format| format.0))
        .map(move |name| named(name).unwrap_or(Quantize::FORMAT).1)
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { overwrite, threads, .. } = *arguments;
    let report = Quantize {
        format: arguments.to,
        overwrite,
        threads,
        ..Quantize::new(&arguments.model, &arguments.out)
    }
    .run()?;
    if arguments.json {
        return say_json(&report);
    }
    let out = report.out.display();
    say(format_args!(
        "{out}: {} weights in {:.1} MiB, {:.2} bits each",
        report.weights,
        report.bytes as f64 / f64::from(1 << 20),
        report.bits_per_weight
    ))?;
    say(format_args!("go on with: gyrus write {out} \"Once upon a time\""))
}
