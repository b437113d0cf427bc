//! `gyrus predict` with NIR files that other programs exported, on currents, spikes and recordings, beside what these programs
//! answer themselves.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::*;
use gyrus::data::{Features, Targets, digits};
use gyrus::files::{StateTensor, from_npy, to_npy};
use serde_json::Value;

/// A small network as this program exports it (`golden/nir_exports.py`), and the spikes that the program fires itself.
fn export(program: &str) -> (PathBuf, Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nir_exports");
    let answer = fs::read_to_string(folder.join(format!("{program}.json"))).unwrap();
    (folder.join(format!("{program}.nir")), serde_json::from_str(&answer).unwrap())
}

/// Rows of numbers as CSV.
fn csv(rows: &Value) -> String {
    let row = |row: &Value| {
        let cells: Vec<String> = row.as_array().unwrap().iter().map(ToString::to_string).collect();
        cells.join(",")
    };
    rows.as_array().unwrap().iter().map(row).collect::<Vec<_>>().join("\n")
}

/// What a CSV file of signals says, without its header and its step.
fn numbers(text: &str) -> Value {
    let row = |line: &str| -> Value {
        line.split(',').skip(1).map(|cell| Value::from(cell.parse::<f64>().unwrap())).collect()
    };
    text.lines().skip(1).map(row).collect()
}

/// How many numbers of two tables differ.
fn differing(a: &Value, b: &Value) -> usize {
    let flat = |table: &Value| -> Vec<Value> {
        table.as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap().clone()).collect()
    };
    let (a, b) = (flat(a), flat(b));
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).filter(|(a, b)| a != b).count()
}

#[test]
fn files_of_other_programs_say_which_step_they_need_and_then_answer_as_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let (given, out) = (folder.path().join("given.csv"), folder.path().join("out.csv"));
    for (program, name, options) in [
        ("norse", "Norse 1.1", "--dt 0.001 --integration euler"),
        ("snntorch", "snnTorch", "--dt 0.1 --integration euler"),
        ("sinabs", "sinabs", ""),
    ] {
        let (network, answer) = export(program);
        fs::write(&given, csv(&answer["input"])).unwrap();
        if !options.is_empty() {
            let sentence = refused(&run("predict", &[&network, &given]));
            assert!(sentence.contains(name) && sentence.contains(options), "{sentence}");
            let other = run("predict --dt 1", &[&network, &given]);
            let notes = stderr(&succeeded(other));
            assert!(notes.contains(&format!("a file of {name}, which computes with {options}")), "{notes}");
            assert!(notes.contains("unstable"), "{notes}");
        }
        // Norse resets to zero, the others subtract; without the option that is noted.
        let reset = if program == "norse" { "" } else { "--reset subtract" };
        let hard = succeeded(run(&format!("predict {options}"), &[&network, &given]));
        assert!(stderr(&hard).contains("--reset subtract"), "{}", stderr(&hard));
        for body in ["", "--events"] {
            let line = format!("predict {options} {reset} {body} --out");
            let said = succeeded(run(&line, &[&out, &network, &given]));
            assert!(reset.is_empty() || !stderr(&said).contains("--reset"), "{}", stderr(&said));
            assert!(stdout(&said).contains("wrote "), "{}", stdout(&said));
            let given = numbers(&fs::read_to_string(&out).unwrap());
            if program == "snntorch" {
                // It subtracts one step later, which moves a few spikes.
                assert!(differing(&given, &answer["spikes"]) <= 2, "{given}");
            } else {
                assert_eq!(given, answer["spikes"], "{program} {body}");
            }
        }
    }
}

