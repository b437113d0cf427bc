//! Downloads, against a small server on the loopback address that answers as the hub does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use gyrus_data::{Error, Features, Hub, Targets};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::writer::SerializedFileWriter;
use sha2::{Digest, Sha256};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server has, how it misbehaves, and what it was asked.
#[derive(Default)]
struct State {
    /// Path below `/datasets/OWNER/NAME/resolve/main/` or `/OWNER/NAME/resolve/main/`, prefixed by `OWNER/NAME/`.
    files: HashMap<String, Vec<u8>>,
    /// So many transfers break off half-way through what they owe.
    breaks: usize,
    /// Answers a range with the whole file.
    ignores_ranges: bool,
    /// Sends other bytes than were announced.
    corrupts: bool,
    /// Redirects once within the same host before it redirects to another.
    is_renamed: bool,
    /// The methods, paths and first byte of the range of all requests.
    log: Vec<(String, String, u64)>,
    /// Host and `Authorization` of all requests, in lower case.
    tokens: Vec<(String, Option<String>)>,
}

struct Server {
    state: Arc<Mutex<State>>,
    address: String,
}

impl Server {
    fn start() -> Self {
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

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn add(&self, path: &str, bytes: &[u8]) -> String {
        self.state().files.insert(path.to_owned(), bytes.to_vec());
        sha256(bytes)
    }

    /// The first bytes of the ranges in which content was asked for.
    fn transfers(&self) -> Vec<u64> {
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

fn hub(server: &Server, cache: &Path) -> Hub {
    Hub::new(&server.address, cache, false).unwrap()
}

const FILE: &str = "folder/file.bin";

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|at| (at * 31 % 251) as u8).collect()
}

fn fetch(hub: &Hub) -> gyrus_data::Result<PathBuf> {
    hub.fetch("some", "thing", FILE)
}

fn incomplete(cache: &Path, sum: &str) -> PathBuf {
    cache.join("datasets--some--thing/blobs").join(format!("{sum}.incomplete"))
}

#[test]
fn a_file_arrives_once_and_lies_where_other_programs_look_for_it() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let sum = server.add(&format!("some/thing/{FILE}"), &content());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let report = Arc::clone(&seen);
    let hub = hub(&server, cache.path())
        .with_progress(move |file, done, total| report.lock().unwrap().push((file.to_owned(), done, total)));
    let path = fetch(&hub).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), content());
    let repository = cache.path().join("datasets--some--thing");
    assert_eq!(path, repository.join("snapshots").join(COMMIT).join(FILE));
    assert_eq!(std::fs::read_to_string(repository.join("refs/main")).unwrap(), COMMIT);
    assert!(repository.join("blobs").join(&sum).is_file());
    let seen = seen.lock().unwrap();
    assert_eq!(seen.first().unwrap(), &(FILE.to_owned(), 0, 300_000));
    assert_eq!(seen.last().unwrap(), &(FILE.to_owned(), 300_000, 300_000));

    assert_eq!(fetch(&hub).unwrap(), path);
    assert_eq!(server.transfers(), [0], "the second time nothing is transferred");
}

#[test]
fn a_broken_connection_is_taken_up_again() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    server.add(&format!("some/thing/{FILE}"), &content());
    server.state().breaks = 1;
    assert_eq!(std::fs::read(fetch(&hub(&server, cache.path())).unwrap()).unwrap(), content());
    let transfers = server.transfers();
    assert_eq!(transfers.len(), 2);
    assert!(transfers[1] > 0 && transfers[1] <= 150_000, "{transfers:?}");
}

#[test]
fn a_later_run_goes_on_where_an_earlier_one_stopped() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let sum = server.add(&format!("some/thing/{FILE}"), &content());
    server.state().breaks = 3;
    let message = fetch(&hub(&server, cache.path())).unwrap_err().to_string();
    assert!(message.contains("of 300000 bytes; run it again to go on from there"), "{message}");
    let kept = std::fs::metadata(incomplete(cache.path(), &sum)).unwrap().len();
    assert!(kept > 150_000, "{kept} bytes kept");

    let path = fetch(&hub(&server, cache.path())).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content());
    assert_eq!(*server.transfers().last().unwrap(), kept);
    assert!(!incomplete(cache.path(), &sum).exists());
}

#[test]
fn a_server_that_ignores_ranges_is_served_from_the_start() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    server.add(&format!("some/thing/{FILE}"), &content());
    server.state().breaks = 1;
    server.state().ignores_ranges = true;
    assert_eq!(std::fs::read(fetch(&hub(&server, cache.path())).unwrap()).unwrap(), content());
}

#[test]
fn other_bytes_than_announced_are_refused_and_removed() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let sum = server.add(&format!("some/thing/{FILE}"), &content());
    server.state().corrupts = true;
    match fetch(&hub(&server, cache.path())) {
        Err(Error::Checksum { expected, got, .. }) => {
            assert_eq!(expected, sum);
            assert_ne!(got, sum);
        }
        other => panic!("{other:?} is not a wrong checksum"),
    }
    let left: Vec<_> = std::fs::read_dir(cache.path().join("datasets--some--thing/blobs")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    server.state().corrupts = false;
    assert_eq!(std::fs::read(fetch(&hub(&server, cache.path())).unwrap()).unwrap(), content());
}

