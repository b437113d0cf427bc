//! The page of a circuit that learned without labels: receptive fields, what they stand for, how it went.

use std::fmt::Write;

use gyrus_blueprint::escaped;

use crate::Picture;
use crate::chart::{Line, LineChart, line_chart};
use crate::confusion::{Confusion, table};
use crate::features::{Edges, edges};
use crate::html::percent_tick;
use crate::page::{Facts, STYLE, begin_page_with, end_page, facts, provenance, run_header, section};
use crate::scale::Scale;
use crate::sections::data_uri;

const OWN_STYLES: [&str; 2] = [include_str!("../simulation.css"), include_str!("../features.css")];

/// What the page shows.
#[derive(Debug, Clone, Default)]
pub struct LearnedFieldsReport<'a> {
    /// What was learned.
    pub name: &'a str,
    /// One sentence on how.
    pub description: &'a str,
    /// How far it came.
    pub status: &'a str,
    /// The result in large letters, and what it is.
    pub headline: (String, &'a str),
    /// Other numbers, with their names first.
    pub facts: Facts<'a>,
    /// Inputs shown, and the share of the next ones that would have been recognized.
    pub curve: Vec<(f64, f64)>,
    /// The receptive field of each neuron.
    pub fields: Vec<LearnedField>,
    /// What the fields' pictures show.
    pub fields_note: &'a str,
    /// Which classes were taken for which.
    pub confusion: Option<Confusion<'a>>,
    /// Gabor functions fitted to the fields.
    pub edges: Option<Edges>,
    /// What a person should know, one sentence each.
    pub notes: &'a [String],
    /// Settings, in groups with a title.
    pub provenance: Vec<(&'a str, Facts<'a>)>,
}

/// The weights onto one neuron.
#[derive(Debug, Clone)]
pub struct LearnedField {
    /// Fields of one group stand together under its name; may be empty.
    pub group: String,
    /// The weights as a picture.
    pub picture: Picture,
    /// What to say of it under the pointer.
    pub title: String,
}

impl LearnedFieldsReport<'_> {
    /// The whole page.
    #[must_use]
    pub fn to_html(&self) -> String {
        let styles = [STYLE, OWN_STYLES[0], OWN_STYLES[1]];
        let mut page = begin_page_with(&format!("{} · gyrus simulate", self.name), "", &styles);
        page.push_str(&run_header(self.name, self.status, &escaped(self.description)));
        let _ = write!(
            page,
            "<section class=\"headline\"><div class=\"hero\"><p class=\"value\">{}</p><p class=\"label\">{}</p></div>\n\
             {}</section>\n",
            escaped(&self.headline.0),
            escaped(self.headline.1),
            facts(&self.facts),
        );
        self.notes.iter().for_each(|note| page.push_str(&format!("<p class=\"note\">{}</p>", escaped(note))));
        section(&mut page, "fields", "Receptive fields", &self.fields());
        section(&mut page, "edges", "Edge detectors", &self.edges.as_ref().map(edges).unwrap_or_default());
        section(&mut page, "curve", "Learning", &self.curve());
        section(&mut page, "confusion", "Confusion", &self.confusion.as_ref().map(table).unwrap_or_default());
        section(&mut page, "provenance", "Provenance", &provenance(&self.provenance));
        end_page(page)
    }

    fn fields(&self) -> String {
        let mut html = format!("<p class=\"intro\">{}</p>", escaped(self.fields_note));
        let mut begin = 0;
        for group in self.fields.chunk_by(|one, other| one.group == other.group) {
            if !group[0].group.is_empty() {
                let _ = write!(
                    html,
                    "<h3 class=\"layer\">{} <small>{}</small></h3>",
                    escaped(&group[0].group),
                    group.len()
                );
            }
            html.push_str("<div class=\"fields\">");
            for field in group {
                if let Some(source) = data_uri(&field.picture) {
                    let title = escaped(&field.title);
                    let _ = write!(html, "<img src=\"{source}\" alt=\"{title}\" title=\"{title}\">");
                }
            }
            html.push_str("</div>");
            begin += group.len();
        }
        if begin == 0 { String::new() } else { html }
    }

    fn curve(&self) -> String {
        let Some(last) = self.curve.last() else { return String::new() };
        let chart = line_chart(&LineChart {
            across: Some(Scale::linear([0.0, last.0].into_iter(), 6)),
            unit: "input",
            axis: "inputs shown",
            title: "Recognized before they were learned from",
            lines: vec![Line { name: "accuracy", class: "validation", points: self.curve.clone() }],
            scale: Scale::for_shares(self.curve.iter().map(|point| point.1).chain([0.0, 1.0])),
            chosen_epoch: None,
            write: percent_tick,
        });
        format!(
            "<div class=\"charts\">{chart}</div><p class=\"note\">Each point: neurons got their classes from the answers to one stretch of the \
             training inputs, and the answers to the next stretch were counted against its labels. Labels never reach the synapses.</p>"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_with_their_group_and_names_are_escaped() {
        let field = |group: &str| LearnedField {
            group: group.to_owned(),
            picture: Picture { pixels: vec![0, 80, 160, 255], height: 2, width: 2, channels: 1 },
            title: "neuron <1>".to_owned(),
        };
        let page = LearnedFieldsReport {
            name: "digits",
            fields: vec![field("0"), field("0"), field("1")],
            curve: vec![(100.0, 0.5), (200.0, 0.75)],
            ..LearnedFieldsReport::default()
        }
        .to_html();
        assert_eq!(page.matches("<div class=\"fields\">").count(), 2);
        assert_eq!(page.matches("title=\"neuron &lt;1&gt;\"").count(), 3);
        assert!(page.contains("Recognized before") && !page.contains("id=\"edges\""));
    }
}
