//! Optimizers with their moments: which step each parameter takes.

use gyrus_nn::{State, StateTensor, floats};
use gyrus_tensor::{AdamW, Sgd, Tensor, TensorData, adamw_step, sgd_step, squared_norm};

use crate::{Error, Result, Trainable};

/// The names of all optimizers.
pub const OPTIMIZER_NAMES: [&str; 2] = ["adamw", "sgd"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    AdamW { beta2: f32 },
    Sgd,
}

impl Rule {
    fn from_name(name: &str) -> Result<Self> {
        match name {
            "adamw" => Ok(Self::AdamW { beta2: 0.999 }),
            "sgd" => Ok(Self::Sgd),
            name => Err(Error::UnknownName { what: "optimizer", name: name.into(), known: &OPTIMIZER_NAMES }),
        }
    }

    /// How many moments it keeps per parameter.
    fn moments(self) -> usize {
        match self {
            Self::AdamW { .. } => 2,
            Self::Sgd => 1,
        }
    }
}

/// An optimizer and its moments, one or two per parameter.
#[derive(Debug)]
pub struct Optimizer {
    rule: Rule,
    weight_decay: f32,
    clip: Option<f32>,
    step: u64,
    slots: Vec<Slot>,
}

/// What is kept per parameter.
#[derive(Debug)]
struct Slot {
    decays: bool,
    moments: Vec<Tensor<1>>,
}

impl Optimizer {
    /// AdamW (betas 0.9 and 0.999, epsilon 1e-8) or SGD (momentum 0.9, Nesterov), by name, for the parameters of `model`.
    ///
    /// Which parameters decay, the model decides: no biases and no normalizations.
    ///
    /// # Errors
    /// [`Error::UnknownName`].
    pub fn new(name: &str, weight_decay: f32, model: &impl Trainable) -> Result<Self> {
        let rule = Rule::from_name(name)?;
        let zeros = |elements: usize| {
            (0..rule.moments()).map(|_| Tensor::zeros([elements], model.device())).collect()
        };
        let parameters = model.parameters().into_iter();
        let slots = parameters.map(|p| Slot { decays: p.decays, moments: zeros(p.elements()) }).collect();
        Ok(Self { rule, weight_decay, clip: None, step: 0, slots })
    }

    /// With this decay of AdamW's second moment in place of 0.999.
    #[must_use]
    pub fn with_beta2(mut self, beta2: f32) -> Self {
        if let Rule::AdamW { beta2: kept } = &mut self.rule {
            *kept = beta2;
        }
        self
    }

    /// Scales gradients down whose norm, over all parameters together, exceeds `clip`.
    #[must_use]
    pub fn with_clip(mut self, clip: f32) -> Self {
        self.clip = Some(clip);
        self
    }

    /// Whether there is an optimizer of this name.
    ///
    /// # Errors
    /// [`Error::UnknownName`].
    pub fn check_name(name: &str) -> Result<()> {
        Rule::from_name(name).map(drop)
    }

    /// One step against the gradients, one per parameter; a parameter without a gradient stays.
    pub fn step<M: Trainable>(
        &mut self,
        model: &mut M,
        gradients: Vec<Option<Tensor<1>>>,
        learning_rate: f32,
    ) {
        self.step_scaled(model, gradients, 1.0, learning_rate);
    }

    /// One step against `scale` times the gradients. With [`Self::with_clip`], returns the norm that the scaled gradients had
    /// before they were clipped; if it is not a finite number, nothing is changed.
    pub fn step_scaled<M: Trainable>(
        &mut self,
        model: &mut M,
        gradients: Vec<Option<Tensor<1>>>,
        scale: f32,
        learning_rate: f32,
    ) -> Option<f32> {
        let (norm, scale) = match self.clip {
            None => (None, scale),
            Some(clip) => {
                let squares = gradients.iter().flatten().map(squared_norm);
                let norm = squares.sum::<f64>().sqrt() as f32 * scale;
                if !norm.is_finite() {
                    return Some(norm);
                }
                (Some(norm), if norm > clip { scale * clip / norm } else { scale })
            }
        };
        self.step += 1;
        let (rule, step) = (self.rule, self.step);
        let mut gradients = gradients.into_iter();
        model.update(|index, value| {
            let Some(gradient) = gradients.next().flatten() else { return value };
            let slot = &mut self.slots[index];
            let weight_decay = if slot.decays { self.weight_decay } else { 0.0 };
            // Taken out, so that the step may write into their memory.
            let mut moments = std::mem::take(&mut slot.moments).into_iter();
            let (Some(first), second) = (moments.next(), moments.next()) else { return value };
            match (rule, second) {
                (Rule::AdamW { beta2 }, Some(second)) => {
                    let rule = AdamW {
                        learning_rate,
                        beta1: 0.9,
                        beta2,
                        epsilon: 1e-8,
                        weight_decay,
                        step,
                        gradient_scale: scale,
                    };
                    let (value, first, second) = adamw_step(rule, value, gradient, first, second);
                    slot.moments = vec![first, second];
                    value
                }
                _ => {
                    let gradient = if scale == 1.0 { gradient } else { gradient * scale };
                    let rule = Sgd { learning_rate, momentum: 0.9, nesterov: true, weight_decay };
                    let (value, velocity) = sgd_step(rule, value, gradient, first);
                    slot.moments = vec![velocity];
                    value
                }
            }
        });
        norm
    }

    /// The moments by name, `<parameter>.<index>`, to resume from.
    #[must_use]
    pub fn state(&self, model: &impl Trainable) -> State {
        let mut state = State::new();
        for (parameter, slot) in model.parameters().iter().zip(&self.slots) {
            for (index, moment) in slot.moments.iter().enumerate() {
                let tensor = StateTensor { shape: parameter.shape.clone(), values: floats(moment.clone()) };
                state.insert(format!("{}.{index}", parameter.name), tensor);
            }
        }
        state
    }

    /// Goes on from moments that [`Optimizer::state`] gave after `step` steps.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if a moment is missing or has another shape.
    pub fn load_state(&mut self, model: &impl Trainable, state: &State, step: u64) -> Result<()> {
        for (parameter, slot) in model.parameters().iter().zip(&mut self.slots) {
            for (index, moment) in slot.moments.iter_mut().enumerate() {
                let name = format!("{}.{index}", parameter.name);
                let tensor = state.get(&name).filter(|tensor| tensor.shape == parameter.shape);
                let tensor = tensor
                    .ok_or_else(|| Error::Checkpoint { problem: format!("no moment `{name}` that fits") })?;
                let data = TensorData::new(tensor.values.clone(), [tensor.values.len()]);
                *moment = Tensor::from_data(data, model.device());
            }
        }
        self.step = step;
        Ok(())
    }
}
