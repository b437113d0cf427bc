//! From data to a run folder and to answers, as a person would go.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use crate::common::*;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use safetensors::{Dtype, SafeTensors};

/// A dark stroke on a light ground or the reverse, as wide as a hand-written one.
fn one(side: u32) -> GrayImage {
    GrayImage::from_fn(side, side, |x, y| {
        let stroke = (3 * side / 8..5 * side / 8).contains(&x) && (side / 8..7 * side / 8).contains(&y);
        Luma([if stroke { 255 } else { 0 }])
    })
}

#[test]
fn digits_leave_a_complete_run_that_predicts() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("a run");
    let said = json(run("learn digits --epochs 2 --seed 4 --json --out", &[&run_folder]));
    assert_eq!(said["run"], run_folder.to_str().unwrap());
    assert_eq!(said["data"], "digits");
    assert_eq!(said["epochs"], 2);
    assert_eq!(said["seed"], 4);
    let accuracy = said["test_accuracy"].as_f64().unwrap();
    assert!((0.5..=1.0).contains(&accuracy), "{said}");
    assert_eq!(said["test"]["accuracy"], said["test_accuracy"]);
    assert!((355..=365).contains(&said["test"]["examples"].as_u64().unwrap()), "{said}");

    let expected = [
        "blueprint.toml",
        "checkpoint.safetensors",
        "metrics.jsonl",
        "model.safetensors",
        "report.html",
        "run.json",
    ];
    assert_eq!(names(&run_folder), expected);
    let record = record(&run_folder);
    assert_eq!(record["status"], "finished");
    assert_eq!(record["settings"]["seed"], 4);
    assert_eq!(record["results"]["test"]["accuracy"], said["test_accuracy"]);
    let rows = metrics(&run_folder);
    assert_eq!(rows.len(), 2);
    assert!(rows[1]["train_loss"].as_f64() < rows[0]["train_loss"].as_f64(), "{rows:?}");

    let report = fs::read_to_string(run_folder.join("report.html")).unwrap();
    assert!(report.to_lowercase().starts_with("<!doctype html"), "{}", &report[..80]);
    assert!(report.contains("<svg") && report.contains("data:image/png;base64,"));
    for outside in ["src=\"http", "href=\"http", "url(http", "<script src", "@import"] {
        assert!(!report.contains(outside), "the report needs the network: {outside}");
    }

    let bytes = model(&run_folder);
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let (mut weights, mut numbers) = (0, 0);
    for (name, tensor) in tensors.iter() {
        assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
        let values = tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        assert!(values.clone().all(f32::is_finite), "{name}");
        if !name.contains("running_") {
            numbers += values.len();
        }
        let shape = tensor.shape();
        // As PyTorch has them: [out, in, height, width] and [out, in].
        if name.starts_with("conv") && name.ends_with(".weight") {
            assert_eq!((shape.len(), &shape[2..]), (4, &[3, 3][..]), "{name}");
            weights += 1;
        }
    }
    assert!(weights >= 2, "{:?}", tensors.names());
    assert_eq!(tensors.tensor("conv1.weight").unwrap().shape()[1], 1, "one channel comes in");
    assert_eq!(tensors.tensor("classifier.weight").unwrap().shape()[0], 10);
    assert_eq!(tensors.tensor("classifier.bias").unwrap().shape(), [10]);
    assert_eq!(numbers as u64, said["parameters"].as_u64().unwrap());

    let picture = folder.path().join("one.png");
    let large = folder.path().join("one large.jpg");
    one(8).save(&picture).unwrap();
    one(200).save(&large).unwrap();
    let said = json(gyrus(["predict", "--json"]).args([&run_folder, &picture, &large]).output().unwrap());
    let predictions = said["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 2);
    for (prediction, file) in predictions.iter().zip([&picture, &large]) {
        assert_eq!(prediction["file"], file.to_str().unwrap());
        let all = prediction["probabilities"].as_object().unwrap();
        assert_eq!(
            all.keys().map(String::as_str).collect::<Vec<_>>(),
            ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
        );
        let sum: f64 = all.values().map(|p| p.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{prediction}");
        let class = prediction["class"].as_str().unwrap();
        assert_eq!(all[class], prediction["probability"]);
        let best = all.values().filter_map(serde_json::Value::as_f64).fold(0.0, f64::max);
        assert_eq!(prediction["probability"].as_f64().unwrap(), best);
    }

    let output = succeeded(gyrus(["predict"]).args([&run_folder, &picture]).output().unwrap());
    let text = stdout(&output);
    assert!(text.starts_with(picture.to_str().unwrap()) && text.contains('%'), "{text}");
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn without_json_it_says_what_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    let output = gyrus(words("learn digits --epochs 1 --blueprint perceptron"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = stdout(&succeeded(output));
    assert!(text.contains("test accuracy: ") && text.contains('%'), "{text}");
    assert!(text.contains("gyrus predict runs/digits"), "{text}");
    assert!(text.contains("report.html"), "{text}");
    assert!(folder.path().join("runs/digits/report.html").is_file(), "the default place");
}

/// Pictures of three classes, by color, in sizes and formats that differ.
fn write_pictures(folder: &Path) {
    let mut random = Random(11);
    for (class, color) in [("blue", [20, 40, 220]), ("green", [30, 200, 40]), ("red", [220, 30, 30])] {
        fs::create_dir(folder.join(class)).unwrap();
        for number in 0..24 {
            let (width, height) = (9 + random.below(40) as u32, 9 + random.below(40) as u32);
            let picture = RgbImage::from_fn(width, height, |_, _| {
                Rgb(color.map(|c: u8| c.saturating_add(random.below(30) as u8)))
            });
            let format = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP][number % 3];
            let extension = ["png", "JPG", "webp"][number % 3];
            let path = folder.join(class).join(format!("{number}.{extension}"));
            DynamicImage::from(picture).save_with_format(path, format).unwrap();
        }
    }
}

#[test]
fn a_folder_of_pictures_becomes_a_classifier_and_names_what_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().join("colors");
    fs::create_dir(&pictures).unwrap();
    write_pictures(&pictures);
    let broken = pictures.join("green/broken.png");
    let whole = fs::read(pictures.join("green/0.png")).unwrap();
    fs::write(&broken, &whole[..whole.len() / 2]).unwrap();
    fs::write(pictures.join("green/no picture.webp"), "not a picture at all").unwrap();
    fs::write(pictures.join("green/notes.txt"), "ignored").unwrap();

    let run_folder = folder.path().join("run");
    let output = run("learn --epochs 12 --json --out", &[&run_folder, &pictures]);
    let said = stderr(&output);
    assert!(said.contains(&format!("skipped {}", broken.display())), "{said}");
    assert!(said.contains("green/no picture.webp"), "{said}");
    assert!(said.contains("2 images skipped"), "{said}");
    assert!(!said.contains("notes.txt"), "{said}");
    let said = json(output);
    assert_eq!(said["skipped"], 2);
    let record = record(&run_folder);
    assert_eq!(record["skipped"]["count"], 2);
    assert_eq!(record["skipped"]["files"][0]["path"], broken.to_str().unwrap());
    assert_eq!(record["task"]["classes"], serde_json::json!(["blue", "green", "red"]), "{}", record["task"]);
    let examples = |part: &str| record["data"][part].as_u64().unwrap();
    assert_eq!(examples("train_examples") + examples("validation_examples") + examples("test_examples"), 72);
    assert!(said["test_accuracy"].as_f64().unwrap() > 0.9, "colors are easy: {said}");

    let files = ["blue/1.JPG", "green/3.png", "red/5.webp"].map(|name| pictures.join(name));
    let said = json(gyrus(["predict", "--json"]).arg(&run_folder).args(&files).output().unwrap());
    for (prediction, class) in said["predictions"].as_array().unwrap().iter().zip(["blue", "green", "red"]) {
        assert_eq!(prediction["class"], class, "{prediction}");
    }

    // A broken picture among good ones is an error of `predict`, which has nothing to skip it for.
    let sentence = refused(&gyrus(["predict"]).arg(&run_folder).arg(&broken).output().unwrap());
    assert!(sentence.contains("broken.png"), "{sentence}");
}

#[test]
fn a_table_with_text_to_predict_is_a_classification() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("things.csv");
    write_table(&table, 400);
    let run_folder = folder.path().join("run");
    let output = run("learn --target kind --epochs 12 --json --out", &[&run_folder, &table]);
    let said = stderr(&output);
    assert!(said.contains("target 'kind' is text with 2 distinct values: classification"), "{said}");
    let said = json(output);
    assert!(said["test_accuracy"].as_f64().unwrap() > 0.8, "{said}");
    assert_eq!(record(&run_folder)["task"]["kind"], "classification");

    // New rows: columns in another order, without the target, with a gap and with a color never seen.
    let rows = folder.path().join("rows.csv");
    fs::write(&rows, "price,color,height,width\n300,red,90,90\n30,violet,5,\n").unwrap();
    let said = json(gyrus(["predict", "--json"]).args([&run_folder, &rows]).output().unwrap());
    let predictions = said["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 2);
    assert_eq!((&predictions[0]["row"], &predictions[0]["class"]), (&1.into(), &"large".into()), "{said}");
    assert_eq!((&predictions[1]["row"], &predictions[1]["class"]), (&2.into(), &"small".into()), "{said}");

    let text = stdout(&succeeded(gyrus(["predict"]).args([&run_folder, &rows]).output().unwrap()));
    assert_eq!(text.lines().count(), 2);
    assert!(text.contains(", row 2 (line 3): small "), "{text}");
}

#[test]
fn a_table_with_a_quantity_to_predict_is_a_regression() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("things.csv");
    write_table(&table, 400);
    let run_folder = folder.path().join("run");
    let output = run("learn --target price --epochs 40 --json --out", &[&run_folder, &table]);
    let said = stderr(&output);
    assert!(said.contains("target 'price' is numeric") && said.contains("regression"), "{said}");
    let said = json(output);
    assert!(said["test_accuracy"].is_null());
    let error = said["test"]["mean_absolute_error"].as_f64().unwrap();
    // Prices go from 0 to 450; a tenth of the cells that decide them are missing.
    assert!(error > 0.0 && error < 60.0, "{said}");
    let report = fs::read_to_string(run_folder.join("report.html")).unwrap();
    assert!(report.contains("<svg"));

    let rows = folder.path().join("rows.csv");
    fs::write(&rows, "width,height,color,kind\n95,95,red,large\n5,5,green,small\n").unwrap();
    let said = json(gyrus(["predict", "--json"]).args([&run_folder, &rows]).output().unwrap());
    let value = |row: usize| said["predictions"][row]["value"].as_f64().unwrap();
    assert_eq!(said["predictions"][0]["target"], "price");
    assert!(value(0) > 250.0 && value(1) < 200.0, "{said}");
}

