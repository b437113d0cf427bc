//! One file on its way from the hub into the cache.
//!
//! The bytes arrive in `blobs/ETAG.incomplete`, going on where an earlier attempt stopped, and the blob receives its
//! name only when its SHA-256 is the one that the hub announced. Then it enters a snapshot, where other programs
//! find it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use gyrus_files::hexadecimal;
use sha2::{Digest, Sha256};
use ureq::http::StatusCode;
use ureq::http::header::CONTENT_RANGE;

use super::Hub;
use super::cache::{self, Repository};
use super::connection::Answer;
use crate::{Error, Result};

/// How often a download goes on after the connection broke.
const ATTEMPTS: usize = 3;

/// One file of a repository, and where it goes.
pub(super) struct Transfer<'a> {
    pub(super) hub: &'a Hub,
    pub(super) repository: Repository,
    pub(super) file: &'a str,
    pub(super) maximum_bytes: u64,
}

/// What the hub announces of a file before sending it.
pub(super) struct Announced {
    /// SHA-256 of a large file in hexadecimal, a git hash of a small one.
    etag: String,
    size: u64,
    commit: String,
}

impl Transfer<'_> {
    pub(super) fn error(&self, reason: impl ToString) -> Error {
        Error::Hub {
            endpoint: self.hub.connection.endpoint.clone(),
            repository: self.repository.id.clone(),
            file: self.file.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// The file's place in the cache, if it is there.
    pub(super) fn cached(&self) -> Option<PathBuf> {
        self.repository.cached(self.file)
    }

    /// What a repository lacks, as an error.
    pub(super) fn absent(&self) -> Error {
        self.error(if self.hub.offline {
            "not in the cache, and HF_HUB_OFFLINE forbids to download it: unset it once"
        } else {
            "the hub answered 404 Not Found"
        })
    }

    /// The file's place in the cache; `None` if the repository has no such file.
    pub(super) fn run(&self) -> Result<Option<PathBuf>> {
        if !cache::is_inside(self.file) {
            return Err(self.error("expected the name of a file inside the repository"));
        }
        if self.hub.offline {
            return Ok(self.cached());
        }
        let announced = match self.announced() {
            Ok(Some(announced)) => announced,
            Ok(None) => return Ok(None),
            // Without the hub an earlier download serves as well.
            Err(error) => return self.cached().map(Some).ok_or(error),
        };
        let blob = self.repository.blobs().join(&announced.etag);
        if !self.is_whole(&blob, &announced)? {
            self.download(&blob, &announced)?;
        }
        self.repository.enter(&announced.commit, self.file, &announced.etag).map(Some)
    }

    /// Etag, size and commit of the file; `None` if there is no such file. They are headers of the hub's own answer; the
    /// host of the bytes, to which it redirects, does not know them.
    pub(super) fn announced(&self) -> Result<Option<Announced>> {
        let answer = self.hub.connection.head(&self.repository.path(self.file));
        let answer = answer.map_err(|reason| self.error(reason))?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !(answer.status().is_success() || answer.status().is_redirection()) {
            return Err(self.error(format!("the hub answered {}", answer.status())));
        }
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        // Both become names of files.
        let name = |what: &str, name: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            if name.is_empty() || !name.bytes().all(plain) {
                return Err(self.error(format!("got the {what} '{name}', expected letters and digits")));
            }
            Ok(name.to_owned())
        };
        let etag = header("x-linked-etag").or_else(|| header("etag")).unwrap_or_default();
        let etag = name("etag", etag.trim_start_matches("W/").trim_matches('"'))?;
        let commit = name("commit", header("x-repo-commit").unwrap_or_default())?;
        let size = header("x-linked-size").or_else(|| header("content-length")).unwrap_or_default();
        match size.parse() {
            Ok(size) if (1..=self.maximum_bytes).contains(&size) => {
                Ok(Some(Announced { etag, size, commit }))
            }
            _ => {
                Err(self.error(format!("got the size '{size}', expected 1 to {} bytes", self.maximum_bytes)))
            }
        }
    }

    /// Whether the blob exists with the right content; a wrong one, which other programs may have left, is removed.
    fn is_whole(&self, blob: &Path, announced: &Announced) -> Result<bool> {
        let Ok(mut file) = File::open(blob) else { return Ok(false) };
        let etag = &announced.etag;
        if checksum(&mut file, blob, announced.size)?.is_some_and(|sum| !is_sha256(etag) || sum == *etag) {
            return Ok(true);
        }
        std::fs::remove_file(blob).map_err(Error::write(blob))?;
        Ok(false)
    }

    fn download(&self, blob: &Path, announced: &Announced) -> Result<()> {
        let Announced { etag, size, .. } = announced;
        let incomplete = self.repository.blobs().join(format!("{etag}.incomplete"));
        let io = |source| Error::write(&incomplete)(source);
        std::fs::create_dir_all(self.repository.blobs()).map_err(io)?;
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&incomplete)
            .map_err(io)?;
        // Another process may be at the same file: it finishes first, and this one has nothing left to do.
        file.lock().map_err(io)?;
        if blob.exists() {
            return Ok(());
        }
        let mut attempt = 1;
        while let Err(error) = self.receive(&mut file, &incomplete, *size) {
            if attempt == ATTEMPTS || !matches!(error, Error::Hub { .. }) {
                return Err(error);
            }
            attempt += 1;
        }
        if is_sha256(etag) {
            file.seek(SeekFrom::Start(0)).map_err(io)?;
            let sum =
                checksum(&mut file, &incomplete, *size)?.unwrap_or_else(|| "of another size".to_owned());
            if sum != *etag {
                std::fs::remove_file(&incomplete).map_err(io)?;
                return Err(Error::Checksum {
                    repository: self.repository.id.clone(),
                    file: self.file.to_owned(),
                    got: sum,
                    expected: etag.clone(),
                });
            }
        }
        file.sync_all().map_err(io)?;
        std::fs::rename(&incomplete, blob).map_err(Error::write(blob))
    }

    /// Appends what is missing of the `size` bytes.
    fn receive(&self, file: &mut File, path: &Path, size: u64) -> Result<()> {
        let io = |source| Error::write(path)(source);
        let mut done = file.metadata().map_err(io)?.len();
        if done > size {
            file.set_len(0).map_err(io)?;
            done = 0;
        }
        if done < size {
            let answer = self.hub.connection.get(&self.repository.path(self.file), done, size - 1);
            let answer = answer.map_err(|reason| self.error(reason))?;
            if !answer.status().is_success() {
                return Err(self.error(format!("the hub answered {}", answer.status())));
            }
            if !continues_at(&answer, done) {
                done = 0;
            }
            file.set_len(done).map_err(io)?;
            file.seek(SeekFrom::Start(done)).map_err(io)?;
            let mut bytes = answer.into_body().into_reader();
            let mut buffer = vec![0; 1 << 16];
            while done < size {
                self.report(done, size);
                let read = bytes.read(&mut buffer).map_err(|error| self.broken(done, size, &error))?;
                if read == 0 {
                    return Err(self.broken(done, size, "the connection was closed"));
                }
                // More than was asked for is not kept: the checksum decides about the rest.
                let read = read.min(usize::try_from(size - done).unwrap_or(read));
                file.write_all(&buffer[..read]).map_err(io)?;
                done += read as u64;
            }
        }
        self.report(size, size);
        Ok(())
    }

    fn broken(&self, done: u64, size: u64, reason: impl std::fmt::Display) -> Error {
        self.error(format!("{reason} after {done} of {size} bytes; run it again to go on from there"))
    }

    fn report(&self, done: u64, size: u64) {
        if let Some(report) = &self.hub.progress {
            report(self.file, done, size);
        }
    }
}

/// Whether an answer to a request for a range begins at its byte `start`, rather than with the whole file's byte 0.
fn continues_at(answer: &Answer, start: u64) -> bool {
    let range = answer.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
    answer.status() == StatusCode::PARTIAL_CONTENT && range.starts_with(&format!("bytes {start}-"))
}

/// Large files are stored under their SHA-256, small ones under a shorter git hash.
fn is_sha256(etag: &str) -> bool {
    etag.len() == 64 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// SHA-256 of a file in hexadecimal, or `None` if it is not `size` bytes long.
fn checksum(file: &mut File, path: &Path, size: u64) -> Result<Option<String>> {
    let io = |source| Error::io(path, source);
    if file.metadata().map_err(io)?.len() != size {
        return Ok(None);
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(io)? {
            0 => return Ok(Some(hexadecimal(&hash.finalize()))),
            read => hash.update(&buffer[..read]),
        }
    }
}
