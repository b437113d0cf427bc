//! What is in a language model's files: GGUF, Hugging Face and llama2c, runs that trained one, and adapters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gyrus_formats::gguf::Value as Entry;
use gyrus_formats::{Checkpoint, safetensors};
use gyrus_language::{Adapter, DecoderConfig, Parts, SentenceEncoder, Tokenizer, gguf};
use gyrus_language_train::{TextRecord, TuneRecord};
use gyrus_train::RunFolder;
use serde::Serialize;
use serde_json::Value;

use super::InspectedTensor;
use crate::verbs::serialized;
use crate::{Error, Result};

/// The largest `config.json` that is read.
const MAXIMUM_CONFIG_BYTES: u64 = 16 << 20;
/// Longer values of metadata are cut.
const LONGEST_VALUE: usize = 100;

/// A language model.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedModel {
    /// "gguf", "hugging_face" or "llama2c".
    pub format: &'static str,
    /// The file or folder.
    #[serde(serialize_with = "serialized::path")]
    pub path: PathBuf,
    /// The architecture, as the files call it.
    pub architecture: String,
    /// The model's own name, if the file has one.
    pub name: Option<String>,
    /// Numbers of all tensors.
    pub parameters: u64,
    /// Bytes of all tensors.
    pub bytes: u64,
    /// The number types and how much is stored in each.
    pub types: BTreeMap<String, InspectedType>,
    /// Its shape.
    #[serde(flatten)]
    pub shape: InspectedShape,
    /// Its tokenizer, if the files have one.
    pub tokenizer: Option<InspectedTokenizer>,
    /// Whether there is a chat template.
    pub chat_template: bool,
    /// The run that trained it, if it is a run folder.
    pub run: Option<InspectedTraining>,
    /// Why Gyrus cannot run it, if it cannot.
    pub problem: Option<String>,
    /// What its reader noticed.
    pub notes: Vec<String>,
    /// Further metadata of the file, shortened.
    pub metadata: BTreeMap<String, String>,
    /// By name.
    pub tensors: BTreeMap<String, InspectedTensor>,
}

/// A number type of stored tensors.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct InspectedType {
    /// Tensors of this type.
    pub tensors: usize,
    /// Their numbers.
    pub parameters: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The shape of a decoder or encoder; what the files do not say is missing.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct InspectedShape {
    /// Context length in tokens.
    pub context: Option<u64>,
    /// Layers.
    pub layers: Option<u64>,
    /// Elements of the residual stream.
    pub width: Option<u64>,
    /// Inner width of the feed-forward layers.
    pub feed_forward: Option<u64>,
    /// Query heads.
    pub heads: Option<u64>,
    /// Key and value heads.
    pub key_value_heads: Option<u64>,
}

/// A tokenizer.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedTokenizer {
    /// Its kind, as the files call it.
    pub model: String,
    /// Number of tokens.
    pub tokens: usize,
    /// The token before each text.
    pub begin: Option<String>,
    /// The tokens that end a text.
    pub ends: Vec<String>,
}

/// The training of a model in a run folder.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedTraining {
    /// "language" or "tuning".
    pub task: &'static str,
    /// The name of the corpus or of the examples.
    pub data: String,
    /// Whether it is finished.
    pub status: &'static str,
    /// Training steps.
    pub steps: u64,
    /// Nats per token of text that it did not learn from.
    pub validation_loss: Option<f64>,
    /// The model that was tuned.
    pub base: Option<String>,
}

/// A low-rank adapter.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedAdapter {
    /// "adapter".
    pub format: &'static str,
    /// The folder.
    #[serde(serialize_with = "serialized::path")]
    pub path: PathBuf,
    /// The model that it adapts, if it names one.
    pub base: Option<String>,
    /// Its rank.
    pub rank: usize,
    /// Its outputs are scaled by alpha / rank.
    pub alpha: f64,
    /// The modules that are adapted.
    pub targets: Vec<String>,
    /// Linear layers that are adapted.
    pub matrices: usize,
    /// Its numbers.
    pub parameters: u64,
    /// The run that trained it, if it is a run folder.
    pub run: Option<InspectedTraining>,
}

