//! `gyrus serve` over TCP, with a tiny model of drawn numbers, and with a real one where its data is there.

use crate::serving;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::{gyrus, json as program_json, real_data, refused, usage};
use crate::serving::{Serving, begin, content, question, receive, send};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

#[test]
fn an_answer_is_the_same_whole_and_streamed_and_a_seed_repeats_it() {
    let server = Serving::tiny(&[]);
    let ask = |more: Value| server.post(CHAT, &question("Hello", &more));
    let whole = ask(json!({"seed": 5, "max_tokens": 40})).json();
    assert_eq!(whole["object"], "chat.completion");
    let usage = &whole["usage"];
    assert_eq!(usage["prompt_tokens"], 1 + "user: Hello\nassistant: ".len());
    assert_eq!(
        usage["total_tokens"],
        usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap()
    );
    let again = ask(json!({"seed": 5, "max_completion_tokens": 40})).json();
    assert_eq!(content(&again), content(&whole));
    assert_ne!(content(&ask(json!({"seed": 6, "max_tokens": 40})).json()), content(&whole));

    let options = json!({"include_usage": true});
    let chunks =
        ask(json!({"seed": 5, "max_tokens": 40, "stream": true, "stream_options": options})).chunks();
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    let (last, chunks) = chunks.split_last().unwrap();
    assert_eq!((&last["usage"], &last["choices"]), (&with_reuse(usage, last), &json!([])));
    let mut text = String::new();
    let mut finish = Vec::new();
    for chunk in chunks {
        assert_eq!((&chunk["object"], &chunk["usage"]), (&json!("chat.completion.chunk"), &Value::Null));
        assert_eq!(chunk["id"], last["id"]);
        text += chunk["choices"][0]["delta"]["content"].as_str().unwrap_or("");
        finish.extend(chunk["choices"][0]["finish_reason"].as_str().map(str::to_owned));
    }
    assert_eq!(text, content(&whole));
    assert_eq!(finish, [whole["choices"][0]["finish_reason"].as_str().unwrap()]);
    let plain = ask(json!({"seed": 5, "max_tokens": 3, "stream": true})).chunks();
    assert!(plain.iter().all(|chunk| chunk.get("usage").is_none()));
}

/// The same usage, with what was reused of the prompt as it is there.
fn with_reuse(usage: &Value, of: &Value) -> Value {
    let mut usage = usage.clone();
    usage["prompt_tokens_details"] = of["usage"]["prompt_tokens_details"].clone();
    usage
}

#[test]
fn settings_are_followed() {
    let server = Serving::tiny(&[]);
    let ask = |more: Value| server.post(CHAT, &question("Hi", &more)).json();
    // Without the token that ends texts, so many are written.
    let length = ask(json!({"max_tokens": 60, "seed": 1, "logit_bias": {"2": -100}}));
    assert_eq!(length["choices"][0]["finish_reason"], "length");
    let text = content(&length).to_owned();
    assert_eq!(text.len(), 60);
    let stop = &text[20..22];
    let stopped =
        ask(json!({"max_tokens": 60, "seed": 1, "logit_bias": {"2": -100}, "stop": [stop, "never met"]}));
    assert_eq!(content(&stopped), &text[..text.find(stop).unwrap()]);
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    // Token 3 + n is the n-th letter.
    let letter = |letter: char| (3 + 1 + letter as u32 - ' ' as u32).to_string();
    let only = ask(json!({"max_tokens": 5, "logit_bias": {letter('x'): 100}, "temperature": 0}));
    assert_eq!(content(&only), "xxxxx");
    let others =
        ask(json!({"max_tokens": 5, "logit_bias": {letter('x'): 20, letter('y'): 19.9}, "temperature": 0,
        "frequency_penalty": 2}));
    assert!(content(&others).contains('y') && content(&others).contains('x'), "{others}");
    let several = ask(json!({"n": 3, "max_tokens": 8, "seed": 9, "logit_bias": {"2": -100}}));
    let choices = several["choices"].as_array().unwrap();
    assert_eq!((choices.len(), &choices[2]["index"]), (3, &json!(2)));
    assert_eq!(several["usage"]["completion_tokens"], 24);
    let second = ask(json!({"max_tokens": 8, "seed": 10, "logit_bias": {"2": -100}}));
    assert_eq!(choices[1]["message"]["content"], second["choices"][0]["message"]["content"]);

    let told = ask(
        json!({"max_tokens": 4, "seed": 1, "logprobs": true, "top_logprobs": 2, "logit_bias": {"2": -100}}),
    );
    let list = told["choices"][0]["logprobs"]["content"].as_array().unwrap();
    let joined: String = list.iter().map(|entry| entry["token"].as_str().unwrap()).collect();
    assert_eq!(joined, content(&told));
    for entry in list {
        assert_eq!(entry["bytes"], json!(entry["token"].as_str().unwrap().as_bytes()));
        let top = entry["top_logprobs"].as_array().unwrap();
        assert_eq!(top.len(), 2);
        let of = |entry: &Value| entry["logprob"].as_f64().unwrap();
        assert!(of(entry) <= of(&top[0]) && of(&top[1]) <= of(&top[0]) && of(&top[0]) <= 0.0, "{entry}");
    }
}

