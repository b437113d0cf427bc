//! Standard output and standard error, which may be closed, full, or a pipe that nobody reads any more.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use gyrus::verbs::quoted;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::exit::Failure;

/// The version of the shape of `--json`: a key that changes its meaning makes it higher, a new key does not.
const JSON_VERSION: u32 = 1;

/// Keys that have another name today, and the older name, which stays.
const OLDER_KEYS: [(&str, &str); 5] = [
    ("page", "report"),
    ("out", "output"),
    ("seconds", "total_seconds"),
    ("matrices", "products"),
    ("learned_tokens", "learnt_tokens"),
];

/// How this process speaks.
#[derive(Debug, Default)]
pub(crate) struct Manner {
    /// The verb, which is the `kind` of its report.
    pub(crate) verb: String,
    /// Results and errors only.
    pub(crate) quiet: bool,
    /// More progress, and the cost at the end.
    pub(crate) verbose: bool,
    /// Open the page at the end.
    pub(crate) open: bool,
}

static MANNER: OnceLock<Manner> = OnceLock::new();
/// The page that was written.
static PAGE: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Said once, before anything is printed.
pub(crate) fn speak(manner: Manner) {
    let _ = MANNER.set(manner);
}

/// How this process speaks.
pub(crate) fn manner() -> &'static Manner {
    MANNER.get_or_init(Manner::default)
}

/// A line on standard output. A reader that has gone away has read enough.
pub(crate) fn say(text: impl Display) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

/// The verb's report as one JSON object on standard output.
pub(crate) fn say_json(report: &impl Serialize) -> Result<(), Failure> {
    say_row(&manner().verb, report)
}

/// A row of many as one JSON object on a line of standard output.
pub(crate) fn say_row(kind: &str, row: &impl Serialize) -> Result<(), Failure> {
    let row = serde_json::to_value(row).map_err(|error| gyrus::Error::Failed(error.to_string()))?;
    if let Some(page) = row.get("page").or(row.get("report")).and_then(Value::as_str) {
        remember(Path::new(page));
    }
    say(enveloped(kind, row))
}

/// `kind` and `version` before the fields of a report, which have both their names where they changed them.
fn enveloped(kind: &str, report: Value) -> Value {
    let mut object = Map::new();
    object.insert("kind".into(), kind.into());
    object.insert("version".into(), JSON_VERSION.into());
    match report {
        Value::Object(fields) => object.extend(fields),
        value => drop(object.insert("value".into(), value)),
    }
    // What a training writes is its run folder.
    if matches!(kind, "learn" | "tune" | "spike")
        && !object.contains_key("out")
        && let Some(out) = object.get("nir").filter(|_| !object.contains_key("data")).or(object.get("run"))
    {
        let out = out.clone();
        object.insert("out".into(), out);
    }
    for (key, older) in OLDER_KEYS {
        for (there, missing) in [(key, older), (older, key)] {
            if let Some(value) = object.get(there).filter(|_| !object.contains_key(missing)) {
                let value = value.clone();
                object.insert(missing.into(), value);
            }
        }
    }
    Value::Object(object)
}

/// Why nothing came of it, as the last line on standard output, for programs that read no other.
pub(crate) fn say_error(message: &str, code: u8, interrupted: Option<Value>) {
    let fault = match code {
        2 => "input",
        130 => "interrupted",
        _ => "failure",
    };
    let mut error = json!({"message": message, "code": code, "fault": fault});
    if let (Some(Value::Object(more)), Some(error)) = (interrupted, error.as_object_mut()) {
        error.extend(more);
    }
    // Who cannot be told by this line is told by the exit code.
    let _ = say(enveloped("error", error));
}

/// What a person should know, on standard error; where that cannot be written there is nobody to tell.
pub(crate) fn note(text: impl Display) {
    if !manner().quiet {
        complain(text);
    }
}

/// An error, on standard error, however quiet this process is.
pub(crate) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// What to do next, after a result.
pub(crate) fn next(text: impl Display) -> Result<(), Failure> {
    if manner().quiet { Ok(()) } else { say(text) }
}

/// The path of a page as a shell takes it; a link, on a terminal that knows links. `--open` opens the last one.
pub(crate) fn page(path: &Path) -> String {
    remember(path);
    let text = quoted(path);
    let stdout = supports_hyperlinks::Stream::Stdout;
    match std::path::absolute(path) {
        Ok(absolute) if io::stdout().is_terminal() && supports_hyperlinks::on(stdout) => {
            format!("\u{1b}]8;;{}\u{1b}\\{text}\u{1b}]8;;\u{1b}\\", address(&absolute))
        }
        _ => text,
    }
}

fn remember(path: &Path) {
    if let Ok(mut page) = PAGE.lock() {
        *page = Some(path.to_owned());
    }
}

/// The `file:` address of an absolute path.
fn address(path: &Path) -> String {
    let mut address = String::from("file://");
    let text = path.to_string_lossy().replace('\\', "/");
    if !text.starts_with('/') {
        address.push('/');
    }
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b':' => {
                address.push(char::from(byte));
            }
            _ => address.push_str(&format!("%{byte:02X}")),
        }
    }
    address
}

/// Opens the page that was written, where `--open` asks for it: by `$BROWSER`, or by what the system has for that.
pub(crate) fn open_page() {
    let page = PAGE.lock().ok().and_then(|page| page.clone());
    let Some(page) = page.filter(|_| manner().open) else { return };
    let page = std::path::absolute(&page).unwrap_or(page);
    let browser = std::env::var_os("BROWSER").filter(|browser| !browser.is_empty());
    let mut command = match (browser, std::env::consts::OS) {
        (Some(browser), _) => std::process::Command::new(browser),
        (None, "macos") => std::process::Command::new("open"),
        (None, "windows") => std::process::Command::new("explorer"),
        (None, _) => std::process::Command::new("xdg-open"),
    };
    let null = std::process::Stdio::null;
    let started = command.arg(&page).stdin(null()).stdout(null()).stderr(null()).spawn();
    if let Err(error) = started {
        note(format_args!("note: cannot open {} in a browser: {error}", quoted(&page)));
    }
}

/// Text that appears while it is generated.
#[derive(Default)]
pub(crate) struct Streamed {
    error: Option<io::Error>,
}

impl Streamed {
    /// Shows a part immediately; false when nobody can read it any more.
    pub(crate) fn show(&mut self, text: &str) -> bool {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => true,
            Err(error) => {
                self.error = Some(error);
                false
            }
        }
    }

    /// A reader that has gone away has read enough; other errors are failures.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self.error {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_begins_with_its_kind_and_has_older_keys_too() {
        let learn = enveloped("learn", json!({"run": "runs/a", "data": "digits", "total_seconds": 2.0}));
        let text = r#"{"kind":"learn","version":1,"run":"runs/a","data":"digits","total_seconds":2.0,"out":"runs/a","output":"runs/a","seconds":2.0}"#;
        assert_eq!(learn.to_string(), text);
        let export = enveloped("spike", json!({"run": "runs/a", "nir": "a.nir"}));
        assert_eq!(export["out"], "a.nir");
        let spike = enveloped("spike", json!({"run": "runs/b", "data": "digits", "nir": "a.nir"}));
        assert_eq!(spike["out"], "runs/b");
        assert_eq!(enveloped("see", json!({"report": "x.html"}))["page"], "x.html");
    }

    #[test]
    fn addresses_of_files_are_encoded() {
        assert_eq!(address(Path::new("/a b/ü?.html")), "file:///a%20b/%C3%BC%3F.html");
    }
}
