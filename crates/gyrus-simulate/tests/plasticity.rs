//! Plastic synapses beside NEST 3.10 (`golden/simulate.py`), and what only this crate has.

use std::ops::ControlFlow;
use std::path::Path;

use gyrus_simulate::{
    Circuit, Input, Leaky, Model, Pairing, Plasticity, Population, Precision, Projection, Quantity, RuleKind,
    ShortTerm, Simulation, SpikeTiming, TimingRule, Variable,
};

fn golden(name: &str) -> Vec<f64> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"));
    std::fs::read_to_string(path).unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

/// Times `first`, `first` + `gap`, ... below 900 ms, in steps, arriving a millisecond later.
fn times(first: usize, gap: usize) -> Vec<f64> {
    (first..9000).step_by(gap).map(|step| step as f64 * 0.1 + 1.0).collect()
}

/// Four sources and a target that a teacher makes fire.
fn pair(timing: SpikeTiming, precision: Precision) -> Circuit {
    let sources = [(30, 173), (77, 311), (151, 97), (500, 1203)]
        .map(|(first, gap)| [3.0].into_iter().chain(times(first, gap)).chain([951.0]).collect::<Vec<f64>>());
    let neuron = Model::IafPscDelta(Leaky { tau_m_ms: 1.0, t_ref_ms: 0.2, ..Leaky::default() });
    let populations = vec![
        Population::new("sources", 4, Model::SpikeSource { times_ms: sources.to_vec() }),
        Population::new("target", 1, neuron),
        Population::new("teacher", 1, Model::SpikeSource { times_ms: vec![times(50, 211)] }),
    ];
    let projections = vec![
        Projection {
            plasticity: Some(Plasticity::SpikeTiming(timing)),
            ..Projection::new(0, 1, RuleKind::AllToAll, 1.0, 1.5)
        },
        Projection::new(2, 1, RuleKind::OneToOne, 100.0, 1.0),
    ];
    Circuit { populations, projections, precision, ..Circuit::default() }
}

fn learned(timing: SpikeTiming, precision: Precision) -> Vec<f64> {
    let mut simulation = Simulation::new(&pair(timing, precision)).unwrap();
    simulation.run(10_000, |_, _| ControlFlow::Continue(())).unwrap();
    simulation.weights(0).iter().map(|link| link.weight).collect()
}

const TIMING: SpikeTiming = SpikeTiming {
    rule: TimingRule::Bounded { lambda: 0.02, alpha: 1.1, mu_plus: 0.0, mu_minus: 0.0, w_max: 2.0 },
    pairing: Pairing::AllToAll,
    tau_plus_ms: 20.0,
    tau_minus_ms: 30.0,
    tau_eligibility_ms: None,
};

fn check(name: &str, timing: SpikeTiming, tolerance: f64) {
    let (got, expected) = (learned(timing, Precision::Double), golden(name));
    println!("{name}: {got:?}, NEST {expected:?}");
    assert!(
        got.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= tolerance),
        "{name}: {got:?}, NEST {expected:?}"
    );
    assert!(expected.iter().any(|weight| (weight - 1.0).abs() > 0.01), "{name} changes nothing");
    let single = learned(timing, Precision::Single);
    assert!(single.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{name}: {single:?}");
}

#[test]
fn weights_change_as_in_nest() {
    check("stdp_additive", TIMING, 1e-12);
    let rule = TimingRule::Bounded { lambda: 0.05, alpha: 0.9, mu_plus: 0.4, mu_minus: 0.4, w_max: 2.0 };
    // Powers other than 0 and 1 are of single precision.
    check("stdp_gutig", SpikeTiming { rule, tau_plus_ms: 15.0, tau_minus_ms: 20.0, ..TIMING }, 1e-6);
    let rule = TimingRule::Bounded { lambda: 0.05, alpha: 1.0, mu_plus: 1.0, mu_minus: 1.0, w_max: 2.0 };
    let nearest = SpikeTiming { rule, pairing: Pairing::Nearest, tau_minus_ms: 20.0, ..TIMING };
    check("stdp_nearest", nearest, 1e-12);
    let rule = TimingRule::PowerLaw { lambda: 0.03, alpha: 0.0513, mu: 0.4 };
    check("stdp_power_law", SpikeTiming { rule, tau_plus_ms: 15.0, ..TIMING }, 1e-6);
    let rule = TimingRule::Triplet {
        a_plus: 0.01,
        a_plus_triplet: 0.02,
        a_minus: 0.012,
        a_minus_triplet: 0.001,
        tau_plus_triplet_ms: 101.0,
        tau_minus_triplet_ms: 125.0,
        w_max: 2.0,
    };
    check("stdp_triplet", SpikeTiming { rule, tau_plus_ms: 16.8, tau_minus_ms: 33.7, ..TIMING }, 1e-12);
}

