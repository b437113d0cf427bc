//! `gyrus quantize` with the real model of llama2.c's own tests.

use std::fs;

use crate::common::{json, real_data, refused, run, stdout, succeeded};

#[test]
fn a_quantized_model_goes_on_as_the_model_does() {
    let Some(data) = real_data("stories260K") else { return };
    let folder = tempfile::tempdir().unwrap();
    let model = data.join("stories260K.bin");
    let write = |model: &std::path::Path, tokens: usize| {
        let line = format!("write --json --temperature 0 --max-tokens {tokens}");
        json(run(&line, &[model]))["text"].as_str().unwrap().to_owned()
    };
    // Weights that are rounded more agree for less long.
    for (format, tokens, least, most) in
        [("f16", 100, 16.0, 18.0), ("q8_0", 20, 9.0, 13.0), ("q4_0", 5, 5.0, 10.0)]
    {
        let out = folder.path().join(format!("{format}.gguf"));
        let report = json(run(&format!("quantize --json --to {format}"), &[&model, &out]));
        let bits = report["bits_per_weight"].as_f64().unwrap();
        assert!((least..most).contains(&bits), "{format}: {bits} bits");
        assert_eq!(report["bytes"].as_u64().unwrap(), fs::metadata(&out).unwrap().len());
        assert_eq!(write(&out, tokens), write(&model, tokens), "{format}");
        // Quantizing what is quantized already changes nothing.
        let again = folder.path().join("again.gguf");
        let output = succeeded(run(&format!("quantize --overwrite --to {format}"), &[&out, &again]));
        assert!(stdout(&output).contains("again.gguf"));
        assert_eq!(fs::read(&out).unwrap(), fs::read(&again).unwrap(), "{format}");
    }
}

#[test]
fn an_existing_file_stays_unless_it_may_be_replaced() {
    let Some(data) = real_data("stories260K") else { return };
    let folder = tempfile::tempdir().unwrap();
    let model = data.join("stories260K.bin");
    let out = folder.path().join("out.gguf");
    fs::write(&out, "mine").unwrap();
    let said = refused(&run("quantize", &[&model, &out]));
    assert!(said.contains("out.gguf") && said.contains("--overwrite"), "{said}");
    assert_eq!(fs::read(&out).unwrap(), b"mine");
    let said = refused(&run("quantize", &[&model, &folder.path().join("out.bin")]));
    assert!(said.contains(".gguf"), "{said}");
    let output = run("quantize --to q3_k", &[&model, &out]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && said.contains("possible values") && said.contains("q4_k"),
        "{said}"
    );
}
