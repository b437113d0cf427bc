//! `gyrus inspect`, and `gyrus predict` with NIR files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::*;
use gyrus::blueprint::{
    Array, Blueprint, Discretization, Integration, NodeKind, Parameters, with_standardization, write_nir,
};

/// Two classes by brightness: class 1 hears the mean of the picture, class 0 a constant. Fires at most once a step.
fn brightness(folder: &Path, pixels: [usize; 2]) -> PathBuf {
    let [height, width] = pixels;
    let builder =
        Blueprint::builder("brightness").input([1, height, width]).node("flat", NodeKind::flatten());
    let neuron = NodeKind::soft_if(1.0);
    let blueprint = builder.node("fc", NodeKind::affine(2)).node("if", neuron).build().unwrap();
    let elements = height * width;
    let mut weight = vec![0.0; elements];
    weight.extend(vec![1.0 / elements as f32; elements]);
    let parameters = Parameters::from([
        ("fc.weight".to_owned(), Array { shape: vec![2, elements], values: weight }),
        ("fc.bias".to_owned(), Array { shape: vec![2], values: vec![0.5, 0.0] }),
    ]);
    let (bytes, _) = write_nir(&blueprint, &parameters, Discretization::default()).unwrap();
    let path = folder.join("brightness.nir");
    fs::write(&path, bytes).unwrap();
    path
}

fn grey(folder: &Path, name: &str, value: u8) -> PathBuf {
    let path = folder.join(name);
    image::GrayImage::from_pixel(20, 10, image::Luma([value])).save(&path).unwrap();
    path
}

#[test]
fn a_nir_network_tells_dark_from_bright() {
    let folder = tempfile::tempdir().unwrap();
    let network = brightness(folder.path(), [4, 6]);
    let (dark, bright) = (grey(folder.path(), "dark.png", 51), grey(folder.path(), "bright.png", 204));
    let answer = json(run("predict --json --steps 20", &[&network, &dark, &bright]));
    assert_eq!((&answer["steps"], &answer["time"]["dt_ms"]), (&20.into(), &1.0.into()));
    assert_eq!(answer["readout"], "counts");
    let [dark_json, bright_json] = [&answer["predictions"][0], &answer["predictions"][1]];
    // 20 steps of 0.5, of 0.2 and of 0.8, from a membrane that starts half-way.
    assert_eq!((&dark_json["class"], &dark_json["outputs"]), (&0.into(), &serde_json::json!([10.0, 4.0])));
    assert_eq!(
        (&bright_json["class"], &bright_json["outputs"]),
        (&1.into(), &serde_json::json!([10.0, 16.0]))
    );
    let output = succeeded(run("predict --steps 20 --top 1", &[&network, &bright]));
    assert_eq!(stdout(&output), format!("{}: class 1 (16 spikes)\n", bright.display()));
    // As random spikes, a bright pixel fires four times out of five.
    let rate = json(run("predict --json --steps 100 --encoder rate", &[&network, &bright]));
    let spikes = rate["predictions"][0]["outputs"][1].as_f64().unwrap();
    assert!((70.0..90.0).contains(&spikes), "{spikes}");
}

#[test]
fn a_nir_network_must_fit_pictures_and_know_its_step() {
    let folder = tempfile::tempdir().unwrap();
    let picture = grey(folder.path(), "grey.png", 100);
    let write = |name: &str, text: &str, time: Option<Discretization>| {
        let blueprint = Blueprint::from_toml(text).unwrap();
        let (bytes, _) = write_nir(&blueprint, &Parameters::new(), time.unwrap_or_default()).unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let node = |shape: &str| {
        format!(
            "name = \"x\"\nnode = [{{name = \"in\", kind = \"Input\", shape = {shape}}}, \
             {{name = \"lif\", kind = \"LIF\", tau_membrane_ms = 2.0}}, {{name = \"out\", kind = \"Output\"}}]"
        )
    };
    let events = write("events.nir", &node("[2, 4, 4]"), None);
    let sentence = refused(&run("predict", &[&events, &picture]));
    assert!(sentence.contains("the network takes [2, 4, 4], to which no image can be scaled"), "{sentence}");
    let square = write("square.nir", &node("[16]"), None);
    let euler = Discretization { dt_ms: 1.0, integration: Integration::Exact };
    let told = json(run("predict --json", &[&square, &picture]));
    assert_eq!(told["time"], serde_json::to_value(euler).unwrap());
    let other = json(run("predict --json --dt 0.5 --integration euler", &[&square, &picture]));
    assert_eq!(other["time"], serde_json::json!({"dt_ms": 0.5, "integration": "euler"}));
    let sentence = refused(&run("predict --encoder morse", &[&square, &picture]));
    assert!(sentence.contains("`morse`") && sentence.contains("latency"), "{sentence}");
    assert!(usage(&run("predict --steps 0", &[&square, &picture])).contains("--steps"));
    let sentence = refused(&run("predict --dt 0", &[&square, &picture]));
    assert!(sentence.contains("dt_ms is 0"), "{sentence}");
    let missing = refused(&run("predict", &[&folder.path().join("none.nir"), &picture]));
    assert!(missing.contains("none.nir"), "{missing}");
    fs::write(folder.path().join("torn.nir"), &fs::read(&square).unwrap()[..700]).unwrap();
    let torn = refused(&run("predict", &[&folder.path().join("torn.nir"), &picture]));
    assert!(torn.contains("torn.nir"), "{torn}");
    let Some(data) = real_data("nir") else { return };
    let sentence = refused(&run("predict", &[&data.join("two_lif_neurons.nir"), &picture]));
    assert!(sentence.contains("`lif1` depends on the time step") && sentence.contains("--dt"), "{sentence}");
    let answer = json(run("predict --json --dt 0.1", &[&data.join("two_lif_neurons.nir"), &picture]));
    assert_eq!(answer["predictions"][0]["outputs"], serde_json::json!([0.0]));
}

/// A spiking run as a NIR file that takes pixels answers as the run does.
#[test]
fn a_run_as_a_nir_file_answers_as_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let learn = "learn digits --spiking --epochs 1 --blueprint mlp --readout counts --steps 6 --out";
    succeeded(gyrus(words(learn)).arg(&path).output().unwrap());
    let blueprint = Blueprint::load(path.join("blueprint.toml")).unwrap();
    let (state, _) = gyrus::nn::from_safetensors(&model(&path)).unwrap();
    let preprocessing = record(&path)["preprocessing"].clone();
    let list = |name: &str| serde_json::from_value::<Vec<f32>>(preprocessing[name].clone()).unwrap();
    let (blueprint, state) =
        with_standardization(&blueprint, &state, &list("mean"), &list("deviation")).unwrap();
    let (bytes, warnings) = write_nir(&blueprint, &state, Discretization::default()).unwrap();
    assert!(warnings.iter().any(|warning| warning.contains("reset by subtraction")), "{warnings:?}");
    let file = folder.path().join("net.nir");
    fs::write(&file, bytes).unwrap();
    for value in [30, 120, 250] {
        let picture = grey(folder.path(), "grey.png", value);
        let from_run = json(run("predict --json", &[&path, &picture]));
        let from_nir = json(run("predict --json --steps 6", &[&file, &picture]));
        let class = &from_nir["predictions"][0]["class"];
        assert_eq!(Some(class.to_string().as_str()), from_run["predictions"][0]["class"].as_str());
    }
}

