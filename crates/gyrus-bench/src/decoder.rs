//! Our side of the training of language models: the decoders of `bench/torch_works.py`, built with Gyrus.

use anyhow::{Result, bail};
use gyrus_language::DecoderConfig;
use gyrus_language::training::{DecoderOptimizer, TextBatch, TokenStream, TrainableDecoder};
use gyrus_tensor::cpu;

use crate::ours::values;
use crate::worker::{Timed, timed};

/// Tokens of the vocabulary, as small models with byte pairs have.
const VOCABULARY: usize = 8192;

/// A decoder and a batch that it learns again and again.
pub(crate) struct Training {
    decoder: TrainableDecoder,
    optimizer: DecoderOptimizer,
    batch: TextBatch,
    threads: usize,
}

/// Sets up the work `name`.
///
/// # Errors
/// When there is no such work on our side.
pub(crate) fn create(name: &str, threads: usize) -> Result<Training> {
    let (layers, width, heads, feed_forward, windows, context) = match name {
        "decoder-256-train" => (6, 256, 8, 688, 8, 128),
        "decoder-512-train" => (8, 512, 8, 1376, 4, 512),
        _ => bail!("'{name}' has no implementation on our side"),
    };
    let config = DecoderConfig {
        maximum_positions: context,
        ..DecoderConfig::llama(VOCABULARY, width, layers, (heads, heads), feed_forward, 10_000.0)
    };
    let decoder = TrainableDecoder::new(config, 0, &cpu())?;
    let optimizer = DecoderOptimizer::new(&decoder, 0.999, 0.01, f32::INFINITY);
    let count = windows * context + 1;
    let tokens = values(count).map(|value| ((value + 1.0) * 0.4999 * VOCABULARY as f32) as u32).collect();
    let batch = TokenStream::new(tokens, None).random_batch(windows, context, 0, 0);
    Ok(Training { decoder, optimizer, batch, threads })
}

impl Training {
    fn step(&mut self) -> Result<()> {
        let (loss, _) = self.optimizer.learn(&mut self.decoder, std::slice::from_ref(&self.batch), 1e-4);
        assert!(loss.is_finite(), "the training diverged");
        Ok(())
    }
}

impl Timed for Training {
    fn steps(&mut self, count: usize) -> Result<Vec<f64>> {
        timed(self.threads, count, |_| self.step())
    }

    fn parameters(&self) -> usize {
        self.decoder.parameter_count()
    }
}
