//! Networks of images beyond training: `convert`, `publish`, `similar`, `label`, adapters, and `see` on what others trained.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::*;
use image::{GrayImage, ImageBuffer, Rgb, RgbImage};
use serde_json::json;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../gyrus-vision/tests/golden").join(name)
}

/// `folder/{train,test}/{dark,light,striped}/N.png`, all different.
fn write_pictures(folder: &Path) {
    for (part, count) in [("train", 12), ("test", 6)] {
        for (class, name) in ["dark", "light", "striped"].into_iter().enumerate() {
            let to = folder.join(part).join(name);
            fs::create_dir_all(&to).unwrap();
            for number in 0..count {
                let seed = (number + if part == "test" { 100 } else { 0 }) * 7919 + class * 31;
                let pixel = |x: u32, y: u32| {
                    let noise = (seed as u32 * 31 + x * 17 + y * 57 + x * y * 13) % 61;
                    let level = match class {
                        0 => 30 + noise,
                        1 => 150 + noise,
                        _ => (y / 3 % 2) * 150 + noise,
                    };
                    Rgb([level as u8, (level / 2 + 20) as u8, (level + 5) as u8])
                };
                let image: RgbImage = ImageBuffer::from_fn(24, 24, pixel);
                image.save(to.join(format!("{number}.png"))).unwrap();
            }
        }
    }
}

fn learned(folder: &Path, more: &str) -> PathBuf {
    let out = folder.join("run");
    let pictures = folder.join("pictures");
    write_pictures(&pictures);
    succeeded(run(&format!("learn {} --epochs 12 --quiet {more} --out", pictures.display()), &[&out]));
    out
}

fn probabilities(model: &Path, image: &Path) -> Vec<(String, f64)> {
    let answer = json(run("predict --json", &[model, image]));
    let all = answer["predictions"][0]["probabilities"].as_object().unwrap().clone();
    all.into_iter().map(|(name, value)| (name, value.as_f64().unwrap())).collect()
}

#[track_caller]
fn same(a: &[(String, f64)], b: &[(String, f64)]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-4, "{a:?} {b:?}");
    }
}

#[test]
fn a_run_is_the_same_network_as_an_onnx_file_and_as_a_published_folder() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let own = learned(folder, "");
    let picture = folder.join("pictures/test/striped/3.png");
    let expected = probabilities(&own, &picture);

    let file = folder.join("model.onnx");
    let report = json(run("convert --json", &[&own, &file]));
    assert_eq!((&report["opset"], &report["input"]), (&json!(20), &json!([3, 24, 24])), "{report}");
    same(&probabilities(&file, &picture), &expected);
    let said = refused(&run("convert", &[&own, &file]));
    assert!(said.contains("--overwrite"), "{said}");
    let said = refused(&run("convert", &[&own, &folder.join("model.pb")]));
    assert!(said.contains("does not end in .onnx"), "{said}");

    let published = folder.join("published");
    let report = json(run("publish --json --license MIT", &[&own, &published]));
    assert_eq!(report["library"], "gyrus", "{report}");
    same(&probabilities(&published, &picture), &expected);
    let card = fs::read_to_string(published.join("README.md")).unwrap();
    for part in [
        "license: \"mit\"",
        "pipeline_tag: image-classification",
        "type: accuracy",
        "## Intended use",
        "## Limits",
    ] {
        assert!(card.contains(part), "{part}: {card}");
    }
    assert!(card.contains("`striped`") && card.contains("with 95 % confidence"), "{card}");
    assert!(!card.contains(&folder.display().to_string()), "a card holds no paths: {card}");
    let said = refused(&run("publish", &[&own, &published]));
    assert!(said.contains("is not empty"), "{said}");
    let said = refused(&run("publish --overwrite", &[&own, &own]));
    assert!(said.contains("is a run folder"), "{said}");
    let said = refused(&run("publish --push nowhere --overwrite", &[&own, &published]));
    assert!(said.contains("OWNER/NAME"), "{said}");
}

#[test]
fn a_fine_tuned_network_of_timm_is_published_for_timm() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let own = learned(folder, &format!("--from {} --freeze", golden("resnet_basic").display()));
    let published = folder.join("published");
    let report = json(run("publish --json", &[&own, &published]));
    assert_eq!(
        (&report["library"], &report["architecture"]),
        (&json!("timm"), &json!("resnet18")),
        "{report}"
    );
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(published.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["label_names"], json!(["dark", "light", "striped"]));
    assert_eq!(config["pretrained_cfg"]["num_classes"], 3);
    assert!(!published.join("blueprint.toml").exists());
    let picture = folder.join("pictures/test/dark/1.png");
    same(&probabilities(&published, &picture), &probabilities(&own, &picture));
}

