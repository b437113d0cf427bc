//! Blueprints as TOML.
//!
//! ```toml
//! name = "small"
//! edges = [["input", "dense"], ["dense", "output"]]   # optional: without it each node feeds the next
//!
//! [[node]]
//! name = "input"
//! kind = "Input"
//! shape = [64]
//!
//! [[node]]
//! name = "dense"
//! kind = "Affine"
//! out_features = 10
//!
//! [[node]]
//! name = "output"
//! kind = "Output"
//! ```
//!
//! Reading a written blueprint gives an equal one. Files longer than [`MAX_FILE_BYTES`] or with more than
//! [`MAX_NODES`](crate::MAX_NODES) nodes are refused before they are parsed; errors name the line, column and node.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::{Blueprint, Error, Node, NodeKind, Result};

type IntoBareName<'a> = StrDeserializer<'a, serde::de::value::Error>;

/// The largest blueprint file to read or write: 4 MiB.
pub const MAX_FILE_BYTES: u64 = 4 << 20;

impl Blueprint {
    /// Reads a blueprint from a TOML file. Errors name the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let unreadable = |source| Error::Read { path: path.to_owned(), source };
        let in_file = |source| Error::InFile { path: path.to_owned(), source: Box::new(source) };
        let file = File::open(path).map_err(unreadable)?;
        let announced = file.metadata().map_err(unreadable)?.len();
        check_length(announced).map_err(in_file)?;
        let mut text = String::new();
        // The limit also holds for files without a known length, such as pipes.
        file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
        Self::from_toml(&text).map_err(in_file)
    }

    /// Reads a blueprint from TOML and checks it.
    pub fn from_toml(text: &str) -> Result<Self> {
        check_length(text.len() as u64)?;
        let document = DeTable::parse(text).map_err(|error| described(text, None, &error))?.into_inner();
        let mut name = None;
        let mut edges: Option<Vec<Spanned<Vec<String>>>> = None;
        let mut nodes = None;
        for (key, value) in document {
            match key.get_ref().as_ref() {
                "name" => name = Some(read(text, None, value)?),
                "edges" => edges = Some(read(text, None, value)?),
                "node" => nodes = Some(read_nodes(text, value)?),
                other => {
                    let message = format!("unknown key `{other}`; expected `name`, `edges` or `[[node]]`");
                    return Err(at(text, key.span(), None, message));
                }
            }
        }
        let name: String = name.ok_or_else(|| at(text, 0..0, None, "`name` is missing".to_owned()))?;
        let (nodes, node_spans) = nodes.unwrap_or_default();
        let mut edge_names = Vec::new();
        let mut edge_spans = Vec::new();
        for edge in edges.iter().flatten() {
            let [from, to] = edge.get_ref().as_slice() else {
                let message =
                    format!("an edge is an array of 2 names, [from, to]; got {}", edge.get_ref().len());
                return Err(at(text, edge.span(), None, message));
            };
            edge_names.push((from.clone(), to.clone()));
            edge_spans.push(edge.span());
        }
        let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
        let indices = match edges {
            Some(_) => crate::builder::resolve(&nodes, &edge_names),
            None => Ok(chain(nodes.len())),
        };
        indices.and_then(|edges| Self::new(name, nodes, edges)).map_err(|error| {
            let node = error.node().and_then(|node| names.iter().rposition(|name| name == node));
            let edge = match &error {
                Error::UnknownEdgeEnd { from, to, .. } | Error::DuplicateEdge { from, to } => {
                    edge_names.iter().rposition(|(source, target)| source == from && target == to)
                }
                _ => None,
            };
            let span = node.map(|node| &node_spans[node]).or(edge.map(|edge| &edge_spans[edge]));
            match span {
                None => error,
                Some(span) => {
                    let (line, column) = line_and_column(text, span.start);
                    Error::At { line, column, source: Box::new(error) }
                }
            }
        })
    }

    /// Writes the blueprint as TOML.
    pub fn to_toml(&self) -> Result<String> {
        let mut text = format!("name = {}\n", quoted(&self.name));
        if self.edges() != chain(self.nodes().len()) {
            text.push_str("edges = [\n");
            for &(from, to) in self.edges() {
                let [from, to] = [from, to].map(|node| quoted(&self.nodes()[node].name));
                text.push_str(&format!("    [{from}, {to}],\n"));
            }
            text.push_str("]\n");
        }
        for node in self.nodes() {
            let kind = toml::Value::try_from(&node.kind).map_err(|source| Error::Write { source })?;
            let mut table = toml::Table::new();
            table.insert("name".to_owned(), node.name.clone().into());
            table.insert("kind".to_owned(), node.kind.name().into());
            // A kind with fields serializes to a table with one entry named after the kind; a kind without fields, to its name.
            if let toml::Value::Table(tagged) = kind {
                for (_, fields) in tagged {
                    if let toml::Value::Table(fields) = fields {
                        table.extend(fields);
                    }
                }
            }
            let written = toml::to_string(&table).map_err(|source| Error::Write { source })?;
            text.push_str("\n[[node]]\n");
            text.push_str(&written);
        }
        check_length(text.len() as u64)?;
        Ok(text)
    }
}

