//! The event-driven body against the clocked one: the same spikes and potentials, bit for bit, on every neuron and step.

use gyrus_blueprint::{
    Array, Blueprint, BlueprintBuilder, Discretization, Integration, NodeKind, Padding, Parameters, Pool2d,
    Reset, preset,
};
use gyrus_events::{EventNetwork, EventState, Outcome, Recorded, Stimulus, StimulusKind};
use gyrus_nn::convert::{exact_form, folded_form, integrate_and_fire_form, quantized_form};
use gyrus_nn::{Encoder, Network, Observed, SpikingSettings, floats, rounded};
use gyrus_tensor::{Tensor, TensorData, cpu, spike_words, with_threads};

const STEPS: usize = 7;
const BATCH: usize = 3;

/// Repeatable values in -1 ..= 1.
fn values(count: usize, seed: usize) -> Vec<f32> {
    let mut state = (seed as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
        })
        .collect()
}

/// Values for every parameter of a blueprint, with weights that make many neurons fire.
fn parameters(blueprint: &Blueprint) -> Parameters {
    let shapes = blueprint.shapes().unwrap();
    let mut parameters = Parameters::new();
    for (index, node) in blueprint.nodes().iter().enumerate() {
        for (place, spec) in shapes.parameters(index).iter().enumerate() {
            let count: usize = spec.shape.iter().product();
            let fan_in = (count / spec.shape[0].max(1)).max(1) as f32;
            let noise = values(count, 31 * index + place);
            let values = match spec.name {
                "weight" => noise.iter().map(|x| (x + 0.2) * 3.0 / fan_in.sqrt()).collect(),
                "bias" => noise.iter().map(|x| 0.2 * x).collect(),
                name if name.starts_with("tau_") => noise.iter().map(|x| 4.0 + 2.0 * x).collect(),
                "v_reset" => noise.iter().map(|x| 0.2 * x).collect(),
                _ => noise.iter().map(|x| 1.0 + 0.3 * x).collect(),
            };
            let name = format!("{}.{}", node.name, spec.name);
            parameters.insert(name, Array { shape: spec.shape.to_vec(), values });
        }
    }
    parameters
}

/// A batch for a code: `[batch, elements]`, or `[batch, steps, elements]`.
fn samples(encoder: &Encoder, elements: usize) -> Vec<f32> {
    let count = BATCH * elements * if encoder.takes_frames() { STEPS } else { 1 };
    let mut x = values(count, 5);
    if encoder.spikes() {
        x.iter_mut().for_each(|x| *x = f32::from(*x > 0.5));
    }
    x
}

fn pack(x: &[f32], elements: usize) -> Vec<u32> {
    let width = elements.div_ceil(32);
    let mut bits = vec![0; x.len() / elements * width];
    for (at, _) in x.iter().enumerate().filter(|(_, x)| **x != 0.0) {
        bits[at / elements * width + at % elements / 32] |= 1 << (at % elements % 32);
    }
    bits
}

fn run_events(
    blueprint: &Blueprint,
    parameters: &Parameters,
    settings: &SpikingSettings,
    x: &[f32],
) -> Vec<Outcome> {
    let kind = match &settings.encoder {
        Encoder::Direct => StimulusKind::Constant,
        Encoder::Once { .. } => StimulusKind::Once,
        encoder if encoder.spikes() => StimulusKind::Spikes,
        _ => StimulusKind::Frames,
    };
    let network = EventNetwork::new(blueprint, parameters, settings.time, kind).unwrap();
    let each = x.len() / BATCH;
    let bits: Vec<Vec<u32>> = x.chunks(each).map(|x| pack(x, network.inputs())).collect();
    let stimuli: Vec<Stimulus<'_>> = (0..BATCH)
        .map(|b| match kind {
            StimulusKind::Constant => Stimulus::Constant(&x[b * each..][..each]),
            StimulusKind::Once => Stimulus::Once(&x[b * each..][..each]),
            StimulusKind::Frames => Stimulus::Frames(&x[b * each..][..each]),
            StimulusKind::Spikes => Stimulus::Spikes(&bits[b]),
        })
        .collect();
    let all = network.run_all(&stimuli, settings.steps, true).unwrap();
    // Reused state gives the same result.
    let mut state = EventState::default();
    for (stimulus, outcome) in stimuli.iter().zip(&all).rev() {
        assert_eq!(&network.run(&mut state, *stimulus, settings.steps, true).unwrap(), outcome);
        // Without records, units of a large network run in parallel.
        let unrecorded = network.run(&mut state, *stimulus, settings.steps, false).unwrap();
        assert_eq!(unrecorded, Outcome { records: Vec::new(), ..outcome.clone() });
    }
    all
}

