//! `gyrus quantize`: a language model's weights in fewer bits, as a GGUF file.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gyrus::Quantize;
use gyrus::formats::Format;
use gyrus::verbs::counted;

use super::help::{JSON, MODEL, THREADS};
use super::values::threads;
use crate::exit::Failure;
use crate::output::{next, note, say, say_json};
use crate::progress::Watcher;

/// Quantize a language model's weights and write a GGUF file
#[derive(Args)]
pub(crate) struct Arguments {
    #[arg(help = MODEL)]
    model: PathBuf,
    /// File to write; the same as --out
    #[arg(value_name = "OUT.gguf", required_unless_present = "out")]
    file: Option<PathBuf>,
    /// File to write
    #[arg(long, alias = "output", value_name = "FILE.gguf", conflicts_with = "file")]
    out: Option<PathBuf>,
    /// Weight format: 8 bits lose nothing noticeable, 4 bits need a bit more than half of that memory
    #[arg(long, value_name = "FORMAT", default_value = Quantize::FORMAT.0, value_parser = formats())]
    to: Format,
    /// Replace an existing file
    #[arg(long)]
    overwrite: bool,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = JSON)]
    json: bool,
}

fn formats() -> impl TypedValueParser<Value = Format> {
    let named = |name: String| Quantize::FORMATS.into_iter().find(|format| format.0 == name);
    PossibleValuesParser::new(Quantize::FORMATS.map(|format| format.0))
        .map(move |name| named(name).unwrap_or(Quantize::FORMAT).1)
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { overwrite, threads, .. } = *arguments;
    let out = arguments.out.as_ref().or(arguments.file.as_ref()).cloned().unwrap_or_default();
    let report =
        Quantize { format: arguments.to, overwrite, threads, ..Quantize::new(&arguments.model, out) }
            .run(&mut Watcher::without_stop())?;
    if arguments.json {
        return say_json(&report);
    }
    report.notes.iter().for_each(|text| note(format_args!("note: {text}")));
    let out = report.out.display();
    say(format_args!(
        "{out}: {} in {:.1} MiB, {:.2} bits per weight",
        counted(report.weights as u64, "weight"),
        report.bytes as f64 / f64::from(1 << 20),
        report.bits_per_weight
    ))?;
    next(format_args!("next: gyrus write {out} \"Once upon a time\""))
}
