//! The run folder: what was written is what is read, and everything else is refused in one clear sentence.

use std::fs;
use std::path::Path;

use gyrus_blueprint::preset;
use gyrus_data::{Dataset, Examples, Features, Images, Preprocessing, Skipped, Targets, Task};
use gyrus_train::{
    Error, Existing, MetricsRow, PartMetrics, Results, RunFolder, RunRecord, RunStatus, Settings, Timings,
};

fn dataset() -> Dataset {
    let images = Images { pixels: (0..32).collect(), count: 2, height: 4, width: 4, channels: 1 };
    let preprocessing = Preprocessing::for_images(&images);
    let examples = Examples { features: Features::Images(images), targets: Targets::Classes(vec![0, 1]) };
    Dataset {
        name: "dots".into(),
        task: Task::Classification { classes: vec!["none".into(), "<b>".into()] },
        train: examples.clone(),
        test: examples,
        preprocessing,
        fingerprint: "ab".repeat(32),
        skipped: vec![Skipped { path: "broken.png".into(), reason: "it ends at byte 3".into() }],
        notes: vec!["A note.".into()],
        test_rows: Vec::new(),
        validation: Vec::new(),
    }
}

fn record() -> RunRecord {
    let settings = Settings {
        seed: u64::MAX,
        epochs: 3,
        batch_size: 16,
        learning_rate: 0.1 + 0.2,
        optimizer: "adamw".into(),
        schedule: "cosine".into(),
        augment: "light".parse().unwrap(),
        weight_decay: 0.01,
        label_smoothing: 0.0,
        threads: 2,
        device: "cpu".into(),
        spiking: None,
    };
    RunRecord::new(&dataset(), Some(Path::new("/data/dots")), 1, settings)
}

fn finished() -> RunRecord {
    let part = PartMetrics {
        examples: 2,
        loss: 0.25,
        accuracy: Some(0.5),
        mean_absolute_error: None,
        root_mean_squared_error: None,
    };
    RunRecord {
        status: RunStatus::Finished,
        results: Some(Results {
            chosen_epoch: 2,
            train: Some(part.clone()),
            validation: None,
            test: Some(part.clone()),
            baselines: Vec::new(),
            folds: vec![part],
        }),
        timings: Timings { total_seconds: 1.0 / 3.0, ..Timings::default() },
        ..record()
    }
}

fn row(epoch: u32) -> MetricsRow {
    MetricsRow {
        epoch,
        step: u64::from(epoch) * 10,
        learning_rate: 1e-3 / 3.0,
        train_loss: 1.0 / f64::from(epoch),
        train_accuracy: Some(0.5),
        validation_loss: 2.0 / f64::from(epoch),
        validation_accuracy: None,
        seconds: 0.1,
        losses: vec![(u64::from(epoch) * 10, 1.0 / f64::from(epoch))],
    }
}

/// A complete run in a new folder.
fn complete() -> (tempfile::TempDir, RunFolder) {
    let directory = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(directory.path().join("deep/run"), Existing::Refuse).unwrap();
    folder.write_record(&finished()).unwrap();
    folder.write_blueprint(&preset("mlp", [1, 4, 4], 2).unwrap()).unwrap();
    folder.write_model(b"model").unwrap();
    (directory, folder)
}

