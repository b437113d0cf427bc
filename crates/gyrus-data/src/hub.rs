//! Data sets from the Hugging Face hub, through the cache that its own tools use.
//!
//! The `hf-hub` crate knows the layout of the cache and the environment (`HF_ENDPOINT`, `HF_HOME`,
//! `HF_HUB_CACHE`), but its transfer starts a broken download anew, compares no checksums, and its look-up of a
//! file's checksum follows the hub's redirection to a host that does not tell it. So the bytes are moved here:
//! into `blobs/CHECKSUM.incomplete`, going on where an earlier attempt stopped, and the file receives its name
//! only when its SHA-256 is the one that the hub announced. `hf-hub` then enters it into the cache, where other
//! programs find it. `HF_HUB_OFFLINE` is honoured here too.

mod models;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::{HFClient, HFClientSync, HFRepositorySync, RepoType};
use reqwest::StatusCode;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{CONTENT_RANGE, ETAG, RANGE};
use reqwest::redirect::Policy;
use sha2::{Digest, Sha256};

use crate::dataset::hexadecimal;
use crate::parquet_images::read_parquet;
use crate::{Dataset, Error, Result, cifar, mnist};

/// How often a download goes on after the connection broke.
const ATTEMPTS: usize = 3;

/// The longest silence of the hub.
const TIMEOUT: Duration = Duration::from_secs(30);

/// More than any file of a data set that is fetched here (CIFAR-10's training part has 120 MB).
const MAXIMUM_BYTES: u64 = 1 << 30;

/// Told the file, the bytes that are there and the bytes that there will be.
type Progress = Box<dyn Fn(&str, u64, u64) + Send + Sync>;

/// A connection to the hub and its cache.
pub struct Hub {
    client: HFClientSync,
    endpoint: String,
    cache: PathBuf,
    offline: bool,
    /// What the hub lets in to repositories that are not for everyone.
    token: Option<String>,
    progress: Option<Progress>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Hub")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

/// Where a data set lies on the hub.
struct Source {
    name: &'static str,
    owner: &'static str,
    repository: &'static str,
    folder: &'static str,
    image_column: &'static str,
    classes: &'static [&'static str; 10],
    /// Side and channels of each picture.
    shape: (usize, usize),
}

impl Hub {
    /// A hub as the environment says: `HF_ENDPOINT`, `HF_HOME` (or `HF_HUB_CACHE`), `HF_TOKEN`, and no network at
    /// all where `HF_HUB_OFFLINE` is `1`, `true`, `yes` or `on`.
    ///
    /// # Errors
    /// [`Error::Hub`] for an address that is none.
    pub fn from_environment() -> Result<Self> {
        let offline = std::env::var("HF_HUB_OFFLINE").unwrap_or_default().to_lowercase();
        let offline = ["1", "true", "yes", "on"].contains(&offline.as_str());
        Ok(Self { token: token(), ..Self::build(HFClient::builder(), offline)? })
    }

    /// A hub at `endpoint` with its cache in `cache`, whatever the environment says.
    ///
    /// # Errors
    /// [`Error::Hub`] for an address that is none.
    pub fn new(endpoint: &str, cache: &Path, offline: bool) -> Result<Self> {
        Self::build(HFClient::builder().endpoint(endpoint).cache_dir(cache), offline)
    }

    fn build(builder: hf_hub::HFClientBuilder, offline: bool) -> Result<Self> {
        let error = |error: hf_hub::HFError| Error::Hub {
            endpoint: std::env::var("HF_ENDPOINT").unwrap_or_default(),
            repository: "any repository".to_owned(),
            file: "the client".to_owned(),
            reason: error.to_string(),
        };
        let client = builder.build().map_err(error)?;
        let (endpoint, cache) = (client.endpoint().to_owned(), client.cache_dir().to_owned());
        let client = HFClientSync::from_inner(client).map_err(error)?;
        Ok(Self { client, endpoint, cache, offline, token: None, progress: None })
    }

    /// Calls `report` with the file, the bytes that are there and the bytes that there will be, while a file
    /// arrives.
    #[must_use]
    pub fn with_progress(mut self, report: impl Fn(&str, u64, u64) + Send + Sync + 'static) -> Self {
        self.progress = Some(Box::new(report));
        self
    }

    /// MNIST, from `ylecun/mnist`.
    ///
    /// # Errors
    /// [`Error::Hub`] and [`Error::Checksum`] for a download that fails; damaged files as for local ones.
    pub fn mnist(&self) -> Result<Dataset> {
        self.load(&Source {
            name: "mnist",
            owner: "ylecun",
            repository: "mnist",
            folder: "mnist",
            image_column: "image",
            classes: &mnist::DIGIT_CLASSES,
            shape: (28, 1),
        })
    }

