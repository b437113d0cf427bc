//! Nodes with weights, for input of events, of numbers at every step, or of constant numbers.
//!
//! Events are scattered through tables ([`gyrus_kernels::events`]); other input uses the kernels of the clocked body, one
//! sample at a time. Their outputs do not depend on the batch.

use gyrus_kernels::convolution::{self, Convolution, convolution_packed};
use gyrus_kernels::dense::linear::{self, linear_packed};
use gyrus_kernels::events::{ConvolutionTable, LinearTable, TOUCHED, take_sums, takes_winograd};

use crate::signal::Form;

/// A linear layer or a convolution, prepared for the form of its input.
pub(crate) enum Weights {
    Linear { table: LinearTable, outputs: usize },
    Convolution { table: ConvolutionTable, outputs: usize },
    DenseLinear { packed: Vec<f32>, inputs: usize, outputs: usize },
    DenseConvolution { packed: Vec<f32>, shape: Convolution },
}

/// A node's weights.
pub(crate) struct Synapses {
    /// Index in the blueprint.
    pub(crate) node: usize,
    pub(crate) weights: Weights,
    /// One per output channel.
    pub(crate) bias: Option<Vec<f32>>,
    /// Result of [`bias_row`]; empty without a bias.
    pub(crate) bias_row: Vec<f32>,
    /// Multiplications of the dense form.
    pub(crate) dense_products: u64,
}

/// Sums in progress of a [`Synapses`] with a table.
#[derive(Default)]
pub(crate) struct Sums {
    pub(crate) sums: Vec<f32>,
    pub(crate) touched: Vec<bool>,
}

impl Weights {
    pub(crate) fn linear(weight: &[f32], (inputs, outputs): (usize, usize), input: Form) -> Self {
        match input {
            Form::Binary | Form::Graded => {
                Self::Linear { table: LinearTable::new(weight, (inputs, outputs)), outputs }
            }
            Form::Constant | Form::Dense => {
                let mut packed = vec![0.0; linear::packed_len((inputs, outputs))];
                linear::pack(weight, (inputs, outputs), &mut packed);
                Self::DenseLinear { packed, inputs, outputs }
            }
        }
    }

    pub(crate) fn convolution(weight: &[f32], shape: Convolution, input: Form) -> Self {
        let scattered = match input {
            Form::Binary => true,
            // For the others, the clocked body adds in another order.
            Form::Graded => shape.groups == 1 && !takes_winograd(&shape),
            Form::Constant | Form::Dense => false,
        };
        if scattered {
            Self::Convolution {
                table: ConvolutionTable::new(&shape, weight),
                outputs: shape.outputs / shape.groups,
            }
        } else {
            let mut packed = vec![0.0; convolution::packed_len(&shape)];
            convolution::pack(&shape, weight, &mut packed);
            Self::DenseConvolution { packed, shape }
        }
    }

    /// Whether events go through a table.
    pub(crate) fn scatters(&self) -> bool {
        matches!(self, Self::Linear { .. } | Self::Convolution { .. })
    }

    /// Outputs of a group, and the floats that they occupy in the sums.
    pub(crate) fn group(&self) -> (usize, usize) {
        match self {
            Self::Linear { table, outputs } => (*outputs, table.sums_len()),
            Self::Convolution { table, outputs } => (*outputs, table.group_len()),
            Self::DenseLinear { outputs, .. } => (*outputs, *outputs),
            Self::DenseConvolution { shape, .. } => (shape.outputs, shape.outputs),
        }
    }
}

impl Synapses {
    /// Length of its sums, in floats.
    pub(crate) fn sums_len(&self) -> usize {
        match &self.weights {
            Weights::Linear { table, .. } => table.sums_len(),
            Weights::Convolution { table, .. } => table.sums_len(),
            _ => 0,
        }
    }

    pub(crate) fn sums(&self) -> Sums {
        let len = self.sums_len();
        Sums { sums: vec![0.0; len], touched: vec![false; len.div_ceil(TOUCHED)] }
    }

    /// Adds events to the sums, and returns the number of additions.
    pub(crate) fn add(&self, events: &[u32], values: Option<&[f32]>, to: &mut Sums) -> u64 {
        match &self.weights {
            Weights::Linear { table, .. } => {
                if !events.is_empty() {
                    to.touched.fill(true);
                }
                table.add(events, values, &mut to.sums)
            }
            Weights::Convolution { table, .. } => table.add(events, values, &mut to.sums, &mut to.touched),
            _ => 0,
        }
    }

    /// The dense result, with bias.
    pub(crate) fn product(&self, x: &[f32], y: &mut [f32]) {
        let bias = self.bias.as_deref();
        match &self.weights {
            Weights::DenseLinear { packed, inputs, outputs } => {
                linear_packed(x, packed, bias, false, (1, *inputs, *outputs), y);
            }
            Weights::DenseConvolution { packed, shape } => {
                convolution_packed(shape, x, packed, bias, None, None, y);
            }
            _ => {}
        }
    }

    /// Whether an event reached any of these neurons.
    pub(crate) fn touches(&self, sums: &Sums, first: usize, count: usize) -> bool {
        let (outputs, padded) = self.weights.group();
        let place = |neuron: usize| neuron / outputs * padded + neuron % outputs;
        sums.touched[place(first) / TOUCHED..=place(first + count - 1) / TOUCHED].contains(&true)
    }

    /// Moves the finished sums of at most [`TOUCHED`] neurons, plus bias, to `to` and leaves zeros. `first` is a multiple of
    /// [`TOUCHED`].
    pub(crate) fn take(&self, sums: &mut Sums, first: usize, to: &mut [f32]) {
        let (outputs, padded) = self.weights.group();
        let start = if self.bias_row.len() == TOUCHED { 0 } else { first };
        let bias = (!self.bias_row.is_empty()).then(|| &self.bias_row[start..]);
        if outputs == padded {
            take_sums(&mut sums.sums[first..][..to.len()], bias, to);
            return;
        }
        let mut done = 0;
        while done < to.len() {
            let (group, result) = ((first + done) / outputs, (first + done) % outputs);
            let count = (outputs - result).min(to.len() - done);
            let sums = &mut sums.sums[group * padded + result..][..count];
            take_sums(sums, bias.map(|bias| &bias[done..]), &mut to[done..done + count]);
            done += count;
        }
    }

    /// [`Self::take`] for all neurons.
    pub(crate) fn take_all(&self, sums: &mut Sums, to: &mut [f32]) {
        for (index, to) in to.chunks_mut(TOUCHED).enumerate() {
            self.take(sums, index * TOUCHED, to);
        }
        sums.touched.fill(false);
    }
}

/// The bias of each neuron of a block if all blocks are alike, otherwise of each neuron.
pub(crate) fn bias_row(bias: &[f32], neurons: usize) -> Vec<f32> {
    let len = match bias.len() {
        0 => 0,
        channels if TOUCHED.is_multiple_of(channels) => TOUCHED,
        _ => neurons,
    };
    bias.iter().copied().cycle().take(len).collect()
}
