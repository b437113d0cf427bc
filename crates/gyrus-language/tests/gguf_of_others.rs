//! GGUF files as other programs publish them: further formats, entries that say nothing, names of pre-tokenizers, parts.

use crate::common;
use std::path::{Path, PathBuf};

use gyrus_formats::gguf::{Description, Gguf, Value, write};
use gyrus_formats::{Bytes, Format};
use gyrus_language::{Cache, Parts, Sequence, gguf};

/// A file's entries, and its tensors with their bytes.
struct File {
    entries: Vec<(String, Value)>,
    tensors: Vec<(Description, Vec<u8>)>,
}

impl File {
    /// The tiny model in a format.
    fn tiny(folder: &Path, format: Format) -> Self {
        let path = folder.join("tiny.gguf");
        gguf::write(&common::parts(), &path, format).unwrap();
        Self::read(&path)
    }

    fn read(path: &Path) -> Self {
        let file = Gguf::parse(path, &Bytes::map(path).unwrap()).unwrap();
        let tensors = file.tensors.into_iter().map(|(name, tensor)| {
            let (shape, format) = (tensor.shape().to_vec(), tensor.format());
            (Description { name, shape, format }, tensor.bytes().to_vec())
        });
        Self { entries: file.entries.into_iter().collect(), tensors: tensors.collect() }
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.entries.retain(|(known, _)| known != key);
        self.entries.push((key.to_owned(), value));
        self
    }

    fn write(&self, path: &Path) -> PathBuf {
        let descriptions: Vec<Description> = self.tensors.iter().map(|(tensor, _)| tensor.clone()).collect();
        write(path, &self.entries, &descriptions, |place| self.tensors[place].1.clone()).unwrap();
        path.to_owned()
    }
}

fn logits(parts: Parts) -> Vec<f32> {
    let model = parts.build().unwrap();
    let mut cache = Cache::new(model.decoder.config());
    let tokens = [1, 5, 9, 7, 3, 3, 11];
    model.decoder.forward(&mut [Sequence { tokens: &tokens, cache: &mut cache, all_logits: true }]).unwrap()
}

fn refused(path: &Path) -> String {
    Parts::open(path).unwrap_err().to_string()
}

#[test]
fn models_in_the_formats_of_blocks_of_32_open_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let exact = logits(common::parts());
    let size = exact.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    for (format, most) in [
        (Format::Q8_0, 0.02),
        (Format::Q5_0, 0.12),
        (Format::Q5_1, 0.12),
        (Format::Q4_0, 0.25),
        (Format::Q4_1, 0.25),
    ] {
        let path = File::tiny(folder.path(), format).write(&folder.path().join("again.gguf"));
        let parts = Parts::open(&path).unwrap();
        assert_eq!(parts.checkpoint.tensors()["model.layers.0.mlp.up_proj.weight"].format(), format);
        let got = logits(parts);
        let error = got.iter().zip(&exact).fold(0.0f32, |largest, (a, b)| largest.max((a - b).abs()));
        assert!(error < most * size, "{format:?}: {error} of {size}");
    }
}

#[test]
fn formats_that_are_only_read_are_written_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    let mut file = File::tiny(folder.path(), Format::F32);
    // Rows of 64 weights: two blocks.
    let (tensor, bytes) =
        file.tensors.iter_mut().find(|(tensor, _)| tensor.name == "blk.0.ffn_down.weight").unwrap();
    tensor.format = Format::IQ4_NL;
    *bytes = gyrus_kernels::oracle::stored::blocks(Format::IQ4_NL, 32, 64, 7);
    let parts = Parts::open(&file.write(&path)).unwrap();
    let again = folder.path().join("again.gguf");
    gguf::write(&parts, &again, Format::F32).unwrap();
    assert_eq!(logits(Parts::open(&again).unwrap()).len(), logits(parts).len());
}

#[test]
fn entries_that_change_nothing_are_accepted_and_others_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let plain = logits(common::parts());
    for (key, value) in [
        ("llama.rope.scaling.attn_factor", Value::Number(1.0)),
        ("llama.rope.scaling.factor", Value::Number(1.0)),
        ("llama.rope.scaling.type", Value::Text("none".to_owned())),
        ("llama.expert_used_count", Value::Integer(0)),
        ("llama.attention.sliding_window", Value::Integer(0)),
        ("llama.attention.scale", Value::Number(0.0)),
        ("llama.logit_scale", Value::Number(1.0)),
        ("llama.residual_scale", Value::Number(1.0)),
        ("llama.expert_weights_scale", Value::Number(1.0)),
        ("llama.attention.causal", Value::Flag(true)),
        ("llama.attention.key_length_swa", Value::Integer(8)),
        ("llama.attention.head_count_kv", Value::Numbers(vec![2.0, 2.0])),
        ("llama.use_parallel_residual", Value::Flag(false)),
        ("llama.tensor_data_layout", Value::Text("Meta AI original pth".to_owned())),
    ] {
        let file = File::tiny(folder.path(), Format::F32).with(key, value).write(&path);
        assert!(logits(Parts::open(&file).unwrap()) == plain, "{key}");
    }
    for (key, value) in [
        ("llama.attention.clamp_kqv", Value::Number(8.0)),
        ("llama.use_parallel_residual", Value::Flag(true)),
        ("llama.attention.causal", Value::Flag(false)),
        ("llama.expert_count", Value::Integer(8)),
        ("llama.attention.head_count_kv", Value::Numbers(vec![2.0, 4.0])),
        ("llama.expert_weights_scale", Value::Number(2.5)),
        ("llama.rope.scaling.type", Value::Text("axial".to_owned())),
    ] {
        let file = File::tiny(folder.path(), Format::F32).with(key, value).write(&path);
        assert!(refused(&file).contains(key), "{key}");
    }
    // A factor that is not 1 counts.
    let file = File::tiny(folder.path(), Format::F32);
    let file = file.with("llama.rope.scaling.attn_factor", Value::Number(1.5)).write(&path);
    assert!(logits(Parts::open(&file).unwrap()) != plain);
    let said = refused(
        &File::tiny(folder.path(), Format::F32)
            .with("general.architecture", Value::Text("mamba".to_owned()))
            .write(&path),
    );
    assert!(said.contains("'mamba'") && said.contains("gemma3") && said.contains("hunyuan-dense"), "{said}");
}

