//! A run of research on this machine: tools over an index, a model, and a folder that holds the journal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use gyrus_files::{hexadecimal, read_bounded};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::answer::{Answer, Effort};
use super::data::{DataSource, ask_data};
use super::quotes::Quotes;
use super::study::Study;
use crate::core::journal::{self, Journal};
use crate::core::{
    Agent, Context, Draft, Effect, Event, EvidenceKind, EvidenceStore, Limits, Log, Origin, Policy, Run,
    Spend, ToolEffect, ToolOutput, ToolSpec, World,
};
use crate::model::{ChatModel, ChatReply, ChatRequest, ModelError};
use crate::retrieval::{Index, SearchOptions, TextEncoder};
use crate::{Error, Result};

/// The name of the journal in the folder of a run.
pub const JOURNAL: &str = "journal.jsonl";
/// The longest journal.
const MOST_BYTES: u64 = 1 << 30;

/// What a run was asked for: the first record of its journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The version of the agents.
    pub version: u32,
    /// The question.
    pub question: String,
    /// How much is asked for.
    pub effort: Effort,
    /// What may be spent.
    pub limits: Limits,
    /// The folder of documents.
    pub sources: Option<PathBuf>,
    /// The databases: files of that folder, or addresses without passwords.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<String>,
    /// The model; none for quotes.
    pub model: Option<String>,
    /// The endpoint of the model.
    pub endpoint: Option<String>,
    /// The sentence encoder of the search.
    pub encoder: Option<String>,
    /// The search of the web; none without the web.
    pub web: Option<String>,
}

impl Settings {
    /// The version of the agents: a journal of another one is not continued.
    pub const VERSION: u32 = 1;

    fn agent(&self) -> Box<dyn Agent> {
        match &self.model {
            None => Box::new(Quotes::new(&self.question, self.effort, self.reach())),
            Some(model) => {
                let text = serde_json::to_string(self).unwrap_or_default();
                let fence = format!("source-{}", &hexadecimal(&Sha256::digest(text.as_bytes()))[..8]);
                Box::new(Study::new(&self.question, self.effort, model, &fence, self.reach()))
            }
        }
    }

    fn reach(&self) -> Reach {
        Reach {
            documents: self.sources.is_some() || self.databases.is_empty(),
            data: !self.databases.is_empty(),
            web: self.web.is_some(),
        }
    }

    fn policy(&self) -> Policy {
        let mut tools = Vec::new();
        if self.sources.is_some() {
            tools.push(ToolSpec::new("search", Origin::Private, ToolEffect::Read));
        }
        if !self.databases.is_empty() {
            tools.push(ToolSpec::new("ask", Origin::Private, ToolEffect::Read));
            tools.push(ToolSpec::new("data", Origin::Private, ToolEffect::Read));
        }
        if self.web.is_some() {
            tools.push(ToolSpec::new("web_search", Origin::Stranger, ToolEffect::Egress));
            tools.push(ToolSpec::new("fetch", Origin::Stranger, ToolEffect::Egress));
        }
        Policy::new(tools, &self.question)
    }
}

/// Where an agent can look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// In an index of documents.
    pub documents: bool,
    /// In databases.
    pub data: bool,
    /// In the web.
    pub web: bool,
}

impl Agent for Box<dyn Agent> {
    fn step(&mut self, event: &Event, context: &Context<'_>) -> Effect {
        (**self).step(event, context)
    }
}

/// What a run can use.
pub struct Tools<'a> {
    /// The index of the sources.
    pub index: Option<&'a Index>,
    /// The encoder of its vectors.
    pub encoder: Option<&'a dyn TextEncoder>,
    /// The databases.
    pub data: &'a mut [DataSource],
    /// The model.
    pub model: Option<&'a mut dyn ChatModel>,
    /// Tools of the web: `web_search` and `fetch`.
    #[allow(clippy::type_complexity)]
    pub web: Option<Box<dyn FnMut(&str, &str) -> Result<ToolOutput, String> + 'a>>,
    /// Sees what is done, and returns whether to go on.
    pub progress: Box<dyn FnMut(&str) -> bool + 'a>,
    /// When this process took up the run.
    pub start: Instant,
}

