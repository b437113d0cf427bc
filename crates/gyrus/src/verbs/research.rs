//! Questions answered from documents, each claim bound to its quote.

mod data;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use gyrus_agents::core::{EvidenceStore, Limits, Spend};
use gyrus_agents::model::ChatModel;
use gyrus_agents::research::{
    Answer, DataSource, Effort, Folder, Outcome, Settings, Tools, markdown, replay,
};
use gyrus_agents::retrieval::{Index, TextEncoder};
use gyrus_files::{counted, write_atomically};
use gyrus_report::{ResearchClaim, ResearchQuote, ResearchReport as Page};
use serde::Serialize;

use super::local_model::LocalModel;
use super::serialized;
use super::sources::{IndexFolder, SourceEncoder, index_of};
use crate::observer::{Note, Observer, Stage};
use crate::{Error, Result};

/// The longest answer of an endpoint, in seconds.
#[cfg(feature = "hub")]
const SECONDS: f64 = 600.0;
/// Tokens that an endpoint must not forget: as many as a step of a run can have.
#[cfg(feature = "hub")]
const CONTEXT: u64 = 6000;

/// Answers a question from a folder of documents.
///
/// Without a model the answer is quotes. With one, it plans, reads and writes, and each claim is checked against the quotes that it
/// cites. A run keeps a journal, from which it goes on after anything, and is replayed without model or network.
#[derive(Clone, Debug)]
pub struct Research {
    /// The question.
    pub question: String,
    /// A folder of documents and databases, or a database as [`super::Ask`] takes it. An index in the folder is brought up to date;
    /// without one the run folder gets one.
    pub sources: PathBuf,
    /// A language model, or the name of the endpoint's.
    pub model: Option<PathBuf>,
    /// An OpenAI-compatible endpoint, such as `http://127.0.0.1:8080/v1`.
    pub endpoint: Option<String>,
    /// The key of the endpoint; kept nowhere.
    pub key: Option<String>,
    /// A sentence encoder, to find passages by meaning as well.
    pub encoder: Option<PathBuf>,
    /// The address of a search engine with SearXNG's interface: the run then searches the web as well.
    pub web: Option<String>,
    /// How much is asked for.
    pub effort: Effort,
    /// Most tokens that the model reads and writes.
    pub max_tokens: Option<u64>,
    /// Most minutes.
    pub max_minutes: Option<f64>,
    /// Most calls of tools and the model.
    pub max_calls: Option<u64>,
    /// The folder of the run. Default: runs/ and words of the question.
    pub out: Option<PathBuf>,
    /// As for [`IndexFolder`].
    pub pdf_program: Vec<OsString>,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
}

/// What was answered.
#[derive(Clone, Debug, Serialize)]
pub struct ResearchReport {
    /// The folder of the run.
    #[serde(serialize_with = "serialized::path")]
    pub out: PathBuf,
    /// The page; none for a replay.
    #[serde(serialize_with = "serialized::some_path")]
    pub page: Option<PathBuf>,
    /// The answer.
    #[serde(flatten)]
    pub answer: Answer,
    /// What was spent.
    pub spend: Spend,
    /// The answer as Markdown.
    pub markdown: String,
    /// The hash of the journal: of everything that the run did.
    pub journal_sha256: String,
}

impl Research {
    /// A question to a folder, answered with quotes.
    pub fn new(question: impl Into<String>, sources: impl Into<PathBuf>) -> Self {
        Self {
            question: question.into(),
            sources: sources.into(),
            model: None,
            endpoint: None,
            key: None,
            encoder: None,
            web: None,
            effort: Effort::default(),
            max_tokens: None,
            max_minutes: None,
            max_calls: None,
            out: None,
            pdf_program: Vec::new(),
            threads: 0,
        }
    }

