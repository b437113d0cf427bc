//! The sections of the page, from top to bottom.

use std::fmt::Write;

use base64::Engine as _;
use gyrus_blueprint::{Blueprint, Shapes};
use gyrus_data::{Augment, Preprocessing, Task};
use image::ImageEncoder as _;

use crate::chart::{Line, LineChart, line_chart, scatter};
use crate::html::{compact, duration, escaped, grouped, number, percent, percent_tick};
use crate::scale::Scale;
use crate::{Mistake, Picture, ReportData};
use gyrus_train::{MetricsRow, RunRecord, SkippedFiles};

/// Rows of the list of skipped files.
const SKIPPED_SHOWN: usize = 50;
/// The most mistakes that are shown.
const MISTAKES_SHOWN: usize = 48;
/// Two-sided 95 % quantile of the normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;

pub(crate) fn header(data: &ReportData<'_>) -> String {
    let record = data.record;
    let task = match &record.task {
        Task::Classification { classes } => format!("{} classes", grouped(classes.len() as u128)),
        Task::Regression { target, .. } => format!("predicting {}", escaped(target)),
    };
    let day = record.created.replace('T', " ").replace('Z', " UTC");
    let status = record.status.name();
    format!(
        "<header><p class=\"overline\">Gyrus run <span class=\"status {status}\">{status}</span></p>\n\
         <h1>{}</h1>\n<p class=\"lead\">{} · {task} · {}</p></header>\n",
        escaped(&record.data.name),
        escaped(&data.blueprint.name),
        escaped(&day),
    )
}

/// The result in large letters, and the numbers that put it in proportion.
pub(crate) fn headline(data: &ReportData<'_>) -> String {
    let record = data.record;
    let test = record.results.as_ref().and_then(|results| results.test.as_ref());
    let (value, label, detail) = match (test, &record.task) {
        (Some(test), Task::Classification { .. }) if test.accuracy.is_some() => {
            let accuracy = test.accuracy.unwrap_or(f64::NAN);
            let (low, high) = wilson(accuracy, test.examples);
            let detail = format!(
                "95 % interval {} to {} · n = {}",
                percent(low, 1),
                percent(high, 1),
                grouped(u128::from(test.examples))
            );
            (percent(accuracy, 2), "test accuracy", detail)
        }
        (Some(test), Task::Regression { target, .. }) => {
            let error = test.mean_absolute_error.map_or("–".to_owned(), number);
            let detail = format!("{} · n = {}", escaped(target), grouped(u128::from(test.examples)));
            (error, "mean absolute test error", detail)
        }
        _ => {
            let epochs = data.metrics.len();
            let detail = format!("{epochs} of {} epochs so far", record.settings.epochs);
            ("–".to_owned(), "not tested yet", detail)
        }
    };
    let shapes = data.blueprint.shapes().ok();
    let trained = shapes.as_ref().map_or(0, Shapes::trainable_parameters);
    let products = shapes.as_ref().map_or(0, Shapes::multiply_accumulates);
    let examples = &record.data;
    let epochs = match &record.results {
        Some(results) => format!("{} <small>of {}</small>", results.chosen_epoch, record.settings.epochs),
        None => format!("{} <small>of {}</small>", data.metrics.len(), record.settings.epochs),
    };
    let skipped = record.skipped.count;
    let files = if skipped == 1 { "file" } else { "files" };
    let left_out = format!("{} <small>{files}</small>", grouped(u128::from(skipped)));
    let mut html = format!(
        "<section class=\"headline\"><div class=\"hero\"><p class=\"value\">{value}</p><p class=\"label\">{label}</p>\
         <p class=\"detail\">{detail}</p></div>\n<dl class=\"facts\">"
    );
    let facts = [
        ("examples to learn from", compact(u128::from(examples.train_examples))),
        ("parameters", compact(u128::from(trained))),
        ("operations per example", format!("{} <small>MACs</small>", compact(products))),
        ("training time", duration(record.timings.train_seconds)),
        (if record.results.is_some() { "chosen epoch" } else { "epochs" }, epochs),
        ("left out", left_out),
    ];
    for (label, value) in facts.iter().filter(|fact| fact.0 != "left out" || skipped > 0) {
        let _ = write!(html, "<div><dt>{label}</dt><dd>{value}</dd></div>");
    }
    html.push_str("</dl></section>\n");
    html
}

