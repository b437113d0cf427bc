//! The page of a run: what its network answered for the test examples.

use gyrus_blueprint::Blueprint;
use gyrus_data::{Dataset, Features, Frames, Targets, Task, fill_batch};
use gyrus_nn::workload::footprint;
use gyrus_nn::{Network, from_safetensors};
use gyrus_report::{Activity, Confusion, Mistake, NetworkReport, Picture, SpikingReport, number};
use gyrus_tensor::cpu;
use gyrus_train::{Evaluation, MetricsRow, RunFolder, RunRecord, activity, evaluate_over_time};

use crate::Result;
use crate::observer::{Observer, Stage};
use crate::verbs::page_data;

/// Mistakes that are shown.
const MISTAKES: usize = 24;
/// Rows of a regression that are shown.
const LARGEST_ERRORS: usize = 12;

/// The most test examples that a spiking network's work is counted over.
const COUNTED: usize = 2000;

/// What a spiking network was seen to do; nothing for a dense one.
#[derive(Default)]
pub(crate) struct Seen<'a> {
    /// One test example.
    pub(crate) activity: Option<Activity<'a>>,
    /// Many of them.
    pub(crate) work: Option<SpikingReport>,
}

/// What the network of a finished spiking run does; without its work, which takes longer, if the observer wants to stop.
pub(crate) fn seen<'a>(
    dataset: &'a Dataset,
    blueprint: &Blueprint,
    record: &RunRecord,
    folder: &RunFolder,
    observer: &mut dyn Observer,
) -> Result<Seen<'a>> {
    let Some(settings) = &record.settings.spiking else { return Ok(Seen::default()) };
    let (state, _) = from_safetensors(&folder.read_model()?)?;
    let network = Network::with_state(blueprint, Some(settings), &state, &cpu())?;
    let activity = example(dataset, &network)?;
    if matches!(dataset.test.targets, Targets::Values(_)) {
        return Ok(Seen { activity, work: None });
    }
    let stride = dataset.test.len().div_ceil(COUNTED).max(1);
    let counted = dataset.test.subset(&(0..dataset.test.len()).step_by(stride).collect::<Vec<_>>());
    let work = evaluate_over_time(&network, &counted, &dataset.preprocessing, None, &mut |done, total| {
        observer.stage(&Stage { name: "counting spikes", done, total });
        !observer.wants_to_stop()
    });
    let work = match work {
        Err(gyrus_train::Error::Stopped) => None,
        other => Some(other?),
    };
    let bytes = footprint(blueprint, &state)?.bytes;
    Ok(Seen { activity, work: work.map(|work| page_data::spiking(blueprint, settings, &work, bytes)) })
}

/// What the neurons do while they see the first test example.
pub(crate) fn example<'a>(dataset: &'a Dataset, network: &Network) -> Result<Option<Activity<'a>>> {
    let (Targets::Classes(classes), Task::Classification { classes: names }) =
        (&dataset.test.targets, &dataset.task)
    else {
        return Ok(None);
    };
    let Some(label) = classes.first().and_then(|class| names.get(*class as usize)) else { return Ok(None) };
    let mut input = Vec::new();
    fill_batch(&dataset.test, &dataset.preprocessing, &[0], None, &mut input);
    let layers = activity(network, &input)?.into_iter().map(page_data::layer).collect();
    Ok(Some(Activity { label, picture: picture(dataset, 0), layers }))
}

/// A test example as an image, where it is one or can be drawn as one.
fn picture(dataset: &Dataset, index: usize) -> Option<Picture> {
    match &dataset.test.features {
        Features::Images(images) => images.get(index).map(|pixels| Picture {
            pixels: pixels.to_vec(),
            height: images.height,
            width: images.width,
            channels: images.channels,
        }),
        Features::Frames(frames) => Some(picture_of(frames, index)),
        Features::Table(_) => None,
    }
}

