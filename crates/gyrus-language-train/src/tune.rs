//! Tuning: a model that exists learns from examples, whole or through low-rank adapters of its products.
//!
//! The run folder gets PEFT's files of an adapter, or those of a whole model, each time that the examples kept to judge by
//! are answered better than before. Batches are a function of (seed, step).

use std::path::{Path, PathBuf};
use std::time::Instant;

use gyrus_files::State;
use gyrus_formats::{Checkpoint, Format};
use gyrus_language::{Cache, Decoder, Message, Parts, Request, Sampling, generate, write_model_folder};
use gyrus_tensor::Device;
use gyrus_train::{
    Begin, Gradients, Observer, Optimizer, Outcome, Plan, Record, RunData, RunFolder, RunStatus, Schedule,
    Score, Trained, Trainer, TrainingTask,
};
use serde::{Deserialize, Serialize};

use crate::packing::shuffled;
use crate::random::mixed;
use crate::{EVALUATED_TOKENS, Error, Example, Lora, Result, Sample, Samples, TrainableDecoder, Windows};

/// What `kind` says in the `run.json` of such a run.
pub const TUNING_KIND: &str = "tuning";
/// Tokens of a sample.
const SAMPLE_TOKENS: usize = 64;

/// Everything about such a run but its weights.
pub type TuneRecord = Record<TuneData, TuneSettings, TuneResults>;

/// Where the examples came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TuneData {
    /// The name of the file.
    pub name: String,
    /// The file; characters that are not Unicode are replaced.
    pub path: String,
    /// SHA-256 over the file, in hexadecimal.
    pub fingerprint: String,
    /// [`Checkpoint::fingerprint`] of the model that learns.
    pub model_fingerprint: String,
    /// Examples that were learnt from.
    pub train_examples: u64,
    /// Examples that the model was judged by.
    pub validation_examples: u64,
    /// Examples that lost their end because they were longer than a window.
    pub cut_examples: u64,
    /// Examples of which nothing was left to learn.
    pub dropped_examples: u64,
    /// Tokens that are learnt in one pass over the examples.
    #[serde(alias = "learnt_tokens")]
    pub learned_tokens: u64,
    /// Tokens that are read in one pass over the examples.
    pub read_tokens: u64,
    /// Windows of one pass.
    pub windows: u64,
}

/// How a run was learnt: with model and examples, all that its weights depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TuneSettings {
    /// Where the model lies.
    pub model: String,
    /// What the model is called in an adapter's files: the caller's own word for it.
    pub base: String,
    /// Where all random numbers come from.
    pub seed: u64,
    /// The adapters; none where all weights are trained.
    pub adapters: Option<AdapterSettings>,
    /// The format that products are rounded to in memory before they are frozen.
    pub base_format: Option<String>,
    /// Tokens of a window.
    pub context: usize,
    /// Windows of one gradient.
    pub batch_size: usize,
    /// Gradients of one step, averaged.
    pub accumulation: usize,
    /// Passes over the examples; where there is none, `steps` says how long.
    pub epochs: Option<f64>,
    /// Steps of the whole training; 0 until the examples are counted.
    pub steps: u64,
    /// Share of the examples that the model is judged by.
    pub validation_share: f64,
    /// Evaluations, evenly over the training.
    #[serde(alias = "judgements")]
    pub evaluations: u64,
    /// The highest learning rate of the schedule.
    pub learning_rate: f64,
    /// Name of the learning-rate schedule, as on the command line.
    pub schedule: String,
    /// Decoupled weight decay, per unit of learning rate; of matrices only.
    pub weight_decay: f64,
    /// Decay of AdamW's second moment.
    pub beta2: f64,
    /// The largest norm of the gradients; larger ones are scaled down to it.
    pub clip: f64,
    /// Whether layers are computed anew in the backward pass.
    pub recompute: bool,
    /// Worker threads; they change the speed, never the result.
    pub threads: usize,
    /// Where it was computed: `cpu`, `cuda`, ...
    pub device: String,
}