/// Replaces text in `run.json` and says what opening the folder then comes to.
fn opened_after(folder: &RunFolder, from: &str, to: &str) -> String {
    let path = folder.path().join("run.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    let said = RunFolder::open(folder.path()).unwrap_err().to_string();
    fs::write(&path, text).unwrap();
    assert!(said.contains(&*path.to_string_lossy()), "{said}");
    assert!(!said.contains('\n'), "{said}");
    said
}

#[test]
fn what_was_written_is_what_is_read() {
    let (_directory, written) = complete();
    // Made once: a record says when it was made.
    let record = finished();
    written.write_record(&record).unwrap();
    let folder = RunFolder::open(written.path()).unwrap();
    assert_eq!(folder.read_record::<RunRecord>().unwrap(), record);
    assert_eq!(folder.read_blueprint().unwrap(), preset("mlp", [1, 4, 4], 2).unwrap());
    assert_eq!(folder.read_model().unwrap(), b"model");
    assert_eq!(folder.read_checkpoint().unwrap(), None);
    folder.write_checkpoint(b"state").unwrap();
    assert_eq!(folder.read_checkpoint().unwrap().unwrap(), b"state");
    folder.remove_checkpoint().unwrap();
    folder.remove_checkpoint().unwrap();
    assert_eq!(folder.read_checkpoint().unwrap(), None);
    folder.write_report("<!doctype html>").unwrap();
    assert_eq!(fs::read_to_string(folder.report_path()).unwrap(), "<!doctype html>");
}

#[test]
fn a_new_record_tells_its_data_set_and_the_time() {
    let record = record();
    assert_eq!(record.status, RunStatus::Running);
    let data = &record.data;
    assert_eq!((data.train_examples, data.validation_examples, data.test_examples), (1, 1, 2));
    assert_eq!(data.path.as_deref(), Some("/data/dots"));
    assert_eq!(record.skipped.count, 1);
    assert_eq!(record.skipped.files[0].path, "broken.png");
    let [date, time] = record.created.split('T').collect::<Vec<_>>()[..] else {
        panic!("{}", record.created)
    };
    assert_eq!((date.len(), time.len()), (10, 9), "{}", record.created);
    assert!(time.ends_with('Z'));
}

#[test]
fn many_skipped_files_are_counted_and_the_first_named() {
    let skipped = vec![Skipped { path: "x".into(), reason: "y".into() }; 5000];
    let record = RunRecord::new(&Dataset { skipped, ..dataset() }, None, 1, record().settings);
    assert_eq!((record.skipped.count, record.skipped.files.len()), (5000, 1000));
}

#[test]
fn a_loss_that_is_no_number_survives_the_file() {
    let (_directory, folder) = complete();
    let diverged = MetricsRow { train_loss: f64::INFINITY, validation_loss: f64::NAN, ..row(1) };
    folder.append_metrics(&diverged).unwrap();
    let read = &folder.read_metrics().unwrap()[0];
    assert!(read.train_loss.is_nan() && read.validation_loss.is_nan());
    assert_eq!(read.learning_rate, diverged.learning_rate);
}

#[test]
fn only_a_new_empty_or_worthless_folder_is_taken_for_a_new_run() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("thesis.txt"), "years of work").unwrap();
    for existing in [Existing::Refuse, Existing::Replace] {
        let error = RunFolder::create(&path, existing).unwrap_err();
        assert!(matches!(&error, Error::NotEmpty { entry, .. } if entry == "thesis.txt"), "{error}");
    }
    let error = RunFolder::create(path.join("thesis.txt"), Existing::Replace).unwrap_err();
    assert!(matches!(error, Error::NotAFolder { .. }), "{error}");
    fs::remove_file(path.join("thesis.txt")).unwrap();
    // Left by a writer that was killed.
    fs::write(path.join(".gyrus-Ab12Cd.tmp"), "torn").unwrap();
    RunFolder::create(&path, Existing::Refuse).unwrap();
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

#[test]
fn a_run_with_something_to_lose_is_replaced_only_when_told() {
    let (_directory, folder) = complete();
    let error = RunFolder::create(folder.path(), Existing::Refuse).unwrap_err();
    assert!(matches!(error, Error::RunExists { status: RunStatus::Finished, .. }), "{error}");

    folder.write_record(&record()).unwrap();
    let error = RunFolder::create(folder.path(), Existing::Refuse).unwrap_err();
    assert!(error.to_string().contains("--resume"), "{error}");

    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    RunFolder::create(folder.path(), Existing::Replace).unwrap();
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["notes.txt"]);
}

#[test]
fn a_run_that_never_saved_anything_gives_way() {
    let directory = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(directory.path(), Existing::Refuse).unwrap();
    folder.write_record(&record()).unwrap();
    RunFolder::create(directory.path(), Existing::Refuse).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_that_is_no_run_is_refused_with_its_path() {
    let (directory, folder) = complete();
    let said = |path: &Path| {
        let said = RunFolder::open(path).unwrap_err().to_string();
        assert!(said.contains(&*path.to_string_lossy()), "{said}");
        said
    };
    assert!(said(&directory.path().join("nowhere")).contains("does not exist"));
    assert!(said(&folder.path().join("run.json")).contains("is not a folder"));
    assert!(said(directory.path()).contains("has no run.json"));
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert!(said(folder.path()).contains("has no model.safetensors: the file is missing"));
    folder.write_record(&record()).unwrap();
    assert!(said(folder.path()).contains("--resume"));
    RunFolder::resume::<RunRecord>(folder.path()).unwrap();
    fs::remove_file(folder.path().join("blueprint.toml")).unwrap();
    assert!(said(folder.path()).contains("has no blueprint.toml"));
    RunFolder::resume::<RunRecord>(folder.path()).unwrap_err();
}

#[test]
fn a_broken_record_is_refused_with_line_and_column() {
    let (_directory, folder) = complete();
    let said = opened_after(&folder, "\"seed\": 18446744073709551615", "\"seed\": -1");
    assert!(said.contains(", line ") && said.contains("expected u64"), "{said}");
    let said = opened_after(&folder, "\"status\": \"finished\"", "\"status\": \"\\u001b[2Jdone\"");
    assert!(said.contains("unknown variant") && !said.contains('\u{1b}'), "{said}");
    let said = opened_after(&folder, "\"epochs\": 3,", "");
    assert!(said.contains("missing field `epochs`"), "{said}");
    let path = folder.path().join("run.json");
    for broken in ["", "[]", "{\"format_version\": 1", &"[".repeat(100_000), "\u{0}\u{1}"] {
        fs::write(&path, broken).unwrap();
        let error = RunFolder::open(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Json { line: 0 | 1, .. }), "{error}");
    }
}

