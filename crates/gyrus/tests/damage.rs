//! Damaged and absurd files: cut short, with flipped bits, from the future, or with headers that announce the
//! impossible. Nothing of it panics, and nothing makes the program allocate what is not there.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::common::*;
use tempfile::TempDir;

/// A small finished run on the digits and a picture to ask it about.
struct Trained {
    folder: TempDir,
    run: PathBuf,
    picture: PathBuf,
}

fn trained() -> Trained {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("run");
    json(run("learn digits --epochs 1 --blueprint perceptron --json --out", &[&run_folder]));
    let picture = folder.path().join("picture.png");
    image::GrayImage::from_fn(8, 8, |x, y| image::Luma([(x * y * 4) as u8])).save(&picture).unwrap();
    Trained { run: run_folder, picture, folder }
}

impl Trained {
    fn predict(&self) -> Output {
        gyrus(["predict", "--json", "--threads", "1"]).args([&self.run, &self.picture]).output().unwrap()
    }

    /// Each damage is either refused in one sentence that names the run, or changes nothing that can be noticed.
    /// Returns how many were refused.
    #[track_caller]
    fn damage(&self, file: &str, damaged: impl IntoIterator<Item = Vec<u8>>) -> (usize, usize) {
        let path = self.run.join(file);
        let whole = fs::read(&path).unwrap();
        let (mut refusals, mut all) = (0, 0);
        for bytes in damaged {
            fs::write(&path, &bytes).unwrap();
            let output = self.predict();
            all += 1;
            assert_calm(&output);
            if output.status.success() {
                json(output);
            } else {
                refused(&output);
                says_error(&output);
                refusals += 1;
            }
        }
        fs::write(&path, whole).unwrap();
        json(self.predict());
        (refusals, all)
    }
}

/// `bytes` with one bit flipped, at `count` places among the first `span` bytes.
fn flipped(bytes: &[u8], span: usize, count: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random(seed);
    let span = span.min(bytes.len()) as u64;
    let flip = |_| {
        let mut bytes = bytes.to_vec();
        bytes[random.below(span) as usize] ^= 1 << random.below(8);
        bytes
    };
    (0..count).map(flip).collect()
}

/// `bytes` cut off at `count` places.
fn cut(bytes: &[u8], count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|at| bytes[..bytes.len() * at / count].to_vec()).collect()
}

#[test]
fn a_model_that_is_cut_short_or_has_flipped_bits() {
    let trained = trained();
    let whole = fs::read(trained.run.join("model.safetensors")).unwrap();
    let (refusals, all) = trained.damage("model.safetensors", cut(&whole, 24));
    assert_eq!(refusals, all, "a model without its end is no model");
    let longer = [&whole[..], b"more"].concat();
    assert_eq!(trained.damage("model.safetensors", [longer]), (1, 1));
    // A flipped bit of a weight makes another weight, and no sentence can say which.
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let (refusals, all) = trained.damage("model.safetensors", flipped(&whole, header, 60, 1));
    assert!(refusals * 2 > all, "{refusals} of {all} damaged headers were refused");
    trained.damage("model.safetensors", flipped(&whole, whole.len(), 30, 2));
}

