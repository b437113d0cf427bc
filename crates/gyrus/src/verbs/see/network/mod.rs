//! What the layers of a trained network have learned, and a page that shows it.

mod attention;
mod look;
mod open;
mod page;
mod pictures;
mod units;

use std::path::{Path, PathBuf};
use std::time::Instant;

use gyrus_blueprint::Image;
use gyrus_data::{Dataset, Preprocessing, Task};
use gyrus_files::write_atomically;
use gyrus_nn::Network;
use gyrus_tensor::with_threads;
use gyrus_train::RunRecord;
use gyrus_vision::see::attention::Grid;
use gyrus_vision::see::circuits::{Connections, connections, is_linear, layers_below};
use gyrus_vision::see::gabor::GaborFit;
use gyrus_vision::see::maximize::BestImages;
use gyrus_vision::see::probe::LinearProbe;
use gyrus_vision::see::spikes::{SpikeTrains, spike_trains};
use gyrus_vision::see::{Attribution, Layer, LayerStatistics, Maximize, UnitStatistics, layers, maximize};
use serde::Serialize;

use super::name_of;
use crate::observer::{Note, Observer, Stage};
use crate::verbs::serialized;
use crate::{Error, Result};

use attention::Attended;
use look::{Looked, Probed};
use open::Opened;

pub use attention::SeenAttention;

/// Shows what the layers of a trained network have learned: units and what excites them, curves over depth, where decisions
/// came from.
#[derive(Clone, Debug)]
pub struct SeeNetwork {
    /// A run folder of `learn` whose network reads images, or a model file or folder of another program; that needs
    /// [`SeeNetwork::data`], a folder with one sub-folder of images for each class.
    pub run: PathBuf,
    /// Another run to compare representations with; its network must read the same images.
    pub beside: Option<PathBuf>,
    /// Images whose answers are explained; without any, test examples are.
    pub images: Vec<PathBuf>,
    /// The page to write; a file of this name is replaced.
    pub out: PathBuf,
    /// The folder of the data, if it is no longer where the run read it; of a network of another program, images to look at.
    pub data: Option<PathBuf>,
    /// The most training examples that units are shown; half as many test examples measure the probes.
    pub examples: usize,
    /// The most units of a layer that the page shows.
    pub units: usize,
    /// Steps in which a unit's best picture is made, 0 for none; by default as many as [`SeeNetwork::SYNTHESIS_STEPS`], fewer
    /// for large networks.
    pub synthesis_steps: Option<usize>,
    /// Seed of the choice of examples and of random transformations.
    pub seed: u64,
    /// Worker threads; 0 for one per core. Results do not depend on it.
    pub threads: usize,
}

/// What was seen.
#[derive(Clone, Debug, Serialize)]
pub struct SeeNetworkReport {
    /// The run.
    #[serde(serialize_with = "serialized::path")]
    pub run: PathBuf,
    /// Training examples that units were shown.
    pub examples: usize,
    /// Test examples that measured the probes.
    pub test_examples: usize,
    /// The network's own accuracy on them, 0 to 1; classification only.
    pub accuracy: Option<f64>,
    /// How well a linear classifier reads the class from the pixels themselves.
    pub input_probe: Option<LinearProbe>,
    /// The layers, in the order in which signals pass them.
    pub layers: Vec<SeenLayer>,
    /// Linear CKA of the input and the layers with each other, without the bias of few examples.
    pub similarity: Vec<Vec<Option<f64>>>,
    /// The other run, its layers, and their linear CKA with this run's: `[own layers][other layers]`, inputs first.
    pub beside: Option<SeenBeside>,
    /// Gabor functions fitted to the filters of the first layer, where it has filters of at least 3 × 3 pixels.
    pub edges: Option<SeenEdges>,
    /// Of a network with attention, how its heads look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention: Option<SeenAttention>,
    /// The answers that were explained.
    pub decisions: Vec<SeenDecision>,
    /// Seconds that it took.
    pub seconds: f64,
    /// The page.
    #[serde(rename = "report", serialize_with = "serialized::path")]
    pub page: PathBuf,
}

/// A layer and its units.
#[derive(Clone, Debug, Serialize)]
pub struct SeenLayer {
    /// The name of its node.
    pub name: String,
    /// Rows of its map; 1 for a layer of features.
    pub height: usize,
    /// Columns of its map.
    pub width: usize,
    /// Rows and columns of the input that a unit sees; `None` for all of it.
    pub receptive_field: Option<[usize; 2]>,
    /// How well a linear classifier reads the class from it; classification only.
    pub probe: Option<LinearProbe>,
    /// Participation ratio of its representation.
    pub effective_dimension: f64,
    /// Mean class selectivity index of its units.
    pub selectivity: Option<f64>,
    /// Mean sparseness of its units over examples.
    pub sparseness: Option<f64>,
    /// Mean share of its units that are above 0 at a place.
    pub active: f64,
    /// What each unit did.
    pub units: Vec<UnitStatistics>,
}

