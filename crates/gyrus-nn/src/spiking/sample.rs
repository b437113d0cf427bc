//! Encoding and readout of single samples, for bodies without tensors.
//!
//! The clocked body does the same for batches of tensors. With these two functions, a network trained there runs event by
//! event (`gyrus-events`), on the same spikes.

use super::encoder::Encoder;
use super::readout::Readout;
use super::settings::SpikingSettings;

/// One sample, encoded.
#[derive(Clone, Debug, PartialEq)]
pub enum EncodedSample {
    /// A current that is the same at every step, `[elements]`.
    Constant(Vec<f32>),
    /// Numbers that enter at the first step only, `[elements]`.
    Once(Vec<f32>),
    /// Numbers of each step, `[steps, elements]`.
    Frames(Vec<f32>),
    /// Packed spikes of each step, `[steps, words]`: element `e` is bit `e % 32` of word `e / 32`.
    Spikes(Vec<u32>),
}

impl SpikingSettings {
    /// Encodes a sample: `[elements]`, channels-last, or `[steps, elements]` if the
    /// [encoder takes frames](Encoder::takes_frames). Random spikes depend on the sample alone, as in the clocked body's
    /// answers.
    #[must_use]
    pub fn encode(&self, sample: &[f32]) -> EncodedSample {
        let (steps, encoder) = (self.steps, &self.encoder);
        let elements = encoder.elements(sample.len(), steps);
        let mut row = vec![0.0; elements];
        if encoder.spikes() {
            let words = elements.div_ceil(u32::BITS as usize);
            let mut bits = vec![0; steps * words];
            for (step, bits) in bits.chunks_exact_mut(words.max(1)).enumerate() {
                encoder.row(sample, steps, step, None, &mut row);
                for (element, _) in row.iter().enumerate().filter(|(_, x)| **x != 0.0) {
                    bits[element / 32] |= 1 << (element % 32);
                }
            }
            return EncodedSample::Spikes(bits);
        }
        match encoder {
            Encoder::Direct => EncodedSample::Constant(sample.to_vec()),
            Encoder::Once { .. } => {
                encoder.row(sample, steps, 0, None, &mut row);
                EncodedSample::Once(row)
            }
            Encoder::Frames { .. }
            | Encoder::Rate { .. }
            | Encoder::Latency { .. }
            | Encoder::Population { .. }
            | Encoder::Delta { .. } => EncodedSample::Frames(sample.to_vec()),
        }
    }

    /// The answer, one number per output, from the Output node's values `output`, `[steps, outputs]`.
    #[must_use]
    pub fn read_out(&self, output: &[f32], outputs: usize) -> Vec<f32> {
        let mut answer = vec![0.0; outputs];
        let rows = output.chunks_exact(outputs.max(1));
        let steps = rows.len();
        match self.readout {
            Readout::Sum | Readout::Counts | Readout::Membrane => {
                rows.for_each(|row| answer.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
                if self.readout == Readout::Membrane {
                    answer.iter_mut().for_each(|sum| *sum /= steps.max(1) as f32);
                }
            }
            Readout::FirstSpike => {
                for (index, answer) in answer.iter_mut().enumerate() {
                    let first = rows.clone().position(|row| row[index] != 0.0);
                    *answer = -(first.unwrap_or(steps) as f32);
                }
            }
        }
        answer
    }
}
