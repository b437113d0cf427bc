//! `gyrus tokenize`: a text as the tokens of a model.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;
use gyrus::Tokenize;

use super::help::{JSON, MODEL};
use super::values::read_text;
use crate::exit::Failure;
use crate::output::{say, say_json};

/// Show the tokens of a text
///
/// Names of special tokens in the text count as these tokens. The weights are not read.
#[derive(Args)]
pub(crate) struct Arguments {
    #[arg(help = MODEL)]
    model: PathBuf,
    /// The text; - or none reads standard input
    #[arg(conflicts_with = "file")]
    text: Option<String>,
    /// Read this file instead: the whole of it, or each record of a .jsonl or .json file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Add the tokens that the model expects around a text, such as the beginning of text
    #[arg(long)]
    special: bool,
    /// Print the numbers alone, on one line for each text
    #[arg(long)]
    ids: bool,
    #[arg(long, help = JSON)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let tokenize =
        Tokenize { special: arguments.special, pieces: !arguments.ids, ..Tokenize::new(&arguments.model) };
    let tokenize = match (&arguments.file, &arguments.text) {
        (Some(file), _) => tokenize.file(file)?,
        (None, Some(text)) => tokenize.text(read_text(text)?),
        (None, None) if io::stdin().is_terminal() => {
            return Err(Failure::Input(
                "no text: give one, or --file FILE, or send it to standard input".into(),
            ));
        }
        (None, None) => tokenize.text(read_text("-")?),
    };
    let report = tokenize.run()?;
    if arguments.json {
        return say_json(&report);
    }
    for text in &report.texts {
        if arguments.ids {
            let ids: Vec<String> = text.ids.iter().map(u32::to_string).collect();
            say(ids.join(" "))?;
            continue;
        }
        let wide = text.ids.iter().max().map_or(1, |id| id.to_string().len());
        for (id, piece) in text.ids.iter().zip(&text.pieces) {
            // Quoted, so that spaces and line ends can be seen, and a terminal interprets nothing.
            say(format_args!("{id:>wide$}  {piece:?}"))?;
        }
        let counted =
            |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        say(format_args!("{} of {}", counted(text.count, "token"), counted(text.characters, "character")))?;
    }
    Ok(())
}
