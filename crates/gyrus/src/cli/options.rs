//! What options have in common: the same short names, headings and order in every verb.

use clap::builder::Resettable;
use clap::{Arg, ArgAction, Command};

use super::arguments::{BY_POSITION, has_position};

/// Short names, by id.
const SHORT: [(&str, char); 2] = [("out", 'o'), ("max_tokens", 'n')];

/// Headings of every verb, by id; an id that is not here stands where its verb puts it.
const HEADINGS: [(&str, &[&str]); 4] = [
    (
        "Sampling",
        &[
            "temperature",
            "top_k",
            "top_p",
            "min_p",
            "repetition_penalty",
            "max_tokens",
            "stop",
            "json_schema",
        ],
    ),
    (
        "Training",
        &[
            "epochs",
            "batch_size",
            "learning_rate",
            "optimizer",
            "schedule",
            "weight_decay",
            "label_smoothing",
            "augment",
            "validation",
            "evaluations",
            "checkpoint_activations",
            "steps",
            "context",
            "time_epochs",
        ],
    ),
    ("Output", &["out", "show_input", "overwrite", "json", "jsonl", "open"]),
    ("General", &["threads", "device", "quiet", "verbose", "help", "version"]),
];

/// Headings of one verb.
const HEADINGS_OF: &[(&str, &str, &[&str])] = &[
    ("ask", "Meaning and privacy", &["semantic", "privacy", "private"]),
    ("ask", "Models", &["model", "endpoint", "repairs", "votes", "reflect", "evaluate"]),
    ("learn", "Data", &["data_directory", "procedural", "target", "test", "folds", "image_size"]),
    ("learn", "Network", &["blueprint", "from", "freeze", "lora"]),
    ("learn", "Training", &["resume", "seed"]),
    ("tune", "Training", &["resume", "seed", "accumulate"]),
    ("tune", "Adapter", &["full", "rank", "alpha", "dropout", "target", "base_format", "merge"]),
    ("predict", "NIR files", &["steps", "dt", "integration", "encoder", "reset", "window", "record"]),
    ("research", "Limits", &["max_tokens", "max_minutes", "max_calls"]),
    ("simulate", "Estimate", &["estimate", "neurons"]),
    ("simulate", "Learning", &["data", "examples"]),
    ("simulate", "NIR files", &["dt", "input_rate"]),
    ("simulate", "Output", &["format"]),
    ("similar", "Look for", &["duplicates", "outliers", "alike", "top"]),
    ("spike", "NIR files", &["nir", "nir_for"]),
    ("spike", "Training", &["resume", "seed"]),
    ("serve", "Address", &["port", "host", "api_key", "cors", "alias"]),
    ("serve", "Chat", &["chat_template", "chat_template_kwargs", "reasoning_format"]),
    ("serve", "Capacity", &["slots", "queue", "context", "prefix_cache"]),
    ("write", "Sampling", &["seed"]),
    ("chat", "Sampling", &["seed"]),
    ("run", "Sampling", &["seed"]),
];

/// Verbs whose `steps` and `context` are not of a training.
const NOT_OF_TRAINING: [(&str, &[&str]); 2] =
    [("learn", &["steps", "context", "accumulate"]), ("spike", &["steps"])];

/// Verbs that write a page.
const WITH_PAGES: [&str; 7] = ["ask", "learn", "tune", "spike", "see", "simulate", "research"];

/// A verb with the options, short names, headings and order that all verbs share.
pub(super) fn arranged(verb: Command) -> Command {
    let name = verb.get_name().to_owned();
    let mut verb = helped(verb);
    for (ids, long, short) in BY_POSITION {
        if has_position(&verb, ids) && !verb.get_arguments().any(|other| other.get_long() == Some(long)) {
            // Never parsed: `arguments` moves the value to its position. Here for help, completions and manual pages.
            let option = Arg::new(if short == 'm' { "model_option" } else { "prompt_option" });
            let value = if short == 'm' { "MODEL" } else { "TEXT" };
            let help = format!("The same as {value} by its position");
            let order = if short == 'm' { 0 } else { 1 };
            verb = verb.arg(option.long(long).short(short).value_name(value).help(help).display_order(order));
        }
    }
    if WITH_PAGES.contains(&name.as_str()) {
        verb = verb.arg(open());
    }
    verb.mut_args(|argument| {
        if argument.is_positional() {
            return argument;
        }
        let id = argument.get_id().as_str().to_owned();
        let argument = match SHORT.iter().find(|short| short.0 == id) {
            Some(short) => argument.short(short.1),
            None => argument,
        };
        match heading(&name, &id) {
            Some(heading) => argument.help_heading(heading),
            None => argument,
        }
    })
}

fn heading(verb: &str, id: &str) -> Option<&'static str> {
    let own = HEADINGS_OF.iter().find(|(of, _, ids)| *of == verb && ids.contains(&id));
    if let Some((_, heading, _)) = own {
        return Some(heading);
    }
    if NOT_OF_TRAINING.iter().any(|(of, ids)| *of == verb && ids.contains(&id)) {
        return None;
    }
    HEADINGS.iter().find(|(_, ids)| ids.contains(&id)).map(|(heading, _)| *heading)
}

/// `--help` among the general options.
pub(super) fn helped(command: Command) -> Command {
    let is_verb = command.get_subcommands().next().is_none();
    let help = Arg::new("help")
        .short('h')
        .long("help")
        .action(ArgAction::Help)
        .display_order(1000)
        .help(if is_verb { "Print help; -h prints it in short" } else { "Print help" })
        .help_heading(if is_verb { Resettable::Value("General".into()) } else { Resettable::Reset });
    command.disable_help_flag(true).arg(help)
}

/// `--open`, which the verbs' own structures do not know: `output` opens the page.
fn open() -> Arg {
    Arg::new("open").long("open").action(ArgAction::SetTrue).help("Open the page in a browser at the end")
}
