//! `gyrus simulate` as a person uses it: built-in circuits, files, SONATA, what is refused, what is left behind.

use std::fs;
use std::path::Path;

use crate::common::*;
use gyrus::simulate::sonata::read_spikes;

/// A small circuit that fires; `extra` is appended.
fn circuit(folder: &Path, name: &str, extra: &str) -> String {
    let text = format!(
        "name = \"small\"\nduration_ms = 200.0\n\n[[population]]\nname = \"E\"\nneurons = 200\nmodel = \"iaf_psc_exp\"\n\n\
         [[input]]\ndevice = \"poisson_generator\"\ntarget = \"E\"\nrate_hz = 10000.0\nweight_pA = 60.0\n\n[[projection]]\n\
         source = \"E\"\ntarget = \"E\"\nrule = \"fixed_indegree\"\nindegree = 10\nweight_pA = 10.0\ndelay_ms = 1.0\n{extra}"
    );
    fs::write(folder.join(name), text).unwrap();
    name.to_owned()
}

#[test]
fn a_built_in_circuit_leaves_its_folder_and_the_same_spikes_for_any_threads() {
    let folder = tempfile::tempdir().unwrap();
    let run = |out: &str, threads: &str| {
        let line = format!(
            "simulate brunel --scale 0.04 --seconds 0.3 --seed 3 --json --out {out} --threads {threads}"
        );
        json(gyrus(words(&line)).current_dir(folder.path()).output().unwrap())
    };
    let (one, two) = (run("one", "1"), run("two", "2"));
    assert_eq!(one["kind"], "simulate");
    assert_eq!((one["neurons"].as_u64(), one["synapses"].as_u64()), (Some(500), Some(25_000)));
    assert_eq!(one["status"], "finished");
    assert!(one["populations"][0]["rate_hz"].as_f64().unwrap() > 5.0, "{one}");
    let spikes = |out: &str| read_spikes(&folder.path().join(out).join("spikes.h5")).unwrap();
    assert_eq!(spikes("one"), spikes("two"));
    assert_eq!(spikes("one")[0].population, "E");
    let count: usize = spikes("one").iter().map(|own| own.times_ms.len()).sum();
    assert_eq!(one["spikes"].as_u64(), Some(count as u64));
    assert_eq!(two["spikes"], one["spikes"]);
    let page = fs::read_to_string(folder.path().join("one/report.html")).unwrap();
    for part in ["brunel", "Activity", "Power spectrum", "Network", "fixed in-degree"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn what_show_prints_can_be_run() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["brunel", "cuba", "coba", "microcircuit"] {
        let text = stdout(&succeeded(run(&format!("simulate {name} --show"), &[])));
        fs::write(folder.path().join(format!("{name}.toml")), &text).unwrap();
    }
    let line = "simulate cuba.toml --scale 0.2 --seconds 0.1 --json";
    let own = json(gyrus(words(line)).current_dir(folder.path()).output().unwrap());
    let line = "simulate cuba --scale 0.2 --seconds 0.1 --json --out other";
    let built_in = json(gyrus(words(line)).current_dir(folder.path()).output().unwrap());
    assert_eq!((&own["spikes"], &own["populations"]), (&built_in["spikes"], &built_in["populations"]));
    assert!(folder.path().join("runs/cuba/spikes.h5").is_file());
}

#[test]
fn recorders_write_traces_and_weights_in_each_format() {
    let folder = tempfile::tempdir().unwrap();
    let recorders = "\n[[recorder]]\ndevice = \"voltmeter\"\npopulation = \"E\"\nneurons = [3, 5]\ninterval_ms = 0.5\n\n\
                     [[recorder]]\ndevice = \"weight_recorder\"\nsource = \"E\"\ntarget = \"E\"\n";
    circuit(folder.path(), "small.toml", recorders);
    for format in ["sonata", "csv", "parquet"] {
        let line = format!("simulate small.toml --json --format {format} --out {format}");
        let report = json(gyrus(words(&line)).current_dir(folder.path()).output().unwrap());
        assert_eq!(report["files"].as_array().unwrap().len(), 4, "{report}");
    }
    let lines = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let traces = lines("csv/traces.csv");
    let mut rows = traces.lines();
    assert_eq!(rows.next(), Some("time_ms,population,neuron,V_m_mV"));
    assert!(rows.next().unwrap().starts_with("0.5,E,3,-"), "{traces}");
    assert_eq!(traces.lines().count(), 1 + 2 * 400);
    let weights = lines("csv/weights-1.csv");
    assert_eq!(weights.lines().next(), Some("source,target,weight_pA,delay_ms"));
    assert_eq!(weights.lines().count(), 1 + 2000);
    let spikes = lines("csv/spikes.csv");
    assert_eq!(spikes.lines().next(), Some("time_ms,population,neuron"));
    let exact = read_spikes(&folder.path().join("sonata/spikes.h5")).unwrap();
    assert_eq!(spikes.lines().count() - 1, exact[0].times_ms.len());
    assert_eq!(&fs::read(folder.path().join("parquet/spikes.parquet")).unwrap()[..4], b"PAR1");
}

#[test]
fn what_cannot_be_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |line: &str| {
        let output = gyrus(words(line)).current_dir(folder.path()).output().unwrap();
        let sentence = refused(&output);
        assert!(output.stdout.is_empty() && !folder.path().join("runs").exists(), "{sentence}");
        sentence
    };
    let says = |sentence: String, parts: &[&str]| {
        parts.iter().for_each(|part| assert!(sentence.contains(part), "no {part:?} in: {sentence}"));
    };
    says(refuse("simulate brunell"), &["`brunell`", "did you mean `brunel`?"]);
    says(refuse("simulate nothing.toml"), &["nothing.toml"]);
    says(refuse("simulate cuba --scale 0.0001"), &["scale", "vanish"]);
    says(refuse("simulate cuba --seconds 0.00001"), &["0.01 ms", "steps of 0.1 ms"]);
    says(refuse("simulate my.toml --show"), &["`my.toml` is not built in", "brunel"]);
    circuit(
        folder.path(),
        "unit.toml",
        "\n[[recorder]]\ndevice = \"voltmeter\"\npopulation = \"E\"\ninterval = 1.0\n",
    );
    says(refuse("simulate unit.toml"), &["unit.toml, line 26", "`interval` has no unit", "`interval_ms`"]);
    let second = "\n[[projection]]\nsource = \"E\"\ntarget = \"E\"\nrule = \"fixed_indegree\"\nindegree = 300\nmultapses = false\n\
                  weight_pA = 1.0\ndelay_ms = 1.0\n";
    circuit(folder.path(), "degree.toml", second);
    says(refuse("simulate degree.toml"), &["degree.toml, line 23", "projection 2"]);
    let short = second.replace("300", "3").replace("delay_ms = 1.0", "delay_ms = 0.01");
    circuit(folder.path(), "delay.toml", &short);
    says(refuse("simulate delay.toml"), &["delay.toml, line 23", "delay"]);
    let large = "\n[[population]]\nname = \"large\"\nneurons = 4000000000\nmodel = \"iaf_psc_exp\"\n";
    circuit(folder.path(), "large.toml", large);
    says(refuse("simulate large.toml"), &["bytes of memory", "available"]);
    fs::create_dir(folder.path().join("empty")).unwrap();
    says(refuse("simulate empty"), &["empty"]);
    fs::write(folder.path().join("config.json"), "{\"networks\": {\"nodes\": [{}]}}").unwrap();
    says(refuse("simulate config.json"), &["config.json", "no `nodes_file`"]);
}

