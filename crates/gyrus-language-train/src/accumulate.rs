//! A trainable decoder as the training loop sees it: its parameters, gradients averaged over several batches, and its loss.

use gyrus_files::State;
use gyrus_tensor::{Device, Tensor};
use gyrus_train::{Gradients, ParameterInfo, Trainable};

use crate::random::mixed;
use crate::{Error, Result, TextBatch, TrainableDecoder};

impl Trainable for TrainableDecoder {
    type Error = Error;

    /// Weight decay applies to matrices only.
    fn parameters(&self) -> Vec<ParameterInfo> {
        let parameters = TrainableDecoder::parameters(self).iter();
        parameters
            .map(|parameter| ParameterInfo {
                name: parameter.name().to_owned(),
                shape: vec![parameter.elements()],
                decays: parameter.decays(),
            })
            .collect()
    }

    fn update(&mut self, mut change: impl FnMut(usize, Tensor<1>) -> Tensor<1>) {
        TrainableDecoder::update(self, |index, _, value| change(index, value));
    }

    fn state(&self) -> State {
        TrainableDecoder::state(self)
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        TrainableDecoder::load_state(self, state)
    }

    fn device(&self) -> &Device {
        TrainableDecoder::device(self)
    }
}

impl TrainableDecoder {
    /// The gradients of all batches, averaged over the counted tokens, with the mean loss in nats per token. Dropout is a
    /// function of `stream`.
    ///
    /// # Panics
    /// If a token is outside the vocabulary or a sequence is longer than the positions.
    #[must_use]
    pub fn mean_gradients(&self, batches: &[TextBatch], stream: u64) -> Gradients {
        let counts: Vec<usize> = batches.iter().map(TextBatch::counted).collect();
        let all = counts.iter().sum::<usize>().max(1) as f64;
        let equal = counts.windows(2).all(|pair| pair[0] == pair[1]);
        let mut sum: Option<Vec<Tensor<1>>> = None;
        let mut loss = 0.0;
        for (index, (batch, &count)) in batches.iter().zip(&counts).enumerate() {
            let (part, gradients) = self.gradients(batch, mixed(stream).wrapping_add(index as u64));
            let share = count as f64 / all;
            loss += f64::from(part) * share;
            // Equal shares are applied at the end, as one factor.
            let shared = |gradient: Tensor<1>| if equal { gradient } else { gradient * share as f32 };
            sum = Some(match sum {
                None => gradients.into_iter().map(shared).collect(),
                Some(sum) => {
                    sum.into_iter().zip(gradients).map(|(sum, gradient)| sum + shared(gradient)).collect()
                }
            });
        }
        Gradients {
            loss,
            gradients: sum.unwrap_or_default().into_iter().map(Some).collect(),
            scale: if equal { 1.0 / batches.len().max(1) as f32 } else { 1.0 },
            count: batches.iter().map(TextBatch::len).sum(),
        }
    }

    /// The mean loss over all batches, in nats per counted token; `None` if there are none.
    ///
    /// # Panics
    /// If a token is outside the vocabulary or a sequence is longer than the positions.
    #[must_use]
    pub fn mean_loss(&self, batches: impl Iterator<Item = TextBatch>) -> Option<f64> {
        let (mut sum, mut counted) = (0.0, 0);
        for batch in batches {
            sum += f64::from(self.loss(&batch)) * batch.counted() as f64;
            counted += batch.counted();
        }
        (counted > 0).then(|| sum / counted as f64)
    }
}
