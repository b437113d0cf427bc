//! The program `gyrus`: a thin shell over the library.

mod cli;
mod commands;
mod exit;
mod output;
mod progress;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Arg, ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use output::Manner;

/// Large temporaries otherwise cost page faults at every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Train, run and inspect dense, spiking and language models
#[derive(Parser)]
#[command(name = "gyrus", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print results and errors only
    #[arg(short, long, global = true, help_heading = "General")]
    quiet: bool,
    /// Print progress every second, and time and memory at the end
    #[arg(short, long, global = true, help_heading = "General", conflicts_with = "quiet")]
    verbose: bool,
}

#[derive(Subcommand)]
enum Command {
    Learn(Box<commands::learn::Arguments>),
    See(commands::see::Arguments),
    Predict(commands::predict::Arguments),
    Label(commands::label::Arguments),
    Similar(commands::similar::Arguments),
    Convert(commands::convert::Arguments),
    Publish(commands::publish::Arguments),
    Spike(commands::spike::Arguments),
    Simulate(commands::simulate::Arguments),
    Sculpt(commands::sculpt::Arguments),
    Tune(Box<commands::tune::Arguments>),
    Write(commands::write::Arguments),
    Embed(commands::embed::Arguments),
    Tokenize(commands::tokenize::Arguments),
    Chat(commands::chat::Arguments),
    Serve(commands::serve::Arguments),
    Quantize(commands::quantize::Arguments),
    Ask(commands::ask::Arguments),
    #[cfg(feature = "documents")]
    Index(commands::index::Arguments),
    #[cfg(feature = "documents")]
    Search(commands::search::Arguments),
    #[cfg(feature = "documents")]
    Research(Box<commands::research::Arguments>),
    Mcp(commands::mcp::Arguments),
    Inspect(commands::inspect::Arguments),
    Run(commands::run::Arguments),
    Pull(commands::pull::Arguments),
    List(commands::list::Arguments),
    Devices(commands::devices::Arguments),
    Completions(commands::completions::Arguments),
    Man(commands::man::Arguments),
}

/// The command line, with what follows from its own list of options.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command()
        .mut_subcommand("learn", |learn| {
            only_with(learn, "resume", &["data_directory", "epochs", "threads", "json"])
        })
        .mut_subcommand("simulate", |simulate| only_with(simulate, "resume", &["watch", "threads", "json"]))
        .mut_subcommand("tune", |tune| {
            let tune = only_with(tune, "resume", &["threads", "json"]);
            only_with(tune, "merge", &["model", "out", "overwrite", "threads", "json"])
        });
    #[cfg(feature = "documents")]
    let command = command.mut_subcommand("research", |research| {
        let research = only_with(research, "resume", &["threads", "json"]);
        only_with(research, "replay", &["json"])
    });
    cli::framed(command)
}

/// Lets this option stand beside `others` and no further ones.
fn only_with(command: clap::Command, option: &'static str, others: &[&str]) -> clap::Command {
    let ids = command.get_arguments().map(Arg::get_id);
    let rest: Vec<_> = ids.filter(|id| *id != option && !others.contains(&id.as_str())).cloned().collect();
    command.mut_arg(option, |argument| argument.conflicts_with_all(rest))
}

fn main() -> ExitCode {
    let begin = Instant::now();
    #[cfg(feature = "documents")]
    if let Some(code) = commands::index::reads_pdf() {
        return code;
    }
    let given = cli::read(&command(), std::env::args_os());
    let matches = match given.matches {
        Ok(matches) => matches,
        Err(error) => {
            if given.json && error.use_stderr() {
                let text = error.to_string();
                let sentence = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
                output::say_error(sentence.trim(), 2, None);
            }
            error.exit()
        }
    };
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let open = |(_, verb): (&str, &ArgMatches)| verb.try_get_one("open").ok().flatten().copied();
    output::speak(Manner {
        verb: given.verb,
        quiet: cli.quiet,
        verbose: cli.verbose,
        open: matches.subcommand().and_then(open).unwrap_or(false),
    });
    let result = match matches.subcommand() {
        Some((verb, verb_matches)) => {
            commands::pull::before(verb, verb_matches).and_then(|()| run(&cli.command))
        }
        None => Ok(()),
    };
    if cli.verbose {
        output::note(exit::cost(begin.elapsed()));
    }
    match result {
        Ok(()) => {
            output::open_page();
            ExitCode::SUCCESS
        }
        Err(failure) => {
            output::complain(format_args!("gyrus: {failure}"));
            if given.json && !matches!(failure, exit::Failure::Partly(_)) {
                output::say_error(&failure.to_string(), failure.code(), failure.rest());
            }
            ExitCode::from(failure.code())
        }
    }
}

fn run(command: &Command) -> Result<(), exit::Failure> {
    match command {
        Command::Learn(arguments) => commands::learn::run(arguments),
        Command::See(arguments) => commands::see::run(arguments),
        Command::Predict(arguments) => commands::predict::run(arguments),
        Command::Label(arguments) => commands::label::run(arguments),
        Command::Similar(arguments) => commands::similar::run(arguments),
        Command::Convert(arguments) => commands::convert::run(arguments),
        Command::Publish(arguments) => commands::publish::run(arguments),
        Command::Spike(arguments) => commands::spike::run(arguments),
        Command::Simulate(arguments) => commands::simulate::run(arguments),
        Command::Sculpt(arguments) => commands::sculpt::run(arguments),
        Command::Chat(arguments) => commands::chat::run(arguments),
        Command::Tune(arguments) => commands::tune::run(arguments),
        Command::Serve(arguments) => commands::serve::run(arguments),
        Command::Write(arguments) => commands::write::run(arguments),
        Command::Tokenize(arguments) => commands::tokenize::run(arguments),
        Command::Embed(arguments) => commands::embed::run(arguments),
        Command::Quantize(arguments) => commands::quantize::run(arguments),
        Command::Ask(arguments) => commands::ask::run(arguments),
        #[cfg(feature = "documents")]
        Command::Index(arguments) => commands::index::run(arguments),
        #[cfg(feature = "documents")]
        Command::Search(arguments) => commands::search::run(arguments),
        #[cfg(feature = "documents")]
        Command::Research(arguments) => commands::research::run(arguments),
        Command::Mcp(arguments) => commands::mcp::run(arguments),
        Command::Inspect(arguments) => commands::inspect::run(arguments),
        Command::Run(arguments) => commands::run::run(arguments),
        Command::Pull(arguments) => commands::pull::run(arguments),
        Command::List(arguments) => commands::list::run(arguments),
        Command::Devices(arguments) => commands::devices::run(arguments),
        Command::Completions(arguments) => commands::completions::run(arguments),
        Command::Man(arguments) => commands::man::run(arguments),
    }
}
