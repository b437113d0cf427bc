//! The page of an answered question: the sentence, a chart, the rows, and the query that gave them.

use std::fmt::Write;

use gyrus_blueprint::escaped;

use crate::chart::{Line, LineChart, line_chart};
use crate::html::{grouped, number, shortened};
use crate::page::{Facts, STYLE, SWIPE, begin_page_with, end_page, provenance, section};
use crate::scale::Scale;

const OWN_STYLE: &str = include_str!("question.css");
/// Rows of the table; of more, the number is said.
const SHOWN: usize = 500;
/// Colors of series, as classes of the style sheet.
const CLASSES: [&str; 3] = ["validation", "rate", "train"];

/// What the page shows.
#[derive(Debug, Clone, Default)]
pub struct QuestionReport<'a> {
    /// The question.
    pub question: &'a str,
    /// The database, without a password.
    pub database: &'a str,
    /// The answer in a sentence.
    pub sentence: &'a str,
    /// The query that ran.
    pub sql: &'a str,
    /// Names of the columns.
    pub columns: &'a [String],
    /// Which of them hold numbers.
    pub is_number: Vec<bool>,
    /// `[rows][columns]`
    pub rows: Vec<Vec<String>>,
    /// Whether there are more rows.
    pub is_cut: bool,
    /// The drawing; none where the rows have no form that says something.
    pub chart: Option<QuestionChart>,
    /// What was taken for granted, one sentence each.
    pub assumptions: &'a [String],
    /// Settings, in groups with a title.
    pub provenance: Vec<(&'a str, Facts<'a>)>,
}

/// A drawing of rows.
#[derive(Debug, Clone, Default)]
pub struct QuestionChart {
    /// Whether the rows are points in time, drawn as lines; otherwise each is a bar.
    pub is_line: bool,
    /// The name of each row.
    pub labels: Vec<String>,
    /// Series: a name, and a number for each row, or none.
    pub series: Vec<(String, Vec<Option<f64>>)>,
}

impl QuestionReport<'_> {
    /// The whole page.
    #[must_use]
    pub fn to_html(&self) -> String {
        let mut page = begin_page_with(&format!("{} · gyrus ask", self.question), "", &[STYLE, OWN_STYLE]);
        let _ = write!(
            page,
            "<header><p class=\"overline\">{}</p>\n<h1>{}</h1>\n<p class=\"answer\">{}</p></header>\n",
            escaped(self.database),
            escaped(self.question),
            escaped(self.sentence),
        );
        let drawing = self.chart.as_ref().map_or(String::new(), |chart| match chart.is_line {
            true => lines(chart),
            false => bars(chart),
        });
        section(&mut page, "chart", "Chart", &drawing);
        section(&mut page, "rows", "Rows", &self.table());
        section(&mut page, "query", "Query", &format!("<pre class=\"sql\">{}</pre>", escaped(self.sql)));
        let assumed: String =
            self.assumptions.iter().map(|text| format!("<li>{}</li>", escaped(text))).collect();
        let assumed =
            if assumed.is_empty() { assumed } else { format!("<ul class=\"assumed\">{assumed}</ul>") };
        section(&mut page, "assumed", "Taken for granted", &assumed);
        section(&mut page, "provenance", "Provenance", &provenance(&self.provenance));
        end_page(page)
    }

    fn table(&self) -> String {
        if self.rows.is_empty() {
            return "<p>There are no rows.</p>".to_owned();
        }
        let class = |column: usize| match self.is_number.get(column) {
            Some(true) => " class=\"number\"",
            _ => "",
        };
        let mut html = format!("{SWIPE}<div class=\"scroll\"><table class=\"nodes rows\"><thead><tr>");
        for (column, name) in self.columns.iter().enumerate() {
            let _ = write!(html, "<th{}>{}</th>", class(column), escaped(name));
        }
        html.push_str("</tr></thead><tbody>");
        for row in self.rows.iter().take(SHOWN) {
            html.push_str("<tr>");
            for (column, cell) in row.iter().enumerate() {
                let _ = write!(html, "<td{}>{}</td>", class(column), escaped(cell));
            }
            html.push_str("</tr>");
        }
        html.push_str("</tbody></table></div>");
        let left = self.rows.len().saturating_sub(SHOWN);
        if left > 0 || self.is_cut {
            let more = if self.is_cut { "More rows than are read here; " } else { "" };
            let _ = write!(
                html,
                "<p class=\"note\">{more}{} of {} rows are shown.</p>",
                grouped(self.rows.len().min(SHOWN) as u128),
                if self.is_cut {
                    format!("more than {}", grouped(self.rows.len() as u128))
                } else {
                    grouped(self.rows.len() as u128)
                }
            );
        }
        html
    }
}

