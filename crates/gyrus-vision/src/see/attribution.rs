//! Where an answer came from: how much each number of the input, or each place of a layer's map, contributes to an output.
//!
//! | method | what it says |
//! |---|---|
//! | gradient (Simonyan et al. 2013, arXiv:1312.6034) | how the output changes with each input |
//! | input times gradient | the same, times the input |
//! | integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365) | the gradients along the way from a baseline, which sum to the difference of the outputs |
//! | Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) | the channels of a layer, weighted by their mean gradient |
//! | occlusion (Zeiler and Fergus 2013, arXiv:1311.2901) | how much the output falls when a window is covered |
//!
//! Inputs are `[batch, elements]`, as the network receives them, images channels-last; outputs are numbers before a softmax.
//! Integrated gradients use the nodes of Gauss and Legendre. All cost a forward and a backward pass for each step, occlusion a
//! forward pass for each window.

use gyrus_blueprint::{Image, NodeKind};
use gyrus_nn::{Network, Signal, floats};
use gyrus_tensor::{Tensor, filled_tensor};

use crate::{Error, Result};

/// Rows of one pass.
const ROWS: usize = 256;

/// A method, with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// ∂output/∂input.
    Gradient,
    /// input · ∂output/∂input.
    InputTimesGradient,
    /// From a baseline of zeros, which is the mean of the training images.
    IntegratedGradients {
        /// Places on the way.
        steps: usize,
    },
    /// At a node of the blueprint, by index.
    GradCam {
        /// The node; one with rows and columns.
        node: usize,
    },
    /// With a square window that covers all channels by zeros.
    Occlusion {
        /// Its side.
        window: usize,
        /// Between two windows.
        stride: usize,
    },
}

/// The contributions to one output each of a batch of inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribution {
    /// Rows, columns and channels of each map.
    pub image: Image,
    /// `[batch, height, width, channels]`
    pub maps: Vec<f32>,
    /// The output that was explained, for each input.
    pub outputs: Vec<f32>,
    /// For integrated gradients, the output at the baseline.
    pub baseline_outputs: Vec<f32>,
}

impl Attribution {
    /// Explains output `of[i]` of input `i` for each of the inputs.
    ///
    /// # Errors
    /// [`Error::InputLength`], [`Error::NoSuchOutput`], [`Error::Setting`]; those of the network.
    pub fn new(network: &Network, inputs: &[f32], of: &[usize], method: Method) -> Result<Self> {
        let ends = Ends::of(network)?;
        ends.check(inputs, of)?;
        match method {
            Method::Gradient => ends.gradient(network, inputs, of, false),
            Method::InputTimesGradient => ends.gradient(network, inputs, of, true),
            Method::IntegratedGradients { steps } => {
                ends.integrated(network, inputs, of, &vec![0.0; ends.elements], steps)
            }
            Method::GradCam { node } => ends.grad_cam(network, inputs, of, node),
            Method::Occlusion { window, stride } => ends.occlusion(network, inputs, of, window, stride),
        }
    }

    /// Integrated gradients from another baseline, one input.
    ///
    /// # Errors
    /// As [`Attribution::new`].
    pub fn integrated_from(
        network: &Network,
        inputs: &[f32],
        of: &[usize],
        baseline: &[f32],
        steps: usize,
    ) -> Result<Self> {
        let ends = Ends::of(network)?;
        ends.check(inputs, of)?;
        ends.check(baseline, &of[..1.min(of.len())])?;
        ends.integrated(network, inputs, of, baseline, steps)
    }

