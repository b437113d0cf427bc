//! Damaged and malicious NIR files: each gives a one-sentence error that names the place, and none takes more memory than its
//! length allows.

use gyrus_blueprint::{Discretization, Error, Integration, NirNetwork, NodeKind, load_nir, read_nir};
use hdf5_pure::{DatasetBuilder, FileBuilder, GroupBuilder};

fn golden(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/nir");
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

/// The error message: one short line.
fn refused(bytes: Vec<u8>) -> String {
    let text = read_nir(bytes).unwrap_err().to_string();
    assert!(!text.contains('\n') && text.len() < 600, "{text}");
    text
}

type Fields<'a> = &'a dyn Fn(&mut GroupBuilder);

fn text(dataset: &mut DatasetBuilder, value: &str) {
    dataset.with_vlen_strings(&[value]).with_shape(&[]);
}

fn node(name: &str, kind: &str, nodes: &mut GroupBuilder, fields: Fields<'_>) {
    let mut group = nodes.create_group(name);
    text(group.create_dataset("type"), kind);
    fields(&mut group);
    nodes.add_group(group.finish());
}

fn edges(graph: &mut GroupBuilder, edges: &[[&str; 2]]) {
    let names: Vec<&str> = edges.concat();
    graph.create_dataset("edges").with_vlen_strings(&names).with_shape(&[edges.len() as u64, 2]);
}

fn file(graph: impl Fn(&mut GroupBuilder)) -> Vec<u8> {
    let mut file = FileBuilder::new();
    text(file.create_dataset("version"), "1.0.8");
    let mut root = file.create_group("node");
    text(root.create_dataset("type"), "NIRGraph");
    graph(&mut root);
    file.add_group(root.finish());
    file.finish().unwrap()
}

/// `in` → `it` → `out` on three elements.
fn chain(kind: &str, fields: Fields<'_>) -> Vec<u8> {
    file(|root| {
        let mut nodes = root.create_group("nodes");
        let three = |group: &mut GroupBuilder| {
            group.create_dataset("shape").with_i64_data(&[3]);
        };
        node("in", "Input", &mut nodes, &three);
        node("it", kind, &mut nodes, fields);
        node("out", "Output", &mut nodes, &three);
        root.add_group(nodes.finish());
        edges(root, &[["in", "it"], ["it", "out"]]);
    })
}

fn lif(tau: &[f64], threshold: &[f64], reset: &[f64]) -> Vec<u8> {
    chain("LIF", &|group| {
        for (name, values) in [("tau", tau), ("v_threshold", threshold), ("v_reset", reset)] {
            group.create_dataset(name).with_f64_data(values);
        }
    })
}

#[test]
fn undamaged_files_made_here_are_read() {
    let network = read_nir(lif(&[0.02; 3], &[1.0; 3], &[0.0; 3])).unwrap();
    assert_eq!(network.blueprint.nodes().len(), 3);
    read_nir(lif(&[0.02], &[1.0], &[0.0])).unwrap();
}

#[test]
fn wrong_fields_are_named() {
    let not_a_lif =
        |text: String, expected: &str| assert_eq!(text, format!("node `it` (LIF): its {expected}"));
    not_a_lif(
        refused(lif(&[0.02, -0.01, 0.02], &[1.0; 3], &[0.0; 3])),
        "`tau` is -0.01 s at index 1; expected time constants above 0, in seconds",
    );
    not_a_lif(
        refused(lif(&[0.0; 3], &[1.0; 3], &[0.0; 3])),
        "`tau` is 0 s at index 0; expected time constants above 0, in seconds",
    );
    not_a_lif(
        refused(lif(&[0.02; 3], &[1.0, 1.0, f64::NAN], &[0.0; 3])),
        "`v_threshold` is NaN at index 2; expected finite numbers",
    );
    not_a_lif(
        refused(lif(&[0.02; 3], &[1.0, 0.5, 1.0], &[0.75; 3])),
        "`v_reset` is 0.75 at index 1; expected a number below v_threshold = 0.5",
    );
    not_a_lif(
        refused(lif(&[0.02; 3], &[1.0; 2], &[0.0; 3])),
        "`v_threshold` is an array of shape [2]; expected shape [3], as the node's other constants have",
    );
    not_a_lif(
        refused(lif(&[0.02; 4], &[1.0; 4], &[0.0; 4])),
        "`r` is for the shape [4]; expected [3], which is what enters the node",
    );
    not_a_lif(
        refused(chain("LIF", &|group| text(group.create_dataset("tau"), "20 ms"))),
        "`tau` is text; expected numbers",
    );
    assert_eq!(
        refused(chain("LIF", &|group| {
            group.create_dataset("tau").with_f64_data(&[0.02; 3]);
        })),
        "node `it` (LIF): its `v_threshold` is missing; expected one number per neuron"
    );
    let delay = |group: &mut GroupBuilder| {
        group.create_dataset("delay").with_f64_data(&[0.1, -1.0, 0.1]);
    };
    assert_eq!(
        refused(chain("Delay", &delay)),
        "node `it` (Delay): its `delay` is -1 s; expected at least 0 s"
    );
    let weight = |group: &mut GroupBuilder| {
        group.create_dataset("weight").with_f32_data(&[0.5; 8]).with_shape(&[2, 4]);
    };
    assert_eq!(
        refused(chain("Linear", &weight)),
        "node `it` (Linear): `it.weight` should have shape [2, 3], got [2, 4]"
    );
    let cube = |group: &mut GroupBuilder| {
        group.create_dataset("weight").with_f32_data(&[0.5; 8]).with_shape(&[2, 2, 2]);
    };
    assert_eq!(
        refused(chain("Linear", &cube)),
        "node `it` (Linear): its `weight` is an array of shape [2, 2, 2]; expected numbers of shape [outputs, inputs]"
    );
    let text = refused(chain("Izhikevich", &|_| {}));
    assert!(text.starts_with("node `it` has the NIR type \"Izhikevich\"; there are Input, "), "{text}");
}

#[test]
fn unknown_fields_are_reported() {
    let with_refractory = chain("LIF", &|group| {
        for (name, value) in [("tau", 0.02), ("v_threshold", 1.0), ("tau_refractory", 0.002)] {
            group.create_dataset(name).with_f64_data(&[value; 3]);
        }
    });
    let warnings = read_nir(with_refractory).unwrap().warnings;
    assert_eq!(warnings, ["`it`: NIR has no field `tau_refractory`, so it is ignored"]);
}

/// sinabs, Norse and snnTorch write an r of 1 for "each step adds I"; SpikingJelly writes 1 / dt, in seconds.
#[test]
fn what_r_of_an_integrator_means() {
    let read = |r: f64| {
        let file = chain("IF", &|group| {
            for (name, value) in [("r", r), ("v_threshold", 1.0)] {
                group.create_dataset(name).with_f64_data(&[value; 3]);
            }
        });
        read_nir(file).unwrap()
    };
    let resistance = |network: &NirNetwork| match network.blueprint.nodes()[1].kind {
        NodeKind::IF { resistance, .. } => resistance,
        _ => panic!("no IF"),
    };
    let time = Discretization { dt_ms: 0.25, integration: Integration::Euler };
    let each_step = read(1.0);
    assert_eq!((resistance(&each_step), &each_step.each_step[..]), (1.0, &["it".to_owned()][..]));
    assert_eq!(each_step.warnings, [""; 0]);
    assert_eq!(resistance(&each_step.with_step(time).unwrap()), 4.0);
    let per_second = read(4000.0);
    assert_eq!(resistance(&per_second), 4.0);
    assert_eq!(per_second.warnings, ["`it`: r is read as per second; NIR defines no unit for it"]);
    assert_eq!(resistance(&per_second.with_step(time).unwrap()), 4.0);
}

#[test]
fn wrong_metadata_is_named() {
    let with = |fill: Fields<'_>| {
        refused(chain("IF", &|group| {
            group.create_dataset("v_threshold").with_f64_data(&[1.0; 3]);
            let mut metadata = group.create_group("metadata");
            fill(&mut metadata);
            group.add_group(metadata.finish());
        }))
    };
    assert_eq!(
        with(&|group| text(group.create_dataset("gyrus_reset"), "soft")),
        "node `it` (IF): its `metadata/gyrus_reset` is \"soft\"; expected hard, subtract or none"
    );
    assert_eq!(
        with(&|group| {
            group.create_dataset("gyrus_dt_ms").with_f64_data(&[0.0]);
        }),
        "node `it` (IF): its `metadata/gyrus_dt_ms` is 0; expected a number above 0"
    );
    let learned = with(&|group| text(group.create_dataset("gyrus_learned"), "v_threshold,tau"));
    assert!(learned.contains("has no constant `tau`; it has resistance, v_threshold"), "{learned}");
}