#[test]
fn a_cached_file_that_was_damaged_is_fetched_again() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let sum = server.add(&format!("some/thing/{FILE}"), &content());
    fetch(&hub(&server, cache.path())).unwrap();
    let blob = cache.path().join("datasets--some--thing/blobs").join(sum);
    let mut bytes = content();
    bytes[7] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    assert_eq!(std::fs::read(fetch(&hub(&server, cache.path())).unwrap()).unwrap(), content());
}

#[test]
fn without_a_hub_the_cache_serves_and_what_is_missing_is_said() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    server.add(&format!("some/thing/{FILE}"), &content());
    let path = fetch(&hub(&server, cache.path())).unwrap();
    // A port at which nobody listens.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unreachable = Hub::new(&format!("http://{gone}"), cache.path(), false).unwrap();
    assert_eq!(fetch(&unreachable).unwrap(), path);
    let message = unreachable.fetch("some", "other", FILE).unwrap_err().to_string();
    assert!(message.contains("folder/file.bin of some/other from http://127.0.0.1"), "{message}");

    let requests = server.state().log.len();
    let offline = Hub::new(&server.address, cache.path(), true).unwrap();
    assert_eq!(fetch(&offline).unwrap(), path);
    let message = offline.fetch("some", "other", FILE).unwrap_err().to_string();
    assert!(message.contains("not in the cache, and HF_HUB_OFFLINE forbids to download it"), "{message}");
    assert_eq!(server.state().log.len(), requests, "offline asks nobody");
    let message = hub(&server, cache.path()).fetch("some", "other", FILE).unwrap_err().to_string();
    assert!(message.contains("the hub answered 404 Not Found"), "{message}");
}

#[test]
fn a_language_model_arrives_with_all_its_parts_and_only_what_must_be_there_is_missed() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let hub = hub(&server, cache.path());
    let message = hub.model("some", "model").unwrap_err().to_string();
    assert!(message.contains("config.json of some/model") && message.contains("404"), "{message}");
    server.add("some/model/config.json", b"{}");
    server.add("some/model/tokenizer.json", b"[]");
    let message = hub.model("some", "model").unwrap_err().to_string();
    assert!(message.contains("model.safetensors of some/model"), "{message}");
    server.add("some/model/model.safetensors", b"weights");
    let folder = hub.model("some", "model").unwrap();
    assert_eq!(folder, cache.path().join("models--some--model/snapshots").join(COMMIT));
    for (file, content) in [("config.json", "{}"), ("tokenizer.json", "[]"), ("model.safetensors", "weights")]
    {
        assert_eq!(std::fs::read_to_string(folder.join(file)).unwrap(), content);
    }
    assert!(!folder.join("generation_config.json").exists());

    // In parts, and again without the hub.
    server.add("some/large/config.json", b"{}");
    let index = br#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}}"#;
    server.add("some/large/model.safetensors.index.json", index);
    server.add("some/large/model-1.safetensors", b"one");
    hub.model("some", "large").unwrap_err();
    server.add("some/large/model-2.safetensors", b"two");
    let folder = hub.model("some", "large").unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("model-2.safetensors")).unwrap(), "two");
    let offline = Hub::new(&server.address, cache.path(), true).unwrap();
    assert_eq!(offline.model("some", "large").unwrap(), folder);
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unreachable = Hub::new(&format!("http://{gone}"), cache.path(), false).unwrap();
    assert_eq!(unreachable.model("some", "large").unwrap(), folder);
    unreachable.model("some", "other").unwrap_err();

    server.add("some/bad/config.json", b"{}");
    server.add("some/bad/model.safetensors.index.json", br#"{"weight_map": {"a": "../../x.safetensors"}}"#);
    let message = hub.model("some", "bad").unwrap_err().to_string();
    assert!(message.contains("../../x.safetensors"), "{message}");
}

/// The environment of a process cannot be changed safely, so that this test runs itself again with another.
#[test]
fn the_environment_is_honoured() {
    if std::env::var("GYRUS_TEST_CHILD").is_ok() {
        let path = fetch(&Hub::from_environment().unwrap());
        match std::env::var("HF_HUB_OFFLINE") {
            Ok(_) => assert!(path.unwrap_err().to_string().contains("HF_HUB_OFFLINE")),
            Err(_) => assert!(path.unwrap().starts_with(std::env::var("HF_HOME").unwrap())),
        }
        return;
    }
    let server = Server::start();
    server.add(&format!("some/thing/{FILE}"), &content());
    for offline in [true, false] {
        let home = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "the_environment_is_honoured"]).env("GYRUS_TEST_CHILD", "1");
        child.env("HF_ENDPOINT", &server.address).env("HF_HOME", home.path());
        child.env_remove("HF_HUB_CACHE").env_remove("HUGGINGFACE_HUB_CACHE").env_remove("HF_HUB_OFFLINE");
        if offline {
            child.env("HF_HUB_OFFLINE", "1");
        }
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(home.path().join("hub").exists(), !offline);
    }
}