/// Bits of numbers; the sign of a zero is left out, since neither body defines it.
fn bits_of(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| (x + 0.0).to_bits()).collect()
}

/// Fails unless both bodies agree; returns the share of neurons that fired at a step.
#[track_caller]
fn compare(blueprint: &Blueprint, parameters: &Parameters, encoder: Encoder) -> f64 {
    let time = Discretization { dt_ms: 1.0, integration: Integration::Exact };
    compare_in_time(
        blueprint,
        parameters,
        &SpikingSettings { steps: STEPS, time, encoder, ..SpikingSettings::default() },
    )
}

/// Fails unless both bodies agree; returns the share of neurons that fired at a step.
#[track_caller]
fn compare_in_time(blueprint: &Blueprint, parameters: &Parameters, settings: &SpikingSettings) -> f64 {
    let steps = settings.steps;
    let elements: usize =
        blueprint.shapes().unwrap().output(blueprint.index_of("input").unwrap()).iter().product();
    let mut x = samples(&settings.encoder, elements);
    if let Encoder::Once { fraction_bits, limit } = settings.encoder {
        x.iter_mut().for_each(|x| *x = rounded(*x, fraction_bits, limit));
    }
    let tensor: Tensor<2> = Tensor::from_data(TensorData::new(x.clone(), [BATCH, x.len() / BATCH]), &cpu());
    let network = Network::with_state(blueprint, Some(settings), parameters, &cpu()).unwrap();
    let outcomes = with_threads(1, || run_events(blueprint, parameters, settings, &x)).unwrap();
    for threads in [2, 3] {
        let others = with_threads(threads, || run_events(blueprint, parameters, settings, &x)).unwrap();
        assert_eq!(outcomes, others);
    }
    let (answer, observations) = with_threads(2, || network.observe(tensor)).unwrap().unwrap();
    let answer = floats(answer);
    let outputs = answer.len() / (steps * BATCH);
    for (b, outcome) in outcomes.iter().enumerate() {
        for step in 0..steps {
            let expected = &answer[(step * BATCH + b) * outputs..][..outputs];
            assert_eq!(
                bits_of(&outcome.answer[step * outputs..][..outputs]),
                bits_of(expected),
                "answer, step {step}"
            );
        }
    }
    let (mut spikes, mut places) = (0u64, 0usize);
    let neurons: Vec<_> = observations.iter().filter(|seen| seen.what == Observed::NeuronOutput).collect();
    assert_eq!(neurons.len(), outcomes[0].records.len());
    for seen in neurons {
        let name = &blueprint.nodes()[seen.node].name;
        let width = seen.tensor.dims()[1];
        let words = if seen.packed {
            spike_words(seen.tensor.clone())
        } else {
            bits_of(&floats(seen.tensor.clone()))
        };
        for (b, outcome) in outcomes.iter().enumerate() {
            let record = outcome.records.iter().find(|record| record.node == seen.node).unwrap();
            let got = match &record.output {
                Recorded::Spikes(bits) => bits.clone(),
                Recorded::Numbers(numbers) => bits_of(numbers),
            };
            assert_eq!(got.len(), steps * width, "node {name}");
            for step in 0..steps {
                let expected = &words[(step * BATCH + b) * width..][..width];
                assert_eq!(&got[step * width..][..width], expected, "node {name}, sample {b}, step {step}");
            }
            if seen.packed {
                let counted: u64 = got.iter().map(|word| u64::from(word.count_ones())).sum();
                assert_eq!(outcome.counts[seen.node].spikes, counted);
                spikes += counted;
                places += steps * width * 32;
            } else if blueprint.nodes()[seen.node].kind.name() == "SignedIF" {
                let counted = got.iter().filter(|bits| **bits != 0).count() as u64;
                assert_eq!(outcome.counts[seen.node].spikes, counted);
                spikes += counted;
                places += steps * width;
            }
        }
    }
    spikes as f64 / places.max(1) as f64
}

