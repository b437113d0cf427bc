//! The loop under every training of a decoder: steps, judgements, checkpoints, and the way back from one.
//!
//! The loop's whole state goes into the checkpoint and batches are a function of the step, so a run that is stopped or
//! killed and resumed goes through the same states, bit for bit, as one that is not.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gyrus_files::{State, from_safetensors, to_safetensors};
use gyrus_train::{MetricsRow, RunFolder, RunStatus, Schedule, TrainError};
use serde::{Deserialize, Serialize};

use crate::folder::refused;
use crate::{DecoderOptimizer, Result, TextBatch, TextObserver, TextProgress, TrainableDecoder};

/// Time between checkpoints between two judgements.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
/// Tokens that a judgement on the way looks at, at most.
const JUDGED_TOKENS: usize = 1 << 15;

/// What one kind of training has of its own.
pub(crate) trait Lesson {
    /// What a step learns from; the same for equal steps.
    fn batches(&self, step: u64) -> Vec<TextBatch>;
    /// Batches to judge by, of at most about `tokens` tokens together; none where nothing was kept for it.
    fn validation(&self, tokens: usize) -> Box<dyn Iterator<Item = TextBatch> + '_>;
    /// What the model writes.
    fn sample(&self, decoder: &TrainableDecoder, state: &State) -> Result<String>;
    /// Writes the model for others.
    fn write(&self, decoder: &TrainableDecoder, state: &State) -> Result<()>;
    /// Notes in `run.json` how far the run came.
    fn note(&mut self, status: RunStatus, train_seconds: f64) -> Result<()>;
}

/// How steps are taken.
pub(crate) struct Plan {
    /// SHA-256 of what is learnt from.
    pub(crate) fingerprint: String,
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    pub(crate) judge_every: u64,
    pub(crate) learning_rate: f64,
    pub(crate) schedule: Schedule,
}

/// How a training ended.
pub(crate) enum Ended {
    Finished {
        chosen_step: u64,
        /// Not a number where nothing was kept to judge by.
        validation_loss: f64,
        sample: String,
        train_seconds: f64,
    },
    Interrupted {
        step: u64,
    },
}

/// Everything about the loop that is not a tensor.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct LoopState {
    fingerprint: String,
    step: u64,
    /// Judgements so far.
    judgements: u32,
    /// Since the last judgement.
    loss_sum: f64,
    steps_since: u64,
    seconds_since: f64,
    train_seconds: f64,
    best_step: u64,
    /// Absent before the first judgement.
    best_loss: Option<f64>,
}

pub(crate) struct Loop<'a, L> {
    lesson: L,
    plan: Plan,
    folder: &'a RunFolder,
    decoder: TrainableDecoder,
    optimizer: DecoderOptimizer,
    state: LoopState,
    best: State,
}

impl<'a, L: Lesson> Loop<'a, L> {
    pub(crate) fn new(
        lesson: L,
        plan: Plan,
        folder: &'a RunFolder,
        decoder: TrainableDecoder,
        optimizer: DecoderOptimizer,
    ) -> Self {
        let state = LoopState { fingerprint: plan.fingerprint.clone(), ..LoopState::default() };
        Self { lesson, plan, folder, decoder, optimizer, state, best: State::new() }
    }

    /// Runs to the end, or until the observer stops it. `resume` goes on from the checkpoint, if there is one.
    pub(crate) fn run(mut self, resume: bool, observer: &mut dyn TextObserver) -> Result<(Ended, L)> {
        if resume {
            self.restore()?;
        }
        self.lesson.note(RunStatus::Running, self.state.train_seconds)?;
        self.folder.truncate_metrics(self.state.judgements)?;
        let ended = self.steps(observer)?;
        Ok((ended, self.lesson))
    }

    fn steps(&mut self, observer: &mut dyn TextObserver) -> Result<Ended> {
        let Plan { steps, judge_every, .. } = self.plan;
        let (start, mut tokens) = (Instant::now(), 0);
        let (mut clock, mut saved) = (Instant::now(), Instant::now());
        while self.state.step < steps {
            tokens += self.step()?;
            let done = self.state.step;
            observer.step(&TextProgress {
                step: done,
                steps,
                loss: self.state.loss_sum / self.state.steps_since as f64,
                tokens_per_second: tokens as f64 / start.elapsed().as_secs_f64(),
            });
            let judge = done.is_multiple_of(judge_every) || done == steps;
            let stop = observer.wants_to_stop() && done < steps;
            if judge {
                let (row, sample) = self.judge(&mut clock)?;
                saved = Instant::now();
                observer.judged(&row, &sample);
            } else if stop || saved.elapsed() >= CHECKPOINT_EVERY {
                self.tick(&mut clock);
                self.save()?;
                saved = Instant::now();
            }
            if stop {
                self.lesson.note(RunStatus::Interrupted, self.state.train_seconds)?;
                return Ok(Ended::Interrupted { step: done });
            }
        }
        self.finish(clock)
    }

