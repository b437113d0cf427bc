//! Populations with explicit synapses: compared with a naive simulation, for any number of threads, and errors.

#![allow(clippy::unwrap_used)]

use gyrus_blueprint::{Discretization, NeuronModel, Node, NodeKind, Parameters, Reset};
use gyrus_events::Error;
use gyrus_events::simulation::{
    Activity, Delay, Link, Noise, Population, Projection, Rule, Simulation, Weight,
};

const DT_MS: f64 = 0.1;

fn model(kind: NodeKind) -> NeuronModel {
    let node = Node { name: "neurons".into(), kind };
    let time = Discretization { dt_ms: DT_MS, ..Discretization::default() };
    NeuronModel::new(&node, 1, &Parameters::new(), time).unwrap().unwrap()
}

/// A leaky neuron whose membrane rises by its input.
fn leaky(reset: Reset) -> NeuronModel {
    let NodeKind::LIF { resistance, v_leak, v_threshold, v_reset, per_neuron, learned, .. } =
        NodeKind::lif(20.0)
    else {
        unreachable!()
    };
    let kind = NodeKind::LIF {
        tau_membrane_ms: 20.0,
        resistance,
        v_leak,
        v_threshold,
        v_reset,
        reset,
        per_neuron,
        learned,
    };
    let mut model = model(kind);
    // Gain 1: weights are jumps of the membrane.
    model.constants[1] = vec![1.0];
    model
}

/// 800 excitatory and 200 inhibitory neurons, each with its own drive; 100 synapses onto each.
fn balanced(noise: Option<Noise>) -> (Vec<Population>, Vec<Projection>) {
    let population = |name: &str, neurons: usize, reset| {
        let mut model = leaky(reset);
        for row in &mut model.constants {
            *row = vec![row[0]; neurons];
        }
        model.constants[2] = (0..neurons).map(|n| 0.0055 + 0.002 * (n % 97) as f32 / 97.0).collect();
        model.v_start = (0..neurons).map(|n| (n * 37 % 101) as f32 / 101.0).collect();
        Population { name: name.into(), neurons, model, current: 0.0005, noise }
    };
    let delay = Delay::Uniform { from_ms: 0.5, to_ms: 2.0 };
    let projection = |source, target, count, mean: f32| Projection {
        source,
        target,
        rule: Rule::FixedInDegree(count),
        weight: Weight::Normal { mean, std: 0.1 * mean.abs() },
        delay,
    };
    let populations =
        vec![population("excitatory", 800, Reset::Hard), population("inhibitory", 200, Reset::Subtract)];
    let mut projections: Vec<Projection> = (0..2)
        .flat_map(|target| [projection(0, target, 80, 0.02), projection(1, target, 20, -0.1)])
        .collect();
    projections.push(Projection { rule: Rule::Probability(0.01), ..projection(0, 1, 0, 0.01) });
    (populations, projections)
}

type Raster = Vec<(u64, u32)>;

fn run(network: &(Vec<Population>, Vec<Projection>), threads: usize, pieces: &[u64]) -> (Raster, Activity) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut simulation = Simulation::new(&network.0, &network.1, DT_MS, 12).unwrap();
        let (mut raster, mut all) = (Vec::new(), Activity::default());
        for &steps in pieces {
            let activity = simulation
                .run(steps, |step, neurons| raster.extend(neurons.iter().map(|&neuron| (step, neuron))))
                .unwrap();
            all.steps += activity.steps;
            all.spikes += activity.spikes;
            all.synaptic_events += activity.synaptic_events;
            all.membrane_updates += activity.membrane_updates;
        }
        (raster, all)
    })
}

