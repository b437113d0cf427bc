//! What the tests of `gyrus serve` share: a tiny model, the program serving it, and a client that speaks plain HTTP.
#![allow(dead_code, clippy::unwrap_used)] // Each test file uses a part.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use gyrus::formats::{Checkpoint, Format, Tensor};
use gyrus::language::{DecoderConfig, Parts, Piece, PieceKind, Sampling, SentencePiece, Tokenizer, gguf};
use serde_json::{Value, json};

use crate::common::{Random, gyrus};

/// A conversation as text, and tools in the form of Hermes.
const TEMPLATE: &str = "{{ bos_token }}{% if tools %}Tools: {{ tools | tojson }} in <tool_call>{% endif %}\
    {% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: ";

/// Writes a tiny model of drawn numbers that writes letters of ASCII, and returns its path.
pub(crate) fn tiny_model(folder: &Path) -> PathBuf {
    tiny_model_of(folder, TEMPLATE, &[])
}

/// The same with another chat template and more special tokens.
pub(crate) fn tiny_model_of(folder: &Path, template: &str, marks: &[&str]) -> PathBuf {
    let letters: Vec<u8> = std::iter::once(b'\n').chain(b' '..=b'~').collect();
    let vocabulary = 3 + letters.len() + marks.len();
    let mut config = DecoderConfig::llama(vocabulary, 64, 2, (4, 2), 96, 10_000.0);
    config.beginning_of_text = Some(1);
    config.end_of_text = vec![2];
    config.maximum_positions = 65536;
    let mut random = Random(3);
    let mut tensor = |shape: Vec<usize>| {
        let values = (0..shape.iter().product()).map(|_| (random.next() % 1000) as f32 / 2500.0 - 0.2);
        Tensor::of_floats(shape.clone(), values.collect())
    };
    let tensors: BTreeMap<String, Tensor> =
        config.parameters().into_iter().map(|parameter| (parameter.name, tensor(parameter.shape))).collect();
    let mark = |text: &str| Piece { text: text.into(), score: 0.0, kind: PieceKind::Control };
    let mut pieces = vec![mark("<unk>"), mark("<s>"), mark("</s>")];
    pieces.extend(letters.iter().map(|&letter| Piece {
        text: vec![letter],
        score: -1.0,
        kind: PieceKind::Text,
    }));
    pieces.extend(marks.iter().map(|text| mark(text)));
    let parts = Parts {
        config,
        checkpoint: Checkpoint::new(Path::new("memory"), tensors),
        tokenizer: Tokenizer::of_sentencepiece(SentencePiece::new(pieces, 0), vec![1], false),
        recommended: Sampling::default(),
        chat_template: Some(template.to_owned().into()),
        notes: Vec::new(),
    };
    let path = folder.join("tiny.gguf");
    gguf::write(&parts, &path, Format::F32).unwrap();
    path
}

/// The program, serving.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    _folder: Option<tempfile::TempDir>,
}

impl Serving {
    /// Serves a model with more arguments.
    pub(crate) fn start(model: &Path, arguments: &[&str]) -> Self {
        let mut command = gyrus(["serve", model.to_str().unwrap(), "--port", "0", "--threads", "2"]);
        command.args(arguments).env_remove("GYRUS_API_KEY").stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = loop {
            let line = lines.next().unwrap_or_else(|| panic!("no address: {said}")).unwrap();
            if let Some(address) = line.strip_prefix("serving at http://") {
                break address.strip_suffix("/v1").unwrap().parse().unwrap();
            }
            said += &line;
        };
        // Whatever else it says is shown.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| println!("server: {line}")));
        Self { child, address, _folder: None }
    }

    /// Serves the tiny model.
    pub(crate) fn tiny(arguments: &[&str]) -> Self {
        Self::tiny_of(TEMPLATE, &[], arguments)
    }