#[test]
fn models_with_absurd_headers() {
    let trained = trained();
    let model = |header: &str| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([0; 64]);
        bytes
    };
    let damaged = [
        u64::MAX.to_le_bytes().to_vec(),
        (1_u64 << 40).to_le_bytes().to_vec(),
        model(""),
        model("{}"),
        model("[]"),
        model(&"[".repeat(100_000)),
        model(
            r#"{"classifier.weight":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}"#,
        ),
        model(
            r#"{"classifier.weight":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#,
        ),
        model(r#"{"classifier.weight":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}"#),
        model(r#"{"classifier.weight":{"dtype":"F16","shape":[32],"data_offsets":[0,64]}}"#),
        model(r#"{"classifier.weight":{"dtype":"F32","shape":[16],"data_offsets":[0,64]}}"#),
    ];
    let count = damaged.len();
    assert_eq!(trained.damage("model.safetensors", damaged), (count, count));
}

#[test]
fn a_record_that_is_cut_short_or_has_flipped_bits() {
    let trained = trained();
    let whole = fs::read(trained.run.join("run.json")).unwrap();
    let (refusals, all) = trained.damage("run.json", cut(&whole, 16));
    assert_eq!(refusals, all);
    let (refusals, _) = trained.damage("run.json", flipped(&whole, whole.len(), 120, 3));
    assert!(refusals > 10, "{refusals}");
    trained.damage("run.json", [vec![], vec![0; 100], vec![0xff; 100], b"[".repeat(100_000)]);
}

/// `run.json` with one value replaced.
fn with(trained: &Trained, pointer: &str, value: serde_json::Value) -> Vec<u8> {
    let mut record = record(&trained.run);
    *record.pointer_mut(pointer).expect(pointer) = value;
    serde_json::to_vec(&record).unwrap()
}

#[test]
fn records_that_do_not_belong_to_the_network() {
    use serde_json::json as j;
    let trained = trained();
    let damaged = [
        with(&trained, "/preprocessing/height", j!(9)),
        with(&trained, "/preprocessing/height", j!(0)),
        with(&trained, "/preprocessing/width", j!(1u64 << 40)),
        with(&trained, "/preprocessing/width", j!(60_000)),
        with(&trained, "/preprocessing/channels", j!(3)),
        with(&trained, "/preprocessing/channels", j!(u64::MAX)),
        with(&trained, "/preprocessing/mean", j!([])),
        with(&trained, "/preprocessing/deviation", j!([0.0])),
        with(&trained, "/preprocessing/deviation", j!([null])),
        with(&trained, "/preprocessing", j!({"kind": "table", "columns": [], "target": "x"})),
        with(&trained, "/task/classes", j!([])),
        with(&trained, "/task/classes", j!(["only"])),
        with(&trained, "/task", j!({"kind": "regression", "target": "x", "mean": 0.0, "deviation": 1.0})),
        with(&trained, "/status", j!("lost")),
        with(&trained, "/format_version", j!(0)),
        with(&trained, "/format_version", j!(-1)),
    ];
    let count = damaged.len();
    assert_eq!(trained.damage("run.json", damaged), (count, count));
}

#[test]
fn a_run_from_a_newer_version_is_told_from_a_broken_one() {
    let trained = trained();
    let mut newer = record(&trained.run);
    newer["format_version"] = 999.into();
    newer["gyrus_version"] = "12.3.4".into();
    newer["task"] = "something this version has never heard of".into();
    fs::write(trained.run.join("run.json"), newer.to_string()).unwrap();
    for output in [
        trained.predict(),
        gyrus(["learn", "--resume"]).arg(&trained.run).output().unwrap(),
        gyrus(["learn", "digits", "--out"]).arg(&trained.run).output().unwrap(),
    ] {
        let sentence = refused(&output);
        for part in ["run.json", "999", "12.3.4", "versions 1 to"] {
            assert!(sentence.contains(part), "no {part:?} in: {sentence}");
        }
    }
}

#[test]
fn a_blueprint_that_does_not_belong_to_the_model() {
    let trained = trained();
    let whole = fs::read(trained.run.join("blueprint.toml")).unwrap();
    let (refusals, all) = trained.damage("blueprint.toml", cut(&whole, 12));
    assert_eq!(refusals, all);
    trained.damage("blueprint.toml", flipped(&whole, whole.len(), 60, 4));
    let text = String::from_utf8(whole).unwrap();
    let damaged = ["7", "11", "2000000000", "0", "-1", "99999999999999999999"].map(|outputs| {
        let changed = text.replace("out_features = 10", &format!("out_features = {outputs}"));
        assert_ne!(changed, text);
        changed.into_bytes()
    });
    assert_eq!(trained.damage("blueprint.toml", damaged), (6, 6));
}

#[test]
fn a_checkpoint_that_is_cut_short_or_has_flipped_bits() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("things.csv");
    write_table(&table, 60);
    let run_folder = folder.path().join("run");
    let line = "learn --target kind --blueprint perceptron --epochs 1000000 --out";
    let mut child = gyrus(words(line)).arg(&run_folder).arg(&table).stdout(Stdio::null()).spawn().unwrap();
    kill_after_checkpoint(&mut child, &run_folder);
    let checkpoint = run_folder.join("checkpoint.safetensors");
    // A resumed run should come to its end soon.
    let mut record = record(&run_folder);
    let done = metrics(&run_folder).last().map_or(1, |row| row["epoch"].as_u64().unwrap());
    record["settings"]["epochs"] = (done + 2).into();
    let files: Vec<(PathBuf, Vec<u8>)> = names(&run_folder)
        .iter()
        .filter(|name| !name.starts_with('.'))
        .map(|name| (run_folder.join(name), fs::read(run_folder.join(name)).unwrap()))
        .collect();
    let whole = fs::read(&checkpoint).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let restore = || {
        files.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
        let _ = fs::remove_file(run_folder.join("report.html"));
        fs::write(run_folder.join("run.json"), record.to_string()).unwrap();
    };
    let damaged = [cut(&whole, 10), flipped(&whole, header, 60, 5), flipped(&whole, whole.len(), 20, 6)];
    let mut refusals = 0;
    for bytes in damaged.concat() {
        restore();
        fs::write(&checkpoint, &bytes).unwrap();
        let output =
            gyrus(["learn", "--json", "--threads", "1", "--resume"]).arg(&run_folder).output().unwrap();
        assert_calm(&output);
        match output.status.code() {
            Some(0) => drop(json(output)),
            // A flipped bit in a weight may make it so large that the training diverges.
            Some(1) => assert!(failed(&output, 1).contains("diverged")),
            _ => {
                refused(&output);
                refusals += 1;
                assert_eq!(fs::read(&checkpoint).unwrap(), bytes, "a refused checkpoint is left alone");
            }
        }
    }
    assert!(refusals > 30, "{refusals}");
    restore();
    json(gyrus(["learn", "--json", "--resume"]).arg(&run_folder).output().unwrap());
}

/// Runs the program with at most 2 GiB of address space, or says out loud that it cannot.
fn limited(arguments: &[&Path]) -> Option<Output> {
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 2097152 || exit 99; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_gyrus")])
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.code() != Some(99) => Some(output),
        other => {
            println!("skipped: no shell that limits memory here ({other:?})");
            None
        }
    }
}

