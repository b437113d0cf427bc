//! `gyrus serve`: a language model behind OpenAI's HTTP interface.

use std::path::PathBuf;

use clap::Args;
use gyrus::Serve;
use gyrus::serve::Shutdown;
use gyrus::verbs::ServingMemory;
use serde_json::{Map, Value};

use super::help::{ADAPTER, CHAT_TEMPLATE, CHAT_TEMPLATE_KWARGS, THREADS};
use super::values::{json_object, threads};
use crate::exit::Failure;
use crate::output::note;

/// The environment variable with the API key.
const KEY_VARIABLE: &str = "GYRUS_API_KEY";

/// Serve a language model over OpenAI's HTTP interface
///
/// Paths: /v1/chat/completions, /v1/responses, /v1/completions, /v1/embeddings, /v1/models, /tokenize, /detokenize, /health,
/// /metrics. Ctrl-C stops the server once the running answers are complete; a second Ctrl-C stops it immediately.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Hugging Face folder or model id, .gguf file, or llama2.c file (.bin); or folder with a sentence encoder
    model: PathBuf,
    #[arg(long, help = ADAPTER, value_name = "FOLDER")]
    adapter: Option<PathBuf>,
    /// Folder with a sentence encoder, for /v1/embeddings
    #[arg(long, value_name = "MODEL")]
    embeddings: Option<PathBuf>,
    /// Port; 0 = any free one
    #[arg(long, default_value_t = Serve::PORT)]
    port: u16,
    /// Address to listen on; any but this machine's own needs an API key
    #[arg(long, default_value = Serve::HOST)]
    host: String,
    /// Key that clients must send; better set GYRUS_API_KEY, which other users of this machine cannot see
    #[arg(long)]
    api_key: Option<String>,
    /// Another name by which clients may ask for the model; can be repeated
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// Let web pages of this origin use the server, such as http://localhost:3000, or * for all; can be repeated
    #[arg(long, value_name = "ORIGIN")]
    cors: Vec<String>,
    #[arg(long, help = CHAT_TEMPLATE, value_name = "FILE")]
    chat_template: Option<PathBuf>,
    #[arg(long, help = CHAT_TEMPLATE_KWARGS, value_name = "JSON", value_parser = json_object)]
    chat_template_kwargs: Option<Map<String, Value>>,
    /// Where reasoning goes that a model marks (<think>): deepseek = into reasoning_content, none = it stays in the text
    #[arg(long, value_name = "FORMAT", default_value = "deepseek", value_parser = ["deepseek", "none"])]
    reasoning_format: String,
    /// Sequences generated in parallel
    #[arg(long, default_value_t = Serve::SLOTS, value_parser = clap::value_parser!(u16).range(1..=1024))]
    slots: u16,
    /// Requests that may wait for a slot; more are refused
    #[arg(long, default_value_t = Serve::QUEUE)]
    queue: u16,
    /// Context length in tokens, prompt and answer together [default: the model's, at most 8192]
    #[arg(long)]
    context: Option<usize>,
    /// Prefix-cache size in MiB; 0 disables it
    #[arg(long, alias = "kept-prompts", value_name = "MIB", default_value_t = Serve::PREFIX_CACHE_MIB)]
    prefix_cache: u32,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let serving = Serve {
        adapter: arguments.adapter.clone(),
        embeddings: arguments.embeddings.clone(),
        port: arguments.port,
        host: arguments.host.clone(),
        api_key: api_key(arguments)?,
        aliases: arguments.alias.clone(),
        cors: arguments.cors.clone(),
        chat_template: arguments.chat_template.clone(),
        template_variables: arguments.chat_template_kwargs.clone().unwrap_or_default(),
        keep_reasoning_apart: arguments.reasoning_format != "none",
        slots: arguments.slots,
        queue: arguments.queue,
        context: arguments.context,
        prefix_cache_mib: arguments.prefix_cache,
        threads: arguments.threads,
        ..Serve::new(&arguments.model)
    }
    .bind()?;
    let shutdown = Shutdown::new();
    let of_handler = shutdown.clone();
    let mut asked = false;
    ctrlc::set_handler(move || {
        if std::mem::replace(&mut asked, true) {
            std::process::exit(130);
        }
        note("stopping once the running answers are complete; Ctrl-C again stops immediately");
        of_handler.begin();
    })
    .map_err(|error| gyrus::Error::Failed(error.to_string()))?;
    if let Some(memory) = &serving.memory {
        note(room(memory));
    }
    if let Some(problem) = &serving.chat_problem {
        note(format_args!(
            "this model cannot chat: {problem}; completions work, and --chat-template gives another template"
        ));
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

/// One line on the memory that sequences may take.
fn room(memory: &ServingMemory) -> String {
    format!(
        "{} sequences of {} tokens take {:.1} MiB when all are full, up to twice that while they grow; the prefix cache \
         takes {} MiB",
        memory.slots,
        memory.context,
        memory.sequence_bytes as f64 / (1u64 << 20) as f64,
        memory.prefix_cache_bytes >> 20
    )
}
