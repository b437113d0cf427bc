//! Calibration: thresholds for quantized ReLUs in a network that was trained with ReLUs, from its activations.
//!
//! Nodes are calibrated in the order in which they run, so that each one sees the outputs of the quantized nodes before it.
//! Among the thresholds λ = f · max(x), with f from 2 % to 100 %, a node gets the one with the smallest mean squared error of
//! `λ/L · clip(⌈x L/λ − ½⌉, 0, L)` against `max(0, x)`. Cost: per node, one pass over the examples and 50 passes over the
//! node's inputs.

use gyrus_blueprint::{Blueprint, NodeKind};
use gyrus_data::{Examples, Preprocessing, fill_batch};
use gyrus_nn::{Network, Observed, State, StateTensor, floats};
use gyrus_tensor::{Device, filled_tensor};

use crate::{Error, Result, Tick};

/// The most examples that are used.
const EXAMPLES: usize = 256;
/// About how many inputs of a node are used.
const SAMPLES: usize = 200_000;
/// How many thresholds are tried.
const TRIED: usize = 50;

/// The weights of a network with quantized ReLUs, from those of the same network with ReLUs: adds the thresholds that are
/// missing.
///
/// # Errors
/// If the blueprint or the state is not valid, or the tick after each node says to stop.
pub fn calibrate(
    blueprint: &Blueprint,
    state: &State,
    examples: &Examples,
    preprocessing: &Preprocessing,
    device: &Device,
    tick: &mut Tick<'_>,
) -> Result<State> {
    let mut state = state.clone();
    let mut open = Vec::new();
    let shapes = blueprint.shapes()?;
    for &index in shapes.order() {
        let node = &blueprint.nodes()[index];
        let name = format!("{}.threshold", node.name);
        if let NodeKind::QuantizedReLU { levels } = node.kind
            && !state.contains_key(&name)
        {
            state.insert(name.clone(), StateTensor { shape: vec![1], values: vec![1.0] });
            open.push((index, name, levels));
        }
    }
    if open.is_empty() {
        return Ok(state);
    }
    // Spread evenly over the examples, which may be sorted by class.
    let stride = examples.len().div_ceil(EXAMPLES).max(1);
    let batch: Vec<u32> = (0..examples.len() as u32).step_by(stride).collect();
    let mut buffer = Vec::new();
    fill_batch(examples, preprocessing, &batch, None, &mut buffer);
    let columns = buffer.len() / batch.len().max(1);
    let nodes = open.len() as u64;
    for (done, (index, name, levels)) in open.into_iter().enumerate() {
        if !tick(done as u64, nodes) {
            return Err(Error::Stopped);
        }
        let network = Network::from_state(blueprint, &state, device)?;
        let x = filled_tensor(batch.len(), columns, |x| x.copy_from_slice(&buffer));
        let (_, observations) = network.observe(x.to_device(device))?;
        let own = |observation: &gyrus_nn::Observation| {
            observation.node == index && observation.what == Observed::Current
        };
        let Some(inputs) = observations.into_iter().find(own) else { continue };
        let value = StateTensor { shape: vec![1], values: vec![threshold(&floats(inputs.tensor), levels)] };
        state.insert(name, value);
    }
    Ok(state)
}

/// The threshold with the smallest error on these inputs.
fn threshold(inputs: &[f32], levels: usize) -> f32 {
    let stride = inputs.len().div_ceil(SAMPLES).max(1);
    let sample: Vec<f32> = inputs.iter().step_by(stride).copied().filter(|x| *x > 0.0).collect();
    let most = sample.iter().copied().fold(0.0f32, f32::max);
    if most <= 0.0 || !most.is_finite() {
        // For a layer that is never active, any threshold will do.
        return 1.0;
    }
    let error = |threshold: f32| -> f64 {
        let unit = threshold / levels as f32;
        let of = |x: &f32| f64::from(unit * (x / unit - 0.5).ceil().clamp(0.0, levels as f32) - x).powi(2);
        sample.iter().map(of).sum()
    };
    let tried = (1..=TRIED).map(|part| most * part as f32 / TRIED as f32);
    let judged = tried.map(|threshold| (error(threshold), threshold));
    judged.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(most, |(_, threshold)| threshold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_spread_is_taken_to_its_end_and_an_outlier_is_cut() {
        let even: Vec<f32> = (-1000..=1000).map(|x| x as f32 / 1000.0).collect();
        let all = threshold(&even, 8);
        assert!((0.9..=1.0).contains(&all), "{all}");
        let mut outlier = even.clone();
        outlier.push(5.0);
        // One outlier in a thousand does not justify steps five times as wide for all others.
        assert!(threshold(&outlier, 4) < 2.5);
        assert_eq!(threshold(&[-3.0, -1.0], 4), 1.0);
    }
}
