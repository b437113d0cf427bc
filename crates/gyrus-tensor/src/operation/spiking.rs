//! Operations in time: a layer's whole time axis is one operation, forward and backward.
//!
//! Activations in time are time-major, `[steps · batch, elements]`: row `t · batch + b` is sample b at step t. Spikes are
//! packed, one bit each, in tensors of `[steps · batch, words]` whose floats are bit patterns, with which nothing
//! computes. The gradient of a packed tensor is an ordinary one of `[steps · batch, elements]`.

use std::sync::{Arc, OnceLock};

use burn_flex::{Flex, FlexTensor};
use burn_tensor::{Tensor, TensorData};
use gyrus_kernels::convolution::pooling::Pooling;
use gyrus_kernels::convolution::{Convolution, ConvolutionGradients, convolution_backward};
use gyrus_kernels::dense::linear::{linear_input_gradient, sum_rows};
use gyrus_kernels::neuron::recurrent::{Feedback, RecurrentGradients, recurrent_backward, recurrent_forward};
use gyrus_kernels::neuron::signed::{SignedShape, signed_integrate_and_fire};
use gyrus_kernels::neuron::{
    BackwardOptions, NeuronGradients, NeuronKind, NeuronOutput, NeuronShape, NeuronState, Surrogate,
    neuron_backward, neuron_forward,
};
use gyrus_kernels::spikes::convolution::{spike_convolution, spike_convolution_weight_gradient};
use gyrus_kernels::spikes::count_pooling::{count_max_pool, count_max_pool_backward};
use gyrus_kernels::spikes::linear::{spike_linear, spike_linear_weight_gradient};
use gyrus_kernels::spikes::packed::{pack, unpack, words};
use gyrus_kernels::spikes::pooling::{spike_max_pool, spike_max_pool_backward};
use rayon::prelude::*;

use super::keep::{Floats, Kept};
use crate::pool::filled;

/// An operation in time. The tensors of each are named in brackets; `spikes` are packed.
#[derive(Clone, Debug)]
pub enum Spiking {
    /// `[x, constants]` to spikes, or to potentials of neurons that do not fire. The constants are nine rows of one value
    /// or of one per neuron, in the order of [`gyrus_kernels::neuron`].
    Neuron(Neuron),
    /// Firing neurons whose spikes return to them one step later through weights `[to, from]`;
    /// `[x, constants, weight, bias?]` to spikes.
    Recurrent(Neuron),
    /// Integrate-and-fire neurons with signed spikes; `[x]` to −1, 0 and 1, `[steps · batch, neurons]` in floats. Has no
    /// gradient.
    Signed(SignedNeuron),
    /// `y = spikes wᵀ + b`, which skips zeros; `[spikes, weight, bias?]`
    Linear {
        /// Elements of a row of spikes.
        inputs: usize,
        /// Columns of `y`.
        outputs: usize,
    },
    /// Its `batch` is taken from the spikes; `[spikes, weight, bias?]`
    Convolution(Convolution),
    /// Nonzero numbers become spikes; `[x]`
    Pack {
        /// Elements of a row.
        elements: usize,
    },
    /// Spikes to zeros and ones; `[spikes]`
    Unpack {
        /// Elements of a row.
        elements: usize,
    },
    /// Moves rows `by` steps later; zeros come first. `[x or spikes]`
    Delay {
        /// Number of steps.
        steps: usize,
        /// Number of steps of the delay.
        by: usize,
    },
    /// An output spikes if an input of its window does; `[spikes]`
    MaxPool(
        /// Its `batch` is taken from the spikes.
        Pooling,
    ),
    /// The spiking maximum (see [`count_max_pool`]); `[x]`
    CountMaxPool {
        /// Its `batch` is taken from `x`.
        shape: Pooling,
        /// Number of steps.
        steps: usize,
    },
    /// The negated number of steps before the first spike, or of all steps if there is none: `[zeros and ones]`,
    /// `[steps · batch, n]` to `[batch, n]`. With s(t) = Π_{r≤t} (1 − z(r)) that is −Σ_t s(t), whose gradient this uses.
    FirstSpike {
        /// Number of steps.
        steps: usize,
    },
}

