//! Published networks at any scale: memory, time to build, speed, rates.
//!
//! ```text
//! cargo run --release -p gyrus-simulate --example networks -- brunel|cuba|microcircuit|stdp [SCALE [MILLISECONDS [THREADS [SEED]]]]
//! ```
//!
//! `brunel`: Brunel (2000), J. Comput. Neurosci. 8:183, as NEST's example with delta synapses; scale 1 is its order 2500.
//! `cuba`: Vogels & Abbott (2005) as in Brette et al. (2007), J. Comput. Neurosci. 23:349.
//! `microcircuit`: Potjans & Diesmann (2014), Cereb. Cortex 24:785, with Poisson input.
//! `stdp`: NEST's hpc_benchmark (Morrison et al. 2007, Neural Comput. 19:1437), in-degrees scaled too: excitatory synapses between excitatory
//! neurons follow a power law.

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use gyrus_simulate::{
    Circuit, Distribution, Input, InputKind, Leaky, Model, Pairing, Plasticity, Population, Projection,
    Quantity, Rule, RuleKind, Simulation, SpikeTiming, TimingRule,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: f64| {
        arguments
            .get(place)
            .map_or(Ok(default), |text| text.parse::<f64>().map_err(|error| error.to_string()))
    };
    let (scale, time_ms) = (number(1, 1.0)?, number(2, 1000.0)?);
    let (threads, seed) = (number(3, 2.0)? as usize, number(4, 1.0)? as u64);
    let circuit = match arguments.first().map(String::as_str) {
        Some("brunel") | None => brunel(scale),
        Some("cuba") => cuba(scale),
        Some("microcircuit") => microcircuit(scale),
        Some("stdp") => stdp(scale),
        Some(other) => return Err(format!("`{other}`: expected brunel, cuba, microcircuit or stdp").into()),
    };
    let circuit = Circuit { seed, ..circuit };
    gyrus_kernels::with_threads(threads, || simulate(&circuit, time_ms))?.map_err(Into::into)
}

fn brunel(scale: f64) -> Circuit {
    let (ne, ni) = ((10_000.0 * scale) as usize, (2500.0 * scale) as usize);
    let (ce, ci) = (ne / 10, ni / 10);
    let jump_mv = 0.1;
    let model = Model::IafPscDelta(Leaky {
        c_m_pf: 1.0,
        tau_m_ms: 20.0,
        t_ref_ms: 2.0,
        e_l_mv: 0.0,
        v_reset_mv: 0.0,
        v_th_mv: 20.0,
        ..Leaky::default()
    });
    // Twice the rate whose mean input reaches the threshold.
    let rate_hz = 1000.0 * 2.0 * 20.0 / (jump_mv * 20.0);
    let inputs = vec![Input::poisson(rate_hz, jump_mv)];
    let population = |name: &str, neurons| Population {
        inputs: inputs.clone(),
        ..Population::new(name, neurons, model.clone())
    };
    let mut projections = Vec::new();
    for target in 0..2 {
        projections.push(Projection::new(0, target, RuleKind::FixedInDegree(ce), jump_mv, 1.5));
        projections.push(Projection::new(1, target, RuleKind::FixedInDegree(ci), -5.0 * jump_mv, 1.5));
    }
    Circuit { populations: vec![population("E", ne), population("I", ni)], projections, ..Circuit::default() }
}

fn cuba(scale: f64) -> Circuit {
    let (ne, ni) = ((3200.0 * scale) as usize, (800.0 * scale) as usize);
    let model = Model::IafPscExp(Leaky {
        c_m_pf: 200.0,
        tau_m_ms: 20.0,
        t_ref_ms: 5.0,
        e_l_mv: -49.0,
        v_th_mv: -50.0,
        v_reset_mv: -60.0,
        i_e_pa: 0.0,
        tau_syn_ex_ms: 5.0,
        tau_syn_in_ms: 10.0,
    });
    let stimulus = Input {
        neurons: Some(0..50.min(ne)),
        start_ms: 1.0,
        stop_ms: 51.0,
        kind: InputKind::Poisson { rate_hz: 300.0, weight: 16.2 },
    };
    let excitatory = Population { inputs: vec![stimulus], ..Population::new("E", ne, model.clone()) };
    let mut projections = Vec::new();
    for target in 0..2 {
        projections.push(Projection::new(0, target, RuleKind::FixedInDegree(64), 16.2, 0.1));
        projections.push(Projection::new(1, target, RuleKind::FixedInDegree(16), -139.5, 0.1));
    }
    Circuit {
        populations: vec![excitatory, Population::new("I", ni, model)],
        projections,
        ..Circuit::default()
    }
}

