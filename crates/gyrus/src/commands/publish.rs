//! `gyrus publish`: a run as a folder for the Hugging Face hub.

use std::path::PathBuf;

use clap::Args;
use gyrus::Publish;
use gyrus::verbs::quoted;

use super::help::JSON;
use crate::exit::Failure;
use crate::output::{next, note, say, say_json};
use crate::progress::Watcher;

/// Write a run as a folder for the Hugging Face hub: model card, configuration, weights
///
/// Where `timm` or `transformers` has the architecture, the folder opens there; otherwise in Gyrus alone. The model card holds
/// data, metrics, intended use and limits as the run knows them: read it, and add what only you know.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Run folder of `gyrus learn` whose network classifies images
    run: PathBuf,
    /// Folder to write
    folder: PathBuf,
    /// License of the model, as the hub writes it: mit | apache-2.0 | cc-by-4.0 | ... [default: unknown]
    #[arg(long, value_name = "ID", value_parser = license)]
    license: Option<String>,
    /// Name of the model in its card [default: that of the folder]
    #[arg(long)]
    name: Option<String>,
    /// Replace the files of an earlier publication
    #[arg(long)]
    overwrite: bool,
    /// Send the folder to this repository of the hub as well, with a token that may write in HF_TOKEN; made where there is none
    #[arg(long, value_name = "OWNER/NAME")]
    push: Option<String>,
    /// Make the repository for its owner alone
    #[arg(long, requires = "push")]
    private: bool,
    #[arg(long, help = JSON)]
    json: bool,
}

/// The hub's names of licenses are short words.
fn license(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-.+".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
        return Err("expected a license as the hub writes it, such as mit or apache-2.0".into());
    }
    Ok(text.to_ascii_lowercase())
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { run, folder, license, name, overwrite, push, private, json } = arguments;
    let report = Publish {
        license: license.clone(),
        name: name.clone(),
        overwrite: *overwrite,
        push: push.clone(),
        private: *private,
        ..Publish::new(run, folder)
    }
    .run(&mut Watcher::without_stop())?;
    if *json {
        return say_json(&report);
    }
    let folder = quoted(&report.folder);
    let opens = match report.library {
        "gyrus" => "opens in Gyrus alone".to_owned(),
        library => format!("opens in {library} as {}", report.architecture),
    };
    say(format_args!("{folder}: {opens}"))?;
    for (file, bytes) in &report.files {
        say(format_args!("  {file:<26}{:>9.1} KiB", *bytes as f64 / 1024.0))?;
    }
    if let Some(address) = &report.pushed {
        say(format_args!("pushed: {address}"))?;
    }
    if license.is_none() {
        note("note: the card says that the license is unknown; --license ID states it");
    }
    next(format_args!(
        "next: read {}, then try gyrus predict {folder} image.png",
        quoted(&report.folder.join("README.md"))
    ))
}
