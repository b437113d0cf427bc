//! Every operation against its composition of Burn's own operations, and its gradients against finite differences.
//!
//! `GYRUS_TEST_DEVICE` names the device, `cpu` by default. On the CPU the kernels meet Burn's composition and Burn's own
//! gradients; on any other device, which composes, the results meet the CPU's kernels.
//!
//! Inputs are multiples of 1/4, and biases are odd multiples of 1/32: sums of products are then exact on every device,
//! and none comes close enough to a kink of ReLU for rounding or a finite difference to cross it.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use burn_tensor::DType;
use gyrus_kernels::weights::Format;
use gyrus_tensor::{
    Activation, CausalAttention, Convolution, Device, FeedForwardActivation, IGNORED, LowRankLinear,
    Operation, Pooling, RotationTable, StoredLinear, StoredMatrix, Tensor, TensorData, Transformer, apply,
    composed, cpu, device, dropout_mask, kernels_run_on,
};

/// An operation and the numbers that it runs on.
struct Case {
    name: String,
    operation: Operation,
    rows: usize,
    x: Vec<f32>,
    parameters: Vec<Vec<f32>>,
    second: Option<Vec<f32>>,
    /// Inputs without a gradient, in the order x, parameters, second.
    constant: &'static [usize],
}

impl Case {
    fn new(name: impl Into<String>, operation: Operation, rows: usize, x: Vec<f32>) -> Self {
        Self { name: name.into(), operation, rows, x, parameters: Vec::new(), second: None, constant: &[] }
    }

