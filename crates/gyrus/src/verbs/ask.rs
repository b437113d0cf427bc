//! Questions about a database.

mod evaluate;
mod page;
mod writer;

use std::path::{Path, PathBuf};

#[cfg(feature = "hub")]
use gyrus_agents::ask::Written;
use gyrus_agents::ask::{Turn, answer_with, brief};
#[cfg(feature = "hub")]
use gyrus_agents::model::Endpoint;
use gyrus_agents::{
    Answer, Database, Grammar, Privacy, Question, Rules, Schema, Semantics, Strategy, Translation,
    Translator, answer, open, shown_address,
};
use serde::Serialize;

pub use evaluate::{AskEvaluation, AskGain};
use writer::Writer;

use crate::{Error, Result};

/// The longest answer of an endpoint, in seconds.
#[cfg(feature = "hub")]
const ENDPOINT_SECONDS: f64 = 600.0;
/// Most bytes that a model at an endpoint is told of a database.
#[cfg(feature = "hub")]
const MOST_TOLD_BYTES: usize = 48 << 10;
/// Bytes of a prompt that every endpoint takes; before more it is asked whether it remembers so many.
#[cfg(feature = "hub")]
const PROBED_BYTES: usize = 6000;
/// Bytes of a token of names and types.
#[cfg(feature = "hub")]
const BYTES_PER_TOKEN: usize = 3;
/// Turns of a conversation that a question goes on from.
const REMEMBERED: usize = 6;

/// Asks a database questions. It is opened read-only, and each query passes a guard before it runs.
#[derive(Clone, Debug)]
pub struct Ask {
    /// `postgres://...`, `mysql://...`, a file of SQLite, a CSV or Parquet file, or a folder of them.
    pub database: PathBuf,
    /// A language model that writes the queries; without one a small grammar does, which knows the words of the schema.
    pub model: Option<PathBuf>,
    /// An OpenAI-compatible endpoint, such as `http://127.0.0.1:8080/v1`, whose model is named by `model`.
    pub endpoint: Option<String>,
    /// The key of the endpoint; kept nowhere.
    pub key: Option<String>,
    /// The semantic file; none for `semantic.toml` beside the database, if it is there.
    pub semantic: Option<PathBuf>,
    /// What a model may see; none for what the semantic file says.
    pub privacy: Option<Privacy>,
    /// Repairs, votes, a second look.
    pub strategy: Strategy,
    /// Most rows, seconds, and columns that must not be read.
    pub rules: Rules,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
}

/// An answer, and where it is from.
#[derive(Clone, Debug, Serialize)]
pub struct AskReport {
    /// The database, without a password.
    pub database: String,
    /// The answer with its rows.
    #[serde(flatten)]
    pub answer: Answer,
    /// Who wrote the query: the model, "grammar" or "you".
    pub translator: String,
    /// The page with it, if one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
}

impl Ask {
    /// Without a model, with the usual rules, on all cores.
    pub fn new(database: impl Into<PathBuf>) -> Self {
        Self {
            database: database.into(),
            model: None,
            endpoint: None,
            key: None,
            semantic: None,
            privacy: None,
            strategy: Strategy::default(),
            rules: Rules::default(),
            threads: 0,
        }
    }

    /// With queries written by this language model.
    #[must_use]
    pub fn model(self, model: impl Into<PathBuf>) -> Self {
        Self { model: Some(model.into()), ..self }
    }