fn stdp(scale: f64) -> Circuit {
    let (ne, ni) = ((9000.0 * scale) as usize, (2250.0 * scale) as usize);
    let (weight, tau_syn_ms) = (45.6, 0.325_827_224_037_228_4);
    let model = Model::IafPscAlpha(Leaky {
        t_ref_ms: 0.5,
        e_l_mv: 0.0,
        v_th_mv: 20.0,
        v_reset_mv: 0.0,
        tau_syn_ex_ms: tau_syn_ms,
        tau_syn_in_ms: tau_syn_ms,
        ..Leaky::default()
    });
    // 1.685 times the rate whose mean input reaches the threshold.
    let rate_hz = 1.685 * 1000.0 * 20.0 * 250.0 / (10.0 * weight * std::f64::consts::E * tau_syn_ms);
    let start = Distribution::Normal { mean: 5.7, std: 7.2 };
    let population = |name: &str, neurons| Population {
        v_start_mv: Some(Quantity { distribution: start, bounds: None }),
        inputs: vec![Input::poisson(rate_hz, weight)],
        ..Population::new(name, neurons, model.clone())
    };
    let mut projections = Vec::new();
    for target in 0..2 {
        let rule = |count| Rule { kind: RuleKind::FixedInDegree(count), autapses: false, multapses: true };
        projections.push(Projection::new(0, target, rule(ne), weight, 1.5));
        projections.push(Projection::new(1, target, rule(ni), -5.0 * weight, 1.5));
    }
    projections[0].plasticity = Some(Plasticity::SpikeTiming(SpikeTiming {
        rule: TimingRule::PowerLaw { lambda: 0.1, alpha: 0.0513, mu: 0.4 },
        pairing: Pairing::AllToAll,
        tau_plus_ms: 15.0,
        tau_minus_ms: 30.0,
        tau_eligibility_ms: None,
    }));
    Circuit { populations: vec![population("E", ne), population("I", ni)], projections, ..Circuit::default() }
}

const NAMES: [&str; 8] = ["L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I"];
const NEURONS: [f64; 8] = [20_683.0, 5834.0, 21_915.0, 5479.0, 4850.0, 1065.0, 14_395.0, 2948.0];
const EXTERNAL: [f64; 8] = [1600.0, 1500.0, 2100.0, 1900.0, 2000.0, 1900.0, 2900.0, 2100.0];
const START_MEAN: [f64; 8] = [-68.28, -63.16, -63.33, -63.45, -63.11, -61.66, -66.72, -61.43];
const START_STD: [f64; 8] = [5.36, 4.57, 4.74, 4.94, 4.94, 4.55, 5.46, 4.48];
const RATES: [f64; 8] = [0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829];
/// Rows are targets.
const PROBABILITIES: [[f64; 8]; 8] = [
    [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0],
    [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0],
    [0.0077, 0.0059, 0.0497, 0.135, 0.0067, 0.0003, 0.0453, 0.0],
    [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0],
    [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0],
    [0.0548, 0.0269, 0.0257, 0.0022, 0.06, 0.3158, 0.0086, 0.0],
    [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252],
    [0.0364, 0.001, 0.0034, 0.0005, 0.0277, 0.008, 0.0658, 0.1443],
];