#[test]
fn plain_completions() {
    let server = Serving::tiny(&[]);
    let body = json!({"model": "tiny", "prompt": ["ab", "cd"], "seed": 3, "max_tokens": 9, "logprobs": 1,
        "logit_bias": {"2": -100}});
    let whole = server.post("/v1/completions", &body).json();
    let choices = whole["choices"].as_array().unwrap();
    assert_eq!((whole["object"].as_str(), choices.len()), (Some("text_completion"), 2));
    assert_eq!(choices[1]["logprobs"]["tokens"].as_array().unwrap().len(), 9);
    assert_eq!(choices[1]["logprobs"]["text_offset"][8], 8);
    assert_eq!(whole["usage"]["prompt_tokens"], 6);
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let mut texts = [String::new(), String::new()];
    for chunk in server.post("/v1/completions", &streamed).chunks() {
        let choice = &chunk["choices"][0];
        texts[choice["index"].as_u64().unwrap() as usize] += choice["text"].as_str().unwrap();
    }
    assert_eq!(texts, [choices[0]["text"].as_str().unwrap(), choices[1]["text"].as_str().unwrap()]);
    // The tokens of the text, as numbers.
    let tokens = json!({"model": "tiny", "prompt": [1, 69, 70], "seed": 3, "max_tokens": 9, "logit_bias": {"2": -100}});
    assert_eq!(server.post("/v1/completions", &tokens).json()["choices"][0]["text"], texts[0]);
    let usual =
        server.post("/v1/completions", &json!({"model": "tiny", "prompt": "", "logit_bias": {"2": -100}}));
    assert_eq!(usual.json()["usage"]["completion_tokens"], 16);
}

#[test]
fn a_schema_binds_the_answer() {
    let server = Serving::tiny(&[]);
    let schema = json!({
        "type": "object",
        "properties": {"animal": {"enum": ["cat", "dog"]}, "legs": {"type": "integer", "minimum": 2, "maximum": 4}},
        "required": ["animal", "legs"], "additionalProperties": false,
    });
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "animal", "schema": schema, "strict": true}});
    for (seed, stream) in [(0, false), (1, false), (2, true)] {
        let body = question("Which?", &json!({"response_format": format, "seed": seed, "stream": stream}));
        let response = server.post(CHAT, &body);
        let text = match stream {
            false => content(&response.json()).to_owned(),
            true => response
                .chunks()
                .iter()
                .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
                .collect(),
        };
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(["cat", "dog"].contains(&value["animal"].as_str().unwrap()), "{text}");
        assert!((2..=4).contains(&value["legs"].as_i64().unwrap()), "{text}");
    }
    let body =
        question("x", &json!({"response_format": {"type": "json_object"}, "max_tokens": 5, "seed": 1}));
    assert!(content(&server.post(CHAT, &body).json()).starts_with('{'));
    let wrong = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "color"}}});
    let error = server.post(CHAT, &question("x", &json!({"response_format": wrong}))).error(400);
    assert!(error["message"].as_str().unwrap().contains("JSON schema"), "{error}");
}

