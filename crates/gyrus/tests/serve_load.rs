//! `gyrus serve` under a mixed load: streamed and whole answers, clients that go away, requests that are wrong, full queues.
//! No request is lost, every slot is free afterwards, and the memory of the program stays within a bound.
//!
//! The ordinary form takes some seconds; the long one as many as `GYRUS_LOAD_SECONDS` says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::common::Random;
use crate::serving::{Serving, begin, question, receive};
use serde_json::json;

const CLIENTS: u64 = 8;
/// What the program may grow by between the end of the warm-up and the end.
const MOST_GROWTH_BYTES: u64 = 48 << 20;

#[derive(Default)]
struct Counts {
    asked: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    full: AtomicU64,
    left: AtomicU64,
}

/// One client: asks until the time is over. Every request that it stays with must get its whole answer.
fn client(server: &Serving, number: u64, until: Instant, counts: &Counts) {
    let mut random = Random(number);
    let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    while Instant::now() < until {
        let stream = random.below(2) == 0;
        let length = [5, 40, 900][random.below(3) as usize];
        let mut more = json!({
            "stream": stream, "max_tokens": 1 + random.below(120), "seed": random.next() >> 1, "n": 1 + random.below(2),
            "stop": ["q!"],
        });
        let wrong = random.below(12) == 0;
        if wrong {
            more["temperature"] = json!(-1);
        } else if random.below(6) == 0 {
            more["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {
                "type": "array", "items": {"enum": [random.below(1000), "b"]}, "minItems": 1, "maxItems": 3}}});
            more["max_tokens"] = json!(200);
        }
        let text: String = (0..length).map(|at| (b'a' + ((at * at + number) % 26) as u8) as char).collect();
        let body = question(&text, &more).to_string();
        let headers = [("Content-Type", "application/json")];
        let connection =
            begin(server.address, "POST", "/v1/chat/completions", &headers, body.as_bytes()).unwrap();
        count(&counts.asked);
        if random.below(8) == 0 {
            std::thread::sleep(Duration::from_millis(random.below(30)));
            drop(connection);
            count(&counts.left);
            continue;
        }
        let answer = receive(connection).expect("an answer to every request");
        match answer.status {
            429 => {
                count(&counts.full);
                std::thread::sleep(Duration::from_millis(5));
            }
            400 => {
                assert!(wrong, "{}", String::from_utf8_lossy(&answer.body));
                count(&counts.refused);
            }
            _ if stream => {
                let ends = answer.chunks();
                let ends =
                    ends.iter().filter(|chunk| chunk["choices"][0]["finish_reason"].is_string()).count();
                assert_eq!(ends as u64, more["n"].as_u64().unwrap(), "every text has an end");
                count(&counts.answered);
            }
            _ => {
                let choices = answer.json()["choices"].as_array().unwrap().len();
                assert_eq!(choices as u64, more["n"].as_u64().unwrap());
                count(&counts.answered);
            }
        }
    }
}

fn load(seconds: u64) {
    let server = Serving::tiny(&["--slots", "4", "--queue", "5", "--kept-prompts", "4"]);
    let counts = Counts::default();
    let run = |seconds: u64, offset: u64| {
        let until = Instant::now() + Duration::from_secs(seconds);
        std::thread::scope(|scope| {
            for number in 0..CLIENTS {
                let (server, counts) = (&server, &counts);
                scope.spawn(move || client(server, offset + number, until, counts));
            }
        });
    };
    // Memory is taken for all that there may be at once.
    run((seconds / 4).clamp(3, 60), 1000);
    let before = server.memory();
    let clock = Instant::now();
    run(seconds, 0);
    server.wait_for("gyrus_running", 0.0);
    server.wait_for("gyrus_waiting", 0.0);
    let after = server.memory();
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let Counts { asked, answered, refused, full, left } = &counts;
    println!(
        "{} requests ({:.0} s after the warm-up): {} answered, {} refused as wrong, {} by a full queue, {} left early; memory \
         {before:?} before, {after:?} after; {} tokens written, {} of prompts read, {} reused",
        of(asked),
        clock.elapsed().as_secs_f64(),
        of(answered),
        of(refused),
        of(full),
        of(left),
        server.metric("gyrus_written_tokens_total"),
        server.metric("gyrus_prompt_tokens_total"),
        server.metric("gyrus_reused_prompt_tokens_total"),
    );
    assert_eq!(of(asked), of(answered) + of(refused) + of(full) + of(left), "no request is lost");
    assert!(of(answered) > 10 && of(left) > 0 && of(refused) > 0);
    assert_eq!(server.metric("gyrus_engine_failures_total"), 0.0);
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after < before + MOST_GROWTH_BYTES, "from {before} to {after} bytes");
    }
    // Every slot still writes.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                server.post("/v1/chat/completions", &question("x", &json!({"max_tokens": 5}))).json()
            });
        }
    });
}

#[test]
fn a_mixed_load_loses_nothing() {
    load(5);
}

#[test]
#[ignore = "takes as many seconds as GYRUS_LOAD_SECONDS says, 300 by default"]
fn a_long_mixed_load_loses_nothing() {
    let seconds = std::env::var("GYRUS_LOAD_SECONDS").ok().map_or(300, |text| text.parse().unwrap());
    load(seconds);
}