/// A layer of neurons over time.
#[derive(Clone, Debug)]
pub struct Neuron {
    /// Their equations.
    pub kind: NeuronKind,
    /// Number of steps.
    pub steps: usize,
    /// Whether `x` is `[batch, neurons]`, the same at every step.
    pub constant_input: bool,
    /// Membranes before the first step, one per neuron, if they differ; otherwise [`NeuronKind::v_start`].
    pub starts: Option<Arc<[f32]>>,
    /// Derivative of a spike.
    pub surrogate: Surrogate,
    /// Whether gradients stop at resets.
    pub detach_reset: bool,
    /// Gradients do not pass multiples of this many steps.
    pub truncate: Option<usize>,
    /// Whether the output is the number of spikes of each neuron, `[batch, neurons]`, instead of the spikes.
    pub counted: bool,
    /// Receives the first potential of the forward pass that is not a finite number.
    pub problem: Problem,
}

/// Fewest rows that one thread encodes in a chunk.
const MIN_ROWS: usize = 16;

/// A layer of neurons with signed spikes over time (see [`gyrus_kernels::neuron::signed`]).
#[derive(Clone, Debug)]
pub struct SignedNeuron {
    /// Upper bound of the net count of spikes.
    pub levels: usize,
    /// Input that one spike represents.
    pub threshold: f32,
    /// Number of steps.
    pub steps: usize,
    /// Whether `x` is `[batch, neurons]` and arrives at the first step only.
    pub once: bool,
    /// Sum of each neuron before the first step.
    pub starts: Arc<[f32]>,
    /// Receives the first sum of the forward pass that is not a finite number.
    pub problem: Problem,
}

/// The first step and neuron whose potential is not a finite number, if any.
pub type Problem = Arc<OnceLock<(usize, usize)>>;

impl Neuron {
    fn shape(&self, rows: usize, elements: usize) -> NeuronShape {
        let batch = if self.constant_input { rows } else { rows / self.steps };
        NeuronShape {
            steps: self.steps,
            batch,
            neurons: elements / rows.max(1),
            constant_input: self.constant_input,
        }
    }

    fn state(&self, shape: NeuronShape) -> Option<NeuronState> {
        let starts = self.starts.as_ref()?;
        let mut state = NeuronState::new(self.kind, shape);
        state.v.chunks_exact_mut(shape.neurons).for_each(|v| v.copy_from_slice(starts));
        Some(state)
    }
}

fn bits(floats: &[f32]) -> &[u32] {
    bytemuck::cast_slice(floats)
}

/// The numbers of packed spikes.
///
/// # Panics
/// If the device fails.
#[must_use]
pub fn spike_words(spikes: Tensor<2>) -> Vec<u32> {
    let floats: Vec<f32> = spikes.into_data().try_into_vec().expect("packed spikes lie in f32");
    bytemuck::cast_slice(&floats).to_vec()
}

/// A tensor `[rows, elements]`, or of packed spikes, that `fill` writes row by row from the numbers of `x`.
///
/// # Panics
/// If `x` is not on the CPU.
pub fn coded_tensor(
    x: Tensor<2>,
    (rows, elements): (usize, usize),
    packed: bool,
    fill: impl Fn(&[f32], usize, &mut [f32]) + Sync,
) -> Tensor<2> {
    let x = Floats::new(&x.try_into_primitive::<Flex>().expect("spiking networks are on the CPU"));
    let x = x.get();
    let width = if packed { words(elements) } else { elements };
    let tensor = filled([rows, width], |to| {
        let to = to.par_chunks_exact_mut(width.max(1)).enumerate().with_min_len(MIN_ROWS);
        if packed {
            to.for_each_init(
                || vec![0.0; elements],
                |row, (index, to)| {
                    fill(x, index, row);
                    pack(row, elements, bytemuck::cast_slice_mut(to));
                },
            );
        } else {
            to.for_each(|(index, to)| fill(x, index, to));
        }
    });
    Tensor::from_primitive::<Flex>(tensor)
}

