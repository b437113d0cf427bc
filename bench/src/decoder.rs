//! Our side of training language models: the decoders of `bench/peers/torch_works.py`, built with Gyrus.

use std::path::Path;

use anyhow::{Result, bail};
use gyrus_formats::{Checkpoint, Tensor};
use gyrus_language::{DEFAULT_TARGETS, DecoderConfig};
use gyrus_language_train::{Lora, TextBatch, TokenStream, TrainableDecoder};
use gyrus_tensor::cpu;
use gyrus_train::Optimizer;

use crate::timing::{Timed, timed, values};

/// Vocabulary size of a small byte-pair model.
const VOCABULARY: usize = 8192;

/// A decoder and the one batch that every step trains on.
pub(crate) struct Training {
    decoder: TrainableDecoder,
    optimizer: Optimizer,
    batch: TextBatch,
    threads: usize,
}

/// Sets up the workload `name`.
///
/// # Errors
/// If Gyrus does not implement this workload.
pub(crate) fn create(name: &str, threads: usize) -> Result<Training> {
    if name == "lora-135m-train" {
        return adapters(threads);
    }
    let (layers, width, heads, feed_forward, windows, context) = match name {
        "decoder-256-train" => (6, 256, 8, 688, 8, 128),
        "decoder-512-train" => (8, 512, 8, 1376, 4, 512),
        _ => bail!("Gyrus does not implement '{name}'"),
    };
    let config = DecoderConfig {
        maximum_positions: context,
        ..DecoderConfig::llama(VOCABULARY, width, layers, (heads, heads), feed_forward, 10_000.0)
    };
    let decoder = TrainableDecoder::new(config, 0, &cpu())?;
    let optimizer = Optimizer::new("adamw", 0.01, &decoder)?.with_clip(f32::INFINITY);
    let batch = batch(VOCABULARY, windows, context);
    Ok(Training { decoder, optimizer, batch, threads })
}

/// Windows of random tokens.
fn batch(vocabulary: usize, windows: usize, context: usize) -> TextBatch {
    let count = windows * context + 1;
    let tokens = values(count).map(|value| ((value + 1.0) * 0.4999 * vocabulary as f32) as u32).collect();
    TokenStream::new(tokens, None).random_batch(windows, context, 0, 0)
}

/// Adapters of rank 16 on every linear layer of a model of SmolLM2-135M's shape.
fn adapters(threads: usize) -> Result<Training> {
    let (vocabulary, windows, context) = (49_152, 4, 256);
    let config = DecoderConfig {
        tied: true,
        maximum_positions: 8192,
        ..DecoderConfig::llama(vocabulary, 576, 30, (9, 3), 1536, 100_000.0)
    };
    let tensors = config.parameters().into_iter().map(|parameter| {
        let count = parameter.shape.iter().product();
        let floats: Vec<f32> = match parameter.shape.len() {
            1 => vec![1.0; count],
            _ => values(count).map(|value| 0.03 * value).collect(),
        };
        (parameter.name, Tensor::of_floats(parameter.shape, floats))
    });
    let checkpoint = Checkpoint::new(Path::new("random"), tensors.collect());
    let targets = DEFAULT_TARGETS.map(str::to_owned).to_vec();
    let lora = Lora { rank: 16, alpha: 32.0, targets, dropout: 0.0 };
    let decoder = TrainableDecoder::with_adapters(config, checkpoint, lora, 0, context, &cpu())?;
    let optimizer = Optimizer::new("adamw", 0.01, &decoder)?.with_clip(f32::INFINITY);
    Ok(Training { decoder, optimizer, batch: batch(vocabulary, windows, context), threads })
}

impl Training {
    fn step(&mut self) -> Result<()> {
        let found = self.decoder.mean_gradients(std::slice::from_ref(&self.batch), 0);
        self.optimizer.step_scaled(&mut self.decoder, found.gradients, found.scale, 1e-4);
        assert!(found.loss.is_finite(), "the training diverged");
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
