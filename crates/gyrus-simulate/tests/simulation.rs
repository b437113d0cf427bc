//! Circuits compared with a naive simulation of the same synapses, for any number of threads and any pieces.

use std::ops::ControlFlow;

use gyrus_simulate::{
    Activity, Circuit, Input, Leaky, Link, Model, Population, Precision, Projection, Quantity, RuleKind,
    Simulation, Synapse, Variable,
};

type Raster = Vec<(u64, u32)>;

/// Leaky neurons whose membrane jumps by its input, with a threshold of 15 mV.
fn leaky(i_e_pa: f64) -> Model {
    Model::IafPscDelta(Leaky { tau_m_ms: 20.0, i_e_pa, ..Leaky::default() })
}

/// 800 excitatory and 200 inhibitory neurons, driven by currents; about 110 synapses onto each.
fn balanced(precision: Precision) -> Circuit {
    let population = |name: &str, neurons, current| Population {
        v_start_mv: Some(Quantity::normal(-63.0, 3.0, -70.0, -56.0)),
        ..Population::new(name, neurons, leaky(current))
    };
    let populations = vec![population("excitatory", 800, 200.0), population("inhibitory", 200, 210.0)];
    let mut projections = Vec::new();
    for target in 0..2 {
        let delay = Quantity::normal(1.5, 0.75, 0.45, 5.0);
        let weight =
            |mean: f64| Quantity::normal(mean, 0.1 * mean.abs(), mean.min(0.0) * 9.0, mean.max(0.0) * 9.0);
        projections.push(Projection::new(0, target, RuleKind::FixedInDegree(80), weight(0.3), delay));
        projections.push(Projection::new(1, target, RuleKind::FixedInDegree(20), weight(-1.5), 0.8));
        projections.push(Projection::new(0, target, RuleKind::Bernoulli(0.01), 0.2, 0.5));
    }
    projections.push(Projection::new(1, 0, RuleKind::FixedTotal(900), -0.5, delay_of_their_own()));
    Circuit { populations, projections, seed: 12, precision, ..Circuit::default() }
}

fn delay_of_their_own() -> Quantity {
    Quantity::normal(2.0, 0.5, 0.45, 5.0)
}

fn run(circuit: &Circuit, threads: usize, pieces: &[u64]) -> (Raster, Activity) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut simulation = Simulation::new(circuit).unwrap();
        let mut raster = Vec::new();
        for &steps in pieces {
            simulation
                .run(steps, |step, neurons| {
                    raster.extend(neurons.iter().map(|&neuron| (step, neuron)));
                    ControlFlow::Continue(())
                })
                .unwrap();
        }
        (raster, simulation.activity())
    })
}

/// The same circuit, one neuron and one synapse after another, in double precision.
fn naive(circuit: &Circuit, steps: u64) -> (Raster, u64) {
    let simulation = Simulation::new(circuit).unwrap();
    let neurons = simulation.neurons();
    let outgoing: Vec<Vec<Synapse>> = (0..neurons as u32).map(|source| simulation.outgoing(source)).collect();
    let mut v: Vec<f64> =
        (0..neurons as u32).map(|n| simulation.state(n, Variable::Potential).unwrap() + 70.0).collect();
    let mut pending = vec![vec![0.0; neurons]; steps as usize + 100];
    let (decay, gain) = ((-0.1f64 / 20.0).exp(), 20.0 / 250.0 * (1.0 - (-0.1f64 / 20.0).exp()));
    let mut left = vec![0; neurons];
    let (mut raster, mut events) = (Vec::new(), 0);
    for step in 0..steps as usize {
        let mut fired = Vec::new();
        for n in 0..neurons {
            if left[n] > 0 {
                left[n] -= 1;
                continue;
            }
            let current = if n < 800 { 200.0 } else { 210.0 };
            v[n] = decay * v[n] + gain * current + pending[step][n];
            if v[n] >= 15.0 {
                v[n] = 0.0;
                left[n] = 20;
                fired.push(n);
            }
        }
        for source in fired {
            raster.push((step as u64, source as u32));
            for synapse in &outgoing[source] {
                pending[step + synapse.delay_steps as usize][synapse.target as usize] += synapse.weight;
                events += 1;
            }
        }
    }
    (raster, events)
}

#[test]
fn a_circuit_spikes_as_in_a_naive_simulation() {
    let circuit = balanced(Precision::Double);
    let (raster, activity) = run(&circuit, 2, &[1500]);
    let rate_hz = raster.len() as f64 / 1000.0 / 0.15;
    assert!((2.0..100.0).contains(&rate_hz), "{rate_hz} Hz");
    let (expected, events) = naive(&circuit, 1500);
    assert_eq!(raster, expected);
    assert_eq!((activity.spikes, activity.synaptic_events), (raster.len() as u64, events));
    assert_eq!(activity.neuron_updates, 1500 * 1000);
}

#[test]
fn spikes_are_the_same_for_any_number_of_threads_and_in_any_pieces() {
    let mut circuit = balanced(Precision::Single);
    circuit.populations[0].inputs.push(Input::poisson(5000.0, 0.1));
    let (raster, activity) = run(&circuit, 1, &[1000]);
    assert!(activity.poisson_draws == 800 * 1000 && raster.len() > 1000);
    for threads in [2, 3] {
        assert_eq!(run(&circuit, threads, &[1000]), (raster.clone(), activity));
    }
    assert_eq!(run(&circuit, 2, &[1, 7, 3, 489, 500]), (raster, activity));
}

#[test]
fn an_observer_can_end_a_run() {
    let mut simulation = Simulation::new(&balanced(Precision::Single)).unwrap();
    let mut seen = 0;
    let activity = simulation
        .run(10_000, |step, _| {
            seen = step + 1;
            if step < 300 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .unwrap();
    assert_eq!(activity.steps, seen);
    assert!((301..330).contains(&seen), "{seen}");
    assert_eq!(simulation.step(), seen);
}

#[test]
fn a_spike_arrives_after_its_delay() {
    let link = |target, weight, delay_ms| Link { source: 0, target, weight, delay_ms };
    let links = vec![link(4999, 40.0, 0.3), link(1, 40.0, 7.0), link(1, -40.0, 7.0)];
    let source = Model::SpikeSource { times_ms: vec![vec![0.2, 1.0, 30.0]] };
    let populations = vec![Population::new("source", 1, source), Population::new("target", 5000, leaky(0.0))];
    let projections = vec![Projection::new(0, 1, RuleKind::Listed(links), 0.0, 1.0)];
    let circuit = Circuit { populations, projections, ..Circuit::default() };
    let (raster, activity) = run(&circuit, 2, &[400]);
    // The source's spike at 0.2 ms belongs to step 1; its target is refractory when the second one arrives.
    assert_eq!(raster, [(1, 0), (4, 5000), (9, 0), (299, 0), (302, 5000)]);
    assert_eq!(activity.synaptic_events, 9);
}

#[test]
fn numbers_that_are_not_finite_end_the_run() {
    let mut circuit = balanced(Precision::Single);
    for projection in &mut circuit.projections {
        projection.weight = (-3e38).into();
    }
    let mut simulation = Simulation::new(&circuit).unwrap();
    let error = simulation.run(100_000, |_, _| ControlFlow::Continue(())).map(|activity| activity.steps);
    // Weights beyond the range of single precision become infinite when they add up.
    match error {
        Err(error) => assert!(error.to_string().contains("not a finite number"), "{error}"),
        Ok(steps) => panic!("{steps} steps ran"),
    }
}
