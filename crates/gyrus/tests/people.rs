//! What people bring to `learn` and `predict`: drawings, folders with bad files, tables with tests of their own, options of
//! another kind of data, runs that shall go on.

use std::fs;
use std::path::Path;

use crate::common::*;
use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::Value;

/// The one sentence with which `line` is refused in `folder`.
#[track_caller]
fn refusal(line: &str, folder: &Path) -> String {
    refused(&gyrus(words(line)).current_dir(folder).output().unwrap())
}

#[test]
fn options_of_another_kind_of_data_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_table(&folder.join("things.csv"), 60);
    fs::write(folder.join("text.txt"), "a text ".repeat(400)).unwrap();
    let cases = [
        ("learn digits --layers 3", "--layers is for language models, and digits is no corpus"),
        ("learn digits --context 64", "--context is for language models"),
        (
            "learn text.txt --epochs 3",
            "--epochs is for networks that learn from examples, and text.txt is a corpus",
        ),
        ("learn text.txt --spiking", "--spiking is for networks"),
        ("learn digits --target kind", "--target is for tables, and digits is a data set of images"),
        ("learn digits --folds 3", "--folds is for tables"),
        ("learn digits --image-size 16", "--image-size is for folders of images or recordings"),
        (
            "learn things.csv --target kind --image-size 16",
            "--image-size is for folders of images or recordings",
        ),
        ("learn things.csv --target kind --data .", "--data is the folder with the files of mnist"),
        ("learn mnist --data nowhere", "nowhere is not there"),
        ("learn nowhere/things.csv --target kind", "there is no file or folder `nowhere/things.csv`"),
        ("learn mnits", "did you mean `mnist`?"),
    ];
    for (line, expected) in cases {
        let said = refusal(line, folder);
        assert!(said.contains(expected), "{line}: {said}");
        assert!(!folder.join("runs").exists(), "{line}");
    }
    let output = gyrus(words("learn MNIST")).current_dir(folder).output().unwrap();
    let said = failed(&output, 1);
    assert!(said.contains("gyrus learn mnist --data DIR"), "{said}");

    // A description beside the data is no corpus.
    let idx = folder.join("numbers");
    fs::create_dir(&idx).unwrap();
    fs::write(idx.join("README.txt"), "where these come from").unwrap();
    fs::write(idx.join("train-images-idx3-ubyte.gz"), "").unwrap();
    let said = refusal("learn numbers", folder);
    assert!(
        said.contains("numbers holds the files of mnist: use gyrus learn mnist --data numbers"),
        "{said}"
    );
    let photos = folder.join("photos");
    fs::create_dir(&photos).unwrap();
    fs::write(photos.join("notes.txt"), "our cats").unwrap();
    RgbImage::new(9, 9).save(photos.join("cat.png")).unwrap();
    let said = refusal("learn photos", folder);
    assert!(said.contains("expected at least two sub-folders of images"), "{said}");
}

#[test]
fn names_are_found_however_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let said = json(run("learn Digits --epochs 1 --json --out", &[&folder.path().join("run")]));
    assert_eq!(said["data"], "digits");
}

/// A ring, drawn with ink on paper and small in its sheet, or as the digits are.
fn zero(side: u32, paper: bool) -> GrayImage {
    let (center, radius, width) = if paper { (0.4, 0.16, 0.05) } else { (0.5, 0.36, 0.14) };
    GrayImage::from_fn(side, side, |x, y| {
        let from = |at: u32| (f64::from(at) + 0.5) / f64::from(side) - center;
        let ink = ((from(x) * 1.5).hypot(from(y)) - radius).abs() < width;
        Luma([if ink != paper { 240 } else { 15 }])
    })
}

#[test]
fn ink_on_paper_is_recognized_and_one_bad_file_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("run");
    json(run("learn digits --epochs 12 --json --out", &[&run_folder]));
    let images = folder.path().join("images");
    fs::create_dir_all(images.join("more")).unwrap();
    zero(300, true).save(images.join("paper.png")).unwrap();
    zero(8, false).save(images.join("same.bmp")).unwrap();
    zero(300, false).save(images.join("more/large.tiff")).unwrap();
    fs::write(images.join("broken.jpg"), b"\xff\xd8\xff\xe0broken").unwrap();
    let sheet = folder.path().join("seen.png");
    let table = folder.path().join("answers.csv");
    let ask = |options: &str| {
        let mut command = gyrus(words("predict"));
        command.args([&run_folder, &images]).args(words(options)).current_dir(folder.path()).output().unwrap()
    };
    let output = ask("--json --show-input seen.png");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let predictions = said["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 3, "{said}");
    for prediction in predictions {
        assert_eq!(prediction["class"], "0", "{prediction}");
    }
    let paper = predictions.iter().find(|one| one["file"].as_str().unwrap().ends_with("paper.png")).unwrap();
    assert!(paper["notes"][0].as_str().unwrap().starts_with("this is ink on paper"), "{paper}");
    assert!(said["failed"][0]["file"].as_str().unwrap().ends_with("broken.jpg"), "{said}");
    assert!(stderr(&output).contains("1 of 4 files could not be used"), "{}", stderr(&output));
    let seen = image::open(sheet).unwrap();
    assert_eq!((seen.width(), seen.height()), (3 * 164, 164));

    ask("--out answers.csv");
    let text = fs::read_to_string(table).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("file,prediction,p(0),p(1)"), "{text}");
    assert_eq!(lines.len(), 4);
    // Alone, a bad file is an error.
    refused(&run("predict", &[&run_folder, &images.join("broken.jpg")]));
}

