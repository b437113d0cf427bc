//! A converted network: accuracy and energy over its steps, and the activity of its neurons.

use std::fmt::Write;

use gyrus_blueprint::escaped;

use crate::Picture;
use crate::chart::{Line, LineChart, line_chart};
use crate::html::{EnergyUnit, compact, energy, grouped, number, percent, percent_tick};
use crate::page::SWIPE;
use crate::scale::Scale;

/// The most layers that are drawn; of more layers, evenly spaced ones.
const LAYERS: usize = 8;
const WIDTH: f64 = 440.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 14.0;
/// Height of a neuron's row of spikes, and of the potentials below.
const ROW: f64 = 6.0;
const POTENTIALS: f64 = 90.0;
const AXIS: f64 = 34.0;
const GAP: f64 = 18.0;

/// A spiking network beside the dense one that it was converted from.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversionReport {
    /// Test accuracy of the dense network, 0 to 1.
    pub dense_accuracy: f64,
    /// Test accuracy of the dense network with quantized activations, 0 to 1.
    pub quantized_accuracy: f64,
    /// After each number of steps.
    pub after: Vec<StepsRow>,
    /// For the exact conversion: how it compares with the quantized network.
    pub exact: Option<ExactReport>,
}

/// A spiking network after some steps: means over the test examples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepsRow {
    /// Steps so far.
    pub steps: usize,
    /// Share of the test examples that was classified correctly.
    pub accuracy: f64,
    /// Spikes per neuron.
    pub spikes_per_neuron: f64,
    /// Synaptic operations that only add.
    pub accumulates: f64,
    /// Synaptic operations that multiply.
    pub multiply_accumulates: f64,
    /// Energy of the spiking network.
    pub spiking: Energy,
    /// Energy of the dense network.
    pub dense: Energy,
    /// Energy of the dense network with quantized activations.
    pub quantized: Energy,
}

/// Energy of one answer, in picojoules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Energy {
    /// Operations only.
    pub operations_pj: f64,
    /// Memory traffic included.
    pub with_memory_pj: f64,
}

/// How the exact conversion compares with its quantized network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactReport {
    /// Test examples that were compared.
    pub examples: u64,
    /// Examples for which some number of the answer differs in any bit.
    pub differing_answers: u64,
    /// The last step at which anything fired for any of these examples.
    pub settled_after: usize,
    /// Steps that are enough for any input.
    pub enough_steps: usize,
}

/// Some neurons of one layer over time.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerActivity {
    /// Name of the node.
    pub node: String,
    /// Number of neurons.
    pub neurons: usize,
    /// How many of them fired.
    pub active: usize,
    /// Spikes of each shown neuron at each step: −1, 0 or 1.
    pub spikes: Vec<Vec<i8>>,
    /// The potential of the first of them at each step before its reset, in units of the threshold.
    pub potentials: Vec<Vec<f32>>,
}

/// The curves over the number of steps, and their table.
pub(crate) fn conversion(conversion: &ConversionReport) -> String {
    let after = &conversion.after;
    let constant = |value: f64| after.iter().map(|row| (row.steps as f64, value)).collect::<Vec<_>>();
    let over = |of: &dyn Fn(&StepsRow) -> f64| -> Vec<(f64, f64)> {
        after.iter().map(|row| (row.steps as f64, of(row))).collect()
    };
    let accuracy = vec![
        Line { name: "spiking", class: "spiking", points: over(&|row| row.accuracy) },
        Line { name: "quantized", class: "quantized", points: constant(conversion.quantized_accuracy) },
        Line { name: "dense", class: "dense", points: constant(conversion.dense_accuracy) },
    ];
    let mut html = String::from("<div class=\"charts\">");
    let shares = accuracy.iter().flat_map(|line| &line.points).map(|point| point.1);
    let scale = Scale::for_shares(shares);
    html.push_str(&chart("Test accuracy", accuracy, scale, percent_tick));
    type Accounting = fn(&Energy) -> f64;
    let accountings: [(&str, Accounting); 2] = [
        ("operations only", |energy| energy.operations_pj),
        ("with memory traffic", |energy| energy.with_memory_pj),
    ];
    for (what, of) in accountings {
        let largest = after.iter().flat_map(|row| [of(&row.spiking), of(&row.dense), of(&row.quantized)]);
        let unit = EnergyUnit::of(largest.fold(0.0, f64::max));
        let in_unit = |picojoules: f64| picojoules / unit.pj;
        let title = format!("Energy of an answer in {}, {what}", unit.name);
        let lines = vec![
            Line { name: "spiking", class: "spiking", points: over(&|row| in_unit(of(&row.spiking))) },
            Line { name: "quantized", class: "quantized", points: over(&|row| in_unit(of(&row.quantized))) },
            Line { name: "dense", class: "dense", points: over(&|row| in_unit(of(&row.dense))) },
        ];
        let values = lines.iter().flat_map(|line| &line.points).map(|point| point.1).collect::<Vec<_>>();
        let scale = Scale::for_loss(values.into_iter());
        html.push_str(&chart(&title, lines, scale, number));
    }
    html.push_str(&spikes_chart(over(&|row| row.spikes_per_neuron)));
    html.push_str("</div>");
    html.push_str(&table(conversion));
    html
}

