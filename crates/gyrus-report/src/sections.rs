//! The sections of a network's page, from top to bottom.

use std::fmt::Write;

use base64::Engine as _;
use gyrus_blueprint::{Blueprint, Shapes, escaped};
use image::ImageEncoder as _;

use crate::chart::scatter;
use crate::curves::curves;
use crate::html::{compact, duration, grouped, number, percent};
use crate::page::SWIPE;
use crate::{Mistake, NetworkReport, Part, Picture, Skipped, Task, page};

/// The most skipped files that are listed.
const SKIPPED_SHOWN: usize = 50;
/// The most mistakes that are shown.
const MISTAKES_SHOWN: usize = 48;
/// Two-sided 95 % quantile of the normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;

/// The result in large letters, and other important numbers.
pub(crate) fn headline(report: &NetworkReport<'_>) -> String {
    let (value, label, detail) = match (report.quality_on(Part::Test), report.task) {
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
        (Some(test), Task::Regression { target }) => {
            let error = test.mean_absolute_error.map_or("–".to_owned(), number);
            let detail = format!("{} · n = {}", escaped(target), grouped(u128::from(test.examples)));
            (error, "mean absolute test error", detail)
        }
        _ => {
            let epochs = report.curve.len();
            ("–".to_owned(), "not tested yet", format!("{epochs} of {} epochs so far", report.epochs))
        }
    };
    let shapes = report.blueprint.shapes().ok();
    let trained = shapes.as_ref().map_or(0, Shapes::trainable_parameters);
    let products = shapes.as_ref().map_or(0, Shapes::multiply_accumulates);
    let epochs = match report.chosen_epoch {
        Some(chosen) => format!("{chosen} <small>of {}</small>", report.epochs),
        None => format!("{} <small>of {}</small>", report.curve.len(), report.epochs),
    };
    let skipped = report.skipped.count;
    let files = if skipped == 1 { "file" } else { "files" };
    let left_out = format!("{} <small>{files}</small>", grouped(u128::from(skipped)));
    let mut html = format!(
        "<section class=\"headline\"><div class=\"hero\"><p class=\"value\">{value}</p><p class=\"label\">{label}</p>\
         <p class=\"detail\">{detail}</p></div>\n<dl class=\"facts\">"
    );
    let facts = [
        ("training examples", compact(u128::from(report.train_examples))),
        ("parameters", compact(u128::from(trained))),
        ("operations per example", format!("{} <small>MACs</small>", compact(products))),
        ("training time", duration(report.train_seconds)),
        (if report.chosen_epoch.is_some() { "chosen epoch" } else { "epochs" }, epochs),
        ("skipped", left_out),
    ];
    for (label, value) in facts.iter().filter(|fact| fact.0 != "skipped" || skipped > 0) {
        let _ = write!(html, "<div><dt>{label}</dt><dd>{value}</dd></div>");
    }
    html.push_str("</dl></section>\n");
    html
}

/// The 95 % confidence interval of Wilson (1927) for a share observed in `count` trials. It stays between 0 and 1 and is valid
/// for shares near 1, where the normal approximation is not.
fn wilson(share: f64, count: u64) -> (f64, f64) {
    let (n, z2) = (count as f64, Z_95 * Z_95);
    let center = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z_95 / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    ((center - half).max(0.0), (center + half).min(1.0))
}

/// The curves, and how good the kept weights are on each part of the data.
pub(crate) fn learning(report: &NetworkReport<'_>) -> String {
    let drawn = curves(&report.curve, "epoch", "Loss", report.chosen_epoch.map(f64::from));
    let table = parts_of_data(report);
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
    // Without variance there is nothing to explain.
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
            let _ = write!(html, "<small>{} confident</small>", percent(f64::from(mistake.probability), 0));
        }
        html.push_str("</figcaption></figure>");
    }
    html.push_str(
        "</div><p class=\"key\"><span class=\"truth\">true</span> <span class=\"said\">predicted</span></p>",
    );
    html
}

/// An image by itself; empty if its length does not match its size.
pub(crate) fn image(picture: &Picture) -> String {
    data_uri(picture).map_or(String::new(), |source| format!("<img src=\"{source}\" alt=\"\">"))
}

