//! `gyrus chat`: a conversation with a language model; each line of standard input is what a person says.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use gyrus::Chat;
use gyrus::tensor::with_threads;
use serde_json::{Map, Value, json};

use super::generation::{GenerationArguments, speed};
use super::help::{ADAPTER, CHAT_TEMPLATE, CHAT_TEMPLATE_KWARGS, THREADS};
use super::values::{json_object, threads};
use crate::exit::Failure;
use crate::output::{Streamed, note, say, say_json};

/// The longest line that is accepted, in bytes.
const MAXIMUM_LINE_BYTES: u64 = 1 << 24;

/// Talk with a language model; it answers each line of standard input
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
    let person = io::stdin().is_terminal() && !arguments.json;
    loop {
        if person {
            eprint!("> ");
        }
        let Some(line) = read_line()? else { break };
        if line.trim().is_empty() {
            continue;
        }
        let mut stdout = Streamed::default();
        let written = conversation.answer(&line, |text| arguments.json || stdout.show(text))?;
        stdout.finish()?;
        if !arguments.json {
            say("")?;
        }
        if person {
            let rate = written.tokens_per_second();
            note(speed(written.prompt_tokens, written.reading.as_secs_f64(), written.tokens.len(), rate));
        }
    }
    if arguments.json {
        let messages = conversation.messages().iter();
        let messages: Vec<_> =
            messages.map(|message| json!({"role": message.role, "content": message.content})).collect();
        return say_json(&json!({"model": arguments.model, "messages": messages}));
    }
    Ok(())
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
