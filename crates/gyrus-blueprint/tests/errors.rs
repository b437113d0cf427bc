//! Each way in which a blueprint can be wrong, and its error message.

use gyrus_blueprint::{
    Blueprint, BlueprintBuilder, Error, MAX_EDGES, MAX_ELEMENTS, MAX_NODES, Node, NodeKind, Padding, Pool2d,
    Reset, Shape,
};

fn start(shape: impl Into<Shape>) -> BlueprintBuilder {
    Blueprint::builder("test").input(shape)
}

fn refusal(builder: BlueprintBuilder) -> String {
    builder.build().unwrap_err().to_string()
}

/// The error for a single node `n` behind an input of this shape.
fn refused(shape: impl Into<Shape>, kind: impl Into<NodeKind>) -> String {
    refusal(start(shape).node("n", kind))
}

fn node(name: &str, kind: NodeKind) -> Node {
    Node { name: name.to_owned(), kind }
}

fn input() -> NodeKind {
    NodeKind::Input { shape: [4].into() }
}

#[test]
fn names() {
    assert_eq!(
        refusal(start([4]).node("a", NodeKind::ReLU).node("a", NodeKind::Tanh)),
        "two nodes are named `a` (nodes 1 and 2, counted from 0); names must be unique"
    );
    for (name, problem) in [
        ("", "is empty"),
        ("a/b", "contains `/`"),
        ("a\nb", "contains a control character"),
        (&"x".repeat(257), "is too long"),
    ] {
        assert_eq!(
            refusal(start([4]).node(name, NodeKind::ReLU)),
            format!(
                "node name {name:?} cannot be used: it {problem}; expected 1 to 256 bytes without control \
                 characters or `/`"
            )
        );
    }
}

#[test]
fn edges() {
    assert_eq!(
        refusal(start([4]).node("a", NodeKind::ReLU).edge("a", "b")),
        "the edge from `a` to `b` names a node that does not exist: `b`"
    );
    assert_eq!(
        refusal(start([4]).node("a", NodeKind::ReLU).edge("input", "a")),
        "the edge from `input` to `a` is given twice; to add a node's output twice, use a Scale node"
    );
    let nodes = vec![node("in", input()), node("out", NodeKind::Output)];
    assert_eq!(
        Blueprint::new("test", nodes, vec![(0, 2)]).unwrap_err().to_string(),
        "the edge from node 0 to node 2 points outside the 2 nodes (counted from 0)"
    );
    assert_eq!(
        refusal(start([4]).node("a", NodeKind::ReLU).edge("a", "input")),
        "node `input` is the Input and takes no edge, but `a` leads into it"
    );
    assert_eq!(
        refusal(start([4]).node("a", NodeKind::ReLU).edge("output", "a")),
        "node `output` is the Output and feeds nothing, but an edge leads from it to `a`"
    );
}

#[test]
fn ends() {
    assert_eq!(
        refusal(Blueprint::builder("test").node("a", NodeKind::ReLU)),
        "there is no Input node; a blueprint has exactly one"
    );
    assert_eq!(
        refusal(start([4]).node("again", input())),
        "`input` and `again` are both Input nodes; a blueprint has exactly one"
    );
    let nodes = vec![node("in", input())];
    assert_eq!(
        Blueprint::new("test", nodes, vec![]).unwrap_err().to_string(),
        "there is no Output node; a blueprint has exactly one"
    );
    let two = start([4]).node("a", NodeKind::Output).from("input").node("b", NodeKind::Output);
    assert_eq!(refusal(two), "`a` and `b` are both Output nodes; a blueprint has exactly one");
}

#[test]
fn loose_nodes() {
    let nodes = vec![node("in", input()), node("a", NodeKind::ReLU), node("out", NodeKind::Output)];
    assert_eq!(
        Blueprint::new("test", nodes.clone(), vec![(0, 2), (1, 2)]).unwrap_err().to_string(),
        "node `a` cannot be reached from the Input; lead an edge into it or remove it"
    );
    assert_eq!(
        Blueprint::new("test", nodes, vec![(0, 1), (0, 2)]).unwrap_err().to_string(),
        "node `a` does not lead to the Output; lead an edge from it or remove it"
    );
}

