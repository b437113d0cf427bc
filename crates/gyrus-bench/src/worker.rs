//! Our worker: answers the runner's requests on stdin with replies on stdout, as `bench/torch_worker.py` does.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{memory, ours};

#[derive(Deserialize)]
#[serde(tag = "cmd", rename_all = "lowercase")]
enum Request {
    Setup { work: String, threads: usize, images: Option<PathBuf> },
    Steps { count: usize },
    Memory,
    Exit,
}

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
fn reply(
    request: Request,
    work: &mut Option<(Box<dyn ours::Repeat + Send>, usize)>,
) -> Result<Option<Value>> {
    let reply = match request {
        Request::Setup { work: name, threads, images } => {
            let created = ours::create(&name, images.as_deref())?;
            let parameters = created.parameters();
            *work = Some((created, threads));
            json!({"ok": true, "parameters": parameters, "version": env!("CARGO_PKG_VERSION")})
        }
        Request::Steps { count } => {
            let (work, threads) = work.as_mut().context("'steps' before 'setup'")?;
            let times_us = ours::steps(&mut **work, *threads, count)?;
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