/// Adapters, as they are asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdapterSettings {
    /// Columns of `B`.
    pub rank: usize,
    /// Numerator of the scale.
    pub alpha: f64,
    /// Share of the inputs that are dropped.
    pub dropout: f64,
    /// The ends of the names of the products that are adapted.
    pub targets: Vec<String>,
}

/// What came of a run, with the weights of its best judgement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TuneResults {
    /// The step whose weights were kept.
    pub chosen_step: u64,
    /// Mean loss over the validation examples, in nats a learnt token; absent where nothing was kept to judge by.
    pub validation_loss: Option<f64>,
    /// Numbers that were trained.
    pub parameters: u64,
    /// What the model answers to the first example.
    pub sample: String,
}

impl RunData for TuneData {
    const KIND: &'static str = TUNING_KIND;
    const EXPECTED: &'static str = "a language model that is tuned on examples";
    const FILES: &'static [&'static str] = &[
        "adapter_config.json",
        "adapter_model.safetensors",
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
        "tokenizer.model",
        "added_tokens.json",
    ];
}

impl TuneData {
    /// Of examples that lie at `path`, for `model`; nothing is counted yet.
    #[must_use]
    pub fn new(samples: &Samples, path: &Path, model: &Checkpoint) -> Self {
        Self {
            name: samples.name.clone(),
            path: path.to_string_lossy().into_owned(),
            fingerprint: samples.fingerprint.clone(),
            model_fingerprint: model.fingerprint(),
            ..Self::default()
        }
    }
}

/// A decoder that is tuned on examples.
struct TuneTask<'a> {
    record: TuneRecord,
    folder: &'a RunFolder,
    /// The model with its own weights.
    parts: Parts,
    /// The folder that it was read from, where it was one.
    source: PathBuf,
    train: Windows,
    validation: Windows,
    /// What the sample goes on from.
    prompt: Vec<u32>,
}

/// Tunes the model `parts` on `samples`, which lie at `record.data.path`, as `record` says, in `folder`.
///
/// # Errors
/// [`gyrus_formats::Error::Field`] for a line that the model cannot read, [`gyrus_language::Error::Request`] for settings that cannot be, examples of which
/// nothing can be learnt or others than the run began with, or a checkpoint that does not fit; [`gyrus_formats::Error::Tensor`] for a model
/// that is damaged; [`Error::Train`] if the run folder cannot be written or the loss stops being a number.
pub fn tune(
    parts: Parts,
    samples: &Samples,
    mut record: TuneRecord,
    folder: &RunFolder,
    device: &Device,
    begin: Begin<'_>,
    observer: &mut dyn Observer,
) -> Result<Outcome<TuneRecord>> {
    let clock = Instant::now();
    let schedule = Schedule::from_name(&record.settings.schedule)?;
    if record.data.fingerprint != samples.fingerprint {
        return Err(gyrus_train::Error::OtherData { run: folder.path().to_owned() }.into());
    }
    let resume = matches!(begin, Begin::Checkpoint);
    if resume && record.data.model_fingerprint != parts.checkpoint.fingerprint() {
        let got = format!("other weights in {}", record.settings.model);
        return Err(Error::request("the model", got, "those that the run began with"));
    }
    let settings = &record.settings;
    if settings.context == 0 || settings.batch_size == 0 || settings.accumulation == 0 {
        return Err(Error::request("settings", "a count of 0", "at least 1 of everything"));
    }
    if parts.config.learned_positions && settings.context > parts.config.maximum_positions {
        let expected = format!("at most the {} positions of this model", parts.config.maximum_positions);
        return Err(Error::request("context", settings.context.to_string(), expected));
    }
    let template = parts.chat_template()?;
    let path = PathBuf::from(&record.data.path);
    let examples = samples.encode(&path, &parts.tokenizer, template.as_ref(), &parts.config)?;
    let prompt = prompt(&parts, &samples.lines[0].1, &examples[0])?;
    let (train, validation) = split(examples, settings.validation_share);
    record.data.train_examples = train.len() as u64;
    record.data.validation_examples = validation.len() as u64;
    let order = shuffled(train.len(), settings.seed, u64::MAX);
    let mut taken: Vec<Option<Example>> = train.into_iter().map(Some).collect();
    let train = order.into_iter().filter_map(|place| taken[place].take()).collect();
    let (train, validation) =
        (Windows::pack(train, settings.context), Windows::pack(validation, settings.context));
    if train.is_empty() {
        let got = format!(
            "{} examples, of which a window of {} tokens shows nothing to learn",
            train.dropped, settings.context
        );
        return Err(Error::request("the examples", got, "a larger context"));
    }
    record.data.cut_examples = (train.cut + validation.cut) as u64;
    record.data.dropped_examples = (train.dropped + validation.dropped) as u64;
    record.data.learned_tokens = train.learned as u64;
    record.data.read_tokens = train.tokens as u64;
    record.data.windows = train.len() as u64;
    let a_pass = train.steps(settings.batch_size, settings.accumulation);
    if let Some(epochs) = record.settings.epochs {
        record.settings.steps = ((epochs * a_pass as f64).ceil() as u64).max(1);
    }
    if record.timings.data_seconds == 0.0 {
        record.timings.data_seconds = clock.elapsed().as_secs_f64();
    }
    let mut decoder = decoder(&parts, &record.settings, device)?;
    if let Begin::State(state) = begin {
        decoder.load_state(state)?;
    }
    let TuneSettings { steps, evaluations, learning_rate, beta2, weight_decay, clip, .. } = record.settings;
    let optimizer = Optimizer::new("adamw", weight_decay as f32, &decoder)?
        .with_beta2(beta2 as f32)
        .with_clip(clip as f32);
    let evaluate_every = steps.div_ceil(evaluations.max(1)).max(1);
    let fingerprint = samples.fingerprint.clone();
    let plan = Plan { fingerprint, steps, evaluate_every, learning_rate, schedule };
    let source = PathBuf::from(&record.settings.model);
    let task = TuneTask { record, folder, parts, source, train, validation, prompt };
    let mut trainer = Trainer::new(task, plan, folder, decoder, optimizer);
    if resume {
        trainer.restore()?;
    }
    trainer.run(observer)?.map(finished)
}

