//! The page of a run that trained or tuned a language model.

use std::fmt::Write;

use gyrus_blueprint::escaped;

use crate::CurvePoint;
use crate::curves::curves;
use crate::page::{Facts, begin_page, day, end_page, facts, provenance, run_header, section};

/// What the page of a language model shows.
#[derive(Debug, Clone)]
pub struct LanguageReport<'a> {
    /// The name of the corpus or of the examples.
    pub name: &'a str,
    /// When the run began: RFC 3339, UTC.
    pub created: &'a str,
    /// How far it came: `running`, `interrupted` or `finished`.
    pub status: &'a str,
    /// The result in large letters, and what it is.
    pub headline: (String, &'a str),
    /// What the result means.
    pub detail: String,
    /// Other numbers, with their names first.
    pub facts: Facts<'a>,
    /// One point per evaluation, over steps.
    pub curve: Vec<CurvePoint>,
    /// What the model writes.
    pub sample: &'a str,
    /// All settings, with their names first.
    pub settings: Facts<'a>,
}

impl LanguageReport<'_> {
    /// The whole page.
    #[must_use]
    pub fn to_html(&self) -> String {
        let mut page = begin_page(&format!("{} · language model", self.name));
        let lead = format!("language model · {}", day(self.created));
        page.push_str(&run_header(self.name, self.status, &lead));
        let _ = write!(
            page,
            "<section class=\"headline\"><div class=\"hero\"><p class=\"value\">{}</p><p class=\"label\">{}</p>\
             <p class=\"detail\">{}</p></div>\n{}</section>\n",
            escaped(&self.headline.0),
            escaped(self.headline.1),
            escaped(&self.detail),
            facts(&self.facts),
        );
        let charts = curves(&self.curve, "step", "Loss in nats a token", None);
        if !charts.is_empty() {
            section(&mut page, "curves", "Learning", &format!("<div class=\"charts\">{charts}</div>"));
        }
        let lines: Vec<String> = self.sample.lines().map(escaped).collect();
        if !lines.is_empty() {
            let text = format!(
                "<p class=\"detail\">By the model alone</p><pre class=\"sample\">{}</pre>",
                lines.join("\n")
            );
            section(&mut page, "sample", "What it writes", &text);
        }
        let settings = provenance(&[("", self.settings.clone())]);
        section(&mut page, "provenance", "Settings and provenance", &settings);
        end_page(page)
    }
}
