//! Drawings of a blueprint: [`svg`] for a page, [`text`] for a terminal.

use std::fmt::Write;

use crate::layout::{BOX_HEIGHT, BOX_WIDTH, Layout};
use crate::markup::escaped;
use crate::{Blueprint, Conv1d, Conv2d, NodeKind, Padding, Pool2d, Result, Shapes};

/// Text and lines take the page's color; the colors of kinds are legible on white and on black.
const STYLE: &str = "
.gyrus-blueprint { font-family: system-ui, 'DejaVu Sans', sans-serif; font-size: 11px }
.gyrus-blueprint text { fill: currentColor; text-anchor: middle }
.gyrus-blueprint .gyrus-name { font-size: 13px; font-weight: 600 }
.gyrus-blueprint .gyrus-shape { opacity: .75 }
.gyrus-blueprint rect { stroke-width: 1.5; fill-opacity: .14 }
.gyrus-blueprint .gyrus-edge { fill: none; stroke: currentColor; stroke-opacity: .6; stroke-width: 1.4 }
.gyrus-blueprint .gyrus-sum { fill: none; stroke: currentColor; stroke-opacity: .6; stroke-width: 1.4 }
.gyrus-ends { fill: #8a8f98; stroke: #8a8f98 }
.gyrus-weights { fill: #3b82f6; stroke: #3b82f6 }
.gyrus-norm { fill: #a855f7; stroke: #a855f7 }
.gyrus-activation { fill: #e8710a; stroke: #e8710a }
.gyrus-reshape { fill: #14a38b; stroke: #14a38b }
.gyrus-neuron { fill: #e0356f; stroke: #e0356f }
";

/// Characters of a name that fit into a box.
const NAME_LETTERS: usize = 24;
/// Radius of the plus sign above a node that adds up its inputs.
const SUM_RADIUS: usize = 7;

/// Draws the blueprint as a self-contained SVG image, from the Input at the top to the Output at the bottom:
/// one box per node with its name, kind, output shape and number of trained parameters.
pub fn svg(blueprint: &Blueprint) -> Result<String> {
    let shapes = blueprint.shapes()?;
    let layout = Layout::new(blueprint, shapes.order());
    let sums: Vec<bool> = blueprint.sources().iter().map(|sources| sources.len() > 1).collect();
    let mut image = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        image,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"gyrus-blueprint\" role=\"img\" \
         width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <defs><marker id=\"gyrus-arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"currentColor\" \
         fill-opacity=\".7\"/></marker></defs>\n",
        w = layout.width,
        h = layout.height,
        title = escaped(&blueprint.name),
    );
    for (edge, &(from, to)) in blueprint.edges().iter().enumerate() {
        image.push_str(&edge_path(&layout, edge, from, to, sums[to]));
    }
    for (index, node) in blueprint.nodes().iter().enumerate() {
        let (left, top) = layout.boxes[index];
        let middle = left + BOX_WIDTH / 2;
        if sums[index] {
            let y = top - SUM_RADIUS;
            let _ = writeln!(
                image,
                "<path class=\"gyrus-sum\" d=\"M{middle} {y}m-{r} 0a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0\
                 m{inner} 0h{cross}m-{half} -{half}v{cross}\"/>",
                r = SUM_RADIUS,
                d = 2 * SUM_RADIUS,
                inner = SUM_RADIUS - 4,
                cross = 8,
                half = 4,
            );
        }
        let trained: u64 = trained_parameters(&shapes, index);
        let parameters = match trained {
            0 => String::new(),
            _ => format!(" · {} parameters", grouped(u128::from(trained))),
        };
        let _ = writeln!(
            image,
            "<g><title>{full}</title><rect class=\"gyrus-{family}\" x=\"{left}\" y=\"{top}\" \
             width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"8\"/>\
             <text class=\"gyrus-name\" x=\"{middle}\" y=\"{name_y}\">{name}</text>\
             <text x=\"{middle}\" y=\"{kind_y}\">{kind}</text>\
             <text class=\"gyrus-shape\" x=\"{middle}\" y=\"{shape_y}\">{shape}{parameters}</text></g>",
            full = escaped(&node.name),
            family = family(&node.kind),
            name = escaped(&shortened(&node.name)),
            kind = escaped(&described(&node.kind)),
            shape = shapes.output(index),
            name_y = top + 20,
            kind_y = top + 37,
            shape_y = top + 53,
        );
    }
    image.push_str("</svg>\n");
    Ok(image)
}

fn edge_path(layout: &Layout, edge: usize, from: usize, to: usize, into_sum: bool) -> String {
    let x0 = layout.boxes[from].0 + BOX_WIDTH / 2;
    let y0 = layout.boxes[from].1 + BOX_HEIGHT;
    let x1 = layout.boxes[to].0 + BOX_WIDTH / 2;
    let y1 = layout.boxes[to].1 - if into_sum { 2 * SUM_RADIUS } else { 0 };
    let mut path = format!("M{x0} {y0}");
    let mut curve_to = |(from_y, x, y): (usize, usize, usize), from_x: usize| {
        let middle = (from_y + y) / 2;
        let _ = match x == from_x {
            true => write!(path, "L{x} {y}"),
            false => write!(path, "C{from_x} {middle} {x} {middle} {x} {y}"),
        };
    };
    match &layout.detours[edge] {
        None => curve_to((y0, x1, y1), x0),
        Some(detour) => {
            curve_to((y0, detour.x, detour.top), x0);
            curve_to((detour.top, detour.x, detour.bottom), detour.x);
            curve_to((detour.bottom, x1, y1), detour.x);
        }
    }
    format!("<path class=\"gyrus-edge\" marker-end=\"url(#gyrus-arrow)\" d=\"{path}\"/>\n")
}

/// The blueprint as a table for the terminal: the kind, output shape, trained parameters and multiply-accumulates
/// (for one sample) of each node, and its sources unless each node is fed by the line above.
pub fn text(blueprint: &Blueprint) -> Result<String> {
    let shapes = blueprint.shapes()?;
    let sources = blueprint.sources();
    let order = shapes.order();
    let is_chain = order.windows(2).all(|pair| sources[pair[1]] == [pair[0]]);
    let mut rows = vec![["node", "kind", "output shape", "parameters", "MACs", "fed by"].map(str::to_owned)];
    for &index in order {
        let node = &blueprint.nodes()[index];
        let fed_by: Vec<&str> =
            sources[index].iter().map(|&source| blueprint.nodes()[source].name.as_str()).collect();
        rows.push([
            node.name.clone(),
            described(&node.kind),
            shapes.output(index).to_string(),
            or_dash(trained_parameters(&shapes, index)),
            or_dash(shapes.node(index).multiply_accumulates),
            if is_chain { String::new() } else { fed_by.join(" + ") },
        ]);
    }
    if is_chain {
        rows[0][5].clear();
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3, 4].map(width);
    let mut table = String::new();
    for [name, kind, shape, parameters, products, fed_by] in &rows {
        let [w0, w1, w2, w3, w4] = widths;
        let line =
            format!("{name:<w0$}  {kind:<w1$}  {shape:<w2$}  {parameters:>w3$}  {products:>w4$}  {fed_by}");
        table.push_str(line.trim_end());
        table.push('\n');
    }
    let name: String = blueprint.name.chars().filter(|letter| !letter.is_control()).collect();
    let _ = write!(
        table,
        "\n{name}: {} trained parameters, {} stored statistics, {} multiply-accumulates per sample\n",
        grouped(u128::from(shapes.trainable_parameters())),
        grouped(u128::from(shapes.stored_statistics())),
        grouped(shapes.multiply_accumulates()),
    );
    Ok(table)
}

fn trained_parameters(shapes: &Shapes, node: usize) -> u64 {
    let trained = shapes.parameters(node).iter().filter(|parameter| parameter.trainable);
    trained.map(|parameter| parameter.elements()).sum()
}

fn or_dash(count: u64) -> String {
    if count == 0 { "-".to_owned() } else { grouped(u128::from(count)) }
}

/// `1234567` as `1,234,567`.
fn grouped(count: u128) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The color class of a kind.
fn family(kind: &NodeKind) -> &'static str {
    match kind {
        NodeKind::Input { .. } | NodeKind::Output => "ends",
        NodeKind::Affine { .. }
        | NodeKind::Linear { .. }
        | NodeKind::Scale
        | NodeKind::Conv1d(_)
        | NodeKind::Conv2d(_)
        | NodeKind::LayerScale
        | NodeKind::ClassToken
        | NodeKind::PositionEmbedding => "weights",
        NodeKind::BatchNorm { .. }
        | NodeKind::LayerNorm { .. }
        | NodeKind::ChannelLayerNorm { .. }
        | NodeKind::Dropout { .. } => "norm",
        NodeKind::ReLU
        | NodeKind::QuantizedReLU { .. }
        | NodeKind::GELU
        | NodeKind::SiLU
        | NodeKind::ReLU6
        | NodeKind::Hardswish
        | NodeKind::QuickGELU
        | NodeKind::TanhGELU
        | NodeKind::Add
        | NodeKind::Multiply
        | NodeKind::SelfAttention { .. }
        | NodeKind::Sigmoid
        | NodeKind::Tanh
        | NodeKind::Softmax { .. } => "activation",
        NodeKind::SumPool2d(_)
        | NodeKind::AvgPool2d(_)
        | NodeKind::MaxPool2d(_)
        | NodeKind::CountMaxPool2d(_)
        | NodeKind::GlobalAvgPool
        | NodeKind::SelectToken { .. }
        | NodeKind::Flatten { .. } => "reshape",
        NodeKind::Delay { .. }
        | NodeKind::Threshold { .. }
        | NodeKind::I { .. }
        | NodeKind::IF { .. }
        | NodeKind::LI { .. }
        | NodeKind::LIF { .. }
        | NodeKind::CubaLI { .. }
        | NodeKind::CubaLIF { .. }
        | NodeKind::AdaptiveLIF { .. }
        | NodeKind::SignedIF { .. } => "neuron",
    }
}

/// The kind, and the hyper-parameters that distinguish one node from another.
fn described(kind: &NodeKind) -> String {
    let name = kind.name();
    match kind {
        NodeKind::Conv1d(Conv1d { kernel, stride, padding, dilation, groups, .. }) => {
            format!("{name} {kernel}{}", extras([*stride], [1], padding, [*dilation], *groups))
        }
        NodeKind::Conv2d(Conv2d { kernel, stride, padding, dilation, groups, .. }) => {
            let [height, width] = kernel;
            format!("{name} {height}×{width}{}", extras(*stride, [1; 2], padding, *dilation, *groups))
        }
        NodeKind::SumPool2d(pool)
        | NodeKind::AvgPool2d(pool)
        | NodeKind::MaxPool2d(pool)
        | NodeKind::CountMaxPool2d(pool) => {
            let Pool2d { kernel: [height, width], stride, padding } = pool;
            let padding = if *padding == [0; 2] { Padding::Valid } else { Padding::Explicit(*padding) };
            format!("{name} {height}×{width}{}", extras(*stride, pool.kernel, &padding, [1; 2], 1))
        }
        NodeKind::Dropout { probability } => format!("{name} {probability}"),
        NodeKind::SelfAttention { heads } => format!("{name}, {heads} heads"),
        NodeKind::SelectToken { index } => format!("{name} {index}"),
        NodeKind::Delay { delay_ms } => format!("{name} {delay_ms} ms"),
        NodeKind::QuantizedReLU { levels } | NodeKind::SignedIF { levels, .. } => {
            format!("{name} {levels} levels")
        }
        NodeKind::Threshold { threshold } => format!("{name} {threshold}"),
        NodeKind::LI { tau_membrane_ms, .. }
        | NodeKind::LIF { tau_membrane_ms, .. }
        | NodeKind::CubaLI { tau_membrane_ms, .. }
        | NodeKind::CubaLIF { tau_membrane_ms, .. }
        | NodeKind::AdaptiveLIF { tau_membrane_ms, .. } => format!("{name} τ {tau_membrane_ms} ms"),
        _ => name.to_owned(),
    }
}

/// The stride, padding, dilation and groups, where they differ from the usual ones.
fn extras<const AXES: usize>(
    stride: [usize; AXES],
    usual_stride: [usize; AXES],
    padding: &Padding<AXES>,
    dilation: [usize; AXES],
    groups: usize,
) -> String {
    let mut text = String::new();
    if stride != usual_stride {
        text.push_str(&format!(", stride {}", per_axis(&stride)));
    }
    match padding {
        Padding::Valid => {}
        Padding::Same => text.push_str(", same"),
        Padding::Explicit(each) => text.push_str(&format!(", pad {}", per_axis(each))),
        Padding::Sides(sides) => {
            let sides: Vec<String> =
                sides.iter().map(|[before, behind]| format!("{before}+{behind}")).collect();
            text.push_str(&format!(", pad {}", sides.join("×")));
        }
    }
    if dilation != [1; AXES] {
        text.push_str(&format!(", dilation {}", per_axis(&dilation)));
    }
    if groups != 1 {
        text.push_str(&format!(", {groups} groups"));
    }
    text
}

fn per_axis(each: &[usize]) -> String {
    match each {
        [first, rest @ ..] if rest.iter().all(|other| other == first) => first.to_string(),
        _ => each.iter().map(usize::to_string).collect::<Vec<_>>().join("×"),
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME_LETTERS {
        return name.to_owned();
    }
    // The end distinguishes nodes of one block, the beginning distinguishes blocks.
    let half = NAME_LETTERS / 2;
    let letters: Vec<char> = name.chars().collect();
    let (head, tail) = (&letters[..half], &letters[letters.len() - half + 1..]);
    head.iter().chain(&['…']).chain(tail).collect()
}