    fn parameters(mut self, parameters: impl IntoIterator<Item = Vec<f32>>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    fn second(mut self, second: Vec<f32>) -> Self {
        self.second = Some(second);
        self
    }

    fn constant(mut self, constant: &'static [usize]) -> Self {
        self.constant = constant;
        self
    }

    /// All inputs in order.
    fn inputs(&self) -> Vec<Vec<f32>> {
        let mut inputs = vec![self.x.clone()];
        inputs.extend(self.parameters.iter().cloned());
        inputs.extend(self.second.clone());
        inputs
    }

    /// Runs on `inputs` as they are shaped here. `leaf(i)` says whether input `i` wants a gradient.
    fn run(
        &self,
        inputs: &[Vec<f32>],
        device: &Device,
        run: impl Fn(&Operation, Tensor<2>, Vec<Tensor<1>>, Option<Tensor<2>>) -> Tensor<2>,
        leaf: impl Fn(usize) -> bool,
    ) -> Answer {
        let tracked = (0..inputs.len()).any(&leaf);
        let matrix = |i: usize| {
            let columns = inputs[i].len() / self.rows;
            let tensor =
                Tensor::<2>::from_data(TensorData::new(inputs[i].clone(), [self.rows, columns]), device);
            enter(tensor, tracked, leaf(i))
        };
        let vector = |i: usize| {
            let data = TensorData::new(inputs[i].clone(), [inputs[i].len()]);
            enter(Tensor::<1>::from_data(data, device), tracked, leaf(i))
        };
        let x = matrix(0);
        let count = self.parameters.len();
        let parameters: Vec<Tensor<1>> = (1..=count).map(vector).collect();
        let second = self.second.as_ref().map(|_| matrix(count + 1));
        let output = run(&self.operation, x.clone(), parameters.clone(), second.clone());
        let dims = output.dims();
        let mut gradients = vec![None; inputs.len()];
        if tracked {
            let weights: Vec<f32> = weights(dims[0] * dims[1]).iter().map(|w| *w as f32).collect();
            let weights = enter(Tensor::from_data(TensorData::new(weights, dims), device), true, false);
            let found = (output.clone() * weights).sum().backward();
            gradients[0] = x.grad(&found).map(floats);
            for (to, parameter) in gradients[1..].iter_mut().zip(&parameters) {
                *to = parameter.grad(&found).map(floats);
            }
            if let (Some(to), Some(second)) = (gradients.get_mut(count + 1), &second) {
                *to = second.grad(&found).map(floats);
            }
        }
        Answer { dims, output: floats(output), gradients }
    }

    fn kernel(&self, device: &Device, leaf: impl Fn(usize) -> bool) -> Answer {
        self.run(&self.inputs(), device, run_kernel, leaf)
    }

    /// The sum of the output, weighted as in [`Case::run`], for changed inputs.
    fn loss(&self, inputs: &[Vec<f32>], device: &Device) -> f64 {
        let answer = self.run(inputs, device, run_kernel, |_| false);
        answer.output.iter().zip(weights(answer.output.len())).map(|(y, w)| f64::from(*y) * w).sum()
    }

    fn check(&self) {
        let device = test_device();
        let wants = |i: usize| !self.constant.contains(&i);
        let got = self.kernel(&device, wants);
        let (expected, tolerance) = if is_cpu(&device) {
            (self.run(&self.inputs(), &device, composed::apply, wants), 2e-5)
        } else {
            // Tensor cores round factors to 10 bits.
            (self.kernel(&cpu(), wants), 4e-3)
        };
        assert_eq!(got.dims, expected.dims, "{}: shape", self.name);
        close(&format!("{}: output", self.name), &got.output, &expected.output, tolerance);
        for (i, (got, expected)) in got.gradients.iter().zip(&expected.gradients).enumerate() {
            let name = format!("{}: gradient of input {i}", self.name);
            assert_eq!(got.is_some(), wants(i), "{name}");
            if let (Some(got), Some(expected)) = (got, expected) {
                close(&name, got, expected, tolerance);
            }
        }
        self.check_packed(&device, &got);
        self.check_alone(&device, &got);
        self.check_differences(&device, &got);
    }

    /// With the weight rearranged beforehand the output is the same.
    fn check_packed(&self, device: &Device, all: &Answer) {
        let run = |operation: &Operation, x, mut parameters: Vec<Tensor<1>>, second| match parameters
            .first()
            .and_then(|weight| operation.packed(weight))
        {
            None => run_kernel(operation, x, parameters, second),
            Some((operation, weight)) => {
                parameters[0] = weight;
                apply(operation, x, parameters, second)
            }
        };
        let packed = self.run(&self.inputs(), device, run, |_| false);
        close(&format!("{}: output of the packed weight", self.name), &packed.output, &all.output, 1e-5);
    }

    /// Outside autodiff the output is the same, and each gradient is the same when it is the only one wanted.
    fn check_alone(&self, device: &Device, all: &Answer) {
        let plain = self.kernel(device, |_| false);
        close(&format!("{}: output outside autodiff", self.name), &plain.output, &all.output, 0.0);
        for (i, expected) in all.gradients.iter().enumerate() {
            let Some(expected) = expected else { continue };
            let alone = self.kernel(device, |leaf| leaf == i);
            let name = format!("{}: only gradient {i}", self.name);
            close(&name, alone.gradients[i].as_ref().unwrap(), expected, 1e-5);
            assert_eq!(alone.gradients.iter().flatten().count(), 1, "{name}");
        }
    }

    /// Some elements of each gradient against central differences.
    fn check_differences(&self, device: &Device, got: &Answer) {
        const STEP: f32 = 1.0 / 128.0;
        let inputs = self.inputs();
        for (i, gradient) in got.gradients.iter().enumerate() {
            let Some(gradient) = gradient else { continue };
            let scale = gradient.iter().fold(0.01f32, |most, g| most.max(g.abs()));
            for place in (0..gradient.len()).step_by(gradient.len().div_ceil(12)) {
                let moved = |step: f32| {
                    let mut inputs = inputs.clone();
                    inputs[i][place] += step;
                    self.loss(&inputs, device)
                };
                let difference = ((moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP)) as f32;
                let error = (difference - gradient[place]).abs();
                let allowed = if is_cpu(device) { 2e-3 } else { 2e-1 } * scale;
                let name = &self.name;
                assert!(
                    error <= allowed,
                    "{name}: gradient of input {i} at {place} is {}, by differences {difference}",
                    gradient[place]
                );
            }
        }
    }
}

/// [`apply`]; a batch norm over its own statistics gets them from its input, as in a network.
fn run_kernel(
    operation: &Operation,
    x: Tensor<2>,
    mut parameters: Vec<Tensor<1>>,
    second: Option<Tensor<2>>,
) -> Tensor<2> {
    if let Operation::BatchNorm { own: true, .. } = operation {
        let channels = parameters[0].dims()[0];
        let batch = if x.is_autodiff() { x.clone().inner() } else { x.clone() };
        let made = apply(Operation::Statistics { channels }, batch, vec![], None).reshape([2 * channels]);
        parameters[2] = enter(made, x.is_autodiff(), false);
    }
    apply(operation.clone(), x, parameters, second)
}

struct Answer {
    dims: [usize; 2],
    output: Vec<f32>,
    gradients: Vec<Option<Vec<f32>>>,
}

fn test_device() -> Device {
    let name = std::env::var("GYRUS_TEST_DEVICE").unwrap_or_else(|_| "cpu".into());
    device(&name).unwrap_or_else(|error| panic!("GYRUS_TEST_DEVICE: {error}"))
}

fn is_cpu(device: &Device) -> bool {
    *device == cpu()
}

fn enter<const D: usize>(tensor: Tensor<D>, tracked: bool, leaf: bool) -> Tensor<D> {
    match (tracked, leaf) {
        (true, true) => Tensor::from_inner(tensor).require_grad(),
        (true, false) => Tensor::from_inner(tensor),
        (false, _) => tensor,
    }
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().unwrap()
}

/// What the outputs weigh in the loss that gradients are taken of.
fn weights(count: usize) -> Vec<f64> {
    (0..count).map(|i| [1.0, -0.5, 0.25, 2.0, -1.5][i % 5]).collect()
}

#[track_caller]
fn close(what: &str, got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "{what}: length");
    let scale = expected.iter().fold(0.01f32, |most, e| most.max(e.abs()));
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= tolerance * scale, "{what}: element {i} is {got}, not {expected}");
    }
}

