//! One pass over training and test examples: statistics of units, features for probes, inner products for similarities.

use gyrus_blueprint::{Image, NodeKind};
use gyrus_data::{Dataset, Examples, Preprocessing, Targets, epoch_order, fill_batch};
use gyrus_nn::{Network, floats};
use gyrus_tensor::filled_tensor;
use gyrus_vision::see::probe::{Labeled, LinearProbe, linear_probe};
use gyrus_vision::see::similarity::Gram;
use gyrus_vision::see::spikes::{Trigger, TriggeredAverages, spike_rates};
use gyrus_vision::see::{Collector, Layer, LayerStatistics, grid_means, rows_of_batch};

use crate::observer::{Observer, Stage};
use crate::{Error, Result};

/// Examples of one pass, at most.
const BATCH: usize = 100;
/// Excitations of a unit that are kept.
const TOP: usize = 8;
/// Examples over which triggered averages are taken.
const TRIGGERS: usize = 500;
/// The most features that a probe reads.
const PROBE_FEATURES: usize = 784;
/// Examples that similarities are computed of, and the most features of each.
const SIMILAR_EXAMPLES: usize = 500;
const SIMILAR_FEATURES: usize = 16_384;

/// The examples that are looked at, by index.
pub(super) struct Part {
    pub(super) train: Vec<u32>,
    pub(super) test: Vec<u32>,
}

/// What units do.
pub(super) struct Looked {
    pub(super) examples: usize,
    pub(super) test_examples: usize,
    pub(super) accuracy: Option<f64>,
    pub(super) statistics: Vec<LayerStatistics>,
    /// Of each layer, what excites its units on average; none for a map whose places are no places of the input.
    pub(super) triggered: Vec<Option<TriggeredAverages>>,
    /// The input, then the layers; of test examples.
    pub(super) grams: Vec<Gram>,
    /// Features of the input and the layers.
    features: Vec<Pooled>,
    train_classes: Vec<u32>,
    test_classes: Vec<u32>,
}

/// Features of training and test examples.
#[derive(Default)]
struct Pooled {
    train: Vec<f32>,
    test: Vec<f32>,
    width: usize,
}

/// What linear probes read, of the input and the layers.
pub(super) struct Probed {
    pub(super) layers: Vec<Option<LinearProbe>>,
    pub(super) chance: Option<f64>,
}

/// Some training examples, and half as many test examples.
pub(super) fn choose(dataset: &Dataset, examples: usize, seed: u64) -> Part {
    let some = |of: &Examples, count: usize, stream| -> Vec<u32> {
        let mut order = epoch_order(of.len(), seed, stream);
        order.truncate(count.max(1));
        order
    };
    Part { train: some(&dataset.train, examples, 0), test: some(&dataset.test, examples.div_ceil(2), 1) }
}

/// What the layers and the network give for a batch: `[batch, elements]` each, and the answers last.
pub(super) fn respond(
    network: &Network,
    layers: &[Layer],
    inputs: &[f32],
    rows: usize,
) -> Result<Vec<Vec<f32>>> {
    let columns = inputs.len() / rows.max(1);
    let x = filled_tensor(rows, columns, |x| x.copy_from_slice(inputs));
    if network.spiking().is_some() {
        let mut all = spike_rates(network, layers, inputs, rows)?;
        all.push(floats(network.infer(x)));
        return Ok(all);
    }
    let nodes = network.blueprint().nodes();
    let output = nodes.iter().position(|node| matches!(node.kind, NodeKind::Output)).unwrap_or(0);
    let wanted: Vec<usize> = layers.iter().map(|layer| layer.output).chain([output]).collect();
    Ok(network.activations(x, &wanted)?.into_iter().map(floats).collect())
}

/// The side of the grid over which an image may be averaged without more features than these.
fn grid_side(image: Image, limit: usize) -> usize {
    let largest = image.height.max(image.width).max(1);
    let fits = |side: &usize| side.min(&image.height) * side.min(&image.width) * image.channels <= limit;
    (1..=largest).rev().find(fits).unwrap_or(1)
}

