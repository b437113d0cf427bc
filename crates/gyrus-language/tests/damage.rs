//! Damaged and hostile files end in an error message: no panic, and no allocation sized by an unchecked header.

use std::path::Path;

use crate::common::{Random, parts};
use gyrus_formats::{Bytes, Format};
use gyrus_language::{Cache, Parts, Sequence, gguf, llama2c};

/// Uses what was read: reads one token and decodes its text.
fn use_it(parts: Parts) {
    // More tokens would test nothing new.
    let Ok(model) = parts.build() else { return };
    let mut cache = Cache::new(model.decoder.config());
    let sequence = Sequence { tokens: &[1, 0], cache: &mut cache, all_logits: false };
    let _ = model.decoder.forward(&mut [sequence]);
    let _ = model.tokenizer.encode("ab <1> c", true).map(|tokens| model.tokenizer.decode(&tokens));
}

fn gguf_bytes() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    gguf::write(&parts(), &path, Format::Q8_0).unwrap();
    std::fs::read(path).unwrap()
}

fn llama2c_bytes() -> Vec<u8> {
    let parts = parts();
    let header = [32i32, 64, 2, 4, 2, 40, 16];
    let mut bytes: Vec<u8> = header.iter().flat_map(|number| number.to_le_bytes()).collect();
    let floats: usize =
        parts.checkpoint.tensors().values().map(|tensor| tensor.rows() * tensor.columns()).sum();
    bytes.resize(bytes.len() + 4 * (floats + 16 * 8), 0);
    bytes
}

#[test]
fn the_whole_files_are_read() {
    let read = gguf::parse(Path::new("x.gguf"), &gguf_bytes().into()).unwrap();
    // GGUF interleaves rotated pairs; nothing else differs.
    let mut expected = parts().config;
    expected.ropes[0].interleaved = true;
    assert_eq!(read.config, expected);
    assert_eq!(
        read.chat_template.as_ref().and_then(|templates| templates.default_text()),
        Some("{{ messages }}")
    );
    assert_eq!(read.tokenizer.encode("abc", true).unwrap(), parts().tokenizer.encode("abc", true).unwrap());
    use_it(read);
    let (config, _) = llama2c::parse(Path::new("x.bin"), &llama2c_bytes().into()).unwrap();
    assert_eq!((config.width, config.vocabulary, config.tied), (32, 40, true));
}

#[test]
fn cut_files_are_refused() {
    for (bytes, is_gguf) in [(gguf_bytes(), true), (llama2c_bytes(), false)] {
        let cuts = (0..bytes.len().min(3000)).chain((3000..bytes.len()).step_by(97)).chain([bytes.len() - 1]);
        for cut in cuts.filter(|&cut| cut < bytes.len()) {
            let part = Bytes::from(bytes[..cut].to_vec());
            let refused = if is_gguf {
                gguf::parse(Path::new("x"), &part).is_err()
            } else {
                llama2c::parse(Path::new("x"), &part).is_err()
            };
            // The padding after the last tensor may be missing.
            assert!(refused || is_gguf && cut + 32 > bytes.len(), "cut at {cut} of {}", bytes.len());
        }
    }
}

#[test]
fn changed_bytes_make_another_model_or_an_error() {
    let mut random = Random(9);
    let whole = gguf_bytes();
    // The part before the tensors' numbers.
    let head = 3000.min(whole.len());
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + random.next() % 3 {
            let place = (random.next() % head as u64) as usize;
            bytes[place] = [0, 0xFF, 1, 0x80, random.next() as u8][(random.next() % 5) as usize];
        }
        if let Ok(parts) = gguf::parse(Path::new("x"), &bytes.into()) {
            use_it(parts);
        }
    }
    let whole = llama2c_bytes();
    for _ in 0..2000 {
        let mut bytes = whole.clone();
        bytes[(random.next() % 28) as usize] = random.next() as u8;
        let _ = llama2c::parse(Path::new("x"), &bytes.into());
    }
}

#[test]
fn unchecked_headers_allocate_nothing() {
    let number = |bytes: &mut Vec<u8>, place: usize, value: u64| {
        bytes[place..place + 8].copy_from_slice(&value.to_le_bytes());
    };
    for place in [8, 16, 24] {
        for value in [u64::MAX, 1 << 40, 1 << 62] {
            let mut bytes = gguf_bytes();
            number(&mut bytes, place, value);
            let said = gguf::parse(Path::new("x.gguf"), &bytes.into()).unwrap_err().to_string();
            assert!(said.contains("x.gguf, byte") && said.contains("room"), "{said}");
        }
    }
    let vocabulary = [&[0u8; 8][..], &i32::MAX.to_le_bytes()].concat();
    // Too short for the beginning of a vocabulary, even one without tokens.
    let said = llama2c::parse_tokenizer(Path::new("t.bin"), &[], 0).unwrap_err().to_string();
    assert!(said.contains("the end at 0"), "{said}");
    let said = llama2c::parse_tokenizer(Path::new("t.bin"), &vocabulary, 1 << 22).unwrap_err().to_string();
    assert!(said.contains("byte 8") && said.contains("2147483647"), "{said}");
}

#[test]
fn unknown_formats_and_architectures_are_named() {
    let bytes = gguf_bytes();
    let replaced = |from: &[u8], to: &[u8]| {
        let place = bytes.windows(from.len()).position(|window| window == from).unwrap();
        let mut bytes = bytes.clone();
        bytes[place..place + to.len()].copy_from_slice(to);
        gguf::parse(Path::new("x"), &bytes.into()).and_then(Parts::build).unwrap_err().to_string()
    };
    let said = replaced(b"llama", b"mamba");
    assert!(said.contains("'mamba'") && said.contains("qwen3"), "{said}");
    let said = replaced(b"llama.block_count", b"llama.block_bound");
    assert!(said.contains("block_count"), "{said}");
    let said = replaced(b"llama.vocab_size", b"llama.vocab_sine");
    assert!(said.contains("llama.vocab_sine"), "{said}");
    let said = replaced(b"blk.0.attn_norm.weight", b"blk.0.attn_worm.weight");
    assert!(said.contains("input_layernorm"), "{said}");
}