/// The 95 % interval of Wilson (1927) for a share that was seen in `count` trials: it stays between 0 and 1 and
/// holds for shares near 1, where the usual one does not.
fn wilson(share: f64, count: u64) -> (f64, f64) {
    let (n, z2) = (count as f64, Z_95 * Z_95);
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z_95 / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

pub(crate) fn curves(data: &ReportData<'_>) -> String {
    let rows = data.metrics;
    let chosen_epoch = data.record.results.as_ref().map(|results| f64::from(results.chosen_epoch));
    let series = |value: fn(&MetricsRow) -> Option<f64>| -> Vec<(f64, f64)> {
        rows.iter().filter_map(|row| value(row).map(|value| (f64::from(row.epoch), value))).collect()
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
    let losses = pair(|row| Some(row.train_loss), |row| Some(row.validation_loss));
    let accuracies = pair(|row| row.train_accuracy, |row| row.validation_accuracy);
    let rates =
        vec![Line { name: "learning rate", class: "rate", points: series(|row| Some(row.learning_rate)) }];
    let scales = [
        Scale::for_loss(values(&losses).into_iter()),
        Scale::for_shares(values(&accuracies).into_iter()),
        Scale::linear(values(&rates).into_iter().chain([0.0]), 5),
    ];
    let [loss_scale, share_scale, rate_scale] = scales;
    let charts = [
        ("Loss", losses, loss_scale, chosen_epoch, Scale::label as fn(f64) -> String),
        ("Accuracy", accuracies, share_scale, chosen_epoch, percent_tick),
        ("Learning rate", rates, rate_scale, None, Scale::label),
    ];
    let drawn: String = charts
        .into_iter()
        .map(|(title, lines, scale, chosen_epoch, write)| {
            line_chart(&LineChart {
                across: None,
                unit: "epoch",
                axis: "epoch",
                title,
                lines,
                scale,
                chosen_epoch,
                write,
            })
        })
        .collect();
    let table = parts_of_data(data.record);
    if drawn.is_empty() && table.is_empty() {
        return String::new();
    }
    format!("<div class=\"charts\">{drawn}{table}</div>")
}

pub(crate) fn regression(points: &[(f32, f32)], target: &str) -> String {
    if points.is_empty() {
        return String::new();
    }
    let pairs = || points.iter().map(|(truth, predicted)| (f64::from(*truth), f64::from(*predicted)));
    let count = points.len() as f64;
    let mean = pairs().map(|(truth, _)| truth).sum::<f64>() / count;
    let error = pairs().map(|(truth, predicted)| (truth - predicted).abs()).sum::<f64>() / count;
    let residual = pairs().map(|(truth, predicted)| (truth - predicted).powi(2)).sum::<f64>();
    let spread = pairs().map(|(truth, _)| (truth - mean).powi(2)).sum::<f64>();
    // Without any spread there is nothing to explain.
    let explained = if spread > 0.0 { number(1.0 - residual / spread) } else { "–".to_owned() };
    format!(
        "<div class=\"scatter\">{}<dl class=\"facts\"><div><dt>R²</dt><dd>{explained}</dd></div>\
         <div><dt>mean absolute error</dt><dd>{}</dd></div>\
         <div><dt>root mean square error</dt><dd>{}</dd></div>\
         <div><dt>test examples</dt><dd>{}</dd></div></dl></div>",
        scatter(points, target),
        number(error),
        number((residual / count).sqrt()),
        grouped(points.len() as u128),
    )
}

pub(crate) fn mistakes(mistakes: &[Mistake]) -> String {
    if mistakes.is_empty() {
        return String::new();
    }
    let mut html = String::from("<div class=\"mistakes\">");
    for mistake in mistakes.iter().take(MISTAKES_SHOWN) {
        html.push_str("<figure>");
        if let Some(source) = mistake.picture.as_ref().and_then(data_uri) {
            let _ = write!(html, "<img src=\"{source}\" alt=\"{}\">", escaped(&mistake.label));
        }
        if let Some(text) = &mistake.text {
            let _ = write!(html, "<p>{}</p>", escaped(text));
        }
        let _ = write!(
            html,
            "<figcaption><span class=\"truth\">{}</span><span class=\"said\">{}</span>",
            escaped(&mistake.label),
            escaped(&mistake.predicted),
        );
        if mistake.probability > 0.0 {
            let _ = write!(html, "<small>{} sure</small>", percent(f64::from(mistake.probability), 0));
        }
        html.push_str("</figcaption></figure>");
    }
    html.push_str(
        "</div><p class=\"key\"><span class=\"truth\">what it is</span> <span class=\"said\">what the network \
         said</span></p>",
    );
    html
}

/// The picture as a PNG inside of the page, or `None` where its length does not fit its size.
fn data_uri(picture: &Picture) -> Option<String> {
    let colour = match picture.channels {
        1 => image::ExtendedColorType::L8,
        3 => image::ExtendedColorType::Rgb8,
        _ => return None,
    };
    let (width, height) = (u32::try_from(picture.width).ok()?, u32::try_from(picture.height).ok()?);
    let length = picture.height.checked_mul(picture.width)?.checked_mul(picture.channels)?;
    if length == 0 || picture.pixels.len() != length {
        return None;
    }
    let mut png = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    encoder.write_image(&picture.pixels, width, height, colour).ok()?;
    Some(format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png)))
}

