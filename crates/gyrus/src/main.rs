//! The program `gyrus`: a thin shell over the library.

mod commands;
mod exit;
mod output;
mod progress;

use std::process::ExitCode;

use clap::{Arg, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// Large temporaries otherwise cost page faults at every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Train, run and inspect dense, spiking and language models
#[derive(Parser)]
#[command(name = "gyrus", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Learn(Box<commands::learn::Arguments>),
    See(commands::see::Arguments),
    Predict(commands::predict::Arguments),
    Spike(commands::spike::Arguments),
    Tune(Box<commands::tune::Arguments>),
    Write(commands::write::Arguments),
    Embed(commands::embed::Arguments),
    Chat(commands::chat::Arguments),
    Serve(commands::serve::Arguments),
    Quantize(commands::quantize::Arguments),
    Inspect(commands::inspect::Arguments),
}

/// The command line, with what follows from its own list of options.
fn command() -> clap::Command {
    Cli::command()
        .mut_subcommand("learn", |learn| only_with(learn, "resume", &["data_directory", "epochs", "threads", "json"]))
        .mut_subcommand("tune", |tune| {
            let tune = only_with(tune, "resume", &["threads", "json"]);
            only_with(tune, "merge", &["model", "out", "overwrite", "threads", "json"])
        })
}

/// Lets this option stand beside `others` and no further ones.
fn only_with(command: clap::Command, option: &'static str, others: &[&str]) -> clap::Command {
    let ids = command.get_arguments().map(Arg::get_id);
    let rest: Vec<_> = ids.filter(|id| *id != option && !others.contains(&id.as_str())).cloned().collect();
    command.mut_arg(option, |argument| argument.conflicts_with_all(rest))
}

fn main() -> ExitCode {
    let cli = Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit());
    let result = match cli.command {
        Command::Learn(arguments) => commands::learn::run(&arguments),
        Command::See(arguments) => commands::see::run(&arguments),
        Command::Predict(arguments) => commands::predict::run(&arguments),
        Command::Spike(arguments) => commands::spike::run(&arguments),
        Command::Chat(arguments) => commands::chat::run(&arguments),
        Command::Tune(arguments) => commands::tune::run(&arguments),
        Command::Serve(arguments) => commands::serve::run(&arguments),
        Command::Write(arguments) => commands::write::run(&arguments),
        Command::Embed(arguments) => commands::embed::run(&arguments),
        Command::Quantize(arguments) => commands::quantize::run(&arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::note(format_args!("gyrus: {failure}"));
            ExitCode::from(failure.code())
        }
    }
}
