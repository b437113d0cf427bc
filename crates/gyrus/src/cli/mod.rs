//! The frame of the command line: what all verbs have in common, laid over the options that each declares for itself.

mod arguments;
mod examples;
mod options;
mod overview;
mod tips;
pub(crate) mod version;

use std::ffi::OsString;

use clap::{ArgMatches, Command};

/// The frame around the verbs of a command.
pub(crate) fn framed(command: Command) -> Command {
    let command = command
        .version(version::short())
        .long_version(version::long())
        .mut_subcommands(|verb| examples::shown(options::arranged(verb)));
    let overview = overview::template(&command);
    options::helped(command.help_template(overview))
}

/// The command line of this process, as this command understands it.
pub(crate) struct Given {
    /// What `command` made of it.
    pub(crate) matches: Result<ArgMatches, clap::Error>,
    /// Whether it asks for JSON, even where it is wrong otherwise.
    pub(crate) json: bool,
    /// The verb, as far as there is one.
    pub(crate) verb: String,
}

/// Reads a command line with the framed `command`.
pub(crate) fn read(command: &Command, line: impl Iterator<Item = OsString>) -> Given {
    let mut words = arguments::normalized(command, line.collect());
    let mut matches = command.clone().try_get_matches_from(&words);
    // `run` stands for another verb; which one depends on its arguments.
    let run = matches.as_ref().ok().and_then(|found| found.subcommand_matches("run"));
    if let Some(run) = run {
        arguments::replace_verb(&mut words, if run.contains_id("prompt") { "write" } else { "chat" });
        matches = command.clone().try_get_matches_from(&words);
    }
    let verb = arguments::verb(&words);
    let matches = matches.map_err(|mut error| {
        tips::given(&mut error, command, verb);
        error
    });
    let verb = verb.map_or(String::new(), str::to_owned);
    Given { matches, json: arguments::asks_for_json(&words), verb }
}
