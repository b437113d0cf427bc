//! Learning that goes on from a network which was trained before.

use std::path::Path;

use gyrus_blueprint::Blueprint;
use gyrus_data::{Dataset, Features, Preprocessing};
use gyrus_files::{State, to_safetensors};
use gyrus_nn::{Network, from_safetensors};
use gyrus_tensor::Device;
use gyrus_train::{
    Baseline, Learned, Outcome, RunFolder, RunRecord, Transfer, baselines, learn_further, outputs,
};
use gyrus_vision::transfer::{Cut, cut, features, nearest_neighbors, with_outputs};
use gyrus_vision::{Model, adapters};

use super::Learn;
use super::defaults::Defaults;
use crate::observer::{Observer, Stage};
use crate::verbs::watch::Watched;
use crate::{Error, Result};

/// What stays as it is of a network that learning goes on from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Freeze {
    /// Nothing: all layers learn (fine-tuning).
    #[default]
    Nothing,
    /// Everything but the last layer (a linear probe).
    Body,
    /// Everything up to this node, or up to the last node whose name begins with this and a dot.
    Until(String),
}

/// Refuses options that do not go with a network which was trained before.
pub(super) fn check(verb: &Learn) -> Result<()> {
    let refuse = |text: &str| Err(Error::request(text));
    match &verb.from {
        None if verb.lora.is_some() => refuse("--lora needs --from MODEL, to whose layers it adds adapters"),
        Some(_) if verb.lora.is_some() && verb.freeze != Freeze::Nothing => {
            refuse("--lora leaves all layers but the last as they are: leave out --freeze")
        }
        None if verb.freeze != Freeze::Nothing => {
            refuse("--freeze needs --from MODEL, whose layers it freezes")
        }
        Some(_) if verb.architecture.is_some() => {
            refuse("--from brings its own network: leave out --blueprint")
        }
        Some(_) if verb.spiking.is_some() => {
            refuse("--from trains dense networks: convert the run afterwards with gyrus spike")
        }
        Some(_) if verb.image_size.is_some() => {
            refuse("--from brings the size of its images: leave out --image-size")
        }
        Some(_) if verb.freeze != Freeze::Nothing && verb.augment.is_some() => {
            refuse("frozen layers see each image once: leave out --augment or --freeze")
        }
        _ => Ok(()),
    }
}

/// A network that goes on.
pub(super) struct Going {
    pub(super) blueprint: Blueprint,
    /// The parameters that it begins with.
    pub(super) parameters: State,
    pub(super) transfer: Transfer,
    pub(super) defaults: Defaults,
}

impl Going {
    /// A network for this data that goes on from `model`, which lies at `path`.
    pub(super) fn new(
        path: &Path,
        model: &Model,
        dataset: &Dataset,
        (freeze, lora, seed, device): (&Freeze, Option<usize>, u64, &Device),
    ) -> Result<Self> {
        let (blueprint, parameters) =
            with_outputs(&model.blueprint, &model.parameters, outputs(dataset), seed, device)?;
        let (blueprint, parameters, trained_beside) = match lora {
            Some(rank) => {
                let (blueprint, parameters) = adapters::add(&blueprint, &parameters, rank, seed, device)?;
                let learned = adapters::learned(&blueprint)?;
                let numbers = |(name, tensor): (&String, &gyrus_files::StateTensor)| {
                    if learned(name) { tensor.values.len() as u64 } else { 0 }
                };
                let count = parameters.iter().map(numbers).sum();
                (blueprint, parameters, Some(count))
            }
            None => (blueprint, parameters, None),
        };
        let cut = match freeze {
            Freeze::Nothing => None,
            Freeze::Body => Some(cut(&blueprint, None)?),
            Freeze::Until(node) => Some(cut(&blueprint, Some(node))?),
        };
        let trained = cut.as_ref().map_or(&blueprint, |cut| &cut.tail).shapes()?.trainable_parameters();
        let features = match &cut {
            Some(cut) => cut.tail.shapes()?.input(0).elements(),
            None => None,
        };
        let from = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let transfer = Transfer {
            from: from.to_string_lossy().into_owned(),
            family: model.family.to_owned(),
            frozen: cut.map(|cut| cut.node),
            adapter_rank: lora,
            trained_parameters: trained_beside.unwrap_or(trained),
        };
        let defaults = Defaults::for_transfer(dataset, features);
        Ok(Self { blueprint, parameters, transfer, defaults })
    }

    /// Writes what the run begins with, so that it can be resumed wherever the model is then.
    pub(super) fn write(&self, folder: &RunFolder) -> Result<()> {
        Ok(folder.write_pretrained(&to_safetensors(&self.parameters, &std::collections::BTreeMap::new())?)?)
    }
}

/// Trains what is not frozen.
pub(super) fn train(
    (dataset, blueprint): (&Dataset, &Blueprint),
    transfer: &Transfer,
    record: RunRecord,
    folder: &RunFolder,
    (device, resume): (&Device, bool),
    observer: &mut dyn Observer,
) -> Result<Outcome<Learned>> {
    // A finished run that goes on has its frozen parameters in its model.
    let stored = folder.read_pretrained()?.map_or_else(|| folder.read_model(), Ok)?;
    let (state, _) = from_safetensors(&stored)?;
    let outcome = match &transfer.frozen {
        None => {
            let mut network = Network::from_state(blueprint, &state, device)?;
            if transfer.adapter_rank.is_some() {
                let learned = adapters::learned(blueprint)?;
                network.freeze(|name| !learned(name));
            }
            learn_further(
                dataset,
                (network, &State::new()),
                record,
                folder,
                resume,
                &mut Watched::network(observer),
            )?
        }
        Some(node) => {
            let cut = cut(blueprint, Some(node))?;
            let beside = Cut::parameters(&cut.body, &state);
            let body = Network::from_state(&cut.body, &beside, device)?;
            let answers = features(&body, node, dataset, &mut |done, total| {
                let (done, total) = (done as u64, total as u64);
                observer.stage(&Stage { name: "running the frozen layers", done, total });
                !observer.wants_to_stop()
            });
            let answers = match answers {
                Err(gyrus_vision::Error::Stopped) => {
                    let begin =
                        |_: &str| Outcome::Interrupted { step: 0, steps: u64::from(record.settings.epochs) };
                    return Ok(begin(node));
                }
                other => other?,
            };
            let tail = Network::from_state(&cut.tail, &Cut::parameters(&cut.tail, &state), device)?;
            let watched = &mut Watched::network(observer);
            learn_further(&answers, (tail, &beside), record, folder, resume, watched)?
        }
    };
    Ok(match outcome {
        Outcome::Finished(mut learned) => {
            if let Some(results) = &mut learned.record.results {
                if transfer.frozen.is_some() {
                    results.baselines = baselines(dataset);
                }
                results.baselines.extend(nearest_neighbors(dataset).map(|accuracy| Baseline {
                    name: "the 5 nearest training images, by raw pixels".to_owned(),
                    accuracy: Some(accuracy),
                    mean_absolute_error: None,
                    root_mean_squared_error: None,
                }));
            }
            Outcome::Finished(learned)
        }
        interrupted @ Outcome::Interrupted { .. } => interrupted,
    })
}

/// Refuses data that is no pictures.
pub(super) fn check_pictures(dataset: &Dataset) -> Result<()> {
    match (&dataset.train.features, &dataset.preprocessing) {
        (Features::Images(_), Preprocessing::Image { .. }) => Ok(()),
        _ => Err(Error::Request(format!(
            "--from goes on from a network of images, and {} is none; expected a folder of images or a data set of them",
            dataset.name
        ))),
    }
}
