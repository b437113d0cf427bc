//! The logit lens: what the model would predict after each layer, as a table and as charts.

use std::fmt::Write;

use super::{InspectionReport, share, visible};
use gyrus_blueprint::escaped;

use crate::chart::{Line, LineChart, line_chart};
use crate::html::percent;
use crate::page::SWIPE;
use crate::scale::Scale;

pub(crate) fn lens(report: &InspectionReport<'_>) -> String {
    let layers = report.layers_and_heads.0;
    let mut html = format!(
        "<p class=\"intro\">The residual stream after each layer, decoded by the model's head as if that layer were the last. A cell \
         shows the token that would be the most probable next token; a stronger color means a higher probability. The last row \
         is the model's actual prediction.</p>{SWIPE}<div class=\"scroll\"><table class=\"lens\"><thead><tr><th>input</th>",
    );
    for token in &report.tokens {
        let _ = write!(html, "<th scope=\"col\">{}</th>", escaped(&visible(token.text)));
    }
    html.push_str("</tr></thead><tbody>");
    for layer in 0..=layers {
        let name = layer.checked_sub(1).map_or("embedding".to_owned(), |layer| format!("layer {layer}"));
        let _ = write!(html, "<tr><th scope=\"row\">{name}</th>");
        for cell in report.tokens.iter().filter_map(|token| token.lens.get(layer)) {
            let Some((text, probability)) = cell.top.first() else { continue };
            let _ = write!(
                html,
                "<td><button type=\"button\"{} style=\"--shade:{:.0}%\" title=\"{}\">{}</button></td>",
                if *probability > 0.6 { " class=\"strong\"" } else { "" },
                probability * 100.0,
                share(*probability),
                escaped(&visible(text)),
            );
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody><tfoot><tr><th scope=\"row\">actual next</th>");
    for index in 0..report.tokens.len() {
        let next = report.tokens.get(index + 1).map_or(String::new(), |token| escaped(&visible(token.text)));
        let _ = write!(html, "<td>{next}</td>");
    }
    html.push_str(
        "</tr></tfoot></table></div><div class=\"panel\" id=\"lens-cell\" aria-live=\"polite\" hidden></div>",
    );
    html.push_str(&lens_charts(report, layers));
    html
}

/// How the prediction develops from layer to layer.
fn lens_charts(report: &InspectionReport<'_>, layers: usize) -> String {
    let cells = |layer: usize| report.tokens.iter().filter_map(move |token| token.lens.get(layer));
    let over_layers = |value: &dyn Fn(usize) -> Option<f64>| -> Vec<(f64, f64)> {
        (0..=layers).filter_map(|layer| Some((layer as f64, value(layer)?))).collect()
    };
    let last = over_layers(&|layer| cells(layer).next_back().map(|cell| cell.answer_probability));
    let mean = over_layers(&|layer| {
        let sum: f64 = cells(layer).map(|cell| cell.answer_probability).sum();
        Some(sum / report.tokens.len().max(1) as f64)
    });
    let median = over_layers(&|layer| {
        let mut ranks: Vec<usize> = cells(layer).filter_map(|cell| cell.next_rank).collect();
        ranks.sort_unstable();
        ranks.get(ranks.len() / 2).map(|rank| *rank as f64)
    });
    let values = |points: &[(f64, f64)]| points.iter().map(|point| point.1).collect::<Vec<f64>>();
    let shares = Scale::for_shares(values(&last).into_iter().chain(values(&mean)).chain([0.0]));
    let ranks = Scale::for_loss(values(&median).into_iter().chain([1.0]));
    let chart = |title: &str, lines: Vec<Line<'_>>, scale: Scale, write: fn(f64) -> String| {
        let unit = "layers";
        line_chart(&LineChart {
            across: None,
            unit,
            axis: "layers so far",
            title,
            lines,
            scale,
            chosen_epoch: None,
            write,
        })
    };
    let answers = vec![
        Line { name: "after the last token", class: "answer", points: last },
        Line { name: "mean over all tokens", class: "mean", points: mean },
    ];
    let followers = vec![Line { name: "median", class: "rank", points: median }];
    format!(
        "<div class=\"charts\">{}{}</div>",
        chart("Probability of the model's answer", answers, shares, |value| percent(value, 0)),
        chart("Median rank of the actual next token", followers, ranks, Scale::label),
    )
}
