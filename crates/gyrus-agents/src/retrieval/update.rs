//! Bringing an index up to date with its folder: what is new or changed is read, what is gone is removed, the rest stays.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use gyrus_files::{hexadecimal, read_bounded};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tantivy::indexer::IndexWriterOptions;
use tantivy::{IndexWriter, TantivyDocument, Term};

use super::TextEncoder;
use super::index::{Fields, Index, MOST_PASSAGES, TANTIVY, committed, key_of, open_tantivy};
use super::manifest::{Manifest, Source};
use super::passages::passages;
use super::sources::{Found, MOST_BYTES, PdfReader, SourceKind, SourceText, read_source, walk};
use super::vectors::Vectors;
use crate::{Error, Result};

/// Texts that are embedded together.
const TOGETHER: usize = 512;
/// Memory of a thread that writes the index, in bytes.
const WRITER_BYTES: usize = 100 << 20;
/// A file that was changed so shortly before the last indexing may have changed again within the same tick of its clock.
const UNCERTAIN_NS: u64 = 2_000_000_000;

/// How an index is brought up to date.
pub struct Updater<'a> {
    /// The folder with the sources.
    pub folder: PathBuf,
    /// The folder of the index.
    pub index: PathBuf,
    /// Bytes of a passage, about. A change builds the index anew.
    pub passage_bytes: usize,
    /// Worker threads; 0 for one per core.
    pub threads: usize,
    /// Forgets the index that is there.
    pub rebuild: bool,
    /// Reads PDF documents.
    pub pdf: PdfReader,
    /// Makes vectors; without one the index has none.
    pub encoder: Option<&'a dyn TextEncoder>,
}

/// A file that is no source of the index, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The file, from the folder.
    pub source: String,
    /// Why.
    pub reason: String,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct IndexReport {
    /// Sources in the index.
    pub sources: usize,
    /// Passages in the index.
    pub passages: u64,
    /// Bytes of their text.
    pub text_bytes: u64,
    /// Files that are new.
    pub added: usize,
    /// Files whose content changed.
    pub changed: usize,
    /// Files that are gone.
    pub removed: usize,
    /// Files that are as they were.
    pub unchanged: usize,
    /// Files that cannot be used.
    pub skipped: Vec<Skipped>,
    /// The encoder of the vectors.
    pub encoder: Option<String>,
    /// How long it took.
    pub seconds: f64,
}

/// What became of a file.
enum Outcome {
    Same,
    Read(Box<Source>),
}

