//! Building and running what a source holds.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use gyrus_simulate::sonata::{EventSpike, Origin, Sonata, run_intfire};
use gyrus_simulate::{
    Activity, CircuitFile, Distribution, InputKind, Model, Quantity, Recording, RuleKind, Simulation, Spikes,
    Stop, record,
};

use super::energy::Meter;
use super::page::Projected;
use super::{Cells, Simulate, saved};
use crate::observer::{Observer, Simulated, Stage};
use crate::{Error, Result};

/// What ran, whichever way.
pub(super) struct Ran {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) dt_ms: f64,
    pub(super) planned_ms: f64,
    pub(super) discard_ms: f64,
    pub(super) cells: Vec<Cells>,
    pub(super) projections: Vec<Projected>,
    /// Populations whose spikes were recorded; absent: all.
    pub(super) recorded: Option<Vec<usize>>,
    pub(super) recording: Recording,
    pub(super) origins: Option<Vec<Origin>>,
    /// The time of each spike, where it is not that of its step.
    pub(super) exact: Option<Vec<f64>>,
    pub(super) synapses: u64,
    pub(super) synapse_bytes: u64,
    pub(super) circuit_bytes: u64,
    pub(super) build_seconds: f64,
    pub(super) notes: Vec<String>,
    pub(super) energy_joules: Option<f64>,
}

/// A circuit on the engine.
pub(super) fn circuit(
    verb: &Simulate,
    file: CircuitFile,
    origins: Option<Vec<Origin>>,
    out: &Path,
    observer: &mut dyn Observer,
) -> Result<Ran> {
    let mut file = file.scaled(verb.scale)?;
    file.circuit.seed = verb.seed;
    let duration_ms = verb.seconds.map_or(file.duration_ms, |seconds| seconds * 1e3);
    let dt_ms = file.circuit.dt_ms;
    let steps = (duration_ms / dt_ms).round();
    if !(1.0..=f64::from(u32::MAX)).contains(&steps) {
        return Err(Error::request(format!(
            "{duration_ms} ms are {steps} steps of {dt_ms} ms; expected 1 to {}",
            u32::MAX
        )));
    }
    file.check()?;
    observer.stage(&Stage { name: "building", done: 0, total: 1 });
    let started = Instant::now();
    let several = verb.process_count() > 1;
    if several && !file.recorders.is_empty() {
        return Err(Error::request("voltmeter and weight_recorder need one process; several record spikes"));
    }
    let (simulation, before) = match (verb.resume, &verb.processes) {
        (true, _) => saved::load(out, &file.circuit)?,
        (false, None) => (Simulation::new(&file.circuit), Recording::default()),
        (false, Some(all)) => (Simulation::together(&file.circuit, all.clone()), Recording::default()),
    };
    let mut simulation = simulation.map_err(|error| file.with_line(error))?;
    let build_seconds = started.elapsed().as_secs_f64();
    observer.stage(&Stage { name: "building", done: 1, total: 1 });
    let cells = cells(&file, &simulation);
    let populations: Vec<_> = cells.iter().map(|own| (own.name.clone(), own.neurons.clone())).collect();
    let mut watch = |progress: &gyrus_simulate::Progress<'_>| {
        observer.simulated(&Simulated { progress, populations: &populations });
        if observer.wants_to_stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let meter = Meter::start();
    let recording = record(&mut simulation, &file, before, steps as u64, verb.max_rate_hz, &mut watch)?;
    let energy_joules = meter.joules();
    if recording.stopped == Some(Stop::Asked) && !several {
        saved::write(out, &mut simulation, &recording)?;
    }
    let memory = simulation.memory();
    Ok(Ran {
        dt_ms,
        planned_ms: duration_ms,
        discard_ms: file.discard_ms,
        projections: projections(&file),
        synapses: simulation.synapses(),
        synapse_bytes: memory.synapses,
        circuit_bytes: memory.total(),
        name: file.name,
        description: file.description,
        recorded: file.recorded,
        cells,
        recording,
        origins,
        exact: None,
        build_seconds,
        notes: Vec::new(),
        energy_joules,
    })
}