    /// Fashion-MNIST, from `zalando-datasets/fashion_mnist`.
    ///
    /// # Errors
    /// As for [`Self::mnist`].
    pub fn fashion_mnist(&self) -> Result<Dataset> {
        self.load(&Source {
            name: "fashion-mnist",
            owner: "zalando-datasets",
            repository: "fashion_mnist",
            folder: "fashion_mnist",
            image_column: "image",
            classes: &mnist::FASHION_CLASSES,
            shape: (28, 1),
        })
    }

    /// CIFAR-10, from `uoft-cs/cifar10`.
    ///
    /// # Errors
    /// As for [`Self::mnist`].
    pub fn cifar10(&self) -> Result<Dataset> {
        self.load(&Source {
            name: "cifar10",
            owner: "uoft-cs",
            repository: "cifar10",
            folder: "plain_text",
            image_column: "img",
            classes: &cifar::CLASSES,
            shape: (cifar::SIDE, 3),
        })
    }

    fn load(&self, source: &Source) -> Result<Dataset> {
        let part = |part: &str| {
            let file = format!("{}/{part}-00000-of-00001.parquet", source.folder);
            let path = self.fetch(source.owner, source.repository, &file)?;
            read_parquet(&path, source.image_column, source.shape)
        };
        let (train, test) = (part("train")?, part("test")?);
        let classes = source.classes.map(str::to_owned).to_vec();
        Ok(Dataset::of_images(source.name, classes, train, test))
    }

    /// The path in the cache of one file of a data set's repository, downloaded where it is not there yet.
    ///
    /// # Errors
    /// [`Error::Hub`] where the hub cannot be reached (and the file is not cached) or refuses, [`Error::Checksum`]
    /// where something else arrived than was announced, [`Error::Io`] where the cache cannot be written.
    pub fn fetch(&self, owner: &str, name: &str, file: &str) -> Result<PathBuf> {
        let transfer = Transfer {
            hub: self,
            repository: self.client.dataset(owner, name),
            name: format!("{owner}/{name}"),
            file,
            blobs: self.cache.join(format!("datasets--{owner}--{name}")).join("blobs"),
            maximum_bytes: MAXIMUM_BYTES,
        };
        transfer.run()?.ok_or_else(|| transfer.absent())
    }
}

/// The token that the environment holds: `HF_TOKEN`, or the file at `HF_TOKEN_PATH`, or `token` in `HF_HOME`.
fn token() -> Option<String> {
    let file = || {
        let path = std::env::var_os("HF_TOKEN_PATH").map(PathBuf::from);
        std::fs::read_to_string(path.unwrap_or_else(|| hf_hub::hf_home().join("token"))).ok()
    };
    let token = std::env::var("HF_TOKEN").ok().filter(|token| !token.trim().is_empty()).or_else(file)?;
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// One file on its way.
struct Transfer<'a, T: RepoType> {
    hub: &'a Hub,
    repository: HFRepositorySync<T>,
    name: String,
    file: &'a str,
    blobs: PathBuf,
    maximum_bytes: u64,
}