/// The record of a finished training, with the results of its best weights.
fn finished(trained: Trained<TuneTask<'_>>) -> Result<TuneRecord> {
    let Trained { task, model, weights, best_step, train_seconds } = trained;
    let clock = Instant::now();
    let validation_loss = task.validation_loss(&model, usize::MAX).filter(|loss| loss.is_finite());
    let sample = task.sample(&model, &weights)?;
    let mut record = task.record;
    let parameters = model.parameter_count() as u64;
    record.results = Some(TuneResults { chosen_step: best_step, validation_loss, parameters, sample });
    record.status = RunStatus::Finished;
    record.timings.train_seconds = train_seconds;
    record.timings.test_seconds = clock.elapsed().as_secs_f64();
    Ok(record)
}

/// The network that the settings ask for.
fn decoder(parts: &Parts, settings: &TuneSettings, device: &Device) -> Result<TrainableDecoder> {
    let (config, mut checkpoint) = (parts.config.clone(), parts.checkpoint.clone());
    let mut decoder = match &settings.adapters {
        None => TrainableDecoder::with_checkpoint(config, checkpoint, settings.context, device)?,
        Some(adapters) => {
            if let Some(name) = &settings.base_format {
                let format = Format::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name));
                let format = format.ok_or_else(|| Error::request("base format", name, "q8_0 or q4_0"))?;
                checkpoint = config.rounded(checkpoint, format);
            }
            let lora = Lora {
                rank: adapters.rank,
                alpha: adapters.alpha,
                targets: adapters.targets.clone(),
                dropout: adapters.dropout as f32,
            };
            TrainableDecoder::with_adapters(
                config,
                checkpoint,
                lora,
                settings.seed,
                settings.context,
                device,
            )?
        }
    };
    decoder.recompute_layers(settings.recompute);
    Ok(decoder)
}

