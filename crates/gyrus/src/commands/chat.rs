//! `gyrus chat`: a conversation with a language model, line by line.
//!
//! At a terminal, lines can be edited and found again, lines that begin with a slash are commands, and Ctrl-C stops the answer
//! alone. Otherwise each line of standard input is what a person says.

mod person;

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use gyrus::Chat;
use gyrus::tensor::with_threads;
use gyrus::verbs::{Conversation, counted};
use serde_json::{Map, Value, json};

use super::generation::{GenerationArguments, speed};
use super::help::{ADAPTER, CHAT_TEMPLATE, CHAT_TEMPLATE_KWARGS, THREADS};
use super::values::{json_object, threads};
use crate::exit::Failure;
use crate::output::{Streamed, note, say, say_json};
use person::{Command, Person};

/// The longest line that is accepted, in bytes.
const MAXIMUM_LINE_BYTES: u64 = 1 << 24;

/// Talk with a language model
///
/// At a terminal: arrows edit the line and find earlier ones, """ begins and ends a message of several lines, Ctrl-C stops the
/// answer, and /help lists the commands. Otherwise the model answers each line of standard input.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Model with a chat template: Hugging Face folder or model id, or .gguf file
    model: PathBuf,
    /// System message: what the model reads before the conversation
    #[arg(long)]
    system: Option<String>,
    #[arg(long, help = ADAPTER, value_name = "FOLDER")]
    adapter: Option<PathBuf>,
    #[arg(long, help = CHAT_TEMPLATE, value_name = "FILE")]
    chat_template: Option<PathBuf>,
    #[arg(long, help = CHAT_TEMPLATE_KWARGS, value_name = "JSON", value_parser = json_object)]
    chat_template_kwargs: Option<Map<String, Value>>,
    #[command(flatten)]
    generation: GenerationArguments,
    #[arg(long, help = THREADS, default_value_t = 0, value_parser = threads)]
    threads: usize,
    /// Print the conversation as one JSON object on standard output at its end, and nothing else there
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    with_threads(arguments.threads, || run_in_pool(arguments))?
}

fn run_in_pool(arguments: &Arguments) -> Result<(), Failure> {
    let mut conversation = Chat {
        system: arguments.system.clone(),
        adapter: arguments.adapter.clone(),
        chat_template: arguments.chat_template.clone(),
        template_variables: arguments.chat_template_kwargs.clone().unwrap_or_default(),
        generation: arguments.generation.generation(),
        ..Chat::new(&arguments.model)
    }
    .open()?;
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    if terminal && !arguments.json {
        return talk(&mut conversation, arguments);
    }
    while let Some(line) = read_line()? {
        if line.trim().is_empty() {
            continue;
        }
        let mut stdout = Streamed::default();
        conversation.answer(&line, |text| arguments.json || stdout.show(text))?;
        stdout.finish()?;
        if !arguments.json {
            say("")?;
        }
    }
    if arguments.json {
        return say_json(&record(&conversation, arguments));
    }
    Ok(())
}

/// A conversation with a person at a terminal.
fn talk(conversation: &mut Conversation, arguments: &Arguments) -> Result<(), Failure> {
    let mut person = Person::new()?;
    while let Some(command) = person.says()? {
        match command {
            Command::Say(text) => answer(conversation, &person, &text)?,
            Command::Help => note(person::HELP),
            Command::Clear => {
                conversation.clear();
                note("the conversation begins anew");
            }
            Command::System(text) => {
                conversation.instruct(&text);
                note(if text.is_empty() { "no system message" } else { "the system message is set" });
            }
            Command::Save(file) => match save(conversation, arguments, &file) {
                Ok(()) => note(format_args!(
                    "saved {} to {file}",
                    counted(conversation.messages().len() as u64, "message")
                )),
                Err(failure) => note(failure),
            },
            Command::Wrong(reason) => note(reason),
            Command::Bye => break,
        }
    }
    Ok(())
}

/// The model's answer, until Ctrl-C stops it. A message that it cannot take ends nothing.
fn answer(conversation: &mut Conversation, person: &Person, text: &str) -> Result<(), Failure> {
    let mut stdout = Streamed::default();
    person.listens();
    let written = conversation.answer(text, |text| !person.interrupts() && stdout.show(text));
    let stopped = person.interrupts();
    person.speaks();
    stdout.finish()?;
    say("")?;
    match written {
        Ok(_) if stopped => note("(stopped)"),
        Ok(written) => {
            let rate = written.tokens_per_second();
            note(speed(written.prompt_tokens, written.reading.as_secs_f64(), written.tokens.len(), rate));
        }
        Err(error) => note(error),
    }
    Ok(())
}

/// The conversation as data; it is a record that `gyrus tune` takes.
fn record(conversation: &Conversation, arguments: &Arguments) -> Value {
    let messages = conversation.messages().iter();
    let messages: Vec<Value> =
        messages.map(|message| json!({"role": message.role, "content": message.content})).collect();
    json!({"model": arguments.model.display().to_string(), "messages": messages})
}

fn save(conversation: &Conversation, arguments: &Arguments, file: &str) -> Result<(), Failure> {
    let text = format!("{:#}\n", record(conversation, arguments));
    let path = PathBuf::from(file);
    if path.exists() {
        return Err(Failure::Input(format!("{file} exists: choose another name")));
    }
    Ok(gyrus::files::write_atomically(&path, text.as_bytes()).map_err(|source| gyrus::Error::Io {
        action: "write",
        path,
        source,
    })?)
}

fn read_line() -> Result<Option<String>, Failure> {
    let failed =
        |error: io::Error| Failure::Input(format!("cannot read a line from standard input: {error}"));
    let mut line = String::new();
    let mut input = io::Read::take(io::stdin().lock(), MAXIMUM_LINE_BYTES);
    match input.read_line(&mut line).map_err(failed)? {
        0 => Ok(None),
        read if read as u64 == MAXIMUM_LINE_BYTES => {
            Err(Failure::Input(format!("a line on standard input is longer than {MAXIMUM_LINE_BYTES} bytes")))
        }
        _ => Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned())),
    }
}