impl World for Tools<'_> {
    fn tool(&mut self, name: &str, argument: &str) -> Result<ToolOutput, String> {
        (self.progress)(&format!("{name}: {argument}"));
        match (name, self.index, &mut self.web) {
            ("search", Some(index), _) => {
                search(index, self.encoder, argument).map_err(|error| error.to_string())
            }
            ("ask" | "data", ..) if !self.data.is_empty() => ask_data(self.data, argument, name == "ask"),
            (_, _, Some(web)) => web(name, argument),
            _ => Err(format!("there is no tool {name}")),
        }
    }

    fn model(&mut self, request: &ChatRequest) -> Result<ChatReply, ModelError> {
        (self.progress)(&format!("model: {}", request.purpose));
        match &mut self.model {
            Some(model) => model.complete(request),
            None => Err(ModelError::Unreachable("there is no model".to_owned())),
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn wants_to_stop(&mut self) -> bool {
        !(self.progress)("")
    }
}

/// A search of the index as a tool.
pub(crate) fn search(index: &Index, encoder: Option<&dyn TextEncoder>, query: &str) -> Result<ToolOutput> {
    let options = SearchOptions { top: 8, ..SearchOptions::default() };
    let hits = index.search(query, &options, encoder)?;
    let evidence = hits.into_iter().map(|hit| Draft {
        kind: EvidenceKind::Document,
        source: hit.passage.source,
        title: hit.passage.title,
        place: hit.passage.place,
        start: hit.passage.start,
        text: hit.passage.text,
        derived_from: Vec::new(),
    });
    let evidence = evidence.collect();
    let words = index.word_weights(query)?;
    Ok(ToolOutput { evidence, addresses: Vec::new(), facts: json!({"words": words}) })
}

/// A journal's file, each line on the disk before the next step.
struct FileLog(File);

impl Log for FileLog {
    fn append(&mut self, line: &str) -> io::Result<()> {
        self.0.write_all(line.as_bytes())?;
        self.0.sync_data()
    }
}

/// The folder of a run.
pub struct Folder {
    path: PathBuf,
    settings: Settings,
    run: Run<Box<dyn Agent>>,
    log: FileLog,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The answer; none if the run was stopped and can go on.
    pub answer: Option<Answer>,
    /// What was spent.
    pub spend: Spend,
    /// The evidence.
    pub evidence: EvidenceStore,
    /// The hash of the journal.
    pub journal_sha256: String,
}

impl Folder {
    /// Begins a run in a new folder.
    ///
    /// # Errors
    /// If the folder holds a run already, or cannot be written.
    pub fn create(path: &Path, settings: Settings) -> Result<Self> {
        fs::create_dir_all(path).map_err(Error::io("create", path))?;
        let file = path.join(JOURNAL);
        let opened = OpenOptions::new().append(true).create_new(true).open(&file);
        let mut log = FileLog(opened.map_err(Error::io("create", &file))?);
        let begun =
            Run::begin(settings.agent(), settings.limits, settings.policy(), json!(settings), &mut log);
        let run = begun.map_err(Error::io("write", &file))?;
        Ok(Self { path: path.to_owned(), settings, run, log })
    }

    /// Takes up the run in a folder where it was left, whatever ended it.
    ///
    /// # Errors
    /// If there is none, its journal is damaged, or it belongs to another version.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.join(JOURNAL);
        let (journal, settings) = read(&file)?;
        let run = replayed(&file, &journal, &settings)?;
        let opened = OpenOptions::new().append(true).open(&file).map_err(Error::io("write", &file))?;
        // A line that was torn goes.
        opened.set_len(journal.valid_bytes as u64).map_err(Error::io("write", &file))?;
        Ok(Self { path: path.to_owned(), settings, run, log: FileLog(opened) })
    }

    /// What the run was asked for.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the run is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.run.answer().is_some()
    }

    /// Goes on to the end, or until the progress of `tools` stops it.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn go_on(&mut self, tools: &mut Tools<'_>) -> Result<Outcome> {
        let path = self.path.join(JOURNAL);
        let answer = self.run.go_on(tools, &mut self.log).map_err(Error::io("write", &path))?;
        outcome(&path, &self.run, answer)
    }
}

fn outcome(path: &Path, run: &Run<Box<dyn Agent>>, answer: Option<Value>) -> Result<Outcome> {
    let answer = answer.map(serde_json::from_value).transpose();
    let answer =
        answer.map_err(|error| Error::Journal { path: path.to_owned(), reason: error.to_string() })?;
    Ok(Outcome {
        answer,
        spend: *run.spend(),
        evidence: run.evidence().clone(),
        journal_sha256: run.journal_hash().to_owned(),
    })
}

fn read(file: &Path) -> Result<(Journal, Settings)> {
    let wrong = |reason: String| Error::Journal { path: file.to_owned(), reason };
    let bytes = read_bounded(file, MOST_BYTES).map_err(|error| wrong(error.to_string()))?;
    let journal = journal::read(&bytes).map_err(wrong)?;
    let start = &journal.records[0];
    let settings: Settings = serde_json::from_value(start.body.clone())
        .map_err(|error| wrong(format!("line 1: these are no settings: {error}")))?;
    if start.kind != "start" || settings.version != Settings::VERSION {
        return Err(wrong("line 1: it belongs to another version".to_owned()));
    }
    Ok((journal, settings))
}

fn replayed(file: &Path, journal: &Journal, settings: &Settings) -> Result<Run<Box<dyn Agent>>> {
    let run = Run::replay(settings.agent(), settings.limits, settings.policy(), journal);
    run.map_err(|reason| Error::Journal { path: file.to_owned(), reason })
}

/// Runs a journal again without model, tools or network: the settings, and what it leads to.
///
/// # Errors
/// If it is damaged, belongs to another version, or holds no end.
pub fn replay(path: &Path) -> Result<(Settings, Outcome)> {
    let file = if path.is_dir() { path.join(JOURNAL) } else { path.to_owned() };
    let (journal, settings) = read(&file)?;
    let run = replayed(&file, &journal, &settings)?;
    let Some(answer) = run.answer().cloned() else {
        let reason = "the run did not come to its end; go on with --resume".to_owned();
        return Err(Error::Journal { path: file, reason });
    };
    let outcome = outcome(&file, &run, Some(answer))?;
    Ok((settings, outcome))
}
