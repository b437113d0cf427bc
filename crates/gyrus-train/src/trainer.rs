//! The training loop: steps, evaluations, checkpoints, and the way back from one.
//!
//! One loop serves every kind of training. What a kind has of its own is a [`TrainingTask`]: the gradients of a step, how good
//! the model is, and the files that it leaves. The [`Trainer`] does the rest: it asks for gradients, lets the [`Optimizer`] step
//! against them, has the model evaluated every few steps, keeps the best weights, writes `metrics.jsonl` and the checkpoint.
//!
//! The loop's whole state (parameters, moments, counters, sums, the best weights so far) goes into the checkpoint, and what a
//! step learns from is a function of the step: a run that is stopped or killed and resumed goes through the same states, bit
//! for bit, as one that is not.

mod checkpoint;

use std::time::{Duration, Instant};

use gyrus_nn::State;
use gyrus_tensor::Tensor;

use crate::{
    Error, MetricsRow, Observer, Optimizer, Outcome, Progress, RunFolder, RunStatus, SavedRecord, Schedule,
    Trainable,
};
use checkpoint::LoopState;

/// Time between checkpoints between two evaluations.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
/// Points of a learning curve over the whole training, about, and of one epoch at most.
const CURVE_POINTS: u64 = 512;
const EPOCH_POINTS: u64 = 64;

/// What one kind of training has of its own.
pub trait TrainingTask {
    /// What is trained.
    type Model: Trainable;
    /// The record in `run.json`.
    type Record: SavedRecord;
    /// What can go wrong.
    type Error: From<Error> + From<<Self::Model as Trainable>::Error>;

    /// Loss and gradients of step `step`, counted from 0. They depend on the model and on `step`, and on nothing that was
    /// computed before.
    ///
    /// # Errors
    /// If the gradients cannot be computed.
    fn gradients(&mut self, model: &mut Self::Model, step: u64) -> Result<Gradients, Self::Error>;

    /// How good the model is on data that it is not trained on; `None` where none was set aside, then the last weights are
    /// kept.
    ///
    /// # Errors
    /// If the model cannot be evaluated.
    fn evaluate(&self, model: &Self::Model) -> Result<Option<Score>, Self::Error>;

    /// What the model writes with these weights; empty for models that do not write.
    ///
    /// # Errors
    /// If the model cannot be run.
    fn sample(&self, _model: &Self::Model, _weights: &State) -> Result<String, Self::Error> {
        Ok(String::new())
    }

    /// Writes these weights into the run folder, in the form in which they are used later.
    ///
    /// # Errors
    /// If they cannot be written.
    fn write_model(&self, model: &Self::Model, weights: &State) -> Result<(), Self::Error>;

    /// The record of the run.
    fn record_mut(&mut self) -> &mut Self::Record;
}

/// What one step learns from.
#[derive(Debug)]
pub struct Gradients {
    /// The mean loss.
    pub loss: f64,
    /// One per parameter, in the order of [`Trainable::parameters`]; a parameter without one stays as it is.
    pub gradients: Vec<Option<Tensor<1>>>,
    /// The factor on all gradients.
    pub scale: f32,
    /// Examples or tokens of this step.
    pub count: usize,
}

/// How good a model is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Mean loss.
    pub loss: f64,
    /// Share that was classified correctly, 0 to 1; where there is one, it decides before the loss.
    pub accuracy: Option<f64>,
    /// Whether the loss decides alone, because the accuracy is that of a few examples.
    pub by_loss: bool,
}

/// How a training runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// SHA-256 of the data; a checkpoint of a run on other data is refused.
    pub fingerprint: String,
    /// Steps of the whole training.
    pub steps: u64,
    /// Steps from one evaluation to the next, at least 1; the last step is followed by one in any case.
    pub evaluate_every: u64,
    /// The highest learning rate of the schedule.
    pub learning_rate: f64,
    /// How the learning rate changes over the steps.
    pub schedule: Schedule,
}

/// A finished training.
pub struct Trained<T: TrainingTask> {
    /// The task, with the record of the run.
    pub task: T,
    /// The model, with the best weights.
    pub model: T::Model,
    /// The best weights.
    pub weights: State,
    /// The step after which the model had them.
    pub best_step: u64,
    /// Seconds of training and evaluation, over all parts of a resumed run.
    pub train_seconds: f64,
}