/// Repeatable picks from `from`.
fn pick(count: usize, seed: u64, from: &[f32]) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize
    };
    (0..count).map(|_| from[next() % from.len()]).collect()
}

/// Odd multiples of 1/4.
fn quarters(count: usize, seed: u64) -> Vec<f32> {
    pick(count, seed, &[-1.25, -0.75, -0.25, 0.25, 0.75, 1.25])
}

/// Odd multiples of 1/32.
fn biases(count: usize, seed: u64) -> Vec<f32> {
    pick(count, seed, &[-0.15625, -0.03125, 0.03125, 0.28125])
}

/// Values that differ pairwise by at least 1/16, in no order.
fn distinct(count: usize) -> Vec<f32> {
    assert!(!count.is_multiple_of(37));
    (0..count).map(|i| (i * 37 % count) as f32 / 16.0 - count as f32 / 32.0).collect()
}

#[test]
fn linear() {
    // The inputs are odd in number, so that a sum of odd multiples of 1/16 is never 0, with or without bias.
    for (rows, inputs, outputs) in [(1, 1, 1), (3, 7, 5), (5, 33, 18), (37, 129, 70)] {
        for (bias, relu) in [(false, false), (false, true), (true, false), (true, true)] {
            let name = format!("linear {rows}x{inputs}x{outputs}, bias {bias}, relu {relu}");
            let operation = Operation::Linear { inputs, outputs, relu };
            Case::new(name, operation, rows, quarters(rows * inputs, 1))
                .parameters([quarters(inputs * outputs, 2)])
                .parameters(bias.then(|| biases(outputs, 3)))
                .check();
        }
    }
}

