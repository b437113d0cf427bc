//! `gyrus serve`: a language model behind OpenAI's HTTP interface.

use std::path::PathBuf;

use clap::Args;
use gyrus::Serve;
use gyrus::serve::Shutdown;
use gyrus::verbs::ServingMemory;

use super::values::threads;
use crate::exit::Failure;
use crate::output::note;

/// The environment variable with the API key.
const KEY_VARIABLE: &str = "GYRUS_API_KEY";

/// Serve a language model to programs that know OpenAI's interface.
///
/// Paths: /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models, /health, /metrics. Stops on Ctrl-C when the
/// running answers have ended; a second Ctrl-C stops at once.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A folder or id of Hugging Face, a .gguf file, or a llama2.c file (.bin); or a folder with an encoder of sentences
    model: PathBuf,
    /// A folder with a low-rank adapter (LoRA) in PEFT's format, applied to the model
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// A folder with an encoder of sentences, for /v1/embeddings
    #[arg(long, value_name = "MODEL")]
    embeddings: Option<PathBuf>,
    /// The port; 0 for any that is free
    #[arg(long, default_value_t = Serve::PORT)]
    port: u16,
    /// The address to listen on; others than this machine's own need an API key
    #[arg(long, default_value = Serve::HOST)]
    host: String,
    /// What clients must send as their key; better set as GYRUS_API_KEY, which other users of this machine cannot see
    #[arg(long)]
    api_key: Option<String>,
    /// Texts that are written together
    #[arg(long, default_value_t = Serve::SLOTS, value_parser = clap::value_parser!(u16).range(1..=1024))]
    slots: u16,
    /// Texts that may wait for a slot; more are refused for the moment
    #[arg(long, default_value_t = Serve::QUEUE)]
    queue: u16,
    /// Tokens of a text, prompt and answer together; by default what the model reads, at most 8192
    #[arg(long)]
    context: Option<usize>,
    /// Mebibytes for prompts that are kept, so that others which begin alike need not be read again; 0 keeps none
    #[arg(long, default_value_t = Serve::PREFIX_CACHE_MIB)]
    kept_prompts: u32,
    /// Threads; 0 for one a core. No answer depends on it
    #[arg(long, default_value_t = 0, value_parser = threads)]
    threads: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let serving = Serve {
        adapter: arguments.adapter.clone(),
        embeddings: arguments.embeddings.clone(),
        port: arguments.port,
        host: arguments.host.clone(),
        api_key: api_key(arguments)?,
        slots: arguments.slots,
        queue: arguments.queue,
        context: arguments.context,
        prefix_cache_mib: arguments.kept_prompts,
        threads: arguments.threads,
        ..Serve::new(&arguments.model)
    }
    .bind()?;
    let shutdown = Shutdown::new();
    let of_handler = shutdown.clone();
    let mut told = false;
    ctrlc::set_handler(move || {
        if std::mem::replace(&mut told, true) {
            std::process::exit(130);
        }
        note("stopping when the running answers have ended; again to stop at once");
        of_handler.begin();
    })
    .map_err(|error| gyrus::Error::Failed(error.to_string()))?;
    if let Some(memory) = &serving.memory {
        note(room(memory));
    }
    note(format_args!("serving at http://{}/v1", serving.server.address()));
    Ok(serving.server.run(&shutdown)?)
}

fn api_key(arguments: &Arguments) -> Result<Option<String>, Failure> {
    if let Some(key) = &arguments.api_key {
        return Ok(Some(key.clone()));
    }
    match std::env::var(KEY_VARIABLE) {
        Ok(key) => Ok(Some(key)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(Failure::Input(format!("{KEY_VARIABLE}: {error}"))),
    }
}

/// One line on the memory that texts may take.
fn room(memory: &ServingMemory) -> String {
    format!(
        "{} texts of {} tokens take {:.1} MiB when all are full, up to twice that while they grow; {} MiB are for prompts \
         that are kept",
        memory.slots,
        memory.context,
        memory.sequence_bytes as f64 / (1u64 << 20) as f64,
        memory.prefix_cache_bytes >> 20
    )
}
