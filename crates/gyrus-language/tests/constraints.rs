//! Generation constrained to a JSON schema, whatever the model prefers.

use crate::common::real_data;
use gyrus_language::{Cache, Constraint, Ending, Model, Parts, Request, Sampling, generate, write_folder};
use serde_json::{Value, json};

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 12},
            "age": {"type": "integer", "minimum": 1, "maximum": 99},
            "friends": {"type": "array", "items": {"enum": ["dog", "cat"]}, "maxItems": 2},
        },
        "required": ["name", "age", "friends"],
        "additionalProperties": false,
    })
}

fn ask(model: &Model, constraint: &Constraint, seed: u64) -> (String, Ending) {
    let request = Request {
        sampling: Sampling { seed, ..Sampling::default() },
        maximum_tokens: 400,
        constraint: Some(constraint.clone()),
        ..Request::default()
    };
    let prompt = model.tokenizer.encode("Lily is a girl.", true).unwrap();
    let mut cache = Cache::new(model.decoder.config());
    let written =
        generate(&model.decoder, &model.tokenizer, &mut cache, &prompt, &request, |_| true).unwrap();
    (written.text, written.ending)
}

#[test]
fn every_text_matches_the_schema() {
    let Some(data) = real_data("stories260K") else { return };
    let parts = Parts::open(&data.join("stories260K.bin")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_folder(&parts, folder.path()).unwrap();
    // One vocabulary of SentencePiece, one of the `tokenizers` library.
    for model in [parts.build().unwrap(), Model::open(folder.path()).unwrap()] {
        let constraint = model.constraints().unwrap().json_schema(&schema()).unwrap();
        for seed in 0..5 {
            let (text, ending) = ask(&model, &constraint, seed);
            assert!(matches!(ending, Ending::Complete | Ending::EndOfText), "{ending:?}: {text}");
            let value: Value = serde_json::from_str(&text).expect(&text);
            let object = value.as_object().unwrap();
            assert_eq!(object.len(), 3, "{text}");
            assert!((1..=12).contains(&object["name"].as_str().unwrap().chars().count()), "{text}");
            assert!((1..=99).contains(&object["age"].as_i64().unwrap()), "{text}");
            let friends = object["friends"].as_array().unwrap();
            assert!(friends.len() <= 2 && friends.iter().all(|friend| friend == "dog" || friend == "cat"));
        }
    }
}

#[test]
fn unsupported_schemas_are_refused() {
    let Some(data) = real_data("stories260K") else { return };
    let model = Model::open(&data.join("stories260K.bin")).unwrap();
    let constraints = model.constraints().unwrap();
    for schema in [json!({"type": "color"}), json!({"$ref": "https://example.org/schema.json"}), json!(3)] {
        let said = constraints.json_schema(&schema).unwrap_err().to_string();
        assert!(said.starts_with("JSON schema: got") && !said.contains('\n'), "{said}");
    }
    let mut config = model.decoder.config().clone();
    config.end_of_text.clear();
    gyrus_language::Constraints::new(&model.tokenizer, &config).unwrap_err();
}
