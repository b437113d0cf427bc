//! The page of an answer from documents: each claim leads to its quote, each quote stands marked in its passage.

use std::fmt::Write;
use std::ops::Range;

use gyrus_blueprint::escaped;

use crate::page::{Facts, STYLE, begin_page_with, end_page, facts, provenance, run_header, section};

const OWN_STYLE: &str = include_str!("research.css");

/// What the page shows.
#[derive(Debug, Clone, Default)]
pub struct ResearchReport<'a> {
    /// The question.
    pub question: &'a str,
    /// How far it came: `finished` or `interrupted`.
    pub status: &'a str,
    /// What a reader should know, one sentence each.
    pub notes: &'a [String],
    /// The claims of the answer.
    pub claims: Vec<ResearchClaim<'a>>,
    /// The quotes that they cite.
    pub quotes: Vec<ResearchQuote<'a>>,
    /// What was not found.
    pub not_found: &'a [String],
    /// What was searched for.
    pub searches: &'a [String],
    /// What it cost, with names first.
    pub facts: Facts<'a>,
    /// Settings, in groups with a title.
    pub provenance: Vec<(&'a str, Facts<'a>)>,
}

/// A claim.
#[derive(Debug, Clone, Default)]
pub struct ResearchClaim<'a> {
    /// What it says.
    pub text: &'a str,
    /// Whether it is a quote itself.
    pub is_quote: bool,
    /// Why it is unverified; none if it passed the check.
    pub unverified: Option<&'a str>,
    /// Calculations, such as `2 + 2 = 4`.
    pub calculations: Vec<String>,
    /// Indices of its quotes.
    pub quotes: Vec<usize>,
}

/// A quote.
#[derive(Debug, Clone, Default)]
pub struct ResearchQuote<'a> {
    /// The file or address.
    pub source: &'a str,
    /// The title of the source.
    pub title: Option<&'a str>,
    /// Where in the source; may be empty.
    pub place: &'a str,
    /// An address that opens the source: `https:`, `http:` or `file:`.
    pub address: Option<String>,
    /// The passage.
    pub passage: &'a str,
    /// The bytes of the quote in the passage.
    pub range: Range<usize>,
}

impl ResearchReport<'_> {
    /// The whole page.
    #[must_use]
    pub fn to_html(&self) -> String {
        let mut page =
            begin_page_with(&format!("{} · gyrus research", self.question), "", &[STYLE, OWN_STYLE]);
        page.push_str(&run_header(self.question, self.status, ""));
        for note in self.notes {
            let _ = write!(page, "<p class=\"note\">{}</p>", escaped(note));
        }
        section(&mut page, "answer", "Answer", &self.answer());
        section(&mut page, "missing", "What I did not find", &list(self.not_found));
        section(&mut page, "quotes", "Sources", &self.passages());
        let spend = format!("{}{}", facts(&self.facts), searches(self.searches));
        section(&mut page, "spend", "Spend", &spend);
        section(&mut page, "provenance", "Provenance", &provenance(&self.provenance));
        end_page(page)
    }

    fn answer(&self) -> String {
        if self.claims.is_empty() {
            return "<p>No answer was found.</p>".to_owned();
        }
        let mut html = String::from("<ul class=\"claims\">");
        for claim in &self.claims {
            let class = if claim.is_quote { "quote" } else { "claim" };
            let _ = write!(html, "<li><span class=\"{class}\">{}</span>", shown(claim.text));
            for quote in claim.quotes.iter().filter(|quote| **quote < self.quotes.len()) {
                let _ = write!(html, " <sup><a href=\"#q{0}\">[{0}]</a></sup>", quote + 1);
            }
            for calculation in &claim.calculations {
                let _ = write!(html, "<br><code>{}</code>", escaped(calculation));
            }
            if let Some(reason) = claim.unverified {
                let _ = write!(html, "<br><span class=\"unverified\">unverified: {}</span>", escaped(reason));
            }
            html.push_str("</li>");
        }
        html.push_str("</ul>");
        html
    }

    fn passages(&self) -> String {
        let mut html = String::new();
        for (number, quote) in (1..).zip(&self.quotes) {
            let name = escaped(quote.title.unwrap_or(quote.source));
            let name = match quote.address.as_ref().filter(|address| is_safe(address)) {
                Some(address) => format!("<a href=\"{}\" rel=\"noreferrer\">{name}</a>", escaped(address)),
                None => name,
            };
            let mut place = if quote.title.is_some() { escaped(quote.source) } else { String::new() };
            for part in [quote.place].into_iter().filter(|part| !part.is_empty()) {
                let gap = if place.is_empty() { "" } else { ", " };
                let _ = write!(place, "{gap}{}", escaped(part));
            }
            let Range { start, end } = quote.range;
            let parts = (quote.passage.get(..start), quote.passage.get(start..end), quote.passage.get(end..));
            let text = match parts {
                (Some(before), Some(words), Some(after)) => {
                    format!("{}<mark>{}</mark>{}", shown(before), shown(words), shown(after))
                }
                _ => shown(quote.passage),
            };
            let _ = write!(
                html,
                "<div class=\"passage\" id=\"q{number}\"><p><strong>[{number}]</strong> {name} <span class=\"place\">{place}</span></p>\
                 <p>{text}</p></div>"
            );
        }
        html
    }
}

/// Whether an address only opens something.
fn is_safe(address: &str) -> bool {
    ["https://", "http://", "file:///"].iter().any(|scheme| address.starts_with(scheme))
}

fn list(items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items.iter().map(|item| format!("<li>{}</li>", escaped(item))).collect();
    format!("<ul>{items}</ul>")
}

fn searches(queries: &[String]) -> String {
    if queries.is_empty() {
        return String::new();
    }
    format!("<h3>Searches</h3>{}", list(queries))
}

/// A text of a source on a page, where the ends of its lines are spaces.
fn shown(text: &str) -> String {
    escaped(&text.replace(['\n', '\r', '\t'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_lead_to_marked_quotes_and_nothing_becomes_markup() {
        let passage = "Before <b>. Owls hunt. After.";
        let start = passage.find("Owls").unwrap();
        let quote = |address: &str| ResearchQuote {
            source: "a<.md",
            place: "line 3",
            address: Some(address.to_owned()),
            passage,
            range: start..start + 10,
            ..ResearchQuote::default()
        };
        let page = ResearchReport {
            question: "<script>?",
            claims: vec![ResearchClaim {
                text: "Owls & hunt",
                quotes: vec![0, 9],
                ..ResearchClaim::default()
            }],
            quotes: vec![quote("file:///a.md"), quote("javascript:alert(1)")],
            ..ResearchReport::default()
        }
        .to_html();
        assert!(page.contains("Owls &amp; hunt</span> <sup><a href=\"#q1\">[1]</a></sup></li>"), "{page}");
        assert!(page.contains("&lt;b&gt;. <mark>Owls hunt.</mark> After."));
        assert!(page.contains("id=\"q2\"") && !page.contains("javascript:") && !page.contains("<script>?"));
    }
}
