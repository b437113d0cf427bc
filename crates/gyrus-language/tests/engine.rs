//! The engine: every sequence has the same bits as alone, whatever runs beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::common::{Random, parts};
use gyrus_formats::Format;
use gyrus_language::engine::{Engine, EngineOptions, Event, Failure, Job, Listener, Refusal, Summary};
use gyrus_language::{Cache, Ending, Model, Parts, Request, Sampling, Sequence, generate, gguf};

const OPTIONS: EngineOptions =
    EngineOptions { slots: 3, queue: 64, context: 400, prefix_cache_bytes: 1 << 20, threads: 2 };

/// Forwards its events to a test.
struct Ear {
    events: Sender<Event>,
    listens: Arc<AtomicBool>,
    panics: bool,
}

impl Listener for Ear {
    fn receive(&mut self, event: Event) {
        assert!(!self.panics, "as it should");
        let _ = self.events.send(event);
    }

    fn is_listening(&self) -> bool {
        self.listens.load(Ordering::Relaxed)
    }
}

fn job(prompt: &[u32], request: Request) -> (Job, Receiver<Event>, Arc<AtomicBool>) {
    let (events, receiver) = channel();
    let listens = Arc::new(AtomicBool::new(true));
    let ear = Ear { events, listens: Arc::clone(&listens), panics: false };
    (Job { prompt: prompt.to_vec(), request, listener: Box::new(ear) }, receiver, listens)
}

/// The complete text and its summary.
fn heard(events: &Receiver<Event>) -> Result<(String, Summary), Failure> {
    let mut text = String::new();
    loop {
        match events.recv_timeout(Duration::from_secs(60)).expect("an event") {
            Event::Text(piece) => text += &piece.text,
            Event::Ended(summary) => return Ok((text, summary)),
            Event::Failed(failure) => return Err(failure),
        }
    }
}

/// A tiny model in this format.
fn model(format: Format) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    gguf::write(&parts(), &path, format).unwrap();
    Parts::open(&path).unwrap().build().unwrap()
}

fn tokens(random: &mut Random, count: usize) -> Vec<u32> {
    (0..count).map(|_| 3 + (random.next() % 17) as u32).collect()
}

#[test]
fn a_token_has_the_same_bits_whatever_runs_beside_it_and_however_it_is_chunked() {
    for format in [Format::F32, Format::F16, Format::Q8_0] {
        let model = model(format);
        let mut random = Random(5);
        let texts: Vec<Vec<u32>> = (0..7).map(|_| tokens(&mut random, 90)).collect();
        let new = || Cache::new(model.decoder.config());
        // All but the last five tokens are read as a prompt; those are generated.
        let alone: Vec<Vec<f32>> = texts
            .iter()
            .map(|text| {
                let mut cache = new();
                let read = Sequence { tokens: &text[..85], cache: &mut cache, all_logits: false };
                let mut logits = model.decoder.step(&mut [read], 1).unwrap();
                for at in 85..90 {
                    let written =
                        Sequence { tokens: &text[at..at + 1], cache: &mut cache, all_logits: false };
                    logits = model.decoder.step(&mut [written], 0).unwrap();
                }
                logits
            })
            .collect();
        // All together, each in different chunks; sequences whose prompts are done are generated beside the others.
        let mut caches: Vec<Cache> = texts.iter().map(|_| new()).collect();
        let mut last: Vec<Vec<f32>> = vec![Vec::new(); texts.len()];
        while caches.iter().any(|cache| cache.positions() < 90) {
            let (mut reading, mut writing) = (Vec::new(), Vec::new());
            for (index, (cache, text)) in caches.iter_mut().zip(&texts).enumerate() {
                let from = cache.positions();
                if from < 85 {
                    let end = (from + 1 + (random.next() % (7 * index as u64 + 1)) as usize).min(85);
                    let tokens = &text[from..end];
                    reading.push((index, Sequence { tokens, cache, all_logits: false }));
                } else if from < 90 {
                    let tokens = &text[from..from + 1];
                    writing.push((index, Sequence { tokens, cache, all_logits: false }));
                }
            }
            let read = reading.len();
            let (indices, mut sequences): (Vec<usize>, Vec<_>) = reading.into_iter().chain(writing).unzip();
            let logits = model.decoder.step(&mut sequences, read).unwrap();
            for (index, row) in indices.into_iter().zip(logits.chunks_exact(40)) {
                last[index] = row.to_vec();
            }
        }
        let bits =
            |logits: &[Vec<f32>]| -> Vec<u32> { logits.iter().flatten().map(|x| x.to_bits()).collect() };
        assert_eq!(bits(&last), bits(&alone), "{format:?}");
    }
}

