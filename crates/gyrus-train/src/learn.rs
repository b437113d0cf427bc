//! The training loop: from a data set and a blueprint to a run folder.
//!
//! The loop's whole state (parameters, moments, counters, the best model so far) goes into the checkpoint, and every
//! random number is a function of (seed, epoch, index) or (seed, step): a run that is killed and resumed goes through
//! the same states, bit for bit, as one that is not.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gyrus_blueprint::Blueprint;
use gyrus_data::{Dataset, Examples, Targets, epoch_order, fill_batch, split_indices};
use gyrus_nn::{Network, State, from_safetensors, to_safetensors};
use gyrus_tensor::{Device, Operation, filled_tensor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::evaluate::evaluate;
use crate::{
    Evaluation, MetricsRow, Optimizer, PartMetrics, Results, RunFolder, RunRecord, RunStatus, Schedule,
    Settings, TrainError,
};

/// Time between checkpoints within an epoch.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// Who watches a training, and may stop it.
pub trait Observer {
    /// After each step.
    fn step(&mut self, progress: &Progress);
    /// After each epoch.
    fn epoch(&mut self, row: &MetricsRow, epochs: u32);
    /// Asked after each step; true saves and ends the training.
    fn wants_to_stop(&mut self) -> bool {
        false
    }
}

/// Where a training is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// From 1.
    pub epoch: u32,
    /// Of all epochs together, from 1.
    pub step: u64,
    /// Of the whole training.
    pub steps: u64,
    /// Mean over the epoch so far.
    pub loss: f64,
}

/// How a training ended.
pub enum Outcome {
    /// All epochs are done; the best model is in the run folder, and this is what it came to. Until
    /// [`RunFolder::finish`] is called the run can still be resumed.
    Finished {
        /// On the test examples.
        test: Evaluation,
        /// The finished record, results included.
        record: Box<RunRecord>,
    },
    /// Stopped by the observer; everything to resume is in the run folder.
    Interrupted {
        /// Steps done, and of how many.
        step: u64,
        /// Of the whole training.
        steps: u64,
    },
}

/// Everything about the loop that is not a tensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct LoopState {
    fingerprint: String,
    /// Epochs done.
    epoch: u32,
    /// Steps done in all.
    step: u64,
    /// Steps done in this epoch, and what they came to.
    epoch_step: u64,
    loss_sum: f64,
    epoch_seconds: f64,
    train_seconds: f64,
    best_epoch: u32,
    /// Infinite, which JSON writes as `null`, before the first judgement.
    #[serde(deserialize_with = "number_or_infinity")]
    best_loss: f64,
    best_accuracy: f64,
}

fn number_or_infinity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
}

/// The loss of outputs against the targets at `indices`.
#[must_use]
pub fn loss_operation(targets: &Targets, indices: &[u32], classes: usize, smoothing: f32) -> Operation {
    match targets {
        Targets::Classes(all) => {
            let targets = indices.iter().map(|&i| all[i as usize]).collect();
            Operation::CrossEntropy { targets, classes, smoothing }
        }
        Targets::Values(all) => {
            Operation::MeanSquaredError { targets: indices.iter().map(|&i| all[i as usize]).collect() }
        }
    }
}

/// How many outputs a network for this data set has.
#[must_use]
pub fn outputs(dataset: &Dataset) -> usize {
    match &dataset.task {
        gyrus_data::Task::Classification { classes } => classes.len(),
        gyrus_data::Task::Regression { .. } => 1,
    }
}

/// Which of the examples to train on, and which to validate on: 10 % of up to 20,000 examples are held back, about
/// 3,000 of more; always the same for a data set, whatever the seed of the run.
#[must_use]
pub fn split_validation(train: &Examples) -> (Vec<usize>, Vec<usize>) {
    let fraction = (3000.0 / train.len().max(1) as f64).min(0.1);
    split_indices(&train.targets, 1.0 - fraction, 0)
}

/// Whether `blueprint` can be trained with these settings, before anything is written.
///
/// # Errors
/// If a setting has an unknown name, a node has no dense body, or the network is too large for the memory.
pub fn check(blueprint: &Blueprint, settings: &Settings) -> Result<(), TrainError> {
    Schedule::from_name(&settings.schedule)?;
    Optimizer::check_name(&settings.optimizer)?;
    Ok(Network::check(blueprint, settings.spiking.as_ref())?)
}

struct Loop<'a> {
    dataset: &'a Dataset,
    /// Indices into the data set's training part.
    train: Vec<usize>,
    validation: Examples,
    record: RunRecord,
    folder: &'a RunFolder,
    network: Network,
    optimizer: Optimizer,
    schedule: Schedule,
    state: LoopState,
    best: State,
    steps_per_epoch: u64,
    batch: usize,
}

/// What a training begins with.
#[derive(Clone, Copy, Debug)]
pub enum Begin<'a> {
    /// Fresh parameters, by the seed.
    Fresh,
    /// These parameters, to tune them.
    State(&'a State),
    /// The checkpoint in the run folder, if there is one.
    Checkpoint,
}