#[test]
fn edges_that_lead_nowhere() {
    let dangling = |from: &'static str, to: &'static str| {
        file(move |root| {
            let mut nodes = root.create_group("nodes");
            let one = |group: &mut GroupBuilder| {
                group.create_dataset("shape").with_i64_data(&[1]);
            };
            node("input", "Input", &mut nodes, &one);
            let mut inner = nodes.create_group("lif1");
            text(inner.create_dataset("type"), "NIRGraph");
            let mut within = inner.create_group("nodes");
            node("input", "Input", &mut within, &one);
            node("lif1", "Threshold", &mut within, &|group| {
                group.create_dataset("threshold").with_f64_data(&[1.0]);
            });
            node("output", "Output", &mut within, &one);
            inner.add_group(within.finish());
            edges(&mut inner, &[["input", from], [to, "output"]]);
            nodes.add_group(inner.finish());
            node("output", "Output", &mut nodes, &one);
            root.add_group(nodes.finish());
            edges(root, &[["input", "lif1"], ["lif1", "output"]]);
        })
    };
    read_nir(dangling("lif1", "lif1")).unwrap();
    // As in the NIR paper's `*_subgraph.nir`.
    assert_eq!(
        refused(dangling("lif", "lif1")),
        "the edge from `lif1.input` to `lif1.lif` names a node that does not exist: `lif1.lif`"
    );
    let numbers = file(|root| {
        let nodes = root.create_group("nodes");
        root.add_group(nodes.finish());
        root.create_dataset("edges").with_i64_data(&[0, 1]).with_shape(&[1, 2]);
    });
    assert_eq!(
        refused(numbers),
        "node `node` (NIRGraph): its `edges` is numbers; expected an array of shape [edges, 2] with node names"
    );
}

