//! Properties of every blueprint: it round-trips, its order is topological, its shapes agree with a naive count, and no input
//! makes the reader panic.

use gyrus_blueprint::{Blueprint, Conv2d, Node, NodeKind, Padding, Pool2d, Reset, svg, text};
use proptest::prelude::*;

fn pair() -> impl Strategy<Value = [usize; 2]> {
    [1usize..4, 1usize..4]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![-1e3..1e3, Just(1e-300), Just(-0.0), Just(0.1 + 0.2), Just(1e300)]
}

fn positive() -> impl Strategy<Value = f64> {
    prop_oneof![1e-9..1e3, Just(1e-300), Just(20.0)]
}

fn padding() -> impl Strategy<Value = Padding> {
    prop_oneof![Just(Padding::Valid), Just(Padding::Same), [0usize..3, 0usize..3].prop_map(Padding::Explicit)]
}

/// Any kind except the two ends; many will not fit where they are put.
fn kind() -> impl Strategy<Value = NodeKind> {
    let dense = prop_oneof![
        (1usize..9).prop_map(NodeKind::affine),
        (1usize..9).prop_map(NodeKind::linear),
        Just(NodeKind::Scale),
        Just(NodeKind::ReLU),
        Just(NodeKind::GELU),
        Just(NodeKind::Sigmoid),
        Just(NodeKind::Tanh),
        Just(NodeKind::GlobalAvgPool),
        (0usize..3).prop_map(|axis| NodeKind::Softmax { axis }),
        (positive(), 0.0..=1.0).prop_map(|(epsilon, momentum)| NodeKind::BatchNorm { epsilon, momentum }),
        positive().prop_map(|epsilon| NodeKind::LayerNorm { epsilon }),
        (0.0..1.0).prop_map(NodeKind::dropout),
        (0usize..3, proptest::option::of(0usize..3))
            .prop_map(|(start_axis, end_axis)| NodeKind::Flatten { start_axis, end_axis }),
    ];
    let conv1d = (1usize..5, 1usize..4, 1usize..3, 1usize..3, any::<bool>()).prop_map(
        |(out_channels, kernel, stride, groups, bias)| {
            NodeKind::conv1d(out_channels, kernel).stride(stride).padding(1).groups(groups).bias(bias).into()
        },
    );
    let conv2d = (1usize..5, pair(), pair(), padding(), pair(), 1usize..3, any::<bool>()).prop_map(
        |(out_channels, kernel, stride, padding, dilation, groups, bias)| {
            Conv2d { out_channels, kernel, stride, padding, dilation, groups, bias }.into()
        },
    );
    let pools = (0..3, pair(), pair(), [0usize..2, 0usize..2]).prop_map(
        |(which, kernel, stride, padding)| match which {
            0 => NodeKind::SumPool2d(Pool2d { kernel, stride, padding }),
            1 => NodeKind::AvgPool2d(Pool2d { kernel, stride, padding }),
            _ => NodeKind::MaxPool2d(Pool2d { kernel, stride, padding }),
        },
    );
    let neurons = (0..8usize, [number(), number(), number()], [positive(), positive(), positive()]).prop_map(
        |(which, [resistance, v_leak, v_threshold], [tau_synapse_ms, tau_membrane_ms, w_in])| {
            let reset = [Reset::Hard, Reset::Subtract, Reset::None][which % 3];
            let per_neuron = if w_in > 1.0 { vec!["resistance".to_owned()] } else { Vec::new() };
            let learned = if v_leak > 0.0 { vec!["resistance".to_owned()] } else { Vec::new() };
            let v_reset = v_threshold - v_threshold.abs().max(1.0);
            match which {
                0 => NodeKind::Delay { delay_ms: w_in },
                1 => NodeKind::Threshold { threshold: v_threshold },
                2 => NodeKind::I { resistance, per_neuron, learned },
                3 => NodeKind::IF {
                    resistance,
                    v_threshold,
                    v_reset,
                    reset,
                    v_start: v_leak,
                    per_neuron,
                    learned,
                },
                4 => NodeKind::LI { tau_membrane_ms, resistance, v_leak, per_neuron, learned },
                5 => NodeKind::LIF {
                    tau_membrane_ms,
                    resistance,
                    v_leak,
                    v_threshold,
                    v_reset,
                    reset,
                    per_neuron,
                    learned,
                },
                6 => NodeKind::CubaLI {
                    tau_synapse_ms,
                    tau_membrane_ms,
                    resistance,
                    v_leak,
                    w_in,
                    per_neuron,
                    learned,
                },
                _ => NodeKind::CubaLIF {
                    tau_synapse_ms,
                    tau_membrane_ms,
                    resistance,
                    v_leak,
                    w_in,
                    v_threshold,
                    v_reset,
                    reset,
                    per_neuron,
                    learned,
                },
            }
        },
    );
    prop_oneof![4 => dense, 1 => conv1d, 3 => conv2d, 2 => pools, 3 => neurons]
}

