//! Gray images with classes: brightness becomes the rate of a Poisson train.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gyrus_data::{Features, Targets, Task, epoch_order};
use gyrus_simulate::competition::{Assignment, CompetitionSettings, Learned, Response};

use super::{Judged, LearningReport, Shown};
use crate::verbs::learn::standard_images;
use crate::{Error, Observer, Result, Stage};

/// The rate of a white pixel, in Hz (Diehl & Cook 2015).
const WHITE_HZ: f32 = 63.75;
/// Training images by whose answers neurons get their classes.
const KNOWN: usize = 10_000;

pub(super) struct Images {
    train: gyrus_data::Images,
    labels: Vec<u32>,
    test: gyrus_data::Images,
    test_labels: Vec<u32>,
    names: Vec<String>,
    seed: u64,
    /// The order of the epoch that is shown.
    order: Mutex<(u64, Vec<u32>)>,
}

fn images(features: Features, targets: Targets, name: &str) -> Result<(gyrus_data::Images, Vec<u32>)> {
    match (features, targets) {
        (Features::Images(images), Targets::Classes(labels)) if images.channels == 1 => Ok((images, labels)),
        _ => Err(Error::request(format!("{name} holds no gray images with classes"))),
    }
}

impl Images {
    pub(super) fn open(name: &str, directory: Option<&Path>, seed: u64) -> Result<Self> {
        let data = standard_images(name, directory)?;
        let Task::Classification { classes } = data.task else {
            return Err(Error::request(format!("{name} has no classes")));
        };
        let (train, labels) = images(data.train.features, data.train.targets, name)?;
        let (test, test_labels) = images(data.test.features, data.test.targets, name)?;
        let order = Mutex::new((0, epoch_order(train.count, seed, 0)));
        Ok(Self { train, labels, test, test_labels, names: classes, seed, order })
    }

    fn place(&self, presentation: usize) -> usize {
        let epoch = (presentation / self.train.count) as u64;
        let mut order = self.order.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if order.0 != epoch {
            *order = (epoch, epoch_order(self.train.count, self.seed, epoch));
        }
        order.1[presentation % self.train.count] as usize
    }
}

fn rates(images: &gyrus_data::Images, index: usize) -> Vec<f32> {
    let pixels = images.get(index).unwrap_or_default();
    pixels.iter().map(|&pixel| f32::from(pixel) / 255.0 * WHITE_HZ).collect()
}

/// Answers with progress; an error where the observer stops it.
fn answers(
    learned: &Learned,
    count: usize,
    rates_hz: impl Fn(usize) -> Vec<f32> + Sync,
    name: &'static str,
    observer: &mut dyn Observer,
) -> Result<Vec<Response>> {
    let (done, stops) = (AtomicUsize::new(0), AtomicBool::new(false));
    let observer = Mutex::new(observer);
    let hear = |more: usize| {
        let done = done.fetch_add(more, Ordering::Relaxed) + more;
        if let Ok(mut observer) = observer.try_lock() {
            observer.stage(&Stage { name, done: done as u64, total: count as u64 });
            stops.fetch_or(observer.wants_to_stop(), Ordering::Relaxed);
        }
        if stops.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let responses = learned.responses(count, rates_hz, hear)?;
    responses.ok_or_else(|| Error::failed(format!("stopped while {name}")))
}

impl Shown for Images {
    fn settings(&self, neurons: usize) -> CompetitionSettings {
        CompetitionSettings::new(self.train.example_length(), neurons)
    }

    fn rates_hz(&self, presentation: usize) -> Vec<f32> {
        rates(&self.train, self.place(presentation))
    }

    fn class(&self, presentation: usize) -> Option<u32> {
        Some(self.labels[self.place(presentation)])
    }

    fn classes(&self) -> usize {
        self.names.len()
    }

    fn judge(
        &self,
        learned: &Learned,
        report: &mut LearningReport,
        observer: &mut dyn Observer,
    ) -> Result<Judged> {
        let known = self.train.count.min(KNOWN);
        let of_known = |index: usize| rates(&self.train, index);
        let responses = answers(learned, known, of_known, "giving classes", observer)?;
        let assignment = Assignment::new(&responses, &self.labels[..known], self.names.len());
        let of_test = |index: usize| rates(&self.test, index);
        let responses = answers(learned, self.test.count, of_test, "testing", observer)?;
        let mut confusion = vec![vec![0u64; self.names.len()]; self.names.len()];
        let mut silent = 0u64;
        for (response, &label) in responses.iter().zip(&self.test_labels) {
            match assignment.classify(response) {
                Some(class) => confusion[label as usize][class as usize] += 1,
                None => silent += 1,
            }
        }
        let right: u64 = (0..self.names.len()).map(|class| confusion[class][class]).sum();
        report.accuracy = Some(right as f64 / self.test.count.max(1) as f64);
        report.test_examples = self.test.count;
        let of_class = |class: u32| assignment.classes.iter().filter(|own| **own == Some(class)).count();
        report.neurons_of_class = (0..self.names.len() as u32).map(of_class).collect();
        if silent > 0 {
            report
                .notes
                .push(format!("no neuron with a class fired for {silent} test images, which count as wrong"));
        }
        Ok(Judged {
            classes: assignment.classes,
            names: self.names.clone(),
            confusion,
            fits: Vec::new(),
            extents: [self.train.height, self.train.width],
        })
    }
}
