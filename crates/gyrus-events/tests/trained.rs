//! A run's network, event by event: the encoder's samples go in, and the readout's answers are those of the clocked body.

use gyrus_blueprint::{Blueprint, NodeKind, Reset};
use gyrus_events::{EventNetwork, EventState, Stimulus};
use gyrus_nn::{EncodedSample, Encoder, Intensity, Network, Readout, SpikingSettings, floats, spiking_form};
use gyrus_tensor::{Tensor, TensorData, cpu};

const BATCH: usize = 3;

fn answers_agree(encoder: Encoder, readout: Readout) {
    let settings = SpikingSettings { steps: 6, encoder, readout, ..SpikingSettings::default() };
    let shape = settings.encoder.input_shape(&[2, 5, 5]).unwrap();
    let dense = Blueprint::builder("small")
        .input(shape)
        .node("conv", NodeKind::conv2d(4, 3))
        .node("relu", NodeKind::ReLU)
        .node("flat", NodeKind::flatten())
        .node("classes", NodeKind::affine(3))
        .build()
        .unwrap();
    let blueprint = spiking_form(&dense, 2.0, Reset::Subtract, &settings).unwrap();
    let network = Network::with(&blueprint, Some(&settings), 3, &cpu()).unwrap();
    let width = 50 * if settings.encoder.takes_frames() { settings.steps } else { 1 };
    let x: Vec<f32> = (0..BATCH * width).map(|i| (i * 37 % 101) as f32 / 40.0 - 1.0).collect();
    let tensor: Tensor<2> = Tensor::from_data(TensorData::new(x.clone(), [BATCH, width]), &cpu());
    let expected = floats(network.infer(tensor));

    let state = network.state();
    let mut memory = EventState::default();
    for (sample, expected) in x.chunks_exact(width).zip(expected.chunks_exact(3)) {
        let encoded = settings.encode(sample);
        let stimulus = match &encoded {
            EncodedSample::Constant(x) => Stimulus::Constant(x),
            EncodedSample::Once(x) => Stimulus::Once(x),
            EncodedSample::Frames(x) => Stimulus::Frames(x),
            EncodedSample::Spikes(bits) => Stimulus::Spikes(bits),
        };
        let events = EventNetwork::new(&blueprint, &state, settings.time, stimulus.kind()).unwrap();
        let outcome = events.run(&mut memory, stimulus, settings.steps, false).unwrap();
        let answer = settings.read_out(&outcome.answer, events.outputs());
        for (got, expected) in answer.iter().zip(expected) {
            assert!((got - expected).abs() <= 1e-6, "{:?}: {got} for {expected}", settings.encoder);
        }
    }
}

#[test]
fn every_encoder_and_readout_gives_the_answers_of_the_clocked_body() {
    let intensity = || Intensity::Pixels { mean: vec![0.5], std: vec![0.5] };
    for readout in [Readout::Membrane, Readout::Sum, Readout::Counts, Readout::FirstSpike] {
        for encoder in [
            Encoder::Direct,
            Encoder::Once { fraction_bits: 8, limit: 4.0 },
            Encoder::Rate { intensity: intensity() },
            Encoder::Latency { intensity: intensity() },
            Encoder::Population { neurons: 4, low: -1.0, high: 1.5 },
            Encoder::Delta { threshold: 0.2 },
            Encoder::Frames { binary: false },
            Encoder::Frames { binary: true },
        ] {
            answers_agree(encoder, readout);
        }
    }
}