    /// Answers the question. The observer may stop the run, which [`Research::resume`] takes up.
    ///
    /// # Errors
    /// If the request cannot be done, the sources cannot be indexed, or the run was stopped.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<ResearchReport> {
        if self.question.trim().is_empty() {
            return Err(Error::request("the question is empty"));
        }
        if self.endpoint.is_some() && self.model.is_none() {
            return Err(Error::request("an endpoint needs the name of its model"));
        }
        let out = self.out.clone().unwrap_or_else(|| free_folder(&self.question));
        if out.join(gyrus_agents::research::JOURNAL).exists() {
            return Err(Error::Request(format!(
                "{} holds a run; go on with --resume, or choose another folder",
                out.display()
            )));
        }
        #[cfg(not(feature = "hub"))]
        if self.web.is_some() {
            return Err(Error::request(
                "this program was built without the feature hub, and so without a network",
            ));
        }
        // Opened first: a model that cannot be opened is known before anything is written.
        let model = self.open_model(observer)?;
        let encoder =
            self.encoder.as_ref().map(|path| SourceEncoder::open(path, self.threads)).transpose()?;
        let (index, opened) = match self.sources.is_dir() {
            true => {
                let opened = data::found(&self.sources, model.is_some(), observer);
                (self.indexed(&out, !opened.is_empty(), observer)?, opened)
            }
            false => (None, vec![data::opened(&self.sources, model.is_some())?]),
        };
        let (mut databases, mut data): (Vec<String>, Vec<DataSource>) = opened.into_iter().unzip();
        if index.is_none() && self.sources.is_dir() {
            // Without documents the databases are named as they are opened.
            databases = databases.iter().map(|name| self.sources.join(name).display().to_string()).collect();
            data = data::again(&databases, None, None, model.is_some())?;
        }
        let ms = self.max_minutes.map(|minutes| (minutes * 60_000.0).clamp(0.0, 1e15) as u64);
        let limits = Limits {
            tokens: self.max_tokens,
            ms,
            calls: self.max_calls,
            reserve_tokens: self.max_tokens.map_or(0, |tokens| tokens / 3),
            reserve_calls: if model.is_some() { 2 } else { 0 },
        };
        let settings = Settings {
            version: Settings::VERSION,
            question: self.question.trim().to_owned(),
            effort: self.effort,
            limits,
            sources: index.is_some().then(|| self.sources.clone()),
            databases,
            model: self.model.as_ref().map(|path| path.display().to_string()),
            endpoint: self.endpoint.clone(),
            encoder: self.encoder.as_ref().map(|path| path.display().to_string()),
            web: self.web.clone(),
        };
        let mut folder = Folder::create(&out, settings)?;
        let means = Means { index, data, encoder, model };
        finish(&mut folder, &out, means, &self.pdf_program, observer)
    }

    /// Takes up the run in a folder: the same question, sources, model and limits. `key` is the endpoint's; `given` is the address of
    /// the run's database where it needs a password, which no journal holds.
    ///
    /// # Errors
    /// If there is no run, or its model, index or databases cannot be opened.
    pub fn resume(
        out: &Path,
        key: Option<String>,
        given: Option<&Path>,
        pdf_program: &[OsString],
        threads: usize,
        observer: &mut dyn Observer,
    ) -> Result<ResearchReport> {
        let mut folder = Folder::open(out)?;
        let settings = folder.settings().clone();
        let sources = settings.sources.clone().unwrap_or_default();
        let verb = Self {
            model: settings.model.as_ref().map(PathBuf::from),
            endpoint: settings.endpoint.clone(),
            key,
            threads,
            ..Self::new(settings.question.clone(), &sources)
        };
        let is_over = folder.is_over();
        let model = if is_over { None } else { verb.open_model(observer)? };
        let encoder = settings.encoder.as_ref().filter(|_| !is_over);
        let encoder = encoder.map(|path| SourceEncoder::open(Path::new(path), threads)).transpose()?;
        let own = out.join("index");
        let index = if Index::exists(&own) { own } else { index_of(&sources) };
        let index = settings.sources.as_ref().map(|_| Index::open(&index)).transpose()?;
        let data = match is_over {
            true => Vec::new(),
            false => data::again(&settings.databases, settings.sources.as_deref(), given, model.is_some())?,
        };
        finish(&mut folder, out, Means { index, data, encoder, model }, pdf_program, observer)
    }

    /// Runs the journal of a run again, without model, sources or network.
    ///
    /// # Errors
    /// If it was changed, is damaged, did not end, or belongs to another version.
    pub fn replay(out: &Path) -> Result<ResearchReport> {
        let (_, outcome) = replay(out)?;
        let Outcome { answer, spend, journal_sha256, .. } = outcome;
        let answer = answer.ok_or_else(|| Error::request("the run did not come to its end"))?;
        let markdown = markdown(&answer, &spend);
        Ok(ResearchReport { out: out.to_owned(), page: None, answer, spend, markdown, journal_sha256 })
    }

    fn open_model(&self, observer: &mut dyn Observer) -> Result<Option<Box<dyn ChatModel>>> {
        let Some(model) = &self.model else { return Ok(None) };
        let Some(endpoint) = &self.endpoint else {
            return Ok(Some(Box::new(LocalModel::open(model, self.threads)?)));
        };
        #[cfg(feature = "hub")]
        {
            let name = model.display().to_string();
            let mut opened = gyrus_agents::model::Endpoint::new(endpoint, &name, self.key.clone(), SECONDS);
            // Outside the budget, and left out where that is small.
            if self.max_tokens.is_none_or(|tokens| tokens >= 10 * CONTEXT)
                && !opened.remembers(CONTEXT).map_err(gyrus_agents::Error::from)?
            {
                let text = format!(
                    "{name} at {endpoint} forgets the beginning of {CONTEXT} tokens: it cuts long requests; raise its context length"
                );
                observer.note(&Note::Text(&text));
            }
            Ok(Some(Box::new(opened)))
        }
        #[cfg(not(feature = "hub"))]
        {
            let _ = observer;
            Err(Error::Request(format!(
                "{endpoint}: this program was built without the feature hub, and so without a network"
            )))
        }
    }

    /// The index of the folder; none where it holds databases alone.
    fn indexed(&self, out: &Path, has_data: bool, observer: &mut dyn Observer) -> Result<Option<Index>> {
        let inside = index_of(&self.sources);
        if inside == self.sources {
            // The index alone, without its documents.
            return Ok(Some(Index::open(&inside)?));
        }
        let place = if Index::exists(&inside) { inside } else { out.join("index") };
        let verb = IndexFolder {
            out: Some(place.clone()),
            model: self.encoder.clone(),
            pdf_program: self.pdf_program.clone(),
            threads: self.threads,
            ..IndexFolder::new(&self.sources)
        };
        let report = verb.run(observer)?.report;
        if !report.skipped.is_empty() {
            let text = format!(
                "{} cannot be used; gyrus index says why",
                counted(report.skipped.len() as u64, "file")
            );
            observer.note(&Note::Text(&text));
        }
        if report.sources == 0 && has_data {
            return Ok(None);
        }
        if report.sources == 0 {
            return Err(Error::Request(format!(
                "{} holds neither documents nor databases",
                self.sources.display()
            )));
        }
        Ok(Some(Index::open(&place)?))
    }
}

