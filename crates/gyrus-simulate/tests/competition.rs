//! Learning without labels: moving thresholds, full blocks, competition.

use std::io::Read;
use std::ops::ControlFlow;

use gyrus_simulate::competition::{Assignment, Competition, CompetitionSettings, Response};
use gyrus_simulate::{
    Circuit, Conductance, Input, InputKind, Link, Model, MovingThreshold, Pairing, Plasticity, Population,
    Precision, Projection, RuleKind, Simulation, SpikeTiming, TimingRule, Variable,
};

#[test]
fn a_threshold_rises_with_each_spike_and_falls_back() {
    let moving = MovingThreshold { start_mv: vec![1.0, 3.0], plus_mv: 0.5, tau_ms: 200.0 };
    let mut population = Population::new("n", 2, Model::IafCondExpTheta(Conductance::default(), moving));
    population.inputs.push(Input::always(InputKind::Current { amplitude_pa: 500.0, delay_ms: 0.1 }));
    let circuit =
        Circuit { populations: vec![population], precision: Precision::Double, ..Circuit::default() };
    let mut simulation = Simulation::new(&circuit).unwrap();
    let mut theta = [1.0f64, 3.0];
    let fade = (-0.1f64 / 200.0).exp();
    let mut spikes = [Vec::new(), Vec::new()];
    for step in 0..5000u64 {
        let mut fired = Vec::new();
        simulation
            .run(1, |_, neurons| {
                fired.extend_from_slice(neurons);
                ControlFlow::Continue(())
            })
            .unwrap();
        for (neuron, theta) in theta.iter_mut().enumerate() {
            *theta *= fade;
            if fired.contains(&(neuron as u32)) {
                *theta += 0.5;
                spikes[neuron].push(step);
            }
            let got = simulation.state(neuron as u32, Variable::Threshold).unwrap();
            assert!((got - *theta).abs() < 1e-9, "{got} for {theta} at step {step}");
        }
    }
    // A higher threshold is reached later, and intervals grow while it rises.
    assert!(spikes[0][0] < spikes[1][0] && spikes[0].len() > 10, "{spikes:?}");
    assert!(spikes[0][1] - spikes[0][0] < spikes[0][6] - spikes[0][5], "{spikes:?}");
}

fn start_weight(source: u32, target: u32) -> f64 {
    0.2 + 0.01 * f64::from((source * 7 + target * 3) % 50)
}

/// Weights onto some neurons after they learned, from synapses in order or in another one.
fn learned(timing: SpikeTiming, in_order: bool) -> Vec<Link> {
    let (sources, targets) = (40u32, 20u32);
    let mut links: Vec<Link> = (0..sources)
        .flat_map(|source| (0..targets).map(move |target| (source, target)))
        .map(|(source, target)| Link { source, target, weight: start_weight(source, target), delay_ms: 1.5 })
        .collect();
    if !in_order {
        links.reverse();
    }
    let neurons = Population {
        inputs: vec![Input::poisson(4000.0, 0.3)],
        ..Population::new("targets", targets as usize, Model::IafPscDelta(gyrus_simulate::Leaky::default()))
    };
    let trains = Population::new("sources", sources as usize, Model::PoissonSource { rate_hz: vec![20.0] });
    let projection = Projection {
        plasticity: Some(Plasticity::SpikeTiming(timing)),
        ..Projection::new(0, 1, RuleKind::Listed(links), 0.0, 1.5)
    };
    let circuit = Circuit {
        populations: vec![trains, neurons],
        projections: vec![projection],
        precision: Precision::Double,
        seed: 3,
        ..Circuit::default()
    };
    let mut simulation = Simulation::new(&circuit).unwrap();
    let mut spikes = 0;
    for _ in 0..4 {
        let activity = simulation.run(7000, |_, _| ControlFlow::Continue(())).unwrap();
        spikes += activity.spikes;
        simulation.scale_incoming(0, 20.0).unwrap();
    }
    assert!(spikes > 2000, "{spikes}");
    let mut links = simulation.weights(0);
    links.sort_by_key(|link| (link.source, link.target));
    links
}

#[test]
fn full_blocks_learn_as_others_do() {
    let triplet = TimingRule::Triplet {
        a_plus: 1e-3,
        a_plus_triplet: 6e-3,
        a_minus: 4e-3,
        a_minus_triplet: 1e-3,
        tau_plus_triplet_ms: 101.0,
        tau_minus_triplet_ms: 110.0,
        w_max: 2.0,
    };
    let bounded = TimingRule::Bounded { lambda: 0.01, alpha: 1.1, mu_plus: 0.4, mu_minus: 1.0, w_max: 2.0 };
    for rule in [triplet, bounded] {
        for pairing in [Pairing::AllToAll, Pairing::Nearest] {
            let timing = SpikeTiming {
                rule,
                pairing,
                tau_plus_ms: 20.0,
                tau_minus_ms: 30.0,
                tau_eligibility_ms: None,
            };
            let (full, other) = (learned(timing, true), learned(timing, false));
            let apart = full.iter().zip(&other).map(|(a, b)| (a.weight - b.weight).abs()).fold(0.0, f64::max);
            assert!(apart < 1e-9, "{rule:?}, {pairing:?}: {apart}");
            // Onto one neuron, scaling alone would keep the weights' proportions.
            let onto = full.iter().filter(|link| link.target == 0);
            let grown = onto.map(|link| link.weight / start_weight(link.source, link.target));
            let (low, high) =
                grown.fold((f64::MAX, 0.0f64), |(low, high), own| (low.min(own), high.max(own)));
            assert!(high > 1.01 * low, "{rule:?}, {pairing:?}: {low} to {high}");
        }
    }
}

