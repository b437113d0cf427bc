//! One operation on some numbers, with all checks.

use gyrus_tensor::{Device, Operation, Tensor, TensorData, apply, composed, cpu, device};

/// An operation and the numbers that it runs on.
pub(crate) struct Case {
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
    pub(crate) fn new(name: impl Into<String>, operation: Operation, rows: usize, x: Vec<f32>) -> Self {
        Self { name: name.into(), operation, rows, x, parameters: Vec::new(), second: None, constant: &[] }
    }

    pub(crate) fn parameters(mut self, parameters: impl IntoIterator<Item = Vec<f32>>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    pub(crate) fn second(mut self, second: Vec<f32>) -> Self {
        self.second = Some(second);
        self
    }

    pub(crate) fn constant(mut self, constant: &'static [usize]) -> Self {
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

    /// Runs on `inputs` with the shapes of this case. `leaf(i)` is whether input `i` wants a gradient.
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

    pub(crate) fn check(&self) {
        let device = test_device();
        let wants = |i: usize| !self.constant.contains(&i);
        let got = self.kernel(&device, wants);
        let (expected, tolerance) = if is_cpu(&device) {
            (self.run(&self.inputs(), &device, composed::apply, wants), 2e-5)
        } else {
            (self.kernel(&cpu(), wants), device_tolerance())
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
pub(crate) fn run_kernel(
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

pub(crate) struct Answer {
    dims: [usize; 2],
    output: Vec<f32>,
    gradients: Vec<Option<Vec<f32>>>,
}

/// The device that `GYRUS_TEST_DEVICE` names. One that computes wrong numbers is tested all the same, so that each operation
/// that fails is named rather than the first.
pub(crate) fn test_device() -> Device {
    let name = std::env::var("GYRUS_TEST_DEVICE").unwrap_or_else(|_| "cpu".into());
    match device(&name) {
        #[cfg(feature = "wgpu")]
        Err(gyrus_tensor::Error::Wrong { .. }) if name == "wgpu:software" => {
            Device::wgpu(burn_tensor::DeviceKind::Cpu)
        }
        found => found.unwrap_or_else(|error| panic!("GYRUS_TEST_DEVICE: {error}")),
    }
}

/// Relative to the largest number; the tensor cores of CUDA round factors to 10 bits.
fn device_tolerance() -> f32 {
    if std::env::var("GYRUS_TEST_DEVICE").is_ok_and(|name| name == "cuda") { 4e-3 } else { 1e-4 }
}

pub(crate) fn is_cpu(device: &Device) -> bool {
    *device == cpu()
}

pub(crate) fn enter<const D: usize>(tensor: Tensor<D>, tracked: bool, leaf: bool) -> Tensor<D> {
    match (tracked, leaf) {
        (true, true) => Tensor::from_inner(tensor).require_grad(),
        (true, false) => Tensor::from_inner(tensor),
        (false, _) => tensor,
    }
}

pub(crate) fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().unwrap()
}

/// Weights of the outputs in the loss.
pub(crate) fn weights(count: usize) -> Vec<f64> {
    (0..count).map(|i| [1.0, -0.5, 0.25, 2.0, -1.5][i % 5]).collect()
}

#[track_caller]
pub(crate) fn close(what: &str, got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "{what}: length");
    let scale = expected.iter().fold(0.01f32, |most, e| most.max(e.abs()));
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= tolerance * scale, "{what}: element {i} is {got}, not {expected}");
    }
}

/// Repeatable picks from `from`.
pub(crate) fn pick(count: usize, seed: u64, from: &[f32]) -> Vec<f32> {
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
pub(crate) fn quarters(count: usize, seed: u64) -> Vec<f32> {
    pick(count, seed, &[-1.25, -0.75, -0.25, 0.25, 0.75, 1.25])
}

/// Odd multiples of 1/32.
pub(crate) fn biases(count: usize, seed: u64) -> Vec<f32> {
    pick(count, seed, &[-0.15625, -0.03125, 0.03125, 0.28125])
}

/// Values that differ pairwise by at least 1/16, in no order.
pub(crate) fn distinct(count: usize) -> Vec<f32> {
    assert!(!count.is_multiple_of(37));
    (0..count).map(|i| (i * 37 % count) as f32 / 16.0 - count as f32 / 32.0).collect()
}
