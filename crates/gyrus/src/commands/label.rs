//! `gyrus label`: which of some words fit each picture.

use std::path::PathBuf;

use clap::Args;
use gyrus::Label;
use gyrus::verbs::counted;

use super::help::{JSON, THREADS};
use super::values::threads;
use crate::exit::Failure;
use crate::output::{note, say, say_json};
use crate::progress::Watcher;

/// Label images with words of your own, without training (zero-shot, by CLIP or SigLIP)
///
/// Labels work best as a caption would say them: "a photo of a cat". CLIP says which of the labels fits best; SigLIP says of each
/// how probable it is by itself.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder of images, its sub-folders included, or one image
    folder: PathBuf,
    /// Labels, separated by commas; may be repeated
    #[arg(long, value_name = "LABEL,...", required = true)]
    like: Vec<String>,
    /// CLIP or SigLIP checkpoint of transformers: folder with config.json, tokenizer.json and weights, or a name on the hub
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// Write the answers to this CSV file
    #[arg(long, alias = "output", value_name = "FILE.csv")]
    out: Option<PathBuf>,
    /// How many labels to print for each image
    #[arg(long, default_value_t = 3)]
    top: usize,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    #[arg(long, help = JSON)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { folder, like, model, out, top, threads, json } = arguments;
    let labels = like.iter().flat_map(|some| some.split(','));
    let report =
        Label { threads: *threads, ..Label::new(folder, model, labels) }.run(&mut Watcher::without_stop())?;
    report.notes.iter().for_each(|text| note(format_args!("note: {text}")));
    for failed in &report.failed {
        note(format_args!("skipped {}: {}", failed.file.display(), failed.reason));
    }
    if let Some(path) = out {
        gyrus::files::write_atomically(path, report.to_csv().as_bytes())
            .map_err(|error| gyrus::Error::Failed(format!("cannot write {}: {error}", path.display())))?;
    }
    if *json {
        return say_json(&report);
    }
    match out {
        Some(path) => {
            say(format_args!("{} in {}", counted(report.images.len() as u64, "answer"), path.display()))?;
        }
        None => {
            for image in &report.images {
                let mut order: Vec<&(String, f32)> = image.probabilities.iter().collect();
                order.sort_by(|a, b| b.1.total_cmp(&a.1));
                let shown = order.into_iter().take((*top).max(1));
                let shown: Vec<String> =
                    shown.map(|(label, share)| format!("{label} {:.1} %", 100.0 * share)).collect();
                say(format_args!("{}: {}", image.file.display(), shown.join("   ")))?;
            }
        }
    }
    note(format_args!(
        "{} by {}, {:.2} s",
        counted(report.images.len() as u64, "image"),
        report.family,
        report.seconds
    ));
    match report.failed.len() {
        0 => Ok(()),
        failed => Err(Failure::Partly(format!(
            "{failed} of {} files could not be used",
            failed + report.images.len()
        ))),
    }
}
