//! The picture of a circuit: its populations on a circle, its projections as arcs between them.

use std::f64::consts::{PI, TAU};
use std::fmt::Write;

use gyrus_blueprint::escaped;

use super::{SimulationReport, color};
use crate::html::{compact, grouped};

const SIDE: f64 = 560.0;
/// Populations beyond this many are only in the table.
const MOST: usize = 24;
/// Up to this many populations have circles that hold their names.
const NAMED: usize = 14;
/// Up to this many projections have their number of synapses beside them.
const LABELED: usize = 9;

/// Where a population stands, and how large it is.
struct Node {
    x: f64,
    y: f64,
    radius: f64,
}

/// The picture; an empty string for circuits with too many populations to see anything.
pub(super) fn drawing(report: &SimulationReport<'_>) -> String {
    let count = report.populations.len();
    if count == 0 || count > MOST {
        return String::new();
    }
    let largest = report.populations.iter().map(|own| own.neurons).max().unwrap_or(1).max(1) as f64;
    let most = if count <= 4 { 46.0 } else { 34.0 };
    let ring = if count == 1 { 0.0 } else { SIDE * 0.31 };
    let height = if count <= 2 { 300.0 } else { SIDE };
    let nodes: Vec<Node> = (report.populations.iter().enumerate())
        .map(|(index, own)| {
            // Two stand side by side, more begin at the top.
            let angle = if count == 2 { PI } else { -PI / 2.0 } + TAU * index as f64 / count as f64;
            let radius =
                (most * (own.neurons as f64 / largest).sqrt()).max(if count <= NAMED { 30.0 } else { 13.0 });
            Node { x: SIDE / 2.0 + ring * angle.cos(), y: height / 2.0 + ring * angle.sin(), radius }
        })
        .collect();
    let mut svg = format!(
        "<figure class=\"circuit\"><svg viewBox=\"0 0 {SIDE} {height}\" role=\"img\" \
         aria-label=\"populations and the projections between them\">"
    );
    let synapses = report.projections.iter().map(|own| own.synapses);
    let heaviest = (synapses.max().unwrap_or(1).max(2) as f64).ln();
    let center = (SIDE / 2.0, height / 2.0);
    let mut labels = String::new();
    for own in &report.projections {
        let (Some(source), Some(target)) = (nodes.get(own.source), nodes.get(own.target)) else { continue };
        let width = 1.0 + 3.0 * ((own.synapses.max(1) as f64).ln() / heaviest);
        let class = if own.is_inhibitory { "inhibits" } else { "excites" };
        let (path, end, middle) = match own.source == own.target {
            true => to_itself(source, away(source, count, center), width),
            false => between(source, target, width),
        };
        let head = match own.is_inhibitory {
            true => format!(
                "<circle class=\"arrow\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{:.1}\"/>",
                end.0,
                end.1,
                2.5 + width
            ),
            false => arrow(end, 4.0 + 1.8 * width),
        };
        let names = [own.source, own.target].map(|index| escaped(report.populations[index].name));
        let _ = write!(
            svg,
            "<g class=\"{class}\"><path class=\"projection\" stroke-width=\"{width:.1}\" d=\"{path}\"><title>{} → {}: {} \
             synapses</title></path>{head}</g>",
            names[0],
            names[1],
            grouped(own.synapses.into()),
        );
        if report.projections.len() <= LABELED {
            let _ = write!(
                labels,
                "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                middle.0,
                middle.1 + 4.0,
                compact(own.synapses.into()),
            );
        }
    }
    svg.push_str(&labels);
    for ((index, own), node) in report.populations.iter().enumerate().zip(&nodes) {
        let (dx, dy) = (node.x - center.0, node.y - center.1);
        let length = dx.hypot(dy).max(1.0);
        // Names of small populations stand outside of their circle.
        let outward = if count <= NAMED { 0.0 } else { node.radius + 14.0 };
        let (x, y) = (node.x + outward * 1.5 * dx / length, node.y + outward * dy / length);
        let _ = write!(
            svg,
            "<g class=\"{}\"><circle class=\"node\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{:.1}\"/></g><text class=\"title\" x=\"{x:.1}\" \
             y=\"{:.1}\" text-anchor=\"middle\">{}</text><text class=\"count\" x=\"{x:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\">{}</text>",
            color(index, own),
            node.x,
            node.y,
            node.radius,
            y,
            escaped(own.name),
            y + 14.0,
            grouped(own.neurons as u128),
        );
    }
    let _ = write!(
        svg,
        "</svg></figure><p class=\"note\">Blue arrows excite, orange dots inhibit; thicker lines are more synapses{}.</p>",
        if report.projections.len() <= LABELED {
            ", with their number"
        } else {
            "; the table has their numbers"
        },
    );
    svg
}

