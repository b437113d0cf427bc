//! A language model behind OpenAI's HTTP interface.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gyrus_language::engine::{Engine, EngineOptions, SentenceEngine, longest_context};
use gyrus_language::{EncoderConfig, Model, SentenceEncoder};
use gyrus_serve::{Server, Service};
use serde_json::{Map, Value};

use super::model::{open_model, resolve_model, use_chat_template};
use crate::{Error, Result};

/// Default context length, or the model's own if that is shorter.
const USUAL_CONTEXT: usize = 8192;
/// Requests for embeddings that may wait.
const WAITING_SENTENCES: usize = 64;

/// Serves a language model to programs that know OpenAI's interface.
#[derive(Clone, Debug)]
pub struct Serve {
    /// A folder or file, or a Hugging Face id; a sentence encoder serves embeddings alone.
    pub model: PathBuf,
    /// A folder with a low-rank adapter of the model.
    pub adapter: Option<PathBuf>,
    /// A folder with a sentence encoder, for /v1/embeddings.
    pub embeddings: Option<PathBuf>,
    /// The port; 0 for any that is free.
    pub port: u16,
    /// The address to listen on; others than this machine's own need an API key.
    pub host: String,
    /// What clients must send as their key.
    pub api_key: Option<String>,
    /// More names by which clients may ask for the model.
    pub aliases: Vec<String>,
    /// Origins whose web pages may use the server, or `*`.
    pub cors: Vec<String>,
    /// A file with a chat template, instead of the model's own.
    pub chat_template: Option<PathBuf>,
    /// Variables of the chat template for requests that do not set them.
    pub template_variables: Map<String, Value>,
    /// Whether reasoning is kept apart from the answer, in `reasoning_content`.
    pub keep_reasoning_apart: bool,
    /// Sequences generated in parallel.
    pub slots: u16,
    /// Requests that may wait for a slot; more are refused.
    pub queue: u16,
    /// Context length in tokens, prompt and answer together. Default: the model's, at most 8192.
    pub context: Option<usize>,
    /// Size of the prefix cache in MiB; 0 disables it.
    pub prefix_cache_mib: u32,
    /// Worker threads; 0 for one per core. Answers do not depend on it.
    pub threads: usize,
}

/// A server that is bound to its address.
pub struct Serving {
    /// Run it to answer requests.
    pub server: Server,
    /// Memory of a language model's sequences.
    pub memory: Option<ServingMemory>,
    /// Why the model cannot chat although it has a chat template; completions and embeddings work.
    pub chat_problem: Option<String>,
}

/// The memory that sequences may take.
#[derive(Clone, Copy, Debug)]
pub struct ServingMemory {
    /// Sequences generated in parallel.
    pub slots: usize,
    /// Tokens of a sequence.
    pub context: usize,
    /// Keys and values of all sequences when all are full; while they grow it may be twice that.
    pub sequence_bytes: usize,
    /// Size of the prefix cache.
    pub prefix_cache_bytes: usize,
}

impl Serve {
    /// Default port.
    pub const PORT: u16 = 8080;
    /// Default address: this machine alone.
    pub const HOST: &str = "127.0.0.1";
    /// Default number of slots.
    pub const SLOTS: u16 = 4;
    /// Default length of the queue.
    pub const QUEUE: u16 = 64;
    /// Default size of the prefix cache in MiB.
    pub const PREFIX_CACHE_MIB: u32 = 512;

    /// This model, to this machine alone.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            adapter: None,
            embeddings: None,
            port: Self::PORT,
            host: Self::HOST.to_owned(),
            api_key: None,
            aliases: Vec::new(),
            cors: Vec::new(),
            chat_template: None,
            template_variables: Map::new(),
            keep_reasoning_apart: true,
            slots: Self::SLOTS,
            queue: Self::QUEUE,
            context: None,
            prefix_cache_mib: Self::PREFIX_CACHE_MIB,
            threads: 0,
        }
    }

    /// Opens the models and binds the address; the server answers once it runs.
    ///
    /// # Errors
    /// If a model cannot be opened, the address is taken or needs a key.
    pub fn bind(&self) -> Result<Serving> {
        let path = resolve_model(&self.model)?;
        let name = name(&self.model, &path);
        let mut memory = None;
        let (writer, embedder) = if is_encoder(&path) {
            if let Some(other) = &self.embeddings {
                return Err(Error::Request(format!(
                    "{} is already an embedding model; drop --embeddings {}",
                    self.model.display(),
                    other.display()
                )));
            }
            (None, Some((name, self.sentence_engine(&path)?)))
        } else {
            let mut model = open_model(&path, self.adapter.as_deref())?;
            if let Some(file) = &self.chat_template {
                use_chat_template(&mut model, file)?;
            }
            let model = Arc::new(model);
            let options = EngineOptions {
                slots: self.slots.into(),
                queue: self.queue.into(),
                context: self.context.unwrap_or_else(|| longest_context(&model).min(USUAL_CONTEXT)),
                prefix_cache_bytes: (self.prefix_cache_mib as usize).saturating_mul(1 << 20),
                threads: self.threads,
            };
            let embedder = match &self.embeddings {
                None => None,
                Some(given) => {
                    let path = resolve_model(given)?;
                    Some((self::name(given, &path), self.sentence_engine(&path)?))
                }
            };
            let engine = Engine::start(Arc::clone(&model), options)?;
            memory = Some(ServingMemory::of(&model, &options));
            (Some((name, engine)), embedder)
        };
        let mut service = Service::new(writer, embedder)?
            .with_aliases(&self.aliases)
            .with_variables(self.template_variables.clone());
        if !self.keep_reasoning_apart {
            service = service.with_plain_reasoning();
        }
        let chat_problem = service.chat_problem().map(str::to_owned);
        let server = Server::bind(service, &self.host, self.port, self.api_key.clone())?;
        Ok(Serving { server: server.with_origins(&self.cors)?, memory, chat_problem })
    }

    fn sentence_engine(&self, path: &Path) -> Result<SentenceEngine> {
        Ok(SentenceEngine::start(SentenceEncoder::open(path)?, WAITING_SENTENCES, self.threads)?)
    }
}

impl ServingMemory {
    fn of(model: &Model, options: &EngineOptions) -> Self {
        let config = model.decoder.config();
        // A key and a value of each layer.
        let token = 2 * config.layers.len() * config.key_value_width() * size_of::<f32>();
        Self {
            slots: options.slots,
            context: options.context,
            sequence_bytes: options.slots.saturating_mul(options.context).saturating_mul(token),
            prefix_cache_bytes: options.prefix_cache_bytes,
        }
    }
}

/// Whether a folder holds a sentence encoder.
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