/// The layers of another run beside this one's.
#[derive(Clone, Debug, Serialize)]
pub struct SeenBeside {
    /// The other run.
    #[serde(serialize_with = "serialized::path")]
    pub run: PathBuf,
    /// Its layers, after its input.
    pub layers: Vec<String>,
    /// `[own, other]`, inputs first.
    pub similarity: Vec<Vec<Option<f64>>>,
}

/// The edge detectors of the first layer.
#[derive(Clone, Debug, Serialize)]
pub struct SeenEdges {
    /// The layer.
    pub layer: String,
    /// Rows and columns of its filters.
    pub extents: [usize; 2],
    /// The fit of each filter; `None` for one that never varies.
    pub fits: Vec<Option<GaborFit>>,
    /// How many are edge detectors.
    pub edge_detectors: usize,
    /// The share of filters of noise that would be.
    pub by_chance: f64,
}

/// An answer that was explained.
#[derive(Clone, Debug, Serialize)]
pub struct SeenDecision {
    /// The file, or which test example.
    pub name: String,
    /// The example's class, where that is known.
    pub truth: Option<String>,
    /// The network's answer.
    pub class: String,
    /// Its probability.
    pub probability: f32,
    /// How far the integrated gradients' sum is from the difference between this answer and that for a gray image, as a share.
    pub completeness_error: Option<f64>,
}

/// Everything that a page shows of a run.
pub(super) struct Seen<'a> {
    record: &'a RunRecord,
    dataset: &'a Dataset,
    network: &'a Network,
    layers: Vec<Layer>,
    image: Image,
    /// Of the data.
    classes: Vec<String>,
    /// What the network's outputs are called.
    answers: Vec<String>,
    /// The family of a network of another program.
    family: Option<&'static str>,
    attention: Option<Attended>,
    looked: Looked,
    probed: Probed,
    best: Vec<Option<BestImages>>,
    connections: Vec<Connections>,
    edges: Option<SeenEdges>,
    explained: Vec<Explained>,
    /// Of a spiking network, the spikes of the first explained answer.
    trains: Vec<SpikeTrains>,
}

/// An input and the maps of its answer.
struct Explained {
    decision: SeenDecision,
    /// What the network saw, `[height, width, channels]`.
    pixels: Vec<u8>,
    /// The same, normalized.
    input: Vec<f32>,
    probabilities: Vec<f32>,
    maps: Vec<(&'static str, Attribution)>,
    /// Of each layer, the response of each unit: its largest activation.
    responses: Vec<Vec<f32>>,
    /// Of a network with attention, how much of each patch there is in the answer.
    rollout: Option<(Grid, Vec<f32>)>,
}

impl SeeNetwork {
    /// Default page.
    pub const OUT: &str = super::See::OUT;
    /// Default number of examples.
    pub const EXAMPLES: u32 = 2000;
    /// Default number of units of a layer on the page.
    pub const UNITS: u32 = 128;
    /// Default steps of synthesis.
    pub const SYNTHESIS_STEPS: u32 = 64;

    /// Into the network of this run.
    pub fn new(run: impl Into<PathBuf>) -> Self {
        Self {
            run: run.into(),
            beside: None,
            images: Vec::new(),
            out: Self::OUT.into(),
            data: None,
            examples: Self::EXAMPLES as usize,
            units: Self::UNITS as usize,
            synthesis_steps: None,
            seed: 0,
            threads: 0,
        }
    }

    /// Explains the answer to this image.
    #[must_use]
    pub fn image(mut self, file: impl Into<PathBuf>) -> Self {
        self.images.push(file.into());
        self
    }

    /// Writes the page to this file.
    #[must_use]
    pub fn out(self, out: impl Into<PathBuf>) -> Self {
        Self { out: out.into(), ..self }
    }

    /// Whether a folder holds the run of a network, rather than a language model.
    #[must_use]
    pub fn is_network(path: &Path) -> bool {
        path.join("blueprint.toml").is_file()
    }

    /// Looks, and writes the page.
    ///
    /// # Errors
    /// If there is no such run, its network does not read images or spikes, its data is gone, an image cannot be read, or the
    /// page cannot be written.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<SeeNetworkReport> {
        with_threads(self.threads, || self.look(observer))?
    }

