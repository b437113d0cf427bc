//! The caller's mistakes: each ends in one clear sentence, exit code 2, and no trace on the disk.

use std::fs;
use std::path::Path;

use crate::common::*;

/// Refuses `line`, with `PATH` words replaced, and leaves no run. The sentence is returned.
#[track_caller]
fn refused_without_trace(line: &str, folder: &Path) -> String {
    let output = gyrus(words(line)).args(["--out", "run"]).current_dir(folder).output().unwrap();
    let sentence = refused(&output);
    assert!(output.stdout.is_empty(), "{}", stdout(&output));
    assert!(!folder.join("run").exists(), "half a run was left: {:?}", names(&folder.join("run")));
    sentence
}

#[track_caller]
fn assert_says(sentence: &str, parts: &[&str]) {
    for part in parts {
        assert!(sentence.contains(part), "no {part:?} in: {sentence}");
    }
}

#[test]
fn unknown_names_are_answered_with_the_known_ones() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |line: &str| refused_without_trace(line, folder.path());
    assert_says(&refuse("learn digitz"), &["digitz", "digits", "mnist", "cifar10", "CSV"]);
    assert_says(&refuse("learn digits --optimizer adam"), &["optimizer", "`adam`", "adamw", "sgd"]);
    assert_says(&refuse("learn digits --schedule linear"), &["schedule", "`linear`", "one-cycle", "cosine"]);
    assert_says(&refuse("learn digits --augment heavy"), &["heavy", "light", "strong", "photos"]);
    assert_says(&refuse("learn digits --device tpu"), &["`tpu`", "cpu", "cuda", "wgpu"]);
    assert_says(&refuse("learn digits --blueprint resnet99"), &["resnet99", "resnet20", "TOML"]);
    for (device, built) in [
        ("cuda", cfg!(feature = "cuda")),
        ("wgpu", cfg!(feature = "wgpu")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("metal", cfg!(feature = "metal")),
    ] {
        if !built {
            let sentence = refuse(&format!("learn digits --device {device}"));
            assert_says(&sentence, &[device, &format!("--features {device}")]);
        }
    }
}

#[test]
fn numbers_out_of_range_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for (option, value) in [
        ("--epochs", "0"),
        ("--epochs", "-1"),
        ("--epochs", "many"),
        ("--epochs", "99999999999"),
        ("--batch-size", "0"),
        ("--batch-size", "99999999999999999999"),
        ("--batch-size", "1000000000"),
        ("--learning-rate", "NaN"),
        ("--learning-rate", "inf"),
        ("--learning-rate", "0"),
        ("--learning-rate", "-0.1"),
        ("--weight-decay", "nan"),
        ("--weight-decay", "2"),
        ("--label-smoothing", "1"),
        ("--seed", "-1"),
        ("--threads", "-1"),
        ("--threads", "1000000"),
        ("--image-size", "1000000"),
    ] {
        let arguments = ["learn", "digits", "--out", "run", &format!("{option}={value}")].map(str::to_owned);
        let said = usage(&gyrus(arguments).current_dir(folder.path()).output().unwrap());
        assert!(said.contains(option) && said.contains(value), "{said}");
        assert!(!folder.path().join("run").exists());
    }
}

