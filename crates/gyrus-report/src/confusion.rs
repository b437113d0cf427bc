//! The confusion matrix, with recall and precision per class at its edges.

use std::fmt::Write;

use gyrus_blueprint::escaped;

use crate::html::{grouped, percent, shortened};
use crate::page::SWIPE;

/// The most classes that are shown; of more classes, those with the lowest recall.
const MOST_CLASSES: usize = 30;
/// So many classes fit a phone.
const NARROW_CLASSES: usize = 8;
/// Letters of a class name beside and above the table.
const NAME_LETTERS: usize = 22;

/// How often each class was predicted as each class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion<'a> {
    /// Names of the classes.
    pub classes: &'a [String],
    /// Number of test examples, `[true class, predicted class]`; a missing entry counts as 0.
    pub counts: Vec<Vec<u64>>,
}

impl Confusion<'_> {
    fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts.get(truth).and_then(|row| row.get(predicted)).copied().unwrap_or(0)
    }

    /// Examples of a class.
    fn examples(&self, truth: usize) -> u64 {
        (0..self.classes.len()).map(|predicted| self.count(truth, predicted)).sum()
    }

    /// Examples that were predicted as a class.
    fn predictions(&self, predicted: usize) -> u64 {
        (0..self.classes.len()).map(|truth| self.count(truth, predicted)).sum()
    }

    fn recall(&self, class: usize) -> f64 {
        self.count(class, class) as f64 / self.examples(class) as f64
    }

    fn precision(&self, class: usize) -> f64 {
        self.count(class, class) as f64 / self.predictions(class) as f64
    }

    /// The classes to show, in order: all of them, or those with the lowest recall.
    fn shown(&self) -> Vec<usize> {
        let mut classes: Vec<usize> = (0..self.classes.len()).collect();
        if classes.len() > MOST_CLASSES {
            // A class without examples has no recall and comes last.
            let recall: Vec<f64> = classes
                .iter()
                .map(|class| self.recall(*class))
                .map(|r| if r.is_nan() { 2.0 } else { r })
                .collect();
            classes.sort_by(|a, b| recall[*a].total_cmp(&recall[*b]));
            classes.truncate(MOST_CLASSES);
            classes.sort_unstable();
        }
        classes
    }
}

/// The matrix as a table: rows are true classes, columns predicted ones.
pub(crate) fn table(confusion: &Confusion<'_>) -> String {
    let classes = confusion.shown();
    let is_cut = classes.len() < confusion.classes.len();
    let mut html = String::new();
    if is_cut {
        let _ = write!(
            html,
            "<p>The {} of {} classes with the lowest recall. Predictions of all other classes are counted under \
             “others”.</p>",
            classes.len(),
            confusion.classes.len()
        );
    }
    let swipe = if classes.len() > NARROW_CLASSES { SWIPE } else { "" };
    let dense = if classes.len() > 14 { " dense" } else { "" };
    let _ = write!(
        html,
        "{swipe}<div class=\"scroll\"><table class=\"confusion{dense}\"><thead><tr><td></td>\
         <th class=\"axis\" colspan=\"{}\" scope=\"colgroup\">predicted</th><td colspan=\"2\"></td></tr>\
         <tr><th class=\"axis\">true</th>",
        classes.len() + usize::from(is_cut)
    );
    for class in &classes {
        html.push_str(&column_header(&confusion.classes[*class]));
    }
    if is_cut {
        html.push_str(&column_header("others"));
    }
    html.push_str("<th class=\"edge\" scope=\"col\">recall</th><th class=\"edge\" scope=\"col\">n</th></tr></thead><tbody>");
    for truth in &classes {
        let name = &confusion.classes[*truth];
        let examples = confusion.examples(*truth);
        let _ = write!(
            html,
            "<tr><th scope=\"row\" title=\"{}\">{}</th>",
            escaped(name),
            escaped(&shortened(name, NAME_LETTERS))
        );
        let mut shown_count = 0;
        for predicted in &classes {
            let count = confusion.count(*truth, *predicted);
            shown_count += count;
            let says =
                format!("{name}, predicted as {}: {count} of {examples}", confusion.classes[*predicted]);
            html.push_str(&cell(count, examples, truth == predicted, &says));
        }
        if is_cut {
            let count = examples.saturating_sub(shown_count);
            html.push_str(&cell(
                count,
                examples,
                false,
                &format!("{name}, predicted as others: {count} of {examples}"),
            ));
        }
        let _ = write!(
            html,
            "<td class=\"edge\">{}</td><td class=\"edge\">{}</td></tr>",
            percent(confusion.recall(*truth), 1),
            grouped(u128::from(examples))
        );
    }
    html.push_str("</tbody><tfoot><tr><th scope=\"row\">precision</th>");
    for class in &classes {
        let precision = confusion.precision(*class);
        let digits = if precision >= 0.9995 { 0 } else { 1 };
        let text = percent(precision, digits).replace(" %", "");
        let _ = write!(html, "<td class=\"edge\">{text}</td>");
    }
    if is_cut {
        html.push_str("<td></td>");
    }
    html.push_str("<td class=\"edge\">%</td><td></td></tr></tfoot></table></div>");
    html
}