#[test]
fn many_texts_together_are_the_same_as_alone() {
    for format in [Format::F32, Format::Q8_0] {
        let model = Arc::new(model(format));
        let mut random = Random(11);
        // Some share a beginning, so prompts are reused; one is longer than a pass reads.
        let common = tokens(&mut random, 60);
        let asked: Vec<(Vec<u32>, Request)> = (0..24u64)
            .map(|seed| {
                let length = [1, 2, 5, 20, 300][(seed % 5) as usize];
                let mut prompt = if seed % 3 == 0 { common.clone() } else { Vec::new() };
                prompt.extend(tokens(&mut random, length));
                let sampling = Sampling {
                    seed,
                    temperature: if seed % 4 == 0 { 0.0 } else { 0.9 },
                    repetition_penalty: 1.1,
                    presence_penalty: 0.3,
                    ..Sampling::default()
                };
                let stop = if seed % 2 == 0 { vec!["ab".to_owned(), "q".to_owned()] } else { Vec::new() };
                (prompt, Request { sampling, maximum_tokens: 30, stop, ..Request::default() })
            })
            .collect();
        let alone: Vec<_> = asked
            .iter()
            .map(|(prompt, request)| {
                let mut cache = Cache::new(model.decoder.config());
                generate(&model.decoder, &model.tokenizer, &mut cache, prompt, request, |_| true).unwrap()
            })
            .collect();
        let engine = Engine::start(Arc::clone(&model), OPTIONS).unwrap();
        for round in 0..2 {
            let mut receivers = Vec::new();
            for (prompt, request) in &asked {
                let (job, events, _) = job(prompt, request.clone());
                engine.submit(vec![job]).unwrap();
                receivers.push(events);
            }
            for (events, expected) in receivers.iter().zip(&alone) {
                let (text, summary) = heard(events).unwrap();
                assert_eq!(text, expected.text, "{format:?}, round {round}");
                let last = usize::from(expected.ending == Ending::EndOfText);
                assert_eq!((summary.ending, summary.tokens), (expected.ending, expected.tokens.len() + last));
                assert_eq!(summary.prompt_tokens, expected.prompt_tokens);
            }
        }
        let statistics = engine.statistics();
        assert!(statistics.reused_tokens > 24 * 60 / 3, "{statistics:?}");
        assert!(
            statistics.prefix_cache_bytes > 0 && statistics.prefix_cache_bytes <= 1 << 20,
            "{statistics:?}"
        );
        assert_eq!((statistics.running, statistics.waiting), (0, 0), "{statistics:?}");
    }
}

fn long() -> Request {
    // Nothing ends it but its length.
    let bias = vec![(2, f32::NEG_INFINITY)];
    Request { maximum_tokens: 380, bias, ..Request::default() }
}

