//! What a spiking network does on average: its settings in time, how often its layers fire, what an answer costs.

use std::fmt::Write;

use gyrus_blueprint::escaped;

use crate::Energy;
use crate::chart::{Line, LineChart, line_chart};
use crate::html::{compact, energy, grouped, number, percent, percent_tick};
use crate::page::SWIPE;
use crate::scale::Scale;

/// A spiking network on its test examples.
#[derive(Debug, Clone, PartialEq)]
pub struct SpikingReport {
    /// Settings in time, as pairs of name and value: time step, encoder, readout, surrogate.
    pub settings: Vec<(&'static str, String)>,
    /// Test examples that the numbers are means over.
    pub examples: u64,
    /// Time steps of an answer.
    pub steps: usize,
    /// Length of a step in milliseconds.
    pub dt_ms: f64,
    /// Layer by layer.
    pub layers: Vec<LayerRate>,
    /// After each step, the share of these examples that was classified correctly.
    pub accuracy: Vec<f64>,
    /// Synaptic operations of an answer that only add.
    pub accumulates: f64,
    /// Synaptic operations of an answer that multiply.
    pub multiply_accumulates: f64,
    /// Energy of an answer.
    pub energy: Energy,
}

/// How often the neurons of a layer fire.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerRate {
    /// Name of the node.
    pub node: String,
    /// What its neurons are, such as `LIF, τ 2 ms, threshold 1`.
    pub neuron: String,
    /// Number of neurons.
    pub neurons: u64,
    /// Spikes of a neuron in an answer.
    pub spikes_per_neuron: f64,
}

/// The facts, the rates and the accuracy over the steps.
pub(crate) fn spiking_run(report: &SpikingReport) -> String {
    let mut html = String::from("<dl class=\"facts\">");
    let facts = [
        ("energy of an answer, operations only", energy(report.energy.operations_pj)),
        ("energy of an answer, with memory", energy(report.energy.with_memory_pj)),
        ("additions of an answer", compact(report.accumulates.round() as u128)),
        ("multiplications of an answer", compact(report.multiply_accumulates.round() as u128)),
    ];
    for (name, value) in facts {
        let _ = write!(html, "<div><dt>{}</dt><dd>{value}</dd></div>", escaped(name));
    }
    html.push_str("</dl><div class=\"charts\">");
    if report.accuracy.len() > 1 {
        let points = report.accuracy.iter().enumerate().map(|(step, share)| ((step + 1) as f64, *share));
        html.push_str(&line_chart(&LineChart {
            title: "Test accuracy after each step",
            lines: vec![Line { name: "spiking", class: "spiking", points: points.collect() }],
            scale: Scale::for_shares(report.accuracy.iter().copied()),
            chosen_epoch: None,
            write: percent_tick,
            across: None,
            unit: "step",
            axis: "steps",
        }));
    }
    html.push_str("<div class=\"results\"><p><b>In time</b></p><table class=\"nodes\"><tbody>");
    for (name, value) in &report.settings {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escaped(name), escaped(value));
    }
    html.push_str("</tbody></table></div></div>");
    html.push_str(&rates(report));
    html
}

fn rates(report: &SpikingReport) -> String {
    let mut html = format!(
        "<div class=\"rates\">{SWIPE}<div class=\"scroll\"><table class=\"nodes\"><thead><tr><th>layer</th><th>neurons are</th>\
         <th class=\"number\">neurons</th><th class=\"number\">spikes of a neuron</th><th class=\"number\">fire in a step</th>\
         <th class=\"number\">rate</th></tr></thead><tbody>",
    );
    let steps = report.steps.max(1) as f64;
    for layer in &report.layers {
        let hertz = layer.spikes_per_neuron / (steps * report.dt_ms) * 1000.0;
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{} Hz</td></tr>",
            escaped(&layer.node),
            escaped(&layer.neuron),
            grouped(layer.neurons.into()),
            number(layer.spikes_per_neuron),
            percent(layer.spikes_per_neuron / steps, 1),
            number(hertz),
        );
    }
    let _ = write!(
        html,
        "</tbody></table></div></div><p class=\"note\">Means over {} test examples of {} steps of {} ms. Energies are estimates for \
         45 nm silicon, not measurements.</p>",
        grouped(report.examples.into()),
        grouped(report.steps as u128),
        number(report.dt_ms),
    );
    html
}
