//! Circuits as TOML files: the built-in ones, what they become at another scale, and what is refused with which line.

use std::path::Path;

use crate::common::data;
use gyrus_simulate::models::{BUILT_IN, BuiltIn};
use gyrus_simulate::{CircuitFile, InputKind, Model, Pairing, Plasticity, RuleKind, ShortTerm, TimingRule};

#[test]
fn built_in_circuits_have_the_published_sizes() {
    let sizes = BUILT_IN.map(|own| {
        let need = own.file().unwrap().check().unwrap();
        (own.name, need.neurons, need.synapses)
    });
    assert_eq!(
        sizes,
        [
            ("brunel", 12_500, 15_625_000),
            ("cuba", 4000, 320_000),
            ("coba", 4000, 320_000),
            ("microcircuit", 77_169, 298_880_968)
        ]
    );
}

#[test]
fn the_microcircuit_is_that_of_its_tables() {
    let Some(tables) = data("pd14") else { return };
    let file = BuiltIn::named("microcircuit").unwrap().file().unwrap();
    let text = std::fs::read_to_string(tables.join("synapse_numbers.csv")).unwrap();
    let names: Vec<&str> = text.lines().next().unwrap().split(',').skip(1).collect();
    let own: Vec<&str> = file.circuit.populations.iter().map(|own| own.name.as_str()).collect();
    assert_eq!(own, names);
    let mut count = 0;
    for (target, line) in text.lines().skip(1).enumerate() {
        for (source, synapses) in line.split(',').skip(1).enumerate() {
            let synapses: u64 = synapses.parse().unwrap();
            let mut found =
                file.circuit.projections.iter().filter(|own| (own.source, own.target) == (source, target));
            match found.next() {
                None => assert_eq!(synapses, 0),
                Some(own) => {
                    assert_eq!(own.rule.kind, RuleKind::FixedTotal(synapses), "{source} to {target}");
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, file.circuit.projections.len());
}

#[test]
fn a_smaller_microcircuit_keeps_its_input() {
    let whole = BuiltIn::named("microcircuit").unwrap().file().unwrap();
    let small = whole.clone().scaled(0.25).unwrap();
    let need = small.check().unwrap();
    assert!((need.neurons as f64 - 77_169.0 / 4.0).abs() < 8.0, "{need:?}");
    assert!((need.synapses as f64 - 298_880_968.0 / 16.0).abs() < 60.0, "{need:?}");
    let current = |file: &CircuitFile, index: usize| match &file.circuit.populations[index].model {
        Model::IafPscExp(model) => model.i_e_pa,
        other => panic!("{other:?}"),
    };
    // L5I, by hand: 0.5 ms, a quarter of all, so that half of the mean is lost; sums of weight, in-degree and rate.
    let (targets, weight) = (1065.0, 87.8085);
    let from = [
        (1_241_436.0, 0.903, 1.0),
        (169_424.0, 2.965, -4.0),
        (607_667.0, 4.414, 1.0),
        (12_851.0, 5.876, -4.0),
        (319_602.0, 7.569, 1.0),
        (430_444.0, 8.633, -4.0),
        (132_414.0, 1.105, 1.0),
    ];
    let recurrent: f64 =
        from.iter().map(|(synapses, rate, sign)| synapses / targets * rate * sign * weight).sum();
    let drive = recurrent + 1900.0 * 8.0 * weight;
    let lost = 1e-3 * 0.5 * 0.5 * drive;
    let gained = current(&small, 5) - current(&whole, 5);
    assert!((gained - lost).abs() < 1e-6 * lost.abs(), "{gained} {lost}");
    let kind = small.circuit.populations[5].inputs[0].kind;
    assert_eq!(kind, InputKind::Poisson { rate_hz: 1900.0 * 8.0 / 4.0, weight: 175.617 });
    let weight = |file: &CircuitFile| format!("{:?}", file.circuit.projections[0].weight.distribution);
    assert_eq!(weight(&small), "Normal { mean: 175.617, std: 17.5617 }");
}

#[test]
fn a_smaller_random_network_keeps_its_weights() {
    let small = BuiltIn::named("cuba").unwrap().file().unwrap().scaled(0.5).unwrap();
    let need = small.check().unwrap();
    assert_eq!((need.neurons, need.synapses), (2000, 80_000));
    assert_eq!(small.circuit.populations[0].inputs[0].neurons, Some(0..25));
    let message = BuiltIn::named("cuba").unwrap().file().unwrap().scaled(1e-3).unwrap_err().to_string();
    assert!(message.contains("a scale of 0.001: projection 1 would vanish"), "{message}");
    let rate = BuiltIn::named("brunel").unwrap().file().unwrap().scaled(0.1).unwrap();
    let kind = rate.circuit.populations[0].inputs[0].kind;
    assert_eq!(kind, InputKind::Poisson { rate_hz: 20_000.0, weight: 0.1 });
}

/// Two populations that are right, with a line of each replaced.
fn message(from: &str, to: &str) -> String {
    const RIGHT: &str = r#"name = "pair"

[[population]]
name = "E"
neurons = 80
model = "iaf_psc_exp"
tau_m_ms = 20.0

[[population]]
name = "I"
neurons = 20
model = "iaf_psc_exp"

[[projection]]
source = "E"
target = "I"
rule = "fixed_indegree"
indegree = 10
multapses = false
weight_pA = 20.0
delay_ms = 1.5
"#;
    assert!(CircuitFile::parse(RIGHT, Path::new("")).unwrap().check().is_ok());
    assert!(RIGHT.contains(from), "{from}");
    let wrong = RIGHT.replacen(from, to, 1);
    match CircuitFile::parse(&wrong, Path::new("")).and_then(|file| file.check()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("accepted: {to}"),
    }
}

#[test]
fn what_is_wrong_is_refused_with_its_line() {
    let cases = [
        (
            "tau_m_ms = 20.0",
            "tau_n_ms = 20.0",
            "line 7: population `E`: unknown key `tau_n_ms`; did you mean `tau_m_ms`?",
        ),
        ("tau_m_ms = 20.0", "tau_m = 20.0", "line 7: population `E`: `tau_m` has no unit; write `tau_m_ms`"),
        (
            "tau_m_ms = 20.0",
            "tau_m_ms = \"20\"",
            "line 7: population `E`: `tau_m_ms` is the text \"20\"; expected a number",
        ),
        ("weight_pA = 20.0", "weight = 20.0", "line 20: projection 1: `weight` should be `weight_pA`"),
        ("weight_pA = 20.0", "weight_mV = 20.0", "line 20: projection 1: `weight_mV` should be `weight_pA`"),
        ("delay_ms = 1.5", "delay = 1.5", "line 21: projection 1: `delay` should be `delay_ms`"),
        ("delay_ms = 1.5", "", "line 14: projection 1: `delay_ms` is missing"),
        ("target = \"I\"", "target = \"J\"", "line 16: projection 1: no population `J`; there are: E, I"),
        (
            "iaf_psc_exp",
            "iaf_psc_exq",
            "line 6: population `E`: unknown model `iaf_psc_exq`; did you mean `iaf_psc_exp`?",
        ),
        (
            "fixed_indegree",
            "fixed_in",
            "line 17: projection 1: `rule` is `fixed_in`; expected one of all_to_all, one_to_one",
        ),
        ("name = \"I\"", "name = \"E\"", "line 9: a second population is called `E`"),
        ("name = \"pair\"", "name = \"pair", "line 1: "),
    ];
    for (from, to, expected) in cases {
        let message = message(from, to);
        assert!(message.starts_with(expected), "{to}: {message}");
    }
}

#[test]
fn impossible_networks_are_refused_before_anything_is_built() {
    let cases = [
        ("indegree = 10", "indegree = 81", 14),
        ("delay_ms = 1.5", "delay_ms = 0.04", 14),
        ("tau_m_ms = 20.0", "tau_m_ms = 0.0", 3),
        ("neurons = 80", "neurons = 8000000000", 3),
    ];
    for (from, to, line) in cases {
        let message = message(from, to);
        let start = format!("line {line}: ");
        assert!(message.starts_with(&start), "{to}: {message}");
        println!("{message}");
    }
}

#[test]
fn a_file_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    std::fs::write(
        &path,
        "name = \"x\"\n\n[[population]]\nname = \"E\"\nneurons = 3\nmodel = \"iaf_psc_exp\"\nC_m_pF = -1.0\n",
    )
    .unwrap();
    let message = CircuitFile::load(&path).unwrap().check().unwrap_err().to_string();
    assert!(message.starts_with(&format!("{}, line 3: population `E`: ", path.display())), "{message}");
}

#[test]
fn lists_of_synapses_come_from_the_file_or_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let text = |list: &str| {
        format!(
            "[[population]]\nname = \"E\"\nneurons = 3\nmodel = \"iaf_psc_delta\"\n[[projection]]\nsource = \"E\"\ntarget = \"E\"\n\
             rule = \"list\"\n{list}\n"
        )
    };
    let own =
        CircuitFile::parse(&text("edges = [[0, 1, 0.5, 1.0], [1, 2, -0.5, 2.0]]"), folder.path()).unwrap();
    std::fs::write(
        folder.path().join("e.csv"),
        "source,target,weight_mV,delay_ms\n0,1,0.5,1.0\n1,2,-0.5,2.0\n",
    )
    .unwrap();
    let beside = CircuitFile::parse(&text("edges_file = \"e.csv\""), folder.path()).unwrap();
    assert_eq!(own, beside);
    assert_eq!(own.check().unwrap().synapses, 2);
    let error = |list: &str| CircuitFile::parse(&text(list), folder.path()).unwrap_err().to_string();
    assert!(
        error("edges = [[0, 1, 0.5]]")
            .contains("line 9: projection 1: edge 1 is [0.0, 1.0, 0.5]; expected [source, target")
    );
    std::fs::write(folder.path().join("f.csv"), "source,target,weight_pA,delay_ms\n0,1,0.5,1.0\n").unwrap();
    assert!(error("edges_file = \"f.csv\"").contains("line 1: no column `weight_mV`"));
    std::fs::write(folder.path().join("g.csv"), "source,target,weight_mV,delay_ms\n0,1,much,1.0\n").unwrap();
    assert!(error("edges_file = \"g.csv\"").contains("line 2: `much` is not a number"));
}

#[test]
fn synapses_change_by_the_models_of_nest() {
    let text = |synapse: &str| {
        format!(
            "[synapse.mine]\nmodel = \"stdp_synapse\"\nlambda = 0.1\nWmax_pA = 40.0\npairing = \"nearest\"\nweight_pA = 20.0\ndelay_ms = 1.0\n\
             [[population]]\nname = \"E\"\nneurons = 3\nmodel = \"iaf_psc_exp\"\n[[projection]]\nsource = \"E\"\ntarget = \"E\"\n\
             rule = \"all_to_all\"\n{synapse}\n"
        )
    };
    let read = |synapse: &str| {
        let file = CircuitFile::parse(&text(synapse), Path::new(""));
        file.and_then(|file| file.check().map(|_| file.circuit.projections[0].plasticity))
    };
    match read("synapse = \"mine\"").unwrap() {
        Some(Plasticity::SpikeTiming(own)) => {
            assert_eq!((own.pairing, own.tau_plus_ms, own.tau_minus_ms), (Pairing::Nearest, 20.0, 20.0));
            let expected =
                TimingRule::Bounded { lambda: 0.1, alpha: 1.0, mu_plus: 1.0, mu_minus: 1.0, w_max: 40.0 };
            assert_eq!(own.rule, expected);
        }
        other => panic!("{other:?}"),
    }
    let short = read("synapse = \"tsodyks2_synapse\"\nU = 0.2\nweight_pA = 20.0\ndelay_ms = 1.0").unwrap();
    assert_eq!(short, Some(Plasticity::ShortTerm(ShortTerm { u: 0.2, tau_rec_ms: 800.0, tau_fac_ms: 0.0 })));
    assert_eq!(read("weight_pA = 20.0\ndelay_ms = 1.0").unwrap(), None);
    let message = |synapse: &str| read(synapse).unwrap_err().to_string();
    assert!(message("synapse = \"stdp_synapze\"").contains("did you mean `stdp_synapse`?"));
    assert!(message("synapse = \"mine\"\nlambada = 1.0").contains("did you mean `lambda`?"));
    assert!(message("synapse = \"mine\"\nWmax = 1.0").contains("`Wmax` has no unit; write `Wmax_pA`"));
}

#[test]
fn projections_come_from_sonata_files() {
    let Some(network) = data("sonata/300_pointneurons/network") else { return };
    let text = |target: &str| {
        format!(
            "[[population]]\nname = \"external\"\nneurons = 100\nmodel = \"poisson_generator\"\nrate_hz = 10.0\n[[population]]\n\
             name = \"{target}\"\nneurons = 300\nmodel = \"iaf_psc_alpha\"\n[[projection]]\nsource = \"external\"\ntarget = \"{target}\"\n\
             rule = \"sonata\"\nedges_file = \"external_internal_edges.h5\"\nedge_types_file = \"external_internal_edge_types.csv\"\n"
        )
    };
    let file = CircuitFile::parse(&text("internal"), &network).unwrap();
    assert_eq!(file.check().unwrap().synapses, 20_844);
    let message = CircuitFile::parse(&text("other"), &network).unwrap_err().to_string();
    assert!(
        message.contains("no file has its population `internal`; there are: external, other"),
        "{message}"
    );
}
