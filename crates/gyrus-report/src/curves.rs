//! Learning curves: losses, accuracies and the learning rate over epochs or steps.

use crate::chart::{Line, LineChart, line_chart};
use crate::html::percent_tick;
use crate::scale::Scale;

/// One evaluation during a training.
#[derive(Debug, Clone, PartialEq)]
pub struct CurvePoint {
    /// When: the epoch or step after which the model was evaluated.
    pub at: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Mean training loss since the evaluation before; NaN leaves a gap.
    pub train_loss: f64,
    /// Mean validation loss; NaN leaves a gap.
    pub validation_loss: f64,
    /// Share of training examples that were classified correctly, 0 to 1; classification only.
    pub train_accuracy: Option<f64>,
    /// Share of validation examples that were classified correctly, 0 to 1; classification only.
    pub validation_accuracy: Option<f64>,
    /// Training loss between the evaluations: when, and the mean since the point before; empty where only the mean is known.
    pub losses: Vec<(f64, f64)>,
}

/// One chart for each quantity that has values; the empty text where there are none. `unit` is what `at` counts,
/// `chosen` the epoch whose weights were kept.
pub(crate) fn curves(points: &[CurvePoint], unit: &str, loss_title: &str, chosen: Option<f64>) -> String {
    let series = |value: fn(&CurvePoint) -> Option<f64>| -> Vec<(f64, f64)> {
        points.iter().filter_map(|point| value(point).map(|value| (point.at, value))).collect()
    };
    let pair = |train, validation| {
        let mut lines = vec![
            Line { name: "training", class: "train", points: series(train) },
            Line { name: "validation", class: "validation", points: series(validation) },
        ];
        lines.retain(|line| !line.points.is_empty());
        lines
    };
    let values = |lines: &[Line<'_>]| -> Vec<f64> {
        lines.iter().flat_map(|line| line.points.iter().map(|point| point.1)).collect()
    };
    let mut losses = pair(|point| Some(point.train_loss), |point| Some(point.validation_loss));
    let fine: Vec<(f64, f64)> = points.iter().flat_map(|point| point.losses.iter().copied()).collect();
    let is_fine = !fine.is_empty();
    if let Some(training) = losses.iter_mut().find(|line| line.class == "train").filter(|_| is_fine) {
        // An epoch whose pieces are not known is one point among them.
        let whole =
            points.iter().filter(|point| point.losses.is_empty()).map(|point| (point.at, point.train_loss));
        training.points = fine.into_iter().chain(whole).collect();
        training.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    let end = points.last().map_or(0.0, |point| point.at);
    let accuracies = pair(|point| point.train_accuracy, |point| point.validation_accuracy);
    let rates = vec![Line {
        name: "learning rate",
        class: "rate",
        points: series(|point| Some(point.learning_rate)),
    }];
    let loss_scale = Scale::for_loss(values(&losses).into_iter());
    let share_scale = Scale::for_shares(values(&accuracies).into_iter());
    let rate_scale = Scale::linear(values(&rates).into_iter().chain([0.0]), 5);
    let charts = [
        (loss_title, losses, loss_scale, chosen, Scale::label as fn(f64) -> String),
        ("Accuracy", accuracies, share_scale, chosen, percent_tick),
        ("Learning rate", rates, rate_scale, None, Scale::label),
    ];
    charts
        .into_iter()
        .map(|(title, lines, scale, chosen_epoch, write)| {
            line_chart(&LineChart {
                across: (is_fine && end > 0.0).then(|| Scale::whole(0.0, end, 7)),
                unit,
                axis: unit,
                title,
                lines,
                scale,
                chosen_epoch,
                write,
            })
        })
        .collect()
}