#[test]
fn groups_that_contain_themselves() {
    let text = refused(golden("loop.nir"));
    assert!(text.contains("groups lie more than 64 deep; a group may contain itself"), "{text}");
}

#[test]
fn graphs_nested_without_end() {
    fn nest(group: &mut GroupBuilder, depth: usize) {
        text(group.create_dataset("type"), "NIRGraph");
        edges(group, &[]);
        let mut nodes = group.create_group("nodes");
        if depth > 0 {
            let mut inner = nodes.create_group("g");
            nest(&mut inner, depth - 1);
            nodes.add_group(inner.finish());
        }
        group.add_group(nodes.finish());
    }
    let deep = |depth: usize| {
        let mut file = FileBuilder::new();
        let mut root = file.create_group("node");
        nest(&mut root, depth);
        file.add_group(root.finish());
        file.finish().unwrap()
    };
    assert!(refused(deep(200)).contains("groups lie more than 64 deep"));
    assert!(refused(deep(20)).contains("has 0 nodes that nothing feeds"));
}

#[test]
fn weights_that_are_only_announced() {
    assert_eq!(
        refused(golden("huge.nir")),
        format!(
            "`/node/nodes/fc/weight` in the HDF5 file: its 281474976710656 elements of 4 bytes (shape [16777216, \
             16777216]) are more than a file of {} bytes can hold",
            golden("huge.nir").len()
        )
    );
}

#[test]
fn files_of_other_kinds() {
    assert!(matches!(read_nir(Vec::new()), Err(Error::NotNir { .. })));
    assert!(refused(b"PK\x03\x04 certainly no HDF5".repeat(100)).starts_with("not a NIR file: "));
    let mut other = FileBuilder::new();
    other.create_dataset("temperature").with_f64_data(&[1.0]);
    assert_eq!(
        refused(other.finish().unwrap()),
        "not a NIR file: it has no group `node`; expected HDF5 that holds a group `node` with a NIRGraph"
    );
    let missing = load_nir("/nowhere/net.nir").unwrap_err().to_string();
    assert!(missing.starts_with("cannot read /nowhere/net.nir: "), "{missing}");
}

/// A file truncated anywhere is refused, or (truncated behind everything relevant) read.
#[test]
fn truncated_files() {
    for name in ["bare.nir", "nested.nir"] {
        let whole = golden(name);
        for length in (0..whole.len()).step_by(103) {
            if let Err(error) = read_nir(whole[..length].to_vec()) {
                assert!(!error.to_string().contains('\n'), "{name} cut at {length}: {error}");
            }
        }
        assert!(read_nir(whole[..whole.len() / 2].to_vec()).is_err(), "{name}");
    }
}

/// Bytes throughout a file, changed one after another to their complement and by their lowest and highest bit: each gives a
/// network or a one-sentence error, never a panic. The bytes include offsets, lengths, ranks and types.
#[test]
fn changed_bytes() {
    let mut refusals = 0;
    for (name, step) in [("bare.nir", 3), ("pictures.nir", 97)] {
        let whole = golden(name);
        for at in (0..whole.len()).step_by(step) {
            for flip in [0xff, 0x01, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                if let Err(error) = read_nir(bytes) {
                    refusals += 1;
                    let text = error.to_string();
                    assert!(
                        !text.contains('\n') && text.len() < 2000,
                        "{name}, byte {at} by {flip:#x}: {text}"
                    );
                }
            }
        }
    }
    assert!(refusals > 1000, "{refusals}");
}
