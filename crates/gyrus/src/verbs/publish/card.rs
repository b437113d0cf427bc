//! The model card: front matter that the hub reads, and text for people, filled in from the record of the run.

use std::fmt::Write as _;
use std::path::Path;

use gyrus_data::Preprocessing;
use gyrus_train::RunRecord;
use gyrus_vision::Model;
use gyrus_vision::publish::{Layout, Library};

use crate::Result;
use crate::verbs::counted;

/// What a card is about.
pub(super) struct About<'a> {
    pub(super) name: &'a str,
    pub(super) license: &'a str,
    pub(super) record: &'a RunRecord,
    pub(super) layout: &'a Layout,
    pub(super) model: &'a Model,
}

/// Classes that are named one by one.
const NAMED: usize = 100;
/// Test images below which a single one of them counts.
const FEW: u64 = 100;

pub(super) fn card(about: &About<'_>) -> Result<String> {
    let mut text = front_matter(about);
    let About { name, record, model, .. } = about;
    let classes = counted(model.classes.len() as u64, "class");
    let _ = write!(
        text,
        "\n# {name}\n\nAn image classifier of {classes}, trained with [Gyrus](https://crates.io/crates/gyrus) {} on the data set \
         \"{}\".\n",
        record.gyrus_version,
        data_name(record)
    );
    intended_use(&mut text, about);
    use_it(&mut text, about);
    evaluation(&mut text, about);
    limits(&mut text, about);
    training(&mut text, about)?;
    Ok(text)
}

/// The name of the data set, without the folders that it lay in.
fn data_name(record: &RunRecord) -> String {
    let name = Path::new(&record.data.name).file_name();
    name.map_or_else(|| record.data.name.clone(), |name| name.to_string_lossy().into_owned())
}

