//! An index on the disk, open for reading.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tantivy::collector::DocSetCollector;
use tantivy::directory::MmapDirectory;
use tantivy::query::TermQuery;
use tantivy::schema::{
    Field, INDEXED, IndexRecordOption, NumericOptions, STORED, Schema, TextFieldIndexing, TextOptions, Value,
};
use tantivy::{DocAddress, ReloadPolicy, Searcher, TantivyDocument, Term};

use super::manifest::Manifest;
use super::vectors::Vectors;
use super::words::Words;
use crate::{Error, Result};

/// Passages of a source, as a power of two.
const PASSAGES: u32 = 24;
/// The most passages of a source.
pub(super) const MOST_PASSAGES: usize = 1 << PASSAGES;
/// The folder of tantivy's files in an index.
pub(super) const TANTIVY: &str = "tantivy";

/// The key of a passage: its source, and its place there.
pub(super) fn key_of(source: u64, passage: usize) -> u64 {
    (source << PASSAGES) | passage as u64
}

/// The source of a key.
pub(super) fn source_of(key: u64) -> u64 {
    key >> PASSAGES
}

/// The fields of a passage in tantivy's index.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub(super) schema: Schema,
    pub(super) source: Field,
    pub(super) key: Field,
    pub(super) start: Field,
    pub(super) place: Field,
    pub(super) text: Field,
}

impl Fields {
    pub(super) fn new() -> Self {
        let mut schema = Schema::builder();
        let words = TextFieldIndexing::default()
            .set_tokenizer("words")
            .set_index_option(IndexRecordOption::WithFreqs)
            .set_fieldnorms(true);
        let source = schema.add_u64_field("source", INDEXED);
        let key = schema.add_u64_field("key", NumericOptions::default().set_fast());
        let start = schema.add_u64_field("start", STORED);
        let place = schema.add_u64_field("place", STORED);
        let text =
            schema.add_text_field("text", TextOptions::default().set_indexing_options(words).set_stored());
        Self { schema: schema.build(), source, key, start, place, text }
    }
}

/// A passage of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// The file, from the indexed folder.
    pub source: String,
    /// The title of the source.
    pub title: Option<String>,
    /// Where it is, such as `line 12` or `page 3`; may be empty.
    pub place: String,
    /// Its first byte in the text of the source.
    pub start: usize,
    /// The byte after its last one.
    pub end: usize,
    /// Its text.
    pub text: String,
}

/// An index, open for reading.
pub struct Index {
    pub(super) path: PathBuf,
    pub(super) searcher: Searcher,
    pub(super) fields: Fields,
    pub(super) manifest: Manifest,
    pub(super) names: HashMap<u64, String>,
    pub(super) vectors: Option<Vectors>,
    /// Where each passage is; only with vectors.
    pub(super) addresses: HashMap<u64, DocAddress>,
}

/// tantivy's index in this folder, with our words.
pub(super) fn open_tantivy(path: &Path, create: Option<&Fields>) -> Result<tantivy::Index> {
    let wrong =
        |error: tantivy::TantivyError| Error::Index { path: path.to_owned(), reason: error.to_string() };
    let folder = path.join(TANTIVY);
    let directory = MmapDirectory::open(&folder).map_err(|error| wrong(error.into()))?;
    let index = match create {
        Some(fields) => tantivy::Index::open_or_create(directory, fields.schema.clone()),
        None => tantivy::Index::open(directory),
    };
    let index = index.map_err(wrong)?;
    index.tokenizers().register("words", Words::default());
    Ok(index)
}

/// The manifest that belongs to the last commit; none if there was none.
pub(super) fn committed(path: &Path, index: &tantivy::Index) -> Result<Option<Manifest>> {
    let metas = index.load_metas();
    let metas = metas.map_err(|error| Error::Index { path: path.to_owned(), reason: error.to_string() })?;
    match metas.payload.and_then(|payload| payload.parse().ok()) {
        Some(generation) => Ok(Some(Manifest::read(path, generation)?)),
        None => Ok(None),
    }
}

impl Index {
    /// Whether a folder holds an index.
    #[must_use]
    pub fn exists(path: &Path) -> bool {
        path.join(TANTIVY).join("meta.json").is_file()
    }