    fn look(&self, observer: &mut dyn Observer) -> Result<SeeNetworkReport> {
        let started = Instant::now();
        let Opened { record, network, dataset, answers, family } =
            open::open(&self.run, self.data.as_deref())?;
        let other = self.beside.as_deref().map(open::other).transpose()?;
        if dataset.fingerprint != record.data.fingerprint {
            let text = "note: the data is not what the run learned from; units are shown what is there now";
            observer.note(&Note::Text(text.trim_start_matches("note: ")));
        }
        let layers = layers(network.blueprint())?;
        let Preprocessing::Image { height, width, channels, .. } = record.preprocessing else {
            return Err(open::not_images(&self.run));
        };
        let image = Image { height, width, channels };
        let classes = match &record.task {
            Task::Classification { classes } => classes.clone(),
            Task::Regression { .. } => Vec::new(),
        };
        let part = look::choose(&dataset, self.examples, self.seed);
        let examples = match (classes.is_empty(), self.images.is_empty()) {
            (true, _) => Vec::new(),
            (false, true) => pictures::one_of_each_class(&dataset, &part.test, &classes),
            (false, false) => pictures::of_files(&self.images, &record.preprocessing, observer)?,
        };
        let mut looked = look::look(&network, &layers, (&dataset, &record.preprocessing), &part, observer)?;
        if answers != classes {
            // The network answers for other classes than those of the data.
            looked.accuracy = None;
        }
        let beside = match &other {
            Some((seen_by, other)) => {
                Some(self.beside(seen_by, other, &dataset, &record, &part, &looked, observer)?)
            }
            None => None,
        };
        observer.stage(&Stage { name: "reading the class from each layer", done: 0, total: 1 });
        let probed = look::probe(&looked, classes.len())?;
        let best = self.synthesize(&network, &layers, &record.preprocessing, observer)?;
        let connections = self.connect(&network, &layers, &dataset, &record, &part, observer)?;
        let edges = units::edges(&network, &layers, image)?;
        let explained = explain(&network, &layers, examples, (&record, &answers), observer)?;
        let attention = attention::attended(&network, &explained)?;
        let trains = match explained.first().filter(|_| network.spiking().is_some()) {
            Some(first) => spike_trains(&network, &layers, &first.input)?,
            None => Vec::new(),
        };
        let seen = Seen {
            record: &record,
            dataset: &dataset,
            network: &network,
            layers,
            image,
            classes,
            answers,
            family,
            attention,
            looked,
            probed,
            best,
            connections,
            edges,
            explained,
            trains,
        };
        let report = self.report(&seen, beside, started);
        let page = page::page(self, &seen, &part, &report);
        write_atomically(&self.out, page.as_bytes()).map_err(Error::io("write", &self.out))?;
        Ok(report)
    }

    #[allow(clippy::too_many_arguments)] // Two networks and what both are shown.
    fn beside(
        &self,
        seen_by: &Preprocessing,
        other: &Network,
        dataset: &Dataset,
        record: &RunRecord,
        part: &look::Part,
        looked: &Looked,
        observer: &mut dyn Observer,
    ) -> Result<SeenBeside> {
        let run = self.beside.clone().unwrap_or_default();
        if seen_by.shape() != record.preprocessing.shape() {
            return Err(Error::Request(format!(
                "the runs in {} and {} read images of other sizes ({:?} and {:?}): their representations cannot be compared",
                self.run.display(),
                run.display(),
                record.preprocessing.shape(),
                seen_by.shape()
            )));
        }
        let layers = layers(other.blueprint())?;
        let theirs = look::grams(other, &layers, (dataset, seen_by), part, observer)?;
        let names = layers.into_iter().map(|layer| layer.name).collect();
        Ok(SeenBeside { run, layers: names, similarity: look::table(&looked.grams, &theirs) })
    }

    /// Steps of synthesis that take about as long as looking at the examples does.
    fn steps(&self, network: &Network, layers: &[Layer]) -> Result<usize> {
        /// Multiply-accumulates, and the fewest steps from which a picture can be recognized.
        const WORK: f64 = 4e11;
        const FEWEST: f64 = 16.0;
        if let Some(steps) = self.synthesis_steps {
            return Ok(steps);
        }
        let images: usize = layers.iter().map(|layer| layer.units().min(self.units)).sum();
        let step = look::pass_work(network)? * images as f64;
        Ok((WORK / step.max(1.0)).clamp(FEWEST, f64::from(Self::SYNTHESIS_STEPS)) as usize)
    }