fn path(text: &str) -> &Path {
    Path::new(text)
}

/// The four files of a data set in MNIST's format, whole.
fn write_idx(folder: &Path) {
    for (part, count) in [("train", 60_u32), ("t10k", 20)] {
        let mut images = [0x0803, count, 28, 28].map(u32::to_be_bytes).concat();
        images.extend((0..count * 784).map(|at| (at * 31 % 251) as u8));
        let mut labels = [0x0801, count].map(u32::to_be_bytes).concat();
        labels.extend((0..count).map(|at| (at % 10) as u8));
        fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
    }
}

/// The batches of a data set in CIFAR-10's format, whole.
fn write_cifar(folder: &Path) {
    for (name, count) in [("data_batch_1.bin", 60), ("test_batch.bin", 20)] {
        let record = |at: u32| std::iter::once((at % 10) as u8).chain((0..3072).map(move |i| (i * at) as u8));
        fs::write(folder.join(name), (0..count).flat_map(record).collect::<Vec<u8>>()).unwrap();
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// Learns from `folder` with one file replaced, expecting a refusal that names the file and leaves no run.
#[track_caller]
fn refused_file(data: &str, folder: &Path, file: &str, bytes: &[u8]) -> String {
    let whole = fs::read(folder.join(file)).unwrap();
    fs::write(folder.join(file), bytes).unwrap();
    let out = folder.join("run");
    let arguments = [path("learn"), path(data), path("--data"), folder, path("--out"), &out];
    let output = match limited(&arguments) {
        Some(output) => output,
        None => gyrus(arguments).output().unwrap(),
    };
    fs::write(folder.join(file), whole).unwrap();
    let sentence = refused(&output);
    assert!(sentence.contains(file) && sentence.contains("byte "), "{sentence}");
    assert!(!out.exists());
    sentence
}

#[test]
fn idx_files_that_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    write_idx(folder.path());
    let run_folder = folder.path().join("whole");
    json(run(
        "learn mnist --epochs 1 --blueprint perceptron --json --data",
        &[folder.path(), path("--out"), &run_folder],
    ));
    let refuse = |file: &str, bytes: &[u8]| refused_file("mnist", folder.path(), file, bytes);
    for file in ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        let whole = fs::read(folder.path().join(file)).unwrap();
        for bytes in cut(&whole, 6) {
            refuse(file, &bytes);
        }
        refuse(file, &[&whole[..], b"more"].concat());
        let packed = gzip(&whole);
        refuse(file, &packed[..packed.len() - 3]);
        let mut flipped = packed.clone();
        flipped[packed.len() / 2] ^= 0x10;
        refuse(file, &flipped);
        for at in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            refuse(file, &bytes);
        }
    }
    let whole = fs::read(folder.path().join("train-labels-idx1-ubyte")).unwrap();
    let mut bytes = whole;
    bytes[20] = 10;
    let sentence = refuse("train-labels-idx1-ubyte", &bytes);
    assert!(sentence.contains("byte 20") && sentence.contains("the label 10"), "{sentence}");
}