/// The image as a PNG inside of the page; `None` if its length does not match its size.
pub(crate) fn data_uri(picture: &Picture) -> Option<String> {
    let color = match picture.channels {
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
    encoder.write_image(&picture.pixels, width, height, color).ok()?;
    Some(format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png)))
}

pub(crate) fn blueprint(blueprint: &Blueprint) -> String {
    // A blueprint has passed its checks; if there is an error all the same, it is shown instead of the drawing.
    let (drawing, shapes) = match (gyrus_blueprint::svg(blueprint), blueprint.shapes()) {
        (Ok(drawing), Ok(shapes)) => (drawing, shapes),
        (Err(error), _) | (_, Err(error)) => return format!("<p>{}</p>", escaped(&error.to_string())),
    };
    let count = |count: u64| if count == 0 { "–".to_owned() } else { grouped(u128::from(count)) };
    let mut html = format!(
        "<div class=\"blueprint\"><div class=\"drawing\">{drawing}</div><div>{SWIPE}<div class=\"scroll\"><table class=\"nodes\">\
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
         <td class=\"number\">{}</td></tr></tfoot></table></div></div></div>",
        grouped(u128::from(shapes.trainable_parameters())),
        grouped(shapes.multiply_accumulates()),
    );
    html
}

pub(crate) fn provenance(report: &NetworkReport<'_>) -> String {
    let mut html = page::provenance(&report.provenance);
    for note in report.notes {
        let _ = write!(html, "<p class=\"note\">{}</p>", escaped(note));
    }
    html
}

/// How good the kept weights are on each part of the data.
fn parts_of_data(report: &NetworkReport<'_>) -> String {
    if report.quality.is_empty() {
        return String::new();
    }
    let is_regression = matches!(report.task, Task::Regression { .. });
    let quality = if is_regression { "mean absolute error" } else { "accuracy" };
    let mut html = format!(
        "<div class=\"results\"><p><b>Results of the chosen epoch</b> without augmentation</p><table class=\"nodes\"><thead><tr><th>examples</th><th class=\"number\">number</th>\
         <th class=\"number\">loss</th><th class=\"number\">{quality}</th></tr></thead><tbody>"
    );
    for (part, values) in &report.quality {
        let name = match part {
            Part::Training => "training",
            Part::Validation => "validation",
            Part::Test => "test",
        };
        let quality = match is_regression {
            true => values.mean_absolute_error.map(number),
            false => values.accuracy.map(|accuracy| percent(accuracy, 2)),
        };
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{name}</th><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td></tr>",
            grouped(u128::from(values.examples)),
            number(values.loss),
            quality.unwrap_or_else(|| "–".to_owned()),
        );
    }
    for (name, value) in &report.beside {
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td></td><td></td><td class=\"number\">{}</td></tr>",
            escaped(name),
            escaped(value),
        );
    }
    html.push_str("</tbody></table></div>");
    html
}

pub(crate) fn skipped(skipped: &Skipped<'_>) -> String {
    if skipped.count == 0 {
        return String::new();
    }
    let shown = skipped.files.len().min(SKIPPED_SHOWN);
    let mut html = String::from(
        "<div class=\"scroll\"><table class=\"nodes\"><thead><tr><th>file</th><th>reason</th></tr></thead><tbody>",
    );
    for (file, reason) in &skipped.files[..shown] {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escaped(file), escaped(reason));
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
    fn an_image_that_does_not_match_its_size_is_left_out() {
        let picture = |length, channels| Picture { pixels: vec![7; length], height: 2, width: 3, channels };
        assert!(data_uri(&picture(6, 1)).is_some_and(|uri| uri.starts_with("data:image/png;base64,iVBOR")));
        assert!(data_uri(&picture(18, 3)).is_some());
        assert_eq!(data_uri(&picture(7, 1)), None);
        assert_eq!(data_uri(&picture(12, 2)), None);
        assert_eq!(data_uri(&Picture { height: usize::MAX, ..picture(6, 1) }), None);
    }
}
