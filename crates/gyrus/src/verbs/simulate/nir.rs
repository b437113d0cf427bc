//! A NIR network on the event-driven body, with Poisson spikes as its input.
//!
//! Each element of the input is a Poisson train: at each step it spikes with probability rate · dt, by a number that is a function of
//! seed, step and element. Neurons are those of the file, with the time step that it states or that is given, as in `predict`.

use std::path::Path;
use std::time::Instant;

use gyrus_blueprint::{NodeKind, Shape, load_nir};
use gyrus_events::{EventNetwork, EventState, Recorded, Stimulus, StimulusKind};
use gyrus_kernels::keep_awake;
use gyrus_simulate::{Activity, Recording, Spikes};

use super::run::Ran;
use super::{Cells, Simulate};
use crate::verbs::NirOptions;
use crate::{Error, Result};

/// Bytes of the spikes of all neurons at all steps.
const MOST_BYTES: u128 = 1 << 30;

pub(super) fn nir(verb: &Simulate, name: String, path: &Path) -> Result<Ran> {
    if verb.scale != 1.0 {
        return Err(Error::request("a NIR network has one size: --scale does not apply"));
    }
    let nir = load_nir(path)?;
    let time = NirOptions { dt_ms: verb.dt_ms, ..NirOptions::default() }.time(&nir, path)?;
    let mut notes = nir.warnings.clone();
    notes.extend(nir.unstable_note(time));
    notes.extend(nir.reset_note());
    let nir = nir.with_step(time)?;
    let blueprint = &nir.blueprint;
    let shapes = blueprint.shapes()?;
    let input = blueprint.nodes().iter().find_map(|node| match &node.kind {
        NodeKind::Input { shape } => Some(shape.clone()),
        _ => None,
    });
    let inputs: usize = input.unwrap_or(Shape(Vec::new())).iter().product();
    let dt_ms = time.dt_ms;
    let duration_ms = verb.seconds.map_or(1000.0, |seconds| seconds * 1e3);
    let steps = (duration_ms / dt_ms).round();
    if !(1.0..=f64::from(u32::MAX)).contains(&steps) {
        return Err(Error::request(format!(
            "{duration_ms} ms are {steps} steps of {dt_ms} ms; expected 1 to {}",
            u32::MAX
        )));
    }
    let steps = steps as usize;
    let neurons: u128 =
        (0..blueprint.nodes().len()).map(|node| shapes.output(node).iter().product::<usize>() as u128).sum();
    let bytes = (neurons + inputs as u128) * steps as u128 / 8;
    if bytes > MOST_BYTES {
        return Err(Error::request(format!(
            "the spikes of {steps} steps would take {bytes} bytes, more than {MOST_BYTES}; --seconds makes the run shorter"
        )));
    }
    let probability = verb.input_rate_hz * dt_ms / 1e3;
    if probability > 1.0 {
        let rate = verb.input_rate_hz;
        return Err(Error::request(format!(
            "an input of {rate} Hz is more than one spike in a step of {dt_ms} ms"
        )));
    }
    let words = inputs.div_ceil(32);
    let mut bits = vec![0u32; words * steps];
    for step in 0..steps {
        for element in 0..inputs {
            if uniform(verb.seed, (step * inputs + element) as u64) < probability {
                bits[step * words + element / 32] |= 1 << (element % 32);
            }
        }
    }
    let started = Instant::now();
    let network = EventNetwork::new(blueprint, &nir.parameters, time, StimulusKind::Spikes)?;
    let build_seconds = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let stimulus = Stimulus::Spikes(&bits);
    let outcome = keep_awake(|| network.run(&mut EventState::default(), stimulus, steps, true))?;
    let seconds = started.elapsed().as_secs_f64();

    let mut trains: Vec<(&[u32], usize)> = vec![(&bits, inputs)];
    let mut cells = vec![Cells {
        name: "input".to_owned(),
        neurons: 0..inputs as u32,
        model: "Poisson".to_owned(),
        input: String::new(),
        statistics: None,
    }];
    for record in &outcome.records {
        // Neurons that do not fire have potentials instead.
        let Recorded::Spikes(bits) = &record.output else { continue };
        let node = &blueprint.nodes()[record.node];
        let count = shapes.output(record.node).iter().product::<usize>();
        let first = cells.last().map_or(0, |own| own.neurons.end);
        trains.push((bits, count));
        cells.push(Cells {
            name: node.name.clone(),
            neurons: first..first + count as u32,
            model: node.kind.name().to_owned(),
            input: String::new(),
            statistics: None,
        });
    }
    let mut spikes = Spikes::default();
    let mut fired = Vec::new();
    for step in 0..steps {
        for ((bits, count), own) in trains.iter().zip(&cells) {
            let words = count.div_ceil(32);
            fired.clear();
            for (word, bits) in bits[step * words..(step + 1) * words].iter().enumerate() {
                let mut left = *bits;
                while left != 0 {
                    fired.push(own.neurons.start + 32 * word as u32 + left.trailing_zeros());
                    left &= left - 1;
                }
            }
            spikes.extend(step as u32, &fired);
        }
    }
    let total = outcome.total();
    let synapses = nir.parameters.iter().filter(|(name, _)| name.ends_with(".weight"));
    let synapses: u64 = synapses.map(|(_, own)| own.values.len() as u64).sum();
    let activity = Activity {
        steps: steps as u64,
        spikes: spikes.len() as u64,
        synaptic_events: total.accumulates,
        ..Activity::default()
    };
    Ok(Ran {
        name,
        description: format!(
            "A NIR network; each element of its input is a Poisson train of {} Hz",
            verb.input_rate_hz
        ),
        dt_ms,
        planned_ms: duration_ms,
        discard_ms: 0.0,
        cells,
        projections: Vec::new(),
        recorded: None,
        recording: Recording { spikes, steps: steps as u64, activity, seconds, ..Recording::default() },
        origins: None,
        exact: None,
        synapses,
        synapse_bytes: 4 * synapses,
        circuit_bytes: 4 * synapses,
        build_seconds,
        notes,
        energy_joules: None,
    })
}

/// A number from 0 to below 1, a function of seed and index (Steele, Lea and Flood 2014, SplitMix).
fn uniform(seed: u64, index: u64) -> f64 {
    let mut bits =
        seed.wrapping_mul(0xD1B5_4A32_D192_ED03) ^ index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^= bits >> 31;
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