    /// Opens the index in a folder.
    ///
    /// # Errors
    /// If there is none, or it is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let wrong = |reason: String| Error::Index { path: path.to_owned(), reason };
        if !Self::exists(path) {
            return Err(wrong("there is none; make it with gyrus index".to_owned()));
        }
        let index = open_tantivy(path, None)?;
        let manifest = committed(path, &index)?
            .ok_or_else(|| wrong("it is empty; index the folder again".to_owned()))?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into();
        let searcher = reader.map_err(|error: tantivy::TantivyError| wrong(error.to_string()))?.searcher();
        let fields = Fields::new();
        if index.schema() != fields.schema {
            return Err(wrong(
                "it belongs to another version; index the folder again with --rebuild".to_owned(),
            ));
        }
        let vectors = match &manifest.encoder {
            Some(_) => Some(Vectors::read(&Manifest::vectors(path, manifest.generation))?),
            None => None,
        };
        let names = manifest.sources.iter().map(|(name, source)| (source.id, name.clone())).collect();
        let mut addresses = HashMap::new();
        if vectors.is_some() {
            for (ordinal, segment) in (0u32..).zip(searcher.segment_readers()) {
                let keys = segment.fast_fields().u64("key").map_err(|error| wrong(error.to_string()))?;
                addresses.extend(
                    segment.doc_ids_alive().filter_map(|passage| {
                        Some((keys.first(passage)?, DocAddress::new(ordinal, passage)))
                    }),
                );
            }
        }
        Ok(Self { path: path.to_owned(), searcher, fields, manifest, names, vectors, addresses })
    }

    /// The sources that have a text, by name.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.manifest
            .sources
            .iter()
            .filter(|(_, source)| source.failed.is_none())
            .map(|(name, _)| name.as_str())
    }

    /// The number of passages.
    #[must_use]
    pub fn passages(&self) -> u64 {
        self.searcher.num_docs()
    }

    /// The encoder of its vectors.
    #[must_use]
    pub fn encoder(&self) -> Option<&str> {
        self.manifest.encoder.as_deref()
    }

    pub(super) fn wrong(&self, reason: impl ToString) -> Error {
        Error::Index { path: self.path.clone(), reason: reason.to_string() }
    }

    pub(super) fn passage(&self, key: u64, address: DocAddress) -> Result<Passage> {
        let document: TantivyDocument = self.searcher.doc(address).map_err(|error| self.wrong(error))?;
        let number = |field| document.get_first(field).and_then(|value| value.as_u64()).unwrap_or_default();
        let text = document.get_first(self.fields.text).and_then(|value| value.as_str()).unwrap_or_default();
        let name = self.names.get(&source_of(key)).cloned().unwrap_or_default();
        let source = self.manifest.sources.get(&name);
        let start = number(self.fields.start) as usize;
        let place = match (source.map(|source| source.kind), number(self.fields.place)) {
            (None | Some(super::sources::SourceKind::Html), _) => String::new(),
            (Some(super::sources::SourceKind::Pdf), page) => format!("page {page}"),
            (_, line) => format!("line {line}"),
        };
        let title = source.and_then(|source| source.title.clone());
        Ok(Passage { source: name, title, place, start, end: start + text.len(), text: text.to_owned() })
    }

    /// The passages of a source, in their order.
    ///
    /// # Errors
    /// If there is no such source, or the index cannot be read.
    pub fn passages_of(&self, source: &str) -> Result<Vec<Passage>> {
        let known = self.manifest.sources.get(source).filter(|source| source.failed.is_none());
        let id = known.ok_or_else(|| Error::Request(format!("there is no source {source}")))?.id;
        let query = TermQuery::new(Term::from_field_u64(self.fields.source, id), IndexRecordOption::Basic);
        let found = self.searcher.search(&query, &DocSetCollector).map_err(|error| self.wrong(error))?;
        let mut passages: Vec<Passage> =
            found.into_iter().map(|address| self.passage(key_of(id, 0), address)).collect::<Result<_>>()?;
        passages.sort_by_key(|passage| passage.start);
        Ok(passages)
    }

    /// The text of a source.
    ///
    /// # Errors
    /// As [`Self::passages_of`].
    pub fn text_of(&self, source: &str) -> Result<String> {
        Ok(self.passages_of(source)?.into_iter().map(|passage| passage.text).collect())
    }
}