/// What a run works with.
struct Means {
    index: Option<Index>,
    data: Vec<DataSource>,
    encoder: Option<SourceEncoder>,
    model: Option<Box<dyn ChatModel>>,
}

/// runs/ and the first words of a question, with a number where that folder exists.
fn free_folder(question: &str) -> PathBuf {
    let words = question.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut name = words.take(6).collect::<Vec<_>>().join("-").to_lowercase();
    if name.is_empty() || name.len() > 80 {
        "research".clone_into(&mut name);
    }
    let base = Path::new("runs");
    let numbered = (2..).map(|number| base.join(format!("{name}-{number}")));
    let mut all = std::iter::once(base.join(&name)).chain(numbered);
    all.find(|path| !path.exists()).unwrap_or_else(|| base.join(name))
}

fn finish(
    folder: &mut Folder,
    out: &Path,
    mut means: Means,
    pdf_program: &[OsString],
    observer: &mut dyn Observer,
) -> Result<ResearchReport> {
    let settings = folder.settings().clone();
    #[cfg(feature = "hub")]
    let mut web = settings.web.as_ref().map(|engine| {
        use gyrus_agents::retrieval::sources::PdfReader;
        let pdf = PdfReader { program: pdf_program.to_vec(), ..PdfReader::default() };
        let fetcher = gyrus_agents::web::Fetcher::new(Some(out.join("pages")), pdf);
        gyrus_agents::web::Web::new(engine, fetcher)
    });
    #[cfg(not(feature = "hub"))]
    let _ = pdf_program;
    let total = settings.limits.calls.unwrap_or(0);
    let outcome = {
        // For no longer than the observer.
        #[allow(clippy::manual_map, reason = "a map does not shorten the lifetime")]
        let model: Option<&mut dyn ChatModel> = match &mut means.model {
            Some(model) => Some(model.as_mut()),
            None => None,
        };
        let mut done = 0;
        let mut tools = Tools {
            index: means.index.as_ref(),
            encoder: means.encoder.as_ref().map(|encoder| encoder as &dyn TextEncoder),
            data: &mut means.data,
            model,
            #[cfg(feature = "hub")]
            web: web.as_mut().map(|web| -> Box<dyn FnMut(&str, &str) -> _> {
                Box::new(|name: &str, argument: &str| web.call(name, argument))
            }),
            #[cfg(not(feature = "hub"))]
            web: None,
            progress: Box::new(|what| {
                if !what.is_empty() {
                    done += 1;
                    observer.stage(&Stage { name: what, done, total: total.max(done + 1) });
                }
                !observer.wants_to_stop()
            }),
            start: Instant::now(),
        };
        folder.go_on(&mut tools)?
    };
    observer.stage(&Stage { name: "research", done: 1, total: 1 });
    let Some(answer) = outcome.answer.clone() else {
        return Err(Error::Interrupted {
            run: out.to_owned(),
            step: outcome.spend.calls(),
            steps: total.max(outcome.spend.calls() + 1),
            part: "",
            next: format!("gyrus research --resume {}", super::quoted(out)),
        });
    };
    let markdown = markdown(&answer, &outcome.spend);
    let write = |name: &str, bytes: &[u8]| -> Result<PathBuf> {
        let path = out.join(name);
        write_atomically(&path, bytes).map_err(Error::io("write", &path))?;
        Ok(path)
    };
    write("answer.md", markdown.as_bytes())?;
    write("answer.json", &serde_json::to_vec_pretty(&answer).map_err(Error::failed)?)?;
    let html = page(&answer, &outcome, &settings);
    let page = Some(write("report.html", html.as_bytes())?);
    let Outcome { spend, journal_sha256, .. } = outcome;
    Ok(ResearchReport { out: out.to_owned(), page, answer, spend, markdown, journal_sha256 })
}