fn cells(file: &CircuitFile, simulation: &Simulation) -> Vec<Cells> {
    let all = file.circuit.populations.iter().enumerate();
    all.map(|(index, own)| {
        let inputs: Vec<String> = own.inputs.iter().map(|input| input_text(&input.kind)).collect();
        Cells {
            name: own.name.clone(),
            neurons: simulation.population(index),
            model: own.model.name().to_owned(),
            input: inputs.join("; "),
            statistics: None,
        }
    })
    .collect()
}

fn input_text(kind: &InputKind) -> String {
    match kind {
        InputKind::Poisson { rate_hz, weight } => {
            format!(
                "Poisson, {} Hz, weight {}",
                gyrus_report::number(*rate_hz),
                gyrus_report::number(*weight)
            )
        }
        InputKind::Current { amplitude_pa, .. } => format!("{} pA", gyrus_report::number(*amplitude_pa)),
        InputKind::NoiseCurrent { mean_pa, std_pa, .. } => {
            format!("noise, {} ± {} pA", gyrus_report::number(*mean_pa), gyrus_report::number(*std_pa))
        }
    }
}

fn projections(file: &CircuitFile) -> Vec<Projected> {
    let all = &file.circuit.populations;
    let shown = file.circuit.projections.iter().map(|own| {
        let (sources, targets) = (all[own.source].neurons as u64, all[own.target].neurons as u64);
        let number = |value: usize| gyrus_report::grouped(value as u128);
        let itself = own.source == own.target && !own.rule.autapses;
        let (synapses, rule) = match &own.rule.kind {
            RuleKind::AllToAll => {
                (sources * targets - if itself { sources } else { 0 }, "all to all".to_owned())
            }
            RuleKind::OneToOne => (sources.min(targets), "one to one".to_owned()),
            RuleKind::FixedInDegree(degree) => {
                (targets * *degree as u64, format!("fixed in-degree {}", number(*degree)))
            }
            RuleKind::FixedOutDegree(degree) => {
                (sources * *degree as u64, format!("fixed out-degree {}", number(*degree)))
            }
            RuleKind::FixedTotal(total) => (*total, "fixed total number".to_owned()),
            RuleKind::Bernoulli(p) => (
                (*p * sources as f64 * targets as f64).round() as u64,
                format!("pairwise, probability {}", gyrus_report::number(*p)),
            ),
            RuleKind::Listed(links) => (links.len() as u64, "list".to_owned()),
        };
        let unit = match all[own.target].model {
            Model::IafPscDelta(_) | Model::Izhikevich(_) => "mV",
            Model::IafPscExp(_) | Model::IafPscAlpha(_) | Model::HhPscAlpha(_) => "pA",
            _ => "nS",
        };
        let (weight, delay, mean) = match &own.rule.kind {
            RuleKind::Listed(links) => {
                let mean = links.iter().map(|link| link.weight).sum::<f64>() / links.len().max(1) as f64;
                (
                    span(links.iter().map(|link| link.weight), unit),
                    span(links.iter().map(|link| link.delay_ms), "ms"),
                    mean,
                )
            }
            _ => (text(&own.weight, unit), text(&own.delay_ms, "ms"), mean(&own.weight)),
        };
        Projected {
            source: own.source,
            target: own.target,
            synapses,
            is_inhibitory: mean < 0.0,
            rule,
            weight,
            delay,
        }
    });
    shown.collect()
}

fn mean(quantity: &Quantity) -> f64 {
    match quantity.distribution {
        Distribution::Constant(value) => value,
        Distribution::Uniform { low, high } => (low + high) / 2.0,
        Distribution::Normal { mean, .. } => mean,
        Distribution::LogNormal { .. } => 1.0,
    }
}

