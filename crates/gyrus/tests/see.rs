//! `gyrus see`: the summary, the object, the page, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::common::{
    Random, failed, gyrus, json, names, real_data, refused, stderr, stdout, succeeded, usage,
};
use gyrus::formats::{Checkpoint, Tensor};
use gyrus::language::{DecoderConfig, Parts, Piece, PieceKind, Sampling, SentencePiece, Tokenizer};
use serde_json::{Value, json};

fn see(arguments: &[&str]) -> Output {
    gyrus(["see"].iter().chain(arguments)).output().unwrap()
}

fn drawn(shape: Vec<usize>, random: &mut Random) -> Tensor {
    let values = (0..shape.iter().product()).map(|_| random.below(1000) as f32 / 1000.0 - 0.5).collect();
    Tensor::of_floats(shape, values)
}

/// A folder of Hugging Face with a tiny decoder. One of its tokens is as hostile as a token can be.
fn decoder(folder: &Path) -> String {
    let mut config = DecoderConfig::llama(64, 32, 2, (4, 2), 64, 10_000.0);
    config.beginning_of_text = Some(1);
    let mut random = Random(3);
    let tensors = config
        .parameters()
        .into_iter()
        .map(|parameter| (parameter.name, drawn(parameter.shape, &mut random)));
    let checkpoint = Checkpoint::new(Path::new("memory"), tensors.collect());
    let piece = |token: usize| match token {
        0..=2 => Piece { text: format!("<{token}>").into(), score: 0.0, kind: PieceKind::Control },
        3 => {
            Piece { text: b"</script><script>alert(1)</script>".to_vec(), score: 9.0, kind: PieceKind::Text }
        }
        4 => Piece { text: b" ".to_vec(), score: -1.0, kind: PieceKind::Text },
        _ => Piece { text: vec![b'A' + token as u8 - 5], score: -(token as f32), kind: PieceKind::Text },
    };
    let pieces = SentencePiece::new((0..64).map(piece).collect(), 0);
    let parts = Parts {
        config,
        checkpoint,
        tokenizer: Tokenizer::of_sentencepiece(pieces, vec![1], true),
        recommended: Sampling::default(),
        chat_template: None,
        notes: Vec::new(),
    };
    gyrus::language::write_folder(&parts, folder).unwrap();
    folder.to_str().unwrap().to_owned()
}