fn column_header(name: &str) -> String {
    let upright = if name.chars().count() > 3 { " class=\"upright\"" } else { "" };
    format!(
        "<th{upright} scope=\"col\" title=\"{}\"><span>{}</span></th>",
        escaped(name),
        escaped(&shortened(name, NAME_LETTERS))
    )
}

fn cell(count: u64, examples: u64, is_right: bool, says: &str) -> String {
    let says = escaped(says);
    if count == 0 {
        return format!("<td class=\"zero\" title=\"{says}\">·</td>");
    }
    let share = count as f64 / examples as f64;
    // The square root keeps a single mistake among hundreds visible.
    let shade = if is_right { 15.0 + 60.0 * share } else { 12.0 + 70.0 * share.sqrt() };
    let class = if is_right { "right" } else { "wrong" };
    let strong = if shade > 55.0 { " strong" } else { "" };
    format!("<td class=\"{class}{strong}\" style=\"--shade:{shade:.0}%\" title=\"{says}\">{count}</td>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_reads_along_rows_and_precision_down_columns() {
        let classes = ["a", "b"].map(str::to_owned);
        let confusion = Confusion { classes: &classes, counts: vec![vec![3, 1], vec![0, 2]] };
        assert_eq!([confusion.recall(0), confusion.recall(1)], [0.75, 1.0]);
        assert_eq!(confusion.precision(0), 1.0);
        assert_eq!(confusion.precision(1), 2.0 / 3.0);
        let html = table(&confusion);
        for part in ["75.0 %", "100.0 %", "66.7", "title=\"a, predicted as b: 1 of 4\">1<"] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn of_many_classes_the_worst_are_shown() {
        let classes: Vec<String> = (0..40).map(|class| format!("class {class}")).collect();
        // Class 35 and every class below 29 are wrong half of the time, half of that for class 39.
        let counts = (0..40)
            .map(|truth: usize| {
                let mut row = vec![0; 40];
                row[truth] = 10;
                if truth < 29 || truth == 35 {
                    row[39] = 10;
                }
                row
            })
            .collect();
        let html = table(&Confusion { classes: &classes, counts });
        assert!(html.contains("30 of 40 classes"));
        assert!(html.contains("title=\"class 35, predicted as others: 10 of 20\">10<"));
        assert!(!html.contains("title=\"class 38\""));
    }

    #[test]
    fn missing_counts_and_empty_classes_do_not_matter() {
        let classes = ["a", "b"].map(str::to_owned);
        let html = table(&Confusion { classes: &classes, counts: vec![] });
        assert!(html.contains("–") && !html.contains("NaN"), "{html}");
    }
}
