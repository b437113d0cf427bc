//! `gyrus pull`: a model of the hub comes to this machine; other verbs use the same before they need it.

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args};
use gyrus::{Observer as _, Pull, PullReport, Stage};

use super::help::JSON;
use crate::exit::Failure;
use crate::output::{manner, say, say_json};
use crate::progress::Watcher;

/// Download a model from the Hugging Face hub into its cache
///
/// Configuration, tokenizer and safetensors of a repository, or one GGUF file of it: the one that is named after the colon, or
/// Q4_K_M where there are several. What is there already is not downloaded again; an interrupted download goes on.
#[derive(Args)]
pub(crate) struct Arguments {
    /// org/name, org/name:Q4_K_M, hf://org/name, or the model's address at huggingface.co
    model: PathBuf,
    #[arg(long, help = JSON)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let report = pulled(&arguments.model)?;
    if arguments.json {
        return say_json(&report);
    }
    say(format_args!(
        "{}: {}, {:.1} MiB",
        report.model,
        report.path.display(),
        report.bytes as f64 / f64::from(1 << 20)
    ))
}

/// Downloads with a bar what a verb is about to open, where that is a model of the hub.
pub(crate) fn before(verb: &str, matches: &ArgMatches) -> Result<(), Failure> {
    if verb == "pull" {
        return Ok(());
    }
    for id in ["model", "embeddings"] {
        let Ok(Some(model)) = matches.try_get_one::<PathBuf>(id) else { continue };
        if Pull::new(model).is_needed() {
            pulled(model)?;
        }
    }
    Ok(())
}

fn pulled(model: &Path) -> Result<PullReport, Failure> {
    let watcher = std::sync::Mutex::new(Watcher::without_stop());
    let quiet = manner().quiet;
    let report = Pull::new(model).run(move |file, done, total| {
        if let (false, Ok(mut watcher)) = (quiet, watcher.lock()) {
            watcher.stage(&Stage { name: file, done, total });
        }
    })?;
    Ok(report)
}