/// Trains `blueprint` on `dataset` as `record` says, in `folder`.
///
/// # Errors
/// If a setting is unknown, the blueprint does not fit, the run folder cannot be written, the checkpoint is not of this run,
/// or the loss stops being a number.
pub fn learn(
    dataset: &Dataset,
    blueprint: &Blueprint,
    record: RunRecord,
    folder: &RunFolder,
    device: &Device,
    begin: Begin<'_>,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let (start, resume) = match begin {
        Begin::Fresh => (None, false),
        Begin::State(state) => (Some(state), false),
        Begin::Checkpoint => (None, true),
    };
    let (train, held_back) = split_validation(&dataset.train);
    let validation = dataset.train.subset(&held_back);
    let settings = &record.settings;
    let network = match start {
        Some(state) => Network::with_state(blueprint, settings.spiking.as_ref(), state, device)?,
        None => Network::with(blueprint, settings.spiking.as_ref(), settings.seed, device)?,
    };
    let optimizer = Optimizer::new(&settings.optimizer, settings.weight_decay as f32, &network)?;
    let schedule = Schedule::from_name(&settings.schedule)?;
    // The last examples of an order that do not fill a batch wait for another epoch.
    let batch = settings.batch_size.clamp(1, train.len().max(1));
    let steps_per_epoch = (train.len() / batch) as u64;
    let state = LoopState {
        fingerprint: dataset.fingerprint.clone(),
        best_loss: f64::INFINITY,
        best_accuracy: -1.0,
        ..LoopState::default()
    };
    let best = network.state();
    let mut this = Loop {
        dataset,
        train,
        validation,
        record,
        folder,
        network,
        optimizer,
        schedule,
        state,
        best,
        steps_per_epoch,
        batch,
    };
    if resume {
        if this.record.data.fingerprint != dataset.fingerprint {
            return Err(TrainError::OtherData { run: folder.path().to_owned() });
        }
        this.restore()?;
    }
    this.record.status = RunStatus::Running;
    folder.write_record(&this.record)?;
    folder.truncate_metrics(this.state.epoch)?;
    this.run(observer)
}