#[test]
fn adapters_of_a_transformer_learn_and_leave_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let own = learned(folder, &format!("--from {} --lora 4", golden("vit_timm").display()));
    let transfer = &record(&own)["transfer"];
    assert_eq!(transfer["adapter_rank"], 4);
    // Two matrices beside each of four layers in two blocks, and a last layer of 3 x 64 weights and 3 biases.
    let of_block = 4 * (64 + 192) + 4 * (64 + 64) + 2 * 4 * (64 + 96);
    assert_eq!(transfer["trained_parameters"], json!(2 * of_block + 3 * 64 + 3));
    let picture = folder.join("pictures/test/light/2.png");
    let expected = probabilities(&own, &picture);
    let (file, published) = (folder.join("model.onnx"), folder.join("published"));
    json(run("convert --json", &[&own, &file]));
    let report = json(run("publish --json", &[&own, &published]));
    assert_eq!(report["library"], "timm", "{report}");
    same(&probabilities(&published, &picture), &expected);
    let page = folder.join("page.html");
    let seen = json(run("see --synthesis-steps 0 --json --out", &[&page, &own]));
    assert_eq!(seen["attention"]["patches"], json!([3, 3]), "{}", seen["attention"]);
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("Where it looks") && html.contains("attention rollout"));

    let resnet = golden("resnet_basic");
    let pictures = folder.join("pictures");
    let said = refused(&run(&format!("learn {} --lora 4 --from", pictures.display()), &[&resnet]));
    assert!(said.contains("which has no attention"), "{said}");
    let said = refused(&run(&format!("learn {} --lora 4", pictures.display()), &[]));
    assert!(said.contains("--lora needs --from MODEL"), "{said}");
}

#[test]
fn networks_of_others_are_looked_into_with_images_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_pictures(&folder.join("pictures"));
    let page = folder.join("page.html");
    let line = format!("see --synthesis-steps 4 --json --data {} --out", folder.join("pictures").display());
    for name in ["resnet_basic", "two_towers/siglip"] {
        let seen = json(run(&line, &[&page, &golden(name)]));
        assert!(seen["layers"].as_array().unwrap().len() > 5, "{name}");
        assert_eq!(seen["accuracy"], json!(null), "{name} answers for other classes");
        assert!(seen["input_probe"]["accuracy"].as_f64().unwrap() > 0.5, "{name}");
        assert_eq!(seen.get("attention").is_some(), name.contains("siglip"), "{name}");
    }
    let said = refused(&run("see", &[&golden("resnet_basic")]));
    assert!(said.contains("--data DIR"), "{said}");
}

#[test]
fn copies_and_strangers_of_a_folder_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pictures = folder.join("pictures");
    write_pictures(&pictures);
    fs::copy(pictures.join("train/dark/5.png"), pictures.join("test/dark/copy.png")).unwrap();
    // Larger, and in another class.
    let image = image::open(pictures.join("train/striped/2.png")).unwrap();
    let larger = image.resize_exact(96, 96, image::imageops::FilterType::CatmullRom);
    larger.save(pictures.join("train/light/larger.png")).unwrap();
    let odd = GrayImage::from_fn(24, 24, |x, y| {
        image::Luma([if (x as i32 - 12).pow(2) + (y as i32 - 12).pow(2) < 40 { 255 } else { 0 }])
    });
    odd.save(pictures.join("train/light/odd.png")).unwrap();
    fs::write(pictures.join("train/light/broken.png"), "no image").unwrap();

    let report = json(run("similar --json", &[&pictures]));
    let groups = report["duplicates"].as_array().unwrap();
    let has = |group: &serde_json::Value, name: &str| group["files"].to_string().contains(name);
    let copy = groups.iter().find(|group| has(group, "copy.png")).unwrap();
    assert_eq!((&copy["same_bytes"], &copy["across_parts"]), (&json!(true), &json!(true)), "{copy}");
    assert_eq!(copy["across_classes"], false, "{copy}");
    let larger = groups.iter().find(|group| has(group, "larger.png")).unwrap();
    assert_eq!((&larger["same_bytes"], &larger["across_classes"]), (&json!(false), &json!(true)), "{larger}");
    assert!(has(larger, "striped/2.png"), "{larger}");
    assert_eq!(report["failed"].as_array().unwrap().len(), 1, "{report}");
    assert!(report["outliers"][0]["file"].as_str().unwrap().contains("odd.png"), "{}", report["outliers"]);

    let asked = pictures.join("test/striped/1.png");
    let model = golden("resnet_basic");
    for more in [Vec::new(), vec!["--model".into(), model.clone().into_os_string()]] {
        let mut arguments = vec!["similar".into(), "--json".into(), "--top".into(), "3".into()];
        arguments.extend([pictures.clone().into_os_string(), asked.clone().into_os_string()]);
        arguments.extend(more);
        let report = json(gyrus::<Vec<std::ffi::OsString>, _>(arguments).output().unwrap());
        let nearest = report["nearest"][0]["nearest"].as_array().unwrap();
        assert!(nearest.len() == 3 && nearest[0]["file"].as_str().unwrap().ends_with("test/striped/1.png"));
        assert!((nearest[0]["similarity"].as_f64().unwrap() - 1.0).abs() < 1e-4, "{report}");
        assert_eq!(report.get("duplicates"), None);
    }
    let said = refused(&run("similar", &[&folder.join("nowhere")]));
    assert!(said.contains("is no folder of images"), "{said}");

    // A run on such a folder says so.
    let out = folder.join("run");
    let output = succeeded(run(&format!("learn {} --epochs 1 --out", pictures.display()), &[&out]));
    let said = stderr(&output);
    assert!(said.contains("1 of 19 test images are also training images"), "{said}");
}