/// The membranes of a layer after each step, resets included: `[steps · batch, neurons]`, as the forward pass steps them.
///
/// `x` and `parameters` (constants; for recurrent neurons also weight and perhaps bias) are those of [`Spiking::Neuron`] or
/// [`Spiking::Recurrent`]. The forward pass keeps no membranes, so this recomputes them. Cost: a forward pass.
///
/// # Panics
/// If the device fails, or a tensor's length does not match its shape.
#[must_use]
pub fn membranes(neuron: &Neuron, x: Tensor<2>, parameters: &[Tensor<1>]) -> Vec<f32> {
    let [rows, _] = x.dims();
    let values = |tensor: TensorData| tensor.try_into_vec::<f32>().expect("activations lie in f32");
    let x = values(x.into_data());
    let parameters: Vec<Vec<f32>> = parameters.iter().map(|p| values(p.clone().into_data())).collect();
    let whole = neuron.shape(rows, x.len());
    let shape = NeuronShape { steps: 1, constant_input: false, ..whole };
    let mut state = neuron.state(shape).unwrap_or_else(|| NeuronState::new(neuron.kind, shape));
    let (mut all, mut bits, mut u) = (Vec::with_capacity(whole.output_len()), Vec::new(), Vec::new());
    let each = shape.input_len();
    for step in 0..whole.steps {
        let x = if whole.constant_input { &x[..] } else { &x[step * each..][..each] };
        let at = Some(&mut state);
        if let Some(weight) = parameters.get(1) {
            let feedback = Feedback { weight, bias: parameters.get(2).map(Vec::as_slice) };
            bits.resize(shape.output_words(), 0);
            recurrent_forward(neuron.kind, shape, &parameters[0], x, feedback, at, &mut bits);
        } else if neuron.kind.fires {
            bits.resize(shape.output_words(), 0);
            let spikes = NeuronOutput::Spikes(&mut bits);
            neuron_forward(neuron.kind, shape, &parameters[0], x, at, spikes);
        } else {
            u.resize(shape.output_len(), 0.0);
            let potentials = NeuronOutput::Potentials(&mut u);
            neuron_forward(neuron.kind, shape, &parameters[0], x, at, potentials);
        }
        all.extend_from_slice(&state.v);
    }
    all
}

impl Spiking {
    pub(crate) fn keeps(&self, inputs: usize) -> Kept {
        let inputs: &[usize] = match self {
            Self::Neuron(_) => &[0, 1],
            Self::Recurrent(_) => {
                let inputs: &[usize] = if inputs > 3 { &[0, 1, 2, 3] } else { &[0, 1, 2] };
                return Kept { inputs, output: true };
            }
            Self::Linear { .. } | Self::Convolution(_) if inputs > 2 => &[0, 1, 2],
            Self::Linear { .. } | Self::Convolution(_) => &[0, 1],
            Self::FirstSpike { .. } | Self::MaxPool(_) | Self::CountMaxPool { .. } => &[0],
            Self::Pack { .. } | Self::Unpack { .. } | Self::Delay { .. } | Self::Signed(_) => &[],
        };
        Kept { inputs, output: false }
    }

