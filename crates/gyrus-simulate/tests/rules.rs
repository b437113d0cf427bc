//! Connection rules and refusals.

use std::collections::HashSet;

use gyrus_simulate::{
    Bounds, Circuit, Distribution, Leaky, Link, Model, Outside, Population, Projection, Quantity, Rule,
    RuleKind, Simulation, Synapse,
};

fn circuit(sizes: &[usize], projections: Vec<Projection>) -> Circuit {
    let population = |(n, &neurons): (usize, &usize)| {
        Population::new(format!("p{n}"), neurons, Model::IafPscDelta(Leaky::default()))
    };
    let populations = sizes.iter().enumerate().map(population).collect();
    Circuit { populations, projections, seed: 5, ..Circuit::default() }
}

fn synapses(circuit: &Circuit) -> Vec<Synapse> {
    let simulation = Simulation::new(circuit).unwrap();
    let all: Vec<Synapse> =
        (0..simulation.neurons() as u32).flat_map(|source| simulation.outgoing(source)).collect();
    assert_eq!(all.len() as u64, simulation.synapses());
    all
}

fn rule(kind: RuleKind, autapses: bool, multapses: bool) -> Rule {
    Rule { kind, autapses, multapses }
}

/// Synapses within one population of 5000 neurons (three parts), which is the second one.
fn within(rule: Rule) -> Vec<(usize, usize)> {
    let circuit = circuit(&[10, 5000], vec![Projection::new(1, 1, rule, 1.0, 1.5)]);
    let pair = |s: Synapse| (s.source as usize - 10, s.target as usize - 10);
    synapses(&circuit).into_iter().map(pair).collect()
}

fn degrees(pairs: &[(usize, usize)]) -> (Vec<usize>, Vec<usize>) {
    let (mut out, mut into) = (vec![0; 5000], vec![0; 5000]);
    for &(source, target) in pairs {
        out[source] += 1;
        into[target] += 1;
    }
    (out, into)
}

fn autapses(pairs: &[(usize, usize)]) -> usize {
    pairs.iter().filter(|(source, target)| source == target).count()
}

fn multapses(pairs: &[(usize, usize)]) -> usize {
    pairs.len() - pairs.iter().collect::<HashSet<_>>().len()
}

#[test]
fn every_target_has_its_in_degree() {
    let pairs = within(rule(RuleKind::FixedInDegree(100), true, true));
    let (out, into) = degrees(&pairs);
    assert!(into.iter().all(|&n| n == 100));
    // Mean 100, five standard deviations.
    assert!(out.iter().all(|n| (50..=150).contains(n)));
    // 5000 · 100 draws, of which one in 5000 is the target itself; pairs of equal draws are nearly as many as 100² / 2 / 5000 a target.
    assert!((60..=140).contains(&autapses(&pairs)), "{}", autapses(&pairs));
    assert!((4500..=5500).contains(&multapses(&pairs)), "{}", multapses(&pairs));
    for count in [100, 4999] {
        let pairs = within(rule(RuleKind::FixedInDegree(count), false, false));
        assert!(degrees(&pairs).1.iter().all(|&n| n == count));
        assert_eq!((autapses(&pairs), multapses(&pairs)), (0, 0));
    }
}

#[test]
fn every_source_has_its_out_degree() {
    for (own, many) in [(true, true), (false, false)] {
        let pairs = within(rule(RuleKind::FixedOutDegree(100), own, many));
        let (out, into) = degrees(&pairs);
        assert!(out.iter().all(|&n| n == 100));
        assert!(into.iter().all(|n| (50..=150).contains(n)));
        assert_eq!(autapses(&pairs) > 0, own);
        assert_eq!(multapses(&pairs) > 0, many);
    }
}

#[test]
fn a_total_number_is_spread_evenly() {
    let pairs = within(rule(RuleKind::FixedTotal(500_000), false, true));
    assert_eq!((pairs.len(), autapses(&pairs)), (500_000, 0));
    let (out, into) = degrees(&pairs);
    assert!(out.iter().chain(&into).all(|n| (50..=150).contains(n)));
    // Thirds of the population, each a part: 166,667 with a standard deviation of 333.
    for third in into.chunks(1667) {
        let n: usize = third.iter().sum();
        assert!((n as f64 - 100.0 * third.len() as f64).abs() < 1700.0, "{n}");
    }
}

