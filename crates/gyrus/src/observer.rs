//! Watching a long-running verb: notes, the plan, progress, and stopping.

use std::fmt;
use std::ops::Range;

use gyrus_train::MetricsRow;

use crate::verbs::counted;

/// Watches a long-running verb. Every method has a default that does nothing.
pub trait Observer: Send {
    /// Something that a person should know, such as a skipped file.
    fn note(&mut self, _note: &Note<'_>) {}

    /// What a training will do, before its first step.
    fn plan(&mut self, _plan: &Plan) {}

    /// After a step of training.
    fn step(&mut self, _step: &Step) {}

    /// After the model was evaluated on validation examples; language models also show a sample of what they write.
    fn evaluated(&mut self, _row: &MetricsRow, _sample: Option<&str>) {}

    /// After the last step of a training, whether it finished or was stopped. A verb may train several times.
    fn trained(&mut self) {}

    /// While work is done that is not steps of training, such as measuring a network after some time steps.
    fn stage(&mut self, _stage: &Stage<'_>) {}

    /// Every 10 ms of simulated time.
    fn simulated(&mut self, _simulated: &Simulated<'_>) {}

    /// Whether training should save its state and stop. Asked after every step.
    fn wants_to_stop(&mut self) -> bool {
        false
    }
}

/// Sees nothing and never stops anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Observer for Quiet {}

/// Something that a person should know. Shown as one line.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Note<'a> {
    /// A file of the data could not be used.
    Skipped(&'a gyrus_data::Skipped),
    /// How many files could not be used.
    SkippedFiles {
        /// Their number.
        count: usize,
        /// "images" or "files".
        what: &'a str,
    },
    /// Anything else.
    Text(&'a str),
}

impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(file) => write!(f, "skipped {}: {}", file.path.display(), file.reason),
            Self::SkippedFiles { count: 1, what } => {
                write!(f, "1 {} skipped", what.strip_suffix('s').unwrap_or(what))
            }
            Self::SkippedFiles { count, what } => write!(f, "{count} {what} skipped"),
            Self::Text(text) => write!(f, "note: {text}"),
        }
    }
}

/// A step of training that was done.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Steps done, from 1.
    pub step: u64,
    /// Steps planned.
    pub steps: u64,
    /// The epoch, from 1, where training goes by epochs.
    pub epoch: Option<u32>,
    /// A running mean of the loss.
    pub loss: f64,
    /// Of language models.
    pub tokens_per_second: Option<f64>,
}

/// How far a part of the work is that is not steps of training.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// What is being done, such as "measuring after 8 steps".
    pub name: &'a str,
    /// Examples, files or bytes done.
    pub done: u64,
    /// Of how many.
    pub total: u64,
}

/// How far a simulation is.
#[derive(Clone, Copy, Debug)]
pub struct Simulated<'a> {
    /// Steps, spikes, time.
    pub progress: &'a gyrus_simulate::Progress<'a>,
    /// Name and neurons of each population.
    pub populations: &'a [(String, Range<u32>)],
}

impl Simulated<'_> {
    /// Spikes per neuron and second of each population since the step `since`; 0 where spikes are not recorded.
    #[must_use]
    pub fn rates_hz(&self, since: u64) -> Vec<f64> {
        let spikes = self.progress.spikes;
        let first = spikes.steps.partition_point(|step| u64::from(*step) < since);
        let mut counts = vec![0u64; self.populations.len()];
        for neuron in &spikes.neurons[first..] {
            let index = self.populations.partition_point(|(_, own)| own.end <= *neuron);
            if let Some(count) = counts.get_mut(index) {
                *count += 1;
            }
        }
        let seconds = self.progress.step.saturating_sub(since) as f64 * self.progress.dt_ms / 1e3;
        let rate = |(count, (_, own)): (u64, &(String, Range<u32>))| {
            count as f64 / (seconds * own.len() as f64).max(1e-12)
        };
        counts.into_iter().zip(self.populations).map(rate).collect()
    }
}

/// What a training run will do. Shown as one line.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Plan {
    /// A network learns from examples.
    Examples {
        /// The data set's name.
        data: String,
        /// Training examples.
        train: u64,
        /// Validation examples, by which the epoch is chosen.
        validation: u64,
        /// Test examples.
        test: u64,
        /// The blueprint's name.
        blueprint: String,
        /// Trained parameters.
        parameters: u64,
    },
    /// A language model learns from a corpus.
    Corpus {
        /// The corpus's name.
        data: String,
        /// Its characters.
        characters: u64,
        /// Its documents.
        documents: u64,
        /// Layers of the model.
        layers: usize,
        /// Elements of its residual stream.
        width: usize,
        /// Tokens of a window.
        context: usize,
        /// Steps of training.
        steps: u64,
    },
    /// A language model is tuned on examples.
    Tuning {
        /// The name of the examples.
        data: String,
        /// Their number.
        examples: usize,
        /// What they are, such as "conversations".
        kind: &'static str,
        /// Rank of the adapters; without, all weights are trained.
        rank: Option<usize>,
    },
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Examples { data, train, validation, test, blueprint, parameters } => write!(
                f,
                "{data}: {} training, {} validation, {}; blueprint {blueprint}, {}",
                count(*train),
                count(*validation),
                counted(*test, "test example"),
                counted(*parameters, "parameter")
            ),
            Self::Corpus { data, characters, documents, layers, width, context, steps } => write!(
                f,
                "{data}: {} in {}; {} of width {width}, context of {}, {}",
                counted(*characters, "character"),
                counted(*documents, "document"),
                counted(*layers as u64, "layer"),
                counted(*context as u64, "token"),
                counted(*steps, "step")
            ),
            Self::Tuning { data, examples, kind, rank } => {
                write!(f, "{data}: {} ({kind}); ", counted(*examples as u64, "example"))?;
                match rank {
                    Some(rank) => write!(f, "an adapter of rank {rank}"),
                    None => f.write_str("all weights"),
                }
            }
        }
    }
}

/// A number with its digits in groups of three.
fn count(number: u64) -> String {
    gyrus_report::grouped(number.into())
}