#[test]
fn convolution() {
    let plain = Convolution {
        batch: 1,
        height: 6,
        width: 7,
        channels: 4,
        outputs: 6,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [0; 4],
        dilation: [1, 1],
        groups: 1,
    };
    let same = Convolution { padding: [1; 4], ..plain };
    let shapes = [
        ("plain", plain),
        ("padded", same),
        ("one channel", Convolution { channels: 1, ..same }),
        ("strided", Convolution { stride: [2, 3], padding: [1; 4], ..plain }),
        ("strided past the end", Convolution { stride: [2, 2], height: 7, width: 8, ..plain }),
        ("dilated", Convolution { dilation: [2, 1], padding: [2, 2, 1, 1], ..plain }),
        ("strided and dilated", Convolution { dilation: [2, 2], stride: [2, 1], padding: [2; 4], ..plain }),
        ("asymmetric padding", Convolution { padding: [0, 2, 1, 0], ..plain }),
        ("asymmetric, even kernel", Convolution { kernel: [2, 4], padding: [0, 1, 1, 2], ..plain }),
        ("grouped", Convolution { groups: 2, ..same }),
        ("grouped and strided", Convolution { groups: 2, stride: [2, 2], ..same }),
        ("depthwise", Convolution { groups: 4, outputs: 4, ..same }),
        ("depthwise, strided", Convolution { groups: 4, outputs: 4, stride: [2, 2], ..same }),
        ("depthwise, two outputs a channel", Convolution { groups: 4, outputs: 8, ..same }),
        ("1x1", Convolution { kernel: [1, 1], ..plain }),
        ("1x1, strided", Convolution { kernel: [1, 1], stride: [2, 2], ..plain }),
        ("one row", Convolution { height: 1, kernel: [1, 3], padding: [0, 0, 1, 1], ..plain }),
        ("winograd", Convolution { channels: 32, outputs: 48, ..same }),
        (
            "winograd, asymmetric padding",
            Convolution { channels: 32, outputs: 32, padding: [2, 0, 1, 2], ..plain },
        ),
        ("wide", Convolution { height: 12, width: 13, channels: 17, outputs: 40, ..same }),
    ];
    for (name, shape) in shapes {
        for (bias, relu) in [(true, false), (true, true), (false, false)] {
            let rows = 3;
            let name = format!("convolution, {name}, bias {bias}, relu {relu}");
            let x = quarters(rows * shape.height * shape.width * shape.channels, 4);
            Case::new(name, Operation::Convolution { shape, relu, residual: false }, rows, x)
                .parameters([quarters(shape.weight_len(), 5)])
                .parameters(bias.then(|| biases(shape.outputs, 6)))
                .check();
        }
    }
}

/// Inference alone adds a residual in the convolution, hence no gradients.
#[test]
fn convolution_with_residual() {
    let shape = Convolution {
        batch: 1,
        height: 9,
        width: 7,
        channels: 5,
        outputs: 19,
        kernel: [3, 3],
        stride: [2, 1],
        padding: [1; 4],
        dilation: [1, 1],
        groups: 1,
    };
    let depthwise = Convolution { channels: 19, groups: 19, ..shape };
    let one_by_one = Convolution { kernel: [1, 1], stride: [1, 1], padding: [0; 4], ..shape };
    for (name, shape) in [("3x3", shape), ("depthwise", depthwise), ("1x1", one_by_one)] {
        for relu in [false, true] {
            let name = format!("convolution with residual, {name}, relu {relu}");
            let x = quarters(3 * shape.input_len(), 22);
            Case::new(name, Operation::Convolution { shape, relu, residual: true }, 3, x)
                .parameters([quarters(shape.weight_len(), 23), biases(shape.outputs, 24)])
                .second(quarters(3 * shape.output_len(), 25))
                .constant(&[0, 1, 2, 3])
                .check();
        }
    }
}

#[test]
fn activation() {
    for f in [Activation::Relu, Activation::Gelu, Activation::Sigmoid, Activation::Tanh] {
        for columns in [1, 50, 9000] {
            let x = pick(4 * columns, 7, &[-6.25, -2.5, -0.75, -0.125, 0.125, 0.5, 1.75, 5.5]);
            Case::new(format!("{f:?} of 4x{columns}"), Operation::Activation(f), 4, x).check();
        }
    }
}

