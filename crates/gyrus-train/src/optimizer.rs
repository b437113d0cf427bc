//! Optimisers with their memory: which step each parameter takes.

use gyrus_nn::{Network, State, StateTensor, floats};
use gyrus_tensor::{AdamW, Sgd, Tensor, TensorData, adamw_step, sgd_step};

use crate::TrainError;

/// The names of all optimisers.
pub const OPTIMIZER_NAMES: [&str; 2] = ["adamw", "sgd"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    AdamW,
    Sgd,
}

impl Rule {
    /// The rule and how many moments it keeps.
    fn from_name(name: &str) -> Result<(Self, usize), TrainError> {
        match name {
            "adamw" => Ok((Self::AdamW, 2)),
            "sgd" => Ok((Self::Sgd, 1)),
            name => {
                Err(TrainError::UnknownName { what: "optimizer", name: name.into(), known: &OPTIMIZER_NAMES })
            }
        }
    }
}

/// An optimiser and its moments, one or two a parameter.
pub struct Optimizer {
    rule: Rule,
    weight_decay: f32,
    step: u64,
    moments: Vec<Vec<Tensor<1>>>,
}

impl Optimizer {
    /// AdamW (betas 0.9 and 0.999, epsilon 1e-8) or SGD (momentum 0.9, Nesterov), by name, for the parameters of `network`.
    ///
    /// Weight decay is left out for biases and normalisations.
    ///
    /// # Errors
    /// If there is no such optimiser.
    pub fn new(name: &str, weight_decay: f32, network: &Network) -> Result<Self, TrainError> {
        let (rule, count) = Rule::from_name(name)?;
        let zeros = |shape: &[usize]| {
            (0..count).map(|_| Tensor::zeros([shape.iter().product::<usize>()], network.device())).collect()
        };
        let moments = network.parameters().iter().map(|parameter| zeros(&parameter.shape)).collect();
        Ok(Self { rule, weight_decay, step: 0, moments })
    }

    /// Whether there is an optimiser of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn check_name(name: &str) -> Result<(), TrainError> {
        Rule::from_name(name).map(drop)
    }

    /// One step against the gradients, one a parameter; a parameter without a gradient stays.
    pub fn step(&mut self, network: &mut Network, gradients: Vec<Option<Tensor<1>>>, learning_rate: f32) {
        self.step += 1;
        let mut gradients = gradients.into_iter();
        network.update(|index, parameter, value| {
            let Some(gradient) = gradients.next().flatten() else { return value };
            let weight_decay = if parameter.decays() { self.weight_decay } else { 0.0 };
            let mut moments = std::mem::take(&mut self.moments[index]).into_iter();
            let (Some(first), second) = (moments.next(), moments.next()) else { return value };
            match (self.rule, second) {
                (Rule::AdamW, Some(second)) => {
                    let step = AdamW {
                        learning_rate,
                        beta1: 0.9,
                        beta2: 0.999,
                        epsilon: 1e-8,
                        weight_decay,
                        step: self.step,
                        gradient_scale: 1.0,
                    };
                    let (value, first, second) = adamw_step(step, value, gradient, first, second);
                    self.moments[index] = vec![first, second];
                    value
                }
                _ => {
                    let step = Sgd { learning_rate, momentum: 0.9, nesterov: true, weight_decay };
                    let (value, velocity) = sgd_step(step, value, gradient, first);
                    self.moments[index] = vec![velocity];
                    value
                }
            }
        });
    }

    /// The moments by name, `<parameter>.<index>`, to resume from.
    #[must_use]
    pub fn state(&self, network: &Network) -> State {
        let mut state = State::new();
        for (parameter, moments) in network.parameters().iter().zip(&self.moments) {
            for (index, moment) in moments.iter().enumerate() {
                let tensor = StateTensor { shape: parameter.shape.clone(), values: floats(moment.clone()) };
                state.insert(format!("{}.{index}", parameter.name), tensor);
            }
        }
        state
    }

    /// Goes on from moments that [`Optimizer::state`] gave after `step` steps.
    ///
    /// # Errors
    /// If a moment is missing or has another shape.
    pub fn load_state(&mut self, network: &Network, state: &State, step: u64) -> Result<(), TrainError> {
        for (parameter, moments) in network.parameters().iter().zip(&mut self.moments) {
            for (index, moment) in moments.iter_mut().enumerate() {
                let name = format!("{}.{index}", parameter.name);
                let tensor = state.get(&name).filter(|tensor| tensor.shape == parameter.shape);
                let tensor = tensor
                    .ok_or(TrainError::Checkpoint { problem: format!("no moment `{name}` that fits") })?;
                let data = TensorData::new(tensor.values.clone(), [tensor.values.len()]);
                *moment = Tensor::from_data(data, network.device());
            }
        }
        self.step = step;
        Ok(())
    }
}