#[test]
fn spikes_and_potentials_of_nodes_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let (network, answer) = export("norse");
    let (given, out) = (folder.path().join("given.csv"), folder.path().join("out.csv"));
    fs::write(&given, csv(&answer["input"])).unwrap();
    let line = "predict --dt 0.001 --record 1 --record output --out";
    succeeded(run(line, &[&out, &network, &given]));
    let text = fs::read_to_string(&out).unwrap();
    assert!(text.starts_with("step,output[0],output[1],1.potentials[0],"), "{text}");
    assert!(text.lines().next().unwrap().ends_with("1.spikes[3]"), "{text}");
    let rows = numbers(&text);
    assert_eq!(rows.as_array().unwrap().len(), 12);
    for row in rows.as_array().unwrap() {
        for neuron in 0..4 {
            let (potential, spike) = (row[2 + neuron].as_f64().unwrap(), row[6 + neuron].as_f64().unwrap());
            // A spike leaves the membrane at 0; without one it has not passed the threshold.
            assert!(if spike == 1.0 { potential == 0.0 } else { potential <= 0.5 }, "{row}");
        }
    }
    let array = folder.path().join("out.npy");
    let said = succeeded(run(line, &[&array, &network, &given]));
    assert_eq!(stdout(&said).matches("wrote ").count(), 3, "{}", stdout(&said));
    let read = |name: &str| {
        let path = folder.path().join(name);
        from_npy(&fs::read(&path).unwrap(), &path).unwrap()
    };
    assert_eq!(read("out.1.potentials.npy").shape, [12, 4]);
    let flat: Vec<f64> = answer["spikes"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row.as_array().unwrap())
        .map(|v| v.as_f64().unwrap())
        .collect();
    assert_eq!(read("out.output.npy").values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>(), flat);

    // What was written can be given to the next network, and several inputs make one array.
    fs::write(folder.path().join("two.csv"), csv(&answer["input"])).unwrap();
    let two = folder.path().join("two.csv");
    succeeded(run("predict --dt 0.001 --out", &[&array, &network, &given, &two]));
    assert_eq!(read("out.npy").shape, [2, 12, 2]);
    let fewer = succeeded(run("predict --dt 0.001 --steps 5 --out", &[&out, &network, &given, &two]));
    assert!(stdout(&fewer).contains("wrote"));
    let text = fs::read_to_string(&out).unwrap();
    assert!(text.starts_with("input,step,output[0]") && text.lines().count() == 11, "{text}");

    for (line, paths, part) in [
        ("predict --dt 0.001 --record nobody --out", vec![&*out, &network, &given], "one of: 1, 3, output"),
        ("predict --dt 0.001 --events --record 1 --out", vec![&*out, &network, &given], "leave out --events"),
        ("predict --dt 0.001 --out", vec![Path::new("out.txt"), &network, &given], "ends in .csv or .npy"),
        ("predict --dt 0.001 --reset never", vec![&network, &given], "subtract or zero"),
        ("predict --dt 0.001 --window 0", vec![&network, &given], "above 0"),
    ] {
        let sentence = refused(&run(line, &paths));
        assert!(sentence.contains(part), "{line}: {sentence}");
    }
}

/// The files of the folder with inputs that failed once.
fn failing(part: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("GYRUS_FAILING") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/failing"),
    };
    let path = root.join(part);
    if !path.is_dir() {
        println!("skipped: no {} (set GYRUS_FAILING to the folder with inputs that failed)", path.display());
        return None;
    }
    Some(path)
}

