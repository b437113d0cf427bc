//! Trains a language model from scratch: from a corpus to a run folder.
//!
//! The first 90 % of the tokens are for training, the last 10 % for validation, as in nanoGPT. Batches are a function of
//! (seed, step).

use std::time::Instant;

use gyrus_files::State;
use gyrus_formats::Checkpoint;
use gyrus_language::{Cache, Decoder, DecoderConfig, Request, Sampling, Tokenizer, generate};
use gyrus_tensor::Device;
use gyrus_train::{
    Begin, Gradients, Observer, Optimizer, Outcome, Plan, RunFolder, RunStatus, Schedule, Score, Trained,
    Trainer, TrainingTask,
};

use crate::corpus::check_tokens;
use crate::folder::{read_vocabulary, write_description, write_model};
use crate::random::mixed;
use crate::{
    Corpus, EVALUATED_TOKENS, Error, Result, TextBatch, TextRecord, TextResults, TextSettings, TokenStream,
    TrainableDecoder, Vocabulary,
};

/// Length of a sample, in tokens.
const SAMPLE_TOKENS: usize = 200;

/// A decoder that learns from a corpus.
struct CorpusTask<'a> {
    record: TextRecord,
    folder: &'a RunFolder,
    vocabulary: Vocabulary,
    train: TokenStream,
    validation: TokenStream,
}

/// The configuration of the decoder, for this vocabulary.
fn config(settings: &TextSettings, vocabulary: &Vocabulary) -> DecoderConfig {
    let heads = (settings.heads, settings.key_value_heads);
    let TextSettings { width, layers, feed_forward, context, tied, .. } = *settings;
    let end = vocabulary.end_of_text();
    DecoderConfig {
        maximum_positions: context,
        tied,
        beginning_of_text: end,
        end_of_text: end.into_iter().collect(),
        ..DecoderConfig::llama(vocabulary.len(), width, layers, heads, feed_forward, 10_000.0)
    }
}

/// Checks the settings, and returns the schedule.
fn check(settings: &TextSettings) -> Result<Schedule> {
    let schedule = Schedule::from_name(&settings.schedule)?;
    let TextSettings { width, heads, key_value_heads, .. } = *settings;
    if heads == 0 || width == 0 || !width.is_multiple_of(heads) || !(width / heads).is_multiple_of(2) {
        let got = format!("width {width} with {heads} heads");
        return Err(Error::request("width and heads", got, "an even number of elements in each head"));
    }
    if key_value_heads == 0 || !heads.is_multiple_of(key_value_heads) {
        let got = format!("{heads} and {key_value_heads}");
        return Err(Error::request(
            "heads and key-value heads",
            got,
            "a number of heads that is a multiple of the key-value heads",
        ));
    }
    let counts = [
        settings.layers,
        settings.feed_forward,
        settings.context,
        settings.batch_size,
        settings.accumulation,
    ];
    if counts.contains(&0) || settings.steps == 0 || settings.evaluate_every == 0 {
        return Err(Error::request("settings", "a count of 0", "counts of at least 1"));
    }
    Ok(schedule)
}

/// Trains a language model on `corpus` with the settings in `record`, in `folder`.
///
/// # Errors
/// [`gyrus_language::Error::Request`] for impossible settings or a corpus that is too short; [`Error::Train`] if the corpus is
/// not the one that the run began with, the checkpoint does not fit, the run folder cannot be written, or the training
/// diverges.
pub fn learn_text(
    corpus: &Corpus,
    mut record: TextRecord,
    folder: &RunFolder,
    device: &Device,
    begin: Begin<'_>,
    observer: &mut dyn Observer,
) -> Result<Outcome<TextRecord>> {
    let clock = Instant::now();
    let settings = record.settings.clone();
    let schedule = check(&settings)?;
    if record.data.fingerprint != corpus.fingerprint {
        return Err(gyrus_train::Error::OtherData { run: folder.path().to_owned() }.into());
    }
    let resume = matches!(begin, Begin::Checkpoint);
    let fresh = || Vocabulary::train(corpus, settings.tokenizer, settings.vocabulary);
    let learning = "learning a vocabulary";
    observer.stage(learning, 0, 1);
    let vocabulary = match resume {
        true => read_vocabulary(folder, settings.tokenizer).or_else(|_| fresh())?,
        false => fresh()?,
    };
    observer.stage(learning, 1, 1);
    let total = corpus.bytes() as u64;
    let mut tokenized = |done: usize| observer.stage("tokenizing", done as u64, total);
    let (train, validation) = vocabulary.encode_watched(corpus, &mut tokenized)?.split();
    check_tokens(train.len() + validation.len(), settings.context).map_err(|expected| {
        Error::request("the corpus", format!("{} tokens", train.len() + validation.len()), expected)
    })?;
    let config = config(&settings, &vocabulary);
    write_description(folder, &config, &vocabulary)?;
    record.data.train_tokens = train.len() as u64;
    record.data.validation_tokens = validation.len() as u64;
    if record.timings.data_seconds == 0.0 {
        record.timings.data_seconds = clock.elapsed().as_secs_f64();
    }
    let mut decoder = TrainableDecoder::new(config, settings.seed, device)?;
    if let Begin::State(state) = begin {
        decoder.load_state(state)?;
    }
    let optimizer = Optimizer::new("adamw", settings.weight_decay as f32, &decoder)?
        .with_beta2(settings.beta2 as f32)
        .with_clip(settings.clip as f32);
    let TextSettings { steps, evaluate_every, learning_rate, .. } = settings;
    let fingerprint = corpus.fingerprint.clone();
    let plan = Plan { fingerprint, steps, evaluate_every, learning_rate, schedule };
    let task = CorpusTask { record, folder, vocabulary, train, validation };
    let mut trainer = Trainer::new(task, plan, folder, decoder, optimizer);
    if resume {
        trainer.restore()?;
    }
    trainer.run(observer)?.map(finished)
}