/// A point and the direction in which a line arrives there.
type End = (f64, f64, f64);

/// An arc from one node to another, bent to its right, so that both directions are seen.
fn between(source: &Node, target: &Node, width: f64) -> (String, End, (f64, f64)) {
    let (dx, dy) = (target.x - source.x, target.y - source.y);
    let length = dx.hypot(dy).max(1.0);
    let bend = 0.18 * length;
    let control =
        ((source.x + target.x) / 2.0 + bend * dy / length, (source.y + target.y) / 2.0 - bend * dx / length);
    let towards = |node: &Node, room: f64| {
        let (x, y) = (control.0 - node.x, control.1 - node.y);
        let far = x.hypot(y).max(1.0);
        (node.x + x / far * (node.radius + room), node.y + y / far * (node.radius + room))
    };
    let (start, end) = (towards(source, 2.0), towards(target, 6.0 + 1.5 * width));
    let angle = (target.y - end.1).atan2(target.x - end.0);
    let middle =
        (0.25 * start.0 + 0.5 * control.0 + 0.25 * end.0, 0.25 * start.1 + 0.5 * control.1 + 0.25 * end.1);
    let path =
        format!("M{:.1} {:.1}Q{:.1} {:.1} {:.1} {:.1}", start.0, start.1, control.0, control.1, end.0, end.1);
    (path, (end.0, end.1, angle), middle)
}

/// The direction in which a node has room: up where all stand side by side, otherwise away from the center.
fn away(node: &Node, count: usize, center: (f64, f64)) -> f64 {
    if count <= 2 { -PI / 2.0 } else { (node.y - center.1).atan2(node.x - center.0) }
}

/// A loop on the side of a node where there is room.
fn to_itself(node: &Node, away: f64, width: f64) -> (String, End, (f64, f64)) {
    let on = |angle: f64, far: f64| (node.x + far * angle.cos(), node.y + far * angle.sin());
    let (start, end) = (on(away - 0.5, node.radius + 2.0), on(away + 0.5, node.radius + 6.0 + 1.5 * width));
    let far = node.radius + 62.0;
    let (one, two) = (on(away - 0.55, far), on(away + 0.55, far));
    let path = format!(
        "M{:.1} {:.1}C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}",
        start.0, start.1, one.0, one.1, two.0, two.1, end.0, end.1
    );
    let angle = (node.y - end.1).atan2(node.x - end.0);
    (path, (end.0, end.1, angle), on(away, node.radius + 46.0))
}

/// The head of an arrow that ends in the direction of its line.
fn arrow((x, y, angle): End, size: f64) -> String {
    let corner = |turn: f64, far: f64| (x + far * (angle + turn).cos(), y + far * (angle + turn).sin());
    let (tip, left, right) = (corner(0.0, size * 0.7), corner(2.5, size * 0.8), corner(-2.5, size * 0.8));
    format!(
        "<path class=\"arrow\" d=\"M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}Z\"/>",
        tip.0, tip.1, left.0, left.1, right.0, right.1
    )
}