#[test]
fn resources_run_out_and_recover_as_in_nest() {
    let times = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 200.0, 210.0, 500.0];
    let arrived = times.iter().map(|time| time + 1.0).collect();
    let neuron = Model::IafPscDelta(Leaky { tau_m_ms: 1.0, v_th_mv: 1000.0, ..Leaky::default() });
    let term = ShortTerm { u: 0.3, tau_rec_ms: 120.0, tau_fac_ms: 50.0 };
    let populations = vec![
        Population::new("source", 1, Model::SpikeSource { times_ms: vec![arrived] }),
        Population::new("target", 1, neuron),
    ];
    let projections = vec![Projection {
        plasticity: Some(Plasticity::ShortTerm(term)),
        ..Projection::new(0, 1, RuleKind::OneToOne, 10.0, 1.5)
    }];
    let circuit = Circuit { populations, projections, precision: Precision::Double, ..Circuit::default() };
    let mut simulation = Simulation::new(&circuit).unwrap();
    simulation.record(1, Variable::Potential).unwrap();
    simulation.run(5200, |_, _| ControlFlow::Continue(())).unwrap();
    let trace = simulation.take_traces().remove(0).values;
    let got = times.map(|time| trace[((time + 2.5) * 10.0).round() as usize - 1] + 70.0);
    let expected = golden("tsodyks2_synapse");
    assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9), "{got:?}, NEST {expected:?}");
    assert!(expected[7] < 0.8 * expected[1]);
}

#[test]
fn reward_turns_eligibility_into_weights() {
    // So small changes that no weight reaches a bound.
    let rule = TimingRule::Bounded { lambda: 0.002, alpha: 1.1, mu_plus: 0.0, mu_minus: 0.0, w_max: 2.0 };
    let timing = SpikeTiming { rule, tau_eligibility_ms: Some(1e9), ..TIMING };
    let mut simulation = Simulation::new(&pair(timing, Precision::Double)).unwrap();
    simulation.run(10_000, |_, _| ControlFlow::Continue(())).unwrap();
    let weights = |simulation: &mut Simulation| -> Vec<f64> {
        simulation.weights(0).iter().map(|link| link.weight).collect()
    };
    assert_eq!(weights(&mut simulation), [1.0; 4]);
    // An additive rule changes weights by amounts that do not depend on them: they gather as they would have acted.
    simulation.reward(0, 1.0).unwrap();
    let (got, expected) =
        (weights(&mut simulation), learned(SpikeTiming { rule, ..TIMING }, Precision::Double));
    assert!(expected.iter().any(|weight| (weight - 1.0).abs() > 0.05), "{expected:?}");
    assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?}, {expected:?}");
    let mut plain = Simulation::new(&pair(TIMING, Precision::Double)).unwrap();
    let text = plain.reward(0, 1.0).unwrap_err().to_string();
    assert!(text.contains("tau_eligibility_ms is absent"), "{text}");
}

/// 400 neurons with 40 plastic synapses each, driven by noise.
fn network() -> Circuit {
    let model = Model::IafPscExp(Leaky { tau_syn_in_ms: 4.0, ..Leaky::default() });
    let neurons =
        Population { inputs: vec![Input::poisson(9000.0, 30.0)], ..Population::new("n", 400, model) };
    let plastic = Projection {
        plasticity: Some(Plasticity::SpikeTiming(TIMING)),
        ..Projection::new(0, 0, RuleKind::FixedInDegree(40), Quantity::normal(1.0, 0.3, 0.0, 2.0), 1.5)
    };
    Circuit { populations: vec![neurons], projections: vec![plastic], ..Circuit::default() }
}

