//! Our side of the works on pictures: published networks at 224 x 224, a folder of JPEG files, attribution.
//!
//! `peers/vision_models.py` writes each network with random weights: as a checkpoint, which ours opens as `gyrus see` or
//! `gyrus learn --from` would, and as ONNX for the runtimes. The JPEG files come from there too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use gyrus_blueprint::{NodeKind, preset};
use gyrus_data::{Filter, Preprocessing, Resize};
use gyrus_nn::Network;
use gyrus_tensor::{Operation, cpu, filled_tensor};
use gyrus_train::Optimizer;
use gyrus_vision::Model;
use gyrus_vision::see::attribution::{Attribution, Method};
use rayon::prelude::*;

use crate::network::{Training, Workload};
use crate::timing::{Timed, timed, values};

/// Side of the pictures.
const SIDE: usize = 224;
/// Pictures of a batch from the folder.
const JPEG_BATCH: usize = 32;
/// Inputs that are explained, steps of integrated gradients.
const EXPLAINED: usize = 64;
const STEPS: usize = 50;

/// Writes what the workload `name` needs to `folder`, unless it is there.
///
/// # Errors
/// If the peers' Python fails.
pub(crate) fn prepare(name: &str, folder: &Path, python: &Path, peers: &Path) -> Result<()> {
    let status = Command::new(python)
        .arg(peers.join("vision_models.py"))
        .args([folder.as_os_str(), name.as_ref()])
        .stdout(Stdio::from(std::io::stderr()))
        .status()
        .context("cannot start vision_models.py")?;
    if !status.success() {
        bail!("vision_models.py failed for {name}: {status}");
    }
    Ok(())
}

/// The program that serves tract and rten, built if need be.
///
/// # Errors
/// If it cannot be built.
pub(crate) fn runtimes(peers: &Path) -> Result<PathBuf> {
    let folder = peers.join("rust");
    eprintln!("Building {} ...", folder.display());
    let status = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .env_remove("CARGO_TARGET_DIR")
        .stdout(Stdio::from(std::io::stderr()))
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("building {} failed: {status}", folder.display());
    }
    Ok(folder.join("target/release/gyrus-bench-peers"))
}

/// Sets up the workload `name`.
///
/// # Errors
/// If a file is missing or Gyrus does not implement this workload.
pub(crate) fn create(name: &str, threads: usize, file: Option<&Path>) -> Result<Box<dyn Timed>> {
    let folder = file.context("needs a folder of networks and pictures")?;
    match name {
        "jpeg-folder" => return Ok(Box::new(Jpegs::new(&folder.join("jpeg"), threads)?)),
        "attribution-64" => return Ok(Box::new(Explained::new(threads)?)),
        _ => {}
    }
    let mut parts = name.rsplitn(3, '-');
    let batch: usize = parts.next().unwrap_or_default().parse().context("expected NETWORK-TASK-BATCH")?;
    let (task, network) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let model = Model::open(&folder.join(format!("{network}.safetensors")), None)?;
    let classes = model.classes.len();
    let network = model.network(&cpu())?;
    let training = match task {
        "infer" => None,
        "tune" => {
            let targets = (0..batch as u32).map(|i| i % 10).collect();
            let loss = Operation::CrossEntropy { targets, classes, smoothing: 0.0 };
            let optimizer = Some((Optimizer::new("sgd", 1e-4, &network)?, 0.01));
            Some(Training { loss, optimizer })
        }
        _ => bail!("Gyrus does not implement '{name}'"),
    };
    let elements = SIDE * SIDE * 3;
    let input = filled_tensor(batch, elements, |x| {
        x.iter_mut().zip(values(batch * elements)).for_each(|(x, v)| *x = v);
    });
    Ok(Box::new(Workload { network, training, input, threads }))
}

/// A folder of JPEG files, read to batches of normalized pictures.
struct Jpegs {
    files: Vec<PathBuf>,
    preprocessing: Preprocessing,
    threads: usize,
}

impl Jpegs {
    fn new(folder: &Path, threads: usize) -> Result<Self> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
            files.push(entry?.path());
        }
        files.sort();
        let preprocessing = Preprocessing::Image {
            height: SIDE,
            width: SIDE,
            channels: 3,
            mean: vec![0.485, 0.456, 0.406],
            deviation: vec![0.229, 0.224, 0.225],
            ink: None,
            resize: Some(Resize { filter: Filter::Bilinear, shorter_side: Some(256) }),
        };
        Ok(Self { files, preprocessing, threads })
    }
}

impl Timed for Jpegs {
    /// All files once, in batches.
    fn steps(&mut self, count: usize) -> Result<Vec<f64>> {
        let Self { files, preprocessing, threads } = self;
        timed(*threads, count, |_| {
            for files in files.chunks(JPEG_BATCH) {
                let pictures: Vec<Vec<f32>> = files
                    .par_iter()
                    .with_max_len(1)
                    .map(|file| Ok(preprocessing.normalize(&preprocessing.decode_file(file)?)))
                    .collect::<Result<_>>()?;
                std::hint::black_box(filled_tensor(pictures.len(), SIDE * SIDE * 3, |x| {
                    x.chunks_exact_mut(SIDE * SIDE * 3)
                        .zip(&pictures)
                        .for_each(|(x, p)| x.copy_from_slice(p));
                }));
            }
            Ok(())
        })
    }

    fn parameters(&self) -> usize {
        self.files.len()
    }
}

/// Integrated gradients and Grad-CAM of ResNet-20 on 32 x 32.
struct Explained {
    network: Network,
    inputs: Vec<f32>,
    of: Vec<usize>,
    node: usize,
    threads: usize,
}

impl Explained {
    fn new(threads: usize) -> Result<Self> {
        let network = Network::new(&preset("resnet20", vec![3, 32, 32], 10)?, 0, &cpu())?;
        let blueprint = network.blueprint();
        let pool = blueprint.nodes().iter().position(|node| node.kind == NodeKind::GlobalAvgPool);
        let node = pool.and_then(|pool| blueprint.sources()[pool].first().copied()).context("no pool")?;
        let inputs = values(EXPLAINED * 3 * 32 * 32).collect();
        let of = (0..EXPLAINED).map(|index| index % 10).collect();
        Ok(Self { network, inputs, of, node, threads })
    }
}

impl Timed for Explained {
    fn steps(&mut self, count: usize) -> Result<Vec<f64>> {
        let Self { network, inputs, of, node, threads } = self;
        timed(*threads, count, |_| {
            for method in [Method::IntegratedGradients { steps: STEPS }, Method::GradCam { node: *node }] {
                std::hint::black_box(Attribution::new(network, inputs, of, method)?);
            }
            Ok(())
        })
    }

    fn parameters(&self) -> usize {
        self.network.parameter_count()
    }
}
