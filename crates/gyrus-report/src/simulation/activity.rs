//! Raster, rates over time, distributions of rates and power spectra.

use std::fmt::Write;

use gyrus_blueprint::escaped;

use super::{SimulatedPopulation, SimulationReport, color};
use crate::chart::{Line, LineChart, line_chart};
use crate::html::number;
use crate::scale::Scale;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 52.0;
/// Height of a raster's row, of a rate over time, and of what is between them.
const ROW: f64 = 2.6;
const RATE: f64 = 54.0;
const GAP: f64 = 16.0;
const AXIS: f64 = 34.0;
/// The highest frequency of a spectrum that is drawn.
const HIGHEST_HZ: f64 = 250.0;

/// The raster, and below it the rate of each population over time.
pub(super) fn over_time(report: &SimulationReport<'_>) -> String {
    let shown: Vec<(usize, &SimulatedPopulation<'_>)> =
        report.populations.iter().enumerate().filter(|(_, own)| own.rate_hz.is_some()).collect();
    if shown.is_empty() || report.duration_ms <= 0.0 {
        return String::new();
    }
    let across = Scale::linear([0.0, report.duration_ms].into_iter(), 8);
    let x = |ms: f64| LEFT + across.place(ms) * (WIDTH - LEFT - RIGHT);
    let heights = |own: &SimulatedPopulation<'_>| (own.rows as f64 * ROW).max(14.0);
    let raster: f64 = shown.iter().map(|(_, own)| heights(own) + 4.0).sum();
    let height = raster + shown.len() as f64 * (RATE + GAP) + AXIS;
    let mut svg = format!(
        "<div class=\"scroll\"><figure class=\"raster\"><svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" \
         aria-label=\"spikes and rates over time\">"
    );
    for tick in across.ticks().iter().filter(|tick| **tick <= report.duration_ms * 1.0001) {
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{x:.1} 0V{:.1}\"/><text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\">{}</text>",
            height - AXIS,
            height - AXIS + 16.0,
            Scale::label(*tick),
            x = x(*tick),
        );
    }
    if report.discard_ms > 0.0 {
        let _ = write!(
            svg,
            "<rect class=\"discarded\" x=\"{LEFT}\" y=\"0\" width=\"{:.1}\" height=\"{:.1}\"><title>left out of the \
             statistics</title></rect>",
            x(report.discard_ms.min(report.duration_ms)) - LEFT,
            height - AXIS,
        );
    }
    let mut top = 0.0;
    for (index, own) in &shown {
        let class = color(*index, own);
        let mut path = String::new();
        for (ms, row) in &own.raster {
            let y = top + f64::from(*row) * ROW;
            let _ = write!(path, "M{:.1} {y:.1}v{ROW}", x(f64::from(*ms)));
        }
        let _ = write!(
            svg,
            "<g class=\"{class}\"><path class=\"dots\" d=\"{path}\"/><text class=\"name\" x=\"{}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text></g>",
            LEFT - 10.0,
            top + heights(own) / 2.0 + 4.0,
            escaped(own.name),
        );
        top += heights(own) + 4.0;
    }
    for (index, own) in &shown {
        let (class, base) = (color(*index, own), top + GAP + RATE);
        // The burst with which many circuits begin would flatten the rest.
        let from = if report.bin_ms > 0.0 { (report.discard_ms / report.bin_ms) as usize } else { 0 };
        let counted = own.activity_hz.get(from..).unwrap_or_default();
        let highest = counted.iter().copied().fold(0.0, f64::max);
        let scale = Scale::linear([0.0, highest].into_iter(), 2);
        let y = |hz: f64| base - scale.place(hz).min(1.15) * RATE;
        let mut path = format!("M{LEFT} {base:.1}");
        for (bin, hz) in own.activity_hz.iter().enumerate() {
            let end = ((bin + 1) as f64 * report.bin_ms).min(report.duration_ms);
            let _ = write!(path, "V{:.1}H{:.1}", y(*hz), x(end));
        }
        let _ = write!(path, "V{base:.1}Z");
        let most = scale.ticks().last().copied().unwrap_or_default();
        let _ = write!(
            svg,
            "<g class=\"{class}\"><path class=\"area\" d=\"{path}\"/><text class=\"name\" x=\"{name_x}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text><text class=\"tick\" x=\"{side}\" y=\"{:.1}\">{} Hz</text>\
             <text class=\"tick\" x=\"{side}\" y=\"{base:.1}\">0</text></g>",
            base - RATE / 2.0 + 4.0,
            escaped(own.name),
            base - RATE + 8.0,
            Scale::label(most),
            name_x = LEFT - 10.0,
            side = WIDTH - RIGHT + 6.0,
        );
        top = base;
    }
    let _ = write!(
        svg,
        "<text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"middle\">milliseconds</text></svg></figure></div>\
         <p class=\"note\">Each row of the raster is one of some neurons of each population, evenly chosen. Below: spikes per neuron and \
         second in bins of {} ms.{}</p>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        height - 3.0,
        number(report.bin_ms),
        if report.discard_ms > 0.0 { " What is shaded is left out of the statistics." } else { "" },
    );
    svg
}

