//! Folders of documents: indexing them, and finding passages in them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use gyrus_agents::retrieval::sources::PdfReader;
use gyrus_agents::retrieval::{Hit, Index, IndexReport, SearchOptions, TextEncoder, Updater};
use gyrus_language::SentenceEncoder;
use gyrus_tensor::with_threads;
use serde::Serialize;

use super::serialized;
use crate::observer::{Observer, Stage};
use crate::{Error, Result};

/// Brings the index of a folder of documents up to date.
///
/// Sources are Markdown, text, HTML, PDF and CSV. The index lies in the folder, in `.gyrus-index`, unless `out` says otherwise.
#[derive(Clone, Debug)]
pub struct IndexFolder {
    /// The folder with the documents.
    pub folder: PathBuf,
    /// The folder of the index.
    pub out: Option<PathBuf>,
    /// A sentence encoder, for a search by meaning as well.
    pub model: Option<PathBuf>,
    /// Bytes of a passage, about.
    pub passage_bytes: usize,
    /// Builds the index anew.
    pub rebuild: bool,
    /// A program, with its arguments, that reads a PDF document on standard input as
    /// [`extract_pdf`](gyrus_agents::retrieval::sources::extract_pdf) does; without one PDF documents are skipped.
    pub pdf_program: Vec<OsString>,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
}

/// What was indexed.
#[derive(Clone, Debug, Serialize)]
pub struct IndexFolderReport {
    /// The folder.
    #[serde(serialize_with = "serialized::path")]
    pub folder: PathBuf,
    /// The index.
    #[serde(serialize_with = "serialized::path")]
    pub out: PathBuf,
    /// What was done.
    #[serde(flatten)]
    pub report: IndexReport,
}

/// Finds passages in an indexed folder.
#[derive(Clone, Debug)]
pub struct Search {
    /// The folder with the documents, or the folder of their index.
    pub folder: PathBuf,
    /// The sentence encoder that the folder was indexed with, for a search by meaning as well.
    pub model: Option<PathBuf>,
    /// How many passages, and how many of one source.
    pub options: SearchOptions,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct SearchReport {
    /// The query.
    pub query: String,
    /// The passages, the best first.
    pub hits: Vec<Hit>,
    /// Words of the query that no passage holds.
    pub unknown_words: Vec<String>,
    /// How long the search took.
    pub seconds: f64,
}

/// An open index.
pub struct SearchSession {
    index: Index,
    encoder: Option<SourceEncoder>,
    options: SearchOptions,
}

/// A sentence encoder as the index uses it.
pub(crate) struct SourceEncoder {
    name: String,
    encoder: SentenceEncoder,
    threads: usize,
}

impl SourceEncoder {
    pub(crate) fn open(model: &Path, threads: usize) -> Result<Self> {
        let encoder = SentenceEncoder::open(&super::resolve_model(model)?)?;
        // One folder has one name, however it is written.
        let path = std::fs::canonicalize(model).unwrap_or_else(|_| model.to_owned());
        Ok(Self { name: path.display().to_string(), encoder, threads })
    }
}

impl TextEncoder for SourceEncoder {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn width(&self) -> usize {
        self.encoder.width()
    }

    fn embed(&self, texts: &[&str]) -> std::result::Result<Vec<f32>, String> {
        let vectors =
            with_threads(self.threads, || self.encoder.embed(texts)).map_err(|error| error.to_string())?;
        vectors.map_err(|error| error.to_string())
    }
}

/// The folder of the index of a folder: inside it, or the folder itself.
pub(crate) fn index_of(folder: &Path) -> PathBuf {
    if Index::exists(folder) { folder.to_owned() } else { folder.join(Updater::INSIDE) }
}

impl IndexFolder {
    /// With the index inside the folder, without vectors, on all cores.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            out: None,
            model: None,
            passage_bytes: Updater::PASSAGE_BYTES,
            rebuild: false,
            pdf_program: Vec::new(),
            threads: 0,
        }
    }

    /// Indexes what is new or changed, and forgets what is gone. The observer may stop it; the index is then as it was.
    ///
    /// # Errors
    /// If the folder, the encoder or the index cannot be used.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<IndexFolderReport> {
        if !self.folder.is_dir() {
            return Err(Error::Request(format!("{} is not a folder", self.folder.display())));
        }
        let encoder =
            self.model.as_ref().map(|model| SourceEncoder::open(model, self.threads)).transpose()?;
        let out = self.out.clone().unwrap_or_else(|| self.folder.join(Updater::INSIDE));
        let updater = Updater {
            index: out.clone(),
            passage_bytes: self.passage_bytes,
            rebuild: self.rebuild,
            threads: self.threads,
            pdf: PdfReader { program: self.pdf_program.clone(), ..PdfReader::default() },
            encoder: encoder.as_ref().map(|encoder| encoder as &dyn TextEncoder),
            ..Updater::new(&self.folder)
        };
        let report = updater.run(&mut |done, total| {
            observer.stage(&Stage { name: "indexing files", done: done as u64, total: total as u64 });
            !observer.wants_to_stop()
        })?;
        Ok(IndexFolderReport { folder: self.folder.clone(), out, report })
    }
}

impl Search {
    /// By words, ten passages.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), model: None, options: SearchOptions::default(), threads: 0 }
    }

    /// Opens the index and the encoder.
    ///
    /// # Errors
    /// If one of them cannot be opened.
    pub fn open(&self) -> Result<SearchSession> {
        let path = index_of(&self.folder);
        if !Index::exists(&path) {
            return Err(Error::Request(format!(
                "{} is not indexed; index it with: gyrus index {}",
                self.folder.display(),
                super::quoted(&self.folder)
            )));
        }
        let index = Index::open(&path)?;
        let encoder =
            self.model.as_ref().map(|model| SourceEncoder::open(model, self.threads)).transpose()?;
        Ok(SearchSession { index, encoder, options: self.options.clone() })
    }

    /// Opens the index and searches once.
    ///
    /// # Errors
    /// As [`Self::open`] and [`SearchSession::search`].
    pub fn run(&self, query: &str) -> Result<SearchReport> {
        self.open()?.search(query)
    }
}

impl SearchSession {
    /// The best passages for a query.
    ///
    /// # Errors
    /// If the query is empty, or the index cannot be read.
    pub fn search(&self, query: &str) -> Result<SearchReport> {
        if query.trim().is_empty() {
            return Err(Error::request("the query is empty"));
        }
        let start = Instant::now();
        let encoder = self.encoder.as_ref().map(|encoder| encoder as &dyn TextEncoder);
        let hits = self.index.search(query, &self.options, encoder)?;
        let unknown_words = self.index.unknown_words(query)?;
        Ok(SearchReport {
            query: query.to_owned(),
            hits,
            unknown_words,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}
