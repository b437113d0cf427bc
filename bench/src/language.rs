//! Our side of the works with language models: `prefill-` reads 512 tokens, `decode-` reads one more token of a text,
//! `start-` opens the file and reads a prompt (`-cold`: from the disk), all on the file that `bench/peers/random_llama.py` writes;
//! and the reader that says how fast this machine's memory is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use gyrus_formats::Bytes;
use gyrus_language::{Cache, Model, Sequence};
use gyrus_tensor::with_threads;
use rayon::prelude::*;

use crate::timing::Timed;

/// Tokens that a prefill reads, of a text that decoding writes, and of a prompt: as in `bench/peers/language_worker.py`.
const PREFILL: usize = 512;
const TEXT: usize = 128;
const PROMPT: usize = 8;
/// Words that one task of the reader takes.
const PART: usize = 1 << 16;

enum Task {
    Prefill,
    Decode(Cache),
    Start {
        /// Whether the file is first taken out of the page cache.
        cold: bool,
    },
}

struct Work {
    task: Task,
    file: PathBuf,
    model: Option<Model>,
    parameters: usize,
    threads: usize,
}

/// Sets up the work `name` on the model in `file`.
///
/// # Errors
/// When there is no such work, or the file is no model.
pub(crate) fn create(name: &str, threads: usize, file: Option<&Path>) -> Result<Box<dyn Timed>> {
    let file = file.context("this work needs a file")?.to_path_buf();
    let model = Model::open(&file)?;
    let config = model.decoder.config();
    let parameters = config.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum();
    let task = match name.split_once('-') {
        Some(("prefill", _)) => Task::Prefill,
        Some(("decode", _)) => Task::Decode(Cache::new(config)),
        Some(("start", _)) => Task::Start { cold: name.ends_with("-cold") },
        _ => bail!("'{name}' has no implementation on our side"),
    };
    let model = (!matches!(task, Task::Start { .. })).then_some(model);
    Ok(Box::new(Work { task, file, model, parameters, threads }))
}

/// The tokens that both sides read.
fn tokens(count: usize) -> Vec<u32> {
    (300..).take(count).collect()
}

impl Work {
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
            Task::Decode(cache) => (1, cache.positions() % TEXT),
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

impl Timed for Work {
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

/// Takes a file out of the page cache, so that whoever opens it next waits for the disk.
#[cfg(target_os = "linux")]
fn forget(file: &Path) -> Result<()> {
    use rustix::fs::{Advice, fadvise};
    let file = std::fs::File::open(file).context("cannot open the model")?;
    // Only pages that are on the disk can go.
    file.sync_all().context("cannot write the model to the disk")?;
    fadvise(&file, 0, None, Advice::DontNeed).context("cannot take the model out of the page cache")
}

#[cfg(not(target_os = "linux"))]
fn forget(_: &Path) -> Result<()> {
    bail!("taking a file out of the page cache is known for Linux only")
}

/// Reads all weights once a step and does nothing else: as fast as decoding can be.
pub(crate) struct Reader {
    bytes: Bytes,
    parameters: usize,
    threads: usize,
}

impl Reader {
    /// The reader of `file`.
    ///
    /// # Errors
    /// When the file is no model.
    pub(crate) fn new(name: &str, threads: usize, file: Option<&Path>) -> Result<Self> {
        let parameters = create(name, threads, file)?.parameters();
        Ok(Self { bytes: Bytes::map(file.context("this work needs a file")?)?, parameters, threads })
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

/// All words in one, read by registers as wide as the machine has them.
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

/// Writes the model of a work, `...-FORMAT`, into `folder`, unless an earlier work did.
///
/// # Errors
/// When Python cannot write it.
pub(crate) fn model(name: &str, peers: &Path, python: &Path, folder: &Path) -> Result<PathBuf> {
    let format = name.split('-').nth(1).context("a work is TASK-FORMAT")?;
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
