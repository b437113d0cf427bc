//! A read-only database and a cited search as tools for other assistants.

use std::io::{BufRead, Write};
#[cfg(feature = "documents")]
use std::path::PathBuf;

use gyrus_agents::mcp::{McpTool, McpTools, serve};
#[cfg(feature = "documents")]
use gyrus_agents::retrieval::{Index, SearchOptions, TextEncoder};
use serde_json::{Value, json};

use super::ask::{Ask, Session};
#[cfg(feature = "documents")]
use super::sources::{SourceEncoder, index_of};
use crate::{Error, Result};

/// The most passages of a search, and bytes of a source that are read at once.
#[cfg(feature = "documents")]
const MOST_PASSAGES: u64 = 50;
#[cfg(feature = "documents")]
const MOST_BYTES: usize = 40_000;

/// Serves tools over the Model Context Protocol until the input ends.
#[derive(Clone, Debug, Default)]
pub struct Mcp {
    /// The database, with its rules; none without one.
    pub database: Option<Ask>,
    /// An indexed folder of documents.
    #[cfg(feature = "documents")]
    pub sources: Option<PathBuf>,
    /// The sentence encoder that it was indexed with.
    #[cfg(feature = "documents")]
    pub encoder: Option<PathBuf>,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
}

struct Tools {
    database: Option<Session>,
    #[cfg(feature = "documents")]
    index: Option<Index>,
    #[cfg(feature = "documents")]
    encoder: Option<SourceEncoder>,
}

impl Mcp {
    /// Serves `input` and `output`.
    ///
    /// # Errors
    /// If the database or the index cannot be opened, or input or output fail.
    pub fn run(&self, input: &mut dyn BufRead, output: &mut dyn Write) -> Result<()> {
        #[cfg(feature = "documents")]
        let has_sources = self.sources.is_some();
        #[cfg(not(feature = "documents"))]
        let has_sources = false;
        if self.database.is_none() && !has_sources {
            return Err(Error::request("expected a database, an indexed folder, or both"));
        }
        let mut tools = Tools {
            database: self.database.as_ref().map(Ask::open).transpose()?,
            #[cfg(feature = "documents")]
            index: self.sources.as_ref().map(|folder| Index::open(&index_of(folder))).transpose()?,
            #[cfg(feature = "documents")]
            encoder: self.encoder.as_ref().map(|path| SourceEncoder::open(path, self.threads)).transpose()?,
        };
        serve(&mut tools, env!("CARGO_PKG_VERSION"), input, output).map_err(Error::failed)
    }
}

fn schema(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

impl McpTools for Tools {
    fn tools(&self) -> Vec<McpTool> {
        let mut tools = Vec::new();
        let text = |what: &str| json!({"type": "string", "description": what});
        #[cfg(feature = "documents")]
        if self.index.is_some() {
            tools.push(McpTool {
                name: "search",
                description: "Find passages of the documents. Each hit names its source, its place, and the bytes of its text, so \
                              that it can be cited and read again."
                    .to_owned(),
                schema: schema(
                    json!({
                        "query": text("what to find"),
                        "top": {"type": "integer", "minimum": 1, "maximum": MOST_PASSAGES, "default": 10},
                    }),
                    &["query"],
                ),
            });
            tools.push(McpTool {
                name: "read",
                description: "Read a source from the byte `start` on.".to_owned(),
                schema: schema(
                    json!({"source": text("a source that search named"), "start": {"type": "integer", "minimum": 0}}),
                    &["source"],
                ),
            });
        }
        if self.database.is_some() {
            tools.push(McpTool {
                name: "describe_database",
                description: "The tables of the database with their columns and references.".to_owned(),
                schema: schema(json!({}), &[]),
            });
            tools.push(McpTool {
                name: "query_database",
                description: "Run one SELECT. The database is read-only, rows and time are limited, and the query that ran is part \
                              of the answer."
                    .to_owned(),
                schema: schema(json!({"sql": text("one SELECT")}), &["sql"]),
            });
        }
        tools
    }

    fn call(&mut self, name: &str, arguments: &Value) -> std::result::Result<Value, String> {
        let text =
            |key: &str| arguments[key].as_str().ok_or_else(|| format!("{name} needs the text \"{key}\""));
        #[cfg(feature = "documents")]
        if let Some(index) = &self.index {
            match name {
                "search" => return self.search(index, text("query")?, arguments["top"].as_u64()),
                "read" => return read(index, text("source")?, arguments["start"].as_u64()),
                _ => {}
            }
        }
        let session = self.database.as_mut().ok_or_else(|| format!("there is no tool {name}"))?;
        match name {
            "describe_database" => serde_json::to_value(session.schema()).map_err(|error| error.to_string()),
            "query_database" => {
                let report = session.query(text("sql")?).map_err(|error| error.to_string())?;
                serde_json::to_value(&report.answer).map_err(|error| error.to_string())
            }
            _ => Err(format!("there is no tool {name}")),
        }
    }
}

#[cfg(feature = "documents")]
impl Tools {
    fn search(&self, index: &Index, query: &str, top: Option<u64>) -> std::result::Result<Value, String> {
        let top = top.unwrap_or(10).clamp(1, MOST_PASSAGES);
        let options = SearchOptions { top: top as usize, ..SearchOptions::default() };
        let encoder = self.encoder.as_ref().map(|encoder| encoder as &dyn TextEncoder);
        if query.trim().is_empty() {
            return Err("the query is empty".to_owned());
        }
        let hits = index.search(query, &options, encoder).map_err(|error| error.to_string())?;
        Ok(json!({"hits": hits}))
    }
}

#[cfg(feature = "documents")]
fn read(index: &Index, source: &str, start: Option<u64>) -> std::result::Result<Value, String> {
    let text = index.text_of(source).map_err(|error| error.to_string())?;
    let mut start = usize::try_from(start.unwrap_or(0)).unwrap_or(usize::MAX).min(text.len());
    let mut end = start.saturating_add(MOST_BYTES).min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let next = (end < text.len()).then_some(end);
    Ok(json!({"text": &text[start..end], "start": start, "end": end, "next": next}))
}
