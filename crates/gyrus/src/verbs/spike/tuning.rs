//! Fine-tuning of a conversion: with quantized activations as a dense network, then through time as a spiking one.
//!
//! A quantized network gives what integrate-and-fire neurons converge to. Within a few steps they also fire spikes that cannot
//! be taken back: where neighbors are alike, as in the background of an image, they fire at the same step, and a neuron behind
//! them fires for an input that the next step would have canceled. On MNIST that leaves 17 % after 4 steps, of 99.6 %.
//! Back-propagation through the few steps that count repairs it (Rathi et al. 2020, "Enabling Deep
//! Spiking Neural Networks with Hybrid Conversion and Spike Timing Dependent Backpropagation").

use gyrus_blueprint::Blueprint;
use gyrus_nn::{SpikingSettings, State, from_safetensors};
use gyrus_tensor::cpu;
use gyrus_train::{
    Begin, Existing, Learned, MetricsRow, Outcome, RunFolder, RunRecord, Settings, check, learn,
    split_validation,
};
use serde::{Deserialize, Serialize};

use super::resume::{Part, continued, save};
use super::{Dense, Spike};
use crate::observer::Observer;
use crate::verbs::watch::Watched;
use crate::{Error, Result};

/// The learning rate of fine-tuning, as a share of that of the training.
const LEARNING_RATE: f64 = 0.2;
/// Steps of the two parts of fine-tuning through time: many, whose gradients say more, then few, which are hardest.
const MANY_STEPS: usize = 8;
const FEW_STEPS: usize = 4;

/// The fine-tuning done so far.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Tuning {
    /// The part of the conversion that is in work.
    pub(super) part: Part,
    /// Epochs with quantized activations.
    pub(super) epochs: u32,
    pub(super) seconds: f64,
    /// Epochs through time.
    pub(super) time_epochs: u32,
    pub(super) time_seconds: f64,
    /// The epoch whose weights were kept, counted from 1 over all of them.
    pub(super) chosen_epoch: u32,
    /// One per epoch.
    pub(super) rows: Vec<MetricsRow>,
    /// Whether the spiking network lies in the folder.
    #[serde(skip)]
    pub(super) ready: bool,
    /// Whether the part in work goes on from a checkpoint.
    #[serde(skip)]
    pub(super) from_checkpoint: bool,
    /// The quantized network, once it is trained.
    #[serde(skip)]
    pub(super) quantized: State,
}

impl Tuning {
    /// Trains on with quantized activations.
    pub(super) fn quantized(
        &mut self,
        (verb, dense): (&Spike, &Dense),
        (blueprint, state): (&Blueprint, &mut State),
        (epochs, folder): (u32, &RunFolder),
        observer: &mut dyn Observer,
    ) -> Result<()> {
        if self.part == Part::Quantized {
            let part = (blueprint, &mut *state);
            self.seconds = self.part((verb, dense), part, None, (epochs, folder), observer)?;
            self.epochs = epochs;
            self.part = Part::ManySteps;
        }
        self.quantized.clone_from(state);
        Ok(())
    }

    /// Trains on through time: a third of the epochs over 8 steps, the others over 4.
    pub(super) fn through_time(
        &mut self,
        (verb, dense): (&Spike, &Dense),
        (blueprint, state): (&Blueprint, &mut State),
        settings: &SpikingSettings,
        (epochs, folder): (u32, &RunFolder),
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let parts = [
            (Part::ManySteps, MANY_STEPS, epochs / 3, Part::FewSteps),
            (Part::FewSteps, FEW_STEPS, epochs - epochs / 3, Part::Measuring),
        ];
        for (part, steps, epochs, next) in parts {
            if self.part != part {
                continue;
            }
            let settings = SpikingSettings { steps, ..settings.clone() };
            self.time_seconds +=
                self.part((verb, dense), (blueprint, state), Some(settings), (epochs, folder), observer)?;
            self.time_epochs += epochs;
            self.part = next;
        }
        Ok(())
    }

    /// Trains on as an ordinary run in the folder of the spiking one; returns the seconds that it took.
    fn part(
        &mut self,
        (verb, dense): (&Spike, &Dense),
        (blueprint, state): (&Blueprint, &mut State),
        spiking: Option<SpikingSettings>,
        (epochs, folder): (u32, &RunFolder),
        observer: &mut dyn Observer,
    ) -> Result<f64> {
        if epochs == 0 {
            return Ok(0.0);
        }
        let dataset = &dense.dataset;
        let validation = split_validation(dataset).1.len();
        let settings = Settings {
            seed: verb.seed,
            epochs,
            learning_rate: dense.record.settings.learning_rate * LEARNING_RATE,
            schedule: "cosine".into(),
            threads: verb.threads,
            device: "cpu".into(),
            spiking,
            ..dense.record.settings.clone()
        };
        check(blueprint, &settings)?;
        let mut record = RunRecord::new(dataset, dense.path.as_deref(), validation, settings);
        record.data.name.clone_from(&dense.record.data.name);
        record.data.test_path.clone_from(&dense.record.data.test_path);
        let resumed = std::mem::take(&mut self.from_checkpoint);
        let folder = if resumed {
            folder.clone()
        } else {
            let folder = RunFolder::create(folder.path(), Existing::Replace)?;
            folder.write_record(&record)?;
            folder.write_blueprint(blueprint)?;
            save(&folder, verb, self)?;
            folder
        };
        let begin = if resumed { Begin::Checkpoint } else { Begin::State(state) };
        let outcome =
            learn(dataset, blueprint, record, &folder, &cpu(), begin, &mut Watched::network(observer));
        observer.trained();
        match outcome? {
            Outcome::Interrupted { step, steps } => Err(Error::Interrupted {
                run: folder.path().to_owned(),
                step,
                steps,
                part: " of the fine-tuning",
                next: continued(folder.path()),
            }),
            Outcome::Finished(Learned { record, .. }) => {
                *state = from_safetensors(&folder.read_model()?)?.0;
                let (epochs, steps) = self.rows.last().map_or((0, 0), |row| (row.epoch, row.step));
                self.chosen_epoch = epochs + record.results.map_or(0, |results| results.chosen_epoch);
                self.rows.extend(folder.read_metrics()?.into_iter().map(|row| MetricsRow {
                    epoch: epochs + row.epoch,
                    step: steps + row.step,
                    losses: row.losses.iter().map(|(step, loss)| (steps + step, *loss)).collect(),
                    ..row
                }));
                Ok(record.timings.train_seconds)
            }
        }
    }
}