#[test]
fn a_table_has_a_test_of_its_own_folds_baselines_and_answers_as_csv() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_table(&path("all.csv"), 300);
    let text = fs::read_to_string(path("all.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    fs::write(path("train.csv"), lines[..241].join("\n")).unwrap();
    fs::write(path("test.csv"), [&lines[..1], &lines[241..]].concat().join("\n")).unwrap();
    let ask = |line: &str| gyrus(words(line)).current_dir(folder.path()).output().unwrap();

    let said = json(ask("learn train.csv --target kind --test test.csv --epochs 20 --json --out own"));
    assert_eq!(said["test"]["examples"], 60);
    let rules = said["baselines"].as_array().unwrap();
    assert_eq!(rules.len(), 2, "{said}");
    assert!(rules[0]["name"].as_str().unwrap().starts_with("always '"), "{said}");
    assert!((0.3..0.8).contains(&rules[0]["accuracy"].as_f64().unwrap()), "{said}");
    assert!(rules[1]["accuracy"].as_f64().unwrap() > 0.7, "{said}");
    let page = fs::read_to_string(path("own/report.html")).unwrap();
    assert!(page.contains("a linear model") && page.contains("line "), "rows are named by their lines");

    let said = json(ask("learn all.csv --target price --folds 3 --epochs 10 --json --out folds"));
    let folds = said["cross_validation"]["folds"].as_array().unwrap();
    let rows: u64 = folds.iter().map(|fold| fold["examples"].as_u64().unwrap()).sum();
    assert_eq!((folds.len(), rows), (3, 300));
    let mean = folds.iter().map(|fold| fold["root_mean_squared_error"].as_f64().unwrap()).sum::<f64>() / 3.0;
    assert!((said["cross_validation"]["mean"].as_f64().unwrap() - mean).abs() < 1e-9, "{said}");
    assert!(!names(&path("folds")).iter().any(|name| name.starts_with("fold-")));

    succeeded(ask("predict folds test.csv --out answers.csv"));
    let text = fs::read_to_string(path("answers.csv")).unwrap();
    let answers: Vec<&str> = text.lines().collect();
    assert_eq!((answers[0], answers.len()), ("file,line,price", 61));
    let place = answers[1].strip_prefix("test.csv,2,").unwrap();
    assert!(place.parse::<f32>().is_ok(), "{}", answers[1]);
}

#[test]
fn a_run_goes_on_beyond_its_end_as_one_long_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let learn = |options: &str, name: &str| {
        json(run(&format!("learn digits {options} --json --out"), &[&path(name)]))
    };
    learn("--schedule constant --epochs 4", "long");
    learn("--schedule constant --epochs 2", "short");
    let said = json(run("learn --epochs 4 --json --resume", &[&path("short")]));
    assert_eq!(said["epochs"], 4);
    assert_eq!(metrics(&path("short")), metrics(&path("long")));
    assert_eq!(model(&path("short")), model(&path("long")), "bit for bit");

    // Other schedules have ended, which is said.
    learn("--epochs 1", "cycle");
    let output = run("learn --epochs 2 --resume", &[&path("cycle")]);
    let said = stderr(&succeeded(output));
    assert!(said.contains("the one-cycle schedule was made for 1 epochs"), "{said}");
    let again = refused(&run("learn --epochs 2 --resume", &[&path("cycle")]));
    assert!(again.contains("has 2 epochs; --epochs is the new number of all of them"), "{again}");
}

#[test]
fn a_run_that_diverged_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("run");
    let line = "learn digits --optimizer sgd --schedule one-cycle --epochs 30 --learning-rate 1e20 --blueprint mlp --out";
    let output = run(line, &[&run_folder]);
    failed(&output, 1);
    assert_eq!(record(&run_folder)["status"], "diverged");
    if run_folder.join("model.safetensors").exists() {
        let image = folder.path().join("image.png");
        zero(8, false).save(&image).unwrap();
        let said = stderr(&succeeded(run("predict", &[&run_folder, &image])));
        assert!(said.contains("the training of this run diverged"), "{said}");
    } else {
        let image = folder.path().join("image.png");
        let said = refused(&run("predict", &[&run_folder, &image]));
        assert!(said.contains("diverged before its first model"), "{said}");
    }
}

#[test]
fn colored_photographs_are_mirrored_and_letters_are_not() {
    let folder = tempfile::tempdir().unwrap();
    for (names, mirrored) in [(["cat", "dog"], true), (["turn left", "turn right"], false)] {
        let root = folder.path().join(names[0]);
        for (at, name) in names.iter().enumerate() {
            fs::create_dir_all(root.join(name)).unwrap();
            for number in 0..8_u8 {
                let image =
                    RgbImage::from_fn(90, 90, |x, y| Rgb([x as u8, y as u8, number + 100 * at as u8]));
                image.save(root.join(name).join(format!("{number}.png"))).unwrap();
            }
        }
        let run_folder = folder.path().join(format!("{}-run", names[0].replace(' ', "-")));
        let said = json(run("learn --epochs 1 --json --out", &[&run_folder, &root]));
        assert_eq!(said["blueprint"], "photo-cnn", "images of 90 pixels keep their detail");
        let record = record(&run_folder);
        assert_eq!(record["settings"]["augment"]["flip_horizontal"], mirrored, "{record}");
        assert_eq!(record["preprocessing"]["height"], 88);
    }
}