/// The training that left this folder, if one did.
fn training(path: &Path) -> Result<Option<InspectedTraining>> {
    if !path.join("run.json").is_file() {
        return Ok(None);
    }
    let tuned = RunFolder::header(path)?.kind.as_deref() == Some(gyrus_language_train::TUNING_KIND);
    if tuned {
        let record: TuneRecord = RunFolder::record(path)?;
        let loss = record.results.as_ref().and_then(|results| results.validation_loss);
        return Ok(Some(InspectedTraining {
            task: "tuning",
            data: record.data.name,
            status: record.status.name(),
            steps: record.settings.steps,
            validation_loss: loss,
            base: Some(record.settings.base),
        }));
    }
    let record: TextRecord = RunFolder::record(path)?;
    Ok(Some(InspectedTraining {
        task: "language",
        data: record.data.name,
        status: record.status.name(),
        steps: record.settings.steps,
        validation_loss: record.results.map(|results| results.validation_loss),
        base: None,
    }))
}

pub(super) fn of_adapter(path: &Path) -> Result<InspectedAdapter> {
    let adapter = Adapter::open(path)?;
    let numbers = adapter.parts.values().map(|part| (part.down.len() + part.up.len()) as u64);
    Ok(InspectedAdapter {
        format: "adapter",
        path: path.to_owned(),
        base: adapter.config.base.clone(),
        rank: adapter.config.rank,
        alpha: adapter.config.alpha,
        targets: adapter.config.targets.clone(),
        matrices: adapter.parts.len(),
        parameters: numbers.sum(),
        run: training(path)?,
    })
}

/// Adds why Gyrus cannot run the model at this place, if it cannot, and what its reader noticed.
fn try_to_open(path: &Path, model: &mut InspectedModel) {
    let opened = Parts::open(path).and_then(|parts| {
        model.notes.clone_from(&parts.notes);
        parts.build()
    });
    if let Err(error) = opened {
        // Not a decoder, but perhaps an encoder.
        let encodes = path.is_dir() && SentenceEncoder::open(path).is_ok();
        model.problem = (!encodes).then(|| error.to_string());
    }
}

/// Types and tensors of a checkpoint.
fn tensors(checkpoint: &BTreeMap<String, gyrus_formats::Tensor>, model: &mut InspectedModel) {
    for (name, tensor) in checkpoint {
        let numbers = tensor.shape().iter().map(|&extent| extent as u64).product::<u64>();
        let bytes = tensor.bytes().len() as u64;
        let dtype = tensor.format().name().to_owned();
        let own = model.types.entry(dtype.clone()).or_default();
        (own.tensors, own.parameters, own.bytes) =
            (own.tensors + 1, own.parameters + numbers, own.bytes + bytes);
        (model.parameters, model.bytes) = (model.parameters + numbers, model.bytes + bytes);
        model.tensors.insert(name.clone(), InspectedTensor { dtype, shape: tensor.shape().to_vec() });
    }
}

fn empty(format: &'static str, path: &Path, architecture: String) -> InspectedModel {
    InspectedModel {
        format,
        path: path.to_owned(),
        architecture,
        name: None,
        parameters: 0,
        bytes: 0,
        types: BTreeMap::new(),
        shape: InspectedShape::default(),
        tokenizer: None,
        chat_template: false,
        run: None,
        problem: None,
        notes: Vec::new(),
        metadata: BTreeMap::new(),
        tensors: BTreeMap::new(),
    }
}