#[test]
fn pairs_are_connected_with_their_probability() {
    let pairs = within(rule(RuleKind::Bernoulli(0.02), false, true));
    // 24,995,000 pairs: 499,900 with a standard deviation of 700.
    assert!((pairs.len() as f64 - 499_900.0).abs() < 3500.0, "{}", pairs.len());
    assert_eq!((autapses(&pairs), multapses(&pairs)), (0, 0));
    assert_eq!(within(rule(RuleKind::Bernoulli(0.0), true, true)).len(), 0);
    let all = circuit(&[30, 40], vec![Projection::new(0, 1, RuleKind::Bernoulli(1.0), 1.0, 1.0)]);
    assert_eq!(synapses(&all).len(), 1200);
}

#[test]
fn all_and_one_to_one() {
    let all = circuit(&[3, 4], vec![Projection::new(0, 1, RuleKind::AllToAll, 1.0, 1.0)]);
    assert_eq!(synapses(&all).len(), 12);
    let own = Projection::new(0, 0, rule(RuleKind::AllToAll, false, true), 1.0, 1.0);
    assert_eq!(synapses(&circuit(&[5], vec![own])).len(), 20);
    let one = circuit(&[3000, 3000], vec![Projection::new(0, 1, RuleKind::OneToOne, 1.0, 1.0)]);
    assert!(synapses(&one).iter().all(|s| s.target == s.source + 3000));
    assert_eq!(synapses(&one).len(), 3000);
}

#[test]
fn weights_and_delays_follow_their_distributions() {
    let weight = Quantity::normal(2.0, 1.0, 0.0, f64::INFINITY);
    let delay = Quantity::normal(1.5, 0.75, 0.05, f64::INFINITY);
    let projection = Projection::new(0, 0, RuleKind::FixedInDegree(100), weight, delay);
    let all = synapses(&circuit(&[5000], vec![projection]));
    let mean = |of: &dyn Fn(&Synapse) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
    assert!(all.iter().all(|s| s.weight >= 0.0 && s.delay_steps >= 1));
    // The mean of a normal distribution cut off at −2 standard deviations: 2 + φ(−2) / Φ(2).
    assert!((mean(&|s| s.weight) - 2.0553).abs() < 0.01, "{}", mean(&|s| s.weight));
    assert!((mean(&|s| f64::from(s.delay_steps)) - 15.45).abs() < 0.1);
    let low = all.iter().filter(|s| s.delay_steps == 1).count() as f64 / all.len() as f64;
    // Between −1.933 and −1.8 standard deviations of what is above −1.933.
    assert!((low - 0.0095).abs() < 0.001, "{low}");
    let clip = Bounds { low: 1.0, high: 3.0, outside: Outside::Clip };
    let weight = Quantity { distribution: Distribution::Normal { mean: 2.0, std: 1.0 }, bounds: Some(clip) };
    let all =
        synapses(&circuit(&[500], vec![Projection::new(0, 0, RuleKind::FixedInDegree(100), weight, 1.0)]));
    let at_bound = all.iter().filter(|s| s.weight == 1.0 || s.weight == 3.0).count() as f64 / 50_000.0;
    assert!((at_bound - 0.3173).abs() < 0.01, "{at_bound}");
    let log = Quantity { distribution: Distribution::LogNormal { mu: 0.5, sigma: 0.25 }, bounds: None };
    let all = synapses(&circuit(&[500], vec![Projection::new(0, 0, RuleKind::FixedInDegree(100), log, 1.0)]));
    let mean = all.iter().map(|s| s.weight.ln()).sum::<f64>() / 50_000.0;
    assert!((mean - 0.5).abs() < 0.006, "{mean}");
}

#[test]
fn weights_can_be_read_in_the_order_of_a_list() {
    let link = |source, target, weight, delay_ms| Link { source, target, weight, delay_ms };
    let links = vec![link(1, 0, -2.5, 0.3), link(0, 2, 1.5, 1.0), link(0, 1, 3.5, 0.1)];
    let circuit = circuit(&[2, 3], vec![Projection::new(0, 1, RuleKind::Listed(links.clone()), 0.0, 1.0)]);
    let mut simulation = Simulation::new(&circuit).unwrap();
    let mut got = simulation.weights(0);
    got.sort_by(|a, b| a.weight.total_cmp(&b.weight));
    let near = |a: &Link, b: &Link| {
        (a.source, a.target, a.weight) == (b.source, b.target, b.weight)
            && (a.delay_ms - b.delay_ms).abs() < 1e-9
    };
    assert!(got.iter().zip(&links).all(|(a, b)| near(a, b)), "{got:?}");
    assert_eq!(got.len(), 3);
}

