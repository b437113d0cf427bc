//! Training a language model from its first word: from a corpus to a run folder.
//!
//! Nine tenths of the tokens are learnt from, the last tenth judges, as nanoGPT has it. Batches are a function of (seed,
//! step).

use std::time::Instant;

use gyrus_files::State;
use gyrus_formats::Checkpoint;
use gyrus_language::{Cache, Decoder, DecoderConfig, Request, Sampling, Tokenizer, generate};
use gyrus_tensor::Device;
use gyrus_train::{MetricsRow, RunFolder, RunStatus, Schedule, TrainError};

use crate::folder::{read_vocabulary, write_description, write_model};
use crate::steps::{Ended, Lesson, Loop, Plan};
use crate::{
    Corpus, DecoderOptimizer, Error, Result, TextBatch, TextRecord, TextResults, TextSettings, TokenStream,
    TrainableDecoder, Vocabulary,
};

/// Tokens of a sample.
const SAMPLE_TOKENS: usize = 200;

/// Who watches a training, and may stop it.
pub trait TextObserver {
    /// After each step.
    fn step(&mut self, progress: &TextProgress);
    /// After each judgement, with a sample of what the model writes.
    fn judged(&mut self, row: &MetricsRow, sample: &str);
    /// Asked after each step; true saves and ends the training.
    fn wants_to_stop(&mut self) -> bool {
        false
    }
}

/// Where a training is.
#[derive(Clone, Copy, Debug)]
pub struct TextProgress {
    /// Steps done.
    pub step: u64,
    /// Of the whole training.
    pub steps: u64,
    /// Mean over the steps since the last judgement, in nats a token.
    pub loss: f64,
    /// Tokens that were learnt from in a second, since this part of the run began.
    pub tokens_per_second: f64,
}

/// How a training ended.
#[derive(Debug)]
pub enum TextOutcome {
    /// All steps are done; the best model is in the run folder, and this is what it came to. Until
    /// [`RunFolder::finish`] is called the run can still be resumed.
    Finished(Box<TextRecord>),
    /// Stopped by the observer; everything to resume is in the run folder.
    Interrupted {
        /// Steps done.
        step: u64,
        /// Of the whole training.
        steps: u64,
    },
}

/// What a training begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextBegin {
    /// A fresh vocabulary and fresh parameters, by the seed.
    Fresh,
    /// The vocabulary and the checkpoint in the run folder, if there is one.
    Checkpoint,
}

/// What is learnt from a corpus.
struct CorpusLesson<'a> {
    record: TextRecord,
    folder: &'a RunFolder,
    vocabulary: Vocabulary,
    train: TokenStream,
    validation: TokenStream,
}

/// The decoder that the settings ask for, over `vocabulary`.
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

/// Fails for settings that no training can have.
fn check(settings: &TextSettings) -> Result<Schedule> {
    let schedule = Schedule::from_name(&settings.schedule)?;
    let TextSettings { width, heads, key_value_heads, .. } = *settings;
    if heads == 0 || width == 0 || !width.is_multiple_of(heads) || !(width / heads).is_multiple_of(2) {
        let got = format!("{width} elements in {heads} heads");
        return Err(Error::request("width and heads", got, "an even number of elements in each head"));
    }
    if key_value_heads == 0 || !heads.is_multiple_of(key_value_heads) {
        let got = format!("{heads} and {key_value_heads}");
        return Err(Error::request(
            "heads and key heads",
            got,
            "each key head serves equally many query heads",
        ));
    }
    let counts = [
        settings.layers,
        settings.feed_forward,
        settings.context,
        settings.batch_size,
        settings.accumulation,
    ];
    if counts.contains(&0) || settings.steps == 0 || settings.judge_every == 0 {
        return Err(Error::request("settings", "a count of 0", "at least 1 of everything"));
    }
    Ok(schedule)
}

