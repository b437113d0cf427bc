//! The page of a language model that was tuned.

use gyrus_language_train::TuneRecord;
use gyrus_report::LanguageReport;
use gyrus_train::MetricsRow;

use crate::verbs::page_data;

/// The page.
pub(super) fn page(record: &TuneRecord, metrics: &[MetricsRow]) -> String {
    let TuneRecord { data, settings, results, timings, .. } = record;
    let result = results.as_ref();
    let loss = result.and_then(|results| results.validation_loss);
    let headline = loss.map_or("–".to_owned(), |loss| format!("{loss:.4}"));
    let adapters = match &settings.adapters {
        Some(adapters) => {
            format!("rank {}, alpha {}, {}", adapters.rank, adapters.alpha, adapters.targets.join(" "))
        }
        None => "none: all weights".to_owned(),
    };
    LanguageReport {
        name: &data.name,
        created: &record.created,
        status: record.status.name(),
        headline: (headline, "validation loss, nats per learned token"),
        detail: loss.map_or_else(String::new, |loss| {
            let choices = loss.exp();
            format!("on held-back answers: as uncertain as among {choices:.1} equally likely tokens")
        }),
        facts: vec![
            ("parameters", result.map_or_else(String::new, |r| r.parameters.to_string())),
            ("training examples", data.train_examples.to_string()),
            ("validation examples", data.validation_examples.to_string()),
            ("learned tokens per epoch", data.learned_tokens.to_string()),
            ("training time", format!("{:.1} s", timings.train_seconds)),
            (
                "chosen step",
                result.map_or_else(String::new, |r| format!("{} of {}", r.chosen_step, settings.steps)),
            ),
        ],
        curve: page_data::curve(metrics, |row| row.step as f64),
        sample: result.map_or("", |results| &results.sample),
        settings: vec![
            ("model", settings.base.clone()),
            ("examples", data.path.clone()),
            ("SHA-256", data.fingerprint.clone()),
            ("adapters", adapters),
            ("weight matrices", settings.base_format.clone().unwrap_or_else(|| "as stored".into())),
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
