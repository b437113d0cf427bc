//! Numbers over depth: curves, tables of similarity, and the edge detectors of the first layer.

use std::f64::consts::PI;
use std::fmt::Write;

use gyrus_blueprint::escaped;

use super::{DepthPoint, Edges, FeaturesReport, Similarity};
use crate::chart::{Line, LineChart, line_chart};
use crate::html::{number, percent, percent_tick};
use crate::page::SWIPE;
use crate::scale::Scale;

/// The curves, and the same numbers as a table.
pub(super) fn depth(report: &FeaturesReport<'_>) -> String {
    let points = &report.depth;
    if points.is_empty() {
        return String::new();
    }
    let series = |value: fn(&DepthPoint) -> Option<f64>| -> Vec<(f64, f64)> {
        let values = points.iter().enumerate();
        values.filter_map(|(index, point)| Some((index as f64, value(point)?))).collect()
    };
    let chart = |title: &str, lines: Vec<Line<'_>>, shares: bool| {
        let values: Vec<f64> =
            lines.iter().flat_map(|line| line.points.iter().map(|point| point.1)).collect();
        let scale = match shares {
            true => Scale::for_shares(values.into_iter().chain([0.0, 1.0])),
            false => Scale::for_loss(values.into_iter()),
        };
        line_chart(&LineChart {
            across: None,
            unit: "layer",
            axis: "layer; 0 is the input",
            title,
            lines: lines.into_iter().filter(|line| !line.points.is_empty()).collect(),
            scale,
            chosen_epoch: None,
            write: if shares { percent_tick } else { number },
        })
    };
    let mut probes = vec![Line {
        name: "linear probe",
        class: "validation",
        points: series(|point| point.probe_accuracy),
    }];
    if let (Some(chance), false) = (report.chance, probes[0].points.is_empty()) {
        let last = (points.len() - 1) as f64;
        probes.push(Line { name: "chance", class: "train", points: vec![(0.0, chance), (last, chance)] });
    }
    let dimension =
        vec![Line { name: "dimension", class: "rate", points: series(|point| point.effective_dimension) }];
    let units = vec![
        Line { name: "class selectivity", class: "validation", points: series(|point| point.selectivity) },
        Line { name: "sparseness", class: "rate", points: series(|point| point.sparseness) },
        Line { name: "active units", class: "train", points: series(|point| point.active) },
    ];
    let charts = [
        chart("Accuracy of a linear probe", probes, true),
        chart("Effective dimension", dimension, false),
        chart("Units of a layer, on average", units, true),
    ];
    let mut table = String::from(
        "<thead><tr><th scope=\"col\">layer</th><th scope=\"col\" class=\"number\">sees pixels</th>\
         <th scope=\"col\" class=\"number\">linear probe</th><th scope=\"col\" class=\"number\">dimension</th>\
         <th scope=\"col\" class=\"number\">selectivity</th><th scope=\"col\" class=\"number\">sparseness</th>\
         <th scope=\"col\" class=\"number\">active</th></tr></thead><tbody>",
    );
    for point in points {
        let shown =
            |value: Option<f64>, write: &dyn Fn(f64) -> String| value.map_or_else(|| "–".to_owned(), write);
        let two = |value: f64| format!("{value:.2}");
        let field = point.field.map_or("all".to_owned(), |[rows, columns]| format!("{rows} × {columns}"));
        let _ = write!(
            table,
            "<tr><th scope=\"row\">{}</th><td class=\"number\">{field}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            escaped(&point.name),
            shown(point.probe_accuracy, &|value| percent(value, 1)),
            shown(point.effective_dimension, &|value| format!("{value:.1}")),
            shown(point.selectivity, &two),
            shown(point.sparseness, &two),
            shown(point.active, &|value| percent(value, 0)),
        );
    }
    format!(
        "<p class=\"intro\">If abstraction grows with depth, a linear classifier reads the class from a deeper layer more \
         accurately, and units care more about one class. The effective dimension is the number of directions in which a \
         representation varies (participation ratio); it often rises and then falls. Selectivity is 0 for a unit that responds to \
         all classes alike and 1 for one that responds to a single class; sparseness is 0 for a unit that responds to every \
         example alike and 1 for one that responds to a single example.</p>\
         <div class=\"charts\">{}</div>{SWIPE}<div class=\"scroll depth-table\"><table class=\"nodes\">{table}</tbody></table></div>",
        charts.concat()
    )
}

/// The tables of similarity.
pub(super) fn similarity(report: &FeaturesReport<'_>) -> String {
    let mut html = String::new();
    if let Some(own) = &report.similarity {
        html.push_str(
            "<p class=\"intro\">Linear centered kernel alignment, without the bias of few examples: 1 for layers that represent the \
             examples in the same way up to rotation and scale, 0 for layers that have nothing in common.</p>",
        );
        html.push_str(&table(own));
    }
    if let Some((name, beside)) = &report.beside {
        let _ = write!(
            html,
            "<h3 class=\"beside-run\">This network's layers (rows) and those of {} (columns)</h3>{}",
            escaped(name),
            table(beside)
        );
    }
    html
}

