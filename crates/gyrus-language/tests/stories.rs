//! A real model (stories260K of llama2.c's author) in every format.

use std::fs;

use crate::common::{greedy, real_data};
use gyrus_formats::Format;
use gyrus_language::{Cache, Model, Parts, Sequence, gguf, write_folder};

#[test]
fn llama2c_tells_the_expected_story() {
    let Some(data) = real_data("stories260K") else { return };
    let model = Model::open(&data.join("stories260K.bin")).unwrap();
    let expected = fs::read_to_string(data.join("expected")).unwrap();
    assert_eq!(greedy(&model, "", 200).0.trim_end(), expected.trim_end());
}

#[test]
fn sequences_together_have_the_logits_of_each_alone() {
    let Some(data) = real_data("stories260K") else { return };
    let model = Model::open(&data.join("stories260K.bin")).unwrap();
    let texts = ["Once upon a time", "Lily and her mom went to the park. It was", "He"];
    let tokens = texts.map(|text| model.tokenizer.encode(text, true).unwrap());
    let new_cache = || Cache::new(model.decoder.config());
    let close = |got: &[f32], expected: &[f32]| {
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-4, "{got}, expected {expected}");
        }
    };
    let alone: Vec<Vec<f32>> = tokens
        .iter()
        .map(|tokens| {
            let mut cache = new_cache();
            model.decoder.forward(&mut [Sequence { tokens, cache: &mut cache, all_logits: true }]).unwrap()
        })
        .collect();
    // Each begins at its own position: the first has read three tokens, the second one, the last none.
    let mut caches = [(); 3].map(|()| new_cache());
    let before = [3, 1, 0];
    for ((tokens, cache), before) in tokens.iter().zip(&mut caches).zip(before) {
        if before > 0 {
            let tokens = &tokens[..before];
            model.decoder.forward(&mut [Sequence { tokens, cache, all_logits: false }]).unwrap();
        }
    }
    let mut sequences: Vec<Sequence<'_>> = tokens
        .iter()
        .zip(&mut caches)
        .zip(before)
        .map(|((tokens, cache), before)| Sequence { tokens: &tokens[before..], cache, all_logits: true })
        .collect();
    let together = model.decoder.forward(&mut sequences).unwrap();
    let vocabulary = model.decoder.config().vocabulary;
    let expected: Vec<f32> = alone
        .iter()
        .zip(before)
        .flat_map(|(logits, before)| &logits[before * vocabulary..])
        .copied()
        .collect();
    close(&together, &expected);

    // Dropping the end and reading it again changes nothing.
    let cache = &mut caches[1];
    let tokens = &tokens[1];
    assert!(cache.truncate(4));
    assert_eq!(cache.positions(), 4);
    let again =
        model.decoder.forward(&mut [Sequence { tokens: &tokens[4..], cache, all_logits: true }]).unwrap();
    close(&again, &alone[1][4 * vocabulary..]);
}

#[test]
fn impossible_requests_are_refused() {
    let Some(data) = real_data("stories260K") else { return };
    let model = Model::open(&data.join("stories260K.bin")).unwrap();
    let mut cache = Cache::new(model.decoder.config());
    for tokens in [&[][..], &[512]] {
        let sequence = Sequence { tokens, cache: &mut cache, all_logits: false };
        model.decoder.forward(&mut [sequence]).unwrap_err();
    }
    assert_eq!(cache.positions(), 0);
}

#[test]
fn converted_to_hugging_face_and_to_gguf_it_tells_the_same_story() {
    let Some(data) = real_data("stories260K") else { return };
    let parts = Parts::open(&data.join("stories260K.bin")).unwrap();
    let expected = fs::read_to_string(data.join("expected")).unwrap();
    let (_, tokens) = greedy(&parts.clone().build().unwrap(), "", 200);
    let folder = tempfile::tempdir().unwrap();

    let converted = folder.path().join("stories");
    fs::create_dir(&converted).unwrap();
    write_folder(&parts, &converted).unwrap();
    let model = Model::open(&converted).unwrap();
    assert_eq!(greedy(&model, "", 200).0.trim_end(), expected.trim_end());

    // From either, in every format.
    let again = Parts::open(&converted).unwrap();
    assert!(again.config.ropes[0] != parts.config.ropes[0], "rotated in halves, no longer interleaved");
    let path = folder.path().join("stories.gguf");
    gguf::write(&parts, &path, Format::F32).unwrap();
    assert_eq!(greedy(&Model::open(&path).unwrap(), "", 200).0.trim_end(), expected.trim_end());
    for format in [Format::F16, Format::Q8_0] {
        gguf::write(&parts, &path, format).unwrap();
        let model = Model::open(&path).unwrap();
        let (_, got) = greedy(&model, "", 20);
        assert_eq!(got[..], tokens[..20], "{format:?}: {:?}", greedy(&model, "", 40).0);
    }
    // For other programs to read; see CONTRIBUTING.md.
    if let Some(out) = std::env::var_os("GYRUS_LANGUAGE_OUT") {
        let out = std::path::Path::new(&out);
        fs::create_dir_all(out).unwrap();
        write_folder(&parts, out).unwrap();
        for format in [Format::F32, Format::Q8_0] {
            gguf::write(&parts, &out.join(format!("{}.gguf", format.name())), format).unwrap();
        }
    }
    // And back.
    let from_gguf = Parts::open(&path).unwrap();
    assert_eq!(from_gguf.config.end_of_text, [2]);
    let back = folder.path().join("back");
    fs::create_dir(&back).unwrap();
    write_folder(&from_gguf, &back).unwrap();
    assert_eq!(greedy(&Model::open(&back).unwrap(), "", 20).1[..], tokens[..20]);
}

#[test]
fn vocabularies_tokenize_alike_in_every_format() {
    let Some(data) = real_data("stories260K") else { return };
    let parts = Parts::open(&data.join("stories260K.bin")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_folder(&parts, folder.path()).unwrap();
    let path = folder.path().join("stories.gguf");
    gguf::write(&parts, &path, Format::Q8_0).unwrap();
    let others = [Parts::open(folder.path()).unwrap().tokenizer, Parts::open(&path).unwrap().tokenizer];
    for text in ["", "Once upon a time", "Lily's mom said, \"Hello!\"\nShe  smiled.", "Zoë 😀 ▁ x\ty", " a"]
    {
        let tokens = parts.tokenizer.encode(text, true).unwrap();
        for other in &others {
            assert_eq!(other.encode(text, true).unwrap(), tokens, "{text:?}");
            assert_eq!(other.decode(&tokens).unwrap(), parts.tokenizer.decode(&tokens).unwrap(), "{text:?}");
        }
    }
}