#[test]
fn abandoned_jobs_free_their_slots_and_a_full_queue_refuses() {
    let options = EngineOptions { slots: 1, queue: 1, ..OPTIONS };
    let engine = Engine::start(Arc::new(model(Format::F32)), options).unwrap();
    // A slow listener holds the slot.
    let gate = Arc::new(AtomicBool::new(false));
    struct Slow(Arc<AtomicBool>, Arc<AtomicBool>);
    impl Listener for Slow {
        fn receive(&mut self, _: Event) {
            while !self.0.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        fn is_listening(&self) -> bool {
            self.1.load(Ordering::Relaxed)
        }
    }
    let listens = Arc::new(AtomicBool::new(true));
    let slow = Box::new(Slow(Arc::clone(&gate), Arc::clone(&listens)));
    engine.submit(vec![Job { prompt: vec![5], request: long(), listener: slow }]).unwrap();
    let (waiting, events, _) = job(&[5], long());
    engine.submit(vec![waiting]).unwrap();
    let (refused, _, _) = job(&[5], long());
    assert!(matches!(engine.submit(vec![refused]), Err(Refusal::Full { waiting: 2 })));
    listens.store(false, Ordering::Relaxed);
    gate.store(true, Ordering::Relaxed);
    // The waiting job runs.
    assert_eq!(heard(&events).unwrap().1.ending, Ending::Length);
    assert_eq!(engine.statistics().abandoned, 1);
    // A job abandoned while waiting makes room.
    let (gone, _events, listens) = job(&[5], long());
    listens.store(false, Ordering::Relaxed);
    engine.submit(vec![gone]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while engine.statistics().abandoned < 2 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_panic_fails_the_texts_of_its_pass_and_no_others() {
    let engine = Engine::start(Arc::new(model(Format::F32)), OPTIONS).unwrap();
    let (beside, events, _) = job(&[5, 6], long());
    let (mut bad, _, _) = job(&[5, 6], long());
    bad.listener =
        Box::new(Ear { events: channel().0, listens: Arc::new(AtomicBool::new(true)), panics: true });
    engine.submit(vec![beside, bad]).unwrap();
    assert!(matches!(heard(&events), Err(Failure::Panicked(reason)) if reason.contains("as it should")));
    let (after, events, _) = job(&[5, 6], long());
    engine.submit(vec![after]).unwrap();
    assert_eq!(heard(&events).unwrap().1.tokens, 380);
    assert_eq!(engine.statistics().failures, 1);
    // Jobs that wait when the engine stops fail.
    let (last, events, _) = job(&[5, 6], long());
    engine.submit(vec![last]).unwrap();
    drop(engine);
    assert!(matches!(heard(&events), Err(Failure::Stopped) | Ok(_)));
}

#[test]
fn invalid_jobs_are_refused() {
    let model = Arc::new(model(Format::F32));
    let engine = Engine::start(Arc::clone(&model), OPTIONS).unwrap();
    let request = |maximum_tokens| Request { maximum_tokens, ..Request::default() };
    let bias = Request { bias: vec![(40, 1.0)], ..request(5) };
    let sampling = Request { sampling: Sampling { top_p: 2.0, ..Sampling::default() }, ..request(5) };
    for (prompt, request) in [
        (vec![], request(5)),
        (vec![40], request(5)),
        (vec![5; 400], request(1)),
        (vec![5; 100], request(301)),
        (vec![5], bias),
        (vec![5], sampling),
    ] {
        let (job, _, _) = job(&prompt, request);
        assert!(matches!(engine.submit(vec![job]), Err(Refusal::Job(_))));
    }
    let (nothing, events, _) = job(&[5], request(0));
    engine.submit(vec![nothing]).unwrap();
    let (text, summary) = heard(&events).unwrap();
    assert_eq!((text.as_str(), summary.ending, summary.tokens), ("", Ending::Length, 0));
    for options in [
        EngineOptions { slots: 0, ..OPTIONS },
        EngineOptions { context: 1, ..OPTIONS },
        EngineOptions { context: 1 << 20, ..OPTIONS },
    ] {
        Engine::start(Arc::clone(&model), options).unwrap_err();
    }
}