#[test]
fn runaway_activity_ends_the_run_and_is_written() {
    let folder = tempfile::tempdir().unwrap();
    // Everybody excites everybody.
    let more = "\n[[projection]]\nsource = \"E\"\ntarget = \"E\"\nrule = \"all_to_all\"\nweight_pA = 200.0\ndelay_ms = 1.0\n";
    circuit(folder.path(), "wild.toml", more);
    let output = gyrus(words("simulate wild.toml --out wild")).current_dir(folder.path()).output().unwrap();
    let sentence = failed(&output, 1);
    assert!(sentence.contains("activity ran away") && sentence.contains("--max-rate"), "{sentence}");
    assert!(
        folder.path().join("wild/report.html").is_file() && folder.path().join("wild/spikes.h5").is_file()
    );
    let calm = "simulate wild.toml --out calm --max-rate 1e9 --json";
    assert_eq!(json(gyrus(words(calm)).current_dir(folder.path()).output().unwrap())["status"], "finished");
    let again = gyrus(words("simulate wild.toml --out wild")).current_dir(folder.path()).output().unwrap();
    assert!(refused(&again).contains("--overwrite"));
}

#[test]
fn an_estimate_goes_up_to_a_brain() {
    let report = json(run("simulate brunel --estimate --json --threads 2", &[]));
    let sizes = report["sizes"].as_array().unwrap();
    assert_eq!(sizes.len(), 4, "{report}");
    assert_eq!(sizes[3]["neurons"].as_f64(), Some(86e9));
    assert!(
        sizes[3]["machines"].as_f64().unwrap() > 100.0 && report["event_ns"].as_f64().unwrap() > 0.0,
        "{report}"
    );
    assert!((report["synapses_per_neuron"].as_f64().unwrap() - 1250.0).abs() < 1e-9);
}