    /// Elements of one map.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.image.pixels() * self.image.channels
    }

    /// The map of one input, `[height, width, channels]`.
    #[must_use]
    pub fn map(&self, index: usize) -> &[f32] {
        &self.maps[index * self.elements()..][..self.elements()]
    }

    /// The map of one input, summed over the channels: `[height, width]`.
    #[must_use]
    pub fn pixels(&self, index: usize) -> Vec<f32> {
        self.map(index).chunks_exact(self.image.channels.max(1)).map(|pixel| pixel.iter().sum()).collect()
    }

    /// For integrated gradients, how far the sum of a map is from the difference of the outputs, relative to that
    /// difference.
    #[must_use]
    pub fn completeness_error(&self, index: usize) -> Option<f64> {
        let difference = f64::from(self.outputs[index]) - f64::from(*self.baseline_outputs.get(index)?);
        let sum: f64 = self.map(index).iter().map(|value| f64::from(*value)).sum();
        Some((sum - difference).abs() / difference.abs().max(1e-12))
    }
}

/// Input and output of a network.
struct Ends {
    image: Image,
    elements: usize,
    output: usize,
    outputs: usize,
}

impl Ends {
    fn of(network: &Network) -> Result<Self> {
        let blueprint = network.blueprint();
        let shapes = blueprint.shapes()?;
        let find = |wanted: fn(&NodeKind) -> bool| {
            blueprint.nodes().iter().position(|node| wanted(&node.kind)).unwrap_or(0)
        };
        let input = find(|kind| matches!(kind, NodeKind::Input { .. }));
        let output = find(|kind| matches!(kind, NodeKind::Output));
        let image = Image::of(shapes.output(input));
        Ok(Self {
            image,
            elements: image.pixels() * image.channels,
            output,
            outputs: shapes.output(output).iter().product(),
        })
    }

    fn check(&self, inputs: &[f32], of: &[usize]) -> Result<()> {
        if inputs.is_empty() || inputs.len() != of.len() * self.elements {
            return Err(Error::InputLength { got: inputs.len(), expected: self.elements });
        }
        match of.iter().find(|output| **output >= self.outputs) {
            Some(&got) => Err(Error::NoSuchOutput { got, outputs: self.outputs }),
            None => Ok(()),
        }
    }

    /// 1 for the explained output of each row.
    fn one_hot(&self, of: &[usize]) -> Tensor<2> {
        filled_tensor(of.len(), self.outputs, |weights| {
            weights.fill(0.0);
            weights.chunks_exact_mut(self.outputs).zip(of).for_each(|(row, output)| row[*output] = 1.0);
        })
    }

    /// The explained output of each row.
    fn chosen(&self, outputs: Tensor<2>, of: &[usize]) -> Vec<f32> {
        floats(outputs).chunks_exact(self.outputs).zip(of).map(|(row, output)| row[*output]).collect()
    }

    /// Outputs and gradients of the input.
    fn pull(&self, network: &Network, inputs: &[f32], of: &[usize]) -> Result<(Vec<f32>, Vec<f32>)> {
        let x = self.tensor(inputs);
        let found = network.pull_back(x, self.output, |_| self.one_hot(of), &[Signal::Input])?;
        let gradient = found.gradients.into_iter().next().map(floats).unwrap_or_default();
        Ok((self.chosen(found.output, of), gradient))
    }

    fn tensor(&self, inputs: &[f32]) -> Tensor<2> {
        filled_tensor(inputs.len() / self.elements, self.elements, |x| x.copy_from_slice(inputs))
    }

    fn answers(&self, network: &Network, inputs: &[f32], of: &[usize]) -> Vec<f32> {
        self.chosen(network.infer(self.tensor(inputs)), of)
    }

    fn gradient(&self, network: &Network, inputs: &[f32], of: &[usize], times: bool) -> Result<Attribution> {
        let (mut maps, mut outputs) = (Vec::with_capacity(inputs.len()), Vec::with_capacity(of.len()));
        for (inputs, of) in inputs.chunks(ROWS * self.elements).zip(of.chunks(ROWS)) {
            let (answers, mut gradient) = self.pull(network, inputs, of)?;
            if times {
                gradient.iter_mut().zip(inputs).for_each(|(gradient, input)| *gradient *= input);
            }
            outputs.extend(answers);
            maps.extend(gradient);
        }
        Ok(Attribution { image: self.image, maps, outputs, baseline_outputs: Vec::new() })
    }