    /// Serves the tiny model with another chat template and more special tokens.
    pub(crate) fn tiny_of(template: &str, marks: &[&str], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut serving = Self::start(&tiny_model_of(folder.path(), template, marks), arguments);
        serving._folder = Some(folder);
        serving
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Response {
        send(self.address, "POST", path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        send(self.address, "GET", path, &[], b"")
    }

    /// A number of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let response = self.get("/metrics");
        assert_eq!(response.status, 200);
        let text = String::from_utf8(response.body).unwrap();
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Waits until a number of `/metrics` is as expected.
    pub(crate) fn wait_for(&self, name: &str, expected: f64) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.metric(name) != expected {
            assert!(Instant::now() < deadline, "{name} is {}, not {expected}", self.metric(name));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Memory of the program in bytes.
    pub(crate) fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The body as JSON, of a request that succeeded.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The error of a request that did not.
    #[track_caller]
    pub(crate) fn error(&self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        let value: Value = serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{text}"));
        let error = value["error"].clone();
        assert!(error["message"].is_string() && error["type"].is_string(), "{error}");
        assert!(error.as_object().unwrap().contains_key("param"), "{error}");
        error
    }

    /// The chunks of a streamed answer.
    #[track_caller]
    pub(crate) fn chunks(&self) -> Vec<Value> {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, 200, "{text}");
        assert!(self.head.to_ascii_lowercase().contains("content-type: text/event-stream"), "{}", self.head);
        let mut lines: Vec<&str> = text.split("\n\n").collect();
        assert_eq!(lines.pop(), Some(""), "{text}");
        assert_eq!(lines.pop(), Some("data: [DONE]"), "{text}");
        lines.iter().map(|line| serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap()).collect()
    }
}

impl Response {
    /// The events of a streamed response.
    #[track_caller]
    pub(crate) fn named_events(&self) -> Vec<Value> {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, 200, "{text}");
        let event = |block: &str| {
            let (name, data) = block.split_once('\n').unwrap_or_else(|| panic!("{text}"));
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
            data
        };
        text.trim_end().split("\n\n").map(event).collect()
    }
}

/// A connection on which a request was sent.
pub(crate) fn begin(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    // A server that refuses a long body need not read it.
    let _ = stream.write_all(body);
    Ok(stream)
}

pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let stream = begin(address, method, path, headers, body).unwrap();
    receive(stream).unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

/// The whole answer; none if the connection ends before it.
pub(crate) fn receive(stream: TcpStream) -> Option<Response> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let lower = head.to_ascii_lowercase();
    let mut body = Vec::new();
    if status == 204 {
        return Some(Response { status, head, body });
    }
    if lower.contains("transfer-encoding: chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    } else {
        let length = lower.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
        body.resize(length, 0);
        reader.read_exact(&mut body).ok()?;
    }
    Some(Response { status, head, body })
}

/// A question to the tiny model, with more fields.
pub(crate) fn question(text: &str, more: &Value) -> Value {
    let mut body = json!({"model": "tiny", "messages": [{"role": "user", "content": text}]});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// What an answer says.
pub(crate) fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

/// Writes a tiny encoder of sentences of drawn numbers, whose words are single letters, and returns its folder.
pub(crate) fn tiny_encoder(folder: &Path) -> PathBuf {
    let path = folder.join("tiny-encoder");
    std::fs::create_dir(&path).unwrap();
    let (width, ff, words, positions) = (16, 32, 30, 64);
    let config = json!({
        "model_type": "bert", "vocab_size": words, "hidden_size": width, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": ff, "max_position_embeddings": positions, "type_vocab_size": 2,
    });
    std::fs::write(path.join("config.json"), config.to_string()).unwrap();
    let letters = ('a'..='z').enumerate().map(|(index, letter)| (letter.to_string(), json!(index + 1)));
    let mut vocabulary: serde_json::Map<String, Value> = letters.collect();
    vocabulary.insert("[UNK]".to_owned(), json!(0));
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    });
    std::fs::write(path.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let mut shapes = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![words, width]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![positions, width]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, width]),
    ];
    let mut with_bias = |name: &str, weight: Vec<usize>| {
        shapes.push((format!("{name}.bias"), vec![weight[0]]));
        shapes.push((format!("{name}.weight"), weight));
    };
    with_bias("embeddings.LayerNorm", vec![width]);
    for (part, shape) in [
        ("attention.self.query", vec![width, width]),
        ("attention.self.key", vec![width, width]),
        ("attention.self.value", vec![width, width]),
        ("attention.output.dense", vec![width, width]),
        ("attention.output.LayerNorm", vec![width]),
        ("intermediate.dense", vec![ff, width]),
        ("output.dense", vec![width, ff]),
        ("output.LayerNorm", vec![width]),
    ] {
        with_bias(&format!("encoder.layer.0.{part}"), shape);
    }
    let mut random = Random(17);
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let values = (0..shape.iter().product()).map(|_| (random.next() % 1000) as f32 / 1000.0 - 0.5);
            let bytes = values.flat_map(f32::to_le_bytes).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        (name.clone(), view.unwrap())
    });
    let file = safetensors::serialize(views, None).unwrap();
    std::fs::write(path.join("model.safetensors"), file).unwrap();
    path
}