/// Points in time, evenly spaced as the rows are, or at their years.
fn lines(chart: &QuestionChart) -> String {
    let years: Option<Vec<f64>> = chart.labels.iter().map(|label| label.parse::<f64>().ok()).collect();
    let place = |at: usize| years.as_ref().map_or(at as f64 + 1.0, |years| years[at]);
    let lines: Vec<Line<'_>> = chart
        .series
        .iter()
        .zip(CLASSES)
        .map(|((name, values), class)| Line {
            name,
            class,
            points: values
                .iter()
                .enumerate()
                .filter_map(|(at, value)| Some((place(at), (*value)?)))
                .collect(),
        })
        .collect();
    let all = || chart.series.iter().flat_map(|(_, values)| values.iter().flatten().copied());
    let least = all().fold(f64::INFINITY, f64::min);
    let scale = if least >= 0.0 { Scale::linear(all().chain([0.0]), 5) } else { Scale::linear(all(), 5) };
    let title = chart.series.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let axis = match (&years, chart.labels.first(), chart.labels.last()) {
        (None, Some(first), Some(last)) => format!("row, from {first} to {last}"),
        _ => String::new(),
    };
    let drawn = LineChart {
        across: None,
        unit: if years.is_some() { "year" } else { "row" },
        axis: &axis,
        title: &title,
        lines,
        scale,
        chosen_epoch: None,
        write: number,
    };
    format!("<div class=\"charts wide\">{}</div>", line_chart(&drawn))
}

/// A bar for each row, one series below the other.
fn bars(chart: &QuestionChart) -> String {
    const ROW: f64 = 24.0;
    const LABEL: f64 = 150.0;
    const WIDTH: f64 = 640.0;
    const VALUE: f64 = 80.0;
    let room = WIDTH - LABEL - VALUE;
    let mut html = String::from("<div class=\"charts wide\">");
    for ((name, values), class) in chart.series.iter().zip(CLASSES) {
        let height = ROW * values.len() as f64;
        let largest = values.iter().flatten().map(|value| value.abs()).fold(0.0, f64::max);
        let _ = write!(
            html,
            "<figure class=\"chart bars\"><figcaption><b>{}</b></figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{} by row\">",
            escaped(name),
            escaped(name)
        );
        for (at, (label, value)) in chart.labels.iter().zip(values).enumerate() {
            let middle = ROW * at as f64 + ROW / 2.0;
            let _ = write!(
                html,
                "<text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}<title>{}</title></text>",
                LABEL - 8.0,
                middle + 4.0,
                escaped(&shortened(label, 22)),
                escaped(label)
            );
            let Some(value) = value else { continue };
            let length = if largest > 0.0 { value.abs() / largest * room } else { 0.0 };
            let class = if *value < 0.0 { "negative" } else { class };
            let _ = write!(
                html,
                "<rect class=\"bar {class}\" x=\"{LABEL}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{:.1}\" rx=\"2\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                middle - ROW * 0.35,
                ROW * 0.7,
                LABEL + length + 6.0,
                middle + 4.0,
                number(*value)
            );
        }
        html.push_str("</svg></figure>");
    }
    html.push_str("</div>");
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_the_answer_and_escapes_what_comes_from_outside() {
        let columns = ["name<b>".to_owned(), "n".to_owned()];
        let page = QuestionReport {
            question: "How many <i>?",
            database: "shop.sqlite",
            sentence: "2 rows.",
            sql: "SELECT '<script>'",
            columns: &columns,
            is_number: vec![false, true],
            rows: vec![
                vec!["<script>x</script>".to_owned(), "4".to_owned()],
                vec!["B".to_owned(), "-1".to_owned()],
            ],
            chart: Some(QuestionChart {
                is_line: false,
                labels: vec!["<script>x</script>".to_owned(), "B".to_owned()],
                series: vec![("n".to_owned(), vec![Some(4.0), Some(-1.0)])],
            }),
            ..QuestionReport::default()
        }
        .to_html();
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"));
        assert!(page.contains("<rect class=\"bar validation\"") && page.contains("bar negative"));
        let line = QuestionChart {
            is_line: true,
            labels: ["2009", "2010", "2011"].map(str::to_owned).to_vec(),
            series: vec![("sum".to_owned(), vec![Some(1.0), None, Some(3.0)])],
        };
        assert!(lines(&line).contains("2010"));
    }
}
