//! The page of a language model that learned from a corpus.

use gyrus_language_train::{TextRecord, TokenizerKind};
use gyrus_report::{LanguageReport, grouped};
use gyrus_train::MetricsRow;

use crate::verbs::page_data;

/// The page.
pub(super) fn page(record: &TextRecord, metrics: &[MetricsRow]) -> String {
    let TextRecord { data, settings, results, timings, .. } = record;
    let number = |value: f64| format!("{value:.4}");
    let result = results.as_ref();
    let headline = result.map_or("–".to_owned(), |results| number(results.validation_loss_per_character));
    let tokenizer = match settings.tokenizer {
        TokenizerKind::Characters => "characters".to_owned(),
        TokenizerKind::BytePairs => format!("{} byte pairs", settings.vocabulary),
    };
    LanguageReport {
        name: &data.name,
        created: &record.created,
        status: record.status.name(),
        headline: (headline, "validation loss, nats per character"),
        detail: result.map_or_else(String::new, |results| {
            let choices = results.validation_loss_per_character.exp();
            format!("on held-back text: as uncertain as among {choices:.1} equally likely characters")
        }),
        facts: vec![
            ("nats per token", result.map_or_else(String::new, |r| number(r.validation_loss))),
            ("parameters", result.map_or_else(String::new, |r| grouped(u128::from(r.parameters)))),
            ("training tokens", grouped(u128::from(data.train_tokens))),
            ("validation tokens", grouped(u128::from(data.validation_tokens))),
            ("training time", format!("{:.1} s", timings.train_seconds)),
            (
                "chosen step",
                result.map_or_else(String::new, |r| format!("{} of {}", r.chosen_step, settings.steps)),
            ),
        ],
        curve: page_data::curve(metrics, |row| row.step as f64),
        sample: result.map_or("", |results| &results.sample),
        settings: vec![
            ("corpus", data.path.clone()),
            ("SHA-256", data.fingerprint.clone()),
            ("tokenizer", tokenizer),
            ("layers, width, heads", format!("{}, {}, {}", settings.layers, settings.width, settings.heads)),
            ("window", format!("{} tokens", settings.context)),
            ("windows per step", (settings.batch_size * settings.accumulation).to_string()),
            ("learning rate", format!("{}, {}", settings.learning_rate, settings.schedule)),
            ("weight decay", settings.weight_decay.to_string()),
            ("seed", settings.seed.to_string()),
            ("device", settings.device.clone()),
            ("Gyrus", record.gyrus_version.clone()),
        ],
    }
    .to_html()
}
