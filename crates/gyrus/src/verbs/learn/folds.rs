//! Cross-validation: a network for each fold, measured on the rows that it did not see.

use gyrus_blueprint::Blueprint;
use gyrus_data::Dataset;
use gyrus_tensor::Device;
use gyrus_train::{
    Begin, Existing, Learned, Outcome, PartMetrics, RunFolder, RunRecord, learn, split_validation,
};

use crate::observer::{Note, Observer};
use crate::verbs::watch::Watched;
use crate::{Error, Result};

/// Trains each fold with the settings of `record`, in a folder within `folder` that is removed afterwards.
pub(super) fn cross_validate(
    folds: &[(Dataset, Blueprint)],
    record: &RunRecord,
    folder: &RunFolder,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Vec<PartMetrics>> {
    let mut parts = Vec::with_capacity(folds.len());
    for (number, (dataset, blueprint)) in (1..).zip(folds) {
        let path = folder.path().join(format!("fold-{number}"));
        let own = RunFolder::create(&path, Existing::Replace)?;
        let validation = split_validation(dataset).1.len();
        let own_record = RunRecord::new(dataset, None, validation, record.settings.clone());
        own.write_record(&own_record)?;
        own.write_blueprint(blueprint)?;
        let watched = &mut Watched::network(observer);
        let outcome = learn(dataset, blueprint, own_record, &own, device, Begin::Fresh, watched);
        observer.trained();
        std::fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
        let part = match outcome? {
            Outcome::Finished(Learned { test, .. }) => test.metrics,
            Outcome::Interrupted { step, steps } => {
                return Err(Error::Interrupted {
                    run: folder.path().to_owned(),
                    step,
                    steps,
                    part: " of a fold",
                    next: "the same command, which begins again".to_owned(),
                });
            }
        };
        let result = match (part.accuracy, part.root_mean_squared_error) {
            (Some(accuracy), _) => format!("accuracy {:.2} %", 100.0 * accuracy),
            (_, Some(error)) => format!("root mean squared error {error:.4}"),
            _ => format!("loss {:.4}", part.loss),
        };
        let text = format!(
            "fold {number} of {}: {result} on {}",
            folds.len(),
            crate::verbs::counted(part.examples, "row")
        );
        observer.note(&Note::Text(&text));
        parts.push(part);
    }
    Ok(parts)
}

/// Mean and standard deviation of a value over the folds.
pub(super) fn spread(folds: &[PartMetrics], value: fn(&PartMetrics) -> Option<f64>) -> Option<(f64, f64)> {
    let values: Vec<f64> = folds.iter().map(value).collect::<Option<_>>()?;
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
    Some((mean, variance.sqrt()))
}