fn image_of(preprocessing: &Preprocessing) -> Image {
    match preprocessing.shape()[..] {
        [height, width, channels] => Image { height, width, channels },
        _ => Image { height: 1, width: 1, channels: preprocessing.shape().iter().product() },
    }
}

fn classes_of(examples: &Examples, indices: &[u32]) -> Vec<u32> {
    match &examples.targets {
        Targets::Classes(classes) => indices.iter().map(|index| classes[*index as usize]).collect(),
        Targets::Values(_) => Vec::new(),
    }
}

/// Shows the network all examples of a part.
pub(super) fn look(
    network: &Network,
    layers: &[Layer],
    (dataset, preprocessing): (&Dataset, &Preprocessing),
    part: &Part,
    observer: &mut dyn Observer,
) -> Result<Looked> {
    let input = image_of(preprocessing);
    let images: Vec<Image> = [input].into_iter().chain(layers.iter().map(|layer| layer.image)).collect();
    let (train_classes, test_classes) =
        (classes_of(&dataset.train, &part.train), classes_of(&dataset.test, &part.test));
    let classes = match &dataset.task {
        gyrus_data::Task::Classification { classes } => classes.len(),
        gyrus_data::Task::Regression { .. } => 0,
    };
    let mut collector = Collector::new(layers, classes, TOP);
    let mut triggers: Vec<Option<Trigger>> = layers.iter().map(|layer| Trigger::new(layer, input)).collect();
    let mut features: Vec<Pooled> = images.iter().map(|_| Pooled::default()).collect();
    let mut similar: Vec<Vec<f32>> = vec![Vec::new(); images.len()];
    let rows = rows_of_batch(&network.blueprint().shapes()?, BATCH);
    let (mut right, mut buffer) = (0usize, Vec::new());
    let total = (part.train.len() + part.test.len()) as u64;
    let mut done = 0u64;
    for (examples, indices, is_test) in
        [(&dataset.train, &part.train, false), (&dataset.test, &part.test, true)]
    {
        for (number, batch) in indices.chunks(rows).enumerate() {
            fill_batch(examples, preprocessing, batch, None, &mut buffer);
            let mut responses = respond(network, layers, &buffer, batch.len())?;
            let answers = responses.pop().unwrap_or_default();
            let targets = if is_test { &test_classes } else { &train_classes };
            let targets = targets.get(number * rows..).unwrap_or_default();
            if is_test {
                right += correct(&answers, batch.len(), targets);
            } else {
                collector.add(&responses, (classes > 0).then_some(&targets[..batch.len()]));
                if number * rows < TRIGGERS {
                    for (trigger, responses) in triggers.iter_mut().zip(&responses) {
                        if let Some(trigger) = trigger {
                            trigger.add(&buffer, responses);
                        }
                    }
                }
            }
            let every = [&buffer]
                .into_iter()
                .chain(&responses)
                .zip(&images)
                .zip(features.iter_mut().zip(&mut similar));
            for ((values, image), (pooled, similar)) in every {
                let (means, width) = grid_means(values, *image, grid_side(*image, PROBE_FEATURES));
                pooled.width = width;
                if is_test { &mut pooled.test } else { &mut pooled.train }.extend(means);
                let wanted = SIMILAR_EXAMPLES.saturating_sub(number * rows).min(batch.len());
                if is_test && wanted > 0 {
                    let values = &values[..values.len() / batch.len() * wanted];
                    similar.extend(grid_means(values, *image, grid_side(*image, SIMILAR_FEATURES)).0);
                }
            }
            done += batch.len() as u64;
            observer.stage(&Stage { name: "showing examples to the network", done, total });
        }
    }
    let count = part.test.len().min(SIMILAR_EXAMPLES);
    let grams = similar.into_iter().map(|features| Gram::new(features, count).map_err(Error::from));
    Ok(Looked {
        examples: part.train.len(),
        test_examples: part.test.len(),
        accuracy: (classes > 0).then(|| right as f64 / part.test.len().max(1) as f64),
        statistics: collector.finish(),
        triggered: triggers.into_iter().map(|trigger| trigger.map(Trigger::finish)).collect(),
        grams: grams.collect::<Result<_>>()?,
        features,
        train_classes,
        test_classes,
    })
}

