//! What `gyrus --help` shows: the verbs, grouped by what a person wants.

use clap::Command;

/// The groups, and what each verb does in a few words.
const GROUPS: [(&str, &[(&str, &str)]); 8] = [
    (
        "Train",
        &[
            ("learn", "Train a network, or a language model from scratch"),
            ("tune", "Fine-tune a language model on examples"),
        ],
    ),
    (
        "Use a network",
        &[
            ("predict", "Classify images, table rows or event recordings"),
            ("label", "Label images with words of your own, without training"),
            ("similar", "Find images that are alike, duplicates, outliers"),
            ("spike", "Convert a trained network to spikes; accuracy and energy"),
            ("simulate", "Simulate a circuit of neurons as neuroscience builds them"),
        ],
    ),
    (
        "Use a language model",
        &[
            ("run", "Chat, or continue a prompt"),
            ("chat", "Hold a conversation"),
            ("write", "Continue a text"),
            ("embed", "Compute sentence embeddings; find the closest texts"),
            ("serve", "Answer over OpenAI's HTTP interface"),
        ],
    ),
    ("Make solids", &[("sculpt", "Make a solid from a picture; convert and judge meshes")]),
    (
        "Ask",
        &[
            ("ask", "Answer questions about a database, read-only"),
            ("index", "Index a folder of documents"),
            ("search", "Find passages in an indexed folder"),
            ("research", "Answer a question from documents, with checked quotes"),
            ("mcp", "Serve a database to other assistants (MCP)"),
        ],
    ),
    (
        "Look inside",
        &[
            ("inspect", "Show what a model, run, network or recording holds"),
            ("tokenize", "Show the tokens of a text"),
            ("see", "Show surprise, attention and logit lens on a page"),
        ],
    ),
    (
        "Manage models",
        &[
            ("pull", "Download a model from the Hugging Face hub"),
            ("list", "List downloaded models and the runs of this folder"),
            ("quantize", "Write a model with fewer bits, as a GGUF file"),
            ("convert", "Write a network of images as an ONNX file"),
            ("publish", "Write a run as a folder for the hub, with a model card"),
        ],
    ),
    (
        "Set up",
        &[
            ("devices", "List devices and prove that they compute what the CPU does"),
            ("completions", "Print a completion script for a shell"),
            ("man", "Write manual pages"),
            ("help", "Print this help, or that of a verb"),
        ],
    ),
];

/// The template of the help, with the verbs that `command` has.
pub(super) fn template(command: &Command) -> String {
    let header = command.get_styles().get_header();
    let literal = command.get_styles().get_literal();
    let mut text = String::from("{about-with-newline}\n{usage-heading} {usage}\n");
    for (group, verbs) in GROUPS {
        text += &format!("\n{header}{group}:{header:#}\n");
        for (verb, does) in verbs {
            if command.find_subcommand(verb).is_some() || *verb == "help" {
                text +=
                    &format!("  {literal}{verb}{literal:#}{:width$}{does}\n", "", width = 13 - verb.len());
            }
        }
    }
    text += &format!("\n{header}Options:{header:#}\n{{options}}\n{{after-help}}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_in_one_group_and_fits_a_terminal() {
        let command = crate::command();
        let rows: Vec<_> = GROUPS.iter().flat_map(|group| group.1).collect();
        for verb in command.get_subcommands() {
            let count = rows.iter().filter(|row| row.0 == verb.get_name()).count();
            assert_eq!(count, 1, "{} in cli/overview.rs", verb.get_name());
        }
        assert!(rows.iter().all(|row| row.0.len() < 12 && 15 + row.1.len() <= 80));
    }
}
