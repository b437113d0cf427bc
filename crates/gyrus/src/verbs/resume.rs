//! Continuing an unfinished run.

use std::path::PathBuf;

use gyrus_language_train::TUNING_KIND;
use gyrus_sculpt_train::SHAPES_RUN_KIND;
use gyrus_train::RunFolder;

use super::learn::LearnReport;
use super::learn_language::LearnLanguageReport;
use super::learn_shapes::LearnShapesReport;
use super::spike::{Spike, SpikeReport};
use super::tune::TuneReport;
use super::{learn, learn_language, learn_shapes, spike, tune};
use crate::{Error, Observer, Result};

/// Continues an unfinished run, after an interruption or a crash: the result is the same, bit for bit, as without one. With
/// [`Self::epochs`], a finished one as well.
#[derive(Clone, Debug)]
pub struct Resume {
    /// The run folder.
    pub run: PathBuf,
    /// Folder or file with the data, if it is no longer where the run read it.
    pub directory: Option<PathBuf>,
    /// Worker threads; 0 for one per core. Results do not depend on it.
    pub threads: usize,
    /// Of a network that learns from examples: a new number of epochs, larger than the run has; a finished run is continued
    /// beyond its end.
    pub epochs: Option<u32>,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunKind {
    /// A network learns from examples.
    Learn,
    /// A language model learns from a corpus.
    LearnLanguage,
    /// A network learns shapes.
    LearnShapes,
    /// A language model is tuned on examples.
    Tune,
    /// A dense network becomes a spiking one.
    Spike,
}

/// The report of a run that was continued.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ResumeReport {
    /// Of a network that learned from examples.
    Learn(Box<LearnReport>),
    /// Of a language model that learned from a corpus.
    LearnLanguage(Box<LearnLanguageReport>),
    /// Of a network that learned shapes.
    LearnShapes(Box<LearnShapesReport>),
    /// Of a language model that was tuned.
    Tune(Box<TuneReport>),
    /// Of a network that became a spiking one.
    Spike(Box<SpikeReport>),
}

impl Resume {
    /// The run in this folder, on all cores.
    pub fn new(run: impl Into<PathBuf>) -> Self {
        Self { run: run.into(), directory: None, threads: 0, epochs: None }
    }

    /// What the run does, as far as the folder says.
    #[must_use]
    pub fn kind(&self) -> RunKind {
        if spike::is_unfinished(&self.run) {
            return RunKind::Spike;
        }
        let header = RunFolder::header(&self.run);
        match header.ok().and_then(|header| header.kind).as_deref() {
            None => RunKind::Learn,
            Some(TUNING_KIND) => RunKind::Tune,
            Some(SHAPES_RUN_KIND) => RunKind::LearnShapes,
            Some(_) => RunKind::LearnLanguage,
        }
    }

    /// Trains until the run is finished.
    ///
    /// # Errors
    /// If there is no such run, it is already finished, or its data has changed; and those of the verb that began it.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<ResumeReport> {
        let kind = self.kind();
        if self.epochs.is_some() && kind != RunKind::Learn {
            return Err(Error::Request(format!(
                "{} is a run that counts steps and not epochs, and is not continued beyond its end",
                self.run.display()
            )));
        }
        let (run, directory, threads) = (&self.run, self.directory.as_deref(), self.threads);
        Ok(match kind {
            RunKind::Learn => {
                let report = learn::resume(run, directory, (threads, self.epochs), observer)?;
                ResumeReport::Learn(Box::new(report))
            }
            RunKind::LearnLanguage => {
                let report = learn_language::resume(run, directory, threads, observer)?;
                ResumeReport::LearnLanguage(Box::new(report))
            }
            RunKind::LearnShapes => {
                ResumeReport::LearnShapes(Box::new(learn_shapes::resume(run, threads, observer)?))
            }
            RunKind::Tune => ResumeReport::Tune(Box::new(tune::resume(run, directory, threads, observer)?)),
            RunKind::Spike => {
                ResumeReport::Spike(Box::new(Spike::resume(&self.run, self.threads, observer)?))
            }
        })
    }
}
