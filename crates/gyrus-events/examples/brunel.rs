//! A balanced random network (after Brunel 2000, J. Comput. Neurosci. 8:183) at any size: memory, time to build, speed.
//!
//! ```text
//! cargo run --release -p gyrus-events --example brunel -- [NEURONS [IN_DEGREE [MILLISECONDS [THREADS]]]]
//! ```
//!
//! Four of five neurons are excitatory. Each neuron receives spikes from IN_DEGREE others, four of five of them
//! excitatory, after 1.5 ms, and Poisson noise. Leaky membranes of 20 ms, a threshold of 20 mV, a reset to 10 mV; jumps of 20 mV times 5 / IN_DEGREE,
//! five times as large for inhibition; no refractory period. 100,000 neurons with an in-degree of 1,000 have 10⁸ synapses.

use std::error::Error;
use std::time::Instant;

use gyrus_blueprint::{Discretization, NeuronModel, Node, NodeKind, Parameters, Reset};
use gyrus_events::simulation::{Delay, Noise, Population, Projection, Rule, Simulation, Weight};

const DT_MS: f64 = 0.1;
const TAU_MS: f64 = 20.0;
const THRESHOLD_MV: f64 = 20.0;
const RESET_MV: f64 = 10.0;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<Vec<usize>, _>>()?;
    let argument = |place: usize, default| arguments.get(place).copied().unwrap_or(default);
    let (neurons, in_degree) = (argument(0, 10_000), argument(1, 1000));
    let steps = (argument(2, 200) as f64 / DT_MS).round() as u64;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(argument(3, 2))
        .start_handler(|_| gyrus_kernels::flush_denormals())
        .build()?;
    pool.install(|| simulate(neurons, in_degree, steps)).map_err(|text| text.into())
}

fn simulate(neurons: usize, in_degree: usize, steps: u64) -> Result<(), String> {
    let text = |error: &dyn Error| error.to_string();
    let kind = NodeKind::LIF {
        tau_membrane_ms: TAU_MS,
        resistance: 1.0,
        v_leak: 0.0,
        v_threshold: THRESHOLD_MV,
        v_reset: RESET_MV,
        reset: Reset::Hard,
        per_neuron: Vec::new(),
        learned: Vec::new(),
    };
    let time = Discretization { dt_ms: DT_MS, ..Discretization::default() };
    let node = Node { name: "lif".into(), kind };
    let model = NeuronModel::new(&node, neurons, &Parameters::new(), time).map_err(|error| text(&error))?;
    let Some(model) = model else { return Err("a LIF is a neuron".into()) };
    // The kernel multiplies input by the gain; weights are given as jumps of the membrane.
    let gain = f64::from(model.constants[1][0]);
    let jump_mv = THRESHOLD_MV * 5.0 / in_degree as f64;
    // 1.1 times the rate whose mean input holds the membrane at its threshold.
    let noise_jump_mv = 0.1;
    let rate_hz = 1.1 * THRESHOLD_MV / (noise_jump_mv * TAU_MS) * 1000.0;
    let noise = Some(Noise { rate_hz, weight: (noise_jump_mv / gain) as f32 });
    let excitatory = neurons / 5 * 4;
    let population = |name: &str, neurons| Population {
        name: name.into(),
        neurons,
        model: model.clone(),
        current: 0.0,
        noise,
    };
    let projection = |source, target, count, jump_mv: f64| Projection {
        source,
        target,
        rule: Rule::FixedInDegree(count),
        weight: Weight::Constant((jump_mv / gain) as f32),
        delay: Delay::Constant { delay_ms: 1.5 },
    };
    let from_excitatory = in_degree / 5 * 4;
    let projections: Vec<Projection> = (0..2)
        .flat_map(|target| {
            [
                projection(0, target, from_excitatory, jump_mv),
                projection(1, target, in_degree - from_excitatory, -5.0 * jump_mv),
            ]
        })
        .collect();
    let populations = [population("excitatory", excitatory), population("inhibitory", neurons - excitatory)];
    let start = Instant::now();
    let mut simulation =
        Simulation::new(&populations, &projections, DT_MS, 1).map_err(|error| text(&error))?;
    let built = start.elapsed().as_secs_f64();
    let (synapses, memory) = (simulation.synapses(), simulation.memory());
    let each = |bytes: usize| bytes as f64 / synapses.max(1) as f64;
    println!("{neurons} neurons, {synapses} synapses, built in {built:.2} s");
    println!(
        "bytes per synapse: {:.2}, plus {:.2} for rows; rings {:.1} MiB; peak memory of the process {}",
        each(memory.synapses),
        each(memory.rows),
        memory.rings as f64 / f64::from(1 << 20),
        peak_memory().unwrap_or_else(|| "unknown".into()),
    );
    let start = Instant::now();
    let activity = simulation.run(steps, |_, _| ()).map_err(|error| text(&error))?;
    let seconds = start.elapsed().as_secs_f64();
    let simulated = steps as f64 * DT_MS / 1000.0;
    println!(
        "{simulated:.2} s simulated in {seconds:.2} s: {:.1} Hz, {} spikes, {:.3e} synaptic events/s, {:.3e} membrane updates/s",
        activity.spikes as f64 / neurons.max(1) as f64 / simulated,
        activity.spikes,
        activity.synaptic_events as f64 / seconds,
        activity.membrane_updates as f64 / seconds,
    );
    Ok(())
}

/// Peak memory of this process, if the system reports it.
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().to_owned())
}