#[test]
fn contradictions_on_the_command_line_are_refused() {
    for line in [
        "learn",
        "learn digits --resume run",
        "learn --resume run --out other",
        "learn --resume run --epochs 7",
        "learn --resume run --seed 7",
        "learn --resume run --learning-rate 0.1",
        "learn --resume run --blueprint cnn",
        "learn digits --no-such-option",
        "predict",
        "predict run",
        "forget digits",
        "",
    ] {
        let output = gyrus(words(line)).output().unwrap();
        assert_calm(&output);
        assert_eq!(output.status.code(), Some(2), "{line}: {}", stderr(&output));
        assert!(!stderr(&output).is_empty() && output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn a_batch_of_all_examples_and_more_is_a_batch_of_all_examples() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("things.csv");
    write_table(&table, 60);
    let run_folder = folder.path().join("run");
    json(run("learn --target kind --epochs 2 --batch-size 65536 --json --out", &[&run_folder, &table]));
    assert_eq!(metrics(&run_folder)[1]["step"], 2, "one step an epoch");
}

#[test]
fn tables_and_their_targets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("things.csv");
    write_table(&path, 60);
    let refuse = |line: &str| refused_without_trace(line, folder.path());
    assert_says(&refuse("learn things.csv"), &["things.csv", "--target"]);
    assert_says(
        &refuse("learn things.csv --target knid"),
        &["no column 'knid'", "did you mean 'kind'?", "width"],
    );
    assert_says(&refuse("learn thing.csv --target kind"), &["thing.csv"]);

    let write = |text: &[u8]| fs::write(&path, text).unwrap();
    for (text, parts) in [
        (&b""[..], &["things.csv, line 1", "empty"][..]),
        (b"a,kind\n", &["line 2", "rows"]),
        (b"a,kind\n1,x\n2\n", &["line 3", "1 field,", "2 as in the header"]),
        (b"a,a,kind\n1,2,x\n", &["line 1", "'a'"]),
        (b"a,kind\n1,\xff\xfe\n", &["line 2"]),
        (b"a,kind\n1,x\n2,x\n3,x\n", &["'kind'", "varies"]),
        (b"a,kind\n1,x\n2,y\n", &["kind"]),
        (b"a,kind\n1,\n2,\n", &["kind"]),
        (b"kind\nx\ny\nx\ny\n", &["no column to learn from"]),
        (b"a,kind\n\"1,x\n2,y\n", &["things.csv"]),
    ] {
        write(text);
        assert_says(&refuse("learn things.csv --target kind"), parts);
    }
    // Few rows are not a mistake as long as each class can be learned and tested.
    for rows in 4..12 {
        let text: String = (0..rows).map(|row| format!("{row},{}\n", ["x", "y"][row % 2])).collect();
        write(format!("a,kind\n{text}").as_bytes());
        let output = gyrus(words("learn things.csv --target kind --epochs 2 --overwrite --out run"))
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_calm(&output);
        assert!(matches!(output.status.code(), Some(0 | 2)), "{rows} rows: {}", stderr(&output));
    }
}

#[test]
fn folders_of_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().join("pictures");
    fs::create_dir(&pictures).unwrap();
    let refuse = || refused_without_trace("learn pictures", folder.path());
    assert_says(&refuse(), &["pictures", "no sub-folders", "one for each class"]);
    fs::create_dir(pictures.join("cats")).unwrap();
    assert_says(&refuse(), &["a single class, 'cats'"]);
    fs::create_dir(pictures.join("dogs")).unwrap();
    assert_says(&refuse(), &["cats", "0 usable images", "at least 2"]);
    for name in ["cats/1.png", "cats/2.png", "dogs/1.png"] {
        image::GrayImage::new(9, 9).save(pictures.join(name)).unwrap();
    }
    assert_says(&refuse(), &["dogs", "1 usable images", "at least 2"]);
}

#[test]
fn blueprints_that_do_not_fit_name_the_node() {
    let folder = tempfile::tempdir().unwrap();
    let node = |fields: &str| format!("[[node]]\n{fields}\n");
    let around = |shape: &str, middle: &str, classes: usize| {
        String::from("name = \"mine\"\n")
            + &node(&format!("name = \"eye\"\nkind = \"Input\"\nshape = {shape}"))
            + middle
            + &node("name = \"flat\"\nkind = \"Flatten\"")
            + &node(&format!("name = \"answer\"\nkind = \"Affine\"\nout_features = {classes}"))
            + &node("name = \"axon\"\nkind = \"Output\"")
    };
    let conv = node("name = \"edges\"\nkind = \"Conv2d\"\nout_channels = 4\nkernel = 9");
    let misspelt = node("name = \"edges\"\nkind = \"Conv2d\"\nout_chanels = 4\nkernel = 3");
    let unknown = node("name = \"edges\"\nkind = \"Conv7d\"");
    let spiking = node("name = \"cell\"\nkind = \"LIF\"\ntau_membrane_ms = 10.0");
    let groups = node("name = \"edges\"\nkind = \"Conv2d\"\nout_channels = 4\nkernel = 3\ngroups = 3");
    let huge = node("name = \"wide\"\nkind = \"Affine\"\nout_features = 99999999999");
    for (text, parts) in [
        (String::new(), &["mine.toml", "`name` is missing"][..]),
        ("name = \"mine\"\n[[node".into(), &["mine.toml", "line 2"]),
        (around("[1, 8, 8]", "", 7), &["mine.toml", "gives", "[7]", "[10]"]),
        (around("[1, 28, 28]", "", 10), &["mine.toml", "takes", "[1, 28, 28]", "[1, 8, 8]"]),
        (around("[3, 8, 8]", "", 10), &["mine.toml", "takes", "[3, 8, 8]"]),
        (around("[64]", "", 10), &["takes", "[64]"]),
        (around("[1, 8, 8]", &conv, 10), &["node `edges`", "Conv2d", "kernel", "line"]),
        (around("[1, 8, 8]", &misspelt, 10), &["node `edges`", "out_chanels", "line"]),
        (around("[1, 8, 8]", &unknown, 10), &["node `edges`", "Conv7d", "Conv2d"]),
        (around("[1, 8, 8]", &spiking, 10), &["`cell`", "LIF"]),
        (around("[1, 8, 8]", &groups, 10), &["node `edges`", "3 groups", "1"]),
        (around("[1, 8, 8]", &huge, 10), &["node `wide`", "99999999999"]),
    ] {
        fs::write(folder.path().join("mine.toml"), &text).unwrap();
        let sentence = refused_without_trace("learn digits --blueprint mine.toml", folder.path());
        assert_says(&sentence, parts);
    }
    fs::write(folder.path().join("mine.toml"), [0xff; 100]).unwrap();
    assert_says(&refused_without_trace("learn digits --blueprint mine.toml", folder.path()), &["mine.toml"]);
    // A built-in one that is not for such data.
    write_table(&folder.path().join("things.csv"), 60);
    let sentence =
        refused_without_trace("learn things.csv --target kind --blueprint resnet20", folder.path());
    assert_says(&sentence, &["node `", "[channels, height, width]"]);
}

