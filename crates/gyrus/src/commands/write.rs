//! `gyrus write`: a language model goes on with a text.

use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use gyrus_language::{Adapter, Cache, Model, Parts, Request, Sampling, Written, generate};
use gyrus_tensor::with_threads;
use serde_json::json;

use super::learn::threads;
use crate::failure::Failure;
use crate::say::{note, say};

/// Let a language model go on with a text.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A folder or id of Hugging Face, a .gguf file, or a llama2.c file (.bin) with its tokenizer.bin beside it
    pub(crate) model: PathBuf,
    /// The text to go on with; - reads it from standard input, nothing lets the model begin
    #[arg(default_value = "")]
    prompt: String,
    /// A folder with a low-rank adapter of the model, as PEFT and `gyrus tune` leave it
    #[arg(long, value_name = "FOLDER")]
    adapter: Option<PathBuf>,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// Threads; 0 for one a core
    #[arg(long, default_value_t = 0, value_parser = threads)]
    threads: usize,
    /// Print one JSON object on standard output, and nothing else
    #[arg(long)]
    json: bool,
}

/// How tokens are chosen, and when to stop.
#[derive(Args)]
pub(crate) struct SamplingArguments {
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
    #[arg(long, default_value_t = 256)]
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

impl SamplingArguments {
    /// What was asked for; what was not said is as the model's makers recommend.
    pub(crate) fn request(&self, model: &Model) -> Result<Request, Failure> {
        let recommended = model.recommended;
        let sampling = Sampling {
            temperature: self.temperature.unwrap_or(recommended.temperature),
            top_k: self.top_k.unwrap_or(recommended.top_k),
            top_p: self.top_p.unwrap_or(recommended.top_p),
            min_p: self.min_p.unwrap_or(recommended.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(recommended.repetition_penalty),
            seed: self.seed,
            ..recommended
        };
        let constraint = match &self.json_schema {
            None => None,
            Some(path) => {
                let caller = |error: &dyn std::fmt::Display| {
                    Failure::Caller(format!("cannot read a JSON schema from {}: {error}", path.display()))
                };
                let text = std::fs::read_to_string(path).map_err(|error| caller(&error))?;
                let schema = serde_json::from_str(&text).map_err(|error| caller(&error))?;
                Some(model.constraints()?.json_schema(&schema)?)
            }
        };
        let stop = self.stop.clone();
        Ok(Request { sampling, maximum_tokens: self.max_tokens, stop, constraint, ..Request::default() })
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    with_threads(arguments.threads, || run_in_pool(arguments))?
}

fn run_in_pool(arguments: &Arguments) -> Result<(), Failure> {
    let prompt = read_text(&arguments.prompt)?;
    let model = open_with(&arguments.model, arguments.adapter.as_deref())?;
    let request = arguments.sampling.request(&model)?;
    let tokens = model.tokenizer.encode(&prompt, true)?;
    if tokens.is_empty() {
        return Err(Failure::Caller(format!(
            "{} has no token that a text begins with: give it a text to go on with",
            arguments.model.display()
        )));
    }
    let mut cache = Cache::new(model.decoder.config());
    let mut stdout = Streamed::default();
    let show = |text: &str| arguments.json || stdout.show(text);
    let written = generate(&model.decoder, &model.tokenizer, &mut cache, &tokens, &request, show)?;
    stdout.finish()?;
    if arguments.json {
        say(json!({
            "model": arguments.model,
            "prompt": prompt,
            "text": written.text,
            "ending": written.ending.name(),
            "seed": request.sampling.seed,
            "prompt_tokens": written.prompt_tokens,
            "tokens": written.tokens.len(),
            "prompt_seconds": written.reading.as_secs_f64(),
            "tokens_per_second": written.tokens_per_second(),
        }))
    } else {
        say("")?;
        note(speed(&written));
        Ok(())
    }
}

/// Opens a model where it lies, or as an id of Hugging Face, with an adapter where there is one. A folder of an adapter alone is the model that it names, adapted.
pub(crate) fn open_with(path: &Path, adapter: Option<&Path>) -> Result<Model, Failure> {
    let place = fetched(path)?;
    let Some(folder) = adapter.or(Adapter::is_at(&place).then_some(&*place)) else {
        return Ok(Model::open(&place)?);
    };
    let low_rank = Adapter::open(folder)?;
    let place = match (adapter, &low_rank.config.base) {
        (Some(_), _) => place,
        (None, Some(base)) => fetched(Path::new(base))?,
        (None, None) => {
            let text =
                format!("{} does not say which model it is for: name it, and --adapter", path.display());
            return Err(Failure::Caller(text));
        }
    };
    Ok(Parts::open(&place)?.build_with(&low_rank)?)
}

/// Where a model lies: the path itself, or what the hub's cache holds under it as an id of Hugging Face.
pub(crate) fn fetched(path: &Path) -> Result<PathBuf, Failure> {
    #[cfg(feature = "hub")]
    if !path.exists()
        && let Some((owner, name)) = hub_id(path)
    {
        return fetch(&owner, &name);
    }
    Ok(path.to_path_buf())
}

/// Owner and name, where the path reads `owner/name` and could be an id.
#[cfg(feature = "hub")]
fn hub_id(path: &Path) -> Option<(String, String)> {
    let (owner, name) = path.to_str()?.split_once('/')?;
    let plain = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !part.is_empty() && part.bytes().all(allowed) && !part.starts_with('.')
    };
    let file = [".gguf", ".bin", ".safetensors"].iter().any(|end| name.ends_with(end));
    (plain(owner) && plain(name) && !file).then(|| (owner.to_owned(), name.to_owned()))
}

/// The folder of a model in the hub's cache, fetched where it is not there yet.
#[cfg(feature = "hub")]
fn fetch(owner: &str, name: &str) -> Result<PathBuf, Failure> {
    let hub = gyrus_data::Hub::from_environment()?;
    Ok(hub.model(owner, name)?)
}

/// One line on how long it took.
pub(crate) fn speed(written: &Written) -> String {
    format!(
        "read {} tokens in {:.2} s; wrote {} at {:.1} tokens/s",
        written.prompt_tokens,
        written.reading.as_secs_f64(),
        written.tokens.len(),
        written.tokens_per_second()
    )
}

/// A text as it was given, or standard input for `-`.
pub(crate) fn read_text(given: &str) -> Result<String, Failure> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    // More than any model reads, and little enough for every machine.
    const LIMIT: u64 = 1 << 26;
    let mut text = String::new();
    match io::stdin().take(LIMIT).read_to_string(&mut text) {
        Ok(_) if text.len() as u64 == LIMIT => {
            Err(Failure::Caller(format!("the text on standard input is longer than {} bytes", LIMIT - 1)))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::Caller(format!("cannot read a text from standard input: {error}"))),
    }
}

/// Text that appears as it is made.
#[derive(Default)]
pub(crate) struct Streamed {
    error: Option<io::Error>,
}

impl Streamed {
    /// Shows a part at once; false when nobody can read it any more.
    pub(crate) fn show(&mut self, text: &str) -> bool {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => true,
            Err(error) => {
                self.error = Some(error);
                false
            }
        }
    }

    /// A reader that has gone away has read enough; other failures are told.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self.error {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::Failed(format!("cannot write to standard output: {error}")))
            }
            _ => Ok(()),
        }
    }
}
