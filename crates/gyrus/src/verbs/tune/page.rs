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
        headline: (headline, "validation loss, nats a learnt token"),
        detail: loss.map_or_else(String::new, |loss| {
            let choices = loss.exp();
            format!(
                "on answers that it did not learn from: as unsure as among {choices:.1} equally likely tokens"
            )
        }),
        facts: vec![
            ("parameters", result.map_or_else(String::new, |r| r.parameters.to_string())),
            ("examples to learn from", data.train_examples.to_string()),
            ("examples to judge by", data.validation_examples.to_string()),
            ("tokens learnt in a pass", data.learned_tokens.to_string()),
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
            ("model's products", settings.base_format.clone().unwrap_or_else(|| "as they are stored".into())),
            ("window", format!("{} tokens", settings.context)),
            ("windows a step", (settings.batch_size * settings.accumulation).to_string()),
            ("learning rate", format!("{}, {}", settings.learning_rate, settings.schedule)),
            ("weight decay", settings.weight_decay.to_string()),
            ("seed", settings.seed.to_string()),
            ("device", settings.device.clone()),
            ("Gyrus", record.gyrus_version.clone()),
        ],
    }
    .to_html()
}