    /// Opens the database and reads its semantic file. Models are opened on the first question.
    ///
    /// # Errors
    /// If either cannot be read, or the file names something that the database does not have.
    pub fn open(&self) -> Result<Session> {
        if self.endpoint.is_some() && self.model.is_none() {
            return Err(Error::request("an endpoint needs the name of its model"));
        }
        let mut database = open(&self.database, self.rules.clone())?;
        let address = self.database.to_string_lossy();
        let file = self.semantic.clone().or_else(|| beside(&self.database));
        let mut notes = database.notes().to_vec();
        let semantics = match file {
            Some(file) => {
                let own = Semantics::read(&file)?;
                if self.semantic.is_none() && !own.is_about(&address) {
                    notes.push(format!("{} is about another database and was not read", file.display()));
                    Semantics::default()
                } else {
                    own.apply(database.as_mut())
                        .map_err(|reason| gyrus_agents::Error::File { path: file.clone(), reason })?;
                    own
                }
            }
            None => Semantics::default(),
        };
        let semantics = Semantics { privacy: self.privacy.unwrap_or(semantics.privacy), ..semantics };
        let named = self.model.as_ref().map_or("grammar".to_owned(), |path| path.display().to_string());
        Ok(Session {
            address: shown_address(&address),
            strategy: Strategy { sees_values: semantics.privacy == Privacy::Full, ..self.strategy },
            model: self.model.clone(),
            endpoint: self.endpoint.clone(),
            key: self.key.clone(),
            threads: self.threads,
            database,
            semantics,
            asker: None,
            named,
            history: Vec::new(),
            notes,
        })
    }

    /// Opens, answers one question, and closes.
    ///
    /// # Errors
    /// As [`Self::open`] and [`Session::ask`].
    pub fn run(&self, question: &str) -> Result<AskReport> {
        self.open()?.ask(question)
    }
}

/// The semantic file beside a database: in its folder, or in the folder that it is.
fn beside(database: &Path) -> Option<PathBuf> {
    let folder = match database.is_dir() {
        true => database.to_owned(),
        false => database.is_file().then(|| database.parent().map(Path::to_owned))??,
    };
    Some(folder.join("semantic.toml")).filter(|file| file.is_file())
}

/// Whether a semantic file lies beside a database.
#[cfg(feature = "documents")]
pub(super) fn has_semantic_file(database: &Path) -> bool {
    beside(database).is_some()
}

/// Whoever writes the queries.
enum Asker {
    Grammar(Grammar),
    Writer(Box<Writer>),
    /// A model at an endpoint, and most bytes that it is told.
    #[cfg(feature = "hub")]
    Endpoint(Box<Written<Endpoint>>, usize),
}

/// An open database with whoever writes its queries.
pub struct Session {
    address: String,
    database: Box<dyn Database>,
    semantics: Semantics,
    strategy: Strategy,
    model: Option<PathBuf>,
    endpoint: Option<String>,
    key: Option<String>,
    threads: usize,
    asker: Option<Asker>,
    named: String,
    history: Vec<Turn>,
    notes: Vec<String>,
}

