//! A worker process and its protocol: one JSON object per line, one reply per request.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A running worker; dropping it ends the process.
pub(crate) struct Peer {
    name: String,
    process: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts `command` as the worker `name` (for messages).
    ///
    /// # Errors
    /// If the program cannot be started.
    pub(crate) fn start(name: &str, mut command: Command) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the {name} worker: {command:?}"))?;
        let requests = process.stdin.take().context("the worker has no stdin")?;
        let replies = process.stdout.take().context("the worker has no stdout")?;
        Ok(Self { name: name.to_owned(), process, requests, replies: BufReader::new(replies) })
    }

    /// Sends `request` and waits for the reply.
    ///
    /// # Errors
    /// If the worker has ended, or its answer is an error or not a `Reply`.
    pub(crate) fn ask<Reply: DeserializeOwned>(&mut self, request: &Value) -> Result<Reply> {
        let name = &self.name;
        let line = (|| {
            writeln!(self.requests, "{request}")?;
            self.requests.flush()?;
            let mut line = String::new();
            self.replies.read_line(&mut line)?;
            std::io::Result::Ok(line)
        })()
        .with_context(|| format!("sending {request} to the {name} worker"))?;
        if line.is_empty() {
            bail!("the {name} worker ended without answering {request}");
        }
        let reply: Value = serde_json::from_str(&line)
            .with_context(|| format!("the {name} worker answered {line:?} to {request}"))?;
        if reply["ok"] != json!(true) {
            let error = reply["error"].as_str().unwrap_or("no reason given");
            bail!("the {name} worker refused {request}: {error}");
        }
        serde_json::from_value(reply)
            .with_context(|| format!("the {name} worker answered {line:?} to {request}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail only if the process has already ended, which is the goal.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answering(line: &str) -> Result<Value> {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("read request; echo '{line}'")]);
        Peer::start("test", command)?.ask(&json!({"cmd": "steps"}))
    }

    #[test]
    fn a_reply_arrives() {
        assert_eq!(answering(r#"{"ok":true,"n":3}"#).unwrap()["n"], json!(3));
    }

    #[test]
    fn a_refusal_and_an_early_end_are_named() {
        let refusal = answering(r#"{"ok":false,"error":"too big"}"#).unwrap_err();
        assert!(refusal.to_string().ends_with("too big"), "{refusal}");
        let garbage = answering("Traceback").unwrap_err();
        assert!(garbage.to_string().contains("Traceback"), "{garbage}");
        let mut ends = Peer::start("test", Command::new("true")).unwrap();
        let end = ends.ask::<Value>(&json!({"cmd": "steps"})).unwrap_err();
        assert!(end.to_string().contains("test worker"), "{end}");
    }
}
