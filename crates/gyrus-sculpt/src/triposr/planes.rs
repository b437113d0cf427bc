//! The radiance field: three planes of features, and a small network that turns those of a point into density and color.

use gyrus_formats::Checkpoint;
use gyrus_kernels::dense::elementwise::{Activation, activation_in_place};
use gyrus_kernels::dense::linear::{linear_packed, pack, packed_len};
use rayon::prelude::*;

use crate::Result;

/// Points that are computed together.
const POINTS: usize = 512;

/// A linear layer in the order of the kernels.
struct Layer {
    packed: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
}

/// The network behind the planes.
pub(super) struct Decoder {
    layers: Vec<Layer>,
    activation: Activation,
}

impl Decoder {
    pub(super) fn take(
        from: &mut Checkpoint,
        (inputs, neurons, hidden): (usize, usize, usize),
        activation: Activation,
    ) -> Result<Self> {
        let mut layers = Vec::new();
        for index in 0..=hidden {
            let inputs = if index == 0 { inputs } else { neurons };
            let outputs = if index == hidden { 4 } else { neurons };
            // Activations have numbers between those of the layers.
            let name = format!("decoder.layers.{}", 2 * index);
            let weight = from.take(&format!("{name}.weight"), &[outputs, inputs])?.floats();
            let bias = from.take(&format!("{name}.bias"), &[outputs])?.floats();
            let mut packed = vec![0.0; packed_len((inputs, outputs))];
            pack(&weight, (inputs, outputs), &mut packed);
            layers.push(Layer { packed, bias, inputs });
        }
        Ok(Self { layers, activation })
    }
}

/// The field of one object.
pub(super) struct Planes {
    /// Features of the planes xy, xz and yz, `[3, side, side, channels]`; the first coordinate runs along a row.
    pub(super) features: Vec<f32>,
    pub(super) side: usize,
    pub(super) channels: usize,
    pub(super) radius: f32,
}

/// What the network says of points.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answer {
    /// Logarithm of the density, without its bias.
    pub(super) density: f32,
    /// Color before the sigmoid.
    pub(super) color: [f32; 3],
}

impl Planes {
    /// Asks for many points.
    pub(super) fn query(&self, decoder: &Decoder, points: &[[f32; 3]]) -> Vec<Answer> {
        let mut answers = vec![Answer::default(); points.len()];
        let inputs = 3 * self.channels;
        answers.par_chunks_mut(POINTS).zip(points.par_chunks(POINTS)).for_each(|(answers, points)| {
            let mut x = vec![0.0; points.len() * inputs];
            for (x, point) in x.chunks_exact_mut(inputs).zip(points) {
                let [a, b, c] = point.map(|value| value / self.radius);
                for (plane, (along, across)) in [(a, b), (a, c), (b, c)].into_iter().enumerate() {
                    self.sample(plane, along, across, &mut x[plane * self.channels..][..self.channels]);
                }
            }
            let last = decoder.layers.len() - 1;
            for (index, layer) in decoder.layers.iter().enumerate() {
                let outputs = layer.bias.len();
                let mut y = vec![0.0; points.len() * outputs];
                let shape = (points.len(), layer.inputs, outputs);
                linear_packed(&x, &layer.packed, Some(&layer.bias), false, shape, &mut y);
                if index < last {
                    activation_in_place(decoder.activation, &mut y);
                }
                x = y;
            }
            for (answer, [density, red, green, blue]) in answers.iter_mut().zip(x.as_chunks::<4>().0) {
                *answer = Answer { density: *density, color: [*red, *green, *blue] };
            }
        });
        answers
    }

    /// Features of a plane between its four nearest cells; beyond its border there is nothing.
    fn sample(&self, plane: usize, along: f32, across: f32, to: &mut [f32]) {
        let side = self.side as f32;
        let at = [along, across].map(|value| ((value + 1.0) * side - 1.0) * 0.5);
        let first = at.map(f32::floor);
        let share = [at[0] - first[0], at[1] - first[1]];
        to.fill(0.0);
        for corner in 0..4usize {
            let steps = [(corner & 1) as f32, (corner >> 1) as f32];
            let place = [first[0] + steps[0], first[1] + steps[1]];
            if place.iter().any(|place| !(0.0..side).contains(place)) {
                continue;
            }
            let weight: f32 =
                (0..2).map(|axis| if steps[axis] > 0.0 { share[axis] } else { 1.0 - share[axis] }).product();
            let cell = (plane * self.side + place[1] as usize) * self.side + place[0] as usize;
            let from = &self.features[cell * self.channels..][..self.channels];
            to.iter_mut().zip(from).for_each(|(to, from)| *to += weight * from);
        }
    }
}