#[test]
fn a_tool_is_called_when_it_must_be() {
    let server = Serving::tiny(&[]);
    let tool = |name: &str| {
        json!({"type": "function", "function": {"name": name, "description": "It", "parameters": {
            "type": "object", "properties": {"city": {"$ref": "#/$defs/city"}}, "required": ["city"],
            "additionalProperties": false, "$defs": {"city": {"enum": ["Rome", "Oslo"]}}}}})
    };
    let tools = json!([tool("weather"), tool("time")]);
    for (choice, stream) in [
        (json!("required"), false),
        (json!({"type": "function", "function": {"name": "time"}}), false),
        (json!("required"), true),
    ] {
        let more = json!({"tools": tools, "tool_choice": choice, "seed": 4, "stream": stream});
        let response = server.post(CHAT, &question("Where?", &more));
        let (calls, finish) = if stream {
            let chunks = response.chunks();
            let calls: Vec<Value> = chunks
                .iter()
                .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array())
                .flatten()
                .cloned()
                .collect();
            (calls, chunks.last().unwrap()["choices"][0]["finish_reason"].clone())
        } else {
            let answer = response.json();
            let message = &answer["choices"][0]["message"];
            assert!(message["content"].is_null(), "{answer}");
            (message["tool_calls"].as_array().unwrap().clone(), answer["choices"][0]["finish_reason"].clone())
        };
        assert_eq!((calls.len(), finish.as_str()), (1, Some("tool_calls")), "{calls:?}");
        let call = &calls[0];
        assert!(call["id"].as_str().unwrap().starts_with("call_") && call["type"] == "function");
        let name = call["function"]["name"].as_str().unwrap();
        assert!(if choice.is_string() { ["weather", "time"].contains(&name) } else { name == "time" });
        let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
        assert!(["Rome", "Oslo"].contains(&arguments["city"].as_str().unwrap()), "{arguments}");
        // And the conversation goes on with the call and its result.
        let messages = json!([{"role": "user", "content": "Where?"},
            {"role": "assistant", "content": null, "tool_calls": calls},
            {"role": "tool", "tool_call_id": call["id"], "content": "12"}]);
        let body = json!({"model": "tiny", "messages": messages, "tools": tools, "max_tokens": 3});
        server.post(CHAT, &body).json();
    }
    let free = question("Where?", &json!({"tools": tools, "max_tokens": 20, "seed": 1}));
    assert!(server.post(CHAT, &free).json()["choices"][0]["message"]["tool_calls"].is_null());
}

