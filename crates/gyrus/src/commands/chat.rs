//! `gyrus chat`: a conversation with a language model, line by line.
//!
//! Each line of standard input is what a person says. The whole conversation is turned into text by the model's own
//! template; of its tokens, those that the model has read already are not read again.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use gyrus_language::{Cache, ChatTemplate, Message, Model, Request, Written, generate};
use gyrus_tensor::with_threads;
use serde_json::json;

use super::learn::threads;
use super::write::{SamplingArguments, Streamed, speed};
use crate::failure::Failure;
use crate::say::{note, say};

/// The longest line that is believed, in bytes.
const MAXIMUM_LINE_BYTES: u64 = 1 << 24;

/// Talk with a language model: each line of standard input is answered.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A folder or id of Hugging Face, or a .gguf file, of a model with a chat template
    pub(crate) model: PathBuf,
    /// What the model is told before the conversation
    #[arg(long)]
    system: Option<String>,
    /// A folder with a low-rank adapter of the model, as PEFT and `gyrus tune` leave it
    #[arg(long, value_name = "FOLDER")]
    adapter: Option<PathBuf>,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// Threads; 0 for one a core
    #[arg(long, default_value_t = 0, value_parser = threads)]
    threads: usize,
    /// Print the conversation as one JSON object on standard output at its end, and nothing else
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    with_threads(arguments.threads, || run_in_pool(arguments))?
}

fn run_in_pool(arguments: &Arguments) -> Result<(), Failure> {
    let model = super::write::open_with(&arguments.model, arguments.adapter.as_deref())?;
    let Some(template) = model.chat_template()? else {
        return Err(Failure::Caller(format!(
            "{} has no chat template: let it go on with a text by `gyrus write`",
            arguments.model.display()
        )));
    };
    let request = arguments.sampling.request(&model)?;
    let mut conversation = Conversation::new(&model, template, request);
    conversation.messages.extend(arguments.system.as_deref().map(|text| Message::new("system", text)));
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
            note(speed(&written));
        }
    }
    if arguments.json {
        let messages: Vec<_> = conversation
            .messages
            .iter()
            .map(|message| json!({"role": message.role, "content": message.content}))
            .collect();
        say(json!({"model": arguments.model, "messages": messages}))?;
    }
    Ok(())
}

fn read_line() -> Result<Option<String>, Failure> {
    let failed =
        |error: io::Error| Failure::Caller(format!("cannot read a line from standard input: {error}"));
    let mut line = String::new();
    let mut input = io::Read::take(io::stdin().lock(), MAXIMUM_LINE_BYTES);
    match input.read_line(&mut line).map_err(failed)? {
        0 => Ok(None),
        read if read as u64 == MAXIMUM_LINE_BYTES => Err(Failure::Caller(format!(
            "a line on standard input is longer than {MAXIMUM_LINE_BYTES} bytes"
        ))),
        _ => Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned())),
    }
}

/// What was said, and what the model has read of it.
struct Conversation<'a> {
    model: &'a Model,
    template: ChatTemplate,
    request: Request,
    messages: Vec<Message>,
    cache: Cache,
    read: Vec<u32>,
}

impl<'a> Conversation<'a> {
    fn new(model: &'a Model, template: ChatTemplate, request: Request) -> Self {
        let cache = Cache::new(model.decoder.config());
        Self { model, template, request, messages: Vec::new(), cache, read: Vec::new() }
    }

    /// Adds what a person says and what the model answers.
    fn answer(&mut self, line: &str, show: impl FnMut(&str) -> bool) -> Result<Written, Failure> {
        self.messages.push(Message::new("user", line));
        let text = self.template.render(&self.messages, true)?;
        let tokens = self.model.tokenizer.encode_chat(&text)?;
        let common = self.read.iter().zip(&tokens).take_while(|(read, token)| read == token).count();
        // At least one token must be read for the model to go on.
        let mut common = common.min(tokens.len().saturating_sub(1)).min(self.cache.positions());
        if !self.cache.truncate(common) {
            (self.cache, common) = (Cache::new(self.model.decoder.config()), 0);
        }
        let Model { decoder, tokenizer, .. } = self.model;
        let written = generate(decoder, tokenizer, &mut self.cache, &tokens[common..], &self.request, show)?;
        self.read = [&tokens[..], &written.tokens].concat();
        self.messages.push(Message::new("assistant", &written.text));
        Ok(written)
    }
}