#[test]
fn pooling() {
    let plain = Pooling {
        batch: 1,
        height: 6,
        width: 7,
        channels: 5,
        kernel: [2, 2],
        stride: [2, 2],
        padding: [0; 4],
    };
    let shapes = [
        ("touching", plain),
        ("overlapping", Pooling { kernel: [3, 3], stride: [1, 2], ..plain }),
        ("padded", Pooling { kernel: [3, 2], stride: [2, 1], padding: [1; 4], ..plain }),
        ("gaps", Pooling { stride: [3, 3], ..plain }),
        ("the whole picture", Pooling { kernel: [6, 7], stride: [1, 1], ..plain }),
        ("large", Pooling { height: 24, width: 24, channels: 33, ..plain }),
    ];
    for (name, shape) in shapes {
        let count = shape.input_len();
        let x: Vec<f32> = [distinct(count), distinct(count).into_iter().rev().collect()].concat();
        Case::new(format!("max pool, {name}"), Operation::MaxPool(shape), 2, x).check();
        for scale in [1.0, 1.0 / (shape.kernel[0] * shape.kernel[1]) as f32] {
            let operation = Operation::SumPool { shape, scale };
            Case::new(format!("sum pool, {name}, times {scale}"), operation, 2, quarters(2 * count, 8))
                .check();
        }
    }
}

#[test]
fn normalisation() {
    for (rows, pixels, channels) in [(5, 1, 3), (3, 4, 17), (6, 100, 24)] {
        let size = format!("{rows}x{pixels}x{channels}");
        // Two far clusters: a normalised value is at least 1/2 from 0, more than shift and residual together.
        let x = pick(rows * pixels * channels, 9, &[-1.25, -1.0, 1.0, 1.25]);
        let residual = pick(x.len(), 10, &[-0.125, -0.0625, 0.0625, 0.125]);
        let gamma = pick(channels, 11, &[0.75, 1.25, -1.0]);
        let beta = pick(channels, 12, &[-0.0625, 0.03125, 0.0625]);
        let running = [pick(channels, 13, &[-0.125, 0.25]), pick(channels, 14, &[0.5, 1.5])].concat();
        Case::new(format!("statistics of {size}"), Operation::Statistics { channels }, rows, x.clone())
            .constant(&[0])
            .check();
        for (own, relu) in [(true, false), (true, true), (false, false), (false, true)] {
            for with_residual in [false, true] {
                let name = format!("batch norm {size}, own {own}, relu {relu}, residual {with_residual}");
                let operation = Operation::BatchNorm { own, epsilon: 1e-5, relu };
                let case = Case::new(name, operation, rows, x.clone())
                    .parameters([gamma.clone(), beta.clone(), running.clone()])
                    .constant(&[3]);
                let case = if with_residual { case.second(residual.clone()) } else { case };
                case.check();
            }
        }
        Case::new(format!("layer norm {size}"), Operation::LayerNorm { epsilon: 1e-5 }, rows, x)
            .parameters([gamma, beta])
            .check();
    }
}

#[test]
fn elementwise() {
    for (rows, columns) in [(1, 1), (3, 20), (4, 12_000)] {
        let size = format!("{rows}x{columns}");
        let count = rows * columns;
        let (a, b) = (quarters(count, 15), quarters(count, 16));
        Case::new(format!("add {size}"), Operation::Add, rows, a.clone()).second(b).check();
        let mask = floats(dropout_mask(rows, columns, 0.25, 1, &test_device()));
        // A mask takes no gradient.
        Case::new(format!("multiply {size}"), Operation::Multiply, rows, a)
            .second(mask)
            .constant(&[1])
            .check();
    }
    for (pixels, channels) in [(1, 4), (6, 5), (49, 16)] {
        let x = quarters(3 * pixels * channels, 17);
        let name = format!("channels first {pixels}x{channels}");
        Case::new(name, Operation::ChannelsFirst { pixels, channels }, 3, x.clone()).check();
        let name = format!("softmax over {channels} of {pixels}");
        Case::new(name, Operation::Softmax { columns: channels }, 3, x).check();
    }
}

