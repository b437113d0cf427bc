//! The page of a run that trained a network on examples.

use gyrus_blueprint::{Blueprint, escaped};

use crate::page::{Facts, begin_page, day, end_page, run_header, section};
use crate::{
    Confusion, ConversionReport, CurvePoint, LayerActivity, SpikingReport, sections, spiking, spiking_run,
};

/// What the page of a network shows.
#[derive(Debug, Clone)]
pub struct NetworkReport<'a> {
    /// The name of the data set.
    pub name: &'a str,
    /// When the run began: RFC 3339, UTC.
    pub created: &'a str,
    /// How far it came: `running`, `interrupted` or `finished`.
    pub status: &'a str,
    /// What the network predicts.
    pub task: Task<'a>,
    /// The network.
    pub blueprint: &'a Blueprint,
    /// Number of examples that it was trained on.
    pub train_examples: u64,
    /// Seconds of training.
    pub train_seconds: f64,
    /// Epochs of the whole training.
    pub epochs: u32,
    /// The epoch whose weights were kept; none until the run is finished.
    pub chosen_epoch: Option<u32>,
    /// Quality of the kept weights on each part of the data, part by part; empty until the run is finished.
    pub quality: Vec<(Part, Quality)>,
    /// What else is known of the test examples, as name and value: simple rules, folds of a cross-validation.
    pub beside: Vec<(String, String)>,
    /// One point per epoch.
    pub curve: Vec<CurvePoint>,
    /// Test examples by true and predicted class; classification only.
    pub confusion: Option<Confusion<'a>>,
    /// The worst mistakes on the test examples, worst first.
    pub mistakes: Vec<Mistake>,
    /// True and predicted value of each test example, in the unit of the target; regression only.
    pub regression: Option<Vec<(f32, f32)>>,
    /// The spiking network beside the dense one that it was converted from.
    pub conversion: Option<ConversionReport>,
    /// What a spiking network does on its test examples.
    pub spiking: Option<SpikingReport>,
    /// What the neurons of a spiking network do for one test example.
    pub activity: Option<Activity<'a>>,
    /// Settings, in groups with a title.
    pub provenance: Vec<(&'a str, Facts<'a>)>,
    /// What a person should know, one sentence each.
    pub notes: &'a [String],
    /// Files of the data set that could not be used.
    pub skipped: Skipped<'a>,
}

/// What a network predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task<'a> {
    /// One of this many classes.
    Classification {
        /// Their number.
        classes: usize,
    },
    /// A number.
    Regression {
        /// The name of the quantity.
        target: &'a str,
    },
}

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What the network was trained on.
    Training,
    /// What the epoch was chosen by.
    Validation,
    /// What the result was measured on, once.
    Test,
}

/// How good a network is on one part of the data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Number of examples.
    pub examples: u64,
    /// Mean loss.
    pub loss: f64,
    /// Share that was classified correctly, 0 to 1; classification only.
    pub accuracy: Option<f64>,
    /// Mean absolute error in the unit of the target; regression only.
    pub mean_absolute_error: Option<f64>,
}

/// One example in a spiking network.
#[derive(Debug, Clone)]
pub struct Activity<'a> {
    /// Its class.
    pub label: &'a str,
    /// The example, where it is an image or can be drawn as one.
    pub picture: Option<Picture>,
    /// Layer by layer.
    pub layers: Vec<LayerActivity>,
}

/// A test example that the network got wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    /// What would have been right: the name of the class, or the value.
    pub label: String,
    /// What the network predicted.
    pub predicted: String,
    /// The probability of its prediction, 0 to 1; for regression, 0 hides it.
    pub probability: f32,
    /// The example, where it is an image.
    pub picture: Option<Picture>,
    /// The example, where it is a row of a table.
    pub text: Option<String>,
}

/// A small image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Picture {
    /// Brightness 0 to 255, `[height, width, channels]`.
    pub pixels: Vec<u8>,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 (gray) or 3 (red, green, blue).
    pub channels: usize,
}

/// Files that could not be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped<'a> {
    /// How many there were.
    pub count: u64,
    /// The first of them: the file, and why it could not be used.
    pub files: Vec<(&'a str, &'a str)>,
}

impl NetworkReport<'_> {
    /// Quality on one part of the data.
    pub(crate) fn quality_on(&self, part: Part) -> Option<&Quality> {
        self.quality.iter().find(|(other, _)| *other == part).map(|(_, quality)| quality)
    }

    /// The whole page.
    #[must_use]
    pub fn to_html(&self) -> String {
        let mut page = begin_page(&format!("{} · {}", self.name, self.blueprint.name));
        let task = match self.task {
            Task::Classification { classes } => format!("{} classes", crate::grouped(classes as u128)),
            Task::Regression { target } => format!("predicting {}", escaped(target)),
        };
        let lead = format!("{} · {task} · {}", escaped(&self.blueprint.name), day(self.created));
        page.push_str(&run_header(self.name, self.status, &lead));
        page.push_str(&sections::headline(self));
        if let Some(conversion) = &self.conversion {
            section(
                &mut page,
                "spiking",
                "Spiking network compared with the dense network",
                &spiking::conversion(conversion),
            );
        }
        if let Some(spiking) = &self.spiking {
            section(&mut page, "spikes", "Spikes, rates and energy", &spiking_run::spiking_run(spiking));
        }
        if let Some(activity) = &self.activity {
            let title = format!("Neuron activity for a test example of class {}", escaped(activity.label));
            section(
                &mut page,
                "activity",
                &title,
                &spiking::activity(&activity.layers, activity.picture.as_ref()),
            );
        }
        let learning = match &self.conversion {
            Some(_) if self.curve.is_empty() => "Spiking network",
            Some(_) => "Fine-tuning",
            None => "Training",
        };
        section(&mut page, "curves", learning, &sections::learning(self));
        if let Some(confusion) = &self.confusion {
            section(&mut page, "confusion", "Confusion matrix", &crate::confusion::table(confusion));
        }
        if let (Some(points), Task::Regression { target }) = (&self.regression, self.task) {
            section(&mut page, "scatter", "Predicted and true values", &sections::regression(points, target));
        }
        section(&mut page, "mistakes", "Worst mistakes", &sections::mistakes(&self.mistakes));
        section(&mut page, "blueprint", "Blueprint", &sections::blueprint(self.blueprint));
        section(&mut page, "provenance", "Settings and provenance", &sections::provenance(self));
        section(&mut page, "skipped", "Skipped files", &sections::skipped(&self.skipped));
        end_page(page)
    }
}