#[test]
fn the_token_goes_to_the_hub_and_to_nobody_else() {
    const NAME: &str = "the_token_goes_to_the_hub_and_to_nobody_else";
    if std::env::var("GYRUS_TEST_CHILD").is_ok() {
        assert_eq!(std::fs::read(fetch(&Hub::from_environment().unwrap()).unwrap()).unwrap(), content());
        return;
    }
    for (variables, expected) in [
        (&[("HF_TOKEN", " secret\n")][..], Some("bearer secret")),
        (&[("HF_TOKEN", "secret"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")], None),
        (&[], Some("bearer stored")),
    ] {
        let server = Server::start();
        server.add(&format!("some/thing/{FILE}"), &content());
        server.state().is_renamed = true;
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "stored\n").unwrap();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", NAME]).env("GYRUS_TEST_CHILD", "1");
        for name in
            ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN"]
        {
            child.env_remove(name);
        }
        child.env("HF_ENDPOINT", format!("{}/", server.address)).env("HF_HOME", home.path());
        let output = child.envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let tokens = server.state().tokens.clone();
        let (hub, others): (Vec<_>, Vec<_>) =
            tokens.into_iter().partition(|(host, _)| host.starts_with("127.0.0.1"));
        assert!(hub.len() == 4 && hub.iter().all(|(_, token)| token.as_deref() == expected), "{hub:?}");
        assert!(others.len() == 1 && others.iter().all(|(_, token)| token.is_none()), "{others:?}");
    }
}

/// A Parquet file as the hub's: a group of encoded picture and path, and a label.
fn parquet_file(image_column: &str, pictures: &[Vec<u8>], labels: &[i64]) -> Vec<u8> {
    let schema = format!(
        "message schema {{ optional group {image_column} {{ optional binary bytes; optional binary path (UTF8); }}
         optional int64 label; }}"
    );
    let schema = Arc::new(parquet::schema::parser::parse_message_type(&schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let pictures: Vec<ByteArray> = pictures.iter().map(|picture| ByteArray::from(picture.clone())).collect();
    let present = vec![2; labels.len()];
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&pictures, Some(&present), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&[], Some(&vec![1; labels.len()]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(labels, Some(&vec![1; labels.len()]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

fn png(side: u32, value: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::GrayImage::from_pixel(side, side, image::Luma([value]));
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn the_three_data_sets_are_decoded() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    for (folder, column, side) in [
        ("ylecun/mnist/mnist", "image", 28),
        ("zalando-datasets/fashion_mnist/fashion_mnist", "image", 28),
        ("uoft-cs/cifar10/plain_text", "img", 32),
    ] {
        let train = parquet_file(column, &[png(side, 5), png(side, 6), png(side, 7)], &[3, 9, 0]);
        server.add(&format!("{folder}/train-00000-of-00001.parquet"), &train);
        server.add(
            &format!("{folder}/test-00000-of-00001.parquet"),
            &parquet_file(column, &[png(side, 8)], &[1]),
        );
    }
    let hub = hub(&server, cache.path());
    for (dataset, name, channels) in [
        (hub.mnist().unwrap(), "mnist", 1),
        (hub.fashion_mnist().unwrap(), "fashion-mnist", 1),
        (hub.cifar10().unwrap(), "cifar10", 3),
    ] {
        assert_eq!(dataset.name, name);
        assert_eq!(dataset.train.targets, Targets::Classes(vec![3, 9, 0]));
        let Features::Images(test) = &dataset.test.features else { panic!("pictures") };
        assert_eq!((test.count, test.channels), (1, channels));
        assert!(test.pixels.iter().all(|pixel| *pixel == 8));
    }
}

#[test]
fn wrong_parquet_files_are_refused_in_one_sentence() {
    let cases = [
        (b"PAR1 nothing of the kind PAR1".to_vec(), "a damaged Parquet file"),
        (
            parquet_file("image", &[png(27, 1)], &[1]),
            "got 27 by 27 pixels in row 0, expected a picture of 28 by 28",
        ),
        (parquet_file("image", &[b"no".to_vec()], &[1]), "not an intact PNG, JPEG or WebP picture"),
        (
            parquet_file("image", &[png(28, 1)], &[10]),
            "got row 0 without them, expected 'image' with the bytes",
        ),
        (parquet_file("other", &[png(28, 1)], &[1]), "got row 0 without them"),
    ];
    for (bytes, expected) in cases {
        let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
        server.add("ylecun/mnist/mnist/train-00000-of-00001.parquet", &bytes);
        let message = hub(&server, cache.path()).mnist().unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}