/// A folder with a tiny encoder of the BERT family.
fn encoder(folder: &Path) -> String {
    let (vocabulary, width, inner) = (40usize, 16usize, 24usize);
    let config = json!({
        "model_type": "bert", "vocab_size": vocabulary, "hidden_size": width, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": inner, "max_position_embeddings": 12, "type_vocab_size": 2,
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    let mut add = |name: String, shape: &[usize]| shapes.push((name, shape.to_vec()));
    for (table, rows) in [("word", vocabulary), ("position", 12), ("token_type", 2)] {
        add(format!("embeddings.{table}_embeddings.weight"), &[rows, width]);
    }
    let mut parts = vec![("embeddings".to_owned(), None)];
    for layer in 0..2 {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        for part in ["query", "key", "value"] {
            parts.push((name(&format!("attention.self.{part}")), Some((width, width))));
        }
        parts.push((name("attention.output.dense"), Some((width, width))));
        parts.push((name("attention.output"), None));
        parts.push((name("intermediate.dense"), Some((inner, width))));
        parts.push((name("output.dense"), Some((width, inner))));
        parts.push((name("output"), None));
    }
    for (name, product) in parts {
        match product {
            Some((outputs, inputs)) => {
                add(format!("{name}.weight"), &[outputs, inputs]);
                add(format!("{name}.bias"), &[outputs]);
            }
            None => {
                add(format!("{name}.LayerNorm.weight"), &[width]);
                add(format!("{name}.LayerNorm.bias"), &[width]);
            }
        }
    }
    let mut random = Random(4);
    let tensors = shapes.into_iter().map(|(name, shape)| (name, drawn(shape, &mut random)));
    gyrus::formats::safetensors::write(folder, &tensors.collect()).unwrap();
    let mut words: serde_json::Map<String, Value> = ["[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "<b>"]
        .iter()
        .enumerate()
        .map(|(token, word)| ((*word).to_owned(), json!(token)))
        .collect();
    (7..40).for_each(|token| drop(words.insert(format!("w{token}"), json!(token))));
    let special = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    let marks: serde_json::Map<String, Value> = [("[CLS]", 1), ("[SEP]", 2)]
        .iter()
        .map(|(name, id)| ((*name).to_owned(), json!({"id": name, "ids": [id], "tokens": [name]})))
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "decoder": null,
        "post_processor": {
            "type": "TemplateProcessing", "single": [special("[CLS]"), text, special("[SEP]")],
            "pair": [special("[CLS]"), text, special("[SEP]")], "special_tokens": marks,
        },
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"},
    });
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    folder.to_str().unwrap().to_owned()
}

fn page(path: &Path) -> String {
    let page = fs::read_to_string(path).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    // Nothing from outside of the file, and one script, which the policy names.
    for outside in ["http://", "https://", "src=\"/", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'") && page.contains("script-src 'sha256-"));
    assert_eq!(page.matches("<script").count(), 2);
    page
}

#[test]
fn a_decoder_is_summed_up_and_shown_on_a_page() {
    let place = tempfile::tempdir().unwrap();
    let model = decoder(&tempfile::tempdir_in(place.path()).unwrap().keep());
    let out = place.path().join("page.html");
    let to = out.to_str().unwrap();
    let output = succeeded(see(&[&model, "HELLO HELLO", "--output", to]));
    let said = stdout(&output);
    for part in ["\"H\"", "bits", "perplexity", "next: ", "logit lens: ", "is the most probable from "] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(stderr(&output).contains("page.html"), "{}", stderr(&output));
    let page = page(&out);
    // Two layers of four heads, each with its picture.
    assert_eq!(page.matches("<img src=\"data:image/png;base64,").count(), 8);
    for part in ["Input and surprise", "Attention maps", "Logit lens", "layer 1"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!names(place.path()).iter().any(|name| name.contains("tmp") && name.contains("html")));

    // The same with any number of threads, page and object.
    let ask = |threads: &str| {
        let answer =
            json(see(&[&model, "HELLO HELLO", "--output", to, "--threads", threads, "--json", "--top", "3"]));
        (answer, fs::read_to_string(&out).unwrap())
    };
    let (answer, first) = ask("1");
    assert_eq!((&answer, &first), (&ask("3").0, &ask("3").1));
    assert_eq!((answer["layers"].as_u64(), answer["heads"].as_u64()), (Some(2), Some(4)));
    let tokens = answer["tokens"].as_array().unwrap();
    assert_eq!(tokens[0]["surprisal_bits"], Value::Null);
    let mut bits = 0.0;
    for token in &tokens[1..] {
        bits += token["surprisal_bits"].as_f64().unwrap();
        assert!(token["rank"].as_u64().unwrap() >= 1);
    }
    for token in tokens {
        assert_eq!(token["next"].as_array().unwrap().len(), 3);
        assert_eq!(token["lens"].as_array().unwrap().len(), 3);
        assert_eq!(token["lens"][2]["top"][0]["token"], token["next"][0]["token"]);
    }
    let mean = answer["mean_surprisal_bits"].as_f64().unwrap();
    assert!((mean - bits / (tokens.len() - 1) as f64).abs() < 1e-9);
    assert!((answer["perplexity"].as_f64().unwrap() - mean.exp2()).abs() < 1e-6);
    assert_eq!(answer["attention_to"]["induction"].as_array().unwrap().len(), 2);
    assert_eq!(answer["attention_to"]["previous_token"][1].as_array().unwrap().len(), 4);
    assert_eq!(answer["report"], to);
}

#[test]
fn hostile_texts_and_names_stay_text() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("<img src=x onerror=alert(1)>");
    fs::create_dir(&folder).unwrap();
    let model = decoder(&folder);
    let out = place.path().join("page.html");
    let hostile = "</script><script>alert(1)</script>\"'&<\u{202e}";
    let answer = json(see(&[&model, hostile, "--output", out.to_str().unwrap(), "--json"]));
    let page = page(&out);
    assert!(!page.contains("<script>alert") && !page.contains("<img src=x") && !page.contains('\u{202e}'));
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"));
    assert_eq!(answer["text"], hostile);
}

#[test]
fn an_encoder_shows_its_maps() {
    let place = tempfile::tempdir().unwrap();
    let model = encoder(place.path());
    let out = place.path().join("page.html");
    let to = out.to_str().unwrap();
    let output = succeeded(see(&[&model, "the cat sat <b>", "--output", to]));
    let said = stdout(&output);
    assert!(said.contains(r#"6 tokens: "[CLS]" "the" "cat" "sat" "<b>" "[SEP]""#), "{said}");
    let page = page(&out);
    assert_eq!(page.matches("<img src=\"data:image/png;base64,").count(), 4);
    assert!(!page.contains("id=\"lens\"") && page.contains("&lt;b&gt;") && !page.contains("<b>cat"));
    let answer = json(see(&[&model, "the cat sat <b>", "--output", to, "--json"]));
    assert_eq!(answer["perplexity"], Value::Null);
    assert!(answer["attention_to"]["next_token"].is_array() && answer["tokens"][1]["next"].is_null());
    // Cut off would be another text.
    let said = refused(&see(&[&model, &"cat ".repeat(11), "--output", to]));
    assert!(said.contains("at most the 12"), "{said}");
}

#[test]
fn what_cannot_be_looked_at_is_refused_and_leaves_no_page() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("model");
    fs::create_dir(&folder).unwrap();
    let model = decoder(&folder);
    let out: PathBuf = place.path().join("page.html");
    let to = out.to_str().unwrap();
    let said = refused(&see(&[&model, &"HELLO ".repeat(200), "--output", to]));
    assert!(said.contains("at most 512"), "{said}");
    let said = refused(&see(&["nowhere/at/all", "HELLO", "--output", to]));
    assert!(said.contains("nowhere"), "{said}");
    let said = usage(&see(&[&model, "HELLO", "--top", "0", "--output", to]));
    assert!(said.contains("1..=100"), "{said}");
    let said = refused(&see(&[&model]));
    assert!(
        said.contains("is not the run of a network") && said.contains("for a language model a text"),
        "{said}"
    );
    // A folder that is no language model.
    fs::write(place.path().join("config.json"), r#"{"model_type": "vit"}"#).unwrap();
    let said = refused(&see(&[place.path().to_str().unwrap(), "HELLO", "--output", to]));
    assert!(said.contains("'vit'"), "{said}");
    assert!(!out.exists());
    let said =
        failed(&see(&[&model, "HELLO", "--output", place.path().join("no/page.html").to_str().unwrap()]), 1);
    assert!(said.contains("cannot write") && said.contains("page.html"), "{said}");
}

#[test]
fn a_story_of_llama2c_is_looked_into() {
    let Some(data) = real_data("stories260K") else { return };
    let model = data.join("stories260K.bin");
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("story.html");
    let text = "Once upon a time, there was a little girl named Lily.";
    let answer = json(see(&[model.to_str().unwrap(), text, "--output", out.to_str().unwrap(), "--json"]));
    assert!(answer["perplexity"].as_f64().unwrap() < 4.0, "{}", answer["perplexity"]);
    assert_eq!(page(&out).matches("<img src=\"data:image/png;base64,").count(), 40);
    // Greedily, the story goes on as it is expected to.
    let last = answer["tokens"].as_array().unwrap().last().unwrap();
    assert_eq!(last["next"][0]["text"], " She");
}
