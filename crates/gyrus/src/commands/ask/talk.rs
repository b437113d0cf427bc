//! A conversation with a person at a terminal.

use std::path::PathBuf;

use gyrus::verbs::{AskSession, counted};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Config, Editor};

use super::show;
use crate::exit::Failure;
use crate::output::{note, say};

const HELP: &str = "\
/tables         list tables and columns
/sql QUERY      run a query of your own, by the same rules
/clear          forget the questions before
/bye            leave (so does Ctrl-D, or Ctrl-C twice)
A question may go on from the one before: \"and for 2011?\"";

/// Lines that the history keeps.
const LINES: usize = 1000;

pub(super) fn talk(session: &mut AskSession) -> Result<(), Failure> {
    note(format_args!(
        "{}. Ask; /help lists the commands.",
        counted(session.schema().tables.len() as u64, "table")
    ));
    let failed =
        |error: ReadlineError| Failure::Input(format!("cannot read a line from the terminal: {error}"));
    let config = Config::builder().max_history_size(LINES).map_err(failed)?.auto_add_history(true).build();
    let mut editor: Editor<(), DefaultHistory> = Editor::with_config(config).map_err(failed)?;
    let history = history_file();
    if let Some(file) = &history {
        // None yet, or unreadable: the conversation works without.
        let _ = editor.load_history(file);
    }
    let mut interrupted = false;
    loop {
        match editor.readline("? ") {
            Ok(line) => {
                interrupted = false;
                if let Some(file) = &history
                    && file.parent().is_some_and(|folder| std::fs::create_dir_all(folder).is_ok())
                {
                    let _ = editor.append_history(file);
                }
                if !answer(session, line.trim())? {
                    return Ok(());
                }
            }
            Err(ReadlineError::Eof) => return Ok(()),
            Err(ReadlineError::Interrupted) if interrupted => return Ok(()),
            Err(ReadlineError::Interrupted) => {
                interrupted = true;
                note("(Ctrl-C again leaves, and so does /bye)");
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Answers one line; false if the person leaves.
fn answer(session: &mut AskSession, line: &str) -> Result<bool, Failure> {
    let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let answered = match command {
        "" => return Ok(true),
        "/bye" | "/exit" | "/quit" => return Ok(false),
        "/help" => {
            note(HELP);
            return Ok(true);
        }
        "/clear" => {
            session.clear();
            return Ok(true);
        }
        "/tables" => {
            show::schema(session.schema(), false)?;
            return Ok(true);
        }
        "/sql" => session.query(rest),
        other if other.starts_with('/') => {
            note(format_args!("no command {other}: /help lists them"));
            return Ok(true);
        }
        _ => session.ask(line),
    };
    match answered {
        Ok(report) => show::answer(&report)?,
        Err(error) => note(error),
    }
    say("")?;
    Ok(true)
}

/// In the user's folder for state, as the XDG base directories say.
fn history_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| folder("LOCALAPPDATA"));
    let state = state.or_else(|| Some(folder("HOME")?.join(".local/state")))?;
    Some(state.join("gyrus").join("ask_history"))
}
