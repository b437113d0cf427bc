//! Spikes of one example, played over time by the script; without it, a curve of how many neurons fire at each step.

use std::fmt::Write;

use gyrus_blueprint::escaped;

use super::FeaturesReport;
use crate::chart::{Line, LineChart, line_chart};
use crate::html::{grouped, percent_tick};
use crate::scale::Scale;

pub(super) fn spikes(report: &FeaturesReport<'_>) -> String {
    let Some(spikes) = report.spikes.as_ref().filter(|spikes| !spikes.layers.is_empty()) else {
        return String::new();
    };
    let mut html = format!(
        "<p class=\"intro\">Where neurons fire, step by step, while the network sees {}; a stronger color means that more units fire \
         at a place. Layers without a map show one neuron in each square.</p><div class=\"player\" hidden><button type=\"button\" \
         id=\"play\">play</button><input type=\"range\" id=\"step\" min=\"1\" value=\"1\" aria-label=\"step\"><output \
         id=\"step-shown\"></output></div><div class=\"spike-maps\">",
        escaped(&spikes.title)
    );
    for (index, layer) in spikes.layers.iter().enumerate() {
        let _ = write!(
            html,
            "<figure><canvas class=\"spike-map\" data-layer=\"{index}\" role=\"img\" aria-label=\"spikes of {0}\"></canvas>\
             <figcaption>{0} <small>{1} of {2} fire</small></figcaption></figure>",
            escaped(&layer.name),
            grouped(layer.active as u128),
            grouped(layer.neurons as u128),
        );
    }
    html.push_str("</div>");
    const CLASSES: [&str; 3] = ["validation", "rate", "train"];
    let lines: Vec<Line<'_>> = (spikes.layers.iter().enumerate())
        .map(|(index, layer)| {
            let places = layer.height * layer.width;
            let share = |step: usize| {
                let counts = &layer.counts[step * places..][..places];
                f64::from(counts.iter().sum::<u32>()) / layer.neurons.max(1) as f64
            };
            let points = (0..layer.steps).map(|step| ((step + 1) as f64, share(step))).collect();
            Line { name: &layer.name, class: CLASSES[index % 3], points }
        })
        .collect();
    let shares: Vec<f64> = lines.iter().flat_map(|line| line.points.iter().map(|point| point.1)).collect();
    // More than three lines would share colors.
    let charts = lines.chunks(3).enumerate().map(|(number, lines)| {
        let lines = lines.iter().enumerate();
        line_chart(&LineChart {
            across: None,
            unit: "step",
            axis: "step",
            title: if number == 0 { "Neurons that fire at a step" } else { "In deeper layers" },
            lines: lines
                .map(|(index, line)| Line {
                    name: line.name,
                    class: CLASSES[index],
                    points: line.points.clone(),
                })
                .collect(),
            scale: Scale::for_shares(shares.iter().copied().chain([0.0])),
            chosen_epoch: None,
            write: percent_tick,
        })
    });
    html + "<div class=\"charts spike-charts\">" + &charts.collect::<String>() + "</div>"
}
