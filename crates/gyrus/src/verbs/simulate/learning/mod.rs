//! Circuits that learn without labels: digits (Diehl & Cook 2015), and edges of photographs.

mod digits;
mod edges;
mod page;
mod patches;

use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Instant;

use gyrus_files::{fill_atomically, read_bounded, to_safetensors, write_atomically};
use gyrus_kernels::with_threads;
use gyrus_simulate::competition::{Competition, CompetitionSettings, Learned, Response};
use gyrus_vision::see::gabor::GaborFit;
use serde::{Deserialize, Serialize};

use super::files::{self, RECORD};
use crate::verbs::{quoted, serialized};
use crate::{Error, Observer, Result, Stage};

/// State of a run that was stopped.
const CHECKPOINT: &str = "checkpoint";
const MOST: u64 = 1 << 26;
/// Presentations between two words to the observer.
const PACE: usize = 20;
/// Points of the learning curve.
const POINTS: usize = 12;

/// Lets neurons learn what they are shown, by the times of spikes and without labels.
#[derive(Clone, Debug)]
pub struct SimulateLearning {
    /// What is shown.
    pub task: LearningTask,
    /// The folder of the data. Without one, `mnist` and `fashion-mnist` come from the hub; `edges` needs one with photographs.
    pub data: Option<PathBuf>,
    /// Times as many neurons: 400 for digits and 144 for edges.
    pub scale: f64,
    /// Number of presentations; by default 60,000 for the MNIST sets, 6,000 for `digits` and 20,000 for `edges`.
    pub examples: Option<usize>,
    /// Decides all random numbers.
    pub seed: u64,
    /// Worker threads; 0 for one per core. The result does not depend on it.
    pub threads: usize,
    /// The folder to write. Default: runs/NAME.
    pub out: Option<PathBuf>,
    /// Replace a simulation that the folder holds.
    pub overwrite: bool,
    /// Go on with the run in the folder, which was stopped; [`SimulateLearning::resumed`] reads what it was asked for.
    pub resume: bool,
}

/// What can be learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LearningTask {
    /// 1,797 small digits, built in.
    Digits,
    /// MNIST.
    Mnist,
    /// Fashion-MNIST.
    FashionMnist,
    /// Patches of photographs.
    Edges,
}

impl LearningTask {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Digits, Self::Mnist, Self::FashionMnist, Self::Edges];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Digits => "digits",
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::Edges => "edges",
        }
    }

    /// The task of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.name() == name)
    }

    fn examples(self) -> usize {
        match self {
            Self::Digits => 6000,
            Self::Mnist | Self::FashionMnist => 60_000,
            Self::Edges => 20_000,
        }
    }

    fn neurons(self) -> f64 {
        if self == Self::Edges { 144.0 } else { 400.0 }
    }
}

/// What was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LearningRequest {
    /// The name of the task.
    pub task: String,
    /// The absolute path of the data's folder.
    pub data: Option<String>,
    /// As in [`SimulateLearning`], and so on.
    pub scale: f64,
    /// Presentations in all.
    pub examples: usize,
    /// The seed.
    pub seed: u64,
}

/// What was learned.
#[derive(Clone, Debug, Serialize)]
pub struct LearningReport {
    /// What was shown: `digits`, `mnist`, `fashion-mnist` or `edges`.
    pub task: &'static str,
    /// Neurons that learned.
    pub neurons: usize,
    /// Inputs onto each.
    pub inputs: usize,
    /// Presentations that were learned from.
    pub examples: usize,
    /// Share of the test inputs that are recognized; none without classes.
    pub accuracy: Option<f64>,
    /// Test inputs.
    pub test_examples: usize,
    /// Neurons that stand for each class.
    pub neurons_of_class: Vec<usize>,
    /// Inputs shown, and the share of the next ones that would have been recognized.
    pub curve: Vec<(f64, f64)>,
    /// Of edges: neurons whose receptive field is an edge detector.
    pub edge_detectors: Option<usize>,
    /// Share of random fields that would count as edge detectors.
    pub by_chance: Option<f64>,
    /// Simulated time of learning.
    pub simulated_seconds: f64,
    /// Spikes of inputs and neurons while learning.
    pub spikes: u64,
    /// Synaptic events while learning.
    pub synaptic_events: u64,
    /// Time taken to learn.
    pub learn_seconds: f64,
    /// Time taken to answer, for classes and tests.
    pub answer_seconds: f64,
    /// `finished` or `interrupted`.
    pub status: &'static str,
    /// What a person should know.
    pub notes: Vec<String>,
    /// What was asked for.
    pub request: LearningRequest,
    /// The folder that was written.
    #[serde(serialize_with = "serialized::path")]
    pub out: PathBuf,
    /// The page.
    #[serde(serialize_with = "serialized::path")]
    pub page: PathBuf,
    /// Weights and thresholds.
    #[serde(serialize_with = "serialized::path")]
    pub weights: PathBuf,
}

