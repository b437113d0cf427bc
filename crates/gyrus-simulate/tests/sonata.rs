//! SONATA networks of the Allen Institute: their published spikes, and NEST's.

use std::ops::ControlFlow;

use crate::common::{data, unpack};
use gyrus_simulate::sonata::{Sonata, is_intfire, read_spikes, run_intfire};
use gyrus_simulate::{Simulation, Variable};

#[test]
fn intfire_gives_every_published_spike() {
    let Some(archive) = data("sonata/300_intfire.tar.gz") else { return };
    let folder = tempfile::tempdir().unwrap();
    unpack(&archive, folder.path());
    let network = folder.path().join("300_intfire");
    let sonata = Sonata::open(&network).unwrap();
    assert!(is_intfire(&sonata));
    assert_eq!((sonata.nodes.len(), sonata.synapses()), (3, 17_160 + 9000 + 61_560));
    let (spikes, events) = run_intfire(&sonata, sonata.duration_ms.unwrap()).unwrap();
    assert_eq!(spikes.len(), 4322);
    assert!(events > 1_000_000);
    let published = &read_spikes(&network.join("output/spikes.h5")).unwrap()[0];
    // The published times are rounded to the step of their recording.
    let mut expected: Vec<(u32, f64)> = (published.node_ids.iter().zip(&published.times_ms))
        .map(|(node, time)| (*node as u32, *time))
        .collect();
    let mut found: Vec<(u32, f64)> = spikes.iter().map(|spike| (spike.node, spike.time_ms)).collect();
    let order = |a: &(u32, f64), b: &(u32, f64)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1));
    expected.sort_by(order);
    found.sort_by(order);
    let mut farthest = 0f64;
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.0, expected.0);
        farthest = farthest.max((found.1 - expected.1).abs());
    }
    println!("farthest from its published time: {farthest:e} ms");
    assert!(farthest < 1e-9, "{farthest}");
}

#[test]
fn point_neurons_give_the_spikes_of_nest() {
    let Some(folder) = data("sonata/300_pointneurons") else { return };
    let Some(reference) = data("sonata/300_pointneurons.nest-3.10.spikes_dt0.1.csv.gz") else { return };
    let mut sonata = Sonata::open(&folder).unwrap();
    assert_eq!((sonata.synapses(), sonata.given(), sonata.recorded.len()), (48_432, 4334, 5));
    sonata.dt_ms = Some(0.1);
    let (file, origins) = sonata.circuit("300_pointneurons").unwrap();
    let mut simulation = Simulation::new(&file.circuit).unwrap();
    let mut found: Vec<(u64, u64)> = Vec::new();
    let of = |simulation: &Simulation, neuron: u32| {
        let index = (0..origins.len()).find(|index| simulation.population(*index).contains(&neuron)).unwrap();
        let origin = &origins[index];
        let within = neuron - simulation.population(index).start;
        (origin.population == "internal").then(|| origin.node_ids[within as usize])
    };
    let mut sent: Vec<(u64, u32)> = Vec::new();
    simulation
        .run(15_000, |step, neurons| {
            sent.extend(neurons.iter().map(|neuron| (step, *neuron)));
            ControlFlow::Continue(())
        })
        .unwrap();
    for (step, neuron) in sent {
        if let Some(id) = of(&simulation, neuron) {
            found.push((step + 1, id));
        }
    }
    let text = gyrus_files::read_text(&reference, 1 << 24).unwrap();
    let mut expected: Vec<(u64, u64)> = text
        .lines()
        .skip(1)
        .map(|line| {
            let (time, node) = line.split_once(',').unwrap();
            ((time.parse::<f64>().unwrap() * 10.0).round() as u64, node.parse().unwrap())
        })
        .collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(expected.len(), 18_788);
    let first = found.iter().zip(&expected).find(|(found, expected)| found != expected);
    assert_eq!(first, None, "{} spikes in all", found.len());
    assert_eq!(found.len(), expected.len());
    assert!(simulation.state(0, Variable::Potential).is_some());
}

#[test]
fn older_layouts_open() {
    let Some(folder) = data("sonata/sim_tests/intfire/ten_cells_spikes_nest/input") else { return };
    let sonata = Sonata::open(&folder.join("config.json")).unwrap();
    assert_eq!((sonata.nodes.len(), sonata.synapses(), sonata.given()), (2, 14, 17));
    assert_eq!((sonata.duration_ms, sonata.dt_ms, sonata.recorded.len()), (Some(400.0), Some(0.001), 5));
    let (file, origins) = sonata.circuit("ten_cells").unwrap();
    assert_eq!(origins[0].population, "pre");
    let mut simulation = Simulation::new(&file.circuit).unwrap();
    let activity = simulation.run(400_000, |_, _| ControlFlow::Continue(())).unwrap();
    // Of 17 given spikes one lies beyond the end; the others reach all their targets, which they do not excite enough to fire.
    assert_eq!((activity.spikes, activity.synaptic_events), (16, 37));
}