#[test]
fn what_is_wrong_is_refused_in_openais_shape() {
    let server = Serving::tiny(&["--context", "200"]);
    let json_header = [("Content-Type", "application/json")];
    let raw = |body: &[u8]| send(server.address, "POST", CHAT, &json_header, body);
    for body in ["", "{", "[]", "nonsense", "{\"model\": \"tiny\"}"] {
        assert_eq!(raw(body.as_bytes()).error(400)["type"], "invalid_request_error", "{body}");
    }
    // Deeper than any reader should follow.
    raw("[".repeat(100_000).as_bytes()).error(400);
    let error = server.post(CHAT, &question("x", &json!({"model": "other"}))).error(404);
    assert_eq!((error["code"].as_str(), error["param"].as_str()), (Some("model_not_found"), Some("model")));
    let error = server.post(CHAT, &question("x", &json!({"reasoning_effort": "high"}))).error(400);
    assert_eq!(error["param"], "reasoning_effort");
    let error = server.post(CHAT, &question(&"x".repeat(300), &json!({}))).error(400);
    assert_eq!(error["code"], "context_length_exceeded");
    let error = server.post(CHAT, &question("x", &json!({"max_tokens": 500}))).error(400);
    assert_eq!(error["code"], "context_length_exceeded");
    let error = server.post(CHAT, &question("x", &json!({"n": 100}))).error(400);
    assert_eq!(error["param"], "n");
    let error = server.post(CHAT, &question("x", &json!({"logit_bias": {"5000": 1}}))).error(400);
    assert!(error["message"].as_str().unwrap().contains("5000"), "{error}");
    // By the length that is said, and by the length that is.
    let long = format!("{{\"model\": \"{}\"}}", "x".repeat(5 << 20));
    raw(long.as_bytes()).error(413);
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..100 {
        if stream.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    // It answers before the end, or has closed already.
    if let Some(response) = receive(stream) {
        response.error(413);
    }
    let body = question("x", &json!({"max_tokens": 1})).to_string();
    send(server.address, "POST", CHAT, &[], body.as_bytes()).error(415);
    send(server.address, "POST", CHAT, &[("Content-Type", "text/plain")], body.as_bytes()).error(415);
    server.get("/v2/other").error(404);
    server.get(CHAT).error(405);
    server.post("/v1/embeddings", &json!({"model": "tiny", "input": "x"})).error(404);
    // A name that somebody else gave this address.
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(b"GET /v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").unwrap();
    receive(stream).unwrap().error(403);
    // After all this it works.
    server.post(CHAT, &question("x", &json!({"max_tokens": 1}))).json();
}

#[test]
fn models_health_and_metrics() {
    let server = Serving::tiny(&["--slots", "3"]);
    let models = server.get("/v1/models").json();
    assert_eq!(models["data"][0]["id"], "tiny");
    assert_eq!(server.get("/v1/models/tiny").json()["object"], "model");
    server.get("/v1/models/other").error(404);
    assert_eq!(server.get("/health").json()["status"], "ok");
    server.post(CHAT, &question("x", &json!({"max_tokens": 7, "logit_bias": {"2": -100}}))).json();
    assert_eq!(server.metric("gyrus_slots"), 3.0);
    assert_eq!(server.metric("gyrus_written_tokens_total"), 7.0);
    assert!(server.metric("gyrus_prompt_tokens_total") > 10.0);
    let text = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in text.lines() {
        // A comment, or a name, perhaps with labels, and a number.
        if let Some(comment) = line.strip_prefix("# ") {
            assert!(["HELP", "TYPE", "UNIT", "EOF"].contains(&comment.split(' ').next().unwrap()), "{line}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("gyrus_") && value.parse::<f64>().is_ok(), "{line}");
        assert_eq!(name.contains('{'), name.ends_with('}'), "{line}");
    }
    assert!(text.contains("path=\"/v1/chat/completions\",status=\"200\"} 1"), "{text}");
}

#[test]
fn a_key_is_asked_for() {
    let server = Serving::tiny(&["--api-key", "secret"]);
    let ask = |headers: &[(&str, &str)], path: &str| send(server.address, "GET", path, headers, b"");
    for wrong in [
        &[][..],
        &[("Authorization", "Bearer other")],
        &[("Authorization", "secret")],
        &[("Authorization", "Bearer secret2")],
        &[("Authorization", "Bearer")],
    ] {
        assert_eq!(ask(wrong, "/v1/models").error(401)["code"], "invalid_api_key");
        ask(wrong, "/metrics").error(401);
        ask(wrong, "/nowhere").error(401);
    }
    let right = [("Authorization", "Bearer secret")];
    assert_eq!(ask(&right, "/v1/models").status, 200);
    assert_eq!(ask(&[], "/health").status, 200);
}

#[test]
fn addresses_that_others_reach_need_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let model = serving::tiny_model(folder.path());
    let run = |arguments: &[&str]| {
        gyrus(["serve", model.to_str().unwrap()].iter().chain(arguments))
            .env_remove("GYRUS_API_KEY")
            .output()
            .unwrap()
    };
    let said = refused(&run(&["--port", "0", "--host", "0.0.0.0"]));
    assert!(said.contains("API key"), "{said}");
    let said = refused(&run(&["--port", "0", "--api-key", ""]));
    assert!(said.contains("API key"), "{said}");
    let said = refused(&run(&["--port", "0", "--host", "no.such.host.invalid"]));
    assert!(said.contains("no.such.host.invalid"), "{said}");
    let said = refused(&run(&["--port", "0", "--context", "100000"]));
    assert!(said.contains("65536"), "{said}");
    let said = refused(&run(&["--port", "0", "--embeddings", "nowhere"]));
    assert!(said.contains("nowhere"), "{said}");
    usage(&run(&["--port", "0", "--slots", "0"]));
    // Two cannot have the same port.
    let server = Serving::start(&model, &[]);
    let said = refused(&run(&["--port", &server.address.port().to_string()]));
    assert!(said.contains("port"), "{said}");
}

/// A request that goes on until its client goes away.
fn endless(server: &Serving, stream: bool) -> TcpStream {
    let body = question("x", &json!({"stream": stream, "logit_bias": {"2": -100}, "max_tokens": 50_000}));
    let headers = [("Content-Type", "application/json")];
    begin(server.address, "POST", CHAT, &headers, body.to_string().as_bytes()).unwrap()
}

#[test]
fn a_client_that_goes_away_frees_its_slot_and_a_full_queue_says_so() {
    let server = Serving::tiny(&["--slots", "1", "--queue", "1", "--context", "60000"]);
    for stream in [true, false] {
        let abandoned = server.metric("gyrus_abandoned_texts_total");
        let mut first = endless(&server, stream);
        server.wait_for("gyrus_running", 1.0);
        let second = endless(&server, stream);
        server.wait_for("gyrus_waiting", 1.0);
        let refused = server.post(CHAT, &question("x", &json!({"max_tokens": 1})));
        assert_eq!(refused.error(429)["code"], "rate_limit_exceeded");
        assert!(refused.head.to_ascii_lowercase().contains("retry-after: 1"), "{}", refused.head);
        if stream {
            let mut some = [0; 200];
            assert!(first.read(&mut some).unwrap() > 0);
        }
        drop(first);
        drop(second);
        server.wait_for("gyrus_abandoned_texts_total", abandoned + 2.0);
        server.wait_for("gyrus_running", 0.0);
        server.post(CHAT, &question("x", &json!({"max_tokens": 1}))).json();
    }
}

#[test]
fn many_at_once_get_what_each_gets_alone() {
    let server = Serving::tiny(&["--slots", "3"]);
    let bodies: Vec<Value> = (0..16u64)
        .map(|seed| {
            let text = if seed % 2 == 0 { "The same long begin of a text ".repeat(8) } else { String::new() };
            let more = json!({"seed": seed, "max_tokens": 40, "temperature": if seed % 3 == 0 { 0.0 } else { 1.0 },
                "stop": ["zz"]});
            question(&format!("{text}{seed}"), &more)
        })
        .collect();
    let ask = |body: &Value| server.post(CHAT, body).json()["choices"].clone();
    let alone: Vec<Value> = bodies.iter().map(ask).collect();
    for _ in 0..2 {
        let together: Vec<Value> = std::thread::scope(|scope| {
            let threads: Vec<_> = bodies.iter().map(|body| scope.spawn(|| ask(body))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(together, alone);
    }
    assert!(server.metric("gyrus_reused_prompt_tokens_total") > 1000.0);
}

#[cfg(unix)]
#[test]
fn told_to_stop_it_ends_running_answers() {
    let mut server = Serving::tiny(&[]);
    let body = question("x", &json!({"stream": true, "logit_bias": {"2": -100}, "max_tokens": 4000}));
    let headers = [("Content-Type", "application/json")];
    let mut stream = begin(server.address, "POST", CHAT, &headers, body.to_string().as_bytes()).unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    let pid = server.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\"finish_reason\":\"length\"") && rest.contains("data: [DONE]"), "{rest}");
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = loop {
        if let Some(status) = server.child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it goes on");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{status}");
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn a_real_model_tells_its_story() {
    let Some(data) = real_data("stories260K") else { return };
    let model = data.join("stories260K.bin");
    let server = Serving::start(&model, &[]);
    let expected = std::fs::read_to_string(data.join("expected")).unwrap();
    let body = json!({"model": "stories260K", "prompt": "", "temperature": 0, "max_tokens": 200});
    let answer = server.post("/v1/completions", &body).json();
    assert_eq!(answer["choices"][0]["text"].as_str().unwrap().trim_end(), expected.trim_end());
    // The same as the program writes, drawn by a seed.
    let drawn = json!({"model": "stories260K", "prompt": "A dog", "seed": 7, "max_tokens": 60, "top_p": 0.9});
    let written = gyrus([
        "write",
        model.to_str().unwrap(),
        "A dog",
        "--seed",
        "7",
        "--top-p",
        "0.9",
        "--max-tokens",
        "60",
        "--json",
    ]);
    let written = program_json({ written }.output().unwrap());
    assert_eq!(server.post("/v1/completions", &drawn).json()["choices"][0]["text"], written["text"]);
    let error =
        server.post(CHAT, &json!({"model": "stories260K", "messages": [{"role": "user", "content": "x"}]}));
    assert!(error.error(400)["message"].as_str().unwrap().contains("no chat template"));
}

/// The tiny models, for `golden/openai_client.py`; see CONTRIBUTING.md.
#[test]
fn models_for_other_programs() {
    let Some(out) = std::env::var_os("GYRUS_SERVE_OUT") else { return };
    let out = std::path::Path::new(&out);
    std::fs::create_dir_all(out).unwrap();
    serving::tiny_model(out);
    let _ = std::fs::remove_dir_all(out.join("tiny-encoder"));
    serving::tiny_encoder(out);
}
