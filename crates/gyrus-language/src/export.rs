//! A model as a Hugging Face folder, which Python's `transformers` opens: `config.json`, `model.safetensors`,
//! `tokenizer.json`, `tokenizer_config.json` and `generation_config.json`.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use gyrus_files::write_atomically;
use gyrus_formats::{Tensor, safetensors};
use serde_json::{Map, Value, json};

use crate::model::Parts;
use crate::rope::to_halves;
use crate::sentencepiece::{PieceKind, SentencePiece};
use crate::small::read_small;
use crate::{Biases, DecoderConfig, Error, Family, Layer, Result, Role, Stretch};

impl DecoderConfig {
    /// This decoder as a `config.json` of `transformers`: for the families Llama, Qwen2 and Qwen3. Positions are
    /// rotated in halves there, whatever [`crate::Rope::interleaved`] says.
    ///
    /// # Errors
    /// [`Error::Request`] for a decoder that such a file cannot express.
    pub fn to_hugging_face(&self) -> Result<Value> {
        let refuse =
            |got: String| Error::request("decoder", got, "one that Llama, Qwen2 or Qwen3 can express");
        let (kind, class) = match self.family {
            Family::Llama => ("llama", "LlamaForCausalLM"),
            Family::Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
            Family::Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
            other => return Err(refuse(format!("the family {other:?}"))),
        };
        let biases = match self.family {
            Family::Qwen2 => Biases { query_key_value: true, ..Biases::default() },
            _ => Biases { query_key_value: self.biases.attention_output, ..self.biases },
        };
        let plain = Layer { window: None, rope: Some(0) };
        let usual = biases == self.biases
            && self.layers.iter().all(|layer| *layer == plain)
            && self.ropes.len() == 1
            && self.embedding_scale == 1.0
            && self.residual_scale == 1.0
            && self.logits_divisor == 1.0
            && self.attention_softcap.is_none()
            && self.logits_softcap.is_none();
        if !usual {
            return Err(refuse(format!("a {:?} with parts of other families", self.family)));
        }
        let rope = &self.ropes[0];
        let mut parameters = json!({"rope_theta": rope.theta, "rope_type": "default"});
        match &rope.stretch {
            Stretch::None => {}
            Stretch::Linear { factor } => {
                parameters["rope_type"] = json!("linear");
                parameters["factor"] = json!(factor);
            }
            Stretch::Llama3 { factor, low, high, original_positions } => {
                parameters["rope_type"] = json!("llama3");
                parameters["factor"] = json!(factor);
                parameters["low_freq_factor"] = json!(low);
                parameters["high_freq_factor"] = json!(high);
                parameters["original_max_position_embeddings"] = json!(original_positions);
            }
            other => return Err(refuse(format!("positions stretched by {other:?}"))),
        }
        if rope.dimensions != self.head_width {
            return Err(refuse("heads of which a part is rotated".to_owned()));
        }
        let ends = match &self.end_of_text[..] {
            [] => Value::Null,
            [end] => json!(end),
            several => json!(several),
        };
        let mut config = json!({
            "architectures": [class],
            "model_type": kind,
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.feed_forward,
            "num_hidden_layers": self.layers.len(),
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_value_heads,
            "head_dim": self.head_width,
            "hidden_act": "silu",
            "max_position_embeddings": self.maximum_positions,
            // Eight digits tell any two 32-bit floats apart, and "1e-5" stays that.
            "rms_norm_eps": format!("{:e}", self.normalization_epsilon).parse::<f64>().unwrap_or_default(),
            "rope_theta": rope.theta,
            "rope_parameters": parameters,
            "tie_word_embeddings": self.tied,
            "bos_token_id": self.beginning_of_text,
            "eos_token_id": ends,
            "dtype": "float32",
        });
        if self.family != Family::Qwen2 {
            config["attention_bias"] = json!(self.biases.query_key_value);
        }
        if self.family == Family::Llama {
            config["mlp_bias"] = json!(self.biases.feed_forward);
        }
        Ok(config)
    }
}

/// Writes a model into `folder`, which must exist; its numbers become 32-bit floats.
///
/// # Errors
/// [`Error::Request`] for a decoder that `transformers` has no class for, [`gyrus_formats::Error::Write`] where a file cannot be
/// written.
pub fn write_folder(parts: &Parts, folder: &Path) -> Result<()> {
    let config = parts.config.to_hugging_face()?;
    let mut tensors = BTreeMap::new();
    for parameter in parts.config.parameters() {
        let Some(tensor) = parts.checkpoint.tensors().get(&parameter.name) else {
            let expected = format!("{:?}", parameter.shape);
            return Err(Error::tensor(parts.checkpoint.path(), parameter.name, "no such tensor", expected));
        };
        let turned = parts.config.ropes[0].interleaved && matches!(parameter.role, Role::Query | Role::Key);
        let tensor = if turned {
            let columns = if parameter.bias { 1 } else { tensor.columns() };
            let floats = to_halves(&tensor.floats(), parts.config.head_width, columns);
            Tensor::of_floats(tensor.shape().to_vec(), floats)
        } else {
            tensor.clone()
        };
        tensors.insert(parameter.name, tensor);
    }
    let begins = parts.tokenizer.begins(parts.config.beginning_of_text);
    let tokenizer = match (parts.tokenizer.as_sentencepiece(), parts.tokenizer.as_hugging_face()) {
        (Some(vocabulary), _) => {
            let begin = parts.config.beginning_of_text.filter(|_| begins);
            tokenizer_json(vocabulary, begin, parts.tokenizer.blank())
        }
        (_, Some(tokenizer)) => serde_json::to_value(tokenizer)
            .map_err(|error| Error::request("tokenizer", error.to_string(), "one that JSON can express"))?,
        (None, None) => Value::Null,
    };
    let text = |token: Option<u32>| token.and_then(|token| parts.tokenizer.text(token));
    let end =
        parts.config.end_of_text.iter().copied().find(|&end| Some(end) != parts.config.beginning_of_text);
    let mut tokenizer_config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": parts.config.maximum_positions,
        "clean_up_tokenization_spaces": false,
        "bos_token": text(parts.config.beginning_of_text),
        "eos_token": text(end),
    });
    if let Some(template) = &parts.chat_template {
        tokenizer_config["chat_template"] = json!(template);
    }
    let generation = json!({"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]});
    let files = [
        ("config.json", config),
        ("tokenizer.json", tokenizer),
        ("tokenizer_config.json", tokenizer_config),
        ("generation_config.json", generation),
    ];
    for (name, value) in files {
        let path = folder.join(name);
        write_atomically(&path, format!("{value:#}\n").as_bytes()).map_err(Error::write(&path))?;
    }
    safetensors::write(folder, &tensors)
}

/// Files that describe a model beside its weights.
const DESCRIPTIONS: [&str; 7] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "tokenizer.model",
    "added_tokens.json",
];