impl<T: RepoType> Transfer<'_, T> {
    fn error(&self, reason: impl ToString) -> Error {
        Error::Hub {
            endpoint: self.hub.endpoint.clone(),
            repository: self.name.clone(),
            file: self.file.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// The file's place in the cache; `hf-hub` writes the pointers to a blob that is already there.
    fn cached(&self, local_files_only: bool) -> Result<PathBuf> {
        self.repository
            .download_file()
            .filename(self.file)
            .local_files_only(local_files_only)
            .send()
            .map_err(|error| self.error(error))
    }

    /// What a repository lacks, as an error.
    fn absent(&self) -> Error {
        self.error(if self.hub.offline {
            "not in the cache, and HF_HUB_OFFLINE forbids to download it: unset it once"
        } else {
            "the hub answered 404 Not Found"
        })
    }

    /// The file's place in the cache; none if there is no such file.
    fn run(&self) -> Result<Option<PathBuf>> {
        if self.hub.offline {
            return Ok(self.cached(true).ok());
        }
        let (etag, size) = match self.announced() {
            Ok(Some(announced)) => announced,
            Ok(None) => return Ok(None),
            // Without the hub an earlier download serves as well.
            Err(error) => return self.cached(true).map(Some).map_err(|_| error),
        };
        let blob = self.blobs.join(&etag);
        if !self.is_whole(&blob, &etag, size)? {
            self.download(&blob, &etag, size)?;
        }
        self.cached(false).map(Some)
    }

    /// The request as one who may see the repository; a redirection to another host does not take the token along.
    fn with_token(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.hub.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn url(&self) -> String {
        format!("{}/{}{}/resolve/main/{}", self.hub.endpoint, T::default().url_prefix(), self.name, self.file)
    }

    /// The etag and size of the file. They stand in the hub's own answer; the host to which it redirects, and
    /// which has the bytes, does not know them.
    fn announced(&self) -> Result<Option<(String, u64)>> {
        let same_host = Policy::custom(|attempt| {
            let stays = attempt.previous().last().is_some_and(|last| last.host() == attempt.url().host());
            if stays && attempt.previous().len() < 10 { attempt.follow() } else { attempt.stop() }
        });
        let client = Client::builder().timeout(TIMEOUT).redirect(same_host).build();
        let answer = client
            .and_then(|client| self.with_token(client.head(self.url())).send())
            .map_err(|error| self.error(chain(&error)))?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !(answer.status().is_success() || answer.status().is_redirection()) {
            return Err(self.error(format!("the hub answered {}", answer.status())));
        }
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let etag = header("x-linked-etag").or_else(|| header(ETAG.as_str())).unwrap_or_default();
        let etag = etag.trim_start_matches("W/").trim_matches('"');
        // It becomes a file name.
        if etag.is_empty() || !etag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(self.error(format!("got the etag '{etag}', expected letters and digits")));
        }
        let size = header("x-linked-size").or_else(|| header("content-length")).unwrap_or_default();
        match size.parse() {
            Ok(bytes) if (1..=self.maximum_bytes).contains(&bytes) => Ok(Some((etag.to_owned(), bytes))),
            _ => {
                Err(self.error(format!("got the size '{size}', expected 1 to {} bytes", self.maximum_bytes)))
            }
        }
    }

    /// Whether the blob exists with the right content; a wrong one, which other programs may have left, is removed.
    fn is_whole(&self, blob: &Path, etag: &str, size: u64) -> Result<bool> {
        let Ok(mut file) = File::open(blob) else { return Ok(false) };
        if checksum(&mut file, blob, size)?.is_some_and(|sum| !is_sha256(etag) || sum == etag) {
            return Ok(true);
        }
        std::fs::remove_file(blob).map_err(|source| Error::io(blob, source))?;
        Ok(false)
    }

    fn download(&self, blob: &Path, etag: &str, size: u64) -> Result<()> {
        let incomplete = self.blobs.join(format!("{etag}.incomplete"));
        let io = |source| Error::io(&incomplete, source);
        std::fs::create_dir_all(&self.blobs).map_err(io)?;
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
        while let Err(error) = self.receive(&mut file, &incomplete, size) {
            if attempt == ATTEMPTS || !matches!(error, Error::Hub { .. }) {
                return Err(error);
            }
            attempt += 1;
        }
        if is_sha256(etag) {
            file.seek(SeekFrom::Start(0)).map_err(io)?;
            let sum = checksum(&mut file, &incomplete, size)?.unwrap_or_else(|| "of another size".to_owned());
            if sum != etag {
                std::fs::remove_file(&incomplete).map_err(io)?;
                return Err(Error::Checksum {
                    repository: self.name.clone(),
                    file: self.file.to_owned(),
                    got: sum,
                    expected: etag.to_owned(),
                });
            }
        }
        file.sync_all().map_err(io)?;
        std::fs::rename(&incomplete, blob).map_err(|source| Error::io(blob, source))
    }

    /// Appends what is missing of the `size` bytes.
    fn receive(&self, file: &mut File, path: &Path, size: u64) -> Result<()> {
        let io = |source| Error::io(path, source);
        let mut done = file.metadata().map_err(io)?.len();
        if done > size {
            file.set_len(0).map_err(io)?;
            done = 0;
        }
        if done < size {
            let client = Client::builder().timeout(TIMEOUT).build();
            let mut answer = client
                .and_then(|client| {
                    self.with_token(client.get(self.url()))
                        .header(RANGE, format!("bytes={done}-{}", size - 1))
                        .send()
                })
                .map_err(|error| self.error(chain(&error)))?;
            if !answer.status().is_success() {
                return Err(self.error(format!("the hub answered {}", answer.status())));
            }
            if !continues_at(&answer, done) {
                done = 0;
            }
            file.set_len(done).map_err(io)?;
            file.seek(SeekFrom::Start(done)).map_err(io)?;
            let mut buffer = vec![0; 1 << 16];
            while done < size {
                self.report(done, size);
                let read = answer.read(&mut buffer).map_err(|error| self.broken(done, size, &error))?;
                if read == 0 {
                    return Err(self.broken(done, size, "the connection was closed"));
                }
                // More than was asked for is not kept: the checksum judges the rest.
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

/// Whether an answer to a request for a range begins at its byte `start`, or is the whole file from byte 0.
fn continues_at(answer: &Response, start: u64) -> bool {
    let range = answer.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
    answer.status() == StatusCode::PARTIAL_CONTENT && range.starts_with(&format!("bytes {start}-"))
}

/// An error with its causes: `reqwest` itself says little more than that a request failed.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
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