#[test]
fn cycles_are_reported_along_their_edges() {
    let ring = start([4])
        .node("a", NodeKind::ReLU)
        .node("b", NodeKind::ReLU)
        .node("c", NodeKind::ReLU)
        .node("behind", NodeKind::ReLU)
        .edge("c", "a");
    assert_eq!(
        refusal(ring),
        "these nodes form a cycle without a neuron or a Delay: `a` → `b` → `c` → `a`; edges must lead forward, or through a node with a state in time"
    );
    let own = start([4]).node("a", NodeKind::ReLU).edge("a", "a");
    assert_eq!(
        refusal(own),
        "these nodes form a cycle without a neuron or a Delay: `a` → `a`; edges must lead forward, or through a node with a state in time"
    );
    let mut long = start([4]);
    for number in 0..20 {
        long = long.node(number.to_string(), NodeKind::ReLU);
    }
    let text = refusal(long.edge("19", "0"));
    assert!(
        text.ends_with(
            "`11` → … (8 more) → `0`; edges must lead forward, or through a node with a state in time"
        ),
        "{text}"
    );
}

#[test]
fn sums_of_unequal_shapes() {
    let builder = start([3, 8, 8])
        .node("conv", NodeKind::conv2d(8, 3).padding(Padding::Same))
        .node("relu", NodeKind::ReLU)
        .edge("input", "relu");
    assert_eq!(
        refusal(builder),
        "node `relu` adds up its inputs, so their shapes must be equal: `conv` gives [8, 8, 8], `input` gives \
         [3, 8, 8]"
    );
}

#[test]
fn ranks_and_axes() {
    assert_eq!(
        refused([3, 8, 8], NodeKind::affine(2)),
        "node `n` (Affine) expects an input of shape [features], got [3, 8, 8]; a Flatten or GlobalAvgPool \
         before it may be missing"
    );
    assert_eq!(
        refused([3, 8, 8], NodeKind::conv1d(2, 3)),
        "node `n` (Conv1d) expects an input of shape [channels, length], got [3, 8, 8]"
    );
    assert_eq!(
        refused([3], NodeKind::GlobalAvgPool),
        "node `n` (GlobalAvgPool) expects an input of shape [channels, height, width] or [channels, length], \
         got [3]"
    );
    assert_eq!(
        refusal(start(Vec::new())),
        "node `input` (Input) expects an input of shape [features] or more axes, got []"
    );
    assert_eq!(
        refused([3, 8], NodeKind::Softmax { axis: 2 }),
        "node `n` (Softmax): axis 2 does not exist in an input of shape [3, 8]"
    );
    assert_eq!(
        refused([3, 8], NodeKind::Flatten { start_axis: 1, end_axis: Some(0) }),
        "node `n` (Flatten): end_axis 0 lies before start_axis 1"
    );
}

#[test]
fn windows() {
    assert_eq!(
        refused([1, 8, 4], NodeKind::conv2d(2, 3).dilation(3).padding(1)),
        "node `n` (Conv2d): the kernel spans 7 elements along the width, more than the padded input's 6 (input \
         [1, 8, 4])"
    );
    assert_eq!(
        refused([6, 8, 8], NodeKind::conv2d(8, 3).groups(4)),
        "node `n` (Conv2d): 4 groups do not divide its 6 input channels evenly"
    );
    assert_eq!(
        refused([6, 8, 8], NodeKind::conv2d(8, 3).groups(3)),
        "node `n` (Conv2d): 3 groups do not divide its 8 output channels evenly"
    );
    assert_eq!(
        refused([6, 8, 8], NodeKind::conv2d(8, 3).stride(2).padding(Padding::Same)),
        "node `n` (Conv2d): \"same\" padding needs stride 1, got 2; give the padding as a number"
    );
    assert_eq!(
        refused([6, 8, 8], NodeKind::MaxPool2d(Pool2d { kernel: [3, 2], stride: [1, 1], padding: [1, 2] })),
        "node `n` (MaxPool2d): padding 2 is more than half of the kernel 2"
    );
}