/// One training: a task, a model, an optimizer, and the state of the loop.
pub struct Trainer<'a, T: TrainingTask> {
    task: T,
    plan: Plan,
    folder: &'a RunFolder,
    model: T::Model,
    optimizer: Optimizer,
    state: LoopState,
    /// The best weights so far; empty before the first evaluation.
    best: State,
    /// When the state's seconds were last brought up to date.
    clock: Instant,
}

impl<'a, T: TrainingTask> Trainer<'a, T> {
    /// A training that has not begun.
    pub fn new(task: T, plan: Plan, folder: &'a RunFolder, model: T::Model, optimizer: Optimizer) -> Self {
        let state = LoopState { fingerprint: plan.fingerprint.clone(), ..LoopState::default() };
        Self { task, plan, folder, model, optimizer, state, best: State::new(), clock: Instant::now() }
    }

    /// Goes on from the checkpoint in the run folder; a run that was killed before its first checkpoint starts again.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a checkpoint that is damaged or does not fit, [`Error::OtherData`] for one of a run on other
    /// data, [`Error::TooLarge`], [`Error::Io`], and what the model says of weights that do not fit.
    pub fn restore(&mut self) -> Result<(), T::Error> {
        let Some(bytes) = self.folder.read_checkpoint()? else { return Ok(()) };
        let (state, parts) = checkpoint::read(&bytes, &self.plan, self.folder)?;
        self.best = parts.best;
        if state.evaluations > 0 {
            // Whether it fits shows here rather than after the last step.
            self.model.load_state(&self.best)?;
        }
        self.model.load_state(&parts.model)?;
        self.optimizer.load_state(&self.model, &parts.optimizer, state.step)?;
        self.state = state;
        Ok(())
    }

    /// Trains to the end, or until the observer stops it.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the loss stops being a number, [`Error::Io`] if the run folder cannot be written, and what the
    /// task says.
    pub fn run(mut self, observer: &mut dyn Observer) -> Result<Outcome<Trained<T>>, T::Error> {
        self.write_status(RunStatus::Running)?;
        self.folder.truncate_metrics(self.state.evaluations)?;
        let steps = self.plan.steps;
        let (start, mut count) = (Instant::now(), 0);
        self.clock = start;
        let mut saved = start;
        // Earlier versions could stop between the last step of an epoch and its evaluation.
        if self.state.steps_since > 0 && self.is_evaluated_now() {
            self.evaluate(observer)?;
        }
        while self.state.step < steps {
            count += match self.step() {
                Ok(count) => count,
                Err(error) => {
                    self.tick();
                    self.write_status(RunStatus::Diverged)?;
                    return Err(error);
                }
            };
            observer.step(&Progress {
                epoch: self.state.evaluations + 1,
                step: self.state.step,
                steps,
                loss: self.state.loss_sum / self.state.steps_since as f64,
                per_second: count as f64 / start.elapsed().as_secs_f64(),
            });
            let stop = observer.wants_to_stop() && self.state.step < steps;
            if self.is_evaluated_now() {
                self.evaluate(observer)?;
                saved = Instant::now();
            } else if stop || saved.elapsed() >= CHECKPOINT_EVERY {
                self.tick();
                self.save(self.model.state())?;
                saved = Instant::now();
            }
            if stop {
                self.write_status(RunStatus::Interrupted)?;
                return Ok(Outcome::Interrupted { step: self.state.step, steps });
            }
        }
        self.finish()
    }

    /// Whether an evaluation follows the last step.
    fn is_evaluated_now(&self) -> bool {
        self.state.step.is_multiple_of(self.plan.evaluate_every) || self.state.step == self.plan.steps
    }

    /// The learning rate of a step, counted from 0.
    fn learning_rate(&self, step: u64) -> f64 {
        self.plan.learning_rate * self.plan.schedule.factor(step, self.plan.steps)
    }

