//! Costs of a network as NeuroBench 2.3 defines them (Yik et al. 2025, Nature Communications 16:1545), and the number of
//! connections of each input.
//!
//! - Footprint: bytes of all stored numbers. Connection sparsity: share of zeros among the weights of affine maps and
//!   convolutions, without biases.
//! - Synaptic operations of one sample: for every nonzero input of a node with weights, its connections with nonzero weights
//!   (without padding). They are accumulates (ACs) if all inputs of the node are −1, 0 or 1, otherwise
//!   multiply-accumulates (MACs). Dense operations count all connections of all inputs.

use gyrus_blueprint::{Blueprint, ConvolutionGeometry, Image, Weights};
use gyrus_files::State;

use crate::{Error, Result};

/// The connections of a node with weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Connections {
    /// Index in the blueprint.
    pub node: usize,
    /// For each element of its input, channels-last: connections with nonzero weights.
    pub effective: Vec<u32>,
    /// All connections of all elements together.
    pub dense: u64,
}

impl Connections {
    /// Synaptic operations of one row of packed spikes.
    pub fn of_spikes(&self, words: &[u32]) -> u64 {
        let mut sum = 0;
        for (index, &word) in words.iter().enumerate() {
            let mut left = word;
            while left != 0 {
                sum += u64::from(self.effective[index * 32 + left.trailing_zeros() as usize]);
                left &= left - 1;
            }
        }
        sum
    }

    /// Synaptic operations of one row of numbers: those of nonzero numbers.
    pub fn of_values(&self, values: &[f32]) -> u64 {
        values.iter().zip(&self.effective).filter(|(x, _)| **x != 0.0).map(|(_, n)| u64::from(*n)).sum()
    }
}

/// Costs of a network that do not depend on its input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Footprint {
    /// Bytes of all stored numbers.
    pub bytes: u64,
    /// Number of trained parameters.
    pub parameters: u64,
    /// Share of zeros among the weights.
    pub connection_sparsity: f64,
}

/// The footprint of a network.
///
/// # Errors
/// If the blueprint is not valid.
pub fn footprint(blueprint: &Blueprint, state: &State) -> Result<Footprint> {
    let shapes = blueprint.shapes()?;
    let numbers: usize = state.values().map(|tensor| tensor.values.len()).sum();
    let (mut zeros, mut weights) = (0usize, 0usize);
    for (index, node) in blueprint.nodes().iter().enumerate() {
        if node.kind.weights(shapes.input(index)).is_some()
            && let Some(weight) = state.get(&format!("{}.weight", node.name))
        {
            zeros += weight.values.iter().filter(|weight| **weight == 0.0).count();
            weights += weight.values.len();
        }
    }
    Ok(Footprint {
        bytes: 4 * numbers as u64,
        parameters: shapes.trainable_parameters(),
        connection_sparsity: zeros as f64 / weights.max(1) as f64,
    })
}

/// Along one axis of a convolution with this many outputs, the taps through which input `at` reaches one.
fn taps(
    convolution: &ConvolutionGeometry,
    axis: usize,
    outputs: usize,
    at: usize,
) -> impl Iterator<Item = usize> {
    let (stride, dilation) = (convolution.stride[axis], convolution.dilation[axis]);
    let before = convolution.padding[2 * axis];
    (0..convolution.kernel[axis]).filter(move |tap| {
        let place = (at + before).checked_sub(tap * dilation);
        place.is_some_and(|place| place % stride == 0 && place / stride < outputs)
    })
}

/// For each input, its connections with nonzero weights; and the number of all connections.
fn convolution_connections(
    convolution: &ConvolutionGeometry,
    output: Image,
    weight: &[f32],
) -> (Vec<u32>, u64) {
    let Image { height, width, channels } = convolution.input;
    let [_, columns_of_kernel] = convolution.kernel;
    let kernel = convolution.kernel[0] * columns_of_kernel;
    let (group_in, group_out) = (channels / convolution.groups, convolution.outputs / convolution.groups);
    // Nonzero weights over the outputs, for each input channel and tap.
    let mut present = vec![0u32; channels * kernel];
    for (index, weight) in weight.iter().enumerate() {
        let (output, rest) = (index / (group_in * kernel), index % (group_in * kernel));
        let channel = output / group_out * group_in + rest / kernel;
        present[channel * kernel + rest % kernel] += u32::from(*weight != 0.0);
    }
    let mut effective = Vec::with_capacity(height * width * channels);
    let mut dense = 0u64;
    for y in 0..height {
        let rows: Vec<usize> = taps(convolution, 0, output.height, y).collect();
        for x in 0..width {
            let columns: Vec<usize> = taps(convolution, 1, output.width, x).collect();
            dense += (rows.len() * columns.len() * group_out * channels) as u64;
            for channel in 0..channels {
                let of = |row: &usize| -> u32 {
                    columns.iter().map(|v| present[channel * kernel + row * columns_of_kernel + v]).sum()
                };
                effective.push(rows.iter().map(of).sum());
            }
        }
    }
    (effective, dense)
}