    fn integrated(
        &self,
        network: &Network,
        inputs: &[f32],
        of: &[usize],
        baseline: &[f32],
        steps: usize,
    ) -> Result<Attribution> {
        if !(1..=10_000).contains(&steps) {
            return Err(Error::Setting { setting: "steps", got: steps.to_string(), expected: "1 to 10,000" });
        }
        let nodes = gauss_legendre(steps);
        let mut maps = vec![0.0f32; inputs.len()];
        // Rows are (input, step): consecutive steps of an input.
        let all: Vec<(usize, usize)> =
            (0..of.len()).flat_map(|input| (0..steps).map(move |step| (input, step))).collect();
        for rows in all.chunks(ROWS) {
            let chosen: Vec<usize> = rows.iter().map(|(input, _)| of[*input]).collect();
            let x = filled_tensor(rows.len(), self.elements, |x| {
                for (x, (input, step)) in x.chunks_exact_mut(self.elements).zip(rows) {
                    let (place, own) = (nodes[*step].0 as f32, &inputs[input * self.elements..]);
                    for ((x, own), base) in x.iter_mut().zip(own).zip(baseline) {
                        *x = base + place * (own - base);
                    }
                }
            });
            let found = network.pull_back(x, self.output, |_| self.one_hot(&chosen), &[Signal::Input])?;
            let gradient = found.gradients.into_iter().next().map(floats).unwrap_or_default();
            for (gradient, (input, step)) in gradient.chunks_exact(self.elements).zip(rows) {
                let weight = nodes[*step].1 as f32;
                let map = &mut maps[input * self.elements..][..self.elements];
                map.iter_mut().zip(gradient).for_each(|(map, gradient)| *map += weight * gradient);
            }
        }
        for (map, input) in maps.chunks_exact_mut(self.elements).zip(inputs.chunks_exact(self.elements)) {
            for ((map, input), base) in map.iter_mut().zip(input).zip(baseline) {
                *map *= input - base;
            }
        }
        let base: Vec<f32> = of.iter().flat_map(|_| baseline.iter().copied()).collect();
        Ok(Attribution {
            image: self.image,
            maps,
            outputs: self.answers(network, inputs, of),
            baseline_outputs: self.answers(network, &base, of),
        })
    }

    fn grad_cam(&self, network: &Network, inputs: &[f32], of: &[usize], node: usize) -> Result<Attribution> {
        let blueprint = network.blueprint();
        let shapes = blueprint.shapes()?;
        let image = match blueprint.nodes().get(node) {
            Some(_) => Image::of(shapes.output(node)),
            None => Image { height: 1, width: 1, channels: 0 },
        };
        if image.pixels() < 2 {
            let got = blueprint.nodes().get(node).map_or("no node", |node| node.name.as_str()).to_owned();
            let expected = "a node whose result has rows and columns";
            return Err(Error::Setting { setting: "the node of Grad-CAM", got, expected });
        }
        let (mut maps, mut outputs) = (Vec::new(), Vec::new());
        for (inputs, of) in inputs.chunks(ROWS * self.elements).zip(of.chunks(ROWS)) {
            let x = self.tensor(inputs);
            let found = network.pull_back(x, self.output, |_| self.one_hot(of), &[Signal::Node(node)])?;
            let take = |tensors: Vec<Tensor<2>>| tensors.into_iter().next().map(floats).unwrap_or_default();
            let (values, gradients) = (take(found.values), take(found.gradients));
            let (elements, channels) = (image.pixels() * image.channels, image.channels);
            for (values, gradients) in values.chunks_exact(elements).zip(gradients.chunks_exact(elements)) {
                let mut weights = vec![0.0f32; channels];
                for pixel in gradients.chunks_exact(channels) {
                    weights.iter_mut().zip(pixel).for_each(|(weight, g)| *weight += g);
                }
                weights.iter_mut().for_each(|weight| *weight /= image.pixels() as f32);
                let place = |pixel: &[f32]| -> f32 { pixel.iter().zip(&weights).map(|(v, w)| v * w).sum() };
                maps.extend(values.chunks_exact(channels).map(|pixel| place(pixel).max(0.0)));
            }
            outputs.extend(self.chosen(found.output, of));
        }
        let image = Image { channels: 1, ..image };
        Ok(Attribution { image, maps, outputs, baseline_outputs: Vec::new() })
    }

