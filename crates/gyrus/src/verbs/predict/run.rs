//! The answers of a run.

use std::path::Path;

use gyrus_data::{EncodedRows, Preprocessing, Task};
use gyrus_nn::{Network, floats, from_safetensors};
use gyrus_tensor::{Operation, apply, device, filled_tensor};
use gyrus_train::{RunFolder, RunRecord, RunStatus};
use gyrus_vision::Model;

use super::events::{EventBody, EventWork};
use super::{Answer, Body, Predict, PredictingNetwork, Prediction, ranking};
use crate::verbs::quoted::quoted;
use crate::verbs::shapes_match::check_fit;
use crate::{Error, Result};

/// Examples per pass.
const TOGETHER: usize = 256;

pub(super) struct RunPredictor {
    named: PredictingNetwork,
    preprocessing: Preprocessing,
    task: Task,
    network: Network,
    events: Option<EventBody>,
    warnings: Vec<String>,
}

/// A file as network input.
struct Input {
    values: Vec<f32>,
    rows: usize,
    /// The line of each row of a table.
    lines: Vec<u64>,
    notes: Vec<String>,
}

impl RunPredictor {
    pub(super) fn open(verb: &Predict) -> Result<Self> {
        let folder = RunFolder::open(&verb.network)?;
        let record: RunRecord = folder.read_record()?;
        let blueprint = folder.read_blueprint()?;
        let file = folder.path().join("blueprint.toml").display().to_string();
        let spiking = record.settings.spiking.as_ref();
        check_fit(&blueprint, &file, (&record.preprocessing, spiking), &record.task, "run.json")?;
        let (state, _) = from_safetensors(&folder.read_model()?)?;
        let network = Network::with_state(&blueprint, spiking, &state, &device(&verb.device)?)?;
        let events = match (verb.body, spiking) {
            (Body::Clocked, _) => None,
            (Body::Events, Some(settings)) => {
                let numbers = record.preprocessing.shape().iter().product();
                Some(EventBody::new(&blueprint, &state, settings, numbers)?)
            }
            (Body::Events, None) => {
                let run = quoted(&verb.network);
                return Err(Error::Request(format!(
                    "the run in {run} is dense, and the event-driven body runs spiking networks: convert it with: gyrus \
                     spike {run}"
                )));
            }
        };
        let mut warnings = Vec::new();
        if record.status == RunStatus::Diverged {
            warnings.push(
                "the training of this run diverged: its answers are those of the best epoch before that, and may be poor"
                    .to_owned(),
            );
        }
        let RunRecord { preprocessing, task, .. } = record;
        let named = PredictingNetwork::Run { run: verb.network.clone() };
        Ok(Self { named, preprocessing, task, network, events, warnings })
    }

