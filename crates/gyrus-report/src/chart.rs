//! Charts as inline SVG, colored by the page's style sheet.

use std::fmt::Write;

use gyrus_blueprint::escaped;

use crate::html::number;
use crate::scale::Scale;

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 38.0;
/// Up to how many points of a line are marked one by one, and up to how many have a text under the pointer.
const MARKED: usize = 16;
const HOVERED: usize = 400;
/// The most points of a scatter plot.
const SCATTERED: usize = 2000;

/// One line of a [`line_chart`].
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    /// The class in the style sheet, which gives the color.
    pub(crate) class: &'a str,
    /// Epoch and value, by increasing epoch.
    pub(crate) points: Vec<(f64, f64)>,
}

/// The contents of a [`line_chart`].
pub(crate) struct LineChart<'a> {
    /// The horizontal axis; whole numbers by default.
    pub(crate) across: Option<Scale>,
    /// What the axis counts, in the singular, and the title of the axis.
    pub(crate) unit: &'a str,
    pub(crate) axis: &'a str,
    pub(crate) title: &'a str,
    pub(crate) lines: Vec<Line<'a>>,
    pub(crate) scale: Scale,
    pub(crate) chosen_epoch: Option<f64>,
    pub(crate) write: fn(f64) -> String,
}

/// Lines over epochs or steps; an empty string if there is nothing to draw.
pub(crate) fn line_chart(chart: &LineChart<'_>) -> String {
    let epochs = || chart.lines.iter().flat_map(|line| &line.points).map(|point| point.0);
    let (first, last) = epochs()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), epoch| (low.min(epoch), high.max(epoch)));
    if !first.is_finite() {
        return String::new();
    }
    let across = chart.across.clone().unwrap_or_else(|| Scale::whole(first, last, 7));
    let x = |epoch: f64| LEFT + across.place(epoch) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - chart.scale.place(value) * (HEIGHT - TOP - BOTTOM);
    let title = match chart.scale.is_logarithmic() {
        true => format!("{} <small>logarithmic</small>", escaped(chart.title)),
        false => escaped(chart.title),
    };
    let mut svg = format!("<figure class=\"chart\"><figcaption><b>{title}</b>");
    if chart.lines.len() > 1 {
        for line in &chart.lines {
            let _ = write!(svg, "<span class=\"key {}\">{}</span>", line.class, escaped(line.name));
        }
    }
    let _ = write!(
        svg,
        "</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{} by {}\">",
        escaped(chart.title),
        chart.unit
    );
    for tick in chart.scale.ticks() {
        horizontal(&mut svg, y(*tick), &(chart.write)(*tick));
    }
    for tick in across.ticks() {
        let (x, y) = (x(*tick), HEIGHT - BOTTOM + 16.0);
        let _ =
            write!(svg, "<text class=\"tick\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{tick}</text>");
    }
    axis_title(&mut svg, chart.axis);
    if let Some(epoch) = chart.chosen_epoch.filter(|epoch| (first..=last).contains(epoch)) {
        let x = x(epoch);
        // The text must stay inside of the chart at either end.
        let anchor = match across.place(epoch) {
            ..0.25 => "start",
            ..0.75 => "middle",
            _ => "end",
        };
        let _ = write!(
            svg,
            "<path class=\"chosen\" d=\"M{x:.1} {TOP}V{}\"/><text class=\"chosen-label\" x=\"{x:.1}\" y=\"{}\" \
             text-anchor=\"{anchor}\">chosen: epoch {epoch}</text>",
            HEIGHT - BOTTOM,
            TOP - 7.0,
        );
    }
    for line in &chart.lines {
        let _ = write!(svg, "<path class=\"line {}\" d=\"{}\"/>", line.class, path(&line.points, x, y));
        let is_alone = |index: usize| {
            let drawn = |index: Option<usize>| {
                index.and_then(|index| line.points.get(index)).is_some_and(|point| point.1.is_finite())
            };
            !drawn(index.checked_sub(1)) && !drawn(Some(index + 1))
        };
        for (index, (epoch, value)) in line.points.iter().enumerate() {
            let is_chosen = chart.chosen_epoch == Some(*epoch);
            if value.is_finite() && (line.points.len() <= MARKED || is_chosen || is_alone(index)) {
                let radius = if is_chosen { 4.0 } else { 2.4 };
                let (x, y) = (x(*epoch), y(*value));
                let _ = write!(
                    svg,
                    "<circle class=\"mark {}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>",
                    line.class
                );
            }
        }
    }
    hover_texts(&mut svg, chart, x);
    svg.push_str("</svg></figure>");
    svg
}