/// The record of a finished training, with the results of its best weights.
fn finished(trained: Trained<CorpusTask<'_>>) -> Result<TextRecord> {
    let Trained { task, model, weights, best_step, train_seconds } = trained;
    let clock = Instant::now();
    let validation_loss = task.validation_loss(&model, usize::MAX).unwrap_or(f64::NAN);
    let sample = task.sample(&model, &weights)?;
    let mut record = task.record;
    let tokens = (record.data.train_tokens + record.data.validation_tokens) as f64;
    let validation_loss_per_character = validation_loss * tokens / record.data.characters.max(1) as f64;
    record.results = Some(TextResults {
        chosen_step: best_step,
        validation_loss,
        validation_loss_per_character,
        parameters: model.parameter_count() as u64,
        sample,
    });
    record.status = RunStatus::Finished;
    record.timings.train_seconds = train_seconds;
    record.timings.test_seconds = clock.elapsed().as_secs_f64();
    Ok(record)
}

impl CorpusTask<'_> {
    /// The mean loss over about this many held-back tokens, in nats per token.
    fn validation_loss(&self, decoder: &TrainableDecoder, tokens: usize) -> Option<f64> {
        let TextSettings { batch_size, context, .. } = self.record.settings;
        decoder.mean_loss(self.validation.all_batches(batch_size, context, (tokens / context).max(1)))
    }
}

impl TrainingTask for CorpusTask<'_> {
    type Model = TrainableDecoder;
    type Record = TextRecord;
    type Error = Error;

    fn gradients(&mut self, decoder: &mut TrainableDecoder, step: u64) -> Result<Gradients> {
        let TextSettings { batch_size, context, accumulation, seed, .. } = self.record.settings;
        let first = step * accumulation as u64;
        let parts = first..first + accumulation as u64;
        let batches: Vec<TextBatch> =
            parts.map(|part| self.train.random_batch(batch_size, context, seed, part)).collect();
        Ok(decoder.mean_gradients(&batches, mixed(seed) ^ step))
    }

    fn evaluate(&self, decoder: &TrainableDecoder) -> Result<Option<Score>> {
        Ok(self.validation_loss(decoder, EVALUATED_TOKENS).map(|loss| Score {
            loss,
            accuracy: None,
            by_loss: true,
        }))
    }

    /// What the model writes from the beginning of a document; if the corpus is one document, from the beginning of a line.
    fn sample(&self, decoder: &TrainableDecoder, state: &State) -> Result<String> {
        let tensors = state.iter().map(|(name, tensor)| {
            (name.clone(), gyrus_formats::Tensor::of_floats(tensor.shape.clone(), tensor.values.clone()))
        });
        let config = decoder.config().clone();
        let begin = config.beginning_of_text;
        let decoder = Decoder::new(config, Checkpoint::new(self.folder.path(), tensors.collect()))?;
        let tokenizer = Tokenizer::of_tokenizers(self.vocabulary.tokenizer().clone(), Vec::new());
        let line = || tokenizer.encode("\n", false).map(|tokens| tokens.first().copied());
        let first = match begin {
            Some(token) => token,
            None => line()?.unwrap_or(0),
        };
        let seed = self.record.settings.seed;
        let sampling = Sampling { temperature: 0.8, seed, ..Sampling::default() };
        let request = Request { sampling, maximum_tokens: SAMPLE_TOKENS, ..Request::default() };
        let mut cache = Cache::new(decoder.config());
        Ok(generate(&decoder, &tokenizer, &mut cache, &[first], &request, |_| true)?.text)
    }

    fn write_model(&self, _: &TrainableDecoder, state: &State) -> Result<()> {
        write_model(self.folder, state)
    }

    fn record_mut(&mut self) -> &mut TextRecord {
        &mut self.record
    }
}
