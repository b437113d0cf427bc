//! A person at a terminal: edited lines with a history, commands, and Ctrl-C.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Config, Editor};

use crate::exit::Failure;
use crate::output::note;

/// What `/help` prints.
pub(super) const HELP: &str = "\
/clear          forget what was said
/system TEXT    what the model reads before the conversation; without TEXT, nothing
/save FILE      write the conversation as JSON
/bye            leave (so does Ctrl-D, or Ctrl-C twice)
\"\"\"             begins and ends a message of several lines
Ctrl-C          stops the answer; at an empty line, twice leaves";

/// Begins and ends a message of several lines.
const FENCE: &str = "\"\"\"";
/// Lines that the history keeps.
const LINES: usize = 1000;

/// States of the answer.
const SILENT: u8 = 0;
const ANSWERING: u8 = 1;
const STOPPED: u8 = 2;

/// What a person wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Say(String),
    Help,
    Clear,
    System(String),
    Save(String),
    /// A command that does not exist or lacks something.
    Wrong(String),
    Bye,
}

/// Reads what a person says.
pub(super) struct Person {
    editor: Editor<(), DefaultHistory>,
    history: Option<PathBuf>,
    state: Arc<AtomicU8>,
}

impl Person {
    pub(super) fn new() -> Result<Self, Failure> {
        let state = Arc::new(AtomicU8::new(SILENT));
        let answer = state.clone();
        // While a line is read, the terminal hands Ctrl-C to the editor instead.
        let _ = ctrlc::set_handler(move || {
            if answer.compare_exchange(ANSWERING, STOPPED, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                std::process::exit(130);
            }
        });
        let config =
            Config::builder().max_history_size(LINES).map_err(failed)?.auto_add_history(true).build();
        let mut editor = Editor::with_config(config).map_err(failed)?;
        let history = history_file();
        if let Some(file) = &history {
            // None yet, or unreadable: the conversation works without.
            let _ = editor.load_history(file);
        }
        Ok(Self { editor, history, state })
    }

    /// From now on Ctrl-C stops the answer.
    pub(super) fn listens(&self) {
        self.state.store(ANSWERING, Ordering::SeqCst);
    }

    /// The answer is over.
    pub(super) fn speaks(&self) {
        self.state.store(SILENT, Ordering::SeqCst);
    }

    /// Whether Ctrl-C has stopped the answer.
    pub(super) fn interrupts(&self) -> bool {
        self.state.load(Ordering::SeqCst) == STOPPED
    }

    /// The next command; none when the person has left.
    pub(super) fn says(&mut self) -> Result<Option<Command>, Failure> {
        let mut interrupted = false;
        loop {
            match self.editor.readline("> ") {
                Ok(line) if line.trim().is_empty() => interrupted = false,
                Ok(line) => {
                    let line = self.rest_of(line)?;
                    self.remember();
                    return Ok(line.map(|line| command(&line)));
                }
                Err(ReadlineError::Eof) => return Ok(None),
                Err(ReadlineError::Interrupted) if interrupted => return Ok(None),
                Err(ReadlineError::Interrupted) => {
                    interrupted = true;
                    note("(Ctrl-C again leaves, and so does /bye)");
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// The whole message that begins with this line; none if the person left within it.
    fn rest_of(&mut self, line: String) -> Result<Option<String>, Failure> {
        let Some(begin) = line.trim_start().strip_prefix(FENCE) else { return Ok(Some(line)) };
        let mut whole = begin.to_owned();
        while !whole.trim_end().ends_with(FENCE) {
            match self.editor.readline(". ") {
                Ok(line) => {
                    if !whole.is_empty() {
                        whole.push('\n');
                    }
                    whole += &line;
                }
                // Not sent after all.
                Err(ReadlineError::Interrupted) => return Ok(Some(String::new())),
                Err(ReadlineError::Eof) => return Ok(None),
                Err(error) => return Err(failed(error)),
            }
        }
        let whole = whole.trim_end();
        // A space, so that a message is never taken for a command.
        Ok(Some(format!(" {}", whole[..whole.len() - FENCE.len()].trim_end())))
    }

    fn remember(&mut self) {
        if let Some(file) = &self.history {
            let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
            if folder.is_err() || self.editor.append_history(file).is_err() {
                note(format_args!("note: {} cannot be written; no history is kept", file.display()));
                self.history = None;
            }
        }
    }
}

/// What a line asks for. A message that shall begin with a slash begins with a space.
fn command(line: &str) -> Command {
    let Some(text) = line.strip_prefix('/') else {
        let text = line.strip_prefix(' ').unwrap_or(line);
        return match text.trim().is_empty() {
            true => Command::Wrong("nothing was sent".to_owned()),
            false => Command::Say(text.to_owned()),
        };
    };
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    match (name.to_lowercase().as_str(), rest) {
        ("help" | "h" | "?", _) => Command::Help,
        ("clear", _) => Command::Clear,
        ("system", text) => Command::System(text.to_owned()),
        ("save", "") => Command::Wrong("/save needs the name of a file: /save talk.json".to_owned()),
        ("save", file) => Command::Save(file.to_owned()),
        ("bye" | "exit" | "quit", _) => Command::Bye,
        _ => Command::Wrong(format!(
            "no command /{name}: /help lists them; a message that begins with a slash needs a space before it"
        )),
    }
}

/// In the user's folder for state, as the XDG base directories say.
fn history_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| folder("LOCALAPPDATA"));
    let state = state.or_else(|| Some(folder("HOME")?.join(".local/state")))?;
    Some(state.join("gyrus").join("chat_history"))
}

fn failed(error: ReadlineError) -> Failure {
    Failure::Input(format!("cannot read a line from the terminal: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_begin_with_a_slash_are_commands() {
        let say = |text: &str| Command::Say(text.to_owned());
        assert_eq!(command("hello /bye"), say("hello /bye"));
        assert_eq!(command(" /etc/passwd?"), say("/etc/passwd?"));
        assert_eq!(command("/system  Be brief. "), Command::System("Be brief.".to_owned()));
        assert_eq!(command("/SAVE a b.json"), Command::Save("a b.json".to_owned()));
        assert_eq!(command("/bye"), Command::Bye);
        assert!(matches!(command("/save"), Command::Wrong(_)));
        assert!(matches!(command("/etc/passwd?"), Command::Wrong(reason) if reason.contains("/help")));
        assert!(matches!(command("  "), Command::Wrong(_)));
    }
}