/// Compares both bodies for each encoder, and requires that some neurons fire and some do not.
#[track_caller]
fn check(builder: BlueprintBuilder) {
    let blueprint = builder.build().unwrap();
    let parameters = parameters(&blueprint);
    for encoder in [Encoder::Direct, Encoder::Frames { binary: false }, Encoder::Frames { binary: true }] {
        let share = compare(&blueprint, &parameters, encoder.clone());
        assert!(share > 0.005 && share < 0.9, "{encoder:?}: a share of {share} fires");
    }
}

fn lif() -> NodeKind {
    NodeKind::lif(3.0)
}

#[test]
fn convolutions_of_any_shape() {
    for (stride, padding, dilation, groups) in
        [(1, 1, 1, 1), (2, 0, 1, 2), (1, 2, 2, 1), (3, 1, 1, 4), (1, 1, 1, 8)]
    {
        let options = || {
            NodeKind::conv2d(8 * if groups == 1 { 5 } else { 1 }, 3)
                .stride(stride)
                .padding(padding)
                .dilation(dilation)
                .groups(groups)
        };
        check(
            Blueprint::builder("convolutions")
                .input([4, 11, 9])
                .node("first", NodeKind::conv2d(8, 3).padding(Padding::Same))
                .node("a", lif())
                .node("second", options())
                .node("b", NodeKind::soft_if(1.0))
                .node("third", NodeKind::conv2d(6, 2).bias(false))
                .node("c", lif())
                .node("flatten", NodeKind::flatten())
                .node("answer", NodeKind::affine(10)),
        );
    }
}

#[test]
fn one_dimensional_convolutions() {
    check(
        Blueprint::builder("line")
            .input([3, 20])
            .node("first", NodeKind::conv1d(6, 3).padding(1))
            .node("a", lif())
            .node("second", NodeKind::conv1d(16, 3).stride(2).dilation(2).groups(2))
            .node("b", NodeKind::soft_if(0.8))
            .node("flatten", NodeKind::flatten())
            .node("answer", NodeKind::linear(5)),
    );
}

#[test]
fn pools_of_every_kind() {
    let sum = || NodeKind::SumPool2d(Pool2d { kernel: [3, 2], stride: [2, 2], padding: [1, 0] });
    let count = || NodeKind::CountMaxPool2d(Pool2d { kernel: [2, 3], stride: [2, 1], padding: [0, 1] });
    for (place, pool) in
        [sum(), count(), NodeKind::avg_pool2d(2), NodeKind::max_pool2d(2)].into_iter().enumerate()
    {
        let builder = Blueprint::builder("pools")
            .input([2, 12, 12])
            .node("first", NodeKind::conv2d(32, 3).padding(1))
            .node("a", lif())
            .node("pool", pool)
            // With a shape for Winograd's algorithm, and without.
            .node("second", NodeKind::conv2d(if place % 2 == 0 { 32 } else { 20 }, 3).padding(1))
            .node("b", NodeKind::soft_if(0.8))
            .node("mean", NodeKind::GlobalAvgPool)
            .node("answer", NodeKind::affine(10))
            .node("c", lif());
        check(builder);
    }
}

/// Large enough for its units to run in parallel, with an edge around some of them.
fn large() -> BlueprintBuilder {
    Blueprint::builder("large")
        .input([2, 28, 28])
        .node("first", NodeKind::conv2d(12, 3).padding(1))
        .node("a", lif())
        .node("second", NodeKind::conv2d(12, 3).padding(1))
        .node("sum", NodeKind::soft_if(1.0))
        .edge("a", "sum")
        .node("pool", NodeKind::max_pool2d(2))
        .node("third", NodeKind::conv2d(6, 3))
        .node("b", lif())
        .node("flatten", NodeKind::flatten())
        .node("answer", NodeKind::affine(10))
}

#[test]
fn large_networks_in_parallel() {
    check(large());
}