fn text(quantity: &Quantity, unit: &str) -> String {
    let number = gyrus_report::number;
    match quantity.distribution {
        Distribution::Constant(value) => format!("{} {unit}", number(value)),
        Distribution::Uniform { low, high } => format!("{} to {} {unit}", number(low), number(high)),
        Distribution::Normal { mean, std } => format!("{} ± {} {unit}", number(mean), number(std)),
        Distribution::LogNormal { mu, sigma } => format!("exp({} ± {}) {unit}", number(mu), number(sigma)),
    }
}

/// From the smallest to the largest.
fn span(values: impl Iterator<Item = f64>, unit: &str) -> String {
    let ends = values.fold(None, |ends: Option<(f64, f64)>, value| {
        let (low, high) = ends.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    });
    match ends {
        None => "–".to_owned(),
        Some((low, high)) if low == high => format!("{} {unit}", gyrus_report::number(low)),
        Some((low, high)) => {
            format!("{} to {} {unit}", gyrus_report::number(low), gyrus_report::number(high))
        }
    }
}

/// A SONATA network of IntFire1, event by event.
pub(super) fn intfire(verb: &Simulate, name: String, sonata: &Sonata) -> Result<Ran> {
    if verb.scale != 1.0 {
        return Err(Error::request("a SONATA network has one size: --scale does not apply"));
    }
    // Times are exact; statistics count them in steps.
    let dt_ms = sonata.dt_ms.unwrap_or(0.1);
    let duration_ms = verb.seconds.map(|seconds| seconds * 1e3).or(sonata.duration_ms).unwrap_or(1000.0);
    let started = Instant::now();
    let (found, synaptic_events) = run_intfire(sonata, duration_ms)?;
    let seconds = started.elapsed().as_secs_f64();
    let (mut cells, mut origins, mut starts, mut next) = (Vec::new(), Vec::new(), Vec::new(), 0u32);
    let mut recorded = Vec::new();
    for (index, nodes) in sonata.nodes.iter().enumerate() {
        let count = nodes.ids.len() as u32;
        starts.push(next);
        let is_virtual = nodes.types.iter().all(gyrus_simulate::sonata::NodeType::is_virtual);
        if !is_virtual {
            recorded.push(index);
        }
        cells.push(Cells {
            name: nodes.name.clone(),
            neurons: next..next + count,
            model: if is_virtual { "given spikes" } else { "IntFire1" }.to_owned(),
            input: String::new(),
            statistics: None,
        });
        origins.push(Origin { population: nodes.name.clone(), node_ids: nodes.ids.clone() });
        next += count;
    }
    let mut spikes = Spikes::default();
    for EventSpike { time_ms, population, node } in &found {
        spikes.extend((time_ms / dt_ms) as u32, &[starts[*population] + node]);
    }
    let projections = sonata.edges.iter().map(|own| Projected {
        source: own.source,
        target: own.target,
        synapses: own.sources.len() as u64,
        is_inhibitory: own.weights.iter().sum::<f64>() < 0.0,
        rule: "list".to_owned(),
        weight: span(own.weights.iter().copied(), ""),
        delay: span(own.delays_ms.iter().copied(), "ms"),
    });
    let steps = (duration_ms / dt_ms).round() as u64;
    let activity = Activity { steps, spikes: found.len() as u64, synaptic_events, ..Activity::default() };
    let synapses = sonata.synapses() as u64;
    // A target and a weight in 16 bytes.
    let synapse_bytes = 16 * synapses;
    Ok(Ran {
        name,
        description: "A SONATA network of IntFire1 neurons, event by event".to_owned(),
        dt_ms,
        planned_ms: duration_ms,
        discard_ms: 0.0,
        cells,
        projections: projections.collect(),
        recorded: Some(recorded),
        exact: Some(found.iter().map(|spike| spike.time_ms).collect()),
        recording: Recording { spikes, steps, activity, seconds, ..Recording::default() },
        origins: Some(origins),
        synapses,
        synapse_bytes,
        circuit_bytes: synapse_bytes,
        build_seconds: 0.0,
        notes: Vec::new(),
        energy_joules: None,
    })
}