impl Updater<'_> {
    /// Bytes of a passage: about 250 words.
    pub const PASSAGE_BYTES: usize = 1500;
    /// The folder of an index in the folder of its sources.
    pub const INSIDE: &'static str = ".gyrus-index";

    /// With the index in the folder itself, on all cores, without vectors.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self {
            index: folder.join(Self::INSIDE),
            folder,
            passage_bytes: Self::PASSAGE_BYTES,
            threads: 0,
            rebuild: false,
            pdf: PdfReader::default(),
            encoder: None,
        }
    }

    /// Brings the index up to date. `progress` sees how many of how many files are done and returns whether to go on; an index
    /// that was stopped is as it was before.
    ///
    /// # Errors
    /// If the folder cannot be read, the index cannot be written, or `progress` stopped it.
    pub fn run(&self, progress: &mut dyn FnMut(usize, usize) -> bool) -> Result<IndexReport> {
        let start = Instant::now();
        let (found, left) = walk(&self.folder)?;
        let (tantivy, mut manifest) = self.open()?;
        let old_generation = manifest.generation;
        let fields = Fields::new();
        let known: Vec<Option<Source>> =
            found.iter().map(|file| manifest.sources.get(&file.name).cloned()).collect();
        // Vectors of another encoder, or none yet: every passage is embedded.
        let encoder = self.encoder.map(TextEncoder::name);
        let embed_all = encoder.is_some() && encoder != manifest.encoder;
        let threads = match self.threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let options = IndexWriterOptions::builder()
            .num_worker_threads(threads)
            .memory_budget_per_thread(WRITER_BYTES)
            .build();
        let mut writer: IndexWriter = tantivy.writer_with_options(options).map_err(|error| match error {
            tantivy::TantivyError::LockFailure(..) => self.wrong("another process is writing it"),
            error => self.wrong(error),
        })?;
        let first = manifest.next_id;
        manifest.next_id += found.len() as u64;
        let reading = Reading {
            updater: self,
            fields: &fields,
            writer: &writer,
            waiting: Mutex::default(),
            vectors: Mutex::default(),
            failed: Mutex::default(),
            embed_all,
            indexed_ns: manifest.indexed_ns,
        };
        let outcomes = reading.all(&found, &known, first, threads, progress)?;
        let Reading { vectors, failed, .. } = reading;
        if let Some(error) = failed.into_inner().ok().flatten() {
            return Err(error);
        }

        let mut report = IndexReport::default();
        let mut gone: HashSet<u64> = HashSet::new();
        let names: HashSet<&str> = found.iter().map(|file| file.name.as_str()).collect();
        manifest.sources.retain(|name, source| {
            let stays = names.contains(name.as_str());
            if !stays {
                gone.insert(source.id);
                report.removed += 1;
            }
            stays
        });
        for ((file, known), outcome) in found.iter().zip(&known).zip(outcomes) {
            match (outcome, known) {
                (Outcome::Same, Some(known)) => {
                    report.unchanged += 1;
                    let source = Source { modified_ns: file.modified_ns, ..known.clone() };
                    manifest.sources.insert(file.name.clone(), source);
                }
                (Outcome::Same, None) => {}
                (Outcome::Read(source), known) => {
                    match known {
                        Some(known) if known.sha256 == source.sha256 => report.unchanged += 1,
                        Some(_) => report.changed += 1,
                        None => report.added += 1,
                    }
                    gone.extend(known.as_ref().map(|known| known.id));
                    manifest.sources.insert(file.name.clone(), *source);
                }
            }
        }
        for id in &gone {
            writer.delete_term(Term::from_field_u64(fields.source, *id));
        }
        manifest.indexed_ns = now_ns();
        manifest.encoder = encoder.or(manifest.encoder.filter(|_| report.added + report.changed == 0));
        let nothing_new =
            report.added + report.changed + report.removed == 0 && !embed_all && old_generation > 0;
        manifest.generation = old_generation + 1;
        if let (Some(encoder), Ok(vectors)) = (self.encoder, vectors.into_inner()) {
            let old = match embed_all || old_generation == 0 {
                true => Vectors::default(),
                false => Vectors::read(&Manifest::vectors(&self.index, old_generation))?,
            };
            let path = Manifest::vectors(&self.index, manifest.generation);
            old.updated(&gone, vectors, encoder.width()).write(&path)?;
        } else if manifest.encoder.is_some() {
            let old = Vectors::read(&Manifest::vectors(&self.index, old_generation))?;
            let width = old.width;
            let path = Manifest::vectors(&self.index, manifest.generation);
            old.updated(&gone, Vec::new(), width).write(&path)?;
        }
        manifest.write(&self.index)?;
        let mut prepared = writer.prepare_commit().map_err(|error| self.wrong(error))?;
        prepared.set_payload(&manifest.generation.to_string());
        prepared.commit().map_err(|error| self.wrong(error))?;
        if !nothing_new {
            writer.wait_merging_threads().map_err(|error| self.wrong(error))?;
        }
        manifest.remove_others(&self.index);

        report.encoder = manifest.encoder.clone();
        for (source, reason) in left {
            report.skipped.push(Skipped { source, reason });
        }
        for (name, source) in &manifest.sources {
            match &source.failed {
                Some(reason) => {
                    report.skipped.push(Skipped { source: name.clone(), reason: reason.clone() });
                }
                None => {
                    report.sources += 1;
                    report.passages += u64::from(source.passages);
                    report.text_bytes += source.text_bytes;
                }
            }
        }
        report.seconds = start.elapsed().as_secs_f64();
        Ok(report)
    }

    fn wrong(&self, reason: impl ToString) -> Error {
        Error::Index { path: self.index.clone(), reason: reason.to_string() }
    }

    /// Opens the index, or makes one.
    fn open(&self) -> Result<(tantivy::Index, Manifest)> {
        let folder = self.index.join(TANTIVY);
        let fresh = || Manifest::new(self.passage_bytes);
        if self.index.exists()
            && !folder.exists()
            && fs::read_dir(&self.index).is_ok_and(|mut entries| entries.next().is_some())
        {
            return Err(self.wrong("the folder holds something else"));
        }
        if Index::exists(&self.index) && !self.rebuild {
            let index = open_tantivy(&self.index, None)?;
            let manifest = committed(&self.index, &index)?;
            let fits = index.schema() == Fields::new().schema;
            match manifest {
                Some(manifest) if fits && manifest.passage_bytes == self.passage_bytes => {
                    return Ok((index, manifest));
                }
                None if fits => return Ok((index, fresh())),
                _ => {}
            }
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(Error::io("replace", &folder))?;
        }
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        Ok((open_tantivy(&self.index, Some(&Fields::new()))?, fresh()))
    }
}

fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

/// What the threads that read files share.
struct Reading<'a> {
    updater: &'a Updater<'a>,
    fields: &'a Fields,
    writer: &'a IndexWriter,
    /// Passages that wait for their vectors.
    waiting: Mutex<Vec<(u64, String)>>,
    vectors: Mutex<Vec<(u64, Vec<f32>)>>,
    /// What went wrong that is not a file's fault.
    failed: Mutex<Option<Error>>,
    embed_all: bool,
    indexed_ns: u64,
}

impl Reading<'_> {
    fn all(
        &self,
        found: &[Found],
        known: &[Option<Source>],
        first: u64,
        threads: usize,
        progress: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<Vec<Outcome>> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let mut outcomes: Vec<(usize, Outcome)> = thread::scope(|scope| {
            let work = || {
                let mut own = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = found.get(at) else { break };
                    match self.one(file, known[at].as_ref(), first + at as u64) {
                        Ok(outcome) => own.push((at, outcome)),
                        Err(error) => {
                            self.fail(error);
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                }
                if let Err(error) = self.embed(0) {
                    self.fail(error);
                }
                own
            };
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            while running.iter().any(|thread| !thread.is_finished()) {
                if !progress(next.load(Ordering::Relaxed).min(found.len()), found.len()) {
                    stop.store(true, Ordering::Relaxed);
                    self.fail(Error::Request("stopped; the index is as it was".to_owned()));
                }
                thread::sleep(std::time::Duration::from_millis(if found.len() < 64 { 1 } else { 10 }));
            }
            running.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
        });
        if let Some(error) = self.failed.lock().ok().and_then(|mut failed| failed.take()) {
            return Err(error);
        }
        if outcomes.len() != found.len() {
            return Err(self.updater.wrong("a thread that reads files panicked"));
        }
        // Few files may be done before anybody was asked.
        if !progress(found.len(), found.len()) {
            return Err(Error::Request("stopped; the index is as it was".to_owned()));
        }
        outcomes.sort_by_key(|outcome| outcome.0);
        Ok(outcomes.into_iter().map(|outcome| outcome.1).collect())
    }

    fn fail(&self, error: Error) {
        if let Ok(mut failed) = self.failed.lock() {
            failed.get_or_insert(error);
        }
    }

    fn one(&self, file: &Found, known: Option<&Source>, id: u64) -> Result<Outcome> {
        let same_clock = |known: &Source| {
            known.bytes == file.bytes
                && known.modified_ns == file.modified_ns
                && file.modified_ns.saturating_add(UNCERTAIN_NS) < self.indexed_ns
        };
        if known.is_some_and(same_clock) && !self.embed_all {
            return Ok(Outcome::Same);
        }
        let mut source = Source {
            id,
            kind: file.kind,
            bytes: file.bytes,
            modified_ns: file.modified_ns,
            sha256: String::new(),
            title: None,
            passages: 0,
            text_bytes: 0,
            failed: None,
        };
        let bytes = match read_bounded(&file.path, MOST_BYTES) {
            Ok(bytes) => bytes,
            Err(error) => {
                source.failed = Some(error.to_string());
                return Ok(Outcome::Read(Box::new(source)));
            }
        };
        source.bytes = bytes.len() as u64;
        source.sha256 = hexadecimal(&Sha256::digest(&bytes));
        if known.is_some_and(|known| known.sha256 == source.sha256) && !self.embed_all {
            return Ok(Outcome::Same);
        }
        match read_source(file.kind, &bytes, &self.updater.pdf) {
            Ok(text) => self.add(&mut source, &text)?,
            Err(reason) => source.failed = Some(reason),
        }
        Ok(Outcome::Read(Box::new(source)))
    }

    fn add(&self, source: &mut Source, read: &SourceText) -> Result<()> {
        let pieces = passages(&read.text, self.updater.passage_bytes, &read.cuts);
        if pieces.len() > MOST_PASSAGES {
            source.failed = Some(format!("more than {MOST_PASSAGES} passages"));
            return Ok(());
        }
        source.title.clone_from(&read.title);
        source.passages = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        source.text_bytes = read.text.len() as u64;
        let context = match (&read.title, read.context.as_str()) {
            (_, context) if !context.is_empty() => context,
            (Some(title), _) => title.as_str(),
            _ => "",
        };
        let (mut line, mut counted) = (1, 0);
        for (number, piece) in pieces.into_iter().enumerate() {
            let place = match source.kind {
                SourceKind::Pdf => read.cuts.partition_point(|cut| *cut <= piece.start) + 1,
                _ => {
                    let before = &read.text.as_bytes()[counted..piece.start];
                    line += before.iter().filter(|byte| **byte == b'\n').count();
                    counted = piece.start;
                    line
                }
            };
            let key = key_of(source.id, number);
            let text = &read.text[piece.clone()];
            let mut document = TantivyDocument::default();
            document.add_u64(self.fields.source, source.id);
            document.add_u64(self.fields.key, key);
            document.add_u64(self.fields.start, piece.start as u64);
            document.add_u64(self.fields.place, place as u64);
            document.add_text(self.fields.text, text);
            // Later passages are found by the title of their source too; the first one usually holds it.
            if number > 0 && !context.is_empty() {
                document.add_text(self.fields.text, context);
            }
            self.writer.add_document(document).map_err(|error| self.updater.wrong(error))?;
            if self.updater.encoder.is_some() {
                let text = match number > 0 && !context.is_empty() {
                    true => format!("{context}: {text}"),
                    false => text.to_owned(),
                };
                let waiting = self.waiting.lock().map(|mut waiting| {
                    waiting.push((key, text));
                    waiting.len()
                });
                if waiting.is_ok_and(|waiting| waiting >= TOGETHER) {
                    self.embed(TOGETHER)?;
                }
            }
        }
        Ok(())
    }

    /// Embeds what waits, if it is at least so much.
    fn embed(&self, least: usize) -> Result<()> {
        let Some(encoder) = self.updater.encoder else { return Ok(()) };
        let part = match self.waiting.lock() {
            Ok(mut waiting) if waiting.len() >= least => std::mem::take(&mut *waiting),
            _ => return Ok(()),
        };
        if part.is_empty() {
            return Ok(());
        }
        let texts: Vec<&str> = part.iter().map(|(_, text)| text.as_str()).collect();
        let values = encoder.embed(&texts).map_err(Error::Request)?;
        let rows = values.chunks_exact(encoder.width().max(1)).map(normalized);
        if let Ok(mut vectors) = self.vectors.lock() {
            vectors.extend(part.iter().map(|(key, _)| *key).zip(rows));
        }
        Ok(())
    }
}

/// A vector of length 1.
pub(super) fn normalized(row: &[f32]) -> Vec<f32> {
    let length = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    row.iter().map(|x| x / length).collect()
}
