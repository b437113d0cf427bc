//! The tokens of SentencePiece vocabularies in GGUF beside those of llama.cpp (golden/tokens.py made the file).

use gyrus_formats::gguf::{self, Value};
use gyrus_language::Tokenizer;
use serde_json::Value as Json;

#[test]
fn user_defined_tokens_of_white_space_are_found_as_in_llama_cpp() {
    let golden: Json = serde_json::from_str(include_str!("golden/tokens.json")).unwrap();
    let pieces = golden["pieces"].as_array().unwrap();
    let text = |piece: &Json| piece[0].as_str().unwrap().to_owned();
    let numbers =
        |place: usize| Value::Numbers(pieces.iter().map(|piece| piece[place].as_f64().unwrap()).collect());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vocabulary.gguf");
    let mut compared = 0;
    for vocabulary in golden["vocabularies"].as_array().unwrap() {
        let space = vocabulary["add_space_prefix"].as_bool().unwrap();
        let entries = [
            ("model", Value::Text("llama".to_owned())),
            ("tokens", Value::Texts(pieces.iter().map(text).collect())),
            ("scores", numbers(1)),
            ("token_type", numbers(2)),
            ("bos_token_id", Value::Integer(1)),
            ("add_space_prefix", Value::Flag(space)),
        ];
        let entries = entries.map(|(key, value)| (format!("tokenizer.ggml.{key}"), value));
        gguf::write(&path, &entries, &[], |_| Vec::new()).unwrap();
        let tokenizer = Tokenizer::open(&path).unwrap();
        assert_eq!(tokenizer.tokens(), pieces.len());
        let texts = golden["texts"].as_array().unwrap().iter().zip(vocabulary["ids"].as_array().unwrap());
        for (text, ids) in texts {
            let text = text.as_str().unwrap();
            let ids: Vec<u32> =
                ids.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
            assert_eq!(tokenizer.encode(text, false).unwrap(), ids, "{text:?}, space: {space}");
            compared += 1;
        }
        let begun = tokenizer.encode("a\nb", true).unwrap();
        assert_eq!(
            (begun[0], tokenizer.decode(&begun).unwrap().as_str()),
            (1, if space { "a\n b" } else { "a\nb" })
        );
    }
    assert!(compared > 150, "{compared}");
}
