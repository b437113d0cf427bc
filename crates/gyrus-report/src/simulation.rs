//! The page of a simulated circuit: its picture, raster, rates, power spectra, and the numbers of its populations.

mod activity;
pub(crate) mod learned;
mod picture;

use std::fmt::Write;

use gyrus_blueprint::escaped;

use crate::html::{grouped, number};
use crate::page::{Facts, STYLE, SWIPE, begin_page_with, end_page, facts, provenance, run_header, section};

const OWN_STYLE: &str = include_str!("simulation.css");

/// What the page shows.
#[derive(Debug, Clone, Default)]
pub struct SimulationReport<'a> {
    /// The name of the circuit.
    pub name: &'a str,
    /// One sentence on what it is; may be empty.
    pub description: &'a str,
    /// How far it came: `finished`, `interrupted` or `stopped`.
    pub status: &'a str,
    /// The result in large letters, and what it is.
    pub headline: (String, &'a str),
    /// Other numbers, with their names first.
    pub facts: Facts<'a>,
    /// Its populations.
    pub populations: Vec<SimulatedPopulation<'a>>,
    /// Its projections.
    pub projections: Vec<SimulatedProjection>,
    /// Simulated time, in milliseconds.
    pub duration_ms: f64,
    /// Up to here statistics leave the activity out, in milliseconds.
    pub discard_ms: f64,
    /// Width of a bin of [`SimulatedPopulation::activity_hz`], in milliseconds.
    pub bin_ms: f64,
    /// What a person should know, one sentence each.
    pub notes: &'a [String],
    /// Settings, in groups with a title.
    pub provenance: Vec<(&'a str, Facts<'a>)>,
}

/// A population of neurons and what it did.
#[derive(Debug, Clone, Default)]
pub struct SimulatedPopulation<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its neurons.
    pub neurons: usize,
    /// The name of its model.
    pub model: &'a str,
    /// What drives it from outside, such as "Poisson, 20,000 Hz"; may be empty.
    pub input: String,
    /// Whether its synapses inhibit; none without synapses, or with both signs.
    pub is_inhibitory: Option<bool>,
    /// Spikes per neuron and second; none where spikes were not recorded, as for the others below.
    pub rate_hz: Option<f64>,
    /// Mean coefficient of variation of the intervals.
    pub cv: Option<f64>,
    /// Variance over mean of the spikes in bins of 1 ms.
    pub synchrony: Option<f64>,
    /// Mean correlation of pairs.
    pub correlation: Option<f64>,
    /// Width of the bins of the rates, in Hz, and the neurons in each.
    pub rates: (f64, Vec<u32>),
    /// Distance of two frequencies, in Hz, and the power at each multiple of it.
    pub spectrum: (f64, Vec<f64>),
    /// Rate in bins of time, in Hz.
    pub activity_hz: Vec<f64>,
    /// Spikes of some neurons: time in milliseconds, and row.
    pub raster: Vec<(f32, u16)>,
    /// Rows of the raster.
    pub rows: usize,
}

/// Synapses from one population to another.
#[derive(Debug, Clone, Default)]
pub struct SimulatedProjection {
    /// Index of the source population.
    pub source: usize,
    /// Index of the target population.
    pub target: usize,
    /// Number of synapses.
    pub synapses: u64,
    /// Whether they inhibit.
    pub is_inhibitory: bool,
    /// The rule in words, such as "fixed in-degree 1,000".
    pub rule: String,
    /// The weight with its unit.
    pub weight: String,
    /// The delay with its unit.
    pub delay: String,
}

impl SimulationReport<'_> {
    /// The whole page.
    #[must_use]
    pub fn to_html(&self) -> String {
        let mut page = begin_page_with(&format!("{} · gyrus simulate", self.name), "", &[STYLE, OWN_STYLE]);
        page.push_str(&run_header(self.name, self.status, &escaped(self.description)));
        let _ = write!(
            page,
            "<section class=\"headline\"><div class=\"hero\"><p class=\"value\">{}</p><p class=\"label\">{}</p></div>\n\
             {}</section>\n",
            escaped(&self.headline.0),
            escaped(self.headline.1),
            facts(&self.facts),
        );
        let notes: String =
            self.notes.iter().map(|note| format!("<p class=\"note\">{}</p>", escaped(note))).collect();
        page.push_str(&notes);
        section(&mut page, "activity", "Activity", &activity::over_time(self));
        section(&mut page, "populations", "Populations", &self.populations_table());
        section(&mut page, "rates", "Rates and rhythms", &activity::distributions(self));
        section(&mut page, "network", "Network", &self.network());
        section(&mut page, "provenance", "Provenance", &provenance(&self.provenance));
        end_page(page)
    }

    fn populations_table(&self) -> String {
        let heads = ["neurons", "rate, Hz", "CV of intervals", "synchrony", "correlation"];
        let mut html = format!(
            "{SWIPE}<div class=\"scroll\"><table class=\"nodes\"><thead><tr><th>population</th><th>model</th>"
        );
        heads.iter().for_each(|head| {
            let _ = write!(html, "<th class=\"number\">{head}</th>");
        });
        html.push_str("<th>input</th></tr></thead><tbody>");
        let shown = |value: Option<f64>| value.map_or("–".to_owned(), number);
        for own in &self.populations {
            let _ = write!(
                html,
                "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
                 <td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td>{}</td></tr>",
                escaped(own.name),
                escaped(own.model),
                grouped(own.neurons as u128),
                shown(own.rate_hz),
                shown(own.cv),
                shown(own.synchrony),
                shown(own.correlation),
                escaped(&own.input),
            );
        }
        html.push_str("</tbody></table></div>");
        if self.populations.iter().any(|own| own.rate_hz.is_some()) {
            html.push_str(
                "<p class=\"note\">CV: standard deviation over mean of a neuron's intervals between spikes, averaged over the neurons \
                 with at least 4 spikes; 0 for a clock, 1 for a Poisson process. Synchrony: variance over mean of the population's \
                 spikes in bins of 1 ms; 1 for independent Poisson neurons. Correlation: of the spike counts of pairs in bins of \
                 2 ms, among the first 200 neurons that fire.</p>",
            );
        }
        html
    }

    fn network(&self) -> String {
        let mut html = picture::drawing(self);
        if self.projections.is_empty() {
            return html;
        }
        let _ = write!(
            html,
            "<div class=\"spiking-table\">{SWIPE}<div class=\"scroll\"><table class=\"nodes\"><thead><tr><th>projection</th>\
             <th class=\"number\">synapses</th><th>rule</th><th class=\"number\">weight</th><th class=\"number\">delay</th>\
             </tr></thead><tbody>"
        );
        let name = |index: usize| escaped(self.populations.get(index).map_or("", |own| own.name));
        for own in &self.projections {
            let _ = write!(
                html,
                "<tr><th scope=\"row\">{} → {}</th><td class=\"number\">{}</td><td>{}</td><td class=\"number\">{}</td>\
                 <td class=\"number\">{}</td></tr>",
                name(own.source),
                name(own.target),
                grouped(own.synapses.into()),
                escaped(&own.rule),
                escaped(&own.weight),
                escaped(&own.delay),
            );
        }
        html.push_str("</tbody></table></div></div>");
        html
    }
}

/// The color of a population, as a class of the style sheet.
pub(crate) fn color(index: usize, own: &SimulatedPopulation<'_>) -> &'static str {
    match (own.is_inhibitory, index % 2) {
        (Some(true), _) => "inhibits",
        (Some(false), 0) => "excites",
        (Some(false), _) => "excites other",
        (None, _) => "neutral",
    }
}