/// The first `count` examples of an IDX file, with the header to match.
fn shorten(from: &Path, to: &Path, count: u32, header: usize, item: usize) {
    let mut bytes = vec![0; header + count as usize * item];
    flate2::read::GzDecoder::new(fs::File::open(from).unwrap()).read_exact(&mut bytes).unwrap();
    bytes[4..8].copy_from_slice(&count.to_be_bytes());
    fs::write(to, bytes).unwrap();
}

#[test]
fn mnist_is_learned_from_its_standard_files() {
    let Some(data) = real_data("mnist") else { return };
    let folder = tempfile::tempdir().unwrap();
    for (part, count) in [("train", 2000), ("t10k", 500)] {
        let name = |what| format!("{part}-{what}-ubyte");
        let [images, labels] = [name("images-idx3"), name("labels-idx1")];
        let gz = |name: &str| data.join(format!("{name}.gz"));
        shorten(&gz(&images), &folder.path().join(&images), count, 16, 784);
        shorten(&gz(&labels), &folder.path().join(&labels), count, 8, 1);
    }
    // One of them compressed: both kinds are accepted, side by side.
    let labels = folder.path().join("t10k-labels-idx1-ubyte");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&fs::read(&labels).unwrap()).unwrap();
    fs::write(labels.with_extension("gz"), packed.finish().unwrap()).unwrap();
    fs::remove_file(labels).unwrap();

    let run_folder = folder.path().join("run");
    let said = json(run(
        "learn mnist --epochs 2 --blueprint cnn --json --data",
        &[folder.path(), Path::new("--out"), &run_folder],
    ));
    assert_eq!(said["test"]["examples"], 500);
    assert!(said["test_accuracy"].as_f64().unwrap() > 0.8, "{said}");
    let data = &record(&run_folder)["data"];
    let [train, validation] =
        ["train", "validation"].map(|part| data[format!("{part}_examples")].as_u64().unwrap());
    assert_eq!(train + validation, 2000, "the test files are for the test alone");
    assert!((195..=205).contains(&validation), "{data}");
}