#[test]
fn a_record_of_another_version_is_refused_and_says_who_wrote_it() {
    let (_directory, folder) = complete();
    let path = folder.path().join("run.json");
    for version in ["0", "2", "4294967295"] {
        fs::write(
            &path,
            format!("{{\"format_version\": {version}, \"gyrus_version\": \"9.1\", \"new\": 1}}"),
        )
        .unwrap();
        let error = RunFolder::open(folder.path()).unwrap_err();
        assert!(matches!(error, Error::UnknownVersion { .. }), "{error}");
        assert!(error.to_string().contains("Gyrus \"9.1\""), "{error}");
    }
}

#[test]
fn a_record_that_would_harm_is_refused() {
    let (_directory, folder) = complete();
    let cases = [
        ("\"height\": 4", "\"height\": 4000000000000000000"),
        ("\"height\": 4", "\"height\": 0"),
        ("\"channels\": 1", "\"channels\": 2"),
        ("\"mean\": [", "\"mean\": [0.5, "),
        ("\"deviation\": [", "\"deviation\": [0.0], \"x\": ["),
    ];
    for (from, to) in cases {
        let said = opened_after(&folder, from, to);
        assert!(said.contains("`preprocessing.") && said.contains("; expected "), "{said}");
    }
}

#[test]
fn files_that_are_too_long_or_not_files_are_refused_before_they_are_read() {
    let (_directory, folder) = complete();
    let record = folder.path().join("run.json");
    fs::File::create(&record).unwrap().set_len((64 << 20) + 1).unwrap();
    let error = folder.read_record::<RunRecord>().unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes: 67_108_865, .. }), "{error}");
    let model = folder.path().join("model.safetensors");
    match fs::File::create(&model).unwrap().set_len((16 << 30) + 1) {
        Err(error) => println!("skipped: no file of this length here ({error})"),
        Ok(()) => {
            let error = folder.read_model().unwrap_err();
            assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        }
    }
    fs::remove_file(&model).unwrap();
    fs::create_dir(&model).unwrap();
    assert!(folder.read_model().unwrap_err().to_string().contains("not a file"));
}

#[test]
fn metrics_are_appended_and_read_back() {
    let (_directory, folder) = complete();
    assert_eq!(folder.read_metrics().unwrap(), []);
    let rows = [row(1), row(2), row(3)];
    rows.iter().for_each(|row| folder.append_metrics(row).unwrap());
    assert_eq!(folder.read_metrics().unwrap(), rows);
}

#[test]
fn truncated_metrics_lose_later_rows_and_any_torn_line() {
    let (_directory, folder) = complete();
    let path = folder.path().join("metrics.jsonl");
    let rows = [row(1), row(2), row(3)];
    rows.iter().for_each(|row| folder.append_metrics(row).unwrap());
    let whole = fs::read(&path).unwrap();
    let lines: Vec<usize> =
        whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(index, _)| index + 1).collect();
    // Cut off at every byte: all rows whose line is whole remain, and the next one can be appended.
    for length in 0..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let left = lines.iter().filter(|end| **end <= length).count();
        assert_eq!(folder.read_metrics().unwrap(), rows[..left], "{length}");
        assert_eq!(folder.truncate_metrics(2).unwrap(), rows[..left.min(2)], "{length}");
        folder.append_metrics(&row(9)).unwrap();
        assert_eq!(folder.read_metrics().unwrap().last(), Some(&row(9)), "{length}");
    }
}

#[test]
fn a_broken_line_is_named_unless_it_is_the_last_of_a_run_to_resume() {
    let (_directory, folder) = complete();
    let path = folder.path().join("metrics.jsonl");
    folder.append_metrics(&row(1)).unwrap();
    let first = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{first}\0\0\0\n")).unwrap();
    assert!(folder.read_metrics().unwrap_err().to_string().contains("metrics.jsonl, line 2, column"));
    assert_eq!(folder.truncate_metrics(5).unwrap(), [row(1)]);
    fs::write(&path, format!("{{}}\n{first}")).unwrap();
    assert!(folder.truncate_metrics(5).unwrap_err().to_string().contains("line 1"));
}
