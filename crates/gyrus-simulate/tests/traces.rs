//! Single neurons beside NEST 3.10, on the same inputs: `golden/simulate.py` says which.

use std::ops::ControlFlow;
use std::path::Path;

use gyrus_simulate::{
    Adaptive, Circuit, Conductance, HodgkinHuxley, Input, InputKind, Izhikevich, Leaky, Model, Population,
    Precision, Projection, RuleKind, Simulation, Variable,
};

const STEPS: usize = 500;

fn golden(name: &str) -> Vec<f64> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn times(first: usize, gap: usize) -> Vec<f64> {
    (first..STEPS).step_by(gap).map(|step| step as f64 * 0.1).collect()
}

fn trace(model: Model, weights: [f64; 2], amplitude_pa: f64, precision: Precision) -> Vec<f64> {
    let kind = InputKind::Current { amplitude_pa, delay_ms: 0.3 };
    let current = Input { neurons: None, start_ms: 10.0, stop_ms: 30.0, kind };
    let source = |first, gap| Model::SpikeSource { times_ms: vec![times(first, gap)] };
    let populations = vec![
        Population { inputs: vec![current], ..Population::new("neuron", 1, model) },
        Population::new("excitatory", 1, source(10, 13)),
        Population::new("inhibitory", 1, source(20, 41)),
    ];
    let projections =
        (0..2).map(|n| Projection::new(n + 1, 0, RuleKind::OneToOne, weights[n], 0.7)).collect();
    let circuit = Circuit { populations, projections, precision, ..Circuit::default() };
    let mut simulation = Simulation::new(&circuit).unwrap();
    simulation.record(0, Variable::Potential).unwrap();
    simulation.run(STEPS as u64, |_, _| ControlFlow::Continue(())).unwrap();
    simulation.take_traces().remove(0).values
}

/// The largest difference, relative to potentials of tens of millivolts.
fn difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f64::max)
}

fn check(model: Model, weights: [f64; 2], amplitude_pa: f64, tolerance: f64) {
    let expected = golden(model.name());
    let got = trace(model.clone(), weights, amplitude_pa, Precision::Double);
    let far = difference(&got, &expected);
    println!("{}: {far:.2e}", model.name());
    assert!(far <= tolerance, "{}: {far:e}, more than {tolerance:e}", model.name());
    let resets = expected.windows(2).filter(|pair| pair[1] < pair[0] - 2.0).count();
    assert!(resets > 0, "the neuron does not fire");
}

#[test]
fn exactly_integrated_neurons_are_those_of_nest() {
    let leaky = |i_e_pa| Leaky { i_e_pa, ..Leaky::default() };
    check(Model::IafPscDelta(leaky(350.0)), [1.2, -0.8], 100.0, 1e-12);
    let exponential = Leaky { tau_syn_ex_ms: 2.0, tau_syn_in_ms: 5.0, ..leaky(300.0) };
    check(Model::IafPscExp(exponential), [120.0, -60.0], 100.0, 1e-12);
    let alpha = Leaky { tau_syn_ex_ms: 0.5, tau_syn_in_ms: 3.0, t_ref_ms: 1.0, ..leaky(300.0) };
    check(Model::IafPscAlpha(alpha), [150.0, -60.0], 100.0, 1e-11);
}

#[test]
fn single_precision_follows() {
    let exponential = Leaky { i_e_pa: 300.0, tau_syn_ex_ms: 2.0, tau_syn_in_ms: 5.0, ..Leaky::default() };
    let model = Model::IafPscExp(exponential);
    let single = trace(model.clone(), [120.0, -60.0], 100.0, Precision::Single);
    let far = difference(&single, &golden(model.name()));
    assert!(far < 1e-6, "{far:e}");
}

/// NEST integrates these with a tolerance of 10⁻³ in each of the solver's steps, this crate with Runge-Kutta of fourth order.
#[test]
fn neurons_with_conductances_are_those_of_nest() {
    let cell = |tau_syn_ex_ms, tau_syn_in_ms| Conductance {
        i_e_pa: 200.0,
        tau_syn_ex_ms,
        tau_syn_in_ms,
        ..Conductance::default()
    };
    check(Model::IafCondExp(cell(5.0, 10.0)), [2.0, -3.0], 100.0, 1e-6);
    check(Model::IafCondAlpha(cell(2.0, 4.0)), [2.0, -3.0], 100.0, 1e-6);
}

#[test]
fn adaptive_and_gated_neurons_are_those_of_nest() {
    let adaptive = Adaptive { i_e_pa: 600.0, t_ref_ms: 1.0, ..Adaptive::default() };
    check(Model::AeifCondExp(adaptive), [10.0, -5.0], 200.0, 1e-6);
    let adaptive = Adaptive { i_e_pa: 600.0, tau_syn_ex_ms: 2.0, ..Adaptive::default() };
    check(Model::AeifCondAlpha(adaptive), [2.0, -2.0], 200.0, 1e-6);
    let izhikevich = Izhikevich { i_e: 8.0, ..Izhikevich::default() };
    check(Model::Izhikevich(izhikevich), [1.0, -0.5], 4.0, 1e-9);
    let squid = HodgkinHuxley { i_e_pa: 600.0, ..HodgkinHuxley::default() };
    check(Model::HhPscAlpha(squid), [100.0, -50.0], 100.0, 1e-6);
    let traub = HodgkinHuxley { i_e_pa: 300.0, ..HodgkinHuxley::traub() };
    check(Model::HhCondExpTraub(traub), [3.0, -2.0], 100.0, 1e-6);
}