#[test]
fn a_run_is_not_replaced_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("run");
    json(run("learn digits --epochs 1 --blueprint perceptron --json --out", &[&run_folder]));
    let before = model(&run_folder);
    let output = run("learn digits --epochs 1 --seed 1 --blueprint perceptron --out", &[&run_folder]);
    let sentence = refused(&output);
    assert_says(&sentence, &[run_folder.to_str().unwrap(), "finished run", "--overwrite"]);
    assert_eq!(model(&run_folder), before);
    // A mistake beside `--overwrite` costs nothing either.
    for mistake in
        ["--optimizer adam", "--device tpu", "--blueprint none.toml", "--augment x", "--schedule x"]
    {
        refused(&run(&format!("learn digits --overwrite {mistake} --out"), &[&run_folder]));
        assert_eq!(model(&run_folder), before, "{mistake}");
    }
    let line = "learn digits --epochs 1 --seed 1 --blueprint perceptron --overwrite --json --out";
    json(run(line, &[&run_folder]));
    assert_ne!(model(&run_folder), before);

    let other = folder.path().join("letters");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("letter.txt"), "dear").unwrap();
    for line in ["learn digits --epochs 1 --out", "learn digits --epochs 1 --overwrite --out"] {
        assert_says(&refused(&run(line, &[&other])), &["letters", "letter.txt"]);
        assert_eq!(names(&other), ["letter.txt"]);
    }
}

#[test]
fn what_is_not_a_run_or_not_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("run");
    json(run("learn digits --epochs 1 --blueprint perceptron --json --out", &[&run_folder]));
    let picture = folder.path().join("picture.png");
    image::GrayImage::new(8, 8).save(&picture).unwrap();
    let predict = |run_folder: &Path, file: &Path| {
        let output = gyrus(["predict"]).args([run_folder, file]).output().unwrap();
        let sentence = refused(&output);
        assert!(output.stdout.is_empty());
        sentence
    };
    assert_says(
        &predict(&folder.path().join("nowhere"), &picture),
        &["nowhere", "does not exist", "run folder"],
    );
    assert_says(&predict(&picture, &picture), &["picture.png", "not a folder"]);
    assert_says(&predict(folder.path(), &picture), &["not a run folder", "run.json"]);
    assert_says(&predict(&run_folder, &folder.path().join("none.png")), &["none.png"]);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert_says(&predict(&run_folder, &empty), &["empty is a folder without images"]);
    for (name, bytes) in [
        ("empty.png", &b""[..]),
        ("text.jpg", b"not a picture at all"),
        ("half.png", &fs::read(&picture).unwrap()[..40]),
        ("table.csv", b"a,b\n1,2\n"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert_says(&predict(&run_folder, &path), &[name]);
    }
    let sentence =
        refused(&gyrus(["predict", "--device", "cuda9"]).args([&run_folder, &picture]).output().unwrap());
    assert_says(&sentence, &["cuda9"]);

    // A table run wants tables, with its columns and numbers where it learned from numbers.
    let table = folder.path().join("things.csv");
    write_table(&table, 60);
    let table_run = folder.path().join("table run");
    json(run("learn --target kind --epochs 1 --json --out", &[&table_run, &table]));
    assert_says(&predict(&table_run, &picture), &["picture.png"]);
    let rows = folder.path().join("rows.csv");
    for (text, parts) in [
        ("width,color,price\n1,red,2\n", &["no column 'height'"][..]),
        ("width,height,color,price\n1,tall,red,2\n", &["line 2", "'tall'", "'height'", "a number"]),
        ("width,height,color,price\n", &["line 2", "rows"]),
    ] {
        fs::write(&rows, text).unwrap();
        assert_says(&predict(&table_run, &rows), parts);
    }
}