#[test]
fn a_thread_that_waits_for_a_matmul_starts_nothing_that_waits_for_it() {
    // The first matmul is cut into tasks. A thread that waits for another thread's tasks looks for other work, and may pick up
    // another thread's part of this run: that part would wait, on the same stack, for the matmul below it.
    let blueprint = Blueprint::builder("wide")
        .input([16, 32, 32])
        .node("first", NodeKind::conv2d(32, 3).padding(1))
        .node("a", lif())
        .node("flatten", NodeKind::flatten())
        .node("answer", NodeKind::affine(10))
        .build()
        .unwrap();
    let parameters = parameters(&blueprint);
    let time = Discretization { dt_ms: 1.0, integration: Integration::Exact };
    let network = EventNetwork::new(&blueprint, &parameters, time, StimulusKind::Constant).unwrap();
    let x = values(network.inputs(), 1);
    let run = || {
        let mut state = EventState::default();
        (0..2000).map(|_| network.run(&mut state, Stimulus::Constant(&x), 1, false).unwrap()).last()
    };
    let alone = with_threads(1, || network.run(&mut EventState::default(), Stimulus::Constant(&x), 1, false));
    assert_eq!(with_threads(4, run).unwrap(), Some(alone.unwrap().unwrap()));
}

#[test]
fn an_error_in_parallel_is_that_of_a_single_thread() {
    let blueprint = large().build().unwrap();
    let mut parameters = parameters(&blueprint);
    // The last layer overflows at the first spikes, and a potential of the first layer overflows later.
    for (name, weight) in [("third.weight", 1e38), ("first.weight", 3e37)] {
        parameters.get_mut(name).unwrap().values.fill(weight);
    }
    let time = Discretization { dt_ms: 1.0, integration: Integration::Exact };
    let network = EventNetwork::new(&blueprint, &parameters, time, StimulusKind::Constant).unwrap();
    let x = vec![1.0; network.inputs()];
    let run = || {
        let stimulus = Stimulus::Constant(&x);
        network.run(&mut EventState::default(), stimulus, 50, false).unwrap_err().to_string()
    };
    let alone = with_threads(1, run).unwrap();
    assert!(alone.contains("finite"), "{alone}");
    for _ in 0..20 {
        assert_eq!(with_threads(3, run).unwrap(), alone);
    }
}

#[test]
fn residual_edges_scales_and_delays() {
    check(
        Blueprint::builder("residual")
            .input([4, 8, 8])
            .node("first", NodeKind::conv2d(6, 3).padding(1))
            .node("a", lif())
            .node("second", NodeKind::conv2d(6, 3).padding(1))
            .node("b", lif())
            .node("late", NodeKind::Delay { delay_ms: 2.0 })
            .node("scale", NodeKind::Scale)
            .node("sum", NodeKind::soft_if(1.0))
            .edge("a", "sum")
            .edge("second", "sum")
            .node("third", NodeKind::conv2d(3, 3))
            .node("threshold", NodeKind::Threshold { threshold: 0.3 })
            .edge("first_late", "threshold")
            .from("input")
            .node("first_conv", NodeKind::conv2d(3, 3))
            .node("first_late", NodeKind::Delay { delay_ms: 1.0 })
            .from("threshold")
            .node("flatten", NodeKind::flatten())
            .node("answer", NodeKind::affine(10)),
    );
}