#[test]
fn losses() {
    for (rows, classes) in [(1, 2), (5, 10), (300, 7)] {
        let targets: Arc<[u32]> = (0..rows).map(|row| (row * 3 % classes) as u32).collect();
        let logits = quarters(rows * classes, 18);
        for smoothing in [0.0, 0.1] {
            let operation = Operation::CrossEntropy { targets: targets.clone(), classes, smoothing };
            let name = format!("cross-entropy {rows}x{classes}, smoothing {smoothing}");
            Case::new(name, operation, rows, logits.clone()).check();
        }
        let targets: Arc<[f32]> = quarters(rows * classes, 19).into();
        let operation = Operation::MeanSquaredError { targets };
        Case::new(format!("mean squared error {rows}x{classes}"), operation, rows, logits).check();
    }
}

/// A kernel reads rows; a tensor may be a view that is not laid out so.
#[test]
fn views_that_are_not_contiguous() {
    let device = test_device();
    let (inputs, rows, outputs) = (7, 4, 3);
    let columns = quarters(inputs * rows, 20);
    let transposed = |autodiff: bool| {
        let tensor = Tensor::<2>::from_data(TensorData::new(columns.clone(), [inputs, rows]), &device);
        enter(tensor, autodiff, autodiff)
    };
    let weight = enter(
        Tensor::<1>::from_data(TensorData::new(quarters(outputs * inputs, 21), [outputs * inputs]), &device),
        true,
        false,
    );
    let operation = Operation::Linear { inputs, outputs, relu: false };
    let leaf = transposed(true);
    let y = apply(operation.clone(), leaf.clone().transpose(), vec![weight.clone()], None);
    // The gradient that comes back is a view too.
    let gradient = floats(leaf.grad(&y.clone().transpose().sum().backward()).unwrap());
    let other = transposed(true);
    let expected = composed::apply(&operation, other.clone().transpose(), vec![weight], None);
    let expected_gradient = floats(other.grad(&expected.clone().sum().backward()).unwrap());
    close("output", &floats(y), &floats(expected), 1e-5);
    close("gradient", &gradient, &expected_gradient, 1e-5);
}

#[test]
fn one_tensor_in_both_places_collects_both_gradients() {
    let device = test_device();
    let x = enter(Tensor::<2>::from_floats([[0.5, -2.0, 3.0]], &device), true, true);
    let y = apply(Operation::Add, x.clone(), vec![], Some(x.clone()));
    assert_eq!(floats(x.grad(&y.sum().backward()).unwrap()), [2.0; 3]);
}

#[test]
fn other_number_types_are_composed() {
    let x = Tensor::<2>::from_floats([[-1.0, 0.5]], &cpu());
    assert!(kernels_run_on(&x));
    let x = x.cast(DType::F64);
    assert!(!kernels_run_on(&x));
    let y = apply(Operation::Activation(Activation::Relu), x, vec![], None);
    assert_eq!(y.dtype(), DType::F64);
    assert_eq!(y.into_data().try_into_vec::<f64>().unwrap(), [0.0, 0.5]);
}

/// Angles of two pairs for each of 40 positions.
fn rotation() -> RotationTable {
    RotationTable::new(&[1.0, 0.1], 40)
}

