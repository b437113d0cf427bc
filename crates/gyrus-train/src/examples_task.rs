//! Trains a network on examples: from a data set and a blueprint to a run folder.
//!
//! The order of an epoch and the augmentation are functions of (seed, epoch, example), the noise of a step is a function of
//! (seed, step). After each epoch the network is evaluated on validation examples, which are held back from the training
//! part. The test part is used once, after the best epoch has been chosen.

use std::collections::BTreeMap;
use std::time::Instant;

use gyrus_blueprint::Blueprint;
use gyrus_data::{Dataset, Examples, epoch_order, fill_batch, split_indices};
use gyrus_nn::{Network, State, to_safetensors};
use gyrus_tensor::{Device, filled_tensor};

use crate::baseline::baselines;
use crate::evaluate::evaluate;
use crate::{
    Begin, Error, Evaluation, Gradients, Observer, Optimizer, Outcome, Plan, Result, Results, RunFolder,
    RunRecord, RunStatus, Schedule, Score, Settings, Trained, Trainer, TrainingTask, loss_operation, outputs,
};

/// The result of a finished training.
pub struct Learned {
    /// The evaluation on the test examples.
    pub test: Evaluation,
    /// The finished record, results included.
    pub record: RunRecord,
}

/// Fewer validation examples than this tell networks apart by their loss: of 100 examples, one is a whole percent.
const COARSE: usize = 100;

/// Splits the training part into indices of examples to train on and to validate on. Where the data came without a part for
/// validation, 10 % of the examples are held back, but at most about 3,000. The split depends on the data set alone, not on
/// the seed of the run.
#[must_use]
pub fn split_validation(dataset: &Dataset) -> (Vec<usize>, Vec<usize>) {
    let train = &dataset.train;
    if !dataset.validation.is_empty() {
        let held_back: std::collections::HashSet<usize> = dataset.validation.iter().copied().collect();
        let rest = (0..train.len()).filter(|index| !held_back.contains(index)).collect();
        return (rest, dataset.validation.clone());
    }
    let fraction = (3000.0 / train.len().max(1) as f64).min(0.1);
    split_indices(&train.targets, 1.0 - fraction, 0)
}

/// Checks that `blueprint` can be trained with these settings, before anything is written.
///
/// # Errors
/// If a setting has an unknown name, a node cannot be trained, or the network does not fit into memory.
pub fn check(blueprint: &Blueprint, settings: &Settings) -> Result<()> {
    Schedule::from_name(&settings.schedule)?;
    Optimizer::check_name(&settings.optimizer)?;
    Ok(Network::check(blueprint, settings.spiking.as_ref())?)
}

/// Trains `blueprint` on `dataset` with the settings in `record`, in `folder`.
///
/// # Errors
/// If a setting has an unknown name, the blueprint does not fit the data, the run folder cannot be written, the checkpoint
/// belongs to another run, or the training diverges.
pub fn learn(
    dataset: &Dataset,
    blueprint: &Blueprint,
    record: RunRecord,
    folder: &RunFolder,
    device: &Device,
    begin: Begin<'_>,
    observer: &mut dyn Observer,
) -> Result<Outcome<Learned>> {
    let settings = &record.settings;
    let network = match begin {
        Begin::State(state) => Network::with_state(blueprint, settings.spiking.as_ref(), state, device)?,
        Begin::Fresh | Begin::Checkpoint => {
            Network::with(blueprint, settings.spiking.as_ref(), settings.seed, device)?
        }
    };
    let resume = matches!(begin, Begin::Checkpoint);
    learn_further(dataset, (network, &State::new()), record, folder, resume, observer)
}

