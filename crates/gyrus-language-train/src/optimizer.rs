//! AdamW over a decoder, with clipped gradients: one fused pass over each parameter.

use gyrus_files::{State, StateTensor};
use gyrus_nn::floats;
use gyrus_tensor::{AdamW, Tensor, TensorData, adamw_step, squared_norm};

use crate::random::mixed;
use crate::{Error, Result, TextBatch, TrainableDecoder};

/// AdamW and its moments. Weight decay applies to matrices only.
#[derive(Debug)]
pub struct DecoderOptimizer {
    beta1: f32,
    beta2: f32,
    weight_decay: f32,
    /// The largest norm of all gradients together; larger ones are scaled down to it.
    clip: f32,
    step: u64,
    moments: Vec<[Tensor<1>; 2]>,
}

impl DecoderOptimizer {
    /// With beta 0.9 and `beta2`, epsilon 1e-8; gradients whose norm exceeds `clip` are scaled down to it.
    #[must_use]
    pub fn new(decoder: &TrainableDecoder, beta2: f32, weight_decay: f32, clip: f32) -> Self {
        let zeros = |elements| Tensor::zeros([elements], decoder.device());
        let moments = decoder.parameters().iter().map(|p| [zeros(p.elements()), zeros(p.elements())]);
        Self { beta1: 0.9, beta2, weight_decay, clip, step: 0, moments: moments.collect() }
    }

    /// One training step: the gradients of all batches, averaged over the tokens that count, and a step against them. Returns
    /// the mean loss in nats a token and the norm that the gradients had before they were clipped; where one is no finite
    /// number, the training has diverged. What is dropped is a function of `stream`.
    ///
    /// # Panics
    /// If a token is outside of the vocabulary or a text longer than the positions.
    pub fn learn(
        &mut self,
        decoder: &mut TrainableDecoder,
        batches: &[TextBatch],
        learning_rate: f32,
        stream: u64,
    ) -> (f64, f32) {
        let counts: Vec<usize> = batches.iter().map(TextBatch::counted).collect();
        let all = counts.iter().sum::<usize>().max(1) as f64;
        let equal = counts.windows(2).all(|pair| pair[0] == pair[1]);
        let mut sum: Option<Vec<Tensor<1>>> = None;
        let mut loss = 0.0;
        for (index, (batch, &count)) in batches.iter().zip(&counts).enumerate() {
            let (part, gradients) = decoder.gradients(batch, mixed(stream).wrapping_add(index as u64));
            let share = count as f64 / all;
            loss += f64::from(part) * share;
            // Equal shares are taken at the end, as one factor.
            let shared = |gradient: Tensor<1>| if equal { gradient } else { gradient * share as f32 };
            sum = Some(match sum {
                None => gradients.into_iter().map(shared).collect(),
                Some(sum) => {
                    sum.into_iter().zip(gradients).map(|(sum, gradient)| sum + shared(gradient)).collect()
                }
            });
        }
        let scale = if equal { 1.0 / batches.len().max(1) as f32 } else { 1.0 };
        let norm = self.step(decoder, sum.unwrap_or_default(), scale, learning_rate);
        (loss, norm)
    }

    /// One step against `scale` times the gradients; returns the norm that they had, so scaled.
    fn step(
        &mut self,
        decoder: &mut TrainableDecoder,
        gradients: Vec<Tensor<1>>,
        scale: f32,
        learning_rate: f32,
    ) -> f32 {
        let norm = gradients.iter().map(squared_norm).sum::<f64>().sqrt() as f32 * scale;
        let scale = if norm > self.clip { scale * self.clip / norm } else { scale };
        self.step += 1;
        let mut gradients = gradients.into_iter();
        let moments = &mut self.moments;
        let (beta1, beta2, step) = (self.beta1, self.beta2, self.step);
        let decay = self.weight_decay;
        decoder.update(|index, decays, value| {
            let Some(gradient) = gradients.next() else { return value };
            let rule = AdamW {
                learning_rate,
                beta1,
                beta2,
                epsilon: 1e-8,
                weight_decay: if decays { decay } else { 0.0 },
                step,
                gradient_scale: scale,
            };
            // Taken out, so that the step may write into their memory.
            let empty = || Tensor::zeros([1], &value.device());
            let [first, second] = std::mem::replace(&mut moments[index], [empty(), empty()]);
            let (value, first, second) = adamw_step(rule, value, gradient, first, second);
            moments[index] = [first, second];
            value
        });
        norm
    }

    /// The moments by name, `<parameter>.<0 or 1>`, to resume from.
    #[must_use]
    pub fn state(&self, decoder: &TrainableDecoder) -> State {
        let mut state = State::new();
        for (parameter, moments) in decoder.parameters().iter().zip(&self.moments) {
            for (index, moment) in moments.iter().enumerate() {
                let tensor =
                    StateTensor { shape: vec![parameter.elements()], values: floats(moment.clone()) };
                state.insert(format!("{}.{index}", parameter.name()), tensor);
            }
        }
        state
    }

    /// Goes on from moments that [`DecoderOptimizer::state`] gave after `step` steps.
    ///
    /// # Errors
    /// [`gyrus_language::Error::Request`] if a moment is missing or has another shape.
    pub fn load_state(&mut self, decoder: &TrainableDecoder, state: &State, step: u64) -> Result<()> {
        for (parameter, moments) in decoder.parameters().iter().zip(&mut self.moments) {
            for (index, moment) in moments.iter_mut().enumerate() {
                let name = format!("{}.{index}", parameter.name());
                let shape = [parameter.elements()];
                let found = state.get(&name).filter(|tensor| tensor.shape == shape);
                let found = found.ok_or_else(|| {
                    Error::request("the checkpoint", format!("no moment `{name}` that fits"), "one")
                })?;
                *moment = Tensor::from_data(TensorData::new(found.values.clone(), shape), decoder.device());
            }
        }
        self.step = step;
        Ok(())
    }
}