impl Loop<'_> {
    fn run(&mut self, observer: &mut dyn Observer) -> Result<Outcome, TrainError> {
        let epochs = self.record.settings.epochs;
        let steps = self.steps_per_epoch * u64::from(epochs);
        let mut saved = Instant::now();
        let mut buffer = Vec::new();
        while self.state.epoch < epochs {
            let mut clock = Instant::now();
            let mut order = epoch_order(self.train.len(), self.record.settings.seed, self.state.epoch.into());
            order.iter_mut().for_each(|place| *place = self.train[*place as usize] as u32);
            let batches = order.chunks_exact(self.batch).skip(self.state.epoch_step as usize);
            for indices in batches {
                self.step(indices, steps, &mut buffer)?;
                let loss = self.state.loss_sum / self.state.epoch_step as f64;
                let progress = Progress { epoch: self.state.epoch + 1, step: self.state.step, steps, loss };
                observer.step(&progress);
                let stop = observer.wants_to_stop() && self.state.step < steps;
                if stop
                    || (saved.elapsed() >= CHECKPOINT_EVERY && self.state.epoch_step < self.steps_per_epoch)
                {
                    self.tick(&mut clock);
                    self.save()?;
                    saved = Instant::now();
                }
                if stop {
                    self.record.status = RunStatus::Interrupted;
                    self.record.timings.train_seconds = self.state.train_seconds;
                    self.folder.write_record(&self.record)?;
                    return Ok(Outcome::Interrupted { step: self.state.step, steps });
                }
            }
            let row = self.end_epoch(clock)?;
            saved = Instant::now();
            observer.epoch(&row, epochs);
        }
        self.finish()
    }

    fn step(&mut self, indices: &[u32], steps: u64, buffer: &mut Vec<f32>) -> Result<(), TrainError> {
        let settings = &self.record.settings;
        let augment = (&settings.augment, settings.seed, u64::from(self.state.epoch));
        let train = &self.dataset.train;
        fill_batch(train, &self.dataset.preprocessing, indices, Some(augment), buffer);
        let x = filled_tensor(indices.len(), buffer.len() / indices.len(), |x| x.copy_from_slice(buffer));
        let classes = outputs(self.dataset);
        let loss = loss_operation(&train.targets, indices, classes, settings.label_smoothing as f32);
        let noise = settings.seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(self.state.step);
        let (loss, gradients) = self.network.gradients(x.to_device(self.network.device()), noise, loss)?;
        if !loss.is_finite() {
            return Err(TrainError::Diverged {
                epoch: self.state.epoch + 1,
                step: self.state.step + 1,
                learning_rate: settings.learning_rate,
            });
        }
        let rate = settings.learning_rate * self.schedule.factor(self.state.step, steps);
        self.optimizer.step(&mut self.network, gradients, rate as f32);
        self.state.step += 1;
        self.state.epoch_step += 1;
        self.state.loss_sum += f64::from(loss);
        Ok(())
    }

    fn tick(&mut self, clock: &mut Instant) {
        let seconds = clock.elapsed().as_secs_f64();
        *clock = Instant::now();
        self.state.epoch_seconds += seconds;
        self.state.train_seconds += seconds;
    }

    fn end_epoch(&mut self, mut clock: Instant) -> Result<MetricsRow, TrainError> {
        let preprocessing = &self.dataset.preprocessing;
        let judged = evaluate(&self.network, &self.validation, preprocessing, &self.dataset.task).metrics;
        let accuracy = judged.accuracy.unwrap_or(0.0);
        let loss = if judged.loss.is_nan() { f64::INFINITY } else { judged.loss };
        let better = accuracy > self.state.best_accuracy
            || (accuracy == self.state.best_accuracy && loss <= self.state.best_loss);
        self.state.epoch += 1;
        if better {
            self.state.best_epoch = self.state.epoch;
            self.state.best_accuracy = accuracy;
            self.state.best_loss = loss;
            self.best = self.network.state();
            self.folder.write_model(&to_safetensors(&self.best, &BTreeMap::new())?)?;
        }
        self.tick(&mut clock);
        let settings = &self.record.settings;
        let steps = self.steps_per_epoch * u64::from(settings.epochs);
        let row = MetricsRow {
            epoch: self.state.epoch,
            step: self.state.step,
            learning_rate: settings.learning_rate * self.schedule.factor(self.state.step - 1, steps),
            train_loss: self.state.loss_sum / self.state.epoch_step.max(1) as f64,
            train_accuracy: None,
            validation_loss: judged.loss,
            validation_accuracy: judged.accuracy,
            seconds: self.state.epoch_seconds,
        };
        self.state.epoch_step = 0;
        self.state.loss_sum = 0.0;
        self.state.epoch_seconds = 0.0;
        self.folder.append_metrics(&row)?;
        self.save()?;
        Ok(row)
    }

    fn finish(&mut self) -> Result<Outcome, TrainError> {
        let clock = Instant::now();
        self.network.load_state(&self.best)?;
        let part = |examples: &Examples| -> Evaluation {
            evaluate(&self.network, examples, &self.dataset.preprocessing, &self.dataset.task)
        };
        let test = part(&self.dataset.test);
        let some = |evaluation: Evaluation| -> Option<PartMetrics> { Some(evaluation.metrics) };
        self.record.results = Some(Results {
            chosen_epoch: self.state.best_epoch,
            train: None,
            validation: some(part(&self.validation)),
            test: Some(test.metrics.clone()),
        });
        self.record.status = RunStatus::Finished;
        self.record.timings.train_seconds = self.state.train_seconds;
        self.record.timings.test_seconds = clock.elapsed().as_secs_f64();
        self.folder.write_model(&to_safetensors(&self.best, &BTreeMap::new())?)?;
        Ok(Outcome::Finished { test, record: Box::new(self.record.clone()) })
    }

    /// Writes everything to resume from as one file.
    fn save(&self) -> Result<(), TrainError> {
        let mut all = State::new();
        let parts = [
            ("network", self.network.state()),
            ("optimizer", self.optimizer.state(&self.network)),
            ("best", self.best.clone()),
        ];
        for (part, state) in parts {
            all.extend(state.into_iter().map(|(name, tensor)| (format!("{part}/{name}"), tensor)));
        }
        let text = serde_json::to_string(&self.state)
            .map_err(|error| TrainError::Checkpoint { problem: error.to_string() })?;
        let metadata = BTreeMap::from([("loop".to_owned(), text)]);
        self.folder.write_checkpoint(&to_safetensors(&all, &metadata)?)
    }

    fn restore(&mut self) -> Result<(), TrainError> {
        // A run that was killed before its first checkpoint starts from the beginning.
        let Some(bytes) = self.folder.read_checkpoint()? else { return Ok(()) };
        let broken = |problem: String| TrainError::Checkpoint { problem };
        let (all, metadata) = from_safetensors(&bytes)?;
        let text = metadata.get("loop").ok_or(broken("it has no loop state".into()))?;
        let state: LoopState = serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;
        if state.fingerprint != self.dataset.fingerprint {
            return Err(broken("it is of a run on other data".into()));
        }
        let steps = u64::from(state.epoch) * self.steps_per_epoch + state.epoch_step;
        if state.epoch > self.record.settings.epochs
            || state.epoch_step > self.steps_per_epoch
            || state.step != steps
        {
            return Err(broken("its counters contradict each other or the settings in run.json".into()));
        }
        let part = |part: &str| -> State {
            let prefix = format!("{part}/");
            let own = all.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?, tensor)));
            own.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
        };
        self.best = part("best");
        // The best model is loaded for its checks: it must fit as the current one does.
        self.network.load_state(&self.best)?;
        self.network.load_state(&part("network"))?;
        self.optimizer.load_state(&self.network, &part("optimizer"), state.step)?;
        self.state = state;
        Ok(())
    }
}
