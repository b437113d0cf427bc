//! Where decisions came from: attribution maps over the picture, and the units that it excites.

use std::fmt::Write;

use gyrus_blueprint::escaped;

use super::pictures::signed_number;
use super::{Decision, FeaturesReport, SignedMap};
use crate::Picture;
use crate::html::percent;
use crate::sections::data_uri;

pub(super) fn decisions(report: &FeaturesReport<'_>) -> String {
    if report.decisions.is_empty() {
        return String::new();
    }
    let has_gradients = report.decisions.iter().any(|decision| decision.maps.len() > 1);
    let methods = match has_gradients {
        true => {
            "Integrated gradients sum to the difference between the answer for this picture and for a gray one; Grad-CAM shows where \
             the channels of the last map were that counted; occlusion shows how much the answer falls when a window is covered. \
             They often disagree: each asks another question."
        }
        false => {
            "Occlusion shows how much the answer falls when a window is covered; spikes have no gradient."
        }
    };
    let mut html = format!(
        "<p class=\"intro\">What in the picture spoke <span class=\"plus\">for</span> the answer and <span class=\"minus\">against</span> \
         it. {methods}</p><div class=\"decisions\">",
    );
    for decision in &report.decisions {
        html.push_str(&one(decision, report));
    }
    html + "</div>"
}

fn one(decision: &Decision, report: &FeaturesReport<'_>) -> String {
    let mut html = format!("<article class=\"decision\"><h3>{}", escaped(&decision.title));
    if let Some(truth) = &decision.truth {
        let _ = write!(html, " <small>is {}</small>", escaped(truth));
    }
    html.push_str("</h3><div class=\"maps-row\">");
    let side = decision.picture.height.max(decision.picture.width);
    let sharp = if side <= 64 { " class=\"sharp\"" } else { "" };
    if let Some(source) = data_uri(&decision.picture) {
        let _ = write!(
            html,
            "<figure{sharp}><img src=\"{source}\" alt=\"what the network saw\"><figcaption>input</figcaption></figure>"
        );
    }
    for (name, map) in &decision.maps {
        if let Some(source) = data_uri(&overlay(&decision.picture, map)) {
            let _ = write!(
                html,
                "<figure{sharp}><img src=\"{source}\" alt=\"{0} of the answer\"><figcaption>{0}</figcaption></figure>",
                escaped(name)
            );
        }
    }
    html.push_str("</div><ol class=\"bars\">");
    for (name, probability) in &decision.answers {
        let is_right = decision.truth.as_deref() == Some(name.as_str());
        let _ = write!(
            html,
            "<li{} style=\"--share:{:.2}%\"><span class=\"name\">{}</span><span class=\"share\">{}</span></li>",
            if is_right { " class=\"mark\"" } else { "" },
            probability * 100.0,
            escaped(name),
            percent(*probability, 1),
        );
    }
    html.push_str("</ol>");
    let mut rows = String::new();
    for (layer, units) in &decision.excited {
        let Some(own) = report.layers.get(*layer) else { continue };
        let _ = write!(rows, "<div><dt>{}</dt><dd>", escaped(&own.name));
        for (unit, value) in units {
            let known = own.units.iter().find(|other| other.number == *unit);
            let name = known.and_then(|unit| unit.name.clone()).unwrap_or_else(|| unit.to_string());
            let _ = write!(
                rows,
                "<a class=\"go\" href=\"#unit={}.{unit}\" title=\"activation {}\">{}</a>",
                escaped(&own.name),
                signed_number(*value),
                escaped(&name)
            );
        }
        rows.push_str("</dd></div>");
    }
    if !rows.is_empty() {
        let _ = write!(
            html,
            "<p class=\"soft\">units that it excites most, relative to the most that excites each</p><dl class=\"excited\">{rows}</dl>"
        );
    }
    if let Some(error) = decision.completeness_error {
        let _ = write!(
            html,
            "<p class=\"soft\">The integrated gradients' sum is off by {} of the difference.</p>",
            percent(error, 2)
        );
    }
    html + "</article>"
}

/// The map in color over a pale gray of the picture: warm for what is above 0, blue below.
fn overlay(picture: &Picture, map: &SignedMap) -> Picture {
    const PLUS: [f32; 3] = [214.0, 72.0, 24.0];
    const MINUS: [f32; 3] = [40.0, 84.0, 210.0];
    let Picture { height, width, channels, .. } = *picture;
    let mut pixels = Vec::with_capacity(height * width * 3);
    let largest = map.values.iter().fold(1e-30f32, |largest, value| largest.max(value.abs()));
    let same = (map.height, map.width) == (height, width);
    for row in 0..height {
        for column in 0..width {
            let value = if same {
                map.values[row * width + column]
            } else {
                between(map, (row, column), (height, width))
            };
            let at = (row * width + column) * channels.max(1);
            let own = picture.pixels.get(at..at + channels).unwrap_or_default();
            let gray = own.iter().map(|value| f32::from(*value)).sum::<f32>() / channels.max(1) as f32;
            // From 150 to 250, so that both colors stand out.
            let base = 150.0 + gray * 100.0 / 255.0;
            let share = (value / largest).abs().sqrt() * 0.92;
            let color = if value >= 0.0 { PLUS } else { MINUS };
            pixels.extend(color.map(|color| (base + (color - base) * share).round().clamp(0.0, 255.0) as u8));
        }
    }
    Picture { pixels, height, width, channels: 3 }
}

/// The value of a smaller map at a pixel of the picture, between the middles of its places.
fn between(map: &SignedMap, (row, column): (usize, usize), (height, width): (usize, usize)) -> f32 {
    if map.values.is_empty() || map.height == 0 || map.width == 0 {
        return 0.0;
    }
    let place = |at: usize, of: usize, places: usize| {
        let exact = ((at as f32 + 0.5) / of as f32 * places as f32 - 0.5).clamp(0.0, (places - 1) as f32);
        (exact as usize, (exact as usize + 1).min(places - 1), exact.fract())
    };
    let (top, bottom, down) = place(row, height, map.height);
    let (left, right, across) = place(column, width, map.width);
    let at = |row: usize, column: usize| map.values[row * map.width + column];
    let upper = at(top, left) * (1.0 - across) + at(top, right) * across;
    let lower = at(bottom, left) * (1.0 - across) + at(bottom, right) * across;
    upper * (1.0 - down) + lower * down
}
