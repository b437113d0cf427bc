//! The page of a run: what its network answered for the test examples.

use gyrus_blueprint::Blueprint;
use gyrus_data::{Dataset, Features, Frames, Targets, Task};
use gyrus_report::{Activity, Confusion, Mistake, NetworkReport, Picture};
use gyrus_train::{Evaluation, MetricsRow, RunRecord};

use crate::verbs::page_data;

/// Mistakes that are shown.
const MISTAKES: usize = 24;

/// The page.
pub(crate) fn render(
    dataset: &Dataset,
    blueprint: &Blueprint,
    record: &RunRecord,
    metrics: &[MetricsRow],
    test: &Evaluation,
    activity: Option<Activity<'_>>,
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
        activity,
        provenance: page_data::provenance(record),
        notes: &record.notes,
        skipped: page_data::skipped(record),
    };
    match (&dataset.test.targets, &dataset.task) {
        (Targets::Classes(truth), Task::Classification { classes }) => {
            let (counts, mistakes) = confusion(dataset, truth, classes, &test.answers);
            page.confusion = Some(Confusion { classes, counts });
            page.mistakes = mistakes;
        }
        (Targets::Values(truth), Task::Regression { mean, deviation, .. }) => {
            let unit = |value: &f32| value * deviation + mean;
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
        let picture = match &dataset.test.features {
            Features::Images(images) => images.get(index).map(|pixels| Picture {
                pixels: pixels.to_vec(),
                height: images.height,
                width: images.width,
                channels: images.channels,
            }),
            Features::Frames(frames) => Some(picture_of(frames, index)),
            Features::Table(_) => None,
        };
        Mistake {
            label: classes[truth[index] as usize].clone(),
            predicted: classes[predicted].clone(),
            probability,
            text: picture.is_none().then(|| format!("test row {}", index + 1)),
            picture,
        }
    };
    (counts, wrong.iter().take(MISTAKES).map(mistake).collect())
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