    /// A network that another program trained, in the file or folder `path`.
    pub(super) fn open_model(verb: &Predict, path: &Path) -> Result<Self> {
        if verb.body == Body::Events {
            return Err(Error::Request(format!(
                "{} is a dense network, and the event-driven body runs spiking networks",
                verb.network.display()
            )));
        }
        let model = Model::open(path, verb.classes.as_deref())?;
        let mut warnings = Vec::new();
        if !model.named {
            warnings.push(format!(
                "{} does not say what its {} classes are called: they are numbered from 0; name them by --classes FILE",
                verb.network.display(),
                model.classes.len()
            ));
        }
        let network = model.network(&device(&verb.device)?)?;
        let named = PredictingNetwork::Model { model: verb.network.clone(), family: model.family };
        let task = Task::Classification { classes: model.classes };
        let preprocessing = model.preprocessing;
        Ok(Self { named, preprocessing, task, network, events: None, warnings })
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    pub(super) fn network(&self) -> PredictingNetwork {
        self.named.clone()
    }

    pub(super) fn predict(&self, file: &Path) -> Result<Vec<Prediction>> {
        let Input { values, rows, lines, mut notes } = self.read(file)?;
        let (answers, mut work) = self.answers(&values, rows)?;
        work.resize(rows, None);
        let columns = answers.len() / rows.max(1);
        let one = match self.preprocessing {
            Preprocessing::Image { .. } => true,
            Preprocessing::Table { .. } => false,
            Preprocessing::Events { .. } => rows == 1,
        };
        let answers = answers.chunks_exact(columns.max(1)).zip(work).enumerate();
        let predictions = answers.map(|(row, (answer, work))| Prediction {
            file: file.to_owned(),
            row: (!one).then_some(row + 1),
            line: lines.get(row).copied(),
            notes: std::mem::take(&mut notes),
            answer: self.named(answer),
            work,
        });
        Ok(predictions.collect())
    }

    fn read(&self, file: &Path) -> Result<Input> {
        let preprocessing = &self.preprocessing;
        Ok(match preprocessing {
            Preprocessing::Image { .. } => {
                let seen = preprocessing.see_file(file)?;
                let values = preprocessing.normalize(&seen.pixels);
                Input { values, rows: 1, lines: Vec::new(), notes: seen.notes }
            }
            Preprocessing::Table { .. } => {
                let EncodedRows { table, lines, notes } = preprocessing.encode_csv(file)?;
                Input { values: table.values, rows: table.rows, lines, notes }
            }
            Preprocessing::Events { .. } => {
                let (values, rows) = preprocessing.decode_events(file)?;
                // An empty recording gives an answer that says nothing about it.
                let length = values.len() / rows.max(1);
                let empty = |row: &[f32]| row.iter().all(|value| *value == 0.0);
                let empty = values.chunks_exact(length.max(1)).filter(|row| empty(row)).count();
                let notes = (empty > 0).then(|| format!("{empty} of {rows} recordings hold no event"));
                Input { values, rows, lines: Vec::new(), notes: notes.into_iter().collect() }
            }
        })
    }

    /// Probabilities, or predictions in the target's unit: `[rows, outputs]`; and the work of each row, if it is counted.
    fn answers(&self, inputs: &[f32], rows: usize) -> Result<(Vec<f32>, Vec<Option<EventWork>>)> {
        if rows == 0 {
            return Ok(Default::default());
        }
        let columns = inputs.len() / rows;
        let (mut answers, mut work) = (Vec::new(), Vec::new());
        for part in inputs.chunks(columns.max(1) * TOGETHER) {
            let outputs = match &self.events {
                None => {
                    let x = filled_tensor(part.len() / columns.max(1), columns, |x| x.copy_from_slice(part));
                    self.network.infer(x.to_device(self.network.device()))
                }
                Some(events) => {
                    let mut all = Vec::new();
                    let samples = part.chunks_exact(columns.max(1));
                    let count = samples.len();
                    for sample in samples {
                        let (outputs, counted) = events.answer(sample)?;
                        all.extend(outputs);
                        work.push(Some(counted));
                    }
                    filled_tensor(count, all.len() / count.max(1), |x| x.copy_from_slice(&all))
                }
            };
            match &self.task {
                Task::Classification { .. } => {
                    let columns = outputs.dims()[1];
                    answers.extend(floats(apply(Operation::Softmax { columns }, outputs, Vec::new(), None)));
                }
                Task::Regression { mean, deviation, .. } => {
                    answers.extend(floats(outputs).into_iter().map(|value| value * deviation + mean));
                }
            }
        }
        Ok((answers, work))
    }

    fn named(&self, answer: &[f32]) -> Answer {
        match &self.task {
            Task::Classification { classes } => {
                let best = ranking(answer)[0];
                Answer::Class {
                    class: classes[best].clone(),
                    probability: answer[best],
                    probabilities: classes.iter().cloned().zip(answer.iter().copied()).collect(),
                }
            }
            Task::Regression { target, .. } => Answer::Value { target: target.clone(), value: answer[0] },
        }
    }
}
