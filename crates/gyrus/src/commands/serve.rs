//! `gyrus serve`: a language model behind OpenAI's HTTP interface.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use gyrus_language::engine::{Engine, EngineOptions, SentenceEngine, longest_context};
use gyrus_language::{EncoderConfig, Model, SentenceEncoder};
use gyrus_serve::{Server, Service, Shutdown};

use super::learn::threads;
use super::write::{fetched, open_with};
use crate::failure::Failure;
use crate::say::note;

/// The environment variable with the API key.
const KEY_VARIABLE: &str = "GYRUS_API_KEY";
/// Tokens of a text unless the caller says otherwise, or the model's if these are fewer.
const USUAL_CONTEXT: usize = 8192;
/// Requests for embeddings that may wait.
const WAITING_SENTENCES: usize = 64;

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
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The address to listen on; others than this machine's own need an API key
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// What clients must send as their key; better set as GYRUS_API_KEY, which other users of this machine cannot see
    #[arg(long)]
    api_key: Option<String>,
    /// Texts that are written together
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    slots: u16,
    /// Texts that may wait for a slot; more are refused for the moment
    #[arg(long, default_value_t = 64)]
    queue: u16,
    /// Tokens of a text, prompt and answer together; by default what the model reads, at most 8192
    #[arg(long)]
    context: Option<usize>,
    /// Mebibytes for prompts that are kept, so that others which begin alike need not be read again; 0 keeps none
    #[arg(long, default_value_t = 512)]
    kept_prompts: u32,
    /// Threads; 0 for one a core. No answer depends on it
    #[arg(long, default_value_t = 0, value_parser = threads)]
    threads: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = fetched(&arguments.model)?;
    let name = name(&arguments.model, &path);
    let mut room = None;
    let (writer, embedder) = if is_encoder(&path) {
        if let Some(other) = &arguments.embeddings {
            return Err(Failure::Caller(format!(
                "{} embeds texts itself: got {} for --embeddings too, expected one of both",
                arguments.model.display(),
                other.display()
            )));
        }
        (None, Some((name, sentence_engine(&path, arguments)?)))
    } else {
        let model = Arc::new(open_with(&path, arguments.adapter.as_deref())?);
        let options = EngineOptions {
            slots: arguments.slots.into(),
            queue: arguments.queue.into(),
            context: arguments.context.unwrap_or_else(|| longest_context(&model).min(USUAL_CONTEXT)),
            kept_bytes: (arguments.kept_prompts as usize).saturating_mul(1 << 20),
            threads: arguments.threads,
        };
        let embedder = match &arguments.embeddings {
            None => None,
            Some(given) => {
                let path = fetched(given)?;
                Some((self::name(given, &path), sentence_engine(&path, arguments)?))
            }
        };
        let engine = Engine::start(Arc::clone(&model), options)?;
        room = Some(memory(&model, &options));
        (Some((name, engine)), embedder)
    };
    let key = match &arguments.api_key {
        Some(key) => Some(key.clone()),
        None => match std::env::var(KEY_VARIABLE) {
            Ok(key) => Some(key),
            Err(std::env::VarError::NotPresent) => None,
            Err(error) => return Err(Failure::Caller(format!("{KEY_VARIABLE}: {error}"))),
        },
    };
    let server = Server::bind(Service::new(writer, embedder)?, &arguments.host, arguments.port, key)?;
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
    .map_err(Failure::failed)?;
    room.iter().for_each(note);
    note(format_args!("serving at http://{}/v1", server.address()));
    Ok(server.run(&shutdown)?)
}

/// One line on the memory that texts may take.
fn memory(model: &Model, options: &EngineOptions) -> String {
    let config = model.decoder.config();
    // A key and a value of each layer.
    let token = 2 * config.layers.len() * config.key_value_width() * size_of::<f32>();
    let texts = options.slots.saturating_mul(options.context).saturating_mul(token);
    format!(
        "{} texts of {} tokens take {:.1} MiB when all are full, up to twice that while they grow; {} MiB are for prompts \
         that are kept",
        options.slots,
        options.context,
        texts as f64 / (1u64 << 20) as f64,
        options.kept_bytes >> 20
    )
}

fn sentence_engine(path: &Path, arguments: &Arguments) -> Result<SentenceEngine, Failure> {
    Ok(SentenceEngine::start(SentenceEncoder::open(path)?, WAITING_SENTENCES, arguments.threads)?)
}

/// Whether a folder holds an encoder of sentences.
fn is_encoder(path: &Path) -> bool {
    path.join("modules.json").is_file() || EncoderConfig::from_hugging_face(&path.join("config.json")).is_ok()
}

/// What clients call a model: its id, or its file or folder without the way to it.
fn name(given: &Path, path: &Path) -> String {
    if given != path {
        return given.display().to_string();
    }
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = if path.is_dir() { whole.file_name() } else { whole.file_stem() };
    name.unwrap_or(whole.as_os_str()).to_string_lossy().into_owned()
}
