//! PDF documents, whose parsers have to be expected to fail: a process of its own reads each, with limits of memory, time and
//! output, and its death is one sentence.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SourceText;

/// What the reading of one document may take.
#[derive(Clone, Debug)]
pub struct PdfLimits {
    /// Seconds until the process is ended.
    pub seconds: f64,
    /// Bytes of text; the rest is left out, and the process ends.
    pub text_bytes: u64,
}

impl Default for PdfLimits {
    fn default() -> Self {
        Self { seconds: 60.0, text_bytes: 64 << 20 }
    }
}

/// Reads PDF documents in processes of their own.
#[derive(Clone, Debug, Default)]
pub struct PdfReader {
    /// A program that takes a document on standard input and answers as [`extract_pdf`] does, with its arguments. Without one no
    /// PDF is read.
    pub program: Vec<OsString>,
    /// What it may take.
    pub limits: PdfLimits,
}

/// A document's pages, as they go from one process to the other.
#[derive(Serialize, Deserialize)]
struct Pages {
    pages: Vec<String>,
}

/// The text of a document's pages, as JSON: what the helping process does.
///
/// # Errors
/// If the document cannot be read. It may also panic, or use much memory: call it in a process that may die.
pub fn extract_pdf(bytes: &[u8]) -> Result<String, String> {
    let pages = pdf_extract::extract_text_from_mem_by_pages(bytes).map_err(|error| error.to_string())?;
    serde_json::to_string(&Pages { pages }).map_err(|error| error.to_string())
}

impl PdfReader {
    pub(super) fn read(&self, bytes: &[u8]) -> Result<SourceText, String> {
        let answer = self.run(bytes)?;
        let Pages { pages } =
            serde_json::from_str(&answer).map_err(|_| "its text is longer than allowed".to_owned())?;
        let mut source = SourceText::default();
        for page in pages {
            tidy(&page, &mut source.text);
            if !source.text.is_empty() && !source.text.ends_with("\n\n") {
                source.text.push_str("\n\n");
            }
            source.cuts.push(source.text.len());
        }
        Ok(source)
    }

    fn run(&self, bytes: &[u8]) -> Result<String, String> {
        let (program, arguments) =
            self.program.split_first().ok_or("no program to read PDF documents is known")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("the process that reads PDF documents does not start: {error}"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let limit = self.limits.text_bytes;
        let seconds = Duration::try_from_secs_f64(self.limits.seconds).unwrap_or(Duration::from_secs(60));
        let (done, finished) = mpsc::channel();
        let text = thread::scope(|scope| {
            scope.spawn(move || {
                // A child that ends early closes its input; that says nothing about its answer.
                input.map(|mut input| input.write_all(bytes))
            });
            scope.spawn(move || {
                let mut text = Vec::new();
                let read = output.map(|output| output.take(limit + 1).read_to_end(&mut text));
                let _ = done.send(read.is_some_and(|read| read.is_ok()).then_some(text));
            });
            let text = finished.recv_timeout(seconds);
            if text.as_ref().map_or(true, |text| text.as_ref().is_none_or(|text| text.len() as u64 > limit)) {
                let _ = child.kill();
            }
            text
        });
        let status = child.wait().map_err(|error| error.to_string())?;
        match text {
            Err(_) => Err(format!("reading it took more than {:.0} s", self.limits.seconds)),
            Ok(Some(text)) if text.len() as u64 > limit => Err("its text is longer than allowed".to_owned()),
            Ok(Some(text)) if status.success() => {
                String::from_utf8(text).map_err(|_| "its text is not UTF-8".to_owned())
            }
            Ok(Some(text)) if status.code() == Some(2) => Err(format!(
                "the document is damaged or unusual: {}",
                String::from_utf8_lossy(&text).chars().take(120).collect::<String>().trim()
            )),
            Ok(_) => Err("the document is damaged, or needs more memory than allowed".to_owned()),
        }
    }
}

/// Joins lines of a page to paragraphs: single line ends become spaces, hyphens at line ends join.
fn tidy(page: &str, out: &mut String) {
    let lines = page.lines().map(str::trim);
    let mut is_open = false;
    for line in lines {
        if line.is_empty() {
            if is_open {
                out.push_str("\n\n");
            }
            is_open = false;
            continue;
        }
        if is_open {
            let hyphen = out.ends_with('-') && line.starts_with(char::is_lowercase);
            let word = out.trim_end_matches('-').ends_with(char::is_alphabetic);
            if hyphen && word {
                out.pop();
            } else {
                out.push(' ');
            }
        }
        out.extend(line.chars().filter(|letter| !super::html::is_invisible(*letter)));
        is_open = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, seconds: f64) -> PdfReader {
        let program = ["sh", "-c", script].map(OsString::from).to_vec();
        PdfReader { program, limits: PdfLimits { seconds, text_bytes: 1000 } }
    }

    #[test]
    fn lines_become_paragraphs() {
        let mut out = String::new();
        tidy("A hyphen-\nated word\nof two lines\n\n\nB-\nC", &mut out);
        assert_eq!(out, "A hyphenated word of two lines\n\nB- C");
    }

    #[cfg(unix)]
    #[test]
    fn a_process_that_misbehaves_is_one_sentence() {
        let pages = shell("cat > /dev/null; echo '{\"pages\":[\"a\",\"b\"]}'", 10.0).read(b"x").unwrap();
        assert_eq!((pages.text.as_str(), pages.cuts.as_slice()), ("a\n\nb\n\n", [3, 6].as_slice()));
        for (script, seconds, text) in [
            ("sleep 5", 0.2, "took more than"),
            ("yes", 10.0, "longer than allowed"),
            ("kill -9 $$", 10.0, "damaged"),
            ("echo 'no header'; exit 2", 10.0, "no header"),
        ] {
            let error = shell(script, seconds).read(&[0; 100_000]).unwrap_err();
            assert!(error.contains(text), "{script}: {error}");
        }
        assert!(PdfReader::default().read(b"x").unwrap_err().contains("no program"));
    }
}
