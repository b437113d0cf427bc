//! `gyrus run`: another name for `chat`, or for `write` where there is a prompt. The frame puts the right verb in its place.

use clap::Args;

use crate::exit::Failure;

/// Chat with a language model, or let it continue a prompt
///
/// Without a prompt it is `gyrus chat`, with one it is `gyrus write`; both have more to say about their options.
#[derive(Args)]
#[group(skip)]
pub(crate) struct Arguments {
    #[command(flatten)]
    chat: super::chat::Arguments,
    /// Text to continue; - reads it from standard input
    prompt: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    // Never with a prompt: the frame has made `write` of that.
    debug_assert!(arguments.prompt.is_none());
    super::chat::run(&arguments.chat)
}