#[test]
fn a_stopped_run_goes_on_to_the_same_spikes() {
    let folder = tempfile::tempdir().unwrap();
    let recorder =
        "\n[[recorder]]\ndevice = \"voltmeter\"\npopulation = \"E\"\nneurons = [0, 2]\ninterval_ms = 0.5\n";
    let path = folder.path().join(circuit(folder.path(), "small.toml", recorder));
    let verb =
        |out: &str| gyrus::Simulate { seed: 5, ..gyrus::Simulate::new(&path) }.out(folder.path().join(out));
    let whole = verb("whole").run(&mut gyrus::Quiet).unwrap();
    let part = verb("part").run(&mut Impatient(7)).unwrap();
    assert_eq!((part.status, part.duration_ms, part.planned_ms), ("interrupted", 70.0, 200.0));
    assert!(part.spikes < whole.spikes && part.out.join("checkpoint").is_file());
    let resumed = gyrus::Simulate { threads: 1, ..gyrus::Simulate::resumed(&part.out).unwrap() };
    let resumed = resumed.run(&mut gyrus::Quiet).unwrap();
    assert_eq!((resumed.status, resumed.spikes), ("finished", whole.spikes));
    assert_eq!(resumed.synaptic_events, whole.synaptic_events);
    for file in ["spikes.h5", "traces.h5"] {
        assert!(fs::read(whole.out.join(file)).unwrap() == fs::read(part.out.join(file)).unwrap(), "{file}");
    }
    assert!(!part.out.join("checkpoint").exists());
    let again = gyrus::Simulate::resumed(&part.out).unwrap_err().to_string();
    assert!(again.ends_with("cannot be resumed: it is finished"), "{again}");
}

#[test]
fn a_nir_network_runs_with_poisson_input() {
    let file = match std::env::var_os("GYRUS_DATA") {
        Some(data) => Path::new(&data).join("nir/cnn_sinabs.nir"),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/nir/cnn_sinabs.nir"),
    };
    if !file.is_file() {
        println!("skipped: {} does not exist", file.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let verb = |rate: f64, out: &str| {
        let verb = gyrus::Simulate { dt_ms: Some(1.0), input_rate_hz: rate, ..gyrus::Simulate::new(&file) };
        verb.seconds(0.1).out(folder.path().join(out)).run(&mut gyrus::Quiet).unwrap()
    };
    let report = verb(20.0, "slow");
    let input = &report.populations[0];
    assert_eq!((input.name.as_str(), input.neurons), ("input", 2 * 34 * 34));
    assert!((input.rate_hz.unwrap() - 20.0).abs() < 2.0, "{:?}", input.rate_hz);
    assert!(report.populations.len() > 2 && report.synaptic_events > 0);
    let rates = |report: &gyrus::SimulateReport| report.populations[1].rate_hz.unwrap();
    let fast = verb(100.0, "fast");
    assert!(rates(&fast) > rates(&report), "{} {}", rates(&fast), rates(&report));
}