/// What is shown: a rate in Hz for each input.
trait Shown: Sync {
    fn settings(&self, neurons: usize) -> CompetitionSettings;
    /// The rates of a presentation.
    fn rates_hz(&self, presentation: usize) -> Vec<f32>;
    /// The class of a presentation, where there are classes.
    fn class(&self, presentation: usize) -> Option<u32>;
    fn classes(&self) -> usize;
    /// Answers to what is known and to what is not, which become the report's numbers and the page's contents.
    fn judge(
        &self,
        learned: &Learned,
        report: &mut LearningReport,
        observer: &mut dyn Observer,
    ) -> Result<Judged>;
}

/// What the page shows besides numbers.
#[derive(Default)]
struct Judged {
    /// The class of each neuron.
    classes: Vec<Option<u32>>,
    names: Vec<String>,
    confusion: Vec<Vec<u64>>,
    fits: Vec<Option<GaborFit>>,
    /// Rows and columns of a field.
    extents: [usize; 2],
}

impl SimulateLearning {
    /// Of this task, with its defaults.
    #[must_use]
    pub fn new(task: LearningTask) -> Self {
        Self {
            task,
            data: None,
            scale: 1.0,
            examples: None,
            seed: 0,
            threads: 0,
            out: None,
            overwrite: false,
            resume: false,
        }
    }

    /// The run in a folder that was stopped, to go on with; none if the folder holds a simulation of another kind.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub fn resumed(run: &Path) -> Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Record {
            request: LearningRequest,
        }
        let path = run.join(RECORD);
        if !run.join(CHECKPOINT).is_file() || !path.is_file() {
            return Ok(None);
        }
        let Ok(Record { request }) = serde_json::from_slice(&read_bounded(&path, MOST)?) else {
            return Ok(None);
        };
        let Some(task) = LearningTask::named(&request.task) else { return Ok(None) };
        Ok(Some(Self {
            data: request.data.map(PathBuf::from),
            scale: request.scale,
            examples: Some(request.examples),
            seed: request.seed,
            out: Some(run.to_owned()),
            overwrite: true,
            resume: true,
            ..Self::new(task)
        }))
    }

    /// Learns, and writes the folder.
    ///
    /// # Errors
    /// If the data cannot be read, a number is out of range, or the folder holds a simulation that shall not be replaced or cannot be
    /// written; [`Error::Interrupted`] if the observer stops it, with everything saved.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<LearningReport> {
        let examples = self.examples.unwrap_or(self.task.examples());
        let neurons = (self.task.neurons() * self.scale).round();
        if !(2.0..=65_536.0).contains(&neurons) {
            return Err(Error::request(format!(
                "{neurons} neurons cannot compete; expected 2 to 65,536 (--scale)"
            )));
        }
        if examples == 0 {
            return Err(Error::request("0 presentations teach nothing; expected at least 1"));
        }
        let out =
            self.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("{}-stdp", self.task.name())));
        files::refuse_existing(&out, self.overwrite)?;
        let shown: Box<dyn Shown> = match self.task {
            LearningTask::Edges => Box::new(edges::Patches::open(self.data.as_deref(), self.seed)?),
            task => Box::new(digits::Images::open(task.name(), self.data.as_deref(), self.seed)?),
        };
        with_threads(self.threads, || self.learn(&*shown, neurons as usize, examples, &out, observer))?
    }

    fn learn(
        &self,
        shown: &dyn Shown,
        neurons: usize,
        examples: usize,
        out: &Path,
        observer: &mut dyn Observer,
    ) -> Result<LearningReport> {
        let settings = CompetitionSettings { seed: self.seed, ..shown.settings(neurons) };
        let inputs = settings.inputs;
        let checkpoint = out.join(CHECKPOINT);
        let mut competition = match self.resume {
            false => Competition::new(settings)?,
            true => {
                let file = File::open(&checkpoint).map_err(Error::io("read", &checkpoint))?;
                Competition::resume(settings, BufReader::new(file))?
            }
        };
        let started = Instant::now();
        let mut curve = Curve::new(examples, shown.classes());
        let first = competition.presented() as usize;
        for presentation in first..examples {
            let response = competition.present(&shown.rates_hz(presentation))?;
            if let Some(class) = shown.class(presentation) {
                curve.add(presentation + 1, response, class);
            }
            let done = presentation + 1;
            if done.is_multiple_of(PACE) || done == examples {
                observer.stage(&Stage { name: "learning", done: done as u64, total: examples as u64 });
                if done < examples && observer.wants_to_stop() {
                    return Err(self.stop(&mut competition, done, examples, out)?);
                }
            }
        }
        let learned = competition.learned()?;
        let activity = competition.activity();
        let mut notes = Vec::new();
        if first > 0 {
            notes.push("the curve begins where the run was resumed".to_owned());
        }
        let mut report = LearningReport {
            task: self.task.name(),
            neurons,
            inputs,
            examples,
            accuracy: None,
            test_examples: 0,
            neurons_of_class: Vec::new(),
            curve: curve.points,
            edge_detectors: None,
            by_chance: None,
            simulated_seconds: competition.time_ms() / 1e3,
            spikes: activity.spikes,
            synaptic_events: activity.synaptic_events,
            learn_seconds: started.elapsed().as_secs_f64(),
            answer_seconds: 0.0,
            status: "finished",
            notes,
            request: self.request(examples),
            out: out.to_owned(),
            page: out.join("report.html"),
            weights: out.join("learned.safetensors"),
        };
        let started = Instant::now();
        let judged = match shown.judge(&learned, &mut report, observer) {
            // What was learned is kept, and a resumed run begins with the answers.
            Err(_) if observer.wants_to_stop() => {
                return Err(self.stop(&mut competition, examples, examples, out)?);
            }
            judged => judged?,
        };
        report.answer_seconds = started.elapsed().as_secs_f64();
        let page = page::page(&report, &learned, &judged);
        write(&report, &learned, &page)?;
        Ok(report)
    }

    fn request(&self, examples: usize) -> LearningRequest {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        LearningRequest {
            task: self.task.name().to_owned(),
            data: self.data.as_ref().map(|path| absolute(path).to_string_lossy().into_owned()),
            scale: self.scale,
            examples,
            seed: self.seed,
        }
    }

    /// Saves everything; the error that says so.
    fn stop(&self, competition: &mut Competition, done: usize, examples: usize, out: &Path) -> Result<Error> {
        fs::create_dir_all(out).map_err(Error::io("create", out))?;
        let path = out.join(CHECKPOINT);
        let mut failure = None;
        let fill = |file: &mut File| {
            failure = competition.save(BufWriter::new(file)).err();
            Ok(())
        };
        fill_atomically(&path, fill).map_err(Error::io("write", &path))?;
        if let Some(error) = failure {
            let _ = fs::remove_file(&path);
            return Err(error.into());
        }
        let record = serde_json::json!({ "status": "interrupted", "request": self.request(examples) });
        let path = out.join(RECORD);
        write_atomically(&path, record.to_string().as_bytes()).map_err(Error::io("write", &path))?;
        Ok(Error::Interrupted {
            step: done as u64,
            steps: examples as u64,
            part: "",
            next: format!("gyrus simulate --resume {}", quoted(out)),
            run: out.to_owned(),
        })
    }
}