fn microcircuit(scale: f64) -> Circuit {
    // Current in pA whose potential peaks at 0.15 mV.
    let weight = 87.8085;
    let (mut populations, mut projections) = (Vec::new(), Vec::new());
    for target in 0..8 {
        let neurons = (NEURONS[target] * scale).round();
        let mut mean_input = 0.0;
        for source in 0..8 {
            let p: f64 = PROBABILITIES[target][source];
            let pairs = NEURONS[target] * NEURONS[source];
            let synapses = ((1.0 - p).ln() / (1.0 - 1.0 / pairs).ln()).round();
            let factor = if (target, source) == (0, 2) { 2.0 } else { 1.0 };
            let mean = if source % 2 == 0 { weight * factor } else { -4.0 * weight };
            mean_input += mean * synapses / NEURONS[target] * RATES[source];
            let total = (synapses * scale * scale).round() as u64;
            if total == 0 {
                continue;
            }
            let mean = mean / scale.sqrt();
            let bounds = if mean > 0.0 { (0.0, f64::INFINITY) } else { (f64::NEG_INFINITY, 0.0) };
            let delay: f64 = if source % 2 == 0 { 1.5 } else { 0.75 };
            projections.push(Projection::new(
                source,
                target,
                RuleKind::FixedTotal(total),
                Quantity::normal(mean, 0.1 * mean.abs(), bounds.0, bounds.1),
                Quantity::normal(delay, 0.5 * delay, 0.05, f64::INFINITY),
            ));
        }
        let external = weight * EXTERNAL[target] * 8.0;
        // Fewer synapses of larger weights keep the variance of the input; this keeps its mean.
        let drive_pa = 0.001 * 0.5 * (1.0 - scale.sqrt()) * (mean_input + external);
        let model = Model::IafPscExp(Leaky {
            c_m_pf: 250.0,
            tau_m_ms: 10.0,
            t_ref_ms: 2.0,
            e_l_mv: -65.0,
            v_th_mv: -50.0,
            v_reset_mv: -65.0,
            i_e_pa: drive_pa,
            tau_syn_ex_ms: 0.5,
            tau_syn_in_ms: 0.5,
        });
        let start = Quantity {
            distribution: Distribution::Normal { mean: START_MEAN[target], std: START_STD[target] },
            bounds: None,
        };
        populations.push(Population {
            v_start_mv: Some(start),
            inputs: vec![Input::poisson(8.0 * EXTERNAL[target] * scale, weight / scale.sqrt())],
            ..Population::new(NAMES[target], neurons as usize, model)
        });
    }
    Circuit { populations, projections, ..Circuit::default() }
}

fn simulate(circuit: &Circuit, time_ms: f64) -> Result<(), String> {
    let start = Instant::now();
    let mut simulation = Simulation::new(circuit).map_err(|error| error.to_string())?;
    let built = start.elapsed().as_secs_f64();
    let (synapses, memory) = (simulation.synapses(), simulation.memory());
    let each = |bytes: u64| bytes as f64 / synapses.max(1) as f64;
    println!("{} neurons, {synapses} synapses, built in {built:.2} s", simulation.neurons());
    println!(
        "bytes per synapse: {:.2}, plus {:.2} for rows and {:.2} for rings and neurons",
        each(memory.synapses),
        each(memory.rows),
        each(memory.rings + memory.neurons),
    );
    let steps = (time_ms / circuit.dt_ms).round() as u64;
    let mut counts = vec![0u64; circuit.populations.len()];
    let ends: Vec<u32> = (0..counts.len()).map(|index| simulation.population(index).end).collect();
    // The beginning is left out of rates, as in NEST's reference figures.
    let from = steps / 10;
    let start = Instant::now();
    let activity = simulation.run(steps, |step, neurons| {
        if step >= from {
            for neuron in neurons {
                counts[ends.partition_point(|end| end <= neuron)] += 1;
            }
        }
        ControlFlow::Continue(())
    });
    let activity = activity.map_err(|error| error.to_string())?;
    let seconds = start.elapsed().as_secs_f64();
    let simulated = steps as f64 * circuit.dt_ms / 1000.0;
    println!(
        "{simulated:.2} s simulated in {seconds:.3} s: {} spikes, {:.3e} synaptic events/s, {:.3e} neuron updates/s",
        activity.spikes,
        activity.synaptic_events as f64 / seconds,
        activity.neuron_updates as f64 / seconds,
    );
    for (population, count) in circuit.populations.iter().zip(counts) {
        let rate = count as f64 / population.neurons as f64 / (simulated * 0.9);
        println!("{:>6} {rate:.3} Hz", population.name);
    }
    for (index, _) in circuit.projections.iter().enumerate().filter(|(_, p)| p.plasticity.is_some()) {
        let weights = simulation.weights(index);
        let mean = weights.iter().map(|link| link.weight).sum::<f64>() / weights.len() as f64;
        println!("projection {index}: mean weight {mean:.3}");
    }
    if let Some(peak) = peak_memory() {
        println!("peak memory of the process {peak}");
    }
    Ok(())
}

/// Peak memory of this process, if the system reports it.
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().to_owned())
}
