//! The nodes of vision networks: shapes, parameters, TOML, refusals.

use gyrus_blueprint::{Blueprint, NodeKind, Padding, Shape};

/// A block with squeeze-and-excitation, then a small vision transformer.
fn everything() -> Blueprint {
    Blueprint::builder("everything")
        .input([3, 9, 9])
        .node(
            "depthwise",
            NodeKind::conv2d(3, 3).padding(Padding::Sides([[0, 1], [0, 1]])).stride(2).groups(3),
        )
        .node("silu", NodeKind::SiLU)
        .node("squeeze", NodeKind::GlobalAvgPool)
        .node("reduce", NodeKind::affine(2))
        .node("relu6", NodeKind::ReLU6)
        .node("expand", NodeKind::affine(3))
        .node("gate", NodeKind::Sigmoid)
        .from("silu")
        .node("excite", NodeKind::Multiply)
        .edge("gate", "excite")
        .node("add", NodeKind::Add)
        .edge("silu", "add")
        .node("patches", NodeKind::conv2d(6, 2).stride(2))
        .node("hardswish", NodeKind::Hardswish)
        .node("tokens", NodeKind::Flatten { start_axis: 1, end_axis: None })
        .node("class", NodeKind::ClassToken)
        .node("positions", NodeKind::PositionEmbedding)
        .node("norm", NodeKind::ChannelLayerNorm { epsilon: 1e-6 })
        .node("qkv", NodeKind::conv1d(18, 1))
        .node("attention", NodeKind::SelfAttention { heads: 2 })
        .node("scale", NodeKind::LayerScale)
        .node("residual", NodeKind::Add)
        .edge("positions", "residual")
        .node("gelu", NodeKind::QuickGELU)
        .node("tanh_gelu", NodeKind::TanhGELU)
        .node("select", NodeKind::SelectToken { index: 0 })
        .build()
        .unwrap()
}

#[test]
fn shapes_and_parameters_are_inferred() {
    let blueprint = everything();
    let shapes = blueprint.shapes().unwrap();
    let node = |name: &str| blueprint.index_of(name).unwrap();
    let output = |name: &str| shapes.output(node(name)).to_string();
    assert_eq!(output("depthwise"), "[3, 4, 4]");
    assert_eq!(output("excite"), "[3, 4, 4]");
    assert_eq!(output("tokens"), "[6, 4]");
    assert_eq!(output("class"), "[6, 5]");
    assert_eq!(output("attention"), "[6, 5]");
    assert_eq!(output("select"), "[6]");
    let parameters = |name: &str| {
        let all = shapes.parameters(node(name)).iter();
        all.map(|parameter| format!("{} {}", parameter.name, parameter.shape)).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(parameters("depthwise"), "weight [3, 1, 3, 3], bias [3]");
    assert_eq!(parameters("class"), "token [6]");
    assert_eq!(parameters("positions"), "positions [5, 6]");
    assert_eq!(parameters("norm"), "weight [6], bias [6]");
    assert_eq!(parameters("scale"), "scale [6]");
}

#[test]
fn toml_gives_the_same_blueprint() {
    let blueprint = everything();
    let text = blueprint.to_toml().unwrap();
    assert!(text.contains("padding = [[0, 1], [0, 1]]"), "{text}");
    assert_eq!(Blueprint::from_toml(&text).unwrap(), blueprint);
    let kinds = ["SelfAttention, 2 heads", "SelectToken 0", "pad 0+1"];
    let drawing = gyrus_blueprint::text(&blueprint).unwrap();
    kinds.iter().for_each(|kind| assert!(drawing.contains(kind), "{kind} is not in {drawing}"));
}

fn refused(node: NodeKind, input: impl Into<Shape>, words: &[&str]) {
    let error =
        Blueprint::builder("refused").input(input).node("wrong", node).build().unwrap_err().to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    refused(NodeKind::ClassToken, [3, 4, 4], &["`wrong`", "ClassToken", "[width, tokens]", "Flatten"]);
    refused(NodeKind::PositionEmbedding, [3], &["PositionEmbedding", "[width, tokens]"]);
    refused(NodeKind::SelectToken { index: 4 }, [3, 4], &["index is 4", "from 0 to 3"]);
    refused(NodeKind::SelfAttention { heads: 2 }, [10, 4], &["3 width", "heads divide"]);
    refused(NodeKind::SelfAttention { heads: 4 }, [18, 4], &["3 width", "heads divide"]);
    refused(NodeKind::SelfAttention { heads: 0 }, [18, 4], &["heads is 0"]);
    refused(NodeKind::ChannelLayerNorm { epsilon: 0.0 }, [18, 4], &["epsilon is 0"]);
    let product = |shape: NodeKind| {
        Blueprint::builder("product")
            .input([3, 4, 4])
            .node("other", shape)
            .from("input")
            .node("product", NodeKind::Multiply)
            .edge("other", "product")
            .build()
    };
    product(NodeKind::GlobalAvgPool).unwrap();
    let error = product(NodeKind::max_pool2d(2)).unwrap_err().to_string();
    assert!(["`product`", "[3, 4, 4]", "[3, 2, 2]"].iter().all(|word| error.contains(word)), "{error}");
}

#[test]
fn padding_as_tensorflow_has_it() {
    let sides = |extent, kernel, stride| Padding::same_upper([extent; 2], [kernel; 2], [stride; 2], [1; 2]);
    assert_eq!(sides(224, 3, 2), Padding::Sides([[0, 1]; 2]));
    assert_eq!(sides(224, 5, 2), Padding::Sides([[1, 2]; 2]));
    assert_eq!(sides(7, 3, 2), Padding::Explicit([1; 2]));
    assert_eq!(sides(112, 3, 1), Padding::Explicit([1; 2]));
    assert_eq!(sides(2, 1, 2), Padding::Explicit([0; 2]));
}
