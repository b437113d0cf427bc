//! The loop that trains a language model: from a corpus to a run folder.
//!
//! Nine tenths of the tokens are learnt from, the last tenth judges, as nanoGPT has it. The loop's whole state goes into
//! the checkpoint and batches are a function of (seed, step), so a run that is stopped or killed and resumed goes
//! through the same states, bit for bit, as one that is not.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gyrus_nn::{State, from_safetensors, to_safetensors};
use gyrus_tensor::Device;
use gyrus_train::{MetricsRow, RunFolder, RunStatus, Schedule, TrainError};
use serde::{Deserialize, Serialize};

use super::folder::{read_vocabulary, refused, write_description, write_model};
use super::{
    Corpus, DecoderOptimizer, TextBatch, TextRecord, TextResults, TextSettings, TokenStream,
    TrainableDecoder, Vocabulary,
};
use crate::{
    Cache, Checkpoint, Decoder, DecoderConfig, Error, Request, Result, Sampling, Tokenizer, generate,
};

/// Time between checkpoints between two judgements.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
/// Tokens that a judgement on the way looks at, at most.
const JUDGED_TOKENS: usize = 1 << 15;
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

/// Everything about the loop that is not a tensor.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct LoopState {
    fingerprint: String,
    step: u64,
    /// Judgements so far.
    judgements: u32,
    /// Since the last judgement.
    loss_sum: f64,
    steps_since: u64,
    seconds_since: f64,
    train_seconds: f64,
    best_step: u64,
    /// Absent before the first judgement.
    best_loss: Option<f64>,
}

struct Loop<'a> {
    record: TextRecord,
    folder: &'a RunFolder,
    vocabulary: Vocabulary,
    train: TokenStream,
    validation: TokenStream,
    decoder: TrainableDecoder,
    optimizer: DecoderOptimizer,
    schedule: Schedule,
    state: LoopState,
    best: State,
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
/// [`Error::Request`] for settings that cannot be, a corpus that is too short or another one than the run began with, or a
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
    let state = LoopState {
        fingerprint: corpus.fingerprint.clone(),
        step: 0,
        judgements: 0,
        loss_sum: 0.0,
        steps_since: 0,
        seconds_since: 0.0,
        train_seconds: 0.0,
        best_step: 0,
        best_loss: None,
    };
    let best = State::new();
    let mut this =
        Loop { record, folder, vocabulary, train, validation, decoder, optimizer, schedule, state, best };
    if begin == TextBegin::Checkpoint {
        this.restore(device)?;
    }
    this.record.status = RunStatus::Running;
    folder.write_json_record(&this.record)?;
    folder.truncate_metrics(this.state.judgements)?;
    this.run(observer)
}