/// A valid blueprint: kinds that fit one after another, then skip edges that fit.
fn blueprint() -> impl Strategy<Value = Blueprint> {
    let shape = prop_oneof![
        prop::collection::vec(1usize..12, 1..3),
        [1usize..5, 4usize..12, 4usize..12].prop_map(Vec::from)
    ];
    let kinds = prop::collection::vec((kind(), "[ -.0-~é\"\\\\]{1,6}"), 0..14);
    let skips = prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..10);
    (any::<String>(), shape, kinds, skips).prop_map(|(name, shape, kinds, skips)| {
        let assemble =
            |kinds: &[(NodeKind, String)], skips: &[(usize, usize)]| {
                let mut nodes =
                    vec![Node { name: "in".into(), kind: NodeKind::Input { shape: shape.clone().into() } }];
                nodes.extend(kinds.iter().enumerate().map(|(place, (kind, name))| Node {
                    name: format!("{name}{place}"),
                    kind: kind.clone(),
                }));
                nodes.push(Node { name: "out".into(), kind: NodeKind::Output });
                let mut edges: Vec<_> = (1..nodes.len()).map(|node| (node - 1, node)).collect();
                edges.extend(skips);
                Blueprint::new(name.clone(), nodes, edges)
            };
        let mut fitting = Vec::new();
        for candidate in kinds {
            fitting.push(candidate);
            if assemble(&fitting, &[]).is_err() {
                fitting.pop();
            }
        }
        let mut kept = Vec::new();
        for (from, to) in skips {
            kept.push((from.index(fitting.len() + 1), 1 + to.index(fitting.len() + 1)));
            if assemble(&fitting, &kept).is_err() {
                kept.pop();
            }
        }
        assemble(&fitting, &kept).unwrap()
    })
}

/// The number of positions of a window, counted one by one.
fn places(
    extent: usize,
    before: usize,
    behind: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
) -> usize {
    let padded = extent + before + behind;
    (0..padded).step_by(stride).filter(|start| start + dilation * (kernel - 1) < padded).count()
}

proptest! {
    #[test]
    fn toml_round_trips(blueprint in blueprint()) {
        let toml = blueprint.to_toml().unwrap();
        prop_assert_eq!(Blueprint::from_toml(&toml).unwrap(), blueprint, "{}", toml);
    }

    #[test]
    fn the_order_is_topological(blueprint in blueprint()) {
        let order = blueprint.topological_order().unwrap();
        let mut place = vec![usize::MAX; order.len()];
        order.iter().enumerate().for_each(|(at, &node)| place[node] = at);
        prop_assert_eq!(order.len(), blueprint.nodes().len());
        let back = blueprint.back_edges();
        for edge @ &(from, to) in blueprint.edges() {
            prop_assert_eq!(place[from] < place[to], !back.contains(edge));
        }
    }

    #[test]
    fn drawings_cover_every_node_and_edge(blueprint in blueprint()) {
        let picture = svg(&blueprint).unwrap();
        prop_assert_eq!(picture.matches("<rect ").count(), blueprint.nodes().len());
        prop_assert_eq!(picture.matches("class=\"gyrus-edge\"").count(), blueprint.edges().len());
        // The heading, a blank line and the totals.
        prop_assert_eq!(text(&blueprint).unwrap().lines().count(), blueprint.nodes().len() + 3);
    }

    #[test]
    fn convolutions_have_as_many_outputs_as_places(
        extent in 1usize..20, kernel in 1usize..5, stride in 1usize..4, padding in 0usize..4, dilation in 1usize..4,
    ) {
        let conv = NodeKind::conv1d(1, kernel).stride(stride).padding(padding).dilation(dilation);
        let built = Blueprint::builder("test").input([1, extent]).node("conv", conv).build();
        let expected = places(extent, padding, padding, kernel, stride, dilation);
        match built {
            Ok(blueprint) => prop_assert_eq!(blueprint.shapes().unwrap().output(1).to_vec(), vec![1, expected]),
            Err(error) => prop_assert_eq!(expected, 0, "{}", error),
        }
    }

    #[test]
    fn same_padding_keeps_the_extent(extent in 1usize..20, kernel in 1usize..6, dilation in 1usize..4) {
        let padding = Padding::<1>::Same;
        let conv = NodeKind::conv1d(1, kernel).padding(padding).dilation(dilation);
        let blueprint = Blueprint::builder("test").input([1, extent]).node("conv", conv).build().unwrap();
        let shapes = blueprint.shapes().unwrap();
        prop_assert_eq!(&shapes.output(1)[..], &[1, extent]);
        let [(before, behind)] = padding.before_and_behind([kernel], [dilation]).unwrap();
        prop_assert!(before <= behind);
        prop_assert_eq!(places(extent, before, behind, kernel, 1, dilation), extent);
    }

    #[test]
    fn arbitrary_graphs_are_accepted_or_refused(
        kinds in prop::collection::vec(
            prop_oneof![8 => kind(), 1 => Just(NodeKind::Output), 1 => Just(NodeKind::Input { shape: [3].into() })],
            0..7,
        ),
        edges in prop::collection::vec((0usize..7, 0usize..7), 0..12),
    ) {
        let nodes = kinds.into_iter().enumerate().map(|(at, kind)| Node { name: at.to_string(), kind }).collect();
        if let Err(error) = Blueprint::new("any", nodes, edges) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(toml in ".*") {
        let _ = Blueprint::from_toml(&toml);
    }

    #[test]
    fn no_damage_to_a_file_makes_the_reader_panic(
        blueprint in blueprint(), at in any::<prop::sample::Index>(), cut in 0usize..9, put in "[\\[\\]\"=,\n0-9a-z.-]{0,4}",
    ) {
        let mut letters: Vec<char> = blueprint.to_toml().unwrap().chars().collect();
        let at = at.index(letters.len());
        let end = (at + cut).min(letters.len());
        letters.splice(at..end, put.chars());
        let damaged: String = letters.into_iter().collect();
        if let Ok(read) = Blueprint::from_toml(&damaged) {
            prop_assert_eq!(Blueprint::from_toml(&read.to_toml().unwrap()).unwrap(), read);
        }
    }
}
