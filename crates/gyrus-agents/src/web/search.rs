//! The tools of the web: a search engine with SearXNG's interface, and pages.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::fetch::Fetcher;
use crate::core::{Draft, EvidenceKind, ToolOutput};
use crate::retrieval::{Words, passages};

/// Results of a search, passages of a page, and bytes of a passage.
const RESULTS: usize = 8;
const PASSAGES: usize = 6;
const PASSAGE_BYTES: usize = 1500;

/// Search and pages.
pub struct Web {
    engine: String,
    agent: Agent,
    fetcher: Fetcher,
    /// The query that named an address: its words choose the passages of the page.
    asked: HashMap<String, String>,
}

impl Web {
    /// With the search engine at `engine`, the person's own choice, which may be on this machine.
    #[must_use]
    pub fn new(engine: &str, fetcher: Fetcher) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .user_agent(concat!("gyrus/", env!("CARGO_PKG_VERSION")))
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(20)));
        let engine = engine.trim_end_matches('/').trim_end_matches("/search").to_owned();
        Self { engine, agent: config.build().into(), fetcher, asked: HashMap::new() }
    }

    /// Calls `web_search` with words, or `fetch` with an address.
    ///
    /// # Errors
    /// A sentence on what failed.
    pub fn call(&mut self, name: &str, argument: &str) -> Result<ToolOutput, String> {
        match name {
            "web_search" => self.search(argument),
            "fetch" => self.fetch(argument),
            _ => Err(format!("there is no tool {name}")),
        }
    }

    fn search(&mut self, query: &str) -> Result<ToolOutput, String> {
        let address = format!("{}/search?format=json&q={}", self.engine, encoded(query));
        let failed = |error: ureq::Error| format!("the search engine {}: {error}", self.engine);
        let answer = self.agent.get(&address).call().map_err(failed)?;
        let text = answer.into_body().into_with_config().limit(4 << 20).read_to_string().map_err(failed)?;
        let found: Value = serde_json::from_str(&text).map_err(|_| {
            format!("the search engine {} does not answer with JSON; its settings must allow it", self.engine)
        })?;
        let mut output = ToolOutput { facts: json!({}), ..ToolOutput::default() };
        for result in found["results"].as_array().into_iter().flatten().take(RESULTS) {
            let Some(address) = result["url"].as_str().filter(|url| url.starts_with("http")) else {
                continue;
            };
            self.asked.insert(address.to_owned(), query.to_owned());
            output.addresses.push(address.to_owned());
            let text = result["content"].as_str().unwrap_or_default().trim();
            if !text.is_empty() {
                output.evidence.push(Draft {
                    kind: EvidenceKind::Web,
                    source: address.to_owned(),
                    title: result["title"].as_str().map(str::to_owned),
                    place: "as the search engine shows it".to_owned(),
                    start: 0,
                    text: text.to_owned(),
                    derived_from: Vec::new(),
                });
            }
        }
        Ok(output)
    }

    fn fetch(&mut self, address: &str) -> Result<ToolOutput, String> {
        let page = self.fetcher.fetch(address)?;
        let mut words = Words::default();
        let wanted = words.terms(self.asked.get(address).map_or("", String::as_str));
        let mut pieces: Vec<(usize, std::ops::Range<usize>)> = Vec::new();
        for range in passages(&page.text, PASSAGE_BYTES, &[]) {
            let mut seen: Vec<String> = words.terms(&page.text[range.clone()]);
            seen.retain(|term| wanted.contains(term));
            seen.sort_unstable();
            seen.dedup();
            pieces.push((seen.len(), range));
        }
        pieces.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.start.cmp(&b.1.start)));
        pieces.truncate(PASSAGES);
        pieces.sort_by_key(|piece| piece.1.start);
        let evidence = pieces.into_iter().map(|(_, range)| Draft {
            kind: EvidenceKind::Web,
            source: page.address.clone(),
            title: page.title.clone(),
            place: String::new(),
            start: range.start,
            text: page.text[range].to_owned(),
            derived_from: Vec::new(),
        });
        Ok(ToolOutput { evidence: evidence.collect(), addresses: Vec::new(), facts: json!({}) })
    }
}

/// Words as part of an address.
fn encoded(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        _ => format!("%{byte:02X}"),
    });
    bytes.collect()
}