fn spikes_chart(points: Vec<(f64, f64)>) -> String {
    let scale = Scale::linear(points.iter().map(|point| point.1).chain([0.0]), 5);
    chart("Spikes per neuron", vec![Line { name: "spiking", class: "spiking", points }], scale, number)
}

/// Lines over the number of steps, on a logarithmic axis.
fn chart(title: &str, lines: Vec<Line<'_>>, scale: Scale, write: fn(f64) -> String) -> String {
    let steps: Vec<f64> = lines.first().map_or(Vec::new(), |line| line.points.iter().map(|p| p.0).collect());
    line_chart(&LineChart {
        title,
        lines,
        scale,
        chosen_epoch: None,
        write,
        across: Some(Scale::at(&steps)),
        unit: "step",
        axis: "steps",
    })
}

fn table(conversion: &ConversionReport) -> String {
    let mut html = format!(
        "<div class=\"spiking-table\">{SWIPE}<div class=\"scroll\"><table class=\"nodes\"><thead><tr><th class=\"number\">steps</th>\
         <th class=\"number\">accuracy</th><th class=\"number\">against dense</th><th class=\"number\">spikes per neuron</th>\
         <th class=\"number\">accumulates</th><th class=\"number\">MACs</th>\
         <th class=\"number\">energy, operations only</th><th class=\"number\">energy, with memory</th>\
         <th class=\"number\">relative to quantized</th></tr></thead><tbody>",
    );
    for row in &conversion.after {
        let points = (row.accuracy - conversion.dense_accuracy) * 100.0;
        let _ = write!(
            html,
            "<tr><th scope=\"row\" class=\"number\">{}</th><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            grouped(row.steps as u128),
            percent(row.accuracy, 2),
            format!("{points:+.2}").replace('-', "−"),
            number(row.spikes_per_neuron),
            compact(row.accumulates.round() as u128),
            compact(row.multiply_accumulates.round() as u128),
            energy(row.spiking.operations_pj),
            energy(row.spiking.with_memory_pj),
            percent(row.spiking.with_memory_pj / row.quantized.with_memory_pj, 0),
        );
    }
    html.push_str("</tbody></table></div></div>");
    if let Some(row) = conversion.after.first() {
        let _ = write!(
            html,
            "<p class=\"note\">Means over the test examples. The dense network needs {} for its operations and {} with \
             memory traffic. The last column is the energy with memory traffic, relative to the same network with activations \
             quantized to as many bits as the spikes encode. Energies are estimates for 45 nm silicon, not measurements.</p>",
            energy(row.dense.operations_pj),
            energy(row.dense.with_memory_pj),
        );
    }
    if let Some(exact) = &conversion.exact {
        let _ = write!(
            html,
            "<p class=\"note\">Signed spikes: of {} answers, {} differ from those of the quantized network in any bit. No neuron \
             fired after step {} for these examples; {} steps suffice for any input.</p>",
            grouped(u128::from(exact.examples)),
            grouped(u128::from(exact.differing_answers)),
            exact.settled_after,
            exact.enough_steps,
        );
    }
    html
}