/// A tall invisible strip per epoch, with its values as a text under the pointer.
fn hover_texts(svg: &mut String, chart: &LineChart<'_>, x: impl Fn(f64) -> f64) {
    let Some(longest) = chart.lines.iter().max_by_key(|line| line.points.len()) else { return };
    if longest.points.len() > HOVERED {
        return;
    }
    let width = match chart.across {
        // Steps such as powers of two are not as many as the axis is long.
        Some(_) => (WIDTH - LEFT - RIGHT) / (longest.points.len().max(2) - 1) as f64,
        None => (WIDTH - LEFT - RIGHT) / longest.points.len().max(1) as f64,
    };
    for (epoch, _) in &longest.points {
        let mut text = format!("{} {}", chart.unit, number(*epoch));
        for line in &chart.lines {
            if let Some((_, value)) = line.points.iter().find(|point| point.0 == *epoch) {
                let _ = write!(text, "\n{}: {}", line.name, (chart.write)(*value));
            }
        }
        let _ = write!(
            svg,
            "<rect class=\"strip\" x=\"{:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{}\"><title>{}</title></rect>",
            x(*epoch) - width / 2.0,
            HEIGHT - TOP - BOTTOM,
            text.lines().map(escaped).collect::<Vec<_>>().join("\n"),
        );
    }
}

/// A path through the points, interrupted where a value is not finite.
fn path(points: &[(f64, f64)], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut is_drawing = false;
    for (epoch, value) in points {
        if value.is_finite() {
            let _ = write!(path, "{}{:.1} {:.1}", if is_drawing { 'L' } else { 'M' }, x(*epoch), y(*value));
        }
        is_drawing = value.is_finite();
    }
    path
}

fn horizontal(svg: &mut String, y: f64, label: &str) {
    let _ = write!(
        svg,
        "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1}\" \
         text-anchor=\"end\">{}</text>",
        WIDTH - RIGHT,
        LEFT - 8.0,
        y + 4.0,
        escaped(label),
    );
}

fn axis_title(svg: &mut String, title: &str) {
    let (x, y) = ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 4.0);
    let _ = write!(svg, "<text class=\"tick\" x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{title}</text>");
}

/// Predicted against true values on one scale, with the diagonal on which perfect predictions lie.
pub(crate) fn scatter(points: &[(f32, f32)], unit: &str) -> String {
    const SIDE: f64 = 440.0;
    const EDGE: f64 = 58.0;
    let values = points.iter().flat_map(|(truth, predicted)| [f64::from(*truth), f64::from(*predicted)]);
    let scale = Scale::linear(values, 6);
    let along = SIDE - EDGE - RIGHT;
    let x = |value: f64| EDGE + scale.place(value) * along;
    let y = |value: f64| SIDE - EDGE - scale.place(value) * along;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {SIDE} {SIDE}\" role=\"img\" aria-label=\"predicted against true values\">"
    );
    let (low, high) = (SIDE - EDGE, RIGHT);
    for tick in scale.ticks() {
        let label = escaped(&Scale::label(*tick));
        let (x, y) = (x(*tick), y(*tick));
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{EDGE} {y:.1}H{}M{x:.1} {low}V{high}\"/>\
             <text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\
             <text class=\"tick\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            SIDE - RIGHT,
            EDGE - 8.0,
            y + 4.0,
            low + 18.0,
        );
    }
    let _ = write!(svg, "<path class=\"chosen\" d=\"M{EDGE} {low}L{} {high}\"/>", SIDE - RIGHT);
    let stride = points.len().div_ceil(SCATTERED).max(1);
    for (truth, predicted) in points.iter().step_by(stride) {
        let (truth, predicted) = (f64::from(*truth), f64::from(*predicted));
        if truth.is_finite() && predicted.is_finite() {
            let _ = write!(
                svg,
                "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"><title>true {}, predicted {}</title></circle>",
                x(truth),
                y(predicted),
                number(truth),
                number(predicted),
            );
        }
    }
    let middle = EDGE + along / 2.0;
    let unit = escaped(unit);
    let _ = write!(
        svg,
        "<text class=\"tick\" x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">true {unit}</text>\
         <text class=\"tick\" transform=\"translate(14 {}) rotate(-90)\" text-anchor=\"middle\">predicted {unit}</text></svg>",
        SIDE - 14.0,
        RIGHT + along / 2.0,
    );
    svg
}