#[test]
fn idx_headers_that_announce_the_impossible() {
    let folder = tempfile::tempdir().unwrap();
    write_idx(folder.path());
    let refuse = |bytes: &[u8]| refused_file("mnist", folder.path(), "train-images-idx3-ubyte", bytes);
    for sizes in
        [[u32::MAX; 3], [u32::MAX, 28, 28], [u32::MAX, 1, 1], [300_000, 28, 28], [0, 28, 28], [60, 0, 28]]
    {
        let mut bytes =
            [&[0x0803][..], &sizes].concat().into_iter().flat_map(u32::to_be_bytes).collect::<Vec<_>>();
        bytes.extend([0; 1000]);
        refuse(&bytes);
    }
    // A file of kilobytes that unpacks to gigabytes: members of gzip in a row count as one.
    let bomb = gzip(&vec![0; 16 << 20]).repeat(200);
    refuse(&bomb);
    for count in [60, 300_000] {
        let header: Vec<u8> = [0x0803, count, 28, 28].into_iter().flat_map(u32::to_be_bytes).collect();
        refuse(&[&gzip(&header)[..], &bomb].concat());
    }
}

#[test]
fn cifar_files_that_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    write_cifar(folder.path());
    let run_folder = folder.path().join("whole");
    json(run(
        "learn cifar10 --epochs 1 --blueprint perceptron --json --data",
        &[folder.path(), path("--out"), &run_folder],
    ));
    let refuse = |file: &str, bytes: &[u8]| refused_file("cifar10", folder.path(), file, bytes);
    for file in ["data_batch_1.bin", "test_batch.bin"] {
        let whole = fs::read(folder.path().join(file)).unwrap();
        for at in [0, 1, 3072, 3074, whole.len() - 1] {
            refuse(file, &whole[..at]);
        }
        refuse(file, &[&whole[..], b"more"].concat());
        let packed = gzip(&whole);
        refuse(file, &packed[..packed.len() / 2]);
        let mut bytes = whole.clone();
        bytes[3073 * 7] = 0x41;
        let sentence = refuse(file, &bytes);
        assert!(sentence.contains(&format!("byte {}", 3073 * 7)) && sentence.contains("65"), "{sentence}");
    }
    refuse("data_batch_1.bin", &gzip(&vec![0; 16 << 20]).repeat(200));
}

/// A PNG that is all header: `side` by `side` pixels, eight bits of grey.
fn png_header(side: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8], data: &[u8]| {
        let body = [kind, data].concat();
        let mut sum = flate2::Crc::new();
        sum.update(&body);
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend(body);
        bytes.extend(sum.sum().to_be_bytes());
    };
    let sides = [side, side].map(u32::to_be_bytes).concat();
    chunk(b"IHDR", &[&sides[..], &[8, 0, 0, 0, 0]].concat());
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&[0; 100]).unwrap();
    chunk(b"IDAT", &packed.finish().unwrap());
    chunk(b"IEND", &[]);
    bytes
}

