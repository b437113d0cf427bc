//! One picture at a time through a converted network: event by event, and by the clocked body, in turn.
//!
//! ```text
//! cargo run --release --workspace --example batch_one -- RUN MNIST [STEPS [EXPORT]]
//! ```
//!
//! RUN is the run folder of a dense network trained on the MNIST files in the folder MNIST. Its ReLUs are quantised and
//! calibrated without training, and become integrate-and-fire neurons. EXPORT is a folder for what `bench/event_driven.py`
//! needs to time SpikingJelly on the same network and pictures.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use gyrus_blueprint::Discretization;
use gyrus_data::fill_batch;
use gyrus_events::{EventNetwork, EventState, NodeCounts, Stimulus, StimulusKind};
use gyrus_nn::convert::{folded_form, integrate_and_fire_form, quantized_form};
use gyrus_nn::{Network, SpikingSettings, floats, from_safetensors, to_safetensors};
use gyrus_tensor::{Tensor, TensorData, cpu, with_threads};
use gyrus_train::{RunFolder, calibrate};

const PICTURES: usize = 1000;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [run, data, rest @ ..] = &arguments[..] else {
        return Err("expected: RUN MNIST [STEPS [EXPORT]]".into());
    };
    let steps = rest.first().map_or(Ok(8), |steps| steps.parse())?;
    with_threads(2, || compare(Path::new(run), Path::new(data), steps, rest.get(1).map(Path::new)))?
}

fn compare(run: &Path, data: &Path, steps: usize, export: Option<&Path>) -> Result<(), Failure> {
    let folder = RunFolder::open(run)?;
    let (state, _) = from_safetensors(&folder.read_model()?)?;
    let dataset = gyrus_data::mnist(data)?;
    let quantized = quantized_form(&folder.read_blueprint()?, 8)?;
    let state = calibrate(&quantized, &state, &dataset.train, &dataset.preprocessing, &cpu())?;
    let (folded, state) = folded_form(&quantized, &state)?;
    let (spiking, state) = integrate_and_fire_form(&folded, &state)?;
    let indices: Vec<u32> = (0..PICTURES as u32).collect();
    let mut pictures = Vec::new();
    fill_batch(&dataset.test, &dataset.preprocessing, &indices, None, &mut pictures);
    let len = pictures.len() / PICTURES;
    if let Some(export) = export {
        std::fs::create_dir_all(export)?;
        std::fs::write(export.join("model.safetensors"), to_safetensors(&state, &Default::default())?)?;
        std::fs::write(export.join("blueprint.toml"), spiking.to_toml()?)?;
        let bytes: Vec<u8> = pictures.iter().flat_map(|x| x.to_le_bytes()).collect();
        std::fs::write(export.join("pictures.f32"), bytes)?;
    }
    let settings = SpikingSettings { steps, ..SpikingSettings::default() };
    let clocked = Network::with_state(&spiking, Some(&settings), &state, &cpu())?;
    let events = EventNetwork::new(&spiking, &state, Discretization::default(), StimulusKind::Constant)?;
    let mut memory = EventState::default();
    let mut times: [Vec<f64>; 2] = Default::default();
    let (mut agree, mut total) = (0, NodeCounts::default());
    for (index, picture) in pictures.chunks_exact(len).enumerate() {
        let start = Instant::now();
        let outcome = events.run(&mut memory, Stimulus::Constant(picture), steps, false)?;
        let mean = outcome.mean(events.outputs());
        let ours = best(&mean);
        times[0].push(start.elapsed().as_secs_f64());
        let x = Tensor::from_data(TensorData::new(picture.to_vec(), [1, len]), &cpu());
        let start = Instant::now();
        let answer = floats(clocked.infer(x));
        times[1].push(start.elapsed().as_secs_f64());
        agree += usize::from(ours == best(&answer));
        if index == 0 {
            for (node, counts) in spiking.nodes().iter().zip(&outcome.counts) {
                println!("{:12} {counts:?}", node.name);
            }
        }
        let counts = outcome.total();
        total.accumulates += counts.accumulates;
        total.spikes += counts.spikes;
        total.membrane_updates += counts.membrane_updates;
    }
    let quantiles = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        [times[times.len() / 2], times[times.len() / 20]].map(|seconds| seconds * 1e3)
    });
    println!("steps {steps}, {PICTURES} pictures, the same class for {agree} of them");
    println!(
        "of a picture: {} accumulates, {} spikes, {} membrane updates",
        total.accumulates / PICTURES as u64,
        total.spikes / PICTURES as u64,
        total.membrane_updates / PICTURES as u64,
    );
    // On a machine that does other work too, the twentieth part that ran undisturbed says more.
    for (what, at) in [("median", 0), ("5th percentile", 1)] {
        let [ours, clocked] = quantiles.map(|times| times[at]);
        println!(
            "{what} in milliseconds: event-driven {ours:.3}, clocked {clocked:.3}, ratio {:.2}",
            ours / clocked
        );
    }
    Ok(())
}

fn best(answer: &[f32]) -> usize {
    let most = answer.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    most.map_or(0, |(class, _)| class)
}