    /// One step; returns how many tokens it learnt from.
    fn step(&mut self) -> Result<usize> {
        let Plan { seed, steps, learning_rate, .. } = self.plan;
        let batches = self.lesson.batches(self.state.step);
        let rate = learning_rate * self.plan.schedule.factor(self.state.step, steps);
        let stream = crate::random::mixed(seed) ^ self.state.step;
        let (loss, norm) = self.optimizer.learn(&mut self.decoder, &batches, rate as f32, stream);
        if !loss.is_finite() || !norm.is_finite() {
            return Err(TrainError::Diverged {
                epoch: self.state.judgements + 1,
                step: self.state.step + 1,
                learning_rate,
            }
            .into());
        }
        self.state.step += 1;
        self.state.steps_since += 1;
        self.state.loss_sum += loss;
        Ok(batches.iter().map(TextBatch::len).sum())
    }

    fn tick(&mut self, clock: &mut Instant) {
        let seconds = clock.elapsed().as_secs_f64();
        *clock = Instant::now();
        self.state.seconds_since += seconds;
        self.state.train_seconds += seconds;
    }

    /// The mean loss over what was kept to judge by, at most about `tokens` tokens; not a number where that is nothing.
    fn validation_loss(&self, tokens: usize) -> f64 {
        let (mut sum, mut counted) = (0.0, 0);
        for batch in self.lesson.validation(tokens) {
            sum += f64::from(self.decoder.loss(&batch)) * batch.counted() as f64;
            counted += batch.counted();
        }
        sum / counted as f64
    }

    fn judge(&mut self, clock: &mut Instant) -> Result<(MetricsRow, String)> {
        let Plan { steps, learning_rate, .. } = self.plan;
        let loss = self.validation_loss(JUDGED_TOKENS);
        self.state.judgements += 1;
        let state = self.decoder.state();
        let sample = self.lesson.sample(&self.decoder, &state)?;
        // Where nothing judges, the last model is kept.
        if loss.is_nan() || self.state.best_loss.is_none_or(|best| loss <= best) {
            self.state.best_loss = (!loss.is_nan()).then_some(loss);
            self.state.best_step = self.state.step;
            self.lesson.write(&self.decoder, &state)?;
            self.best = state;
        }
        self.tick(clock);
        let row = MetricsRow {
            epoch: self.state.judgements,
            step: self.state.step,
            learning_rate: learning_rate * self.plan.schedule.factor(self.state.step - 1, steps),
            train_loss: self.state.loss_sum / self.state.steps_since.max(1) as f64,
            train_accuracy: None,
            validation_loss: loss,
            validation_accuracy: None,
            seconds: self.state.seconds_since,
        };
        self.state.loss_sum = 0.0;
        self.state.steps_since = 0;
        self.state.seconds_since = 0.0;
        self.folder.append_metrics(&row)?;
        self.save()?;
        Ok((row, sample))
    }

    fn finish(&mut self, mut clock: Instant) -> Result<Ended> {
        self.decoder.load_state(&self.best)?;
        let validation_loss = self.validation_loss(usize::MAX);
        let sample = self.lesson.sample(&self.decoder, &self.best)?;
        self.lesson.write(&self.decoder, &self.best)?;
        self.tick(&mut clock);
        let LoopState { best_step: chosen_step, train_seconds, .. } = self.state;
        Ok(Ended::Finished { chosen_step, validation_loss, sample, train_seconds })
    }

    /// Writes everything to resume from as one file.
    fn save(&self) -> Result<()> {
        let mut all = State::new();
        let parts = [
            ("model", self.decoder.state()),
            ("optimizer", self.optimizer.state(&self.decoder)),
            ("best", self.best.clone()),
        ];
        for (part, state) in parts {
            all.extend(state.into_iter().map(|(name, tensor)| (format!("{part}/{name}"), tensor)));
        }
        let text = serde_json::to_string(&self.state).map_err(|error| refused(&error))?;
        let metadata = BTreeMap::from([("loop".to_owned(), text)]);
        let bytes = to_safetensors(&all, &metadata).map_err(|error| refused(&error))?;
        Ok(self.folder.write_checkpoint(&bytes)?)
    }

    fn restore(&mut self) -> Result<()> {
        // A run that was killed before its first checkpoint starts from the beginning.
        let Some(bytes) = self.folder.read_checkpoint()? else { return Ok(()) };
        let (all, metadata) = from_safetensors(&bytes).map_err(|error| refused(&error))?;
        let text = metadata.get("loop").ok_or_else(|| refused(&"no state of the loop"))?;
        let state: LoopState = serde_json::from_str(text).map_err(|error| refused(&error))?;
        if state.fingerprint != self.state.fingerprint {
            return Err(TrainError::OtherData { run: self.folder.path().to_owned() }.into());
        }
        if state.step > self.plan.steps {
            return Err(refused(&format!("{} steps done", state.step)));
        }
        let part = |name: &str| -> State {
            let prefix = format!("{name}/");
            let inside = all.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?, tensor)));
            inside.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
        };
        self.best = part("best");
        if state.judgements > 0 {
            // Whether it fits shows here rather than after the last step.
            self.decoder.load_state(&self.best)?;
        }
        self.decoder.load_state(&part("model"))?;
        self.optimizer.load_state(&self.decoder, &part("optimizer"), state.step)?;
        self.state = state;
        Ok(())
    }
}