pub(crate) fn blueprint(blueprint: &Blueprint) -> String {
    // A blueprint that exists has passed its checks; what it says otherwise is shown instead of a drawing.
    let (drawing, shapes) = match (gyrus_blueprint::svg(blueprint), blueprint.shapes()) {
        (Ok(drawing), Ok(shapes)) => (drawing, shapes),
        (Err(error), _) | (_, Err(error)) => return format!("<p>{}</p>", escaped(&error.to_string())),
    };
    let count = |count: u64| if count == 0 { "–".to_owned() } else { grouped(u128::from(count)) };
    let mut html = format!(
        "<div class=\"blueprint\"><div class=\"drawing\">{drawing}</div><div class=\"scroll\"><table class=\"nodes\">\
         <thead><tr><th>node</th><th>kind</th><th>output shape</th><th class=\"number\">parameters</th>\
         <th class=\"number\">MACs</th></tr></thead><tbody>"
    );
    for &index in shapes.order() {
        let node = &blueprint.nodes()[index];
        let trained = shapes.parameters(index).iter().filter(|parameter| parameter.trainable);
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            escaped(&node.name),
            node.kind.name(),
            shapes.output(index),
            count(trained.map(|parameter| parameter.elements()).sum()),
            count(shapes.node(index).multiply_accumulates),
        );
    }
    let _ = write!(
        html,
        "</tbody><tfoot><tr><th scope=\"row\">total</th><td></td><td></td><td class=\"number\">{}</td>\
         <td class=\"number\">{}</td></tr></tfoot></table></div></div>",
        grouped(u128::from(shapes.trainable_parameters())),
        grouped(shapes.multiply_accumulates()),
    );
    html
}

pub(crate) fn provenance(record: &RunRecord) -> String {
    let settings = &record.settings;
    let data = &record.data;
    let input = match &record.preprocessing {
        Preprocessing::Image { height, width, channels, .. } => {
            let colour = if *channels == 1 { "grey" } else { "colour" };
            format!("{height} × {width} pixels, {colour}")
        }
        Preprocessing::Events { steps, height, width, polarity, .. } => {
            let polarity = if *polarity { ", darker and brighter" } else { "" };
            format!("{steps} frames of {height} × {width} counts of events{polarity}")
        }
        Preprocessing::Table { columns, .. } => {
            format!(
                "{} columns, {} numbers",
                columns.len(),
                record.preprocessing.shape().iter().sum::<usize>()
            )
        }
    };
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let learning = [
        ("seed", settings.seed.to_string()),
        ("epochs", settings.epochs.to_string()),
        ("batch size", settings.batch_size.to_string()),
        ("optimiser", settings.optimizer.clone()),
        ("learning rate", number(settings.learning_rate)),
        ("schedule", settings.schedule.clone()),
        ("weight decay", number(settings.weight_decay)),
        ("label smoothing", number(settings.label_smoothing)),
        ("augmentation", augmentation(&settings.augment)),
    ];
    let origin = [
        ("data", data.name.clone()),
        ("read from", optional(&data.path)),
        ("target", optional(&data.target)),
        (
            "examples",
            format!(
                "{} training, {} validation, {} test",
                grouped(u128::from(data.train_examples)),
                grouped(u128::from(data.validation_examples)),
                grouped(u128::from(data.test_examples))
            ),
        ),
        ("network input", input),
        ("data fingerprint", data.fingerprint.clone()),
    ];
    let machine = [
        ("Gyrus", format!("{} (run format {})", record.gyrus_version, record.format_version)),
        ("begun", record.created.clone()),
        ("device", settings.device.clone()),
        ("threads", settings.threads.to_string()),
        ("reading the data", duration(record.timings.data_seconds)),
        ("training", duration(record.timings.train_seconds)),
        ("testing", duration(record.timings.test_seconds)),
        ("in all", duration(record.timings.total_seconds)),
    ];
    let mut html = String::from("<div class=\"provenance\">");
    for (title, rows) in [("Learning", &learning[..]), ("Data", &origin), ("Machine", &machine)] {
        let _ = write!(html, "<div><h3>{title}</h3><dl>");
        for (label, value) in rows.iter().filter(|row| !row.1.is_empty()) {
            let _ = write!(html, "<dt>{label}</dt><dd>{}</dd>", escaped(value));
        }
        html.push_str("</dl></div>");
    }
    html.push_str("</div>");
    for note in &record.notes {
        let _ = write!(html, "<p class=\"note\">{}</p>", escaped(note));
    }
    html
}

