//! `gyrus quantize`: a language model's weights in fewer bits, as a GGUF file.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use gyrus_formats::Format;
use gyrus_language::{Parts, gguf};
use gyrus_tensor::with_threads;
use serde_json::json;

use super::learn::threads;
use crate::failure::Failure;
use crate::say::say;

/// Write a language model with weights of fewer bits, as a GGUF file.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A folder or id of Hugging Face, a .gguf file, or a llama2.c file (.bin) with its tokenizer.bin beside it
    model: PathBuf,
    /// The file to write
    #[arg(value_name = "OUT.gguf")]
    out: PathBuf,
    /// How weights are kept: 8 bits lose nothing that shows, 4 bits need a bit more than half of that memory
    #[arg(long, value_enum, default_value_t = To::Q8_0)]
    to: To,
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

/// The formats, under their names in ggml.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, ValueEnum)]
enum To {
    #[value(name = "f16")]
    F16,
    #[value(name = "bf16")]
    Bf16,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q6_k")]
    Q6_K,
    #[value(name = "q4_k")]
    Q4_K,
    #[value(name = "q4_0")]
    Q4_0,
}

impl To {
    fn format(self) -> Format {
        match self {
            Self::F16 => Format::F16,
            Self::Bf16 => Format::BF16,
            Self::Q8_0 => Format::Q8_0,
            Self::Q6_K => Format::Q6_K,
            Self::Q4_K => Format::Q4_K,
            Self::Q4_0 => Format::Q4_0,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    with_threads(arguments.threads, || run_in_pool(arguments))?
}

fn run_in_pool(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { out, to, .. } = arguments;
    if out.extension().is_none_or(|extension| extension != "gguf") {
        return Err(Failure::Caller(format!("{} does not end in .gguf", out.display())));
    }
    if out.exists() && !arguments.overwrite {
        return Err(Failure::Caller(format!("{} exists; --overwrite replaces it", out.display())));
    }
    let parts = Parts::open(&super::write::fetched(&arguments.model)?)?;
    gguf::write(&parts, out, to.format())?;
    let weights: usize = parts.config.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum();
    let bytes = size(out)?;
    let bits = 8.0 * bytes as f64 / weights.max(1) as f64;
    if arguments.json {
        say(json!({
            "model": arguments.model,
            "out": out,
            "format": to.format().name().to_lowercase(),
            "weights": weights,
            "bytes": bytes,
            "bits_per_weight": bits,
        }))
    } else {
        let mebibytes = bytes as f64 / f64::from(1 << 20);
        say(format_args!("{}: {weights} weights in {mebibytes:.1} MiB, {bits:.2} bits each", out.display()))?;
        say(format_args!("go on with: gyrus write {} \"Once upon a time\"", out.display()))
    }
}

fn size(path: &Path) -> Result<u64, Failure> {
    let metadata =
        std::fs::metadata(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    Ok(metadata.map_err(Failure::Failed)?.len())
}