    fn occlusion(
        &self,
        network: &Network,
        inputs: &[f32],
        of: &[usize],
        window: usize,
        stride: usize,
    ) -> Result<Attribution> {
        let Image { height, width, channels } = self.image;
        if window == 0 || window > height.min(width) || stride == 0 || stride > window {
            let got = format!("{window}, moved by {stride}");
            let expected = "a side within the image, moved by 1 up to that side";
            return Err(Error::Setting { setting: "the window of occlusion", got, expected });
        }
        let places = |side: usize| (side - window).div_ceil(stride) + 1;
        let windows: Vec<(usize, usize)> = (0..places(height))
            .flat_map(|row| (0..places(width)).map(move |column| (row * stride, column * stride)))
            .collect();
        let outputs = self.answers(network, inputs, of);
        let mut maps = Vec::with_capacity(of.len() * height * width);
        for (index, input) in inputs.chunks_exact(self.elements).enumerate() {
            let (mut falls, mut counts) = (vec![0.0f32; height * width], vec![0u32; height * width]);
            for windows in windows.chunks(ROWS) {
                let cover = |x: &mut [f32]| {
                    for (x, &(top, left)) in x.chunks_exact_mut(self.elements).zip(windows) {
                        x.copy_from_slice(input);
                        for row in top..(top + window).min(height) {
                            let (from, to) = (left, (left + window).min(width));
                            x[(row * width + from) * channels..(row * width + to) * channels].fill(0.0);
                        }
                    }
                };
                let answers = network.infer(filled_tensor(windows.len(), self.elements, cover));
                let answers = self.chosen(answers, &vec![of[index]; windows.len()]);
                for (answer, &(top, left)) in answers.iter().zip(windows) {
                    for row in top..(top + window).min(height) {
                        for column in left..(left + window).min(width) {
                            falls[row * width + column] += outputs[index] - answer;
                            counts[row * width + column] += 1;
                        }
                    }
                }
            }
            maps.extend(falls.iter().zip(&counts).map(|(fall, count)| fall / (*count).max(1) as f32));
        }
        let image = Image { channels: 1, ..self.image };
        Ok(Attribution { image, maps, outputs, baseline_outputs: Vec::new() })
    }
}

/// Nodes and weights of Gauss and Legendre's quadrature on 0 to 1, by Newton's method on the polynomial.
fn gauss_legendre(count: usize) -> Vec<(f64, f64)> {
    let n = count as f64;
    let node = |index: usize| {
        let mut x = (std::f64::consts::PI * (index as f64 + 0.75) / (n + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..100 {
            let (mut before, mut value) = (1.0, x);
            for k in 2..=count {
                let k = k as f64;
                (before, value) = (value, ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k);
            }
            slope = n * (x * value - before) / (x * x - 1.0);
            let step = value / slope;
            x -= step;
            if step.abs() < 1e-15 {
                break;
            }
        }
        ((1.0 - x) / 2.0, 1.0 / ((1.0 - x * x) * slope * slope))
    };
    if count == 1 { vec![(0.5, 1.0)] } else { (0..count).map(node).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quadrature_is_exact_for_polynomials() {
        for count in [1usize, 2, 5, 50] {
            let nodes = gauss_legendre(count);
            for degree in 0..(2 * count).min(30) {
                let sum: f64 = nodes.iter().map(|(x, w)| w * x.powi(degree as i32)).sum();
                assert!((sum - 1.0 / (degree + 1) as f64).abs() < 1e-12, "{count} nodes, degree {degree}");
            }
        }
    }
}