/// Networks of digits as their programs exported them: how many of 359 digits each gets right after 8 steps.
#[test]
fn exported_networks_of_digits_are_as_good_as_in_their_programs() {
    let Some(files) = failing("nir") else { return };
    let folder = tempfile::tempdir().unwrap();
    let test = digits().test;
    let (Features::Images(images), Targets::Classes(classes)) = (&test.features, &test.targets) else {
        panic!("digits are images of classes")
    };
    let given = folder.path().join("digits.npy");
    let right = |network: &str, shape: &[usize], options: &str| -> usize {
        let pixels: Vec<f32> = images.pixels.iter().map(|pixel| f32::from(*pixel) / 255.0).collect();
        let values = pixels.chunks_exact(64).flat_map(|image| image.repeat(8)).collect();
        let shape = [&[images.count, 8], shape].concat();
        fs::write(&given, to_npy(&StateTensor { shape, values })).unwrap();
        let answer = json(run(&format!("predict --json {options}"), &[&files.join(network), &given]));
        let predictions = answer["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), 359);
        let is_right = |(given, class): &(&Value, &u32)| given["class"] == **class;
        predictions.iter().zip(classes).filter(is_right).count()
    };
    // In Norse 89 % of its test digits; with the step that was advised before, 11 %.
    let norse = right("norse_lifbox.nir", &[64], "--dt 0.001");
    assert!(norse > 320, "{norse}");
    assert!(right("norse_lifbox.nir", &[64], "--dt 1") < 60);
    // In sinabs 94 %, and more than a reset to zero gives.
    let picture = [1, 8, 8];
    let sinabs = right("sinabs_mlp_default.nir", &picture, "--reset subtract");
    assert!(sinabs > 330 && sinabs > right("sinabs_mlp_default.nir", &picture, "") + 10, "{sinabs}");
    let snntorch = right("snn_default_subtract.nir", &picture, "--dt 0.1 --reset subtract");
    assert!(snntorch > 335, "{snntorch}");
}

/// The N-MNIST network of the NIR paper: 98.47 % in sinabs on all 10,000 test recordings, 98.11 % in Norse.
#[test]
fn recordings_of_an_event_camera_are_classified_by_the_network_of_the_nir_paper() {
    let (Some(networks), Some(data)) = (real_data("nir"), real_data("neuromorphic/nmnist_small")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let packed = fs::File::open(data.join("NMNISTsmall.tar.gz")).unwrap();
    let files = untar(flate2::read::GzDecoder::new(packed), |name| {
        name.starts_with("600") || name.starts_with("test100")
    });
    let labels = String::from_utf8(files["test100.txt"].clone()).unwrap();
    let labels: Vec<(String, u64)> = labels
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(char::is_whitespace))
        .map(|(name, class)| (format!("{name}.bs2"), class.trim().parse().unwrap()))
        .take(40)
        .collect();
    let paths: Vec<PathBuf> = labels
        .iter()
        .map(|(name, _)| {
            let path = folder.path().join(name);
            fs::write(&path, &files[name.as_str()]).unwrap();
            path
        })
        .collect();
    let network = networks.join("cnn_sinabs.nir");
    let paths: Vec<&Path> = [&*network].into_iter().chain(paths.iter().map(PathBuf::as_path)).collect();
    // All 100 with NIR's reset to zero, as in Norse; 97 with sinabs' subtraction, but one spike in a step at most.
    for (reset, least) in [("zero", 39), ("subtract", 37)] {
        let answer = json(run(&format!("predict --json --reset {reset}"), &paths));
        let predictions = answer["predictions"].as_array().unwrap().iter();
        let right = predictions.zip(&labels).filter(|(given, (_, class))| given["class"] == *class).count();
        assert!(right >= least, "{reset}: {right} of {}", labels.len());
    }
}

/// The files of a tar archive whose names are wanted.
fn untar(
    mut archive: impl std::io::Read,
    wanted: impl Fn(&str) -> bool,
) -> std::collections::HashMap<String, Vec<u8>> {
    let mut bytes = Vec::new();
    archive.read_to_end(&mut bytes).unwrap();
    let (mut at, mut files) = (0, std::collections::HashMap::new());
    while bytes.get(at).is_some_and(|first| *first != 0) {
        let text = |from: usize, to: usize| {
            String::from_utf8_lossy(&bytes[at + from..at + to]).trim_matches(['\0', ' ']).to_owned()
        };
        let length = usize::from_str_radix(&text(124, 136), 8).unwrap();
        let name = text(0, 100).rsplit('/').next().unwrap_or_default().to_owned();
        if wanted(&name) {
            files.insert(name, bytes[at + 512..at + 512 + length].to_vec());
        }
        at += 512 + length.div_ceil(512) * 512;
    }
    files
}