/// The learning curve: answers of a stretch give classes to neurons, and those of the next one are counted.
struct Curve {
    every: usize,
    classes: usize,
    assignment: Option<gyrus_simulate::competition::Assignment>,
    responses: Vec<Response>,
    labels: Vec<u32>,
    points: Vec<(f64, f64)>,
}

impl Curve {
    fn new(examples: usize, classes: usize) -> Self {
        let every = (examples / POINTS).clamp(200, 5000);
        Self {
            every,
            classes,
            assignment: None,
            responses: Vec::new(),
            labels: Vec::new(),
            points: Vec::new(),
        }
    }

    fn add(&mut self, shown: usize, response: Response, class: u32) {
        self.responses.push(response);
        self.labels.push(class);
        if !shown.is_multiple_of(self.every) {
            return;
        }
        if let Some(assignment) = &self.assignment {
            let all = self.responses.iter().zip(&self.labels);
            let right = all.filter(|(own, label)| assignment.classify(own) == Some(**label)).count();
            self.points.push((shown as f64, right as f64 / self.labels.len() as f64));
        }
        let next = gyrus_simulate::competition::Assignment::new(&self.responses, &self.labels, self.classes);
        self.assignment = Some(next);
        self.responses.clear();
        self.labels.clear();
    }
}

/// Weights, page and record; the record comes last.
fn write(report: &LearningReport, learned: &Learned, page: &str) -> Result<()> {
    let out = &report.out;
    fs::create_dir_all(out).map_err(Error::io("create", out))?;
    let tensor = |shape: Vec<usize>, values: Vec<f32>| gyrus_files::StateTensor { shape, values };
    let theta = learned.theta_mv.iter().map(|theta| *theta as f32).collect();
    let state = [
        ("weights_nS".to_owned(), tensor(vec![report.inputs, report.neurons], learned.weights.clone())),
        ("thresholds_mV".to_owned(), tensor(vec![report.neurons], theta)),
    ];
    let bytes = to_safetensors(&state.into_iter().collect(), &std::collections::BTreeMap::new())?;
    write_atomically(&report.weights, &bytes).map_err(Error::io("write", &report.weights))?;
    write_atomically(&report.page, page.as_bytes()).map_err(Error::io("write", &report.page))?;
    let record = out.join(RECORD);
    let text = serde_json::to_string_pretty(report).map_err(Error::failed)?;
    write_atomically(&record, text.as_bytes()).map_err(Error::io("write", &record))?;
    let _ = fs::remove_file(out.join(CHECKPOINT));
    Ok(())
}
