//! What a person may have meant: tips below the errors of a command line.

use std::path::Path;

use clap::Command;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::examples;

/// Verbs as other programs call them.
const OTHER_NAMES: [(&str, &str); 26] = [
    ("train", "learn"),
    ("fit", "learn"),
    ("finetune", "tune"),
    ("fine-tune", "tune"),
    ("classify", "predict"),
    ("infer", "predict"),
    ("test", "predict"),
    ("generate", "write"),
    ("complete", "write"),
    ("completion", "write"),
    ("talk", "chat"),
    ("embeddings", "embed"),
    ("server", "serve"),
    ("api", "serve"),
    ("info", "inspect"),
    ("show", "inspect"),
    ("cat", "inspect"),
    ("explain", "see"),
    ("visualize", "see"),
    ("download", "pull"),
    ("fetch", "pull"),
    ("get", "pull"),
    ("ls", "list"),
    ("convert", "quantize"),
    ("export", "quantize"),
    ("encode", "tokenize"),
];

/// Puts a tip below the error, in place of those that do not help.
pub(super) fn given(error: &mut clap::Error, command: &Command, verb: Option<&str>) {
    let verb = verb.and_then(|verb| command.find_subcommand(verb));
    let tips = match (error.kind(), verb) {
        (ErrorKind::UnknownArgument, Some(verb)) => unknown_option(error, command, verb),
        (ErrorKind::MissingRequiredArgument, Some(verb)) => {
            examples::first(verb.get_name()).map(|line| format!("for example: {line}")).into_iter().collect()
        }
        (ErrorKind::InvalidSubcommand, _) => unknown_verb(error, command),
        _ => return,
    };
    error.remove(ContextKind::Suggested);
    if !tips.is_empty() {
        let tips = tips.into_iter().map(StyledStr::from).collect();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
}

/// Other verbs that have the option.
fn unknown_option(error: &clap::Error, command: &Command, verb: &Command) -> Vec<String> {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return Vec::new() };
    if !option.starts_with('-') {
        // More words than the verb takes: often a text without quotes.
        let takes_text =
            verb.get_positionals().any(|argument| matches!(argument.get_id().as_str(), "prompt" | "text"));
        return if takes_text { vec!["put the text in quotes".to_owned()] } else { Vec::new() };
    }
    let long = option.trim_start_matches('-').split('=').next().unwrap_or_default();
    let has = |verb: &&Command| {
        verb.get_arguments().any(|argument| {
            let alias = argument.get_all_aliases().is_some_and(|aliases| aliases.contains(&long));
            argument.get_long() == Some(long) || alias
        })
    };
    let others: Vec<String> = command
        .get_subcommands()
        .filter(|other| other.get_name() != "run")
        .filter(has)
        .map(|other| format!("`gyrus {}`", other.get_name()))
        .collect();
    match others.len() {
        0 => Vec::new(),
        1 => vec![format!("{} has --{long}", others[0])],
        _ => vec![format!("--{long} is an option of {}", others.join(", "))],
    }
}

/// The verb that goes by this name elsewhere, or what can be done with a file or model of this name.
fn unknown_verb(error: &clap::Error, command: &Command) -> Vec<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return Vec::new();
    };
    let lower = word.to_lowercase();
    let known =
        OTHER_NAMES.iter().find(|(name, verb)| *name == lower && command.find_subcommand(verb).is_some());
    if let Some((_, verb)) = known {
        return vec![format!("`gyrus {verb}` does that")];
    }
    let path = gyrus::verbs::quoted(Path::new(word));
    let is_model = [".gguf", ".bin"].iter().any(|end| lower.ends_with(end));
    let is_name = matches!(gyrus::verbs::HubName::read(Path::new(word)), Ok(Some(_)));
    if is_model || is_name {
        vec![format!("to use a model: gyrus run {path}")]
    } else if Path::new(word).exists() {
        vec![
            format!("to look into it: gyrus inspect {path}"),
            format!("to learn from it: gyrus learn {path}"),
        ]
    } else {
        Vec::new()
    }
}