/// Writes the weights of a model that came from the folder `source` into `folder`, as 32-bit floats, with the files that
/// describe it there.
///
/// # Errors
/// [`gyrus_formats::Error::Io`] and [`gyrus_formats::Error::Mismatch`] where those files cannot be read, [`gyrus_formats::Error::Write`] where one cannot be written.
fn write_beside(parts: &Parts, source: &Path, folder: &Path) -> Result<()> {
    let path = source.join("config.json");
    let mut config: Value = serde_json::from_slice(&read_small(&path)?)
        .map_err(|error| Error::mismatch(&path, error.to_string(), "JSON"))?;
    for (name, value) in [("dtype", json!("float32")), ("torch_dtype", json!("float32"))] {
        if name == "dtype" || config.get(name).is_some() {
            config[name] = value;
        }
    }
    // What the numbers were quantised by before is done.
    if let Some(fields) = config.as_object_mut() {
        fields.remove("quantization_config");
    }
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        write_atomically(&path, bytes).map_err(Error::write(&path))
    };
    for name in DESCRIPTIONS {
        let from = source.join(name);
        if from.is_file() {
            write(name, &read_small(&from)?)?;
        }
    }
    write("config.json", format!("{config:#}\n").as_bytes())?;
    safetensors::write(folder, parts.checkpoint.tensors())
}

/// Writes a model whose weights were changed as a folder of Hugging Face: with the other files of the folder that it came
/// from, or with files made anew where it came from another format.
///
/// # Errors
/// As [`write_folder`].
pub fn write_model_folder(parts: &Parts, source: &Path, folder: &Path) -> Result<()> {
    if source.is_dir() { write_beside(parts, source, folder) } else { write_folder(parts, folder) }
}

/// SentencePiece's byte pairs as a `tokenizer.json`, as `transformers` converts Llama's: each way of joining two tokens
/// to a third is a pair, those of the highest score first.
fn tokenizer_json(vocabulary: &SentencePiece, begin: Option<u32>, blank: bool) -> Value {
    let marked = |text: &[u8]| String::from_utf8_lossy(text).replace(' ', "\u{2581}");
    let (mut texts, mut added, mut known) = (Map::new(), Vec::new(), HashSet::new());
    for (token, piece) in vocabulary.pieces().iter().enumerate() {
        let text = match piece.kind {
            PieceKind::Byte(byte) => format!("<0x{byte:02X}>"),
            PieceKind::Control => String::from_utf8_lossy(&piece.text).trim().to_owned(),
            PieceKind::Text | PieceKind::Whole => marked(&piece.text),
        };
        if matches!(piece.kind, PieceKind::Control | PieceKind::Whole) {
            added.push(json!({"id": token, "content": text, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": piece.kind == PieceKind::Control}));
        }
        if piece.kind == PieceKind::Text {
            known.insert(text.clone());
        }
        texts.entry(text).or_insert(json!(token));
    }
    let mut merges: Vec<(f32, String, String)> = Vec::new();
    for piece in vocabulary.pieces().iter().filter(|piece| piece.kind == PieceKind::Text) {
        let text = marked(&piece.text);
        for (cut, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(cut);
            if known.contains(left) && known.contains(right) {
                merges.push((piece.score, left.to_owned(), right.to_owned()));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0));
    let merges: Vec<Value> = merges.into_iter().map(|(_, left, right)| json!([left, right])).collect();
    let replace =
        |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
    let mut normalizers = vec![replace(" ", "\u{2581}")];
    let mut decoders =
        vec![replace("\u{2581}", " "), json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
    if blank {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": "\u{2581}"}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let unknown =
        vocabulary.pieces().first().map(|piece| String::from_utf8_lossy(&piece.text).trim().to_owned());
    let begin = begin.and_then(|token| {
        let text = String::from_utf8_lossy(&vocabulary.pieces().get(token as usize)?.text).trim().to_owned();
        Some(json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": text, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": text, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {(text.clone()): {"id": text, "ids": [token], "tokens": [text]}},
        }))
    });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": null,
        "post_processor": begin,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {"type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": texts, "merges": merges},
    })
}
