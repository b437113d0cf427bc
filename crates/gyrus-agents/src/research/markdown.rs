//! An answer as Markdown.

use std::fmt::Write;

use super::answer::Answer;
use crate::core::Spend;

/// Letters that mean something in Markdown, made plain.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        if matches!(letter, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '!') {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

/// A link's target: only addresses of the web and paths, never anything that runs.
fn target(source: &str) -> String {
    let mut out = String::new();
    for byte in source.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'_'
            | b'.'
            | b'~'
            | b'/'
            | b':'
            | b'?'
            | b'&'
            | b'='
            | b'%'
            | b'+'
            | b','
            | b'@' => {
                out.push(char::from(byte));
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    let is_web = out.starts_with("http://") || out.starts_with("https://");
    // A path with a colon could be read as a scheme.
    if is_web { out } else { out.replace(':', "%3A") }
}

/// The answer as Markdown, with its sources and what it cost.
#[must_use]
pub fn markdown(answer: &Answer, spend: &Spend) -> String {
    let mut text = format!("# {}\n\n", plain(&answer.question));
    let mut sources: Vec<(String, String, String, String)> = Vec::new();
    for note in &answer.notes {
        let _ = writeln!(text, "*{}*\n", plain(note));
    }
    for claim in &answer.claims {
        let mut marks = String::new();
        for quote in &claim.quotes {
            let row = (
                quote.source.clone(),
                quote.place.clone(),
                quote.text.clone(),
                quote.title.clone().unwrap_or_default(),
            );
            let number = match sources.iter().position(|known| *known == row) {
                Some(at) => at + 1,
                None => {
                    sources.push(row);
                    sources.len()
                }
            };
            let _ = write!(marks, " [^{number}]");
        }
        if answer.model.is_none() {
            let _ = writeln!(text, "> {}{marks}\n", plain(&claim.text));
            continue;
        }
        let unverified = match &claim.reason {
            Some(reason) if !claim.is_verified => format!(" **(unverified: {})**", plain(reason)),
            _ => String::new(),
        };
        let _ = writeln!(text, "{}{marks}{unverified}\n", plain(&claim.text));
        for (expression, value) in &claim.calculations {
            let _ = writeln!(text, "`{} = {value}`\n", expression.replace('`', ""));
        }
    }
    if answer.claims.is_empty() {
        text.push_str("No answer was found.\n\n");
    }
    if !answer.not_found.is_empty() {
        text.push_str("## What I did not find\n\n");
        answer.not_found.iter().for_each(|missing| {
            let _ = writeln!(text, "- {}", plain(missing));
        });
        text.push('\n');
    }
    if !sources.is_empty() {
        text.push_str("## Sources\n\n");
        for (number, (source, place, quote, title)) in (1..).zip(&sources) {
            let place = if place.is_empty() { String::new() } else { format!(", {place}") };
            let name = if title.is_empty() { source } else { title };
            let _ = writeln!(
                text,
                "[^{number}]: [{}]({}){place}: \"{}\"",
                plain(name),
                target(source),
                plain(quote)
            );
        }
        text.push('\n');
    }
    let _ =
        writeln!(text, "## Spend\n\n{} It ended because {}.", spent(answer, spend), ending(&answer.stopped));
    text
}

/// Why a run ended, as the end of a sentence.
fn ending(stopped: &str) -> String {
    if stopped.starts_with("the limit") { format!("{stopped} was reached") } else { stopped.to_owned() }
}

/// One sentence on what a run cost.
fn spent(answer: &Answer, spend: &Spend) -> String {
    let count = |number: u64, noun: &str| gyrus_files::counted(number, noun);
    let mut parts = vec![count(spend.tool_calls, "search or fetch")];
    parts[0] = parts[0].replace("search or fetches", "searches and fetches");
    if answer.model.is_some() {
        let about = if spend.is_estimated { "about " } else { "" };
        parts.push(count(spend.model_calls, "call of the model"));
        parts.push(format!("{about}{}", count(spend.tokens(), "token")));
    }
    parts.push(format!("{:.1} s", spend.ms as f64 / 1000.0));
    let dropped = answer.dropped;
    let mut text = format!("{}.", parts.join(", "));
    if dropped.claims + dropped.citations + dropped.quotes > 0 {
        let _ = write!(
            text,
            " Not believed: {}, {}, {}.",
            count(dropped.claims as u64, "claim"),
            count(dropped.citations as u64, "citation"),
            count(dropped.quotes as u64, "quote")
        );
    }
    text.replace("calls of the models", "calls of the model")
        .replace("call of the models", "calls of the model")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_source_becomes_markup() {
        assert_eq!(plain("a [x](javascript:y)\n# b"), "a \\[x\\](javascript:y) \\# b");
        assert_eq!(target("javascript:alert(1)"), "javascript%3Aalert%281%29");
        assert_eq!(target("https://a.example/b c)"), "https://a.example/b%20c%29");
    }
}