/// How many answers are right.
fn correct(answers: &[f32], rows: usize, classes: &[u32]) -> usize {
    let outputs = answers.len() / rows.max(1);
    let rows = answers.chunks_exact(outputs.max(1)).zip(classes);
    rows.filter(|(row, class)| crate::verbs::ranking(row).first() == Some(&(**class as usize))).count()
}

/// The inner products of the input and the layers of another network, for the same test examples.
pub(super) fn grams(
    network: &Network,
    layers: &[Layer],
    (dataset, preprocessing): (&Dataset, &Preprocessing),
    part: &Part,
    observer: &mut dyn Observer,
) -> Result<Vec<Gram>> {
    let images: Vec<Image> =
        [image_of(preprocessing)].into_iter().chain(layers.iter().map(|layer| layer.image)).collect();
    let count = part.test.len().min(SIMILAR_EXAMPLES);
    let mut similar: Vec<Vec<f32>> = vec![Vec::new(); images.len()];
    let rows = rows_of_batch(&network.blueprint().shapes()?, BATCH);
    let (mut buffer, mut done) = (Vec::new(), 0u64);
    for batch in part.test[..count].chunks(rows) {
        fill_batch(&dataset.test, preprocessing, batch, None, &mut buffer);
        let responses = respond(network, layers, &buffer, batch.len())?;
        for ((values, image), similar) in
            [&buffer].into_iter().chain(&responses).zip(&images).zip(&mut similar)
        {
            similar.extend(grid_means(values, *image, grid_side(*image, SIMILAR_FEATURES)).0);
        }
        done += batch.len() as u64;
        observer.stage(&Stage { name: "showing examples to the other network", done, total: count as u64 });
    }
    similar.into_iter().map(|features| Gram::new(features, count).map_err(Error::from)).collect()
}

/// Similarities of some representations (rows) with others (columns).
pub(super) fn table(rows: &[Gram], columns: &[Gram]) -> Vec<Vec<Option<f64>>> {
    let row = |a: &Gram| columns.iter().map(|b| a.unbiased_linear_cka(b)).collect();
    rows.iter().map(row).collect()
}

/// Linear probes of the input and the layers; none without classes, or with too few examples.
pub(super) fn probe(looked: &Looked, classes: usize) -> Result<Probed> {
    let enough = looked.train_classes.len() >= 10 * classes.max(1) && !looked.test_classes.is_empty();
    if classes < 2 || !enough {
        return Ok(Probed { layers: vec![None; looked.features.len()], chance: None });
    }
    let mut counts = vec![0usize; classes];
    for &class in &looked.test_classes {
        if let Some(count) = counts.get_mut(class as usize) {
            *count += 1;
        }
    }
    let most = counts.into_iter().max().unwrap_or(0) as f64;
    let layers = looked.features.iter().map(|pooled| {
        let train = Labeled { features: &pooled.train, classes: &looked.train_classes };
        let test = Labeled { features: &pooled.test, classes: &looked.test_classes };
        Ok(Some(linear_probe(train, test, pooled.width, classes)?))
    });
    let layers = layers.collect::<Result<_>>()?;
    Ok(Probed { layers, chance: Some(most / looked.test_classes.len().max(1) as f64) })
}

/// How many units of each layer can be looked at by so many passes through the network for each, forward and backward, in some
/// minutes; at least one.
pub(super) fn affordable_units(network: &Network, layers: &[Layer], passes: usize) -> Result<usize> {
    /// Multiply-accumulates.
    const MOST_WORK: f64 = 4e12;
    let units = MOST_WORK / (pass_work(network)? * passes as f64 * layers.len() as f64).max(1.0);
    Ok((units as usize).max(1))
}

/// Multiply-accumulates of a pass of one input for one layer: forward and backward, on average through half of the network.
pub(super) fn pass_work(network: &Network) -> Result<f64> {
    Ok(1.5 * network.blueprint().shapes()?.multiply_accumulates() as f64)
}
