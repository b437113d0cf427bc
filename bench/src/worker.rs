//! Our worker: answers requests on stdin with replies on stdout, like `bench/peers/torch_worker.py`.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::timing::Timed;
use crate::{decoder, events, language, memory, network, sentences, spiking, vision};

#[derive(Deserialize)]
#[serde(tag = "cmd", rename_all = "lowercase")]
enum Request {
    Choose,
    Setup { work: String, threads: usize, file: Option<PathBuf> },
    Steps { count: usize },
    Memory,
    Exit,
}

/// Serves requests until "exit" or the end of `requests`: our side of the workloads or, if `peer`, the comparison that Gyrus
/// itself provides.
///
/// # Errors
/// If a stream fails; an error within a request becomes its reply.
pub(crate) fn serve(requests: impl BufRead, mut replies: impl Write, peer: bool) -> Result<()> {
    let mut work = None;
    for line in requests.lines() {
        let line = line?;
        let reply = serde_json::from_str(&line)
            .map_err(anyhow::Error::from)
            .and_then(|request| reply(request, &mut work, peer));
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

/// The reply to one request, or `None` for "exit".
fn reply(request: Request, work: &mut Option<Box<dyn Timed>>, peer: bool) -> Result<Option<Value>> {
    let reply = match request {
        Request::Choose => json!({"ok": true, "variant": "", "variants_us": {}}),
        Request::Setup { work: name, threads, file } => {
            let file = file.as_deref();
            let created =
                if peer { create_peer(&name, threads, file)? } else { create(&name, threads, file)? };
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

/// Sets up the workload `name` for `threads` threads.
///
/// # Errors
/// If Gyrus does not implement this workload, or something that it needs is missing.
fn create(name: &str, threads: usize, file: Option<&Path>) -> Result<Box<dyn Timed>> {
    let begins = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    Ok(match name {
        _ if begins(&["spiking-"]) => Box::new(spiking::create(name, threads, file)?),
        _ if begins(&["decoder-", "lora-"]) => Box::new(decoder::create(name, threads)?),
        _ if begins(&["events-"]) => Box::new(events::Workload::new(file, false, threads)?),
        _ if begins(&["embed-"]) => Box::new(sentences::Workload::new(file, threads)?),
        _ if begins(&[
            "resnet50-",
            "resnet18-",
            "mobilenetv2-",
            "efficientnet-",
            "vit-",
            "jpeg-",
            "attribution-",
        ]) =>
        {
            vision::create(name, threads, file)?
        }
        _ if name.contains("-q") => language::create(name, threads, file)?,
        _ => Box::new(network::create(name, threads)?),
    })
}

/// Sets up the comparison that Gyrus itself provides for the workload `name`: the clocked body or the memory reader.
///
/// # Errors
/// If something that it needs is missing.
fn create_peer(name: &str, threads: usize, file: Option<&Path>) -> Result<Box<dyn Timed>> {
    Ok(match name.starts_with("events-") {
        true => Box::new(events::Workload::new(file, true, threads)?),
        false => Box::new(language::Reader::new(name, threads, file)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(requests: &str) -> Vec<Value> {
        let mut replies = Vec::new();
        serve(requests.as_bytes(), &mut replies, false).unwrap();
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
