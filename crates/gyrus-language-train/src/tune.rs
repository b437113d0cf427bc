//! Tunes an existing model on examples: all its weights, or low-rank adapters of its weight matrices.
//!
//! Whenever the validation loss improves, the run folder gets the adapter in PEFT's format, or the whole model. Batches are a
//! function of (seed, step).

use std::path::{Path, PathBuf};
use std::time::Instant;

use gyrus_files::State;
use gyrus_formats::{Checkpoint, Format};
use gyrus_language::{
    Cache, DESCRIBING_FILES, Decoder, Parts, Request, Sampling, generate, write_model_folder,
};
use gyrus_tensor::Device;
use gyrus_train::{
    Begin, Gradients, Observer, Optimizer, Outcome, Plan, Record, RunData, RunFolder, RunStatus, Schedule,
    Score, Trained, Trainer, TrainingTask,
};
use serde::{Deserialize, Serialize};

use crate::packing::shuffled;
use crate::random::mixed;
use crate::{
    Conversation, EVALUATED_TOKENS, Error, Example, Lora, Result, Sample, Samples, TrainableDecoder, Windows,
};

/// The value of `kind` in the `run.json` of such a run.
pub const TUNING_KIND: &str = "tuning";
/// Length of a sample, in tokens.
const SAMPLE_TOKENS: usize = 64;

/// Everything about such a run but its weights.
pub type TuneRecord = Record<TuneData, TuneSettings, TuneResults>;

/// The examples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TuneData {
    /// The name of the file.
    pub name: String,
    /// The file; characters that are not Unicode are replaced.
    pub path: String,
    /// SHA-256 of the file, in hexadecimal.
    pub fingerprint: String,
    /// [`Checkpoint::fingerprint`] of the model that is tuned.
    pub model_fingerprint: String,
    /// Number of training examples.
    pub train_examples: u64,
    /// Number of validation examples.
    pub validation_examples: u64,
    /// Examples that were cut because they were longer than a window.
    pub cut_examples: u64,
    /// Examples that were dropped because nothing to learn fits into a window.
    pub dropped_examples: u64,
    /// Tokens per epoch that count in the loss.
    #[serde(alias = "learnt_tokens")]
    pub learned_tokens: u64,
    /// Tokens per epoch that are read.
    pub read_tokens: u64,
    /// Windows per epoch.
    pub windows: u64,
}

/// How the model is tuned. Together with the model and the examples, these settings determine its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TuneSettings {
    /// The path of the model.
    pub model: String,
    /// The name of the model in an adapter's files, as the caller gave it.
    pub base: String,
    /// Random seed.
    pub seed: u64,
    /// The adapters; none if all weights are trained.
    pub adapters: Option<AdapterSettings>,
    /// The format to which frozen weight matrices are quantized in memory.
    pub base_format: Option<String>,
    /// Tokens of a window.
    pub context: usize,
    /// Windows per batch.
    pub batch_size: usize,
    /// Batches per step, whose gradients are averaged.
    pub accumulation: usize,
    /// Passes over the examples; if there is no such number, `steps` decides.
    pub epochs: Option<f64>,
    /// Steps of the whole training; 0 until the examples are counted.
    pub steps: u64,
    /// Share of the examples that is held back for validation.
    pub validation_share: f64,
    /// Number of evaluations, evenly spaced over the training.
    #[serde(alias = "judgements")]
    pub evaluations: u64,
    /// The highest learning rate of the schedule.
    pub learning_rate: f64,
    /// Name of the learning-rate schedule, as on the command line.
    pub schedule: String,
    /// Decoupled weight decay of matrices, per unit of learning rate.
    pub weight_decay: f64,
    /// Decay of AdamW's second moment.
    pub beta2: f64,
    /// Gradient clipping: gradients with a larger norm are scaled down to this norm.
    pub clip: f64,
    /// Activation checkpointing: whether layers are recomputed in the backward pass.
    pub recompute: bool,
    /// Worker threads; they change the speed, never the result.
    pub threads: usize,
    /// The device: `cpu`, `cuda`, ...
    pub device: String,
}

/// Settings of low-rank adapters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdapterSettings {
    /// The rank: columns of `B`.
    pub rank: usize,
    /// Numerator of the scale `alpha / rank`.
    pub alpha: f64,
    /// Dropout: share of the inputs that is dropped.
    pub dropout: f64,
    /// The ends of the names of the weight matrices that get adapters.
    pub targets: Vec<String>,
}

/// The results of a run, with the weights of its best evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TuneResults {
    /// The step whose weights were kept.
    pub chosen_step: u64,
    /// Mean loss over the validation examples, in nats per learned token; absent if no examples were held back.
    pub validation_loss: Option<f64>,
    /// Number of trained parameters.
    pub parameters: u64,
    /// The model's answer to the first example.
    pub sample: String,
}

impl RunData for TuneData {
    const KIND: &'static str = TUNING_KIND;
    const EXPECTED: &'static str = "a language model that is tuned on examples";
    const FILES: &'static [&'static str] = &files();
}