impl Session {
    /// Its tables.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        self.database.schema()
    }

    /// What a person should know about how the database was read, one sentence each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The first draft of a semantic file, as TOML.
    #[must_use]
    pub fn draft(&self) -> String {
        let name = Path::new(&self.address).file_name().map(|name| name.to_string_lossy().into_owned());
        let is_server = self.address.contains("://");
        let database = if is_server { None } else { name };
        Semantics { database, ..Semantics::draft(self.database.as_ref()) }.to_toml()
    }

    /// Forgets the conversation.
    pub fn clear(&mut self) {
        self.history.clear();
    }

    /// Answers a question, which may go on from the one before: "and for 2011?".
    ///
    /// # Errors
    /// If no query is found for it, or none that may run.
    pub fn ask(&mut self, question: &str) -> Result<AskReport> {
        if question.trim().is_empty() {
            return Err(Error::request("the question is empty"));
        }
        let notes = self.prepare(question)?;
        let Self { database, asker, history, strategy, .. } = self;
        let translator: &mut dyn Translator = match asker {
            Some(Asker::Grammar(grammar)) => grammar,
            Some(Asker::Writer(writer)) => writer.as_mut(),
            #[cfg(feature = "hub")]
            Some(Asker::Endpoint(written, _)) => written.as_mut(),
            None => return Err(Error::Failed("no translator is open".to_owned())),
        };
        let mut answer = answer_with(database.as_ref(), translator, question, history, *strategy)?;
        answer.assumptions.extend(notes);
        self.history.push(Turn { question: question.to_owned(), sql: answer.rows.sql.clone() });
        let forgotten = self.history.len().saturating_sub(REMEMBERED);
        self.history.drain(..forgotten);
        Ok(AskReport { database: self.address.clone(), answer, translator: self.named.clone(), page: None })
    }

    /// Opens the translator, and tells a model of the database; what it was not told.
    fn prepare(&mut self, question: &str) -> Result<Vec<String>> {
        if self.asker.is_none() {
            self.asker = Some(self.asker()?);
        }
        let told = |most_bytes| brief(self.database.as_ref(), &self.semantics, question, most_bytes);
        match &mut self.asker {
            Some(Asker::Writer(writer)) => {
                let told = told(writer.most_bytes());
                writer.tell(told.text);
                Ok(told.notes)
            }
            #[cfg(feature = "hub")]
            Some(Asker::Endpoint(written, most_bytes)) => {
                let mut told = told(*most_bytes);
                // Some endpoints cut long requests without a word, and answer about tables that they never saw.
                if told.text.len() > PROBED_BYTES && *most_bytes > PROBED_BYTES {
                    let tokens = (told.text.len() / BYTES_PER_TOKEN) as u64;
                    let remembers = written.model().remembers(tokens);
                    if remembers.map_err(|error| Error::Failed(error.to_string()))? {
                        *most_bytes = told.text.len();
                    } else {
                        *most_bytes = PROBED_BYTES;
                        told = brief(self.database.as_ref(), &self.semantics, question, PROBED_BYTES);
                        told.notes.push(format!("the endpoint forgets the beginning of {tokens} tokens"));
                    }
                }
                written.tell(told.text);
                Ok(told.notes)
            }
            Some(Asker::Grammar(_)) | None => Ok(Vec::new()),
        }
    }

    /// The address without a password, the database, and the words for its grammar.
    #[cfg(feature = "documents")]
    pub(super) fn into_parts(self) -> (String, Box<dyn Database>, Semantics) {
        let words = self.words();
        (self.address, self.database, words)
    }

    /// Without a semantic file, a draft of it: its words, not its private columns.
    fn words(&self) -> Semantics {
        let privacy = self.semantics.privacy;
        if self.semantics == (Semantics { privacy, ..Semantics::default() }) {
            return Semantics { privacy, ..Semantics::draft(self.database.as_ref()) };
        }
        self.semantics.clone()
    }

    fn asker(&self) -> Result<Asker> {
        match (&self.endpoint, &self.model) {
            #[cfg(feature = "hub")]
            (Some(endpoint), Some(model)) => {
                let name = model.to_string_lossy();
                let opened = Endpoint::new(endpoint, &name, self.key.clone(), ENDPOINT_SECONDS);
                Ok(Asker::Endpoint(Box::new(Written::new(opened)), MOST_TOLD_BYTES))
            }
            (Some(endpoint), _) => Err(Error::Request(format!(
                "{endpoint}: this program was built without the feature hub, and so without a network"
            ))),
            (None, Some(path)) => Ok(Asker::Writer(Box::new(Writer::open(path, self.threads)?))),
            (None, None) => {
                let grammar = Grammar::with(self.database.as_ref(), &self.words()).map_err(Error::Request)?;
                Ok(Asker::Grammar(grammar))
            }
        }
    }

    /// Runs a query of the person's own, by the same rules.
    ///
    /// # Errors
    /// If it may not run.
    pub fn query(&mut self, sql: &str) -> Result<AskReport> {
        struct Given(String);
        impl Translator for Given {
            fn translate(&mut self, _: Question<'_>) -> std::result::Result<Translation, String> {
                Ok(Translation { sql: self.0.clone(), assumptions: Vec::new() })
            }
        }
        let answer = answer(self.database.as_ref(), &mut Given(sql.to_owned()), sql)?;
        Ok(AskReport { database: self.address.clone(), answer, translator: "you".to_owned(), page: None })
    }
}

impl AskReport {
    /// The page of the answer, as HTML.
    #[must_use]
    pub fn to_html(&self) -> String {
        page::page(self)
    }
}