/// As [`learn`], with a network that has its first parameters already. `beside` are tensors that do not change and that are
/// written along with the trained ones: those of a frozen part, whose answers are the data set's examples.
///
/// With `resume`, goes on from the checkpoint; where there is none yet, from the network as it is.
///
/// # Errors
/// As there.
pub fn learn_further(
    dataset: &Dataset,
    (network, beside): (Network, &State),
    record: RunRecord,
    folder: &RunFolder,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Outcome<Learned>> {
    let settings = &record.settings;
    let optimizer = Optimizer::new(&settings.optimizer, settings.weight_decay as f32, &network)?;
    let (train, held_back) = split_validation(dataset);
    // Examples at the end of an epoch that do not fill a batch are left out of that epoch.
    let batch = settings.batch_size.clamp(1, train.len().max(1));
    let steps_per_epoch = (train.len() / batch) as u64;
    let plan = Plan {
        fingerprint: dataset.fingerprint.clone(),
        steps: steps_per_epoch * u64::from(settings.epochs),
        evaluate_every: steps_per_epoch.max(1),
        learning_rate: settings.learning_rate,
        schedule: Schedule::from_name(&settings.schedule)?,
    };
    if resume && record.data.fingerprint != dataset.fingerprint {
        return Err(Error::OtherData { run: folder.path().to_owned() });
    }
    let validation = dataset.train.subset(&held_back);
    let order = (u64::MAX, Vec::new());
    let task = ExamplesTask {
        dataset,
        train,
        validation,
        record,
        folder,
        beside,
        batch,
        steps_per_epoch,
        order,
        buffer: Vec::new(),
    };
    let mut trainer = Trainer::new(task, plan, folder, network, optimizer);
    if resume {
        trainer.restore()?;
    }
    trainer.run(observer)?.map(|trained| Ok(finished(trained)))
}

/// The record of a finished training, with the results of its best weights.
fn finished(trained: Trained<ExamplesTask<'_>>) -> Learned {
    let Trained { task, model, best_step, train_seconds, .. } = trained;
    let clock = Instant::now();
    let ExamplesTask { dataset, validation, mut record, steps_per_epoch, beside, .. } = task;
    let part = |examples: &Examples| -> Evaluation {
        evaluate(&model, examples, &dataset.preprocessing, &dataset.task)
    };
    let test = part(&dataset.test);
    record.results = Some(Results {
        chosen_epoch: (best_step / steps_per_epoch.max(1)) as u32,
        train: None,
        validation: Some(part(&validation).metrics),
        test: Some(test.metrics.clone()),
        // What simple rules make of a frozen part's answers says nothing about the data.
        baselines: if beside.is_empty() { baselines(dataset) } else { Vec::new() },
        folds: std::mem::take(&mut record.folds),
    });
    record.status = RunStatus::Finished;
    record.timings.train_seconds = train_seconds;
    record.timings.test_seconds = clock.elapsed().as_secs_f64();
    Learned { test, record }
}

/// A network that learns from the examples of a data set.
struct ExamplesTask<'a> {
    dataset: &'a Dataset,
    /// Indices into the data set's training part.
    train: Vec<usize>,
    validation: Examples,
    record: RunRecord,
    folder: &'a RunFolder,
    /// Written along with the trained parameters.
    beside: &'a State,
    /// Examples per step.
    batch: usize,
    steps_per_epoch: u64,
    /// An epoch, counted from 0, and the order of its examples.
    order: (u64, Vec<u32>),
    /// Memory for a batch.
    buffer: Vec<f32>,
}

impl TrainingTask for ExamplesTask<'_> {
    type Model = Network;
    type Record = RunRecord;
    type Error = Error;

    fn gradients(&mut self, network: &mut Network, step: u64) -> Result<Gradients> {
        let settings = &self.record.settings;
        let (epoch, place) = (step / self.steps_per_epoch, (step % self.steps_per_epoch) as usize);
        if self.order.0 != epoch {
            let mut order = epoch_order(self.train.len(), settings.seed, epoch);
            order.iter_mut().for_each(|place| *place = self.train[*place as usize] as u32);
            self.order = (epoch, order);
        }
        let indices = &self.order.1[place * self.batch..][..self.batch];
        let (train, buffer) = (&self.dataset.train, &mut self.buffer);
        let augment = (&settings.augment, settings.seed, epoch);
        fill_batch(train, &self.dataset.preprocessing, indices, Some(augment), buffer);
        let x = filled_tensor(indices.len(), buffer.len() / indices.len(), |x| x.copy_from_slice(buffer));
        let classes = outputs(self.dataset);
        let loss = loss_operation(&train.targets, indices, classes, settings.label_smoothing as f32);
        let noise = settings.seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(step);
        let (loss, gradients) = network.gradients(x.to_device(network.device()), noise, loss)?;
        Ok(Gradients { loss: f64::from(loss), gradients, scale: 1.0, count: indices.len() })
    }

    fn evaluate(&self, network: &Network) -> Result<Option<Score>> {
        let Dataset { preprocessing, task, .. } = self.dataset;
        let metrics = evaluate(network, &self.validation, preprocessing, task).metrics;
        let by_loss = self.validation.len() < COARSE;
        Ok(Some(Score { loss: metrics.loss, accuracy: metrics.accuracy, by_loss }))
    }

    fn write_model(&self, _: &Network, weights: &State) -> Result<()> {
        if self.beside.is_empty() {
            return self.folder.write_model(&to_safetensors(weights, &BTreeMap::new())?);
        }
        let mut all = weights.clone();
        all.extend(self.beside.clone());
        self.folder.write_model(&to_safetensors(&all, &BTreeMap::new())?)
    }

    fn record_mut(&mut self) -> &mut RunRecord {
        &mut self.record
    }
}