/// The files of a run: those of an adapter, or those that describe a whole model.
const fn files() -> [&'static str; 3 + DESCRIBING_FILES.len()] {
    let mut all = [""; 3 + DESCRIBING_FILES.len()];
    (all[0], all[1], all[2]) = ("adapter_config.json", "adapter_model.safetensors", "config.json");
    let mut index = 0;
    while index < DESCRIBING_FILES.len() {
        all[3 + index] = DESCRIBING_FILES[index];
        index += 1;
    }
    all
}

impl TuneData {
    /// The description of examples at `path` for `model`, with nothing counted yet.
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
    /// The model with its original weights.
    parts: Parts,
    /// The file or folder it was read from.
    source: PathBuf,
    train: Windows,
    validation: Windows,
    /// The prompt of the sample.
    prompt: Vec<u32>,
}

/// Tunes the model `parts` on `samples`, read from `record.data.path`, with the settings in `record`, in `folder`.
///
/// # Errors
/// [`gyrus_formats::Error::Field`] for a line that the model cannot read, [`gyrus_language::Error::Request`] for impossible
/// settings, examples without anything to learn, or another model than the run began with; [`gyrus_formats::Error::Tensor`]
/// for a damaged model; [`Error::Train`] if the examples are not those that the run began with, the checkpoint does not fit,
/// the run folder cannot be written, or the training diverges.
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
        return Err(Error::request("the model", got, "the weights that the run began with"));
    }
    let settings = &record.settings;
    if settings.context == 0 || settings.batch_size == 0 || settings.accumulation == 0 {
        return Err(Error::request("settings", "a count of 0", "counts of at least 1"));
    }
    if parts.config.learned_positions && settings.context > parts.config.maximum_positions {
        let expected = format!("at most the {} positions of this model", parts.config.maximum_positions);
        return Err(Error::request("context", settings.context.to_string(), expected));
    }
    let template = parts.chat_template()?;
    let path = PathBuf::from(&record.data.path);
    let examples = samples.encode(&path, &parts.tokenizer, template.as_ref(), &parts.config)?;
    let prompt = prompt(&parts, &samples.samples[0].1, &examples[0])?;
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
            "{}, none with a completion that fits into {} tokens",
            gyrus_files::counted(train.dropped as u64, "example"),
            settings.context
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

/// The decoder to train.
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

/// Splits the examples into those for training, at least one, and those for validation. The split is the same for every seed.
fn split(examples: Vec<Example>, share: f64) -> (Vec<Example>, Vec<Example>) {
    let wanted = (examples.len() as f64 * share).round() as usize;
    let count = if share > 0.0 { wanted.max(1) } else { 0 }.min(examples.len().saturating_sub(1));
    let order = shuffled(examples.len(), 0, 0);
    let mut held_back = vec![false; examples.len()];
    order.iter().take(count).for_each(|&place| held_back[place] = true);
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for (example, held_back) in examples.into_iter().zip(held_back) {
        if held_back { validation.push(example) } else { train.push(example) }
    }
    (train, validation)
}

/// The prompt of a sample: the first example without its last answer.
fn prompt(parts: &Parts, sample: &Sample, example: &Example) -> Result<Vec<u32>> {
    let template = parts.chat_template()?;
    let talk = |talk: &Conversation| {
        let last = talk.messages.iter().rposition(|message| message["role"] == "assistant");
        let before = &talk.messages[..last.unwrap_or_default()];
        match &template {
            Some(template) => {
                parts.tokenizer.encode_chat(&template.render_with_tools(before, &talk.tools, true)?)
            }
            None => Ok(Vec::new()),
        }
    };
    let tokens = match sample {
        Sample::Completion { prompt, .. } => parts.tokenizer.encode(prompt, true)?,
        Sample::Instruction(instruction) if template.is_none() => {
            parts.tokenizer.encode(&instruction.prompt(), true)?
        }
        Sample::Instruction(instruction) => talk(&instruction.conversation())?,
        Sample::Conversation(conversation) => talk(conversation)?,
        Sample::Text(_) => Vec::new(),
    };
    // A longer text trains, but the model writes within its positions: the end of the prompt is what it continues.
    let room = parts.config.maximum_positions.saturating_sub(SAMPLE_TOKENS).max(1);
    let tokens = if tokens.is_empty() { &example.tokens[..1] } else { &tokens };
    Ok(tokens[tokens.len().saturating_sub(room)..].to_vec())
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
        Ok(self.validation_loss(decoder, EVALUATED_TOKENS).map(|loss| Score {
            loss,
            accuracy: None,
            by_loss: true,
        }))
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

/// Weights as a checkpoint.
fn whole(origin: &Checkpoint, state: &State) -> Checkpoint {
    let tensors = state.iter().map(|(name, tensor)| {
        (name.clone(), gyrus_formats::Tensor::of_floats(tensor.shape.clone(), tensor.values.clone()))
    });
    Checkpoint::new(origin.path(), tensors.collect())
}