/// Examples to learn from and those to judge by, which are the same for every seed. One at least is learnt from.
fn split(examples: Vec<Example>, share: f64) -> (Vec<Example>, Vec<Example>) {
    let wanted = (examples.len() as f64 * share).round() as usize;
    let count = if share > 0.0 { wanted.max(1) } else { 0 }.min(examples.len().saturating_sub(1));
    let order = shuffled(examples.len(), 0, 0);
    let mut judging = vec![false; examples.len()];
    order.iter().take(count).for_each(|&place| judging[place] = true);
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for (example, judging) in examples.into_iter().zip(judging) {
        if judging { validation.push(example) } else { train.push(example) }
    }
    (train, validation)
}

/// What a sample goes on from: the first example without its last answer.
fn prompt(parts: &Parts, sample: &Sample, example: &Example) -> Result<Vec<u32>> {
    let tokens = match sample {
        Sample::Completion { prompt, .. } => parts.tokenizer.encode(prompt, true)?,
        Sample::Messages(messages) => {
            let last = messages.iter().rposition(|message| message.role == "assistant").unwrap_or_default();
            let before: &[Message] = &messages[..last];
            match parts.chat_template()? {
                Some(template) => parts.tokenizer.encode_chat(&template.render(before, true)?)?,
                None => Vec::new(),
            }
        }
        Sample::Text(_) => Vec::new(),
    };
    Ok(if tokens.is_empty() { example.tokens[..1].to_vec() } else { tokens })
}

impl TuneTask<'_> {
    /// The mean loss over about this many tokens of the validation examples, in nats per learned token.
    fn validation_loss(&self, decoder: &TrainableDecoder, tokens: usize) -> Option<f64> {
        decoder.mean_loss(self.validation.all_batches(self.record.settings.batch_size, tokens))
    }
}

impl TrainingTask for TuneTask<'_> {
    type Model = TrainableDecoder;
    type Record = TuneRecord;
    type Error = Error;

    fn gradients(&mut self, decoder: &mut TrainableDecoder, step: u64) -> Result<Gradients> {
        let TuneSettings { batch_size, accumulation, seed, .. } = self.record.settings;
        let batches = self.train.batches(batch_size, accumulation, seed, step);
        Ok(decoder.mean_gradients(&batches, mixed(seed) ^ step))
    }

    fn evaluate(&self, decoder: &TrainableDecoder) -> Result<Option<Score>> {
        Ok(self.validation_loss(decoder, EVALUATED_TOKENS).map(|loss| Score { loss, accuracy: None }))
    }

    fn sample(&self, decoder: &TrainableDecoder, state: &State) -> Result<String> {
        let Parts { config, checkpoint, tokenizer, .. } = &self.parts;
        let network = match decoder.adapter(state, None) {
            Some(adapter) => Decoder::with_adapter(config.clone(), checkpoint.clone(), &adapter)?,
            None => Decoder::new(config.clone(), whole(checkpoint, state))?,
        };
        let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
        let request = Request { sampling, maximum_tokens: SAMPLE_TOKENS, ..Request::default() };
        let mut cache = Cache::new(config);
        Ok(generate(&network, tokenizer, &mut cache, &self.prompt, &request, |_| true)?.text)
    }

    fn write_model(&self, decoder: &TrainableDecoder, state: &State) -> Result<()> {
        match decoder.adapter(state, Some(self.record.settings.base.clone())) {
            Some(adapter) => Ok(adapter.write(self.folder.path())?),
            None => {
                let checkpoint = whole(&self.parts.checkpoint, state);
                let parts = Parts { checkpoint, ..self.parts.clone() };
                Ok(write_model_folder(&parts, &self.source, self.folder.path())?)
            }
        }
    }

    fn record_mut(&mut self) -> &mut TuneRecord {
        &mut self.record
    }
}

/// The weights of a state as a checkpoint.
fn whole(origin: &Checkpoint, state: &State) -> Checkpoint {
    let tensors = state.iter().map(|(name, tensor)| {
        (name.clone(), gyrus_formats::Tensor::of_floats(tensor.shape.clone(), tensor.values.clone()))
    });
    Checkpoint::new(origin.path(), tensors.collect())
}