#[test]
fn pictures_that_announce_the_impossible() {
    let trained = trained();
    let file = trained.folder.path().join("absurd.png");
    let mut jpeg = Vec::new();
    image::GrayImage::new(8, 8)
        .write_to(&mut std::io::Cursor::new(&mut jpeg), image::ImageFormat::Jpeg)
        .unwrap();
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a baseline JPEG");
    jpeg[frame + 5..frame + 9].fill(0xff);
    let mut webp = Vec::new();
    image::RgbImage::new(8, 8)
        .write_to(&mut std::io::Cursor::new(&mut webp), image::ImageFormat::WebP)
        .unwrap();
    let dimensions = webp.windows(4).position(|four| four == b"VP8L").expect("lossless") + 9;
    webp[dimensions..dimensions + 3].fill(0xff);
    let Some(output) = limited(&[path("predict"), path("--json"), &trained.run, &trained.picture]) else {
        return;
    };
    json(output);
    for bytes in [png_header(1 << 30), png_header(0), png_header(9_999), png_header(u32::MAX), jpeg, webp] {
        fs::write(&file, bytes).unwrap();
        let output = limited(&[path("predict"), &trained.run, &file]).unwrap();
        let sentence = refused(&output);
        assert!(sentence.contains("absurd.png"), "{sentence}");
    }
}

#[test]
fn run_folders_that_announce_the_impossible() {
    let trained = trained();
    let arguments = [path("predict"), path("--json"), &trained.run, &trained.picture];
    let Some(output) = limited(&arguments) else { return };
    json(output);
    let blueprint = trained.run.join("blueprint.toml");
    let text = fs::read_to_string(&blueprint).unwrap();
    // 64 inputs and 30 million outputs: 7.7 GB of weights, which the model does not have.
    let wide = "[[node]]\nname = \"wide\"\nkind = \"Affine\"\nout_features = 30000000\n\n";
    let node = text.rfind("[[node]]\nname = \"classifier\"").expect(&text);
    fs::write(&blueprint, [&text[..node], wide, &text[node..]].concat()).unwrap();
    let sentence = refused(&limited(&arguments).unwrap());
    assert!(sentence.contains("`classifier.weight`") || sentence.contains("`wide."), "{sentence}");
    fs::write(&blueprint, &text).unwrap();
    let whole = fs::read(trained.run.join("run.json")).unwrap();
    for side in [46_340_u64, 1 << 31, u64::MAX] {
        let mut record: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        record["preprocessing"]["height"] = side.into();
        record["preprocessing"]["width"] = side.into();
        fs::write(trained.run.join("run.json"), record.to_string()).unwrap();
        refused(&limited(&arguments).unwrap());
    }
    fs::write(trained.run.join("run.json"), whole).unwrap();
    // A file of 2 GiB that takes no room on the disk.
    let model = trained.run.join("model.safetensors");
    fs::File::create(&model).unwrap().set_len(3 << 30).unwrap();
    let output = limited(&arguments).unwrap();
    assert_calm(&output);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{}", stderr(&output));
}

#[test]
fn a_network_larger_than_the_memory_is_an_error_and_not_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("huge.toml");
    let text = "name = \"huge\"\n[[node]]\nname = \"in\"\nkind = \"Input\"\nshape = [1, 8, 8]\n[[node]]\nname = \"flat\"\n\
                kind = \"Flatten\"\n[[node]]\nname = \"wide\"\nkind = \"Affine\"\nout_features = 30000000\n[[node]]\n\
                name = \"answer\"\nkind = \"Affine\"\nout_features = 10\n[[node]]\nname = \"out\"\nkind = \"Output\"\n";
    fs::write(&file, text).unwrap();
    let out = folder.path().join("run");
    let arguments = ["learn", "digits", "--blueprint"].map(path);
    let Some(output) = limited(&[&arguments[..], &[&file, path("--out"), &out]].concat()) else { return };
    assert_calm(&output);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{}", stderr(&output));
    assert!(!out.exists());
}
