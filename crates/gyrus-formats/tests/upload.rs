//! A commit to the hub, against a small server on the loopback address that keeps what it is sent as the hub does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gyrus_formats::hub::Hub;
use serde_json::{Value, json};

/// What the server was told.
#[derive(Default)]
struct State {
    created: Option<Value>,
    /// Bytes at the host of large files, by checksum.
    store: BTreeMap<String, Vec<u8>>,
    verified: Vec<String>,
    /// The files of the commit.
    files: BTreeMap<String, Vec<u8>>,
    /// Path, host and token of each request.
    log: Vec<(String, String, Option<String>)>,
    refuses: bool,
}

fn start() -> (Arc<Mutex<State>>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let state = Arc::new(Mutex::new(State::default()));
    let (own, there) = (Arc::clone(&state), address.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            answer(stream, &own, &there);
        }
    });
    (state, address)
}

fn answer(mut stream: TcpStream, state: &Mutex<State>, address: &str) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let path = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let (mut length, mut host, mut token) = (0, String::new(), None);
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "host" => host = value.to_owned(),
            "authorization" => token = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut state = state.lock().unwrap();
    state.log.push((path.clone(), host, token));
    let (status, answer) = reply(&path, &body, &mut state, address);
    let text = answer.to_string();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
}

fn reply(path: &str, body: &[u8], state: &mut State, address: &str) -> (u16, Value) {
    let parsed: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    if state.refuses {
        return (403, json!({"error": "no right to write"}));
    }
    match path {
        "api/repos/create" => {
            let known = state.created.replace(parsed).is_some();
            (if known { 409 } else { 200 }, json!({}))
        }
        "api/models/me/mine/preupload/main" => {
            let files = parsed["files"].as_array().unwrap().iter().map(|file| {
                let large = file["path"].as_str().unwrap().ends_with(".safetensors");
                assert!(STANDARD.decode(file["sample"].as_str().unwrap()).unwrap().len() <= 512);
                json!({"path": file["path"], "uploadMode": if large { "lfs" } else { "regular" }})
            });
            (200, json!({"files": files.collect::<Vec<_>>()}))
        }
        "me/mine.git/info/lfs/objects/batch" => {
            let elsewhere = address.replace("127.0.0.1", "localhost");
            let objects = parsed["objects"].as_array().unwrap().iter().map(|object| {
                let sum = object["oid"].as_str().unwrap();
                let mut answer = json!({"oid": sum, "size": object["size"]});
                if !state.store.contains_key(sum) {
                    answer["actions"] = json!({
                        "upload": {"href": format!("{elsewhere}/store/{sum}"), "header": {"X-Signed": "yes"}},
                        "verify": {"href": format!("{address}/verify/{sum}")},
                    });
                }
                answer
            });
            (200, json!({"objects": objects.collect::<Vec<_>>()}))
        }
        "api/models/me/mine/commit/main" => {
            let text = String::from_utf8(body.to_vec()).unwrap();
            for line in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
                let value = &line["value"];
                let name = value["path"].as_str().unwrap_or_default().to_owned();
                match line["key"].as_str().unwrap() {
                    "header" => assert_eq!(value["summary"], "Hello"),
                    "file" => {
                        state
                            .files
                            .insert(name, STANDARD.decode(value["content"].as_str().unwrap()).unwrap());
                    }
                    _ => {
                        let bytes = state.store[value["oid"].as_str().unwrap()].clone();
                        assert_eq!(value["size"].as_u64().unwrap() as usize, bytes.len());
                        state.files.insert(name, bytes);
                    }
                }
            }
            (200, json!({"commitUrl": format!("{address}/me/mine/commit/abc")}))
        }
        path => match (path.strip_prefix("store/"), path.strip_prefix("verify/")) {
            (Some(sum), _) => {
                state.store.insert(sum.to_owned(), body.to_vec());
                (200, json!({}))
            }
            (_, Some(sum)) => {
                state.verified.push(sum.to_owned());
                (200, json!({}))
            }
            _ => (404, json!({})),
        },
    }
}

fn files() -> Vec<(String, Vec<u8>)> {
    let weights: Vec<u8> = (0..100_000u32).map(|at| (at * 31 % 251) as u8).collect();
    vec![("README.md".to_owned(), b"# Mine\n".to_vec()), ("model.safetensors".to_owned(), weights)]
}

#[test]
fn one_commit_holds_all_files_and_the_token_stays_with_the_hub() {
    let (state, address) = start();
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::with_token(&address, cache.path(), "secret").unwrap();
    let mut seen = Vec::new();
    let watch = &mut |name: &str, done, total| seen.push((name.to_owned(), done, total));
    let pushed = hub.push_model(("me", "mine"), true, &files(), "Hello", watch).unwrap();
    assert_eq!(pushed.address, format!("{address}/me/mine/commit/abc"));
    assert_eq!(pushed.large, ["model.safetensors"]);
    assert_eq!(seen, [("model.safetensors".to_owned(), 100_000, 100_000)]);
    {
        let state = state.lock().unwrap();
        assert_eq!(state.files, files().into_iter().collect());
        let created = state.created.as_ref().unwrap();
        assert_eq!((&created["private"], &created["organization"]), (&json!(true), &json!("me")));
        assert_eq!(state.verified.len(), 1);
        for (path, host, token) in &state.log {
            let own = host.starts_with("127.0.0.1");
            assert_eq!(own, !path.starts_with("store/"), "{path} at {host}");
            assert_eq!(token.as_deref(), own.then_some("Bearer secret"), "{path}");
        }
    }
    // The second time the repository and the large file are there.
    let requests = state.lock().unwrap().log.len();
    hub.push_model(("me", "mine"), true, &files(), "Hello", &mut |_, _, _| ()).unwrap();
    let state = state.lock().unwrap();
    assert!(state.log[requests..].iter().all(|(path, ..)| !path.starts_with("store/")), "{:?}", state.log);
}

#[test]
fn what_the_hub_refuses_is_said() {
    let (state, address) = start();
    let cache = tempfile::tempdir().unwrap();
    let push = |hub: &Hub| {
        hub.push_model(("me", "mine"), false, &files(), "Hello", &mut |_, _, _| ()).unwrap_err().to_string()
    };
    let said = push(&Hub::new(&address, cache.path(), false).unwrap());
    assert!(said.contains("HF_TOKEN") && state.lock().unwrap().log.is_empty(), "{said}");
    state.lock().unwrap().refuses = true;
    let said = push(&Hub::with_token(&address, cache.path(), "secret").unwrap());
    assert!(said.contains("403") && said.contains("no right to write") && !said.contains("secret"), "{said}");
}
