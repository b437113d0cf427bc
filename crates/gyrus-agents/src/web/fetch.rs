//! Fetching a page.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use gyrus_files::{hexadecimal, read_bounded, write_atomically};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::address::is_public;
use super::robots::Robots;
use crate::retrieval::sources::{PdfReader, SourceKind, read_source};

/// The most bytes of a page, redirects, addresses of a name.
const MOST_BYTES: u64 = 8 << 20;
const MOST_REDIRECTS: usize = 5;
const MOST_ADDRESSES: usize = 16;
/// The longest time of a request, and the least between two to the same host.
const SECONDS: u64 = 20;
const BETWEEN: Duration = Duration::from_secs(1);
/// How this program calls itself.
const AGENT: &str = "gyrus";

/// Looks a name and a port up.
pub type Lookup = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// A page as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The address after redirects.
    pub address: String,
    /// Its title.
    pub title: Option<String>,
    /// Its text.
    pub text: String,
}

/// Fetches pages.
pub struct Fetcher {
    agent: Agent,
    robots: HashMap<String, Robots>,
    asked: HashMap<String, Instant>,
    cache: Option<PathBuf>,
    pdf: PdfReader,
    between: Duration,
}

/// A resolver that knows public addresses only.
struct Guarded {
    lookup: Lookup,
    /// Addresses that a test's own server has.
    allowed: Vec<SocketAddr>,
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}

impl Resolver for Guarded {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let refused = |text: String| ureq::Error::Io(io::Error::new(io::ErrorKind::PermissionDenied, text));
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default);
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        let found = (self.lookup)(plain, port).map_err(ureq::Error::Io)?;
        // One bad address among good ones is a name that somebody prepared.
        if let Some(bad) =
            found.iter().find(|address| !is_public(address.ip()) && !self.allowed.contains(address))
        {
            return Err(refused(format!("{host} leads to {}, which is not a public address", bad.ip())));
        }
        let mut addresses = self.empty();
        found.into_iter().take(MOST_ADDRESSES).for_each(|address| addresses.push(address));
        if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
    }
}

impl Fetcher {
    /// A fetcher that keeps pages in `cache`, if given.
    #[must_use]
    pub fn new(cache: Option<PathBuf>, pdf: PdfReader) -> Self {
        let lookup: Lookup = Arc::new(|host, port| Ok((host, port).to_socket_addrs()?.collect()));
        Self::with(cache, pdf, lookup, Vec::new(), BETWEEN)
    }