/// The edges of a blueprint whose nodes each feed the next.
fn chain(nodes: usize) -> Vec<(usize, usize)> {
    (1..nodes).map(|node| (node - 1, node)).collect()
}

fn check_length(bytes: u64) -> Result<()> {
    if bytes > MAX_FILE_BYTES {
        return Err(Error::FileTooLarge { bytes, limit: MAX_FILE_BYTES });
    }
    Ok(())
}

/// A TOML string, escaped.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// The nodes of `[[node]]`, each with its position in the file.
fn read_nodes(text: &str, value: Spanned<DeValue<'_>>) -> Result<(Vec<Node>, Vec<Range<usize>>)> {
    let span = value.span();
    let DeValue::Array(tables) = value.into_inner() else {
        return Err(at(text, span, None, "`node` must be written as [[node]] tables".to_owned()));
    };
    crate::blueprint::check_counts(tables.len(), 0)?;
    let mut nodes = Vec::with_capacity(tables.len());
    let mut spans = Vec::with_capacity(tables.len());
    for table in tables {
        spans.push(table.span());
        nodes.push(read_node(text, table)?);
    }
    Ok((nodes, spans))
}

fn read_node(text: &str, value: Spanned<DeValue<'_>>) -> Result<Node> {
    let span = value.span();
    let DeValue::Table(table) = value.into_inner() else {
        return Err(at(text, span, None, "a node must be a table".to_owned()));
    };
    let mut name = None;
    let mut kind = None;
    let mut fields = DeTable::new();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "name" => name = Some(read::<String>(text, None, value)?),
            "kind" => kind = Some(value),
            _ => {
                fields.insert(key, value);
            }
        }
    }
    let Some(name) = name else {
        return Err(at(text, span, None, "this node has no `name`".to_owned()));
    };
    let Some(kind) = kind else {
        return Err(at(text, span, Some(name), "the node has no `kind`".to_owned()));
    };
    let kind_span = kind.span();
    let kind: String = read(text, Some(&name), kind)?;
    // A pool's stride defaults to its kernel, as in PyTorch; a serde default cannot see another field.
    if kind.ends_with("Pool2d")
        && !fields.contains_key("stride")
        && let Some(kernel) = fields.get("kernel").cloned()
    {
        fields.insert(Spanned::new(kind_span.clone(), "stride".into()), kernel);
    }
    // To serde, a kind without fields is a bare name, so it could not report which field is unknown.
    let bare: IntoBareName<'_> = kind.as_str().into_deserializer();
    if let (Some((key, _)), Ok(_)) = (fields.iter().next(), NodeKind::deserialize(bare)) {
        let message = format!("`{kind}` has no field `{}`", key.get_ref());
        return Err(at(text, key.span(), Some(name), message));
    }
    let mut tagged = DeTable::new();
    tagged.insert(Spanned::new(kind_span, kind.into()), Spanned::new(span.clone(), DeValue::Table(fields)));
    let kind = read(text, Some(&name), Spanned::new(span, DeValue::Table(tagged)))?;
    Ok(Node { name, kind })
}

/// Reads one value; errors carry its position.
fn read<'de, T: Deserialize<'de>>(text: &str, node: Option<&str>, value: Spanned<DeValue<'de>>) -> Result<T> {
    T::deserialize(ValueDeserializer::from(value)).map_err(|error| described(text, node, &error))
}

/// An error from serde, in the terms of a blueprint instead of Rust's.
fn described(text: &str, node: Option<&str>, error: &toml::de::Error) -> Error {
    let message = error
        .message()
        .replace("unknown variant", "unknown kind")
        .replace("expected usize", "expected a whole number, at least 0")
        .replace("expected f64", "expected a number");
    at(text, error.span().unwrap_or(0..0), node.map(str::to_owned), message)
}

fn at(text: &str, span: Range<usize>, node: Option<String>, message: String) -> Error {
    let (line, column) = line_and_column(text, span.start);
    Error::Toml { line, column, node, message }
}

/// Both count from 1; the column counts characters.
fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