/// An address that opens a source.
fn address(source: &str, folder: Option<&Path>) -> Option<String> {
    if source.starts_with("https://") || source.starts_with("http://") {
        return Some(source.to_owned());
    }
    if source.contains("://") {
        return None;
    }
    let path = fs::canonicalize(folder.unwrap_or(Path::new("")).join(source)).ok()?;
    let mut address = String::from("file://");
    for byte in path.to_str()?.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                address.push(char::from(byte))
            }
            _ => {
                let _ = write!(address, "%{byte:02X}");
            }
        }
    }
    Some(address)
}

fn page(answer: &Answer, outcome: &Outcome, settings: &Settings) -> String {
    let Outcome { spend, evidence, journal_sha256, .. } = outcome;
    let mut quotes: Vec<ResearchQuote<'_>> = Vec::new();
    let mut places: Vec<(u32, usize, usize)> = Vec::new();
    let mut claims = Vec::new();
    for claim in &answer.claims {
        let mut own = Vec::new();
        for quote in &claim.quotes {
            let key = (quote.evidence.0, quote.start, quote.end);
            let at = places.iter().position(|known| *known == key).unwrap_or_else(|| {
                places.push(key);
                quotes.push(marked(quote, evidence, settings));
                places.len() - 1
            });
            own.push(at);
        }
        claims.push(ResearchClaim {
            text: &claim.text,
            is_quote: answer.model.is_none(),
            unverified: claim.reason.as_deref().filter(|_| !claim.is_verified),
            calculations: claim
                .calculations
                .iter()
                .map(|(text, value)| format!("{text} = {value}"))
                .collect(),
            quotes: own,
        });
    }
    let mut facts = vec![("searches and fetches", spend.tool_calls.to_string())];
    if answer.model.is_some() {
        let about = if spend.is_estimated { "about " } else { "" };
        facts.push(("calls of the model", spend.model_calls.to_string()));
        facts.push(("tokens", format!("{about}{}", spend.tokens())));
    }
    let dropped = answer.dropped;
    facts.push(("seconds", format!("{:.1}", spend.ms as f64 / 1000.0)));
    facts.push(("ended because", answer.stopped.clone()));
    facts.push((
        "claims, citations, quotes not believed",
        format!("{}, {}, {}", dropped.claims, dropped.citations, dropped.quotes),
    ));
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    let provenance = vec![(
        "",
        vec![
            ("sources", shown(&settings.sources.as_ref().map(|path| path.display().to_string()))),
            ("databases", shown(&(!settings.databases.is_empty()).then(|| settings.databases.join(", ")))),
            ("model", shown(&settings.model)),
            ("endpoint", shown(&settings.endpoint)),
            ("encoder", shown(&settings.encoder)),
            ("search of the web", shown(&settings.web)),
            ("journal, SHA-256", journal_sha256.clone()),
        ],
    )];
    Page {
        question: &answer.question,
        status: "finished",
        notes: &answer.notes,
        claims,
        quotes,
        not_found: &answer.not_found,
        searches: &answer.searches,
        facts,
        provenance,
    }
    .to_html()
}

fn marked<'a>(
    quote: &'a gyrus_agents::research::Quote,
    evidence: &'a EvidenceStore,
    settings: &Settings,
) -> ResearchQuote<'a> {
    let found = evidence.get(quote.evidence);
    let passage = found.map_or(quote.text.as_str(), |found| found.draft.text.as_str());
    let first = found.map_or(quote.start, |found| found.draft.start);
    ResearchQuote {
        source: &quote.source,
        title: quote.title.as_deref(),
        place: &quote.place,
        address: address(&quote.source, settings.sources.as_deref()),
        passage,
        range: quote.start - first..quote.end - first,
    }
}
