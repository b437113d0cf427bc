//! The server: connections, access control and graceful shutdown.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::cors::{Origins, is_preflight, open, preflight};
use crate::error::{ApiError, Error, Result};
use crate::service::Service;
use crate::{handlers, tokens};

/// The most open connections; others wait to be accepted.
const MOST_CONNECTIONS: u32 = 256;
/// How long a client may take to send the head of a request, and a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of a request's head.
const MOST_HEAD_BYTES: usize = 64 << 10;
/// Threads that prepare requests: tokenizing, templates, schemas.
const PREPARING_THREADS: usize = 4;
/// How long running answers may take during shutdown.
const LAST_ANSWERS: Duration = Duration::from_secs(60);
/// How long to wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A server bound to an address.
#[derive(Debug)]
pub struct Server {
    listener: std::net::TcpListener,
    address: SocketAddr,
    service: Arc<Service>,
    key: Option<Vec<u8>>,
    origins: Origins,
}

/// A handle that shuts a server down.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<bool>);

impl Shutdown {
    /// A handle that has not been used yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Stops accepting requests; the server ends when the running ones are answered.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    async fn begun(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

/// Access control.
#[derive(Debug)]
struct Guard {
    key: Option<Vec<u8>>,
    origins: Origins,
    service: Arc<Service>,
}

impl Server {
    /// Binds an address; port 0 picks a free port. Without an API key, only loopback addresses are allowed.
    ///
    /// # Errors
    /// [`Error::Address`] if the address cannot be bound, [`Error::Unprotected`] for one that other machines can reach without
    /// a key, [`Error::Key`] for a key that clients cannot send.
    pub fn bind(service: Service, host: &str, port: u16, key: Option<String>) -> Result<Self> {
        let refused = |reason: String| Error::Address { host: host.to_owned(), port, reason };
        if let Some(key) = &key {
            let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
            match (key.is_empty(), visible) {
                (true, _) => return Err(Error::Key { got: "an empty key" }),
                (_, false) => return Err(Error::Key { got: "other characters" }),
                _ => {}
            }
        }
        let addresses: Vec<SocketAddr> =
            (host, port).to_socket_addrs().map_err(|error| refused(error.to_string()))?.collect();
        if key.is_none() && !addresses.iter().all(|address| is_own(address.ip())) {
            return Err(Error::Unprotected { host: host.to_owned() });
        }
        let listener =
            std::net::TcpListener::bind(&addresses[..]).map_err(|error| refused(error.to_string()))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let key = key.map(String::into_bytes);
        Ok(Self { listener, address, service: Arc::new(service), key, origins: Origins::default() })
    }

