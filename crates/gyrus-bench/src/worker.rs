//! Our worker: answers the runner's requests on stdin with replies on stdout, as `bench/torch_worker.py` does.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{events, memory, ours, sentences};

#[derive(Deserialize)]
#[serde(tag = "cmd", rename_all = "lowercase")]
enum Request {
    Choose,
    Setup { work: String, threads: usize, images: Option<PathBuf>, variant: Option<String> },
    Steps { count: usize },
    Memory,
    Exit,
}

/// What a worker has been set up for.
enum Work {
    Steps(Box<ours::Work>),
    Events(events::Work),
    Embed(Box<sentences::Work>),
}

impl Work {
    fn new(name: &str, threads: usize, images: Option<&Path>, variant: Option<&str>) -> Result<Self> {
        if name.starts_with("events-") {
            let folder = images.context("this work needs a trained network")?;
            return Ok(Self::Events(events::Work::new(folder, variant == Some(CLOCKED), threads)?));
        }
        if name.starts_with("embed-") {
            let folder = images.context("this work needs sentences")?;
            return Ok(Self::Embed(Box::new(sentences::Work::new(folder, threads)?)));
        }
        Ok(Self::Steps(Box::new(ours::create(name, threads, images)?)))
    }

    fn parameters(&self) -> usize {
        match self {
            Self::Steps(work) => work.parameters(),
            Self::Events(work) => work.parameters(),
            Self::Embed(work) => work.parameters(),
        }
    }

    fn steps(&mut self, count: usize) -> Result<Vec<f64>> {
        match self {
            Self::Steps(work) => work.steps(count),
            Self::Events(work) => work.steps(count),
            Self::Embed(work) => work.steps(count),
        }
    }
}

/// The variant that is our own peer.
const CLOCKED: &str = "clocked";

/// Serves requests until "exit" or the end of `requests`.
///
/// # Errors
/// When a stream fails; whatever goes wrong in a request is the content of its reply.
pub(crate) fn serve(requests: impl BufRead, mut replies: impl Write) -> Result<()> {
    let mut work = None;
    for line in requests.lines() {
        let line = line?;
        let reply = serde_json::from_str(&line)
            .map_err(anyhow::Error::from)
            .and_then(|request| reply(request, &mut work));
        let reply = match reply {
            Ok(Some(reply)) => reply,
            Ok(None) => return Ok(()),
            Err(error) => json!({"ok": false, "error": format!("{error:#}")}),
        };
        writeln!(replies, "{reply}")?;
        replies.flush()?;
    }
    Ok(())
}

/// The reply to one request, or none where it ends the conversation.
fn reply(request: Request, work: &mut Option<Work>) -> Result<Option<Value>> {
    let reply = match request {
        Request::Choose => json!({"ok": true, "variant": CLOCKED, "variants_us": {}}),
        Request::Setup { work: name, threads, images, variant } => {
            let created = Work::new(&name, threads, images.as_deref(), variant.as_deref())?;
            let parameters = created.parameters();
            *work = Some(created);
            json!({"ok": true, "parameters": parameters, "version": env!("CARGO_PKG_VERSION")})
        }
        Request::Steps { count } => {
            let work = work.as_mut().context("'steps' before 'setup'")?;
            let times_us = work.steps(count)?;
            json!({"ok": true, "times_us": times_us})
        }
        Request::Memory => json!({"ok": true, "peak_bytes": memory::peak_bytes("self")?}),
        Request::Exit => return Ok(None),
    };
    Ok(Some(reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(requests: &str) -> Vec<Value> {
        let mut replies = Vec::new();
        serve(requests.as_bytes(), &mut replies).unwrap();
        let replies = String::from_utf8(replies).unwrap();
        replies.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_request_gets_one_reply_and_exit_ends() {
        let replies = conversation(concat!(
            "{\"cmd\":\"memory\"}\n",
            "{\"cmd\":\"steps\",\"count\":1}\n",
            "{\"cmd\":\"setup\",\"work\":\"none-such\",\"threads\":2}\n",
            "not json\n",
            "{\"cmd\":\"exit\"}\n",
            "{\"cmd\":\"memory\"}\n",
        ));
        assert_eq!(replies.len(), 4);
        assert!(replies[0]["peak_bytes"].as_u64().unwrap() > 0);
        assert_eq!(replies[1]["error"], json!("'steps' before 'setup'"));
        assert!(replies[2]["error"].as_str().unwrap().contains("none-such"));
        assert_eq!(replies[3]["ok"], json!(false));
    }
}