/// Trains a language model on `corpus` as `record` says, in `folder`.
///
/// # Errors
/// [`gyrus_language::Error::Request`] for settings that cannot be, a corpus that is too short or another one than the run began with, or a
/// checkpoint that does not fit; [`Error::Train`] if the run folder cannot be written or the loss stops being a number.
pub fn learn_text(
    corpus: &Corpus,
    mut record: TextRecord,
    folder: &RunFolder,
    device: &Device,
    begin: TextBegin,
    observer: &mut dyn TextObserver,
) -> Result<TextOutcome> {
    let clock = Instant::now();
    let settings = record.settings.clone();
    let schedule = check(&settings)?;
    if record.data.fingerprint != corpus.fingerprint {
        return Err(TrainError::OtherData { run: folder.path().to_owned() }.into());
    }
    let vocabulary = match begin {
        TextBegin::Fresh => Vocabulary::train(corpus, settings.tokenizer, settings.vocabulary)?,
        TextBegin::Checkpoint => read_vocabulary(folder, settings.tokenizer)
            .or_else(|_| Vocabulary::train(corpus, settings.tokenizer, settings.vocabulary))?,
    };
    let (train, validation) = vocabulary.encode(corpus)?.split();
    if train.len() <= settings.context || validation.len() < 2 {
        let got = format!("{} tokens", train.len() + validation.len());
        let expected = format!("enough for windows of {} tokens: take a smaller context", settings.context);
        return Err(Error::request("the corpus", got, expected));
    }
    let config = config(&settings, &vocabulary);
    write_description(folder, &config, &vocabulary)?;
    record.data.train_tokens = train.len() as u64;
    record.data.validation_tokens = validation.len() as u64;
    if record.timings.data_seconds == 0.0 {
        record.timings.data_seconds = clock.elapsed().as_secs_f64();
    }
    let decoder = TrainableDecoder::new(config, settings.seed, device)?;
    let optimizer = DecoderOptimizer::new(
        &decoder,
        settings.beta2 as f32,
        settings.weight_decay as f32,
        settings.clip as f32,
    );
    let TextSettings { seed, steps, judge_every, learning_rate, .. } = settings;
    let fingerprint = corpus.fingerprint.clone();
    let plan = Plan { fingerprint, seed, steps, judge_every, learning_rate, schedule };
    let lesson = CorpusLesson { record, folder, vocabulary, train, validation };
    let parameters = decoder.parameter_count() as u64;
    let this = Loop::new(lesson, plan, folder, decoder, optimizer);
    let (ended, CorpusLesson { mut record, .. }) = this.run(begin == TextBegin::Checkpoint, observer)?;
    match ended {
        Ended::Interrupted { step } => Ok(TextOutcome::Interrupted { step, steps }),
        Ended::Finished { chosen_step, validation_loss, sample, train_seconds } => {
            let tokens = (record.data.train_tokens + record.data.validation_tokens) as f64;
            let validation_loss_per_character =
                validation_loss * tokens / record.data.characters.max(1) as f64;
            record.results = Some(TextResults {
                chosen_step,
                validation_loss,
                validation_loss_per_character,
                parameters,
                sample,
            });
            record.status = RunStatus::Finished;
            record.timings.train_seconds = train_seconds;
            Ok(TextOutcome::Finished(Box::new(record)))
        }
    }
}

impl Lesson for CorpusLesson<'_> {
    fn batches(&self, step: u64) -> Vec<TextBatch> {
        let TextSettings { batch_size, context, accumulation, seed, .. } = self.record.settings;
        let first = step * accumulation as u64;
        let parts = first..first + accumulation as u64;
        parts.map(|part| self.train.random_batch(batch_size, context, seed, part)).collect()
    }

    fn validation(&self, tokens: usize) -> Box<dyn Iterator<Item = TextBatch> + '_> {
        let TextSettings { batch_size, context, .. } = self.record.settings;
        Box::new(self.validation.all_batches(batch_size, context, (tokens / context).max(1)))
    }

    /// What the model writes from the beginning of a text, or of a line where there are no documents.
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

    fn write(&self, _: &TrainableDecoder, state: &State) -> Result<()> {
        write_model(self.folder, state)
    }

    fn note(&mut self, status: RunStatus, train_seconds: f64) -> Result<()> {
        self.record.status = status;
        if status != RunStatus::Running {
            self.record.timings.train_seconds = train_seconds;
        }
        Ok(self.folder.write_json_record(&self.record)?)
    }
}
