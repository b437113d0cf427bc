//! A small server on the loopback address that answers as the hub does.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server has, how it misbehaves, and what it was asked.
#[derive(Default)]
pub(crate) struct State {
    /// Path below `/datasets/OWNER/NAME/resolve/main/` or `/OWNER/NAME/resolve/main/`, prefixed by `OWNER/NAME/`.
    pub(crate) files: HashMap<String, Vec<u8>>,
    /// So many transfers break off half-way through what they owe.
    pub(crate) breaks: usize,
    /// Answers a range with the whole file.
    pub(crate) ignores_ranges: bool,
    /// Sends other bytes than were announced.
    pub(crate) corrupts: bool,
    /// Redirects once within the same host before it redirects to another.
    pub(crate) is_renamed: bool,
    /// The methods, paths and first byte of the range of all requests.
    pub(crate) log: Vec<(String, String, u64)>,
    /// Host and `Authorization` of all requests, in lower case.
    pub(crate) tokens: Vec<(String, Option<String>)>,
}

pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let server = Self { state: Arc::clone(&state), address: address.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (state, address) = (Arc::clone(&state), address.clone());
                // A client that goes away in the middle is part of the tests.
                std::thread::spawn(move || drop(answer(stream, &state, &address)));
            }
        });
        server
    }

    pub(crate) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn add(&self, path: &str, bytes: &[u8]) -> String {
        self.state().files.insert(path.to_owned(), bytes.to_vec());
        sha256(bytes)
    }

    /// The first bytes of the ranges in which content was asked for.
    pub(crate) fn transfers(&self) -> Vec<u64> {
        let state = self.state();
        let content =
            state.log.iter().filter(|(method, path, _)| method == "GET" && path.starts_with("/content/"));
        content.map(|(.., start)| *start).collect()
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One request per connection. `resolve` announces the file and redirects to another host name, as the hub does;
/// `/content/` has the bytes and knows nothing else.
fn answer(mut stream: TcpStream, state: &Mutex<State>, address: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut range, mut host, mut token) = (None, String::new(), None);
    for line in lines.by_ref() {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some((start, end)) = line.strip_prefix("range: bytes=").and_then(|range| range.split_once('-'))
        {
            range = Some((start.parse::<usize>().unwrap(), end.parse::<usize>().unwrap()));
        }
        host = line.strip_prefix("host: ").map_or(host, str::to_owned);
        token = line.strip_prefix("authorization: ").map_or(token, |token| Some(token.to_owned()));
    }
    let mut state = state.lock().unwrap();
    let start = range.map_or(0, |(start, _)| start as u64);
    state.log.push((method.to_owned(), path.to_owned(), start));
    state.tokens.push((host, token));

    if let Some(repository) = path.strip_prefix("/api/models/") {
        let prefix = format!("{repository}/");
        let files = state.files.keys().filter_map(|file| file.strip_prefix(&prefix));
        let files: Vec<_> = files.map(|file| serde_json::json!({"rfilename": file})).collect();
        let status = if files.is_empty() { "404 Not Found" } else { "200 OK" };
        let body = serde_json::json!({"sha": COMMIT, "siblings": files}).to_string();
        let length = body.len();
        return write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
    }
    let repository = path.strip_prefix("/datasets/").or(path.strip_prefix('/'));
    if let Some(file) = repository.filter(|path| path.contains("resolve/main/")) {
        let file = file.replace("resolve/main/", "").replace("?renamed", "");
        let Some(bytes) = state.files.get(&file) else {
            return write!(
                stream,
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        };
        if state.is_renamed && !path.ends_with("?renamed") {
            return write!(
                stream,
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: {path}?renamed\r\nContent-Length: 0\r\n\
                 Connection: close\r\n\r\n"
            );
        }
        let elsewhere = address.replace("127.0.0.1", "localhost");
        return write!(
            stream,
            "HTTP/1.1 302 Found\r\nLocation: {elsewhere}/content/{file}\r\nX-Repo-Commit: {COMMIT}\r\n\
             X-Linked-Etag: \"{}\"\r\nX-Linked-Size: {}\r\nETag: \"wrong\"\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n",
            sha256(bytes),
            bytes.len(),
        );
    }
    let Some(mut bytes) = path.strip_prefix("/content/").and_then(|file| state.files.get(file)).cloned()
    else {
        return write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    if state.corrupts {
        bytes[0] ^= 1;
    }
    let total = bytes.len();
    let mut status = "200 OK".to_owned();
    if let Some((start, end)) = range.filter(|_| !state.ignores_ranges) {
        bytes = bytes[start..=end].to_vec();
        status = format!("206 Partial Content\r\nContent-Range: bytes {start}-{end}/{total}");
    }
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len())?;
    if state.breaks > 0 {
        state.breaks -= 1;
        bytes.truncate(bytes.len() / 2);
    }
    drop(state);
    if method == "GET" { stream.write_all(&bytes) } else { Ok(()) }
}
