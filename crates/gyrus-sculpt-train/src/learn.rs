//! The training: objects drawn anew for each step, the loop of [`gyrus_train`], the run folder, the final measurement.

use std::collections::BTreeMap;
use std::time::Instant;

use gyrus_files::{State, to_safetensors};
use gyrus_sculpt::triposr::TripoSr;
use gyrus_tensor::{Device, vector};
use gyrus_train::{
    Begin, Gradients, Observer, Optimizer, Outcome, Plan, RunFolder, RunStatus, Schedule, Score, Trained,
    Trainer, TrainingTask,
};

use crate::examples::{Example, batch};
use crate::layers::Slopes;
use crate::pass::Pass;
use crate::{
    Error, Judgment, Part, Result, Shape, ShapesModel, ShapesRecord, ShapesResults, ShapesSettings, judge,
};

/// Objects of an evaluation.
const VALIDATION: u64 = 64;
/// Objects that go through the network together in an evaluation.
const TOGETHER: usize = 16;

/// What a step learns from.
#[derive(Debug)]
pub enum Batch<'a> {
    /// Pictures to objects.
    Pictures(&'a [Example]),
    /// Captions to objects.
    Captions(&'a [Example]),
}

/// The mean loss of a batch, and the gradient of each parameter that took part.
#[must_use]
pub fn loss_and_gradients(model: &ShapesModel, batch: &Batch<'_>) -> (f64, Vec<Option<Vec<f32>>>) {
    let values = model.values();
    let (examples, reads) = match batch {
        Batch::Pictures(examples) => (*examples, false),
        Batch::Captions(examples) => (*examples, true),
    };
    let mut slopes = Slopes::new(values.len());
    let pass = Pass { shape: &model.shape, layout: &model.layout, values: &values, reads };
    let losses = pass.run(examples, Some(&mut slopes));
    (losses.total(), slopes.0)
}

struct ShapesTask<'a> {
    record: ShapesRecord,
    folder: &'a RunFolder,
    validation: Vec<Example>,
    device: Device,
}

fn check(settings: &ShapesSettings) -> Result<Schedule> {
    let schedule = Schedule::from_name(&settings.schedule)?;
    if settings.steps == 0 || settings.batch_size == 0 || settings.evaluate_every == 0 {
        return Err(Error::Request(
            "a count of 0; expected steps and objects per step of at least 1".to_owned(),
        ));
    }
    Ok(schedule)
}

/// Trains a network of this shape on procedural objects with the settings in `record`, in `folder`.
///
/// # Errors
/// For impossible settings; [`Error::Train`] if the checkpoint does not fit, the run folder cannot be written, or the training
/// diverges.
pub fn learn_shapes(
    shape: Shape,
    record: ShapesRecord,
    folder: &RunFolder,
    device: &Device,
    begin: Begin<'_>,
    observer: &mut dyn Observer,
) -> Result<Outcome<ShapesRecord>> {
    let settings = record.settings.clone();
    let schedule = check(&settings)?;
    folder.write_file("config.yaml", shape.config.to_yaml().as_bytes())?;
    let side = shape.config.image_side;
    let mut model = ShapesModel::new(shape, settings.seed, device);
    if let Begin::State(state) = begin {
        gyrus_train::Trainable::load_state(&mut model, state)?;
    }
    let optimizer = Optimizer::new("adamw", settings.weight_decay as f32, &model)?.with_clip(1.0);
    let validation = batch(Part::Validation, settings.seed, 0..VALIDATION, side)?;
    let plan = Plan {
        fingerprint: record.data.fingerprint.clone(),
        steps: settings.steps,
        evaluate_every: settings.evaluate_every,
        learning_rate: settings.learning_rate,
        schedule,
    };
    let task = ShapesTask { record, folder, validation, device: device.clone() };
    let mut trainer = Trainer::new(task, plan, folder, model, optimizer);
    if matches!(begin, Begin::Checkpoint) {
        trainer.restore()?;
    }
    match trainer.run(observer)? {
        Outcome::Finished(trained) => Ok(Outcome::Finished(finished(trained, observer)?)),
        Outcome::Interrupted { step, steps } => Ok(Outcome::Interrupted { step, steps }),
    }
}

/// The record of a finished training, with the measurement of its best weights.
fn finished(trained: Trained<ShapesTask<'_>>, observer: &mut dyn Observer) -> Result<ShapesRecord> {
    let Trained { task, model, weights, best_step, train_seconds } = trained;
    let clock = Instant::now();
    let mut best = ShapesModel::new(model.shape.clone(), 0, &task.device);
    gyrus_train::Trainable::load_state(&mut best, &weights)?;
    let validation_loss = task.loss(&best);
    let mut record = task.record;
    let judgment = match record.settings.judged_objects {
        0 => Judgment::default(),
        objects => {
            let opened = TripoSr::open(task.folder.path())?;
            judge(&opened, record.settings.seed, objects, &mut |name, done, all| {
                observer.stage(name, done, all)
            })?
        }
    };
    record.results = Some(ShapesResults {
        chosen_step: best_step,
        validation_loss,
        parameters: model.parameter_count() as u64,
        judgment,
    });
    record.status = RunStatus::Finished;
    record.timings.train_seconds = train_seconds;
    record.timings.test_seconds = clock.elapsed().as_secs_f64();
    Ok(record)
}

impl ShapesTask<'_> {
    /// The mean loss over held-back pictures.
    fn loss(&self, model: &ShapesModel) -> f64 {
        let values = model.values();
        let pass = Pass { shape: &model.shape, layout: &model.layout, values: &values, reads: false };
        let parts = self.validation.chunks(TOGETHER);
        let sum: f64 = parts.map(|part| pass.run(part, None).total() * part.len() as f64).sum();
        sum / self.validation.len() as f64
    }
}

impl TrainingTask for ShapesTask<'_> {
    type Model = ShapesModel;
    type Record = ShapesRecord;
    type Error = Error;

    fn gradients(&mut self, model: &mut ShapesModel, step: u64) -> Result<Gradients> {
        let ShapesSettings { seed, batch_size, captions_every, .. } = self.record.settings;
        let reads = captions_every > 0 && (step + 1).is_multiple_of(captions_every);
        let side = if reads { 0 } else { model.shape.config.image_side };
        let first = step * batch_size as u64;
        let examples = batch(Part::Training, seed, first..first + batch_size as u64, side)?;
        let examples = if reads { Batch::Captions(&examples) } else { Batch::Pictures(&examples) };
        let (loss, slopes) = loss_and_gradients(model, &examples);
        let gradients = slopes.into_iter().map(|own| own.map(|own| vector(own, &self.device))).collect();
        Ok(Gradients { loss, gradients, scale: 1.0, count: batch_size })
    }

    fn evaluate(&self, model: &ShapesModel) -> Result<Option<Score>> {
        Ok(Some(Score { loss: self.loss(model), accuracy: None, by_loss: true }))
    }

    fn write_model(&self, model: &ShapesModel, state: &State) -> Result<()> {
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        Ok(self.folder.write_model(&to_safetensors(&model.exported(state), &metadata)?)?)
    }

    fn record_mut(&mut self) -> &mut ShapesRecord {
        &mut self.record
    }
}
