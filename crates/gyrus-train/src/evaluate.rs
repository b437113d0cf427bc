//! Evaluates a network on examples.

use gyrus_data::{Examples, Preprocessing, Targets, Task, fill_batch};
use gyrus_nn::{Network, floats};
use gyrus_tensor::{Operation, apply, filled_tensor};

use crate::{Error, PartMetrics, Result, Tick, loss_operation};

/// Examples per pass.
const BATCH: usize = 250;

/// A network's answers to examples, and how good they are.
pub struct Evaluation {
    /// Loss and accuracy or error.
    pub metrics: PartMetrics,
    /// `[examples, outputs]`: class probabilities, or the standardized prediction.
    pub answers: Vec<f32>,
}

/// Runs the network over all examples, without augmentation.
#[must_use]
pub fn evaluate(
    network: &Network,
    examples: &Examples,
    preprocessing: &Preprocessing,
    task: &Task,
) -> Evaluation {
    let mut evaluation = Evaluated::default();
    let indices: Vec<u32> = (0..examples.len() as u32).collect();
    indices.chunks(BATCH).for_each(|batch| evaluation.add(network, (examples, preprocessing, task), batch));
    evaluation.finish(examples, task)
}

/// As [`evaluate`], with a [`Tick`] after each batch.
///
/// # Errors
/// [`Error::Stopped`] if it says so.
pub fn evaluate_watched(
    network: &Network,
    examples: &Examples,
    preprocessing: &Preprocessing,
    task: &Task,
    tick: &mut Tick<'_>,
) -> Result<Evaluation> {
    let mut evaluation = Evaluated::default();
    let indices: Vec<u32> = (0..examples.len() as u32).collect();
    let mut done = 0;
    for batch in indices.chunks(BATCH) {
        evaluation.add(network, (examples, preprocessing, task), batch);
        done += batch.len() as u64;
        if !tick(done, examples.len() as u64) {
            return Err(Error::Stopped);
        }
    }
    Ok(evaluation.finish(examples, task))
}

/// What was evaluated so far.
#[derive(Default)]
struct Evaluated {
    answers: Vec<f32>,
    loss: f64,
    right: u64,
    error: f64,
    buffer: Vec<f32>,
}

impl Evaluated {
    fn add(
        &mut self,
        network: &Network,
        (examples, preprocessing, task): (&Examples, &Preprocessing, &Task),
        batch: &[u32],
    ) {
        let Self { answers, loss, right, error, buffer } = self;
        fill_batch(examples, preprocessing, batch, None, buffer);
        let x = filled_tensor(batch.len(), buffer.len() / batch.len(), |x| x.copy_from_slice(buffer));
        let outputs = network.infer(x.to_device(network.device()));
        let columns = outputs.dims()[1];
        let operation = loss_operation(&examples.targets, batch, columns, 0.0);
        let mean = floats(apply(operation, outputs.clone(), Vec::new(), None));
        *loss += f64::from(mean[0]) * batch.len() as f64;
        match (&examples.targets, task) {
            (Targets::Classes(classes), _) => {
                let outputs = apply(Operation::Softmax { columns }, outputs, Vec::new(), None);
                let probabilities = floats(outputs);
                for (row, &index) in probabilities.chunks_exact(columns).zip(batch) {
                    *right += u64::from(best(row) == classes[index as usize] as usize);
                }
                answers.extend(probabilities);
            }
            (Targets::Values(values), task) => {
                let predictions = floats(outputs);
                let unit = if let Task::Regression { deviation, .. } = task { *deviation } else { 1.0 };
                for (prediction, &index) in predictions.iter().zip(batch) {
                    *error += f64::from((prediction - values[index as usize]).abs() * unit);
                }
                answers.extend(predictions);
            }
        }
    }

    fn finish(self, examples: &Examples, task: &Task) -> Evaluation {
        let Self { answers, loss, right, error, .. } = self;
        let count = examples.len().max(1) as f64;
        let unit = if let Task::Regression { deviation, .. } = task { f64::from(*deviation) } else { 1.0 };
        let classes = matches!(examples.targets, Targets::Classes(_));
        let metrics = PartMetrics {
            examples: examples.len() as u64,
            loss: loss / count,
            accuracy: classes.then_some(right as f64 / count),
            mean_absolute_error: (!classes).then_some(error / count),
            root_mean_squared_error: (!classes).then_some((loss / count).sqrt() * unit),
        };
        Evaluation { metrics, answers }
    }
}

/// Index of the largest value, the first of equals.
pub(crate) fn best(row: &[f32]) -> usize {
    let mut best = 0;
    row.iter().enumerate().for_each(|(i, value)| {
        if *value > row[best] {
            best = i
        }
    });
    best
}