#[test]
fn the_parts_of_a_split_model_are_opened_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let whole = File::tiny(folder.path(), Format::F32);
    let named = |part: usize| folder.path().join(format!("model-{part:05}-of-00003.gguf"));
    let of_split = |entries: Vec<(String, Value)>, number: usize, count: usize| {
        let file = File { entries, tensors: Vec::new() };
        file.with("split.no", Value::Integer(number as i128))
            .with("split.count", Value::Integer(3))
            .with("split.tensors.count", Value::Integer(count as i128))
    };
    let write_parts = |count: usize| {
        for number in 0..3 {
            let entries = if number == 0 { whole.entries.clone() } else { Vec::new() };
            let mut part = of_split(entries, number, count);
            let tensors = whole.tensors.iter().enumerate().filter(|(index, _)| index % 3 == number);
            part.tensors = tensors.map(|(_, tensor)| tensor.clone()).collect();
            part.write(&named(number + 1));
        }
    };
    write_parts(whole.tensors.len());
    let expected = logits(common::parts());
    // Any part leads to the others.
    assert!(logits(Parts::open(&named(1)).unwrap()) == expected);
    assert!(logits(Parts::open(&named(3)).unwrap()) == expected);
    let said = gguf::parse(&named(1), &Bytes::map(&named(1)).unwrap()).unwrap_err().to_string();
    assert!(said.contains("split.count"), "{said}");

    write_parts(whole.tensors.len() + 1);
    let said = refused(&named(1));
    assert!(said.contains("split.tensors.count"), "{said}");
    write_parts(whole.tensors.len());
    std::fs::remove_file(named(2)).unwrap();
    let said = refused(&named(1));
    assert!(said.contains("model-00002-of-00003.gguf"), "{said}");
    std::fs::copy(named(3), named(2)).unwrap();
    let said = refused(&named(1));
    assert!(said.contains("model-00002-of-00003.gguf") && said.contains("part 1 of 3"), "{said}");
    let alone = folder.path().join("alone.gguf");
    std::fs::copy(named(1), &alone).unwrap();
    let said = refused(&alone);
    assert!(said.contains("-00001-of-00003.gguf"), "{said}");
}

/// A folder of files that failed once, or a message that the test is skipped.
fn failing() -> Option<PathBuf> {
    let root = match std::env::var_os("GYRUS_FAILING") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/failing"),
    };
    let path = root.join("gguf");
    if !path.is_dir() {
        println!(
            "skipped: no {} (set GYRUS_FAILING to the folder with the files that failed)",
            path.display()
        );
        return None;
    }
    Some(path)
}

#[test]
fn files_that_were_refused_once_open() {
    let Some(folder) = failing() else { return };
    let open = |name: &str| Parts::open(&folder.join(format!("{name}.gguf")));
    for name in ["q5_0", "q4_1", "attn_factor_1", "ok_baseline"] {
        assert!(logits(open(name).unwrap()).iter().all(|logit| logit.is_finite()), "{name}");
    }
    let tokens = |name: &str| open(name).unwrap().tokenizer.encode("it's 1234  words\n", true).unwrap();
    assert_eq!(tokens("pre_deepseek_r1_qwen"), tokens("ok_baseline"));
    assert!(open("ok_baseline").unwrap().notes.is_empty());
    assert!(open("pre_missing").unwrap().notes[0].contains("pre-tokenizer"));
    let said = open("split_of_2").unwrap_err().to_string();
    assert!(said.contains("split_of_2") && said.contains("-00001-of-00002.gguf"), "{said}");
}

#[test]
fn a_text_longer_than_the_model_reads_is_refused_and_a_written_one_ends_there() {
    let mut parts = common::parts();
    parts.config.maximum_positions = 12;
    let model = parts.build().unwrap();
    let write = |prompt: &[u32], most: usize| {
        let request = gyrus_language::Request {
            sampling: gyrus_language::Sampling { temperature: 0.0, ..Default::default() },
            maximum_tokens: most,
            ..Default::default()
        };
        let mut cache = Cache::new(model.decoder.config());
        gyrus_language::generate(&model.decoder, &model.tokenizer, &mut cache, prompt, &request, |_| true)
    };
    let said = write(&[5; 13], 4).unwrap_err().to_string();
    assert!(said.contains("13 tokens") && said.contains("12 positions"), "{said}");
    assert!(write(&[5; 9], 40).unwrap().tokens.len() <= 4);
    assert!(write(&[5; 12], 40).unwrap().tokens.len() <= 1);
}
