//! Unusual tensors: views, the same tensor twice, other number types.

use burn_tensor::DType;
use gyrus_tensor::{Activation, Operation, Tensor, TensorData, apply, composed, cpu, kernels_run_on, probe};

use super::case::{close, enter, floats, quarters, test_device};

/// A kernel reads rows; a tensor may be a view with another layout.
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
    // The incoming gradient is a view too.
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

/// Among the proofs are sums over 70,001 rows: a loop of Mesa's llvmpipe ends after 65,536 rounds without a word, so that the
/// gradients of biases and the statistics of a batch were those of its first pixels.
#[test]
fn the_device_is_proven() {
    assert_eq!(probe::difference(&test_device(), 1e-4), None);
}
