//! `gyrus man`: a manual page for the program and for each verb.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::help::JSON;
use crate::cli::version;
use crate::exit::Failure;
use crate::output::{say, say_json};

/// Write manual pages, one for each verb
#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder to write; pages that are there are replaced
    #[arg(long, alias = "output", value_name = "DIR", default_value = "man")]
    out: PathBuf,
    #[arg(long, help = JSON)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { out, json } = arguments;
    let io = |action, path: &PathBuf| {
        let path = path.clone();
        move |source| gyrus::Error::Io { action, path, source }
    };
    fs::create_dir_all(out).map_err(io("create", out))?;
    let mut command = crate::command().disable_help_subcommand(true);
    command.build();
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
    let pages: Vec<_> = std::iter::once(command.clone()).chain(verbs).collect();
    for page in &pages {
        // As git's pages are called: gyrus-learn.
        let name = page.get_display_name().unwrap_or_else(|| page.get_name()).replace(' ', "-");
        let mut text = Vec::new();
        let file = out.join(format!("{name}.1"));
        let source = format!("gyrus {}", version::short());
        let manual = clap_mangen::Man::new(page.clone()).title(name).manual("Gyrus").source(source);
        manual.render(&mut text).map_err(io("write", &file))?;
        let text = String::from_utf8_lossy(&text).replace(".SH EXTRA\nExamples:", ".SH EXAMPLES");
        fs::write(&file, text).map_err(io("write", &file))?;
    }
    if *json {
        return say_json(&json!({"out": out.display().to_string(), "pages": pages.len()}));
    }
    say(format_args!(
        "{}: {} manual pages; read one with: man {}/gyrus.1",
        out.display(),
        pages.len(),
        out.display()
    ))
}