fn settings() -> CompetitionSettings {
    CompetitionSettings { present_ms: 150.0, least_spikes: 2, seed: 5, ..CompetitionSettings::new(64, 8) }
}

/// Two patterns without a common input, in turn.
fn pattern(index: usize) -> Vec<f32> {
    (0..64).map(|input| if (input < 32) == index.is_multiple_of(2) { 60.0 } else { 0.0 }).collect()
}

#[test]
fn neurons_divide_two_patterns_among_themselves() {
    let mut competition = Competition::new(settings()).unwrap();
    (0..300).for_each(|index| drop(competition.present(&pattern(index)).unwrap()));
    let learned = competition.learned().unwrap();
    let all = |threads: usize| {
        gyrus_kernels::with_threads(threads, || {
            learned.responses(300, pattern, |_| ControlFlow::Continue(())).unwrap().unwrap()
        })
        .unwrap()
    };
    let responses = all(2);
    assert_eq!(responses, all(1));
    let labels: Vec<u32> = (0..300).map(|index| index % 2).collect();
    let assignment = Assignment::new(&responses[..100], &labels[..100], 2);
    let right = responses[100..]
        .iter()
        .zip(&labels[100..])
        .filter(|(own, label)| assignment.classify(own) == Some(**label));
    assert!(right.count() >= 196);
    // A neuron of the first pattern has weights from its half.
    for (neuron, class) in assignment.classes.iter().enumerate() {
        let field = learned.field(neuron);
        let halves = [field[..32].iter().sum::<f32>(), field[32..].iter().sum::<f32>()];
        assert!((halves[0] + halves[1] - 78.4).abs() < 0.01, "{halves:?}");
        if let Some(class) = class {
            assert!(halves[*class as usize] > 60.0, "neuron {neuron} of class {class}: {halves:?}");
        }
    }
}

fn unpacked(name: &str, header: usize) -> Option<Vec<u8>> {
    let path = crate::common::data(&format!("../mnist/{name}-ubyte.gz"))?;
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    Some(bytes.split_off(header))
}

/// The share of 500 test images that is recognized after 100 neurons have seen so many images.
fn recognized(presentations: usize, [images, labels, tests, test_labels]: [&[u8]; 4]) -> f64 {
    let rates = |images: &[u8], index: usize| -> Vec<f32> {
        images[index * 784..][..784].iter().map(|&pixel| f32::from(pixel) / 255.0 * 63.75).collect()
    };
    let mut competition = Competition::new(CompetitionSettings::new(784, 100)).unwrap();
    (0..presentations).for_each(|index| drop(competition.present(&rates(images, index)).unwrap()));
    let learned = competition.learned().unwrap();
    let answers = |images: &[u8]| {
        learned.responses(500, |index| rates(images, index), |_| ControlFlow::Continue(())).unwrap().unwrap()
    };
    let classes = |labels: &[u8]| labels[..500].iter().map(|&label| u32::from(label)).collect::<Vec<_>>();
    let assignment = Assignment::new(&answers(images), &classes(labels), 10);
    let all = answers(tests).into_iter().zip(classes(test_labels));
    all.filter(|(own, label)| assignment.classify(own) == Some(*label)).count() as f64 / 500.0
}

#[test]
fn digits_are_recognized_after_a_thousand_of_them() {
    let all = [
        ("train-images-idx3", 16),
        ("train-labels-idx1", 8),
        ("t10k-images-idx3", 16),
        ("t10k-labels-idx1", 8),
    ];
    let all = all.map(|(name, header)| unpacked(name, header));
    let [Some(images), Some(labels), Some(tests), Some(test_labels)] = &all else { return };
    let all = [&images[..], labels, tests, test_labels];
    let (before, after) = (recognized(0, all), recognized(1000, all));
    println!("{before} before learning, {after} after it");
    assert!(after > 0.55 && after > before + 0.15, "{before}, {after}");
}

#[test]
fn a_resumed_competition_goes_through_the_same_bits() {
    let mut whole = Competition::new(settings()).unwrap();
    let mut first = Competition::new(settings()).unwrap();
    (0..20).for_each(|index| drop(whole.present(&pattern(index)).unwrap()));
    (0..9).for_each(|index| drop(first.present(&pattern(index)).unwrap()));
    let mut bytes = Vec::new();
    first.save(&mut bytes).unwrap();
    let mut second = Competition::resume(settings(), &bytes[..]).unwrap();
    assert_eq!(second.presented(), 9);
    (9..20).for_each(|index| drop(second.present(&pattern(index)).unwrap()));
    assert_eq!(whole.learned().unwrap(), second.learned().unwrap());
    let other = CompetitionSettings { seed: 6, ..settings() };
    assert!(Competition::resume(other, &bytes[..]).is_err());
}

#[test]
fn what_cannot_be_shown_is_refused() {
    let mut competition = Competition::new(settings()).unwrap();
    let error = competition.present(&[1.0; 3]).unwrap_err().to_string();
    assert!(error.contains("number of rates") && error.contains("64"), "{error}");
    assert_eq!(Assignment::new(&[], &[], 2).classify(&Response::default()), None);
}