/// The same simulation, one neuron and one synapse after another.
fn naive(populations: &[Population], simulation: &Simulation, steps: u64) -> (Raster, u64) {
    let neurons = simulation.neurons();
    let outgoing: Vec<Vec<Link>> = (0..neurons).map(|source| simulation.outgoing(source)).collect();
    let mut pending = vec![vec![0.0f32; neurons]; steps as usize + 100];
    let mut v: Vec<f32> =
        populations.iter().flat_map(|population| population.model.v_start.clone()).collect();
    let (mut raster, mut events) = (Vec::new(), 0);
    for step in 0..steps {
        let mut first = 0;
        for population in populations {
            let constant = |row: usize, n: usize| population.model.constants[row][n];
            for n in 0..population.neurons {
                let x = pending[step as usize][first + n] + population.current;
                let u = constant(0, n).mul_add(v[first + n], constant(1, n).mul_add(x, constant(2, n)));
                let fires = u > constant(3, n);
                v[first + n] = match (fires, population.model.reset) {
                    (true, Reset::Hard) => constant(6, n),
                    (true, Reset::Subtract) => u - constant(3, n),
                    _ => u,
                };
                if fires {
                    raster.push((step, (first + n) as u32));
                }
            }
            first += population.neurons;
        }
        let fired: Vec<u32> =
            raster.iter().filter(|(at, _)| *at == step).map(|(_, neuron)| *neuron).collect();
        for source in fired {
            for link in &outgoing[source as usize] {
                pending[step as usize + link.delay][link.target] += link.weight;
                events += 1;
            }
        }
    }
    (raster, events)
}

#[test]
fn a_balanced_network_spikes_as_in_a_naive_simulation_for_any_number_of_threads() {
    let network = balanced(None);
    let (raster, activity) = run(&network, 1, &[1500]);
    let rate_hz = raster.len() as f64 / 1000.0 / 0.15;
    assert!((2.0..100.0).contains(&rate_hz), "{rate_hz} Hz");
    for threads in [2, 3] {
        assert_eq!(run(&network, threads, &[1500]), (raster.clone(), activity));
    }
    // Pieces that are not multiples of the shortest delay.
    assert_eq!(run(&network, 2, &[1, 7, 3, 489, 1000]), (raster.clone(), activity));
    let simulation = Simulation::new(&network.0, &network.1, DT_MS, 12).unwrap();
    let (expected, events) = naive(&network.0, &simulation, 1500);
    assert_eq!(raster, expected);
    assert_eq!((activity.spikes, activity.synaptic_events), (raster.len() as u64, events));
    assert_eq!(activity.membrane_updates, 1500 * 1000);
}

#[test]
fn noise_comes_at_its_rate_and_does_not_depend_on_threads() {
    let noise = Noise { rate_hz: 2000.0, weight: 0.02 };
    let network = balanced(Some(noise));
    let (raster, activity) = run(&network, 1, &[500]);
    assert_eq!(run(&network, 2, &[500]), (raster.clone(), activity));
    assert!(raster.len() > run(&balanced(None), 2, &[500]).0.len());
}

#[test]
fn connections_follow_their_rules() {
    let network = balanced(None);
    let simulation = Simulation::new(&network.0, &network.1, DT_MS, 12).unwrap();
    let all: Vec<Link> = (0..1000).flat_map(|source| simulation.outgoing(source)).collect();
    assert_eq!(all.len() as u64, simulation.synapses());
    let mut from_inhibitory = vec![0; 1000];
    let mut sources = vec![0; 1000];
    for link in &all {
        assert!((5..=20).contains(&link.delay));
        assert_eq!(link.weight < 0.0, link.source >= 800);
        from_inhibitory[link.target] += usize::from(link.source >= 800);
        sources[link.source] += 1;
    }
    assert!(from_inhibitory.iter().all(|&count| count == 20));
    // 800 · 200 pairs at 1 %, four standard deviations of a binomial count.
    let by_probability = all.len() as f64 - 100_000.0;
    assert!((by_probability - 1600.0).abs() < 160.0, "{by_probability}");
    assert!(sources.iter().all(|count| (50..170).contains(count)), "{sources:?}");
    let mean = all.iter().map(|link| link.delay).sum::<usize>() as f64 / all.len() as f64;
    assert!((mean - 12.5).abs() < 0.1, "{mean}");
    assert!(simulation.memory().synapses as f64 / all.len() as f64 <= 10.0);
    let other = Simulation::new(&network.0, &network.1, DT_MS, 13).unwrap();
    assert_ne!(simulation.outgoing(5), other.outgoing(5));
}