/// The page.
pub(crate) fn render(
    dataset: &Dataset,
    blueprint: &Blueprint,
    record: &RunRecord,
    metrics: &[MetricsRow],
    test: &Evaluation,
    seen: Seen<'_>,
) -> String {
    let mut page = NetworkReport {
        name: &record.data.name,
        created: &record.created,
        status: record.status.name(),
        task: match &record.task {
            Task::Classification { classes } => gyrus_report::Task::Classification { classes: classes.len() },
            Task::Regression { target, .. } => gyrus_report::Task::Regression { target },
        },
        blueprint,
        train_examples: record.data.train_examples,
        train_seconds: record.timings.train_seconds,
        epochs: record.settings.epochs,
        chosen_epoch: record.results.as_ref().map(|results| results.chosen_epoch),
        quality: page_data::quality(record),
        curve: page_data::curve(metrics, |row| f64::from(row.epoch)),
        confusion: None,
        mistakes: Vec::new(),
        regression: None,
        conversion: record.conversion.as_ref().map(page_data::conversion),
        spiking: seen.work,
        activity: seen.activity,
        provenance: page_data::provenance(record),
        notes: &record.notes,
        skipped: page_data::skipped(record),
        beside: page_data::beside(record),
    };
    match (&dataset.test.targets, &dataset.task) {
        (Targets::Classes(truth), Task::Classification { classes }) => {
            let (counts, mistakes) = confusion(dataset, truth, classes, &test.answers);
            page.confusion = Some(Confusion { classes, counts });
            page.mistakes = mistakes;
        }
        (Targets::Values(truth), Task::Regression { mean, deviation, .. }) => {
            let unit = |value: &f32| value * deviation + mean;
            page.mistakes = largest_errors(dataset, truth, &test.answers, unit);
            page.regression = Some(truth.iter().map(unit).zip(test.answers.iter().map(unit)).collect());
        }
        _ => {}
    }
    page.to_html()
}

/// The confusion counts, and the mistakes that the network was surest of.
fn confusion(
    dataset: &Dataset,
    truth: &[u32],
    classes: &[String],
    answers: &[f32],
) -> (Vec<Vec<u64>>, Vec<Mistake>) {
    let mut counts = vec![vec![0u64; classes.len()]; classes.len()];
    let mut wrong = Vec::new();
    for (index, (row, &class)) in answers.chunks_exact(classes.len()).zip(truth).enumerate() {
        let mut predicted = 0;
        row.iter().enumerate().for_each(|(i, p)| {
            if *p > row[predicted] {
                predicted = i
            }
        });
        counts[class as usize][predicted] += 1;
        if predicted != class as usize {
            wrong.push((row[predicted], index, predicted));
        }
    }
    wrong.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mistake = |&(probability, index, predicted): &(f32, usize, usize)| {
        let picture = picture(dataset, index);
        Mistake {
            label: classes[truth[index] as usize].clone(),
            predicted: classes[predicted].clone(),
            probability,
            text: picture.is_none().then(|| row_text(dataset, index)),
            picture,
        }
    };
    (counts, wrong.iter().take(MISTAKES).map(mistake).collect())
}

/// The test rows whose prediction is farthest from the truth, in the target's unit.
fn largest_errors(
    dataset: &Dataset,
    truth: &[f32],
    answers: &[f32],
    unit: impl Fn(&f32) -> f32,
) -> Vec<Mistake> {
    let mut order: Vec<usize> = (0..truth.len().min(answers.len())).collect();
    let error = |index: usize| (truth[index] - answers[index]).abs();
    order.sort_by(|a, b| error(*b).total_cmp(&error(*a)).then(a.cmp(b)));
    let mistake = |index: &usize| Mistake {
        label: number(f64::from(unit(&truth[*index]))),
        predicted: number(f64::from(unit(&answers[*index]))),
        probability: 0.0,
        picture: None,
        text: Some(row_text(dataset, *index)),
    };
    order.iter().take(LARGEST_ERRORS).map(mistake).collect()
}

/// A test row for a person: where it is in its file, and its values.
fn row_text(dataset: &Dataset, index: usize) -> String {
    match dataset.test_rows.get(index) {
        Some(row) => format!("line {}: {}", row.line, row.values),
        None => format!("test row {}", index + 1),
    }
}

/// All events of a recording in one image: brighter ones red, darker ones blue. For a cochlea, its channels over time, from top
/// to bottom.
fn picture_of(frames: &Frames, index: usize) -> Picture {
    let Frames { height, width, channels, steps, .. } = *frames;
    let counts = &frames.counts[index * frames.example_length()..][..frames.example_length()];
    let (height, layers) = if height == 1 { (steps, 1) } else { (height, steps) };
    let area = height * width;
    let mut sums = vec![0_u32; area * channels];
    for layer in counts.chunks_exact(area * channels).take(layers) {
        sums.iter_mut().zip(layer).for_each(|(sum, count)| *sum += u32::from(*count));
    }
    let most = sums.iter().copied().max().unwrap_or(0).max(1);
    let shade = |sum: u32| (sum * 255 / most) as u8;
    let pixels = sums.chunks_exact(channels).flat_map(|pixel| match pixel {
        [darker, brighter] => [shade(*brighter), 0, shade(*darker)],
        other => [shade(other[0]); 3],
    });
    Picture { pixels: pixels.collect(), height, width, channels: 3 }
}