    /// One step; returns how many examples or tokens it learned from.
    fn step(&mut self) -> Result<usize, T::Error> {
        let Gradients { loss, gradients, scale, count } =
            self.task.gradients(&mut self.model, self.state.step)?;
        // Where several machines train one model, the sum over all of them will be taken here.
        let rate = self.learning_rate(self.state.step) as f32;
        let stepped = || {
            let norm = self.optimizer.step_scaled(&mut self.model, gradients, scale, rate);
            norm.is_none_or(f32::is_finite)
        };
        if !(loss.is_finite() && stepped()) {
            return Err(Error::Diverged {
                epoch: self.state.evaluations + 1,
                step: self.state.step + 1,
                learning_rate: self.plan.learning_rate,
            }
            .into());
        }
        self.state.step += 1;
        self.state.steps_since += 1;
        self.state.loss_sum += loss;
        self.state.piece_sum += loss;
        self.state.piece_steps += 1;
        if self.state.piece_steps >= self.piece_steps() {
            self.end_piece();
        }
        Ok(count)
    }

    /// Steps of a piece of an epoch, whose mean loss is a point of the learning curve.
    fn piece_steps(&self) -> u64 {
        let every = self.plan.evaluate_every;
        let pieces = CURVE_POINTS / self.plan.steps.div_ceil(every).max(1);
        every.div_ceil(pieces.clamp(1, EPOCH_POINTS))
    }

    fn end_piece(&mut self) {
        let LoopState { step, piece_sum, piece_steps, .. } = self.state;
        self.state.pieces.push((step, piece_sum / piece_steps as f64));
        (self.state.piece_sum, self.state.piece_steps) = (0.0, 0);
    }

    fn tick(&mut self) {
        let seconds = self.clock.elapsed().as_secs_f64();
        self.clock = Instant::now();
        self.state.seconds_since += seconds;
        self.state.train_seconds += seconds;
    }

    fn evaluate(&mut self, observer: &mut dyn Observer) -> Result<(), T::Error> {
        let score = self.task.evaluate(&self.model)?;
        let weights = self.model.state();
        let sample = self.task.sample(&self.model, &weights)?;
        if self.state.count_evaluation(score) {
            self.task.write_model(&self.model, &weights)?;
            self.best.clone_from(&weights);
        }
        self.tick();
        if self.state.piece_steps > 0 {
            self.end_piece();
        }
        let pieces = std::mem::take(&mut self.state.pieces);
        let row = MetricsRow {
            epoch: self.state.evaluations,
            step: self.state.step,
            learning_rate: self.learning_rate(self.state.step - 1),
            train_loss: self.state.loss_sum / self.state.steps_since.max(1) as f64,
            train_accuracy: None,
            validation_loss: score.map_or(f64::NAN, |score| score.loss),
            validation_accuracy: score.and_then(|score| score.accuracy),
            seconds: self.state.seconds_since,
            // One piece says no more than the epoch does.
            losses: if pieces.len() > 1 { pieces } else { Vec::new() },
        };
        self.state.steps_since = 0;
        self.state.loss_sum = 0.0;
        self.state.seconds_since = 0.0;
        self.folder.append_metrics(&row)?;
        self.save(weights)?;
        observer.evaluated(&row, &sample);
        Ok(())
    }

    fn finish(mut self) -> Result<Outcome<Trained<T>>, T::Error> {
        if self.state.evaluations > 0 {
            self.model.load_state(&self.best)?;
        } else {
            self.best = self.model.state();
        }
        self.task.write_model(&self.model, &self.best)?;
        let LoopState { best_step, train_seconds, .. } = self.state;
        let Self { task, model, best: weights, .. } = self;
        Ok(Outcome::Finished(Trained { task, model, weights, best_step, train_seconds }))
    }

    /// Notes in `run.json` how far the run is.
    fn write_status(&mut self, status: RunStatus) -> Result<(), T::Error> {
        let record = self.task.record_mut();
        record.set_status(status);
        if status != RunStatus::Running {
            record.timings_mut().train_seconds = self.state.train_seconds;
        }
        Ok(self.folder.write_record(record)?)
    }

    /// Writes everything to resume from as one file; `weights` are those that the model has now.
    fn save(&self, weights: State) -> Result<(), T::Error> {
        let parts = checkpoint::Parts {
            model: weights,
            optimizer: self.optimizer.state(&self.model),
            best: self.best.clone(),
        };
        Ok(self.folder.write_checkpoint(&checkpoint::bytes(&self.state, parts)?)?)
    }
}
