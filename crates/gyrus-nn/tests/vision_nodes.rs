//! Networks with the nodes of vision networks: gradients against finite differences, and learning.

use gyrus_blueprint::{Blueprint, NodeKind, Padding};
use gyrus_nn::{Network, floats};
use gyrus_tensor::{Operation, Tensor, apply, cpu, filled_tensor};

/// Squeeze-and-excitation, then a small vision transformer, without batch statistics.
fn everything() -> Blueprint {
    Blueprint::builder("everything")
        .input([3, 9, 9])
        .node(
            "depthwise",
            NodeKind::conv2d(3, 3).padding(Padding::Sides([[0, 1], [0, 1]])).stride(2).groups(3),
        )
        .node("silu", NodeKind::SiLU)
        .node("squeeze", NodeKind::GlobalAvgPool)
        .node("expand", NodeKind::affine(3))
        .node("gate", NodeKind::Sigmoid)
        .from("gate")
        .node("excite", NodeKind::Multiply)
        .edge("silu", "excite")
        .node("add", NodeKind::Add)
        .edge("silu", "add")
        .node("patches", NodeKind::conv2d(6, 2).stride(2))
        .node("tokens", NodeKind::Flatten { start_axis: 1, end_axis: None })
        .node("class", NodeKind::ClassToken)
        .node("positions", NodeKind::PositionEmbedding)
        .node("norm", NodeKind::ChannelLayerNorm { epsilon: 1e-3 })
        .node("qkv", NodeKind::conv1d(18, 1))
        .node("attention", NodeKind::SelfAttention { heads: 2 })
        .node("scale", NodeKind::LayerScale)
        .node("residual", NodeKind::Add)
        .edge("positions", "residual")
        .node("gelu", NodeKind::QuickGELU)
        .node("tanh_gelu", NodeKind::TanhGELU)
        .node("select", NodeKind::SelectToken { index: 0 })
        .node("classes", NodeKind::affine(4))
        .build()
        .unwrap()
}

fn input(rows: usize) -> Tensor<2> {
    filled_tensor(rows, 243, |x| {
        // Classes differ in their brightness.
        let at = |i: usize| (i * 37 % 101) as f32 / 50.0 - 1.0 + (i / 243 % 4) as f32;
        x.iter_mut().enumerate().for_each(|(i, x)| *x = at(i));
    })
}

fn loss(rows: usize) -> Operation {
    let targets = (0..rows).map(|row| (row % 4) as u32).collect();
    Operation::CrossEntropy { targets, classes: 4, smoothing: 0.0 }
}

#[test]
fn gradients_are_slopes() {
    let mut network = Network::new(&everything(), 3, &cpu()).unwrap();
    let (_, gradients) = network.gradients(input(3), 0, loss(3)).unwrap();
    let gradients: Vec<Vec<f32>> = gradients.into_iter().map(|gradient| floats(gradient.unwrap())).collect();
    let state = network.state();
    for (parameter, gradient) in network.parameters().iter().zip(&gradients) {
        let largest = gradient.iter().fold(1e-3f32, |most, g| most.max(g.abs()));
        for place in (0..gradient.len()).step_by(gradient.len().div_ceil(4)) {
            let at = |step: f32| {
                let mut state = state.clone();
                state.get_mut(&parameter.name).unwrap().values[place] += step;
                let network = Network::from_state(network.blueprint(), &state, &cpu()).unwrap();
                floats(apply(loss(3), network.infer(input(3)), Vec::new(), None))[0]
            };
            let slope = (at(1.0 / 64.0) - at(-1.0 / 64.0)) * 32.0;
            let error = (slope - gradient[place]).abs();
            assert!(
                error < 2e-2 * largest.max(0.02),
                "{} at {place}: {} against {slope}",
                parameter.name,
                gradient[place]
            );
        }
    }
}

#[test]
fn it_learns() {
    let mut network = Network::new(&everything(), 1, &cpu()).unwrap();
    let first = network.gradients(input(8), 0, loss(8)).unwrap().0;
    for _ in 0..150 {
        let (_, gradients) = network.gradients(input(8), 0, loss(8)).unwrap();
        let mut gradients = gradients.into_iter();
        network.update(|_, _, value| value - gradients.next().unwrap().unwrap() * 0.3);
    }
    let last = network.gradients(input(8), 0, loss(8)).unwrap().0;
    assert!(last < 0.7 * first, "from {first} to {last}");
}
