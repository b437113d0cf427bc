//! Downloads, against a small server on the loopback address that answers as the hub does.

#[path = "common/hub_server.rs"]
mod hub_server;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use gyrus_formats::Error;
use gyrus_formats::hub::Hub;
use hub_server::{COMMIT, Server};

fn hub(server: &Server, cache: &Path) -> Hub {
    Hub::new(&server.address, cache, false).unwrap()
}

const FILE: &str = "folder/file.bin";

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|at| (at * 31 % 251) as u8).collect()
}

fn fetch(hub: &Hub) -> gyrus_formats::Result<PathBuf> {
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
fn one_gguf_file_of_many_arrives_with_its_parts_and_is_listed() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    for file in ["a-Q4_K_M.gguf", "a-Q8_0-00001-of-00002.gguf", "a-Q8_0-00002-of-00002.gguf", "README.md"] {
        server.add(&format!("some/thing/{file}"), file.as_bytes());
    }
    let hub = hub(&server, cache.path());
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(hub.model_gguf("some", "thing", None).unwrap()), "a-Q4_K_M.gguf");
    let first = hub.model_gguf("some", "thing", Some("q8_0")).unwrap();
    assert_eq!(read(first.with_file_name("a-Q8_0-00002-of-00002.gguf")), "a-Q8_0-00002-of-00002.gguf");
    assert_eq!(read(first), "a-Q8_0-00001-of-00002.gguf");
    let error = hub.model_gguf("some", "thing", Some("Q6_K")).unwrap_err().to_string();
    assert!(error.contains("Q6_K") && error.contains("a-Q4_K_M.gguf"), "{error}");
    assert!(hub.model_gguf("some", "other", None).unwrap_err().to_string().contains("404"));
    let [model] = &hub.cached_models()[..] else { panic!("{:?}", hub.cached_models()) };
    assert_eq!((model.name.as_str(), model.files.len()), ("some/thing", 3));
    assert_eq!(model.bytes, model.files.iter().map(|file| file.len() as u64).sum::<u64>());
    // What is there serves without the hub, too.
    let alone = Hub::new(&server.address, cache.path(), true).unwrap();
    assert_eq!(read(alone.model_gguf("some", "thing", Some("Q4_K_M")).unwrap()), "a-Q4_K_M.gguf");
    assert!(alone.model_gguf("some", "other", None).unwrap_err().to_string().contains("HF_HUB_OFFLINE"));
}

#[test]
fn the_environment_is_honored() {
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
        child.args(["--exact", "hub::the_environment_is_honored"]).env("GYRUS_TEST_CHILD", "1");
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
    const NAME: &str = "hub::the_token_goes_to_the_hub_and_to_nobody_else";
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