fn table(similarity: &Similarity) -> String {
    let mut html =
        format!("{SWIPE}<div class=\"scroll\"><table class=\"confusion alike\"><thead><tr><th></th>");
    for name in &similarity.columns {
        let _ = write!(html, "<th scope=\"col\" class=\"upright\"><span>{}</span></th>", escaped(name));
    }
    html.push_str("</tr></thead><tbody>");
    for (name, row) in similarity.rows.iter().zip(&similarity.values) {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escaped(name));
        for value in row {
            match value {
                Some(value) => {
                    let shade = 100.0 * value.clamp(0.0, 1.0);
                    let strong = if *value > 0.6 { " strong" } else { "" };
                    let _ = write!(
                        html,
                        "<td class=\"right{strong}\" style=\"--shade:{shade:.0}%\">{:.2}</td>",
                        value.max(0.0)
                    );
                }
                None => html.push_str("<td>–</td>"),
            }
        }
        html.push_str("</tr>");
    }
    html + "</tbody></table></div>"
}

/// Orientations and frequencies of the filters of a layer.
pub(crate) fn edges(edges: &Edges) -> String {
    let found = edges.units.iter().filter(|unit| unit.4).count();
    let [rows, columns] = edges.extents;
    let freedom = match rows * columns {
        25.. => "",
        _ => {
            " For filters this small, the envelope is fixed, and only orientation, frequency, phase and amplitude are fitted."
        }
    };
    format!(
        "<p class=\"intro\"><b>{found} of {} filters</b> of {} ({rows} × {columns} pixels) are edge detectors: a Gabor function \
         explains at least 70 % of what varies in them (adjusted for the number of its parameters), and a grating excites them at \
         least twice as much at the best orientation as at the worst. Of filters of noise, {} would count.{freedom} A dot is a filter: its angle is the direction across the \
         stripes, its distance from the center the spatial frequency.</p><div class=\"polar\">{}{}</div>",
        edges.filters,
        escaped(&edges.layer),
        percent(edges.by_chance, 0),
        polar(edges),
        rose(edges),
    )
}

const SIDE: f64 = 300.0;
const RADIUS: f64 = 118.0;

/// A polar frame with labels at its angles.
fn frame(title: &str, rings: &[(f64, String)]) -> String {
    let middle = SIDE / 2.0;
    let mut svg = format!(
        "<figure class=\"chart\"><figcaption><b>{title}</b></figcaption><svg viewBox=\"0 0 {SIDE} {SIDE}\" role=\"img\" \
         aria-label=\"{title}\">"
    );
    for (share, label) in rings {
        let _ = write!(
            svg,
            "<circle class=\"frame\" cx=\"{middle}\" cy=\"{middle}\" r=\"{:.1}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
            RADIUS * share,
            middle + 3.0,
            middle - RADIUS * share + 12.0,
        );
    }
    for degrees in [0, 45, 90, 135] {
        let (sin, cos) = f64::from(degrees).to_radians().sin_cos();
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{:.1} {:.1}L{:.1} {:.1}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\">{degrees}°</text>",
            middle - RADIUS * cos,
            middle + RADIUS * sin,
            middle + RADIUS * cos,
            middle - RADIUS * sin,
            middle + (RADIUS + 18.0) * cos,
            middle - (RADIUS + 18.0) * sin + 4.0,
        );
    }
    svg
}

/// A dot for each filter and its opposite, because an orientation is the same after half a turn.
fn polar(edges: &Edges) -> String {
    let rings = [(0.5, "0.25".to_owned()), (1.0, "0.5 cycles per pixel".to_owned())];
    let mut svg = frame("Orientation and frequency", &rings);
    for (unit, orientation, frequency, quality, is_edge) in &edges.units {
        for turn in [0.0, PI] {
            let (sin, cos) = (orientation.to_radians() + turn).sin_cos();
            let radius = RADIUS * (frequency / 0.5).min(1.0);
            let _ = write!(
                svg,
                "<circle class=\"edge{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"><title>unit {unit}: {orientation:.0}°, {} cycles per \
                 pixel, quality {quality:.2}</title></circle>",
                if *is_edge { "" } else { " other" },
                SIDE / 2.0 + radius * cos,
                SIDE / 2.0 - radius * sin,
                number((frequency * 1000.0).round() / 1000.0),
            );
        }
    }
    svg + "</svg><p class=\"detail\"><span class=\"edge-key\"></span>edge detectors <span class=\"edge-key other\"></span>others</p></figure>"
}

/// How many edge detectors there are in each sixth of half a turn.
fn rose(edges: &Edges) -> String {
    const BINS: usize = 6;
    let mut counts = [0usize; BINS];
    for (_, orientation, ..) in edges.units.iter().filter(|unit| unit.4) {
        counts[((orientation / 180.0 * BINS as f64 + 0.5) as usize) % BINS] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let mut svg = frame("Edge detectors by orientation", &[(1.0, most.to_string())]);
    let middle = SIDE / 2.0;
    for (bin, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        for turn in [0.0, PI] {
            let radius = RADIUS * *count as f64 / most as f64;
            let half = PI / BINS as f64 / 2.0 * 0.92;
            let at = bin as f64 * PI / BINS as f64 + turn;
            let (first, last) = ((at - half).sin_cos(), (at + half).sin_cos());
            let _ = write!(
                svg,
                "<path class=\"petal\" d=\"M{middle} {middle}L{:.1} {:.1}A{radius:.1} {radius:.1} 0 0 0 {:.1} {:.1}Z\"><title>around {}°: \
                 {count}</title></path>",
                middle + radius * first.1,
                middle - radius * first.0,
                middle + radius * last.1,
                middle - radius * last.0,
                bin * 180 / BINS,
            );
        }
    }
    svg + "</svg></figure>"
}