#[test]
fn every_built_in_blueprint_and_a_file_learn_the_digits() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    fs::write(
        &file,
        r#"
name = "mine"
edges = [["input", "conv"], ["conv", "relu"], ["relu", "conv2"], ["conv2", "sum"], ["relu", "sum"], ["sum", "pool"],
         ["pool", "out"], ["out", "output"]]
node = [
    { name = "input", kind = "Input", shape = [1, 8, 8] },
    { name = "conv", kind = "Conv2d", out_channels = 8, kernel = 3, padding = 1 },
    { name = "relu", kind = "ReLU" },
    { name = "conv2", kind = "Conv2d", out_channels = 8, kernel = 3, padding = 1 },
    { name = "sum", kind = "GELU" },
    { name = "pool", kind = "GlobalAvgPool" },
    { name = "out", kind = "Affine", out_features = 10 },
    { name = "output", kind = "Output" },
]
"#,
    )
    .unwrap();
    for blueprint in ["mlp", "perceptron", "cnn", file.to_str().unwrap()] {
        let run_folder = folder.path().join(format!("run-{}", blueprint.replace('/', "-")));
        let line = format!(
            "learn digits --epochs 1 --optimizer sgd --learning-rate 0.02 --json --blueprint {blueprint} --out"
        );
        let said = json(run(&line, &[&run_folder]));
        assert!(said["parameters"].as_u64().unwrap() > 100, "{said}");
        assert!(said["test"]["loss"].as_f64().unwrap().is_finite(), "{said}");
    }
}