    /// The same with another lookup and addresses that are allowed although they are not public: for tests with a server of their own.
    #[doc(hidden)]
    #[must_use]
    pub fn with(
        cache: Option<PathBuf>,
        pdf: PdfReader,
        lookup: Lookup,
        allowed: Vec<SocketAddr>,
        between: Duration,
    ) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .user_agent(concat!("gyrus/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(SECONDS)))
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), Guarded { lookup, allowed });
        Self { agent, robots: HashMap::new(), asked: HashMap::new(), cache, pdf, between }
    }

    /// The page at an address, as text.
    ///
    /// # Errors
    /// A sentence on why it was not fetched.
    pub fn fetch(&mut self, address: &str) -> Result<Fetched, String> {
        let kept = self
            .cache
            .as_ref()
            .map(|folder| folder.join(format!("{}.json", hexadecimal(&Sha256::digest(address.as_bytes())))));
        if let Some(bytes) = kept.as_ref().and_then(|path| read_bounded(path, 8 * MOST_BYTES).ok())
            && let Ok(page) = serde_json::from_slice(&bytes)
        {
            return Ok(page);
        }
        let page = self.fetch_now(address)?;
        if let (Some(folder), Some(path)) = (&self.cache, kept)
            && let Ok(bytes) = serde_json::to_vec(&page)
        {
            // A page that cannot be kept is fetched again next time.
            let _ = fs::create_dir_all(folder).and_then(|()| write_atomically(&path, &bytes));
        }
        Ok(page)
    }

    fn fetch_now(&mut self, address: &str) -> Result<Fetched, String> {
        let mut uri = checked(address)?;
        for _ in 0..=MOST_REDIRECTS {
            let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
            if !self.robots(&uri).allows(&path) {
                return Err(format!("{uri}: its robots.txt does not allow it"));
            }
            self.wait(&uri);
            let answer = self.get(&uri)?;
            let status = answer.status();
            if status.is_redirection() {
                let location = answer.headers().get("location").and_then(|value| value.to_str().ok());
                let location = location.ok_or_else(|| format!("{uri}: a redirect without an address"))?;
                uri = checked(&joined(&uri, location)?)?;
                continue;
            }
            if !status.is_success() {
                return Err(format!("{uri}: it answered {status}"));
            }
            return self.text(&uri, answer);
        }
        Err(format!("{address}: more than {MOST_REDIRECTS} redirects"))
    }

    fn get(&self, uri: &Uri) -> Result<ureq::http::Response<ureq::Body>, String> {
        let request = self.agent.get(uri).header("accept-encoding", "identity");
        request.call().map_err(|error| format!("{uri}: {error}"))
    }

    fn text(&self, uri: &Uri, answer: ureq::http::Response<ureq::Body>) -> Result<Fetched, String> {
        let header = |name: &str| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_ascii_lowercase()
        };
        let encoding = header("content-encoding");
        if !matches!(encoding.as_str(), "" | "identity") {
            return Err(format!("{uri}: it is encoded as {encoding}, which was not asked for"));
        }
        let kind = header("content-type");
        let kind = match kind.split(';').next().unwrap_or_default().trim() {
            "text/html" | "application/xhtml+xml" | "" => SourceKind::Html,
            "text/plain" | "application/json" => SourceKind::Text,
            "text/markdown" => SourceKind::Markdown,
            "text/csv" => SourceKind::Csv,
            "application/pdf" => SourceKind::Pdf,
            other => return Err(format!("{uri}: it is {other}; expected a text")),
        };
        let body = answer.into_body().into_with_config().limit(MOST_BYTES).read_to_vec();
        let bytes = body.map_err(|error| format!("{uri}: {error}"))?;
        let source = read_source(kind, &bytes, &self.pdf).map_err(|reason| format!("{uri}: {reason}"))?;
        Ok(Fetched { address: uri.to_string(), title: source.title, text: source.text })
    }

    /// The rules of a host, read once.
    fn robots(&mut self, uri: &Uri) -> Robots {
        let origin = origin(uri);
        if let Some(robots) = self.robots.get(&origin) {
            return robots.clone();
        }
        let robots = match checked(&format!("{origin}/robots.txt")) {
            Err(_) => Robots::closed(),
            Ok(own) => match self.get(&own) {
                Ok(answer) if answer.status().is_success() => {
                    let body = answer.into_body().into_with_config().limit(512 << 10).read_to_string();
                    body.map_or_else(|_| Robots::closed(), |text| Robots::parse(&text, AGENT))
                }
                // No rules, as RFC 9309 has it; a server that fails is left alone.
                Ok(answer) if answer.status().is_server_error() => Robots::closed(),
                Ok(_) => Robots::default(),
                // The page itself will say what is wrong.
                Err(_) => Robots::default(),
            },
        };
        self.robots.insert(origin, robots.clone());
        robots
    }

    fn wait(&mut self, uri: &Uri) {
        let host = uri.host().unwrap_or_default().to_owned();
        if let Some(last) = self.asked.get(&host) {
            sleep(self.between.saturating_sub(last.elapsed()));
        }
        self.asked.insert(host, Instant::now());
    }
}

fn origin(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}", uri.scheme_str().unwrap_or_default())
}

/// An address that may be asked for at all.
fn checked(address: &str) -> Result<Uri, String> {
    let address = address.split('#').next().unwrap_or_default();
    if address.len() > 2000 || address.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
        return Err("this is no address of a page".to_owned());
    }
    if !(address.starts_with("http://") || address.starts_with("https://")) {
        return Err(format!("'{address}': only http and https are fetched"));
    }
    let uri: Uri = address.parse().map_err(|error| format!("'{address}' is no address: {error}"))?;
    let authority = uri.authority().ok_or_else(|| format!("'{address}' names no host"))?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(format!("'{address}': an address with a user name is not fetched"));
    }
    Ok(uri)
}

/// Where a redirect leads.
fn joined(from: &Uri, location: &str) -> Result<String, String> {
    let scheme = from.scheme_str().unwrap_or("https");
    if let Some(rest) = location.strip_prefix("//") {
        return Ok(format!("{scheme}://{rest}"));
    }
    let has_scheme = location.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':'));
    if has_scheme {
        if from.scheme_str() == Some("https") && location.starts_with("http:") {
            return Err(format!("{from}: a redirect to an unencrypted address is not followed"));
        }
        return Ok(location.to_owned());
    }
    if location.starts_with('/') {
        return Ok(format!("{}{location}", origin(from)));
    }
    let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    Ok(format!("{}{folder}/{location}", origin(from)))
}