/// A text as YAML reads it: JSON is a part of it.
fn yaml(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn front_matter(about: &About<'_>) -> String {
    let About { name, license, record, layout, .. } = about;
    let mut text = format!(
        "---\nlicense: {}\nlibrary_name: {}\npipeline_tag: image-classification\ntags:\n- image-classification\n- gyrus\n",
        yaml(license),
        layout.library.name()
    );
    if layout.library == Library::Timm {
        text += "- timm\n";
    }
    text += "metrics:\n- accuracy\n";
    let test = record.results.as_ref().and_then(|results| results.test.as_ref());
    if let Some(accuracy) = test.and_then(|test| test.accuracy) {
        let data = yaml(&data_name(record));
        let _ = write!(
            text,
            "model-index:\n- name: {}\n  results:\n  - task:\n      type: image-classification\n    dataset:\n      name: {data}\n      \
             type: {data}\n      split: test\n    metrics:\n    - type: accuracy\n      value: {accuracy:.6}\n",
            yaml(name)
        );
    }
    text + "---\n"
}

fn intended_use(text: &mut String, about: &About<'_>) {
    let classes = &about.model.classes;
    let named: Vec<String> = classes.iter().take(NAMED).map(|class| format!("`{class}`")).collect();
    let more = classes.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more, which `config.json` lists") } else { String::new() };
    let _ = write!(
        text,
        "\n## Intended use\n\nSorting images like those of its training data into one of these classes: {}{more}.\n\nIt was not \
         examined for anything else. Do not let it decide about people.\n",
        named.join(", ")
    );
}

fn use_it(text: &mut String, about: &About<'_>) {
    let Preprocessing::Image { height, width, .. } = about.model.preprocessing else { return };
    let folder = about.name;
    let _ = write!(text, "\n## Use\n\n```sh\ngyrus predict {folder} image.png\n```\n");
    match about.layout.library {
        Library::Timm => {
            let _ = write!(
                text,
                "\nIn Python, with `timm`:\n\n```python\nimport timm, torch\nfrom PIL import Image\n\nmodel = \
                 timm.create_model(\"local-dir:{folder}\", pretrained=True).eval()\ntransform = \
                 timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)\nscores = \
                 model(transform(Image.open(\"image.png\").convert(\"RGB\"))[None])\nprint(model.pretrained_cfg[\"label_names\"]\
                 [scores.argmax()])\n```\n"
            );
        }
        Library::Transformers => {
            let _ = write!(
                text,
                "\nIn Python, with `transformers`:\n\n```python\nfrom transformers import pipeline\n\nclassify = \
                 pipeline(\"image-classification\", \"{folder}\")\nprint(classify(\"image.png\"))\n```\n"
            );
        }
        Library::Gyrus => {
            *text += "\nNo other program has this architecture; `gyrus convert` writes it as an ONNX file, which many run.\n";
        }
    }
    let _ = write!(text, "\nImages are brought to {height} by {width} pixels; `config.json` says how.\n");
}

fn evaluation(text: &mut String, about: &About<'_>) {
    let Some(results) = &about.record.results else { return };
    *text += "\n## Evaluation\n\n| part | images | accuracy | loss |\n|---|---|---|---|\n";
    let parts = [("train", &results.train), ("validation", &results.validation), ("test", &results.test)];
    for (name, part) in parts {
        let Some(part) = part else { continue };
        let accuracy =
            part.accuracy.map_or_else(|| "-".to_owned(), |share| format!("{:.2} %", 100.0 * share));
        let _ = writeln!(text, "| {name} | {} | {accuracy} | {:.4} |", part.examples, part.loss);
    }
    let known: Vec<_> =
        results.baselines.iter().filter_map(|rule| Some((&rule.name, rule.accuracy?))).collect();
    if !known.is_empty() {
        *text += "\nSimple rules on the same test images: ";
        let rules: Vec<String> =
            known.iter().map(|(name, share)| format!("{name} {:.2} %", 100.0 * share)).collect();
        *text += &rules.join("; ");
        *text += ".\n";
    }
    *text += "\nThe epoch was chosen on the validation images; the test images were used once, after that.\n";
}

fn limits(text: &mut String, about: &About<'_>) {
    let About { record, model, .. } = about;
    *text += "\n## Limits\n\n";
    let mut say = |sentence: String| {
        let _ = writeln!(text, "- {sentence}");
    };
    say(format!(
        "It answers one of its {} for every image, also for one that shows none of them; a probability says how sure it is among \
         these, not whether any is there.",
        counted(model.classes.len() as u64, "class")
    ));
    say("Training and test images come from the same source; images from elsewhere (another camera, light, place) may be classified \
         much worse."
        .to_owned());
    let results = record.results.as_ref();
    let test = results.and_then(|results| results.test.as_ref());
    if let Some((test, accuracy)) = test.and_then(|test| Some((test, test.accuracy?))) {
        let (least, most) = interval(accuracy, test.examples);
        say(format!(
            "The accuracy was measured on {}: with 95 % confidence it lies between {:.1} and {:.1} % for images of this source{}.",
            counted(test.examples, "image"),
            100.0 * least,
            100.0 * most,
            if test.examples < FEW { ", which says little" } else { "" }
        ));
        let best = results.and_then(|results| {
            let rules = results.baselines.iter().filter_map(|rule| Some((&rule.name, rule.accuracy?)));
            rules.max_by(|a, b| a.1.total_cmp(&b.1))
        });
        if let Some((name, share)) = best.filter(|(_, share)| *share >= accuracy) {
            say(format!("A simple rule is as good on these images: {name}, {:.1} %.", 100.0 * share));
        }
    }
    if let Some(transfer) = &record.transfer {
        say(format!(
            "It goes on from another network ({}), whose license, data and biases are its own as well.",
            transfer.family
        ));
    }
    if record.skipped.count > 0 {
        say(format!(
            "{} of its data could not be read and are not part of it.",
            counted(record.skipped.count, "file")
        ));
    }
    if about.license == "unknown" {
        say("Its license is not stated: ask whoever published it before you use it.".to_owned());
    }
}

/// Wilson's interval (1927) of a share with 95 % confidence.
fn interval(share: f64, count: u64) -> (f64, f64) {
    const DEVIATIONS: f64 = 1.96;
    let (n, z) = (count.max(1) as f64, DEVIATIONS * DEVIATIONS);
    let middle = (share + z / (2.0 * n)) / (1.0 + z / n);
    let half = DEVIATIONS * ((share * (1.0 - share) + z / (4.0 * n)) / n).sqrt() / (1.0 + z / n);
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

fn training(text: &mut String, about: &About<'_>) -> Result<()> {
    let About { record, model, layout, .. } = about;
    let settings = &record.settings;
    let parameters = model.blueprint.shapes()?.trainable_parameters();
    *text += "\n## Training\n\n";
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "- {name}: {value}");
    };
    row(
        "data",
        format!(
            "\"{}\", {} training, {} validation and {} test images, SHA-256 over the examples `{}`",
            data_name(record),
            record.data.train_examples,
            record.data.validation_examples,
            record.data.test_examples,
            record.data.fingerprint
        ),
    );
    row("network", format!("{} ({}), {parameters} parameters", layout.architecture, model.blueprint.name));
    if let Some(transfer) = &record.transfer {
        let frozen = match (&transfer.frozen, transfer.adapter_rank) {
            (Some(node), _) => format!("everything up to `{node}` stayed as it was"),
            (None, Some(rank)) => format!("low-rank adapters of rank {rank} and the last layer learned"),
            (None, None) => "all layers learned".to_owned(),
        };
        row(
            "goes on from",
            format!("{}; {frozen}, {} parameters changed", transfer.family, transfer.trained_parameters),
        );
    }
    row(
        "optimizer",
        format!(
            "{}, learning rate {} ({}), weight decay {}, label smoothing {}",
            settings.optimizer,
            settings.learning_rate,
            settings.schedule,
            settings.weight_decay,
            settings.label_smoothing
        ),
    );
    let chosen = record.results.as_ref().map_or(0, |results| results.chosen_epoch);
    row(
        "epochs",
        format!(
            "{} of batches of {}; the weights are those of epoch {chosen}",
            settings.epochs, settings.batch_size
        ),
    );
    row("seed", settings.seed.to_string());
    row("time", format!("{:.0} s", record.timings.total_seconds));
    for note in &record.notes {
        // Where it lay is nobody's business.
        let path = record.data.path.as_deref().filter(|path| !path.is_empty());
        row("note", path.map_or_else(|| note.clone(), |path| note.replace(path, &data_name(record))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::interval;

    #[test]
    fn the_interval_is_wilsons() {
        // Agresti and Coull 1998: 9 of 10.
        let (least, most) = interval(0.9, 10);
        assert!((least - 0.596).abs() < 1e-3 && (most - 0.982).abs() < 1e-3, "{least} {most}");
        assert_eq!(interval(1.0, 5).1, 1.0);
    }
}
