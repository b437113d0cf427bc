//! The units of each layer, as a grid of pictures; the script adds the panel of a chosen unit.

use std::fmt::Write;

use gyrus_blueprint::escaped;

use super::{FeatureUnit, FeaturesReport, SignedMap};
use crate::Picture;
use crate::html::number;
use crate::sections::data_uri;

pub(super) fn units(report: &FeaturesReport<'_>) -> String {
    if report.layers.is_empty() {
        return String::new();
    }
    let shows_best = report.layers.iter().any(|layer| layer.units.iter().any(|unit| unit.best.is_some()));
    let mut html = String::from(
        "<p class=\"intro\">Select a unit to see what it responds to, what it listens to one layer below, and whom it reaches \
         above; the arrow keys move among the units of a layer. ",
    );
    if shows_best {
        html.push_str(
            "Synthesized pictures were made by the computer to excite one unit as much as possible; nothing like them need be \
             in the data. ",
        );
    }
    html.push_str(
        "In filters and weights, <span class=\"plus\">this color</span> excites and <span class=\"minus\">this one</span> \
         inhibits; each is scaled by its own largest weight.</p><div class=\"views\" role=\"group\" aria-label=\"what the grid \
         shows\" hidden></div>",
    );
    for (index, layer) in report.layers.iter().enumerate() {
        let _ = write!(
            html,
            "<h3 class=\"layer\">{} <small>{}</small></h3>",
            escaped(&layer.name),
            escaped(&layer.detail)
        );
        let _ = write!(html, "<div class=\"grid-of-units\" data-layer=\"{index}\">");
        for unit in &layer.units {
            let name = unit.name.clone().unwrap_or_else(|| format!("unit {}", unit.number));
            let title: Vec<String> =
                unit.facts.iter().map(|(label, value)| format!("{label}: {value}")).collect();
            let _ = write!(
                html,
                "<button type=\"button\" class=\"unit\" id=\"unit-{index}-{}\" data-number=\"{}\" title=\"{}\" \
                 aria-label=\"{}, {}\">{}<span>{}</span></button>",
                unit.number,
                unit.number,
                escaped(&format!("{name}; {}", title.join("; "))),
                escaped(&layer.name),
                escaped(&name),
                thumbnail(unit),
                escaped(&unit.name.clone().unwrap_or_else(|| unit.number.to_string())),
            );
        }
        html.push_str("</div>");
        if layer.unit_count > layer.units.len() {
            let _ = write!(
                html,
                "<p class=\"soft\">{} of {} units are shown.</p>",
                layer.units.len(),
                layer.unit_count
            );
        }
    }
    html.push_str(
        "<div class=\"panel\" id=\"unit-panel\" tabindex=\"-1\" aria-live=\"polite\" hidden></div>",
    );
    html
}

/// What the grid shows of a unit until the script chooses: the synthesized picture, else what excites it on average, else the
/// first example, else the filter.
fn thumbnail(unit: &FeatureUnit) -> String {
    let filter = || unit.filter.as_ref().map(gray);
    let example = || unit.top.first().map(|top| top.picture.clone());
    let best = unit.best.clone().or_else(|| unit.triggered.as_ref().map(gray));
    let picture = best.or_else(example).or_else(filter);
    let source = picture.as_ref().and_then(data_uri);
    match source {
        Some(source) => format!("<img src=\"{source}\" alt=\"\">"),
        None => "<i class=\"nothing\"></i>".to_owned(),
    }
}

/// Gray for 0, white for the largest, black for the smallest value.
pub(super) fn gray(map: &SignedMap) -> Picture {
    let largest = map.values.iter().fold(1e-30f32, |largest, value| largest.max(value.abs()));
    let pixels = map.values.iter().map(|value| (127.5 + 127.5 * value / largest).round() as u8).collect();
    Picture { pixels, height: map.height, width: map.width, channels: map.channels }
}

/// A number with its sign.
pub(super) fn signed_number(value: f64) -> String {
    number(value).replace('-', "−")
}
