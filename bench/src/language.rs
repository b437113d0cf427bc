//! Our side of the language model workloads, on the file that `bench/peers/random_llama.py` writes: `prefill-` reads 512
//! tokens, `decode-` reads one more token of a sequence, `start-` opens the file and reads a prompt (`-cold`: from the disk).
//! [`Reader`] measures the memory bandwidth of the machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use gyrus_formats::Bytes;
use gyrus_language::{Cache, Model, Sequence};
use gyrus_tensor::with_threads;
use rayon::prelude::*;

use crate::timing::Timed;

/// Tokens of a prefill, of a decoded sequence and of a prompt, as in `bench/peers/language_worker.py`.
const PREFILL: usize = 512;
const SEQUENCE: usize = 128;
const PROMPT: usize = 8;
/// Words per task of the reader.
const PART: usize = 1 << 16;

enum Task {
    Prefill,
    Decode(Cache),
    Start {
        /// Whether the file is evicted from the page cache first.
        cold: bool,
    },
}

struct Workload {
    task: Task,
    file: PathBuf,
    model: Option<Model>,
    parameters: usize,
    threads: usize,
}

/// Sets up the workload `name` on the model in `file`.
///
/// # Errors
/// If Gyrus does not implement this workload, or the file is not a model.
pub(crate) fn create(name: &str, threads: usize, file: Option<&Path>) -> Result<Box<dyn Timed>> {
    let file = file.context("this workload needs a file")?.to_path_buf();
    let model = Model::open(&file)?;
    let config = model.decoder.config();
    let parameters = config.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum();
    let task = match name.split_once('-') {
        Some(("prefill", _)) => Task::Prefill,
        Some(("decode", _)) => Task::Decode(Cache::new(config)),
        Some(("start", _)) => Task::Start { cold: name.ends_with("-cold") },
        _ => bail!("Gyrus does not implement '{name}'"),
    };
    let model = (!matches!(task, Task::Start { .. })).then_some(model);
    Ok(Box::new(Workload { task, file, model, parameters, threads }))
}

/// The tokens, the same on both sides.
fn tokens(count: usize) -> Vec<u32> {
    (300..).take(count).collect()
}

impl Workload {
    fn step(&mut self) -> Result<()> {
        let opened;
        let model = match &self.model {
            Some(model) => model,
            None => {
                opened = Model::open(&self.file)?;
                &opened
            }
        };
        let decoder = &model.decoder;
        let (count, first) = match &self.task {
            Task::Prefill => (PREFILL, 0),
            Task::Start { .. } => (PROMPT, 0),
            Task::Decode(cache) => (1, cache.positions() % SEQUENCE),
        };
        let tokens = &tokens(first + count)[first..];
        let mut fresh = Cache::new(decoder.config());
        let cache = match &mut self.task {
            Task::Decode(cache) => {
                if first == 0 {
                    *cache = fresh;
                }
                cache
            }
            _ => &mut fresh,
        };
        let logits = decoder.forward(&mut [Sequence { tokens, cache, all_logits: false }])?;
        std::hint::black_box(logits);
        Ok(())
    }
}

impl Timed for Workload {
    fn steps(&mut self, count: usize) -> Result<Vec<f64>> {
        let threads = self.threads;
        let time = |_| {
            if let Task::Start { cold: true } = self.task {
                forget(&self.file)?;
            }
            let start = Instant::now();
            self.step()?;
            Ok(start.elapsed().as_secs_f64() * 1e6)
        };
        with_threads(threads, || (0..count).map(time).collect())?
    }

    fn parameters(&self) -> usize {
        self.parameters
    }
}

/// Evicts a file from the page cache, so that the next reader waits for the disk.
#[cfg(target_os = "linux")]
fn forget(file: &Path) -> Result<()> {
    use rustix::fs::{Advice, fadvise};
    let file = std::fs::File::open(file).context("cannot open the model")?;
    // Only pages that are on the disk can be evicted.
    file.sync_all().context("cannot write the model to the disk")?;
    fadvise(&file, 0, None, Advice::DontNeed).context("cannot evict the model from the page cache")
}

#[cfg(not(target_os = "linux"))]
fn forget(_: &Path) -> Result<()> {
    bail!("evicting a file from the page cache is implemented for Linux only")
}

/// Reads all weights once per step and does nothing else: the lower bound of decoding.
pub(crate) struct Reader {
    bytes: Bytes,
    parameters: usize,
    threads: usize,
}

impl Reader {
    /// The reader of `file`.
    ///
    /// # Errors
    /// If the file is not a model.
    pub(crate) fn new(name: &str, threads: usize, file: Option<&Path>) -> Result<Self> {
        let parameters = create(name, threads, file)?.parameters();
        Ok(Self { bytes: Bytes::map(file.context("this workload needs a file")?)?, parameters, threads })
    }
}

impl Timed for Reader {
    fn steps(&mut self, count: usize) -> Result<Vec<f64>> {
        let words = self.bytes.as_slice().as_chunks::<8>().0;
        let time = |_| {
            let start = Instant::now();
            let sum = words.par_chunks(PART).map(mix).reduce(|| 0, |a, b| a ^ b);
            std::hint::black_box(sum);
            start.elapsed().as_secs_f64() * 1e6
        };
        Ok(with_threads(self.threads, || (0..count).map(time).collect())?)
    }

    fn parameters(&self) -> usize {
        self.parameters
    }
}

/// XOR of all words, read with the widest vector registers of the machine.
fn mix(words: &[[u8; 8]]) -> u64 {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let mut lanes = [0u64; 32];
            for line in words.as_chunks::<32>().0 {
                for (lane, word) in lanes.iter_mut().zip(line) {
                    *lane ^= u64::from_le_bytes(*word);
                }
            }
            lanes.iter().fold(0, |a, b| a ^ b)
        },
    )
}

/// Writes the model of a workload `...-FORMAT` into `folder`, unless an earlier workload has done so.
///
/// # Errors
/// If Python cannot write it.
pub(crate) fn model(name: &str, peers: &Path, python: &Path, folder: &Path) -> Result<PathBuf> {
    let format = name.split('-').nth(1).context("expected a workload named TASK-FORMAT")?;
    let file = folder.join(format!("{format}.gguf"));
    if !file.exists() {
        let mut command = Command::new(python);
        command.arg(peers.join("random_llama.py")).arg(format).arg(&file);
        let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
        if !status.success() {
            bail!("{command:?} failed with {status}");
        }
    }
    Ok(file)
}