/// A vocabulary of words for the small towers.
const TOKENIZER: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
    "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
    "post_processor": {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "</s>", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [40], "tokens": ["<s>"]},
            "</s>": {"id": "</s>", "ids": [49], "tokens": ["</s>"]}}},
    "model": {"type": "WordLevel", "unk_token": "?",
        "vocab": {"?": 0, "a": 3, "photo": 4, "of": 5, "cat": 6, "dog": 7, "<s>": 40, "</s>": 49}}}"#;

#[test]
fn images_are_labeled_by_words() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pictures = folder.join("pictures");
    write_pictures(&pictures);
    for name in ["clip", "siglip"] {
        let model = folder.join(name);
        fs::create_dir(&model).unwrap();
        for file in ["config.json", "model.safetensors"] {
            fs::copy(golden("two_towers").join(name).join(file), model.join(file)).unwrap();
        }
        let line = |like: &str| {
            let arguments: Vec<std::ffi::OsString> = vec![
                "label".into(),
                pictures.clone().into(),
                "--json".into(),
                "--like".into(),
                like.into(),
                "--model".into(),
                model.clone().into(),
            ];
            gyrus(arguments).output().unwrap()
        };
        let said = refused(&line("a cat,a dog"));
        assert!(said.contains("has no tokenizer.json"), "{said}");
        fs::write(model.join("tokenizer.json"), TOKENIZER).unwrap();
        let report = json(line("a photo of a cat, a dog"));
        assert_eq!(report["labels"], json!(["a photo of a cat", "a dog"]));
        let images = report["images"].as_array().unwrap();
        assert_eq!(images.len(), 54);
        for image in images {
            let shares: Vec<f64> = image["probabilities"]
                .as_object()
                .unwrap()
                .values()
                .map(|share| share.as_f64().unwrap())
                .collect();
            let sum: f64 = shares.iter().sum();
            assert!(name == "siglip" || (sum - 1.0).abs() < 1e-5, "{image}");
            let best = if shares[0] >= shares[1] { "a photo of a cat" } else { "a dog" };
            assert_eq!(image["label"], best, "{image}");
        }
        let said = refused(&line("a cat,,a dog"));
        assert!(said.contains("expected labels"), "{said}");
    }
    let table = folder.join("labels.csv");
    let clip = folder.join("clip");
    let arguments = ["label", "--like", "a cat,a dog", "--quiet", "--out"].map(std::ffi::OsString::from);
    let arguments =
        arguments.into_iter().chain([table.clone().into(), "--model".into(), clip.into(), pictures.into()]);
    succeeded(gyrus(arguments).output().unwrap());
    let table = fs::read_to_string(table).unwrap();
    assert!(table.starts_with("file,label,p(a cat),p(a dog)\n") && table.lines().count() == 55, "{table}");
    let said = refused(&run("label --like x --model", &[&golden("resnet_basic"), &folder.join("pictures")]));
    assert!(said.contains("text_model.embeddings.token_embedding.weight"), "{said}");
}