#[test]
fn inspect_nir() {
    let folder = tempfile::tempdir().unwrap();
    let network = brightness(folder.path(), [4, 6]);
    let found = json(run("inspect --json", &[&network]));
    assert_eq!((&found["format"], &found["name"]), (&"nir".into(), &"brightness".into()));
    assert_eq!(found["time"], serde_json::json!({"dt_ms": 1.0, "integration": "exact"}));
    assert_eq!(found["edges"].as_array().unwrap().len(), 4);
    let nodes = found["nodes"].as_array().unwrap();
    assert_eq!(nodes[2]["parameters"]["weight"]["shape"], serde_json::json!([2, 24]));
    assert_eq!((&nodes[3]["kind"], &nodes[3]["settings"]["reset"]), (&"IF".into(), &"subtract".into()));
    assert_eq!(nodes[1]["settings"]["start_axis"], 0);
    assert_eq!(found["trained_parameters"], 50);
    let text = stdout(&succeeded(run("inspect", &[&network])));
    for part in ["version \"1.0.8\"", "steps of 1 ms (exact)", "fc      Affine", "fc.weight  [2, 24]"] {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
    let Some(data) = real_data("nir") else { return };
    let braille = json(run("inspect --json", &[&data.join("braille_noDelay_bias_zero.nir")]));
    assert_eq!((&braille["time"], braille["nodes"].as_array().unwrap().len()), (&serde_json::Value::Null, 7));
    let text = stdout(&succeeded(run("inspect", &[&data.join("two_lif_neurons.nir")])));
    assert!(text.contains("note: `lif1`: the membrane starts at v_leak"), "{text}");
}

#[test]
fn inspect_runs_and_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    succeeded(gyrus(words("learn digits --epochs 1 --blueprint mlp --out")).arg(&path).output().unwrap());
    let found = json(run("inspect --json", &[&path]));
    assert_eq!(
        (&found["format"], &found["data"], &found["status"]),
        (&"run".into(), &"digits".into(), &"finished".into())
    );
    assert_eq!(found["test_accuracy"], record(&path)["results"]["test"]["accuracy"]);
    assert_eq!(found["nodes"][0]["output_shape"], serde_json::json!([1, 8, 8]));
    let text = stdout(&succeeded(run("inspect", &[&path])));
    assert!(text.contains("finished of digits") && text.contains("classifier"), "{text}");
    let model = path.join("model.safetensors");
    let found = json(run("inspect --json", &[&model]));
    assert_eq!(found["format"], "safetensors");
    assert_eq!(found["tensors"]["classifier.bias"], serde_json::json!({"dtype": "F32", "shape": [10]}));
    assert_eq!(found["bytes"], fs::metadata(&model).unwrap().len());
    let text = stdout(&succeeded(run("inspect", &[&model])));
    assert!(text.contains("classifier.bias") && text.contains("F32"), "{text}");
}

#[test]
fn inspect_refuses_other_things() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("letter.txt");
    fs::write(&other, "Dear reader, this is no network.").unwrap();
    let sentence = refused(&run("inspect", &[&other]));
    assert!(
        sentence.contains("letter.txt") && sentence.contains("a .toml blueprint, a .nir file"),
        "{sentence}"
    );
    let sentence = refused(&run("inspect", &[folder.path()]));
    assert!(sentence.contains("holds neither a run, nor a model"), "{sentence}");
    let sentence = refused(&run("inspect", &[&folder.path().join("nothing.safetensors")]));
    assert!(sentence.contains("nothing.safetensors"), "{sentence}");
    let fake = folder.path().join("fake.nir");
    fs::write(&fake, b"\x89HDF\r\n\x1a\n and then nothing of the kind").unwrap();
    let sentence = refused(&run("inspect", &[&fake]));
    assert!(sentence.contains("fake.nir") && sentence.contains("not a NIR file"), "{sentence}");
}
