//! Files as texts: which can be read, and how each kind becomes one text whose bytes quotes can name.

mod encoding;
mod html;
mod pdf;
mod table;
mod walk;

use std::fmt;
use std::path::Path;

pub use encoding::decoded;
pub use html::{HtmlText, html_text};
pub use pdf::{PdfLimits, PdfReader, extract_pdf};
use serde::{Deserialize, Serialize};
pub use walk::{Found, walk};

/// The most bytes of a file.
pub const MOST_BYTES: u64 = 256 << 20;

/// What kind of text a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// Plain text.
    Text,
    /// Markdown.
    Markdown,
    /// A page of the web.
    Html,
    /// A PDF document.
    Pdf,
    /// A table, separated by commas, semicolons or tabs.
    Csv,
}

impl SourceKind {
    /// The kind of a file by the ending of its name; none for a file that is no source.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match ending.as_str() {
            "txt" | "text" | "rst" | "org" | "tex" | "adoc" | "log" => Self::Text,
            "md" | "markdown" | "mdx" => Self::Markdown,
            "html" | "htm" | "xhtml" => Self::Html,
            "pdf" => Self::Pdf,
            "csv" | "tsv" => Self::Csv,
            _ => return None,
        })
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Markdown => "Markdown",
            Self::Html => "HTML",
            Self::Pdf => "PDF",
            Self::Csv => "table",
        })
    }
}

/// The text of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceText {
    /// Its title, if it has one.
    pub title: Option<String>,
    /// The text. Quotes name its bytes.
    pub text: String,
    /// Good places to cut it, ascending: ends of pages, of rows.
    pub cuts: Vec<usize>,
    /// Words that belong to each passage, such as the names of a table's columns.
    pub context: String,
}

/// The text in the bytes of a file.
///
/// # Errors
/// A sentence on why there is none.
pub fn read_source(kind: SourceKind, bytes: &[u8], pdf: &PdfReader) -> Result<SourceText, String> {
    let source = match kind {
        SourceKind::Pdf => pdf.read(bytes)?,
        SourceKind::Html => {
            let HtmlText { title, text } = html_text(&decoded(bytes, true)?);
            SourceText { title, text, ..SourceText::default() }
        }
        SourceKind::Csv => table::read(decoded(bytes, false)?),
        SourceKind::Markdown | SourceKind::Text => {
            let text = decoded(bytes, false)?;
            let title = text.lines().take(40).find_map(|line| line.strip_prefix("# "));
            let title = title.map(|title| title.trim().to_owned()).filter(|_| kind == SourceKind::Markdown);
            SourceText { title, text, ..SourceText::default() }
        }
    };
    if source.text.trim().is_empty() {
        return Err("it holds no text".to_owned());
    }
    Ok(source)
}
