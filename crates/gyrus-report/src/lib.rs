//! `report.html`: a run for the eye, in one file that needs no network; but for [`render_look`], no script either.
//!
//! Whatever comes from outside (class names, file names, table cells) is escaped, and the page forbids itself to
//! load anything.

mod chart;
mod confusion;
mod html;
mod inspection;
mod language;
mod scale;
mod sections;
mod spiking;

use gyrus_blueprint::Blueprint;
use gyrus_data::Task;

pub use confusion::Confusion;
pub use html::grouped;
pub use inspection::{LookLens, LookPattern, LookReport, LookToken, render_look};
pub use language::{LanguageReport, render_language};

use gyrus_train::{LayerActivity, MetricsRow, RunRecord};
use html::escaped;

const STYLE: &str = include_str!("style.css");

/// What a report shows.
#[derive(Debug, Clone)]
pub struct ReportData<'a> {
    /// Settings, data and results.
    pub record: &'a RunRecord,
    /// The network.
    pub blueprint: &'a Blueprint,
    /// One row per epoch.
    pub metrics: &'a [MetricsRow],
    /// Test examples by true and predicted class; classification only.
    pub confusion: Option<Confusion<'a>>,
    /// The worst mistakes on the test examples, worst first.
    pub mistakes: Vec<Mistake>,
    /// What the neurons of a spiking network do for one test example.
    pub activity: Option<Activity<'a>>,
    /// True and predicted value of each test example, in the unit of the target; regression only.
    pub regression: Option<Vec<(f32, f32)>>,
}

/// One example in a spiking network.
#[derive(Debug, Clone)]
pub struct Activity<'a> {
    /// Its class.
    pub label: &'a str,
    /// Layer by layer.
    pub layers: Vec<LayerActivity>,
}

/// A test example that the network got wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    /// What would have been right: the name of the class, or the value.
    pub label: String,
    /// What the network said.
    pub predicted: String,
    /// How sure it was of what it said, 0 to 1; for regression, 0 hides it.
    pub probability: f32,
    /// The example, where it is a picture.
    pub picture: Option<Picture>,
    /// The example, where it is a row of a table.
    pub text: Option<String>,
}

/// A small picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Brightness 0 to 255, `[height, width, channels]`.
    pub pixels: Vec<u8>,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
}

/// The whole page.
#[must_use]
pub fn render(data: &ReportData<'_>) -> String {
    let record = data.record;
    let title = format!("{} · {}", record.data.name, data.blueprint.name);
    let mut page = begin_page(&title);
    page.push_str(&sections::header(data));
    page.push_str(&sections::headline(data));
    if let Some(conversion) = &record.conversion {
        section(
            &mut page,
            "spiking",
            "Spikes over time, beside the dense network",
            &spiking::conversion(conversion),
        );
    }
    if let Some(activity) = &data.activity {
        let title = format!("Neurons that see one test example of class {}", escaped(activity.label));
        section(&mut page, "activity", &title, &spiking::activity(&activity.layers));
    }
    let learning = match &record.conversion {
        Some(_) if data.metrics.is_empty() => "Spiking network",
        Some(_) => "Fine-tuning",
        None => "Learning",
    };
    section(&mut page, "curves", learning, &sections::curves(data));
    if let Some(confusion) = &data.confusion {
        section(&mut page, "confusion", "Which classes it confuses", &confusion::table(confusion));
    }
    if let Some(points) = &data.regression {
        let (target, is_regression) = match &record.task {
            Task::Regression { target, .. } => (target.as_str(), true),
            Task::Classification { .. } => ("", false),
        };
        if is_regression {
            section(&mut page, "scatter", "Predicted against true", &sections::regression(points, target));
        }
    }
    section(&mut page, "mistakes", "Worst mistakes", &sections::mistakes(&data.mistakes));
    section(&mut page, "blueprint", "Blueprint", &sections::blueprint(data.blueprint));
    section(&mut page, "provenance", "Settings and provenance", &sections::provenance(record));
    section(&mut page, "skipped", "Files left out", &sections::skipped(&record.skipped));
    end_page(page)
}

/// A page up to its first element; it forbids itself to load anything.
fn begin_page(title: &str) -> String {
    begin_page_with(title, "", &[STYLE])
}

/// [`begin_page`] with more in its policy and its style.
fn begin_page_with(title: &str, policy: &str, styles: &[&str]) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         img-src data:{policy}\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{}</style>\n\
         </head>\n<body>\n<main>\n",
        escaped(title),
        styles.concat(),
    )
}

fn end_page(mut page: String) -> String {
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// A section, where there is something to show in it.
fn section(page: &mut String, id: &str, title: &str, body: &str) {
    if !body.is_empty() {
        page.push_str(&format!("<section id=\"{id}\">\n<h2>{title}</h2>\n{body}\n</section>\n"));
    }
}