/// Distributions of the rates of single neurons, and the spectra.
pub(super) fn distributions(report: &SimulationReport<'_>) -> String {
    let mut html = String::new();
    for (index, own) in report.populations.iter().enumerate() {
        if own.rates.1.len() > 1 {
            html.push_str(&histogram(index, own));
        }
    }
    html.push_str(&spectra(report));
    if html.is_empty() {
        return html;
    }
    format!(
        "<div class=\"charts\">{html}</div><p class=\"note\">Power is that of the population's spikes in bins of 1 ms, over that of \
         independent Poisson neurons of the same rate: 1 means no common rhythm.</p>"
    )
}

fn histogram(index: usize, own: &SimulatedPopulation<'_>) -> String {
    const WIDTH: f64 = 440.0;
    const HEIGHT: f64 = 180.0;
    const LEFT: f64 = 52.0;
    const RIGHT: f64 = 14.0;
    const TOP: f64 = 12.0;
    const BOTTOM: f64 = 38.0;
    let (width, counts) = (own.rates.0, &own.rates.1);
    let end = width * counts.len() as f64;
    let across = Scale::linear([0.0, end].into_iter(), 6);
    let up = Scale::linear(counts.iter().map(|count| f64::from(*count)).chain([0.0]), 4);
    let x = |hz: f64| LEFT + across.place(hz) * (WIDTH - LEFT - RIGHT);
    let y = |count: f64| HEIGHT - BOTTOM - up.place(count) * (HEIGHT - TOP - BOTTOM);
    let name = escaped(own.name);
    let mut svg = format!(
        "<figure class=\"chart\"><figcaption><b>Rates of the neurons of {name}</b></figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"neurons of {name} by rate\">"
    );
    for tick in up.ticks() {
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
    for tick in across.ticks() {
        let _ = write!(
            svg,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(*tick),
            HEIGHT - BOTTOM + 16.0,
            Scale::label(*tick),
        );
    }
    let _ = write!(svg, "<g class=\"{}\">", color(index, own));
    for (bin, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (from, to) = (bin as f64 * width, (bin + 1) as f64 * width);
        let _ = write!(
            svg,
            "<rect class=\"bars\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{} to {} Hz: {count} \
             neurons</title></rect>",
            x(from) + 0.4,
            y(f64::from(*count)),
            (x(to) - x(from) - 0.8).max(0.6),
            y(0.0) - y(f64::from(*count)),
            number(from),
            number(to),
        );
    }
    let _ = write!(
        svg,
        "</g><text class=\"tick\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">Hz</text></svg></figure>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 4.0,
    );
    svg
}

/// Lines in a chart of spectra, and their colors.
const LINES: usize = 4;
const CLASSES: [&str; LINES] = ["validation", "trace2", "rate", "train"];

/// The spectra of all populations, at most four in a chart.
fn spectra(report: &SimulationReport<'_>) -> String {
    let shown: Vec<&SimulatedPopulation<'_>> =
        report.populations.iter().filter(|own| !own.spectrum.1.is_empty()).collect();
    shown.chunks(LINES).map(spectrum_chart).collect()
}

fn spectrum_chart(some: &[&SimulatedPopulation<'_>]) -> String {
    let mut lines = Vec::new();
    for (own, class) in some.iter().zip(CLASSES) {
        let (step, power) = (own.spectrum.0, &own.spectrum.1);
        let points = power.iter().enumerate().map(|(place, power)| ((place + 1) as f64 * step, *power));
        let points = points.take_while(|point| point.0 <= HIGHEST_HZ).collect();
        lines.push(Line { name: own.name, class, points });
    }
    let powers: Vec<f64> = lines.iter().flat_map(|line| &line.points).map(|point| point.1).collect();
    line_chart(&LineChart {
        across: Some(Scale::linear([0.0, HIGHEST_HZ].into_iter(), 5)),
        unit: "frequency",
        axis: "Hz",
        title: "Power spectrum",
        lines,
        scale: Scale::for_loss(powers.into_iter()),
        chosen_epoch: None,
        write: number,
    })
}
