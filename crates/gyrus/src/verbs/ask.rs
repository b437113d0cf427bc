//! Questions about a database.

use std::path::{Path, PathBuf};

use gyrus_agents::{Answer, Grammar, Question, Rules, Schema, Sqlite, Translation, Translator, answer};
use gyrus_language::{Cache, ChatTemplate, Message, Model, Request, Sampling, generate};
use gyrus_tensor::with_threads;
use serde::Serialize;

use super::model::open_model;
use super::serialized;
use crate::{Error, Result};

/// Most tokens of a query that a model writes.
const LONGEST_QUERY: usize = 400;

/// Asks a database questions. It is opened read-only, and each query passes a guard before it runs.
#[derive(Clone, Debug)]
pub struct Ask {
    /// A file of SQLite.
    pub database: PathBuf,
    /// A language model that writes the queries; without one a small grammar does, which knows the words of the schema.
    pub model: Option<PathBuf>,
    /// Most rows, seconds, and columns that must not be read.
    pub rules: Rules,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
}

/// An answer, and where it is from.
#[derive(Clone, Debug, Serialize)]
pub struct AskReport {
    /// The database.
    #[serde(serialize_with = "serialized::path")]
    pub database: PathBuf,
    /// The answer with its rows.
    #[serde(flatten)]
    pub answer: Answer,
    /// Who wrote the query: the model, or "grammar".
    pub translator: String,
}

impl Ask {
    /// Without a model, with the usual rules, on all cores.
    pub fn new(database: impl Into<PathBuf>) -> Self {
        Self { database: database.into(), model: None, rules: Rules::default(), threads: 0 }
    }

    /// With queries written by this language model.
    #[must_use]
    pub fn model(self, model: impl Into<PathBuf>) -> Self {
        Self { model: Some(model.into()), ..self }
    }

    /// Opens the database and the model.
    ///
    /// # Errors
    /// If either cannot be opened.
    pub fn open(&self) -> Result<Session> {
        let database = Sqlite::open(&self.database, self.rules.clone())?;
        let translator: Box<dyn Translator> = match &self.model {
            None => Box::new(Grammar::new(&database)),
            Some(path) => Box::new(Writer::open(path, database.schema(), self.threads)?),
        };
        let named = self.model.as_ref().map_or("grammar".to_owned(), |path| path.display().to_string());
        Ok(Session { path: self.database.clone(), database, translator, named })
    }
}

/// An open database with whoever writes its queries.
pub struct Session {
    path: PathBuf,
    database: Sqlite,
    translator: Box<dyn Translator>,
    named: String,
}

impl Session {
    /// Its tables.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        self.database.schema()
    }

    /// Answers a question.
    ///
    /// # Errors
    /// If no query is found for it, or none that may run.
    pub fn ask(&mut self, question: &str) -> Result<AskReport> {
        let Self { database, translator, .. } = self;
        let answer = answer(database, translator.as_mut(), question)?;
        Ok(AskReport { database: self.path.clone(), answer, translator: self.named.clone() })
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
        let answer = answer(&self.database, &mut Given(sql.to_owned()), sql)?;
        Ok(AskReport { database: self.path.clone(), answer, translator: "you".to_owned() })
    }
}

/// A language model that writes queries.
struct Writer {
    model: Model,
    schema: String,
    threads: usize,
}

impl Writer {
    fn open(path: &Path, schema: &Schema, threads: usize) -> Result<Self> {
        Ok(Self { model: open_model(path, None)?, schema: described(schema), threads })
    }

    fn task(&self, question: Question<'_>) -> String {
        let mut task = format!("{}\nQuestion: {}\n", self.schema, question.text);
        if let Some((sql, reason)) = question.failed {
            task += &format!("This query was wrong: {sql}\nBecause: {reason}\n");
        }
        task
    }

    /// A query from a model that follows instructions: as JSON, so that nothing but a query can come.
    fn instructed(&self, template: &ChatTemplate, task: &str) -> Result<Option<String>> {
        let message = format!(
            "Write one SQLite query that answers the question. Use only these tables and columns.\n\n{task}\
             Answer with JSON: {{\"sql\": \"...\"}}"
        );
        let schema = serde_json::json!({
            "type": "object",
            "properties": {"sql": {"type": "string"}},
            "required": ["sql"],
            "additionalProperties": false,
        });
        let prompt = template.render(&[Message::new("user", &message)], true)?;
        let tokens = self.model.tokenizer.encode(&prompt, false)?;
        let constraint = Some(self.model.constraints()?.json_schema(&schema)?);
        let text = self.written(&tokens, Request { constraint, ..Request::default() })?;
        let answer: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        Ok(answer.and_then(|answer| answer["sql"].as_str().map(str::to_owned)))
    }

    /// A query from a model that only continues texts: what follows `SELECT`, up to the end of the statement.
    fn continued(&self, task: &str) -> Result<Option<String>> {
        let prompt = format!("-- Tables of an SQLite database:\n{task}-- The query that answers it:\nSELECT");
        let tokens = self.model.tokenizer.encode(&prompt, true)?;
        let stop = [";", "\n\n", "--", "Question:"].map(str::to_owned).to_vec();
        let text = self.written(&tokens, Request { stop, ..Request::default() })?;
        Ok((!text.trim().is_empty()).then(|| format!("SELECT{text}")))
    }

    fn written(&self, tokens: &[u32], request: Request) -> Result<String> {
        let sampling = Sampling { temperature: 0.0, ..self.model.recommended };
        let request = Request { sampling, maximum_tokens: LONGEST_QUERY, ..request };
        let Model { decoder, tokenizer, .. } = &self.model;
        let mut cache = Cache::new(decoder.config());
        let written = with_threads(self.threads, || {
            generate(decoder, tokenizer, &mut cache, tokens, &request, |_| true)
        })??;
        Ok(written.text)
    }
}

impl Translator for Writer {
    fn translate(&mut self, question: Question<'_>) -> std::result::Result<Translation, String> {
        let task = self.task(question);
        let query = self.model.chat_template().map_err(Error::from).and_then(|template| match template {
            Some(template) => self.instructed(&template, &task),
            None => self.continued(&task),
        });
        match query.map_err(|error| error.to_string())? {
            Some(sql) if !sql.trim().is_empty() => Ok(Translation { sql, assumptions: Vec::new() }),
            _ => Err("the model wrote no query".to_owned()),
        }
    }
}

/// A schema as a model reads it.
fn described(schema: &Schema) -> String {
    let mut text = String::new();
    for table in &schema.tables {
        let columns = table.columns.iter().map(|column| {
            let reference = column.references.as_ref();
            let reference =
                reference.map_or(String::new(), |(table, column)| format!(" references {table}({column})"));
            format!("{} {}{reference}", column.name, column.kind)
        });
        text += &format!("{}({})\n", table.name, columns.collect::<Vec<_>>().join(", "));
    }
    text
}

impl Ask {
    /// Opens, answers one question, and closes.
    ///
    /// # Errors
    /// As [`Self::open`] and [`Session::ask`].
    pub fn run(&self, question: &str) -> Result<AskReport> {
        if question.trim().is_empty() {
            return Err(Error::request("the question is empty"));
        }
        self.open()?.ask(question)
    }
}
