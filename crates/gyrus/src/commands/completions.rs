//! `gyrus completions`: what a shell needs to complete verbs and options.

use clap::Args;
use clap_complete::Shell;

use crate::exit::Failure;
use crate::output::Streamed;

/// Print a completion script for a shell
#[derive(Args)]
pub(crate) struct Arguments {
    /// Shell that shall complete
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::command(), "gyrus", &mut script);
    let mut stdout = Streamed::default();
    stdout.show(&String::from_utf8_lossy(&script));
    stdout.finish()
}