    /// The best pictures of the units shown (of fewer in a large network), layer by layer; none for a spiking network.
    fn synthesize(
        &self,
        network: &Network,
        layers: &[Layer],
        preprocessing: &Preprocessing,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Option<BestImages>>> {
        let Preprocessing::Image { height, width, channels, mean, deviation, .. } = preprocessing else {
            return Ok(layers.iter().map(|_| None).collect());
        };
        let steps = self.steps(network, layers)?;
        if network.spiking().is_some() || steps == 0 {
            return Ok(layers.iter().map(|_| None).collect());
        }
        let range: Vec<(f32, f32)> = mean
            .iter()
            .zip(deviation)
            .map(|(mean, deviation)| (-mean / deviation, (1.0 - mean) / deviation))
            .collect();
        let image = Image { height: *height, width: *width, channels: *channels };
        let settings = Maximize { steps, seed: self.seed, ..Maximize::for_image(image) };
        let passes = self.synthesis_steps.map_or(steps, |_| 0);
        let most = look::affordable_units(network, layers, passes)?.min(self.units);
        let widest = layers.iter().map(|layer| layer.units().min(self.units)).max().unwrap_or(0);
        if most < widest {
            let first = format!("a large network: best pictures of the first {most} units a layer");
            observer.note(&Note::Text(&format!("{first}; --synthesis-steps makes them all")));
        }
        let mut all = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate() {
            let (done, total) = (index as u64, layers.len() as u64);
            observer.stage(&Stage { name: "making the best picture of each unit, layer", done, total });
            let units: Vec<usize> = (0..layer.units().min(most)).collect();
            all.push(Some(maximize(network, layer, &units, &range, &settings)?));
        }
        Ok(all)
    }

    /// The connections between neighboring layers, into the units that are shown.
    fn connect(
        &self,
        network: &Network,
        layers: &[Layer],
        dataset: &Dataset,
        record: &RunRecord,
        part: &look::Part,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Connections>> {
        /// Examples over which a pooling's routes are averaged.
        const ROUTED: usize = 8;
        if network.spiking().is_some() {
            return Ok(Vec::new());
        }
        let some: Vec<u32> = part.train.iter().copied().take(ROUTED).collect();
        let mut examples = Vec::new();
        gyrus_data::fill_batch(&dataset.train, &record.preprocessing, &some, None, &mut examples);
        let below = layers_below(network.blueprint(), layers);
        let most = look::affordable_units(network, layers, 1)?.min(self.units);
        let mut all = Vec::new();
        for (above, sources) in below.iter().enumerate() {
            let (done, total) = (above as u64, layers.len() as u64);
            observer.stage(&Stage { name: "following connections, layer", done, total });
            let units: Vec<usize> = (0..layers[above].units().min(most)).collect();
            for &below in sources {
                let same = is_linear(network.blueprint(), &layers[below], &layers[above]);
                let examples = if same { &examples[..examples.len() / some.len().max(1)] } else { &examples };
                all.push(connections(network, layers, (below, above), &units, examples)?);
            }
        }
        Ok(all)
    }

    fn report(&self, seen: &Seen<'_>, beside: Option<SeenBeside>, started: Instant) -> SeeNetworkReport {
        let layers = seen.layers.iter().enumerate().map(|(index, layer)| {
            let LayerStatistics { units, active_share } = seen.looked.statistics[index].clone();
            SeenLayer {
                name: layer.name.clone(),
                height: layer.image.height,
                width: layer.image.width,
                receptive_field: layer.field.map(|field| field.size),
                probe: seen.probed.layers.get(index + 1).copied().flatten(),
                effective_dimension: seen.looked.grams[index + 1].participation_ratio(),
                selectivity: mean(units.iter().filter_map(|unit| unit.selectivity)),
                sparseness: mean(units.iter().filter_map(|unit| unit.sparseness)),
                active: active_share,
                units,
            }
        });
        SeeNetworkReport {
            run: self.run.clone(),
            examples: seen.looked.examples,
            test_examples: seen.looked.test_examples,
            accuracy: seen.looked.accuracy,
            input_probe: seen.probed.layers.first().copied().flatten(),
            layers: layers.collect(),
            similarity: look::table(&seen.looked.grams, &seen.looked.grams),
            beside,
            edges: seen.edges.clone(),
            attention: seen.attention.as_ref().map(Attended::report),
            decisions: seen.explained.iter().map(|explained| explained.decision.clone()).collect(),
            seconds: started.elapsed().as_secs_f64(),
            page: self.out.clone(),
        }
    }
}

/// The answers to examples, and where they came from.
fn explain(
    network: &Network,
    layers: &[Layer],
    examples: Vec<pictures::Example>,
    (record, classes): (&RunRecord, &[String]),
    observer: &mut dyn Observer,
) -> Result<Vec<Explained>> {
    let total = examples.len() as u64;
    let last_map = layers.iter().rev().find(|layer| layer.is_map() && layer.field.is_some());
    let mut all = Vec::with_capacity(examples.len());
    for (index, example) in examples.into_iter().enumerate() {
        observer.stage(&Stage { name: "explaining answers", done: index as u64, total });
        all.push(pictures::explain(network, layers, last_map, example, (record, classes))?);
    }
    Ok(all)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}