#[test]
fn neurons_of_every_kind() {
    let per_neuron: Vec<String> = vec!["tau_membrane_ms".into(), "v_threshold".into()];
    for reset in [Reset::Hard, Reset::Subtract, Reset::None] {
        let NodeKind::LIF { tau_membrane_ms, resistance, v_leak, v_threshold, v_reset, learned, .. } = lif()
        else {
            unreachable!()
        };
        let own = NodeKind::LIF {
            tau_membrane_ms,
            resistance,
            v_leak: v_leak + 0.1,
            v_threshold,
            v_reset: v_reset - 0.2,
            reset,
            per_neuron: per_neuron.clone(),
            learned: learned.clone(),
        };
        let cuba = NodeKind::CubaLIF {
            tau_synapse_ms: 2.0,
            tau_membrane_ms: 5.0,
            resistance: 3.0,
            v_leak: 0.0,
            w_in: 2.0,
            v_threshold: 0.7,
            v_reset: 0.0,
            reset,
            per_neuron: Vec::new(),
            learned: Vec::new(),
        };
        let adaptive = NodeKind::AdaptiveLIF {
            tau_membrane_ms: 4.0,
            tau_adaptation_ms: 10.0,
            adaptation_strength: 0.4,
            resistance: 2.0,
            v_leak: 0.0,
            v_threshold: 0.5,
            v_reset: 0.0,
            reset,
            per_neuron: Vec::new(),
            learned: Vec::new(),
        };
        let integrate = NodeKind::IF {
            resistance: 1.0,
            v_threshold: 1.0,
            v_reset: 0.1,
            reset,
            v_start: 0.5,
            per_neuron: Vec::new(),
            learned: vec!["v_threshold".into()],
        };
        let li = NodeKind::LI {
            tau_membrane_ms: 4.0,
            resistance: 1.0,
            v_leak: 0.1,
            per_neuron: Vec::new(),
            learned: Vec::new(),
        };
        let cuba_li = NodeKind::CubaLI {
            tau_synapse_ms: 2.0,
            tau_membrane_ms: 4.0,
            resistance: 1.0,
            v_leak: 0.0,
            w_in: 1.0,
            per_neuron: Vec::new(),
            learned: Vec::new(),
        };
        check(
            Blueprint::builder("neurons")
                .input([2, 10, 15])
                .node("first", NodeKind::conv2d(4, 3).padding(1))
                .node("own", own)
                .node("second", NodeKind::conv2d(5, 3).bias(false))
                .node("cuba", cuba)
                .node("flatten", NodeKind::flatten())
                .node("linear", NodeKind::linear(300))
                .node("adaptive", adaptive)
                .node("affine", NodeKind::affine(270))
                .node("if", integrate)
                .node("to_li", NodeKind::affine(40))
                .node("li", li)
                .node("to_cuba_li", NodeKind::affine(20))
                .node("cuba_li", cuba_li)
                .node("i", NodeKind::I { resistance: 0.5, per_neuron: Vec::new(), learned: Vec::new() }),
        );
    }
}

#[test]
fn recurrence_through_weights() {
    for with_bias in [false, true] {
        let feedback = if with_bias { NodeKind::affine(290) } else { NodeKind::linear(290) };
        let inner = if with_bias { NodeKind::linear(20) } else { NodeKind::affine(20) };
        check(
            Blueprint::builder("recurrent")
                .input([30])
                .node("first", NodeKind::affine(290))
                .node("a", lif())
                .node("back", feedback)
                .edge("back", "a")
                .from("a")
                .node("second", NodeKind::linear(20))
                .node("b", NodeKind::soft_if(1.0))
                .node("inner", inner)
                .edge("inner", "b")
                .from("b")
                .node("answer", NodeKind::affine(4)),
        );
    }
}

#[test]
fn converted_networks_with_and_without_signs() {
    for name in ["digits-cnn", "mnist-cnn", "cnn", "mlp"] {
        let dense = preset(name, [1, 12, 12], 10).unwrap();
        let quantized = quantized_form(&dense, 8).unwrap();
        let mut parameters = Network::new(&quantized, 3, &cpu()).unwrap().state();
        for (seed, (name, array)) in parameters.iter_mut().enumerate() {
            let noise = values(array.values.len(), seed);
            if !name.ends_with("threshold") {
                array.values.iter_mut().zip(noise).for_each(|(value, noise)| *value += 0.1 * noise.abs());
            }
        }
        let (folded, parameters) = folded_form(&quantized, &parameters).unwrap();
        let (spiking, numbers) = integrate_and_fire_form(&folded, &parameters).unwrap();
        let share = compare(&spiking, &numbers, Encoder::Direct);
        assert!(share > 0.01 && share < 0.9, "{name}: a share of {share} fires");
        let exact = exact_form(&folded, &parameters, 2.0).unwrap();
        let (spiking, numbers) = &exact.spiking;
        let share = compare_in_time(spiking, numbers, &exact.settings);
        assert!(share > 0.0005 && share < 0.9, "{name}: a share of {share} fires with signs");
    }
}