    pub(crate) fn forward(&self, rows: usize, tensors: &[Floats]) -> FlexTensor {
        let input = |i: usize| tensors[i].get();
        let optional = |i: usize| tensors.get(i).map(Floats::get);
        let x = input(0);
        match self {
            Self::Neuron(neuron) => {
                let shape = neuron.shape(rows, x.len());
                let mut state = neuron.state(shape);
                let all = shape.steps * shape.batch;
                let mut run = |output: NeuronOutput<'_>| {
                    let broken = neuron_forward(neuron.kind, shape, input(1), x, state.as_mut(), output);
                    if let Some(place) = broken {
                        // Report the first layer that fails; the others follow from it.
                        let _ = neuron.problem.set(place);
                    }
                };
                if neuron.counted {
                    filled([shape.batch, shape.neurons], |to| run(NeuronOutput::Counts(to)))
                } else if neuron.kind.fires {
                    filled([all, words(shape.neurons)], |to| {
                        run(NeuronOutput::Spikes(bytemuck::cast_slice_mut(to)));
                    })
                } else {
                    filled([all, shape.neurons], |to| run(NeuronOutput::Potentials(to)))
                }
            }
            Self::Recurrent(neuron) => {
                let shape = neuron.shape(rows, x.len());
                let mut state = neuron.state(shape);
                let feedback = Feedback { weight: input(2), bias: optional(3) };
                filled([shape.steps * shape.batch, words(shape.neurons)], |to| {
                    let bits = bytemuck::cast_slice_mut(to);
                    let state = state.as_mut();
                    if let Some(place) =
                        recurrent_forward(neuron.kind, shape, input(1), x, feedback, state, bits)
                    {
                        let _ = neuron.problem.set(place);
                    }
                })
            }
            Self::Signed(neuron) => {
                let neurons = neuron.starts.len();
                let batch = if neuron.once { rows } else { rows / neuron.steps };
                let SignedNeuron { levels, threshold, steps, once, .. } = *neuron;
                let shape = SignedShape { steps, batch, neurons, once, levels, threshold };
                filled([steps * batch, neurons], |y| {
                    if let Some(place) = signed_integrate_and_fire(shape, &neuron.starts, x, y) {
                        let _ = neuron.problem.set(place);
                    }
                })
            }
            Self::Linear { inputs, outputs } => filled([rows, *outputs], |y| {
                spike_linear(bits(x), input(1), optional(2), (rows, *inputs, *outputs), y);
            }),
            Self::Convolution(shape) => {
                let shape = Convolution { batch: rows, ..*shape };
                filled([rows, shape.output_len() / rows.max(1)], |y| {
                    spike_convolution(&shape, bits(x), input(1), optional(2), y);
                })
            }
            Self::Pack { elements } => {
                filled([rows, words(*elements)], |to| pack(x, *elements, bytemuck::cast_slice_mut(to)))
            }
            Self::Unpack { elements } => filled([rows, *elements], |to| unpack(bits(x), *elements, to)),
            Self::Delay { steps, by } => {
                let row = x.len() / rows.max(1);
                let late = (rows / steps * by).min(rows) * row;
                filled([rows, row], |to| {
                    to[..late].fill(0.0);
                    to[late..].copy_from_slice(&x[..x.len() - late]);
                })
            }
            Self::MaxPool(shape) => {
                let shape = Pooling { batch: rows, ..*shape };
                let width = words(shape.output_len() / rows.max(1));
                filled([rows, width], |to| {
                    spike_max_pool(&shape, bits(x), bytemuck::cast_slice_mut(to));
                })
            }
            Self::CountMaxPool { shape, steps } => {
                let shape = Pooling { batch: rows / steps, ..*shape };
                filled([rows, shape.output_len() / shape.batch.max(1)], |y| {
                    count_max_pool(&shape, *steps, x, y);
                })
            }
            Self::FirstSpike { steps } => {
                let step = x.len() / steps;
                filled([rows / steps, step / (rows / steps)], |to| {
                    for (index, to) in to.iter_mut().enumerate() {
                        let first = (0..*steps).find(|t| x[t * step + index] != 0.0);
                        *to = -(first.unwrap_or(*steps) as f32);
                    }
                })
            }
        }
    }

    pub(crate) fn backward(
        &self,
        rows: usize,
        kept: &[Floats],
        dy: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let kept = |i: usize| kept[i].get();
        match self {
            Self::Neuron(neuron) => {
                let x = kept(0);
                let all = if neuron.counted { rows * neuron.steps } else { rows };
                let x_rows = if neuron.constant_input { all / neuron.steps } else { all };
                let shape = neuron.shape(x_rows, x.len());
                let state = neuron.state(shape);
                let options = BackwardOptions {
                    detach_reset: neuron.detach_reset,
                    truncate: neuron.truncate,
                    initial: state.as_ref(),
                };
                let mut dx = filled([x_rows, shape.neurons], |_| {});
                let mut constants = wanted[1].then(|| filled([kept(1).len()], |_| {}));
                let gradients = NeuronGradients {
                    x: dx.storage_mut(),
                    constants: constants.as_mut().map(FlexTensor::storage_mut),
                };
                neuron_backward(neuron.kind, shape, kept(1), x, neuron.surrogate, dy, options, gradients);
                vec![Some(dx), constants]
            }
            Self::Recurrent(neuron) => {
                let x = kept(0);
                let x_rows = if neuron.constant_input { rows / neuron.steps } else { rows };
                let shape = neuron.shape(x_rows, x.len());
                let state = neuron.state(shape);
                let options = BackwardOptions {
                    detach_reset: neuron.detach_reset,
                    truncate: neuron.truncate,
                    initial: state.as_ref(),
                };
                let has_bias = wanted.len() > 3;
                let feedback = Feedback { weight: kept(2), bias: has_bias.then(|| kept(3)) };
                let mut dx = filled([x_rows, shape.neurons], |_| {});
                let mut constants = wanted[1].then(|| filled([kept(1).len()], |_| {}));
                let mut weight = filled([kept(2).len()], |_| {});
                let mut bias = has_bias.then(|| filled([shape.neurons], |_| {}));
                let gradients = RecurrentGradients {
                    x: dx.storage_mut(),
                    weight: weight.storage_mut(),
                    bias: bias.as_mut().map(FlexTensor::storage_mut),
                    constants: constants.as_mut().map(FlexTensor::storage_mut),
                };
                let spikes = bits(kept(wanted.len()));
                let (kind, surrogate) = (neuron.kind, neuron.surrogate);
                recurrent_backward(
                    kind,
                    shape,
                    kept(1),
                    x,
                    feedback,
                    spikes,
                    surrogate,
                    dy,
                    options,
                    gradients,
                );
                let mut all = vec![Some(dx), constants, Some(weight), bias];
                all.truncate(wanted.len());
                all
            }
            Self::Linear { inputs, outputs } => {
                let shape = (rows, *inputs, *outputs);
                let dx = || filled([rows, *inputs], |dx| linear_input_gradient(dy, kept(1), shape, dx));
                let dw = || {
                    filled([inputs * outputs], |dw| {
                        spike_linear_weight_gradient(bits(kept(0)), dy, shape, dw)
                    })
                };
                let db = || filled([*outputs], |db| sum_rows(dy, *outputs, db));
                let mut gradients = vec![wanted[0].then(dx), wanted[1].then(dw)];
                gradients.extend(wanted.get(2).map(|wanted| wanted.then(db)));
                gradients
            }
            Self::Convolution(shape) => {
                let shape = Convolution { batch: rows, ..*shape };
                let wants = |i: usize| wanted.get(i) == Some(&true);
                let mut dx = wants(0).then(|| filled([rows, shape.input_len() / rows.max(1)], |_| {}));
                let mut dw = wants(1).then(|| filled([shape.weight_len()], |_| {}));
                let mut db = wants(2).then(|| filled([shape.outputs], |_| {}));
                if let Some(dw) = &mut dw {
                    spike_convolution_weight_gradient(&shape, bits(kept(0)), dy, dw.storage_mut());
                }
                let gradients = ConvolutionGradients {
                    input: dx.as_mut().map(FlexTensor::storage_mut),
                    weight: None,
                    bias: db.as_mut().map(FlexTensor::storage_mut),
                };
                if gradients.input.is_some() || gradients.bias.is_some() {
                    // Without a weight gradient, the input is not needed.
                    convolution_backward(&shape, &[], kept(1), dy, None, gradients);
                }
                let mut all = vec![dx, dw, db];
                all.truncate(wanted.len());
                all
            }
            Self::Pack { .. } | Self::Unpack { .. } => unreachable!("their gradient is the same tensor"),
            Self::Delay { steps, by } => {
                let row = dy.len() / rows.max(1);
                let late = (rows / steps * by).min(rows) * row;
                vec![Some(filled([rows, row], |dx| {
                    let kept = dy.len() - late;
                    dx[..kept].copy_from_slice(&dy[late..]);
                    dx[kept..].fill(0.0);
                }))]
            }
            Self::MaxPool(shape) => {
                let shape = Pooling { batch: rows, ..*shape };
                vec![Some(filled([rows, shape.input_len() / rows.max(1)], |dx| {
                    spike_max_pool_backward(&shape, bits(kept(0)), dy, dx);
                }))]
            }
            Self::CountMaxPool { shape, steps } => {
                let shape = Pooling { batch: rows / steps, ..*shape };
                let x = kept(0);
                vec![Some(filled([rows, x.len() / rows.max(1)], |dx| {
                    count_max_pool_backward(&shape, *steps, x, dy, dx);
                }))]
            }
            Self::Signed(_) => unreachable!("networks with these are not trained"),
            Self::FirstSpike { steps } => {
                // d(−Σ_t s(t)) / dz(r): the steps from r to the next spike, if none came before r.
                let z = kept(0);
                let step = z.len() / steps;
                vec![Some(filled([rows * steps, step / rows], |dx| {
                    for index in 0..step {
                        let mut free = true;
                        for t in 0..*steps {
                            let until =
                                (t + 1..*steps).find(|r| z[r * step + index] != 0.0).unwrap_or(*steps);
                            dx[t * step + index] = if free { dy[index] * (until - t) as f32 } else { 0.0 };
                            free &= z[t * step + index] == 0.0;
                        }
                    }
                }))]
            }
        }
    }
}
