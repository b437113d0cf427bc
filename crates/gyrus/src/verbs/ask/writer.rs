//! A language model of our own engine that writes queries.

use std::path::Path;

use gyrus_agents::ask::dialect_name;
use gyrus_agents::{Question, Translation, Translator};
use gyrus_language::{Cache, ChatTemplate, Message, Model, Request, Sampling, generate};
use gyrus_tensor::with_threads;

use super::super::model::open_model;
use crate::{Error, Result};

/// Most tokens of a query that a model writes.
const LONGEST_QUERY: usize = 400;
/// Tokens of a prompt that are not the database: the task, the question, the conversation.
const OTHER_TOKENS: usize = 600;
/// Bytes of a token of names and types, as few as vocabularies have.
const BYTES_PER_TOKEN: usize = 2;
/// Most bytes that a model is told of a database: reading more takes minutes.
const MOST_BYTES: usize = 24 << 10;
/// How bold the proposals after the first are.
const TEMPERATURE: f32 = 0.7;

/// A language model that writes queries.
pub(super) struct Writer {
    model: Model,
    brief: String,
    threads: usize,
}

impl Writer {
    pub(super) fn open(path: &Path, threads: usize) -> Result<Self> {
        Ok(Self { model: open_model(path, None)?, brief: String::new(), threads })
    }

    /// Most bytes of what it is told.
    pub(super) fn most_bytes(&self) -> usize {
        let context = self.model.decoder.config().maximum_positions;
        (context.saturating_sub(OTHER_TOKENS + LONGEST_QUERY) * BYTES_PER_TOKEN).clamp(512, MOST_BYTES)
    }

    /// Tells it of the database.
    pub(super) fn tell(&mut self, brief: String) {
        self.brief = brief;
    }

    fn task(&self, question: Question<'_>) -> String {
        let mut task = format!("{}\n", self.brief);
        for turn in question.history {
            task += &format!("Question: {}\nQuery: {}\n", turn.question, turn.sql);
        }
        task += &format!("Question: {}\n", question.text);
        if let Some((sql, reason)) = question.failed {
            task += &format!("Your query was: {sql}\nAbout it: {reason}\n");
        }
        task
    }

    /// A query from a model that follows instructions: as JSON, so that nothing but a query can come.
    fn instructed(
        &self,
        template: &ChatTemplate,
        task: &str,
        question: Question<'_>,
    ) -> Result<Option<String>> {
        let message = format!(
            "Write one {} query that answers the question. Use only these tables and columns.\n\n{task}\
             Answer with JSON: {{\"sql\": \"...\"}}",
            dialect_name(question.dialect)
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
        let text = self.written(&tokens, Request { constraint, ..Request::default() }, question.attempt)?;
        let answer: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        Ok(answer.and_then(|answer| answer["sql"].as_str().map(str::to_owned)))
    }

    /// A query from a model that only continues texts: what follows `SELECT`, up to the end of the statement.
    fn continued(&self, task: &str, question: Question<'_>) -> Result<Option<String>> {
        let kind = dialect_name(question.dialect);
        let prompt = format!("-- Tables of a {kind} database:\n{task}-- The query that answers it:\nSELECT");
        let tokens = self.model.tokenizer.encode(&prompt, true)?;
        let stop = [";", "\n\n", "--", "Question:"].map(str::to_owned).to_vec();
        let text = self.written(&tokens, Request { stop, ..Request::default() }, question.attempt)?;
        Ok((!text.trim().is_empty()).then(|| format!("SELECT{text}")))
    }

    fn written(&self, tokens: &[u32], request: Request, attempt: usize) -> Result<String> {
        let temperature = if attempt == 0 { 0.0 } else { TEMPERATURE };
        let sampling = Sampling { temperature, seed: attempt as u64, ..self.model.recommended };
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
            Some(template) => self.instructed(&template, &task, question),
            None => self.continued(&task, question),
        });
        match query.map_err(|error| error.to_string())? {
            Some(sql) if !sql.trim().is_empty() => Ok(Translation { sql, assumptions: Vec::new() }),
            _ => Err("the model wrote no query".to_owned()),
        }
    }
}
