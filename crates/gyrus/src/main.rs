//! The program `gyrus`: a thin shell over the library.

mod commands;
mod exit;
mod output;
mod progress;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Large temporaries otherwise cost page faults at every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Brain-inspired deep learning in one program.
#[derive(Parser)]
#[command(name = "gyrus", version, about, max_term_width = 100)]
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

fn main() -> ExitCode {
    let cli = Cli::parse();
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