#[test]
fn whole_numbers_out_of_range() {
    let limit = 1usize << 31;
    let text = |kind: &str, field: &str, got: usize| {
        format!("node `n` ({kind}): {field} is {got}; expected a whole number from 1 to {limit}")
    };
    assert_eq!(refused([1, 8, 8], NodeKind::conv2d(0, 3)), text("Conv2d", "out_channels", 0));
    assert_eq!(refused([1, 8, 8], NodeKind::conv2d(1, 0)), text("Conv2d", "kernel", 0));
    assert_eq!(refused([1, 8, 8], NodeKind::conv2d(1, 3).groups(0)), text("Conv2d", "groups", 0));
    assert_eq!(refused([1, 8, 8], NodeKind::conv2d(1, 3).dilation(0)), text("Conv2d", "dilation", 0));
    assert_eq!(refused([1, 8], NodeKind::conv1d(1, 3).stride(0)), text("Conv1d", "stride", 0));
    assert_eq!(refused([1, 8, 8], NodeKind::max_pool2d(0)), text("MaxPool2d", "kernel", 0));
    assert_eq!(refused([4], NodeKind::linear(usize::MAX)), text("Linear", "out_features", usize::MAX));
    assert_eq!(
        refusal(start([3, 0])),
        format!("node `input` (Input): shape is 0; expected a whole number from 1 to {limit}")
    );
}

#[test]
fn sizes_beyond_the_limit() {
    assert_eq!(
        refusal(start([1 << 16, 1 << 15, 2])),
        "node `input` (Input): its output of shape [65536, 32768, 2] has more than 2147483648 elements"
    );
    let overflowing = vec![MAX_ELEMENTS; 4];
    assert!(matches!(start(overflowing).build(), Err(Error::TooLarge { .. })));
    assert_eq!(
        refused([1 << 20], NodeKind::affine(1 << 12)),
        "node `n` (Affine): its weight of shape [4096, 1048576] has more than 2147483648 elements"
    );
    assert_eq!(
        refused([1, 1024, 1024], NodeKind::conv2d(4096, 1)),
        "node `n` (Conv2d): its output of shape [4096, 1024, 1024] has more than 2147483648 elements"
    );
    let huge = NodeKind::conv2d(1, MAX_ELEMENTS).dilation(MAX_ELEMENTS).padding(MAX_ELEMENTS);
    assert!(matches!(start([1, 8, 8]).node("n", huge).build(), Err(Error::KernelTooLarge { .. })));
}

#[test]
fn numbers_out_of_range() {
    let text = |kind: &str, field: &str, got: f64, expected: &str| {
        format!("node `n` ({kind}): {field} is {got}; expected {expected}")
    };
    for got in [1.0, -0.1, f64::NAN, f64::INFINITY] {
        assert_eq!(
            refused([4], NodeKind::dropout(got)),
            text("Dropout", "probability", got, "a number from 0 up to, but not including, 1")
        );
    }
    for got in [0.0, f64::NAN, f64::INFINITY] {
        let above = "a finite number above 0";
        let norm = NodeKind::BatchNorm { epsilon: got, momentum: 0.1 };
        assert_eq!(refused([4], norm), text("BatchNorm", "epsilon", got, above));
        let norm = NodeKind::LayerNorm { epsilon: got };
        assert_eq!(refused([4], norm), text("LayerNorm", "epsilon", got, above));
        assert_eq!(refused([4], NodeKind::lif(got)), text("LIF", "tau_membrane_ms", got, above));
    }
    let norm = NodeKind::BatchNorm { epsilon: 1e-5, momentum: 1.5 };
    assert_eq!(refused([4], norm), text("BatchNorm", "momentum", 1.5, "a number from 0 to 1"));
    assert_eq!(
        refused([4], NodeKind::Delay { delay_ms: -1.0 }),
        text("Delay", "delay_ms", -1.0, "a finite number, at least 0")
    );
    assert_eq!(
        refused([4], NodeKind::Threshold { threshold: f64::NAN }),
        text("Threshold", "threshold", f64::NAN, "a finite number")
    );
    assert_eq!(
        refused(
            [4],
            NodeKind::IF {
                resistance: 1.0,
                v_threshold: 1.0,
                v_reset: 1.0,
                reset: Reset::Hard,
                v_start: 0.0,
                per_neuron: Vec::new(),
                learned: Vec::new(),
            }
        ),
        text("IF", "v_reset", 1.0, "a finite number below v_threshold")
    );
}

#[test]
fn counts_beyond_the_limits() {
    let nodes = vec![node("a", NodeKind::ReLU); MAX_NODES + 1];
    assert_eq!(
        Blueprint::new("test", nodes, vec![]).unwrap_err().to_string(),
        "the blueprint has 10001 nodes; at most 10000 are accepted"
    );
    assert_eq!(
        Blueprint::new("test", vec![], vec![(0, 0); MAX_EDGES + 1]).unwrap_err().to_string(),
        "the blueprint has 100001 edges; at most 100000 are accepted"
    );
}