pub(super) fn of_gguf(path: &Path) -> Result<InspectedModel> {
    let file = gguf::container(path)?;
    let text = |key: &str| match file.entries.get(key) {
        Some(Entry::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let architecture = text("general.architecture").unwrap_or_default();
    let number = |key: String| match file.entries.get(&key) {
        Some(Entry::Integer(number)) => u64::try_from(*number).ok(),
        // One for each layer.
        Some(Entry::Numbers(list)) => list.iter().copied().reduce(f64::max).map(|most| most as u64),
        _ => None,
    };
    let own = |key: &str| number(format!("{architecture}.{key}"));
    let mut model = empty("gguf", path, architecture.clone());
    tensors(&file.tensors, &mut model);
    model.name = text("general.name");
    model.shape = InspectedShape {
        context: own("context_length"),
        layers: own("block_count"),
        width: own("embedding_length"),
        feed_forward: own("feed_forward_length"),
        heads: own("attention.head_count"),
        key_value_heads: own("attention.head_count_kv"),
    };
    if let Some(Entry::Texts(tokens)) = file.entries.get("tokenizer.ggml.tokens") {
        let token = |key: &str| {
            let token = number(format!("tokenizer.ggml.{key}_token_id"))?;
            tokens.get(usize::try_from(token).ok()?).cloned()
        };
        let kind = text("tokenizer.ggml.model").unwrap_or_default();
        let pre = text("tokenizer.ggml.pre").map_or(String::new(), |pre| format!(" ({pre})"));
        model.tokenizer = Some(InspectedTokenizer {
            model: kind + &pre,
            tokens: tokens.len(),
            begin: token("bos"),
            ends: ["eos", "eot", "eom"].iter().filter_map(|key| token(key)).collect(),
        });
    }
    model.chat_template = file.entries.contains_key("tokenizer.chat_template");
    model.metadata = file.entries.iter().map(|(key, entry)| (key.clone(), described(entry))).collect();
    try_to_open(path, &mut model);
    Ok(model)
}

fn described(entry: &Entry) -> String {
    let text = match entry {
        Entry::Integer(number) => number.to_string(),
        Entry::Number(number) => number.to_string(),
        Entry::Flag(flag) => flag.to_string(),
        Entry::Text(text) => text.clone(),
        Entry::Texts(list) => format!("{} texts", list.len()),
        Entry::Numbers(list) => format!("{} numbers", list.len()),
    };
    let mut short: String = text.chars().take(LONGEST_VALUE).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

pub(super) fn of_folder(path: &Path) -> Result<InspectedModel> {
    let file = path.join("config.json");
    let bytes = gyrus_files::read_bounded(&file, MAXIMUM_CONFIG_BYTES)?;
    let config: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Error::Request(format!("{}: {error}", file.display())))?;
    let names = config["architectures"].as_array().and_then(|names| names.first()?.as_str());
    let architecture = names.or(config["model_type"].as_str()).unwrap_or_default().to_owned();
    let mut model = empty("hugging_face", path, architecture);
    // Models of several kinds of input keep the language part apart.
    let inner = config.get("text_config").filter(|inner| inner.is_object());
    let number = |names: &[&str]| {
        let of = |config: &Value| names.iter().find_map(|name| config[*name].as_u64());
        of(&config).or_else(|| of(inner?))
    };
    model.shape = InspectedShape {
        context: number(&["max_position_embeddings", "n_positions", "n_ctx"]),
        layers: number(&["num_hidden_layers", "n_layer"]),
        width: number(&["hidden_size", "n_embd"]),
        feed_forward: number(&["intermediate_size", "n_inner"]),
        heads: number(&["num_attention_heads", "n_head"]),
        key_value_heads: number(&["num_key_value_heads"]),
    };
    let checkpoint = match Parts::open(path) {
        Ok(parts) => {
            model.chat_template = parts.chat_template.is_some();
            Some(parts.checkpoint)
        }
        Err(_) => safetensors::read_folder(path).ok(),
    };
    tensors(checkpoint.as_ref().map_or(&BTreeMap::new(), Checkpoint::tensors), &mut model);
    model.tokenizer = tokenizer(path, &config);
    try_to_open(path, &mut model);
    model.run = training(path)?;
    Ok(model)
}

/// The tokenizer of a folder, if there is one that can be read.
fn tokenizer(path: &Path, config: &Value) -> Option<InspectedTokenizer> {
    let tokenizer = Tokenizer::open(path).ok()?;
    let json = serde_json::to_value(tokenizer.as_hugging_face()?).ok()?;
    let text = |token: &Value| tokenizer.text(u32::try_from(token.as_u64()?).ok()?);
    let ends = &config["eos_token_id"];
    let ends = ends.as_array().map_or(std::slice::from_ref(ends), Vec::as_slice);
    Some(InspectedTokenizer {
        model: json["model"]["type"].as_str().unwrap_or_default().to_owned(),
        tokens: tokenizer.tokens(),
        begin: text(&config["bos_token_id"]),
        ends: ends.iter().filter_map(text).collect(),
    })
}

/// Of a llama2c file; none if it is no such file.
pub(super) fn of_llama2c(path: &Path) -> Option<InspectedModel> {
    let (config, checkpoint) = gyrus_language::llama2c::read(path).ok()?;
    let mut model = empty("llama2c", path, "llama".to_owned());
    let DecoderConfig { width, maximum_positions, vocabulary, .. } = config;
    model.shape = InspectedShape {
        context: Some(maximum_positions as u64),
        layers: Some(config.layers.len() as u64),
        width: Some(width as u64),
        feed_forward: Some(config.feed_forward as u64),
        heads: Some(config.heads as u64),
        key_value_heads: Some(config.key_value_heads as u64),
    };
    tensors(checkpoint.tensors(), &mut model);
    let tokenizer = Tokenizer::open(path);
    if let Ok(tokenizer) = &tokenizer {
        let text = |token: &u32| tokenizer.text(*token);
        model.tokenizer = Some(InspectedTokenizer {
            model: "SentencePiece".to_owned(),
            tokens: vocabulary,
            begin: config.beginning_of_text.as_ref().and_then(text),
            ends: config.end_of_text.iter().filter_map(text).collect(),
        });
    }
    try_to_open(path, &mut model);
    Some(model)
}
