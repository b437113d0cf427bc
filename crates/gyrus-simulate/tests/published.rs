//! Published networks at their full size beside NEST 3.10: rates and irregularity lie within what NEST shows between seeds.
//!
//! NEST's figures over five seeds are in `$GYRUS_DATA/simulate/nest`; without them the tests say that they are skipped.

use std::ops::ControlFlow;
use std::path::PathBuf;

use gyrus_simulate::{Circuit, Input, InputKind, Leaky, Model, Population, Projection, RuleKind, Simulation};

/// Rate in Hz and coefficient of variation of inter-spike intervals of a population.
type Figures = (f64, f64);

/// NEST's figures of a population over seeds.
fn published(file: &str, population: &str) -> Option<Vec<Figures>> {
    let root = std::env::var_os("GYRUS_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let text = std::fs::read_to_string(root.join("simulate/nest").join(file)).ok()?;
    let rows = text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let of = rows.filter(|row| row[1] == population);
    Some(of.map(|row| (row[2].parse().unwrap(), row[3].parse().unwrap())).collect())
}

/// Figures of each population after `skipped_ms`, over neurons with at least four spikes.
fn figures(circuit: &Circuit, time_ms: f64, skipped_ms: f64) -> Vec<Figures> {
    let mut simulation = Simulation::new(circuit).unwrap();
    let mut times: Vec<Vec<u64>> = vec![Vec::new(); simulation.neurons()];
    let skipped = (skipped_ms / circuit.dt_ms) as u64;
    let steps = (time_ms / circuit.dt_ms) as u64;
    simulation
        .run(steps, |step, neurons| {
            if step >= skipped {
                neurons.iter().for_each(|&neuron| times[neuron as usize].push(step));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    let of = |index: usize| {
        let range = simulation.population(index);
        let times = &times[range.start as usize..range.end as usize];
        let spikes: usize = times.iter().map(Vec::len).sum();
        let rate = spikes as f64 / times.len() as f64 / (time_ms - skipped_ms) * 1000.0;
        let variation = |times: &Vec<u64>| {
            let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            variance.sqrt() / mean
        };
        let all: Vec<f64> = times.iter().filter(|times| times.len() >= 4).map(variation).collect();
        (rate, all.iter().sum::<f64>() / all.len() as f64)
    };
    (0..circuit.populations.len()).map(of).collect()
}

/// Mean and the widest of: NEST's own spread, and the spread that a mean over `runs` seeds of ours has.
fn agree(got: &[Figures], expected: &[Figures], what: &str) {
    for (which, name) in [(0, "rate"), (1, "CV")] {
        let of = |figures: &[Figures]| -> Vec<f64> {
            figures.iter().map(|figure| if which == 0 { figure.0 } else { figure.1 }).collect()
        };
        let (got, expected) = (of(got), of(expected));
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let low = expected.iter().copied().fold(f64::INFINITY, f64::min);
        let high = expected.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        println!("{what}: {name} {:.4} ({got:.4?}), NEST {low:.4} to {high:.4}", mean(&got));
        assert!(
            (low..=high).contains(&mean(&got)),
            "{what}: {name} {} outside of {low} to {high}",
            mean(&got)
        );
    }
}

fn two(model: Model, sizes: [usize; 2], degrees: [usize; 2], weights: [f64; 2], delay_ms: f64) -> Circuit {
    let names = ["E", "I"];
    let populations = (0..2).map(|n| Population::new(names[n], sizes[n], model.clone())).collect();
    let mut projections = Vec::new();
    for target in 0..2 {
        for source in 0..2 {
            let rule = RuleKind::FixedInDegree(degrees[source]);
            projections.push(Projection::new(source, target, rule, weights[source], delay_ms));
        }
    }
    Circuit { populations, projections, ..Circuit::default() }
}

#[test]
fn brunel_at_order_2500() {
    let file = "brunel_delta.nest-3.10.csv";
    let (Some(excitatory), Some(inhibitory)) = (published(file, "E"), published(file, "I")) else {
        println!("skipped: no figures of NEST");
        return;
    };
    let model = Model::IafPscDelta(Leaky {
        c_m_pf: 1.0,
        tau_m_ms: 20.0,
        e_l_mv: 0.0,
        v_reset_mv: 0.0,
        v_th_mv: 20.0,
        ..Leaky::default()
    });
    let mut circuit = two(model, [10_000, 2500], [1000, 250], [0.1, -0.5], 1.5);
    for population in &mut circuit.populations {
        population.inputs.push(Input::poisson(20_000.0, 0.1));
    }
    let runs: Vec<_> =
        (1..=2).map(|seed| figures(&Circuit { seed, ..circuit.clone() }, 1000.0, 100.0)).collect();
    let of = |index: usize| runs.iter().map(|run| run[index]).collect::<Vec<_>>();
    agree(&of(0), &excitatory, "Brunel E");
    agree(&of(1), &inhibitory, "Brunel I");
}

#[test]
fn cuba_of_4000_neurons() {
    let file = "cuba.nest-3.10.csv";
    let (Some(excitatory), Some(inhibitory)) = (published(file, "E"), published(file, "I")) else {
        println!("skipped: no figures of NEST");
        return;
    };
    let model = Model::IafPscExp(Leaky {
        c_m_pf: 200.0,
        tau_m_ms: 20.0,
        t_ref_ms: 5.0,
        e_l_mv: -49.0,
        v_th_mv: -50.0,
        v_reset_mv: -60.0,
        tau_syn_ex_ms: 5.0,
        tau_syn_in_ms: 10.0,
        ..Leaky::default()
    });
    let mut circuit = two(model, [3200, 800], [64, 16], [16.2, -139.5], 0.1);
    circuit.populations[0].inputs.push(Input {
        neurons: Some(0..50),
        start_ms: 1.0,
        stop_ms: 51.0,
        kind: InputKind::Poisson { rate_hz: 300.0, weight: 16.2 },
    });
    let runs: Vec<_> =
        (1..=5).map(|seed| figures(&Circuit { seed, ..circuit.clone() }, 2000.0, 200.0)).collect();
    let of = |index: usize| runs.iter().map(|run| run[index]).collect::<Vec<_>>();
    agree(&of(0), &excitatory, "CUBA E");
    agree(&of(1), &inhibitory, "CUBA I");
}