/// As [`convolution_connections`].
fn linear_connections(inputs: usize, weight: &[f32]) -> (Vec<u32>, u64) {
    let mut present = vec![0u32; inputs];
    for row in weight.chunks_exact(inputs.max(1)) {
        present.iter_mut().zip(row).for_each(|(count, weight)| *count += u32::from(*weight != 0.0));
    }
    (present, weight.len() as u64)
}

/// The connections of every node with weights, in the order of the blueprint.
///
/// # Errors
/// If the blueprint is not valid, or a weight is missing.
pub fn connections(blueprint: &Blueprint, state: &State) -> Result<Vec<Connections>> {
    let shapes = blueprint.shapes()?;
    let mut all = Vec::new();
    for (index, node) in blueprint.nodes().iter().enumerate() {
        let Some(weights) = node.kind.weights(shapes.input(index)) else { continue };
        let spec = &shapes.parameters(index)[0];
        let name = format!("{}.weight", node.name);
        let weight = state.get(&name).filter(|tensor| tensor.shape == *spec.shape);
        let Some(weight) = weight else {
            return Err(Error::MissingTensor { name, expected: spec.shape.to_vec() });
        };
        let (effective, dense) = match weights {
            Weights::Linear { inputs, .. } => linear_connections(inputs, &weight.values),
            Weights::Convolution(geometry) => {
                convolution_connections(&geometry, Image::of(shapes.output(index)), &weight.values)
            }
        };
        all.push(Connections { node: index, effective, dense });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use gyrus_blueprint::NodeKind;

    use super::*;
    use gyrus_files::StateTensor;

    fn state(name: &str, shape: &[usize], values: Vec<f32>) -> State {
        State::from([(name.to_owned(), StateTensor { shape: shape.to_vec(), values })])
    }

    /// The worked example of NeuroBench's documentation.
    #[test]
    fn a_linear_layer_counts_as_neurobench_says() {
        let blueprint =
            Blueprint::builder("example").input([3]).node("w", NodeKind::linear(3)).build().unwrap();
        let weight = vec![1.3, 0.0, -3.2, 0.0, 1.2, -5.1, -1.1, 2.7, 0.0];
        let state = state("w.weight", &[3, 3], weight);
        let connections = &connections(&blueprint, &state).unwrap()[0];
        let input = [0.0, 1.3, -1.0];
        let effective: u32 =
            connections.effective.iter().zip(input).filter(|(_, x)| *x != 0.0).map(|(n, _)| n).sum();
        assert_eq!((effective, connections.dense), (4, 9));
        let footprint = footprint(&blueprint, &state).unwrap();
        assert_eq!((footprint.bytes, footprint.parameters), (36, 9));
        assert!((footprint.connection_sparsity - 3.0 / 9.0).abs() < 1e-12);
    }

    /// Compared with a count of every multiplication of the convolution.
    #[test]
    fn a_convolution_counts_what_it_multiplies() {
        for (stride, padding, dilation, groups) in [(1, 1, 1, 1), (2, 0, 1, 2), (3, 2, 2, 1), (2, 1, 1, 4)] {
            let kind =
                NodeKind::conv2d(8, 3).stride(stride).padding(padding).dilation(dilation).groups(groups);
            let blueprint = Blueprint::builder("c").input([4, 9, 7]).node("c", kind).build().unwrap();
            let taps = 4 / groups * 9;
            let weight: Vec<f32> = (0..8 * taps).map(|i| if i % 3 == 0 { 0.0 } else { 1.0 }).collect();
            let state = state("c.weight", &[8, 4 / groups, 3, 3], weight.clone());
            let got = &connections(&blueprint, &state).unwrap()[0];
            let shapes = blueprint.shapes().unwrap();
            let [_, rows, columns] = shapes.output(1)[..] else { panic!("an image") };
            let mut expected = vec![0u32; 9 * 7 * 4];
            let mut dense = 0u64;
            for (output, row, column) in
                (0..8).flat_map(|o| (0..rows).flat_map(move |r| (0..columns).map(move |c| (o, r, c))))
            {
                for (tap, weight) in weight[output * taps..][..taps].iter().enumerate() {
                    let channel = output / (8 / groups) * (4 / groups) + tap / 9;
                    let y = (row * stride + tap % 9 / 3 * dilation).checked_sub(padding);
                    let x = (column * stride + tap % 3 * dilation).checked_sub(padding);
                    if let (Some(y @ 0..9), Some(x @ 0..7)) = (y, x) {
                        expected[(y * 7 + x) * 4 + channel] += u32::from(*weight != 0.0);
                        dense += 1;
                    }
                }
            }
            assert_eq!((&got.effective, got.dense), (&expected, dense));
        }
    }
}
