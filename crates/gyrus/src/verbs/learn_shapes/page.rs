//! The page of a network that learned shapes.

use gyrus_report::{LanguageReport, grouped};
use gyrus_sculpt_train::ShapesRecord;
use gyrus_train::MetricsRow;

use super::verdict;
use crate::verbs::page_data;

/// The page.
pub(super) fn page(record: &ShapesRecord, metrics: &[MetricsRow]) -> String {
    let ShapesRecord { data, settings, results, timings, .. } = record;
    let result = results.as_ref();
    let parts = result.map_or(&[][..], |results| &results.judgment.parts);
    let headline = parts.first().map_or("–".to_owned(), |own| format!("{:.3}", own.iou));
    let mut facts = vec![
        ("validation loss", result.map_or_else(String::new, |own| format!("{:.4}", own.validation_loss))),
        ("parameters", result.map_or_else(String::new, |own| grouped(u128::from(own.parameters)))),
        ("training time", format!("{:.1} s", timings.train_seconds)),
        (
            "chosen step",
            result.map_or_else(String::new, |own| format!("{} of {}", own.chosen_step, settings.steps)),
        ),
    ];
    facts.extend(parts.iter().map(|own| {
        let name = match own.name.as_str() {
            "new parameters" => "IoU on new parameters",
            "unseen combinations" => "IoU on unseen combinations",
            _ => "IoU on an unseen family",
        };
        let beside = format!(
            "{:.3}; retrieval {:.3}, family mean {:.3}, visual hull {:.3}, oracle {:.3}; Chamfer-L1 {:.3} (retrieval {:.3})",
            own.iou,
            own.retrieval_iou,
            own.family_mean_iou,
            own.hull_iou,
            own.oracle_iou,
            own.chamfer_l1,
            own.retrieval_chamfer_l1
        );
        (name, beside)
    }));
    LanguageReport {
        name: &data.name,
        created: &record.created,
        status: record.status.name(),
        headline: (headline, "volumetric IoU on objects with new parameters"),
        detail: verdict(parts).unwrap_or_default(),
        facts,
        curve: page_data::curve(metrics, |row| row.step as f64),
        sample: "",
        settings: vec![
            ("objects", data.fingerprint.clone()),
            ("objects per step", settings.batch_size.to_string()),
            ("steps", settings.steps.to_string()),
            ("learning rate", format!("{}, {}", settings.learning_rate, settings.schedule)),
            ("weight decay", settings.weight_decay.to_string()),
            ("seed", settings.seed.to_string()),
            ("Gyrus", record.gyrus_version.clone()),
        ],
    }
    .to_html()
}
