//! The metrics at `/metrics`, in OpenMetrics' text format, which Prometheus reads.

use std::fmt;
use std::time::Duration;

use gyrus_language::engine::Statistics;
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    path: String,
    status: u16,
}

/// The metrics of a server.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    first_token_seconds: Histogram,
    engine: EngineMetrics,
}

/// The engine's counters, copied on each request.
#[derive(Default)]
struct EngineMetrics {
    slots: Gauge,
    running: Gauge,
    waiting: Gauge,
    prefix_cache_bytes: Gauge,
    read: Counter,
    reused: Counter,
    written: Counter,
    passes: Counter,
    abandoned: Counter,
    failures: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("gyrus");
        let requests = Family::<RequestLabels, Counter>::default();
        registry.register("http_requests", "Requests by path and status", requests.clone());
        // From a millisecond to two and a half minutes.
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 18));
        let (request_seconds, first_token_seconds) = (seconds(), seconds());
        registry.register_with_unit(
            "http_request",
            "Time until a request was answered, or a streamed answer began",
            Unit::Seconds,
            request_seconds.clone(),
        );
        registry.register_with_unit(
            "first_token",
            "Time until the first token of an answer",
            Unit::Seconds,
            first_token_seconds.clone(),
        );
        let engine = EngineMetrics::default();
        let gauges = [
            ("slots", "Sequences that can be generated together", &engine.slots),
            ("running", "Sequences being generated", &engine.running),
            ("waiting", "Jobs waiting for a slot", &engine.waiting),
            ("kept_prompts_bytes", "Memory of the prefix cache", &engine.prefix_cache_bytes),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let counters = [
            ("prompt_tokens", "Prompt tokens computed", &engine.read),
            ("reused_prompt_tokens", "Prompt tokens reused", &engine.reused),
            ("written_tokens", "Tokens generated", &engine.written),
            ("passes", "Passes over the weights", &engine.passes),
            ("abandoned_texts", "Jobs whose clients went away", &engine.abandoned),
            ("engine_failures", "Failed passes", &engine.failures),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        Self { registry, requests, request_seconds, first_token_seconds, engine }
    }

    /// Counts a request.
    pub(crate) fn request(&self, path: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { path: path.to_owned(), status }).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    /// Records the time to the first token of an answer.
    pub(crate) fn first_token(&self, took: Duration) {
        self.first_token_seconds.observe(took.as_secs_f64());
    }

    /// The metrics as text, with the slots and counters of the text engine, if there is one.
    pub(crate) fn text(&self, engine: Option<(usize, Statistics)>) -> Result<String, fmt::Error> {
        if let Some((slots, statistics)) = engine {
            self.engine.update(slots, &statistics);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl EngineMetrics {
    fn update(&self, slots: usize, statistics: &Statistics) {
        let gauge = |gauge: &Gauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        gauge(&self.slots, slots as u64);
        gauge(&self.running, statistics.running);
        gauge(&self.waiting, statistics.waiting);
        gauge(&self.prefix_cache_bytes, statistics.prefix_cache_bytes);
        let counter = |counter: &Counter, value: u64| {
            // The engine's counters only grow, but concurrent requests may read them out of order.
            counter.inner().fetch_max(value, std::sync::atomic::Ordering::Relaxed);
        };
        counter(&self.read, statistics.read_tokens);
        counter(&self.reused, statistics.reused_tokens);
        counter(&self.written, statistics.written_tokens);
        counter(&self.passes, statistics.passes);
        counter(&self.abandoned, statistics.abandoned);
        counter(&self.failures, statistics.failures);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}
