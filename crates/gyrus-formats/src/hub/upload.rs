//! Files to the hub, in one commit: the hub says which of them it keeps as large files, these go where it says, and the commit
//! names all.
//!
//! The token goes to the hub's own address alone; the host that takes large files gets an address that is signed for one upload.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gyrus_files::hexadecimal;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Hub;
use crate::{Error, Result};

/// The beginning of a file by which the hub decides how it keeps it.
const SAMPLE: usize = 512;
/// More than any answer of the hub to an upload.
const MAXIMUM_ANSWER: u64 = 1 << 24;
const JSON: &str = "application/json";
const LARGE_FILES: &str = "application/vnd.git-lfs+json";

/// What became of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The address of the commit, or of the repository where the hub names none.
    pub address: String,
    /// Files that went to the host of large files.
    pub large: Vec<String>,
}

impl Hub {
    /// Writes files, by their names in it, to the branch `main` of a model's repository, in one commit. The repository is made
    /// where there is none yet, `private` or for all to see. `watch` is told each file that has arrived, and how many of how
    /// many bytes.
    ///
    /// # Errors
    /// [`Error::Hub`] without a token, and where the hub cannot be reached or refuses.
    pub fn push_model(
        &self,
        (owner, name): (&str, &str),
        private: bool,
        files: &[(String, Vec<u8>)],
        summary: &str,
        watch: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<Pushed> {
        let push = Push { hub: self, repository: format!("{owner}/{name}") };
        if self.offline {
            return Err(push.error("the repository", "HF_HUB_OFFLINE forbids it".to_owned()));
        }
        if !self.connection.has_token() {
            let reason =
                "the hub takes files from those it knows alone: put a token that may write into HF_TOKEN"
                    .to_owned();
            return Err(push.error("the repository", reason));
        }
        push.create(owner, name, private)?;
        let large = push.large_files(files)?;
        push.send_large(files, &large, watch)?;
        push.commit(files, large, summary)
    }
}

struct Push<'a> {
    hub: &'a Hub,
    repository: String,
}