/// How good the kept weights are on each part of the data.
fn parts_of_data(record: &RunRecord) -> String {
    let Some(results) = &record.results else { return String::new() };
    let parts = [("training", &results.train), ("validation", &results.validation), ("test", &results.test)];
    let is_regression = matches!(record.task, Task::Regression { .. });
    let quality = if is_regression { "mean absolute error" } else { "accuracy" };
    let mut html = format!(
        "<div class=\"results\"><p><b>Chosen epoch</b> without augmentation</p><table class=\"nodes\"><thead><tr><th>examples</th><th class=\"number\">number</th>\
         <th class=\"number\">loss</th><th class=\"number\">{quality}</th></tr></thead><tbody>"
    );
    for (name, part) in parts {
        let Some(part) = part else { continue };
        let quality = match is_regression {
            true => part.mean_absolute_error.map(number),
            false => part.accuracy.map(|accuracy| percent(accuracy, 2)),
        };
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{name}</th><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td></tr>",
            grouped(u128::from(part.examples)),
            number(part.loss),
            quality.unwrap_or_else(|| "–".to_owned()),
        );
    }
    html.push_str("</tbody></table></div>");
    html
}

/// What is switched on, in words.
fn augmentation(augment: &Augment) -> String {
    let amounts = [
        ("shift", augment.shift_pixels, " px"),
        ("rotate", augment.rotate_degrees, "°"),
        ("scale", augment.scale * 100.0, " %"),
        ("shear", augment.shear_degrees, "°"),
        ("erase", augment.erase_fraction * 100.0, " %"),
        ("noise", augment.noise, ""),
    ];
    let mut words: Vec<String> = amounts
        .iter()
        .filter(|(_, amount, _)| *amount != 0.0)
        .map(|(name, amount, unit)| format!("{name} {}{unit}", number(f64::from(*amount))))
        .collect();
    if augment.flip_horizontal {
        words.push("mirror".to_owned());
    }
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

pub(crate) fn skipped(skipped: &SkippedFiles) -> String {
    if skipped.count == 0 {
        return String::new();
    }
    let shown = skipped.files.len().min(SKIPPED_SHOWN);
    let mut html = String::from(
        "<div class=\"scroll\"><table class=\"nodes\"><thead><tr><th>file</th><th>why</th></tr></thead><tbody>",
    );
    for file in &skipped.files[..shown] {
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
            escaped(&file.path),
            escaped(&file.reason)
        );
    }
    html.push_str("</tbody></table></div>");
    let others = skipped.count.saturating_sub(shown as u64);
    if others > 0 {
        let _ = write!(html, "<p>and {} more.</p>", grouped(u128::from(others)));
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_agrees_with_published_values() {
        // Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        let cases = [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ];
        for (right, count, low, high) in cases {
            let interval = wilson(f64::from(right) / f64::from(count), count as u64);
            assert!((interval.0 - low).abs() < 5e-5 && (interval.1 - high).abs() < 5e-5, "{interval:?}");
        }
        let (low, high) = wilson(1.0, 360);
        assert!(low > 0.98 && (high - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_picture_that_does_not_fit_its_size_is_left_out() {
        let picture = |length, channels| Picture { pixels: vec![7; length], height: 2, width: 3, channels };
        assert!(data_uri(&picture(6, 1)).is_some_and(|uri| uri.starts_with("data:image/png;base64,iVBOR")));
        assert!(data_uri(&picture(18, 3)).is_some());
        assert_eq!(data_uri(&picture(7, 1)), None);
        assert_eq!(data_uri(&picture(12, 2)), None);
        assert_eq!(data_uri(&Picture { height: usize::MAX, ..picture(6, 1) }), None);
    }
}
