//! One image at a time through a converted network, in the event-driven or the clocked body.
//!
//! The network is trained on MNIST and converted for the measurement (`gyrus learn`, `gyrus spike`), because the number of
//! spikes, and so the work of the event-driven body, depends on what the network has learned.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use gyrus_blueprint::Discretization;
use gyrus_data::fill_batch;
use gyrus_events::{EventNetwork, EventState, Stimulus, StimulusKind};
use gyrus_nn::{Network, SpikingSettings, floats, from_safetensors};
use gyrus_tensor::{Tensor, TensorData, cpu, keep_awake, with_threads};
use gyrus_train::RunFolder;

use crate::timing::{Timed, timed_step};

/// Time steps per image.
pub(crate) const STEPS: usize = 8;
/// Images that the steps cycle through: the first of the test set.
const IMAGES: usize = 1000;

/// Trains and converts the network in `folder`, and writes the run `spiking` and the images `images.f32` there.
///
/// # Errors
/// If a program or the data is missing, or a program fails.
pub(crate) fn prepare(folder: &Path, gyrus: Option<&Path>, data: Option<&Path>, threads: u32) -> Result<()> {
    let gyrus = crate::whole::program(gyrus)?;
    let data = crate::whole::data_directory(data)?;
    let (dense, spiking) = (folder.join("dense"), folder.join("spiking"));
    let threads = threads.to_string();
    let run = |arguments: &[&str], paths: &[&Path]| {
        let mut command = Command::new(&gyrus);
        command.args(arguments).args(["--json", "--threads", &threads]).args(paths).stdout(Stdio::null());
        let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
        if !status.success() {
            bail!("{command:?} failed with {status}");
        }
        Ok(())
    };
    run(&["learn", "mnist", "--epochs", "2"], &[Path::new("--data"), &data, Path::new("--out"), &dense])?;
    let options = ["spike", "--epochs", "1", "--time-epochs", "2", "--steps", "8"];
    run(&options, &[Path::new("--out"), &spiking, &dense])?;
    let data = gyrus_data::mnist(&data)?;
    let indices: Vec<u32> = (0..IMAGES as u32).collect();
    let mut images = Vec::new();
    fill_batch(&data.test, &data.preprocessing, &indices, None, &mut images);
    let bytes: Vec<u8> = images.iter().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(folder.join("images.f32"), bytes).context("cannot write the images")
}

/// A converted network in one of two bodies.
enum Body {
    Events(Box<EventNetwork>, Box<EventState>),
    Clocked(Box<Network>),
}

/// One workload, ready to run.
pub(crate) struct Workload {
    body: Body,
    /// Numbers per image.
    len: usize,
    images: Vec<f32>,
    /// The next image.
    next: usize,
    parameters: usize,
    threads: usize,
}

impl Workload {
    /// Reads what [`prepare`] left in `folder`.
    ///
    /// # Errors
    /// If something is missing or damaged there.
    pub(crate) fn new(folder: Option<&Path>, clocked: bool, threads: usize) -> Result<Self> {
        let folder = folder.context("this workload needs a trained network")?;
        let run = RunFolder::open(folder.join("spiking"))?;
        let blueprint = run.read_blueprint()?;
        let (state, _) = from_safetensors(&run.read_model()?)?;
        let bytes = std::fs::read(folder.join("images.f32")).context("cannot read the images")?;
        let (chunks, _) = bytes.as_chunks::<4>();
        let images: Vec<f32> = chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let settings = SpikingSettings { steps: STEPS, ..SpikingSettings::default() };
        let network = Network::with_state(&blueprint, Some(&settings), &state, &cpu())?;
        let parameters = network.parameter_count();
        let body = match clocked {
            true => Body::Clocked(Box::new(network)),
            false => {
                let time = Discretization::default();
                let network = EventNetwork::new(&blueprint, &state, time, StimulusKind::Constant)?;
                Body::Events(Box::new(network), Box::default())
            }
        };
        Ok(Self { body, len: images.len() / IMAGES, images, next: 0, parameters, threads })
    }

    fn step(&mut self) -> Result<()> {
        let image = &self.images[self.next * self.len..][..self.len];
        self.next = (self.next + 1) % IMAGES;
        match &mut self.body {
            Body::Events(network, memory) => {
                let outcome = network.run(memory, Stimulus::Constant(image), STEPS, false)?;
                std::hint::black_box(outcome.mean(network.outputs()));
            }
            Body::Clocked(network) => {
                let x = Tensor::from_data(TensorData::new(image.to_vec(), [1, self.len]), &cpu());
                std::hint::black_box(floats(network.infer(x)));
            }
        }
        Ok(())
    }
}

impl Timed for Workload {
    fn steps(&mut self, count: usize) -> Result<Vec<f64>> {
        // Threads stay awake between images, as in a program that answers a stream of them.
        with_threads(self.threads, || {
            keep_awake(|| (0..count).map(|_| timed_step(|| self.step())).collect::<Result<_>>())
        })?
    }

    fn parameters(&self) -> usize {
        self.parameters
    }
}