#[test]
fn weights_are_the_same_for_any_number_of_threads_and_in_any_pieces() {
    // Several parts of at most 512 neurons, which threads share.
    let mut circuit = network();
    circuit.populations[0].neurons = 2000;
    let run = |threads, pieces: &[u64]| {
        gyrus_kernels::with_threads(threads, || {
            let mut simulation = Simulation::new(&circuit).unwrap();
            for &steps in pieces {
                simulation.run(steps, |_, _| ControlFlow::Continue(())).unwrap();
            }
            (simulation.activity(), simulation.weights(0))
        })
        .unwrap()
    };
    let expected = run(1, &[12_000]);
    assert!(expected.0.spikes > 1000);
    assert!(expected.1.iter().any(|link| link.weight == 0.0 || link.weight == 2.0));
    for (threads, pieces) in [(2, &[12_000][..]), (3, &[5, 7001, 4994])] {
        let got = run(threads, pieces);
        assert_eq!(got.0, expected.0);
        assert!(got.1 == expected.1);
    }
}

#[test]
fn a_resumed_run_goes_through_the_same_bits() {
    let mut circuit = network();
    let sources = Population::new("sources", 20, Model::PoissonSource { rate_hz: vec![50.0] });
    circuit.populations.push(sources);
    circuit.populations.push(Population::new(
        "times",
        1,
        Model::SpikeSource { times_ms: vec![times(30, 173)] },
    ));
    let adaptive = Model::AeifCondExp(gyrus_simulate::Adaptive { i_e_pa: 700.0, ..Default::default() });
    circuit.populations.push(Population::new("adaptive", 10, adaptive));
    let term = ShortTerm { u: 0.3, tau_rec_ms: 120.0, tau_fac_ms: 50.0 };
    circuit.projections.push(Projection {
        plasticity: Some(Plasticity::ShortTerm(term)),
        ..Projection::new(1, 0, RuleKind::Bernoulli(0.3), 30.0, 0.7)
    });
    circuit.projections.push(Projection::new(2, 3, RuleKind::AllToAll, 5.0, 2.0));
    let mut raster = Vec::new();
    let mut run = |simulation: &mut Simulation, steps| {
        simulation
            .run(steps, |step, neurons| {
                raster.push((step, neurons.to_vec()));
                ControlFlow::Continue(())
            })
            .unwrap();
        std::mem::take(&mut raster)
    };
    let mut first = Simulation::new(&circuit).unwrap();
    first.set_rates(1, &[80.0]).unwrap();
    first.scale_incoming(0, 40.0).unwrap();
    run(&mut first, 3007);
    let mut bytes = Vec::new();
    first.save(&mut bytes).unwrap();
    let mut second = Simulation::resume(&circuit, &bytes[..]).unwrap();
    assert_eq!(second.activity(), first.activity());
    assert_eq!(run(&mut first, 9000), run(&mut second, 9000));
    assert!(first.weights(0) == second.weights(0) && first.activity() == second.activity());
    // Another circuit, a damaged file, one that ends too early.
    let other = Circuit { seed: 1, ..circuit.clone() };
    let text = Simulation::resume(&other, &bytes[..]).err().unwrap().to_string();
    assert_eq!(text, "checkpoint: it belongs to another circuit");
    assert!(Simulation::resume(&circuit, &bytes[..bytes.len() - 9]).is_err());
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    assert!(Simulation::resume(&circuit, &bytes[..]).is_err());
}

#[test]
fn incoming_weights_are_scaled_to_a_sum() {
    let mut simulation = Simulation::new(&network()).unwrap();
    simulation.scale_incoming(0, 25.0).unwrap();
    let mut sums = vec![0.0; 400];
    simulation.weights(0).iter().for_each(|link| sums[link.target as usize] += link.weight);
    assert!(sums.iter().all(|sum| (sum - 25.0).abs() < 1e-3), "{sums:?}");
}

#[test]
fn plasticity_is_checked() {
    let refused = |change: &dyn Fn(&mut Projection)| {
        let mut circuit = network();
        change(&mut circuit.projections[0]);
        circuit.check().unwrap_err().to_string()
    };
    let text = refused(&|projection| projection.delay_ms = Quantity::normal(1.5, 0.5, 0.1, 3.0));
    assert!(text.contains("one delay for all synapses"), "{text}");
    let text = refused(&|projection| projection.weight = (-1.0).into());
    assert!(text.contains("weight is -1; expected weights of at least 0"), "{text}");
    let term = ShortTerm { u: 1.5, tau_rec_ms: 100.0, tau_fac_ms: 0.0 };
    let text = refused(&|projection| projection.plasticity = Some(Plasticity::ShortTerm(term)));
    assert!(text.contains("u is 1.5; expected a number from 0 to 1"), "{text}");
}