    /// Lets the web pages of these origins use the server, or all with `*` (CORS).
    ///
    /// # Errors
    /// [`Error::Origin`] for something that is no origin.
    pub fn with_origins(mut self, origins: &[String]) -> Result<Self> {
        self.origins = Origins::of(origins)?;
        Ok(self)
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until shutdown, when the running answers have ended.
    ///
    /// # Errors
    /// [`Error::System`] if the operating system refuses threads or the address.
    pub fn run(self, shutdown: &Shutdown) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(PREPARING_THREADS)
            .thread_name("gyrus-http")
            .enable_io()
            .enable_time()
            .build()?;
        let guard = Guard { key: self.key, origins: self.origins, service: Arc::clone(&self.service) };
        let router = router(self.service, Arc::new(guard));
        let result = runtime.block_on(serve(self.listener, router, shutdown));
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    }
}

fn is_own(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn router(service: Arc<Service>, guard: Arc<Guard>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(handlers::chat))
        .route("/v1/responses", post(handlers::response))
        .route("/v1/completions", post(handlers::completion))
        .route("/v1/embeddings", post(handlers::embeddings))
        .route("/v1/models", get(handlers::models))
        // Model names may contain a slash.
        .route("/v1/models/{*name}", get(handlers::model))
        .route("/tokenize", post(tokens::tokenize))
        .route("/detokenize", post(tokens::detokenize))
        .route("/health", get(handlers::health))
        .route("/metrics", get(handlers::metrics))
        .fallback(handlers::nowhere)
        .method_not_allowed_fallback(handlers::wrong_method)
        .layer(from_fn_with_state(guard, admit))
        .with_state(service)
}

/// Checks access and records metrics.
async fn admit(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let clock = Instant::now();
    let path = known(request.uri().path());
    let allowed = guard.origins.allowed(request.headers());
    let mut response = match guard.check(path, request.headers()) {
        // A browser asks without the key.
        _ if allowed.is_some() && is_preflight(request.method(), request.headers()) => {
            preflight(request.headers())
        }
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    if let Some(allowed) = allowed {
        open(&mut response, allowed);
    }
    guard.service.metrics.request(path, response.status().as_u16(), clock.elapsed());
    response
}

/// The label of a path in metrics; unknown paths do not create new counters.
fn known(path: &str) -> &'static str {
    const PATHS: [&str; 9] = [
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/models",
        "/tokenize",
        "/detokenize",
        "/health",
        "/metrics",
    ];
    PATHS.into_iter().find(|known| path.starts_with(known)).unwrap_or("other")
}

impl Guard {
    fn check(&self, path: &str, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(key) = &self.key else {
            // A web page may reach this machine through a domain name that resolves to it (DNS rebinding).
            return match headers.get(header::HOST).map(|host| host.to_str().is_ok_and(is_own_name)) {
                None | Some(true) => Ok(()),
                Some(false) => Err(ApiError::forbidden("Host: expected localhost or a loopback address")),
            };
        };
        if path == "/health" {
            return Ok(());
        }
        let given = headers.get(header::AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
        let given = match given.split_at_checked("Bearer ".len()) {
            Some((scheme, given)) if scheme.eq_ignore_ascii_case(b"Bearer ") => given,
            _ => return Err(ApiError::unauthorized()),
        };
        match bool::from(given.ct_eq(key)) {
            true => Ok(()),
            false => Err(ApiError::unauthorized()),
        }
    }
}

/// Whether a Host header names this machine.
fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || ip.is_ok_and(is_own)
}

async fn serve(listener: std::net::TcpListener, router: Router, shutdown: &Shutdown) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS as usize));
    loop {
        let accept = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            accepted = accept => accepted,
            () = shutdown.begun() => break,
        };
        let Ok((stream, _)) = accepted else {
            // The client is already gone, or the system is temporarily out of resources.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (router, shutdown) = (router.clone(), shutdown.clone());
        tokio::spawn(async move {
            connection(stream, router, &shutdown).await;
            drop(permit);
        });
    }
    drop(listener);
    // Wait until every connection has returned its permit, or for the timeout.
    let _ = tokio::time::timeout(LAST_ANSWERS, connections.acquire_many(MOST_CONNECTIONS)).await;
    Ok(())
}

async fn connection(stream: TcpStream, router: Router, shutdown: &Shutdown) {
    // Send tokens immediately; failing to set this is harmless.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MOST_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    // Errors of a connection concern only the client.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shutdown.begun() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine() {
        for own in
            ["localhost", "localhost:8080", "127.0.0.1", "127.0.0.1:1", "[::1]:8080", "[::1]", "LOCALHOST"]
        {
            assert!(is_own_name(own), "{own}");
        }
        for other in
            ["example.org", "localhost.example.org:80", "10.0.0.1", "", "[::2]:1", "127.0.0.1.example.org"]
        {
            assert!(!is_own_name(other), "{other}");
        }
    }

    #[test]
    fn unknown_paths_make_no_counters() {
        assert_eq!(known("/v1/models/a/b"), "/v1/models");
        assert_eq!(known("/etc/passwd"), "other");
    }
}