impl Push<'_> {
    fn error(&self, file: &str, reason: String) -> Error {
        Error::Hub {
            endpoint: self.hub.connection.endpoint.clone(),
            repository: self.repository.clone(),
            file: file.to_owned(),
            reason,
        }
    }

    /// The hub's answer to a request with JSON, as JSON.
    fn post(&self, what: &str, path: &str, kind: &str, body: &[u8], allowed: &[u16]) -> Result<Value> {
        let wrong = |reason: String| self.error(what, reason);
        let answer = self.hub.connection.post(path, kind, body).map_err(wrong)?;
        let status = answer.status();
        let text = answer.into_body().into_with_config().limit(MAXIMUM_ANSWER).read_to_vec();
        let text = text.map_err(|error| wrong(error.to_string()))?;
        let value: Value = serde_json::from_slice(&text).unwrap_or(Value::Null);
        if status.is_success() || allowed.contains(&status.as_u16()) {
            return Ok(value);
        }
        let said = value.get("error").and_then(Value::as_str).unwrap_or_default();
        let hint = match status.as_u16() {
            401 | 403 => ": the token in HF_TOKEN may not write there",
            _ => "",
        };
        Err(wrong(format!(
            "the hub answered {status}{hint}{}{said}",
            if said.is_empty() { "" } else { ": " }
        )))
    }

    /// Makes the repository where there is none.
    fn create(&self, owner: &str, name: &str, private: bool) -> Result<()> {
        let body = json!({"type": "model", "name": name, "organization": owner, "private": private});
        // 409: it is there.
        self.post("the repository", "api/repos/create", JSON, body.to_string().as_bytes(), &[409]).map(drop)
    }

    /// The checksums of the files that the hub keeps as large ones, by name.
    fn large_files(&self, files: &[(String, Vec<u8>)]) -> Result<BTreeMap<String, String>> {
        let described = files.iter().map(|(path, bytes)| {
            let sample = STANDARD.encode(&bytes[..bytes.len().min(SAMPLE)]);
            json!({"path": path, "sample": sample, "size": bytes.len()})
        });
        let body = json!({"files": described.collect::<Vec<_>>()}).to_string();
        let path = format!("api/models/{}/preupload/main", self.repository);
        let answer = self.post("the list of files", &path, JSON, body.as_bytes(), &[])?;
        let modes = answer.get("files").and_then(Value::as_array);
        let modes = modes.ok_or_else(|| {
            self.error("the list of files", "the hub does not say how it keeps them".into())
        })?;
        let mut large = BTreeMap::new();
        for mode in modes {
            let text = |key: &str| mode.get(key).and_then(Value::as_str).unwrap_or_default();
            if text("uploadMode") == "lfs"
                && let Some((path, bytes)) = files.iter().find(|(path, _)| *path == text("path"))
            {
                large.insert(path.clone(), hexadecimal(&Sha256::digest(bytes)));
            }
        }
        Ok(large)
    }

    /// Sends the large files that the hub does not have yet to where it says.
    fn send_large(
        &self,
        files: &[(String, Vec<u8>)],
        large: &BTreeMap<String, String>,
        watch: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<()> {
        if large.is_empty() {
            return Ok(());
        }
        let of = |path: &str| files.iter().find(|(own, _)| own == path).map(|(_, bytes)| bytes);
        let objects =
            large.iter().filter_map(|(path, sum)| Some(json!({"oid": sum, "size": of(path)?.len()})));
        let body = json!({
            "operation": "upload",
            "transfers": ["basic"],
            "objects": objects.collect::<Vec<_>>(),
            "hash_algo": "sha256",
        });
        let path = format!("{}.git/info/lfs/objects/batch", self.repository);
        let answer =
            self.post("the list of large files", &path, LARGE_FILES, body.to_string().as_bytes(), &[])?;
        let objects = answer.get("objects").and_then(Value::as_array).cloned().unwrap_or_default();
        let total: u64 = large.keys().filter_map(|path| Some(of(path)?.len() as u64)).sum();
        let mut done = 0;
        for (path, sum) in large {
            let wrong = |reason: String| self.error(path, reason);
            let Some(bytes) = of(path) else { continue };
            let object = objects.iter().find(|object| object.get("oid").and_then(Value::as_str) == Some(sum));
            let object = object.ok_or_else(|| wrong("the hub does not say where it goes".to_owned()))?;
            if let Some(error) = object.get("error") {
                return Err(wrong(format!("the hub refuses it: {error}")));
            }
            let action = |name: &str| object.get("actions").and_then(|actions| actions.get(name)).cloned();
            // Without an action the hub has it.
            if let Some(upload) = action("upload") {
                let address = upload.get("href").and_then(Value::as_str);
                let address = address.ok_or_else(|| wrong("the hub names no address".to_owned()))?;
                let headers = upload.get("header").and_then(Value::as_object).cloned().unwrap_or_default();
                let headers: Vec<(String, String)> = headers
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
                    .collect();
                let status = self.hub.connection.put(address, &headers, bytes).map_err(wrong)?;
                if !(200..300).contains(&status) {
                    return Err(wrong(format!("the host of large files answered {status}")));
                }
            }
            if let Some(address) =
                action("verify").and_then(|verify| Some(verify.get("href")?.as_str()?.to_owned()))
            {
                let body = json!({"oid": sum, "size": bytes.len()}).to_string();
                let own = address.strip_prefix(&format!("{}/", self.hub.connection.endpoint));
                let own =
                    own.ok_or_else(|| wrong(format!("the hub verifies at another address, {address}")))?;
                self.post(path, own, LARGE_FILES, body.as_bytes(), &[])?;
            }
            done += bytes.len() as u64;
            watch(path, done, total);
        }
        Ok(())
    }

    /// One commit of all files.
    fn commit(
        &self,
        files: &[(String, Vec<u8>)],
        large: BTreeMap<String, String>,
        summary: &str,
    ) -> Result<Pushed> {
        let mut lines = vec![json!({"key": "header", "value": {"summary": summary, "description": ""}})];
        for (path, bytes) in files {
            lines.push(match large.get(path) {
                Some(sum) => {
                    json!({"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": sum, "size": bytes.len()}})
                }
                None => {
                    json!({"key": "file", "value": {"path": path, "encoding": "base64", "content": STANDARD.encode(bytes)}})
                }
            });
        }
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let path = format!("api/models/{}/commit/main", self.repository);
        let answer = self.post("the commit", &path, "application/x-ndjson", body.as_bytes(), &[])?;
        let address = answer.get("commitUrl").and_then(Value::as_str).map(str::to_owned);
        let address =
            address.unwrap_or_else(|| format!("{}/{}", self.hub.connection.endpoint, self.repository));
        Ok(Pushed { address, large: large.into_keys().collect() })
    }
}
