//! The page of a run that learnt a language model.

use std::fmt::Write;

use crate::chart::{Line, LineChart, line_chart};
use crate::html::escaped;
use crate::scale::Scale;
use crate::{begin_page, end_page, section};
use gyrus_train::{MetricsRow, RunStatus};

/// What the page of a language model shows.
#[derive(Debug, Clone)]
pub struct LanguageReport<'a> {
    /// The name of the corpus.
    pub name: &'a str,
    /// When the run began: RFC 3339, UTC.
    pub created: &'a str,
    /// How far it came.
    pub status: RunStatus,
    /// The result in large letters, and what it is.
    pub headline: (String, &'a str),
    /// What the result means.
    pub detail: String,
    /// Other numbers, with their names first.
    pub facts: Vec<(&'a str, String)>,
    /// One row per judgement.
    pub metrics: &'a [MetricsRow],
    /// What the model writes.
    pub sample: &'a str,
    /// All settings, with their names first.
    pub settings: Vec<(&'a str, String)>,
}

/// The whole page.
#[must_use]
pub fn render_language(report: &LanguageReport<'_>) -> String {
    let mut page = begin_page(&format!("{} · language model", report.name));
    let status = report.status.name();
    let day = report.created.replace('T', " ").replace('Z', " UTC");
    let _ = write!(
        page,
        "<header><p class=\"overline\">Gyrus run <span class=\"status {status}\">{status}</span></p>\n\
         <h1>{}</h1>\n<p class=\"lead\">language model · {}</p></header>\n\
         <section class=\"headline\"><div class=\"hero\"><p class=\"value\">{}</p><p class=\"label\">{}</p>\
         <p class=\"detail\">{}</p></div>\n<dl class=\"facts\">",
        escaped(report.name),
        escaped(&day),
        escaped(&report.headline.0),
        escaped(report.headline.1),
        escaped(&report.detail),
    );
    for (label, value) in &report.facts {
        let _ = write!(page, "<div><dt>{}</dt><dd>{}</dd></div>", escaped(label), escaped(value));
    }
    page.push_str("</dl></section>\n");
    section(&mut page, "curves", "Learning", &curves(report));
    let lines: Vec<String> = report.sample.lines().map(escaped).collect();
    if !lines.is_empty() {
        let text = format!(
            "<p class=\"detail\">By the model alone</p><pre class=\"sample\">{}</pre>",
            lines.join("\n")
        );
        section(&mut page, "sample", "What it writes", &text);
    }
    let mut settings = "<div class=\"provenance\"><div><dl>".to_owned();
    for (label, value) in &report.settings {
        let _ = write!(settings, "<dt>{}</dt><dd>{}</dd>", escaped(label), escaped(value));
    }
    settings.push_str("</dl></div></div>");
    section(&mut page, "provenance", "Settings and provenance", &settings);
    end_page(page)
}

fn curves(report: &LanguageReport<'_>) -> String {
    let series = |value: fn(&MetricsRow) -> f64| -> Vec<(f64, f64)> {
        report.metrics.iter().map(|row| (row.step as f64, value(row))).collect()
    };
    let losses = vec![
        Line { name: "training", class: "train", points: series(|row| row.train_loss) },
        Line { name: "validation", class: "validation", points: series(|row| row.validation_loss) },
    ];
    let rates = vec![Line { name: "learning rate", class: "rate", points: series(|row| row.learning_rate) }];
    let values = |lines: &[Line<'_>]| -> Vec<f64> {
        lines.iter().flat_map(|line| line.points.iter().map(|point| point.1)).collect()
    };
    let loss_scale = Scale::for_loss(values(&losses).into_iter());
    let rate_scale = Scale::linear(values(&rates).into_iter().chain([0.0]), 5);
    let charts = [("Loss in nats a token", losses, loss_scale), ("Learning rate", rates, rate_scale)];
    let drawn: String = charts
        .into_iter()
        .map(|(title, lines, scale)| {
            line_chart(&LineChart {
                across: None,
                unit: "step",
                axis: "step",
                title,
                lines,
                scale,
                chosen_epoch: None,
                write: Scale::label,
            })
        })
        .collect();
    if drawn.is_empty() { drawn } else { format!("<div class=\"charts\">{drawn}</div>") }
}