#[test]
fn transformer() {
    let case = |name: &str, operation, rows, x| Case::new(name, Operation::Transformer(operation), rows, x);
    let tokens = [3, 0, 3, 4, 1, 3, 3].into();
    case("embedding", Transformer::Embedding { tokens }, 5, quarters(5 * 6, 1)).check();
    for plus_one in [false, true] {
        let name = format!("root mean square, plus one {plus_one}");
        case(&name, Transformer::RmsNorm { epsilon: 1e-3, plus_one }, 7, quarters(7 * 19, 1))
            .parameters([quarters(19, 2)])
            .check();
    }
    for (heads, key_value_heads, ends, rotation, window) in [
        (1, 1, vec![1], None, None),
        (2, 2, vec![3, 3, 9], None, None),
        (4, 2, vec![11, 31], Some(rotation()), None),
        (3, 1, vec![23], Some(rotation()), None),
        (2, 1, vec![23, 31], Some(rotation().scaled(1.3, true)), Some(5)),
    ] {
        let softcap = window.map(|_| 0.8);
        let shape = CausalAttention { heads, key_value_heads, head_width: 6, scale: 0.4, softcap, window };
        let rows = ends[ends.len() - 1];
        let name = format!("attention of {heads} to {key_value_heads} heads over {ends:?}");
        let operation = Transformer::Attention { shape, ends: ends.into(), rotation };
        case(&name, operation, rows, quarters(rows * shape.columns(), 1)).check();
    }
    for f in [FeedForwardActivation::Silu, FeedForwardActivation::Gelu, FeedForwardActivation::GeluTanh] {
        case(&format!("gated {f:?}"), Transformer::Gated(f), 5, quarters(5 * 14, 1)).check();
    }
    for f in [FeedForwardActivation::Silu, FeedForwardActivation::Gelu, FeedForwardActivation::GeluTanh] {
        case(&format!("activated {f:?}"), Transformer::Activated(f), 5, quarters(5 * 14, 1)).check();
    }
    let shape = CausalAttention {
        heads: 3,
        key_value_heads: 1,
        head_width: 6,
        scale: 0.4,
        softcap: None,
        window: None,
    };
    for (queries, keys) in [(6, 6), (18, 6)] {
        let operation = Transformer::HeadNorm { shape, epsilon: 1e-3, plus_one: queries == 6 };
        case(&format!("normalised heads of {queries}"), operation, 9, quarters(9 * shape.columns(), 1))
            .parameters([quarters(queries, 2), quarters(keys, 3)])
            .check();
    }
    let rotate = Transformer::Rotate { shape, ends: vec![4, 9].into(), rotation: rotation() };
    case("rotated heads", rotate, 9, quarters(9 * shape.columns(), 1)).check();
    for (name, ranks, dropout) in [
        ("frozen", [0, 0], None),
        ("adapted", [2, 3], None),
        ("adapted with dropout", [0, 3], Some((0.4, 7))),
    ] {
        let stored = |outputs: usize, rank: usize, seed| {
            let bytes = quarters(outputs * 9, seed).iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
            StoredLinear {
                weight: StoredMatrix::new(Format::F32, outputs, 9, Arc::new(bytes)).unwrap(),
                bias: (rank < 3).then(|| quarters(outputs, 5).into()),
                rank,
                scale: 0.5,
            }
        };
        let parts = Arc::new([stored(12, ranks[0], 6), stored(5, ranks[1], 7)]);
        let linear = LowRankLinear { parts, dropout };
        let adapter = 9 * linear.rank() + 12 * ranks[0] + 5 * ranks[1];
        let plain = case(name, Transformer::LowRank(linear), 13, quarters(13 * 9, 1));
        let plain = if adapter > 0 { plain.parameters([quarters(adapter, 2)]) } else { plain };
        plain.second(quarters(13 * 17, 3)).check();
    }
    let operation = Transformer::LinearResidual { inputs: 9, outputs: 21 };
    case("linear with a residual", operation, 13, quarters(13 * 9, 1))
        .parameters([quarters(9 * 21, 2)])
        .second(quarters(13 * 21, 3))
        .check();
    let targets = [4, IGNORED, 0, 16, 4].into();
    let operation = Transformer::VocabularyLoss {
        targets,
        vocabulary: 17,
        softcap: Some(2.0),
        frozen: None,
        gradients: true,
    };
    case("loss over a vocabulary", operation, 5, quarters(5 * 8, 1))
        .parameters([quarters(17 * 8, 2)])
        .check();
}
