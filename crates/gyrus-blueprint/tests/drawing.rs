//! Drawings: the exact text, and required parts of the SVG image.

use gyrus_blueprint::{Blueprint, MAX_NODES, Node, NodeKind, Padding, preset, svg, text};

fn residual() -> Blueprint {
    Blueprint::builder("residual \u{1b}[31m<b>")
        .input([16, 8, 8])
        .node("a & \"b\" <c>", NodeKind::conv2d(16, 3).padding(Padding::Same))
        .node("relu", NodeKind::ReLU)
        .edge("input", "relu")
        .node("pool", NodeKind::GlobalAvgPool)
        .build()
        .unwrap()
}

#[test]
fn a_chain_as_text() {
    let expected = "\
node        kind     output shape  parameters     MACs
input       Input    [1, 28, 28]            -        -
flatten     Flatten  [784]                  -        -
hidden1     Affine   [512]            401,920  401,408
relu1       ReLU     [512]                  -        -
hidden2     Affine   [256]            131,328  131,072
relu2       ReLU     [256]                  -        -
classifier  Affine   [10]               2,570    2,560
output      Output   [10]                   -        -

mlp: 535,818 trained parameters, 0 stored statistics, 535,040 multiply-accumulates per sample
";
    assert_eq!(text(&preset("mlp", [1, 28, 28], 10).unwrap()).unwrap(), expected);
}

#[test]
fn branches_as_text_name_the_sources_of_a_node() {
    let expected = "\
node         kind              output shape  parameters     MACs  fed by
input        Input             [16, 8, 8]             -        -
a & \"b\" <c>  Conv2d 3×3, same  [16, 8, 8]         2,320  147,456  input
relu         ReLU              [16, 8, 8]             -        -  a & \"b\" <c> + input
pool         GlobalAvgPool     [16]                   -        -  relu
output       Output            [16]                   -        -  pool

residual [31m<b>: 2,320 trained parameters, 0 stored statistics, 147,456 multiply-accumulates per sample
";
    assert_eq!(text(&residual()).unwrap(), expected);
}

#[test]
fn an_image_escapes_its_text_and_leads_the_skip_edge_around_the_boxes() {
    let image = svg(&residual()).unwrap();
    assert!(image.contains("<title>residual \u{fffd}[31m&lt;b&gt;</title>"));
    assert!(image.contains(">a &amp; &quot;b&quot; &lt;c&gt;</text>"));
    assert!(image.contains("[16, 8, 8] · 2,320 parameters</text>"));
    // The boxes span x from 16 to 232; the skip edge passes the convolution at 244.
    assert!(image.contains("244 118L244 180"), "{image}");
    assert_eq!(image.matches("gyrus-sum\"").count(), 1);
    assert!(!image.contains('\u{1b}') && !image.contains("href"));
}

#[test]
fn the_largest_blueprints_can_be_drawn() {
    let named = |at: usize, kind| Node { name: at.to_string(), kind };
    let last = MAX_NODES - 1;
    let mut nodes = vec![named(0, NodeKind::Input { shape: [1].into() })];
    nodes.extend((1..last).map(|at| named(at, NodeKind::ReLU)));
    nodes.push(named(last, NodeKind::Output));
    let chain: Vec<_> = (1..=last).map(|at| (at - 1, at)).collect();
    let fan = (1..last).flat_map(|at| [(0, at), (at, last)]).collect();
    let skips = chain.iter().copied().chain((2..=last).map(|at| (0, at))).collect();
    for edges in [chain, fan, skips] {
        let blueprint = Blueprint::new("large", nodes.clone(), edges).unwrap();
        assert_eq!(svg(&blueprint).unwrap().matches("<rect ").count(), MAX_NODES);
    }
}