#[test]
fn a_spike_arrives_after_its_delay() {
    let one = |neurons, current| Population {
        name: "one".into(),
        neurons,
        model: leaky(Reset::Hard),
        current,
        noise: None,
    };
    let links = vec![
        Link { source: 0, target: 4999, weight: 2.0, delay: 3 },
        Link { source: 0, target: 1, weight: 2.0, delay: 70 },
        Link { source: 0, target: 1, weight: -2.0, delay: 70 },
    ];
    let projection = Projection {
        source: 0,
        target: 1,
        rule: Rule::Listed(links),
        weight: Weight::Constant(0.0),
        delay: Delay::Constant { delay_ms: 1.0 },
    };
    // With 0.6 at every step, neuron 0 passes its threshold at steps 1, 3, 5, ...
    let mut simulation = Simulation::new(&[one(1, 0.6), one(5000, 0.0)], &[projection], DT_MS, 1).unwrap();
    let mut received = Vec::new();
    let activity =
        simulation.run(100, |step, neurons| received.extend(neurons.iter().map(|&n| (step, n)))).unwrap();
    let of = |neuron: u32| received.iter().filter(|at| at.1 == neuron).map(|at| at.0).collect::<Vec<u64>>();
    assert_eq!(of(0), (1..100).step_by(2).collect::<Vec<u64>>());
    assert_eq!(of(5000), (4..100).step_by(2).collect::<Vec<u64>>());
    // The inputs of neuron 1 of the second population cancel.
    assert_eq!(received.len(), 50 + 48);
    assert_eq!(activity.synaptic_events, 3 * 50);
}

#[test]
fn senseless_settings_are_refused() {
    let (populations, projections) = balanced(None);
    let refused = |change: &dyn Fn(&mut Vec<Population>, &mut Vec<Projection>)| {
        let (mut populations, mut projections) = (populations.clone(), projections.clone());
        change(&mut populations, &mut projections);
        match Simulation::new(&populations, &projections, DT_MS, 1) {
            Err(error @ (Error::Setting { .. } | Error::Memory { .. })) => error.to_string(),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it was accepted"),
        }
    };
    let text = refused(&|_, projections| projections[0].delay = Delay::Constant { delay_ms: 0.01 });
    assert!(text.contains("a delay") && text.contains("1 to 65,536 steps"), "{text}");
    let text = refused(&|_, projections| projections[0].target = 2);
    assert_eq!(text, "a projection's population is 2; expected fewer than 2");
    let text = refused(&|_, projections| projections[0].rule = Rule::Probability(1.5));
    assert!(text.contains("probability"), "{text}");
    let text = refused(&|_, projections| projections[0].weight = Weight::Constant(f32::NAN));
    assert!(text.contains("a weight"), "{text}");
    let text = refused(&|populations, _| populations[0].neurons = 801);
    assert!(text.contains("length of a neuron's constants"), "{text}");
    let text = refused(&|populations, _| populations[1].model.fires = false);
    assert!(text.contains("neurons that fire"), "{text}");
    let link = Link { source: 800, target: 0, weight: 1.0, delay: 1 };
    let text = refused(&|_, projections| projections[0].rule = Rule::Listed(vec![link]));
    assert!(text.contains("from neuron 800"), "{text}");
    assert!(Simulation::new(&populations, &projections, 0.0, 1).is_err());
}

#[test]
fn potentials_that_are_not_numbers_end_the_run() {
    let (mut populations, projections) = balanced(None);
    populations[1].model.v_start[7] = f32::INFINITY;
    let mut simulation = Simulation::new(&populations, &projections, DT_MS, 1).unwrap();
    let error = simulation.run(5, |_, _| ()).unwrap_err().to_string();
    assert_eq!(
        error,
        "the membrane potential of node `inhibitory` is not a finite number at step 0 (neuron 7)"
    );
}