/// Spikes and potentials of each layer.
pub(crate) fn activity(layers: &[LayerActivity], shown: Option<&Picture>) -> String {
    let image = shown.map_or(String::new(), |picture| {
        format!("<p class=\"shown\">{}<span>what the network saw</span></p>", crate::sections::image(picture))
    });
    let count = layers.len().min(LAYERS);
    let shown = (0..count).map(|place| &layers[place * layers.len() / count]);
    let drawings: String = shown.map(layer).collect();
    if drawings.is_empty() {
        return String::new();
    }
    format!(
        "{image}<div class=\"charts\">{drawings}</div><p class=\"note\">Each row of a raster is a neuron; spikes of sign −1 are \
         orange. Below are the membrane potentials of the first three neurons before the reset, in units of the threshold \
         (dashed). Neurons that fire are shown first.</p>"
    )
}

fn layer(layer: &LayerActivity) -> String {
    let steps = layer.spikes.first().map_or(0, Vec::len);
    if steps == 0 {
        return String::new();
    }
    let raster = layer.spikes.len() as f64 * ROW;
    let height = raster + GAP + POTENTIALS + AXIS;
    let column = (WIDTH - LEFT - RIGHT) / steps as f64;
    let x = |step: usize| LEFT + (step as f64 + 0.5) * column;
    let name = escaped(&layer.node);
    let mut svg = format!(
        "<figure class=\"chart\"><figcaption><b>{name}</b><span>{} of {} neurons fire</span></figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"spikes and potentials of {name}\">",
        grouped(layer.active as u128),
        grouped(layer.neurons as u128),
    );
    let _ = write!(
        svg,
        "<path class=\"frame\" d=\"M{LEFT} 0V{raster}H{}\"/><text class=\"tick\" transform=\"translate({} {}) rotate(-90)\" \
         text-anchor=\"middle\">neurons</text>",
        WIDTH - RIGHT,
        LEFT - 34.0,
        raster / 2.0,
    );
    // Rows are numbered from the top, every sixth one.
    for row in (0..layer.spikes.len()).filter(|row| *row == 0 || (row + 1) % 6 == 0) {
        let _ = write!(
            svg,
            "<text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            (row as f64 + 0.5) * ROW + 4.0,
            row + 1,
        );
    }
    // One path for all spikes of one sign keeps the page small.
    for (sign, class) in [(1, "spike"), (-1, "spike negative")] {
        let mut path = String::new();
        for (row, spikes) in layer.spikes.iter().enumerate() {
            for step in (0..steps).filter(|step| spikes[*step] == sign) {
                let _ = write!(path, "M{:.1} {:.1}v{:.1}", x(step), row as f64 * ROW + 0.8, ROW - 1.6);
            }
        }
        if !path.is_empty() {
            let width = (column * 0.6).clamp(1.0, 5.0);
            let _ = write!(svg, "<path class=\"{class}\" stroke-width=\"{width:.1}\" d=\"{path}\"/>");
        }
    }
    let top = raster + GAP;
    let values = layer.potentials.iter().flatten().map(|v| f64::from(*v)).chain([0.0, 1.0]);
    let scale = Scale::linear(values, 3);
    let y = |v: f64| top + POTENTIALS - scale.place(v) * POTENTIALS;
    for tick in scale.ticks() {
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y(*tick) + 4.0,
            Scale::label(*tick),
            y = y(*tick),
        );
    }
    let _ = write!(svg, "<path class=\"chosen\" d=\"M{LEFT} {:.1}H{}\"/>", y(1.0), WIDTH - RIGHT);
    let _ = write!(
        svg,
        "<text class=\"tick\" transform=\"translate({} {}) rotate(-90)\" text-anchor=\"middle\">potential</text>",
        LEFT - 34.0,
        top + POTENTIALS / 2.0,
    );
    for (index, potentials) in layer.potentials.iter().enumerate() {
        let mut path = String::new();
        for (step, v) in potentials.iter().enumerate() {
            let _ =
                write!(path, "{}{:.1} {:.1}", if step == 0 { 'M' } else { 'L' }, x(step), y(f64::from(*v)));
        }
        let _ = write!(svg, "<path class=\"line trace trace{index}\" d=\"{path}\"/>");
    }
    let every = steps.div_ceil(8).max(1);
    for step in (0..steps).filter(|step| (step + 1) % every == 0 || *step == 0) {
        let _ = write!(
            svg,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(step),
            top + POTENTIALS + 16.0,
            step + 1,
        );
    }
    let _ = write!(
        svg,
        "<text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">step</text></svg></figure>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        height - 3.0,
    );
    svg
}