impl Loop<'_> {
    fn run(&mut self, observer: &mut dyn TextObserver) -> Result<TextOutcome> {
        let TextSettings { steps, judge_every, .. } = self.record.settings;
        let (start, first) = (Instant::now(), self.state.step);
        let (mut clock, mut saved) = (Instant::now(), Instant::now());
        while self.state.step < steps {
            self.step()?;
            let done = self.state.step;
            let tokens = (done - first) * self.tokens_per_step();
            observer.step(&TextProgress {
                step: done,
                steps,
                loss: self.state.loss_sum / self.state.steps_since as f64,
                tokens_per_second: tokens as f64 / start.elapsed().as_secs_f64(),
            });
            let judge = done.is_multiple_of(judge_every) || done == steps;
            let stop = observer.wants_to_stop() && done < steps;
            if judge {
                let (row, sample) = self.judge(&mut clock)?;
                saved = Instant::now();
                observer.judged(&row, &sample);
            } else if stop || saved.elapsed() >= CHECKPOINT_EVERY {
                self.tick(&mut clock);
                self.save()?;
                saved = Instant::now();
            }
            if stop {
                self.record.status = RunStatus::Interrupted;
                self.record.timings.train_seconds = self.state.train_seconds;
                self.folder.write_json_record(&self.record)?;
                return Ok(TextOutcome::Interrupted { step: done, steps });
            }
        }
        self.finish(clock)
    }

    fn tokens_per_step(&self) -> u64 {
        let TextSettings { batch_size, context, accumulation, .. } = self.record.settings;
        (batch_size * context * accumulation) as u64
    }

    fn step(&mut self) -> Result<()> {
        let TextSettings { batch_size, context, accumulation, seed, steps, learning_rate, .. } =
            self.record.settings;
        let first = self.state.step * accumulation as u64;
        let parts = first..first + accumulation as u64;
        let batches: Vec<TextBatch> =
            parts.map(|part| self.train.random_batch(batch_size, context, seed, part)).collect();
        let rate = learning_rate * self.schedule.factor(self.state.step, steps);
        let (loss, norm) = self.optimizer.learn(&mut self.decoder, &batches, rate as f32);
        if !loss.is_finite() || !norm.is_finite() {
            return Err(TrainError::Diverged {
                epoch: self.state.judgements + 1,
                step: self.state.step + 1,
                learning_rate,
            }
            .into());
        }
        self.state.step += 1;
        self.state.steps_since += 1;
        self.state.loss_sum += loss;
        Ok(())
    }

    fn tick(&mut self, clock: &mut Instant) {
        let seconds = clock.elapsed().as_secs_f64();
        *clock = Instant::now();
        self.state.seconds_since += seconds;
        self.state.train_seconds += seconds;
    }

    /// The mean loss over validation windows, at most `limit` of them.
    fn validation_loss(&self, limit: usize) -> f64 {
        let TextSettings { batch_size, context, .. } = self.record.settings;
        let (mut sum, mut tokens) = (0.0, 0);
        for batch in self.validation.all_batches(batch_size, context, limit) {
            sum += f64::from(self.decoder.loss(&batch)) * batch.len() as f64;
            tokens += batch.len();
        }
        sum / tokens.max(1) as f64
    }

    fn judge(&mut self, clock: &mut Instant) -> Result<(MetricsRow, String)> {
        let TextSettings { steps, learning_rate, context, seed, .. } = self.record.settings;
        let loss = self.validation_loss((JUDGED_TOKENS / context).max(1));
        self.state.judgements += 1;
        let state = self.decoder.state();
        let sample = self.sample(&state, seed)?;
        if self.state.best_loss.is_none_or(|best| loss <= best) {
            self.state.best_loss = Some(loss);
            self.state.best_step = self.state.step;
            write_model(self.folder, &state)?;
            self.best = state;
        }
        self.tick(clock);
        let row = MetricsRow {
            epoch: self.state.judgements,
            step: self.state.step,
            learning_rate: learning_rate * self.schedule.factor(self.state.step - 1, steps),
            train_loss: self.state.loss_sum / self.state.steps_since.max(1) as f64,
            train_accuracy: None,
            validation_loss: loss,
            validation_accuracy: None,
            seconds: self.state.seconds_since,
        };
        self.state.loss_sum = 0.0;
        self.state.steps_since = 0;
        self.state.seconds_since = 0.0;
        self.folder.append_metrics(&row)?;
        self.save()?;
        Ok((row, sample))
    }

    /// What the model writes from the beginning of a text, or of a line where there are no documents.
    fn sample(&self, state: &State, seed: u64) -> Result<String> {
        let tensors = state.iter().map(|(name, tensor)| {
            (name.clone(), crate::Tensor::of_floats(tensor.shape.clone(), tensor.values.clone()))
        });
        let config = self.decoder.config().clone();
        let begin = config.beginning_of_text;
        let decoder = Decoder::new(config, Checkpoint::new(self.folder.path(), tensors.collect()))?;
        let tokenizer = Tokenizer::of_tokenizers(self.vocabulary.tokenizer().clone(), Vec::new());
        let line = || tokenizer.encode("\n", false).map(|tokens| tokens.first().copied());
        let first = match begin {
            Some(token) => token,
            None => line()?.unwrap_or(0),
        };
        let sampling = Sampling { temperature: 0.8, seed, ..Sampling::default() };
        let request = Request { sampling, maximum_tokens: SAMPLE_TOKENS, ..Request::default() };
        let mut cache = Cache::new(decoder.config());
        Ok(generate(&decoder, &tokenizer, &mut cache, &[first], &request, |_| true)?.text)
    }

    fn finish(&mut self, mut clock: Instant) -> Result<TextOutcome> {
        let config = self.decoder.config().clone();
        let device = self.decoder.device().clone();
        self.decoder = TrainableDecoder::with_state(config, &self.best, &device)?;
        let loss = self.validation_loss(usize::MAX);
        let sample = self.sample(&self.best, self.record.settings.seed)?;
        write_model(self.folder, &self.best)?;
        self.tick(&mut clock);
        let tokens = (self.record.data.train_tokens + self.record.data.validation_tokens) as f64;
        self.record.results = Some(TextResults {
            chosen_step: self.state.best_step,
            validation_loss: loss,
            validation_loss_per_character: loss * tokens / self.record.data.characters.max(1) as f64,
            parameters: self.decoder.parameter_count() as u64,
            sample,
        });
        self.record.status = RunStatus::Finished;
        self.record.timings.train_seconds = self.state.train_seconds;
        Ok(TextOutcome::Finished(Box::new(self.record.clone())))
    }

    /// Writes everything to resume from as one file.
    fn save(&self) -> Result<()> {
        let mut all = State::new();
        let parts = [
            ("model", self.decoder.state()),
            ("optimizer", self.optimizer.state(&self.decoder)),
            ("best", self.best.clone()),
        ];
        for (part, state) in parts {
            all.extend(state.into_iter().map(|(name, tensor)| (format!("{part}/{name}"), tensor)));
        }
        let text = serde_json::to_string(&self.state).map_err(|error| refused(&error))?;
        let metadata = BTreeMap::from([("loop".to_owned(), text)]);
        let bytes = to_safetensors(&all, &metadata).map_err(|error| refused(&error))?;
        Ok(self.folder.write_checkpoint(&bytes)?)
    }

    fn restore(&mut self, device: &Device) -> Result<()> {
        // A run that was killed before its first checkpoint starts from the beginning.
        let Some(bytes) = self.folder.read_checkpoint()? else { return Ok(()) };
        let (all, metadata) = from_safetensors(&bytes).map_err(|error| refused(&error))?;
        let text = metadata.get("loop").ok_or_else(|| refused(&"no state of the loop"))?;
        let state: LoopState = serde_json::from_str(text).map_err(|error| refused(&error))?;
        if state.fingerprint != self.state.fingerprint {
            return Err(TrainError::OtherData { run: self.folder.path().to_owned() }.into());
        }
        if state.step > self.record.settings.steps {
            return Err(refused(&format!("{} steps done", state.step)));
        }
        let part = |name: &str| -> State {
            let prefix = format!("{name}/");
            let inside = all.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?, tensor)));
            inside.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
        };
        let config = self.decoder.config().clone();
        self.decoder = TrainableDecoder::with_state(config, &part("model"), device)?;
        self.optimizer.load_state(&self.decoder, &part("optimizer"), state.step)?;
        self.best = part("best");
        if state.best_loss.is_some() {
            // Whether it fits shows here rather than after the last step.
            TrainableDecoder::with_state(self.decoder.config().clone(), &self.best, device)?;
        }
        self.state = state;
        Ok(())
    }
}