#[test]
fn what_is_impossible_is_refused() {
    let refused = |projection: Projection| {
        let circuit = circuit(&[10, 20], vec![projection]);
        let text = circuit.check().unwrap_err().to_string();
        assert_eq!(Simulation::new(&circuit).err().unwrap().to_string(), text);
        text
    };
    let one = |rule: Rule| Projection::new(0, 1, rule, 1.0, 1.5);
    let text = refused(one(rule(RuleKind::FixedInDegree(11), true, false)));
    let expected = "projection 0 (`p0` to `p1`): the in-degree is 11; expected at most 10, the number of possible sources, without multapses";
    assert_eq!(text, expected);
    let text = refused(one(rule(RuleKind::FixedOutDegree(21), true, false)));
    assert!(text.contains("out-degree is 21; expected at most 20"), "{text}");
    let text = refused(one(rule(RuleKind::OneToOne, true, true)));
    assert!(text.contains("10 and 20; expected equal ones"), "{text}");
    let text = refused(one(rule(RuleKind::FixedTotal(5), true, false)));
    assert!(text.contains("multapses is false; expected true"), "{text}");
    let text = refused(one(rule(RuleKind::Bernoulli(1.5), true, true)));
    assert!(text.contains("the probability is 1.5"), "{text}");
    let text = refused(Projection::new(0, 2, RuleKind::AllToAll, 1.0, 1.5));
    assert!(text.contains("0 to 2; expected indices below 2"), "{text}");
    let text = refused(Projection::new(0, 1, RuleKind::AllToAll, 1.0, 0.04));
    assert!(text.contains("delay_ms is 0.04; expected at least one step of 0.1 ms"), "{text}");
    let normal = Quantity { distribution: Distribution::Normal { mean: 1.5, std: 1.0 }, bounds: None };
    let text = refused(Projection::new(0, 1, RuleKind::AllToAll, 1.0, normal));
    assert!(text.contains("or a lower bound of half a step"), "{text}");
    let text = refused(Projection::new(0, 1, RuleKind::AllToAll, f64::NAN, 1.5));
    assert!(text.contains("weight is"), "{text}");
    let never = Quantity::normal(1.0, 0.1, 50.0, 60.0);
    let text = refused(Projection::new(0, 1, RuleKind::AllToAll, never, 1.5));
    assert!(text.contains("bounds that the distribution reaches"), "{text}");
    let link = Link { source: 10, target: 0, weight: 1.0, delay_ms: 1.0 };
    let text = refused(one(rule(RuleKind::Listed(vec![link]), true, true)));
    assert!(text.contains("from neuron 10 to neuron 0"), "{text}");
}

#[test]
fn populations_are_checked() {
    let refused = |change: &dyn Fn(&mut Circuit)| {
        let mut circuit = circuit(&[10, 20], Vec::new());
        change(&mut circuit);
        circuit.check().unwrap_err().to_string()
    };
    let text = refused(&|circuit| circuit.dt_ms = 0.0);
    assert_eq!(text, "circuit: dt_ms is 0; expected a finite number above 0");
    let model = |leaky| move |circuit: &mut Circuit| circuit.populations[1].model = Model::IafPscExp(leaky);
    let text = refused(&model(Leaky { tau_m_ms: -1.0, ..Leaky::default() }));
    assert!(text.starts_with("population `p1`: tau_m_ms is -1"), "{text}");
    let text = refused(&model(Leaky { v_reset_mv: -50.0, ..Leaky::default() }));
    assert!(text.contains("v_reset_mv is -50; expected less than v_th_mv, -55"), "{text}");
    let source = Model::SpikeSource { times_ms: vec![vec![]; 3] };
    let text = refused(&|circuit| circuit.populations[0].model = source.clone());
    assert!(text.contains("is 3; expected 1, or 10"), "{text}");
    let text =
        refused(&|circuit| circuit.populations[0].inputs = vec![gyrus_simulate::Input::poisson(-1.0, 1.0)]);
    assert!(text.contains("rate_hz"), "{text}");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_allocated() {
    let large =
        circuit(&[1_000_000_000, 1], vec![Projection::new(0, 0, RuleKind::FixedInDegree(10_000), 1.0, 1.5)]);
    let need = large.check().unwrap();
    assert_eq!(need.synapses, 10_000_000_000_000);
    assert!(need.memory.synapses == 2 * need.synapses && need.memory.total() > need.memory.synapses);
    if gyrus_simulate::available_memory().is_some() {
        let text = Simulation::new(&large).err().unwrap().to_string();
        assert!(text.contains(&format!("needs {} bytes", need.memory.total())), "{text}");
    }
}
