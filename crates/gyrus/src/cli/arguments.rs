//! Command lines as people type them: a verb in capitals, `-m MODEL` and `-p TEXT` where the verb takes these by position.

use std::ffi::OsString;

use clap::Command;

/// The options that stand for an argument by position: its id, and how the option is written.
pub(super) const BY_POSITION: [(&[&str], &str, char); 2] =
    [(&["model"], "model", 'm'), (&["prompt", "text"], "prompt", 'p')];

/// The same command line in the form that clap reads.
pub(super) fn normalized(command: &Command, mut words: Vec<OsString>) -> Vec<OsString> {
    let Some(place) = place_of_verb(&words) else { return words };
    let Some(given) = words[place].to_str() else { return words };
    let lower = given.to_lowercase();
    if lower == "help" {
        // The verb whose help is asked for.
        if let Some(of) = words.get(place + 1).and_then(|word| word.to_str()).map(str::to_lowercase) {
            words[place + 1] = of.into();
        }
        words[place] = lower.into();
        return words;
    }
    let Some(verb) = command.find_subcommand(&lower) else { return words };
    words[place] = lower.into();
    let [model, prompt] = BY_POSITION;
    if has_position(verb, model.0)
        && let Some(value) = take(&mut words, place + 1, model.1, model.2)
    {
        words.insert(place + 1, value);
    }
    if has_position(verb, prompt.0)
        && let Some(value) = take(&mut words, place + 1, prompt.1, prompt.2)
    {
        if !words.iter().any(|word| word == "--") {
            words.push("--".into());
        }
        words.push(value);
    }
    words
}

/// Whether the verb has one of these arguments by position.
pub(super) fn has_position(verb: &Command, ids: &[&str]) -> bool {
    verb.get_positionals().any(|argument| ids.contains(&argument.get_id().as_str()))
}

/// The verb of a command line.
pub(super) fn verb(words: &[OsString]) -> Option<&str> {
    words[place_of_verb(words)?].to_str()
}

/// Puts another verb in the place of the verb.
pub(super) fn replace_verb(words: &mut [OsString], verb: &str) {
    if let Some(place) = place_of_verb(words) {
        words[place] = verb.into();
    }
}

/// Whether `--json` is among the options.
pub(super) fn asks_for_json(words: &[OsString]) -> bool {
    words.iter().take_while(|word| *word != "--").any(|word| word == "--json" || word == "--jsonl")
}

/// The first word after the program's name that is no option: options before the verb take no values.
fn place_of_verb(words: &[OsString]) -> Option<usize> {
    (1..words.len()).find(|place| !words[*place].as_encoded_bytes().starts_with(b"-"))
}

/// Removes `--long VALUE`, `--long=VALUE`, `-s VALUE` or `-sVALUE`, and returns the value.
fn take(words: &mut Vec<OsString>, from: usize, long: &str, short: char) -> Option<OsString> {
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    for place in from..end {
        let Some(word) = words[place].to_str() else { continue };
        let option = word.strip_prefix("--").and_then(|word| word.strip_prefix(long));
        let attached = match option {
            Some("") => None,
            Some(value) if value.starts_with('=') => Some(value[1..].to_owned()),
            Some(_) => continue,
            None => match word.strip_prefix('-').and_then(|word| word.strip_prefix(short)) {
                Some("") => None,
                Some(value) => Some(value.strip_prefix('=').unwrap_or(value).to_owned()),
                None => continue,
            },
        };
        return match attached {
            Some(value) => {
                words.remove(place);
                Some(value.into())
            }
            // Without a value clap says what is missing.
            None if place + 1 >= end => None,
            None => words.drain(place..=place + 1).next_back(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn normal(line: &str) -> String {
        let command = Command::new("gyrus")
            .subcommand(Command::new("write").args([Arg::new("model"), Arg::new("prompt")]))
            .subcommand(Command::new("learn").arg(Arg::new("data")));
        let words = line.split(' ').map(OsString::from).collect();
        let words = normalized(&command, words);
        words.iter().filter_map(|word| word.to_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn models_and_prompts_may_be_options_and_verbs_capitals() {
        for (typed, read) in [
            ("gyrus WRITE m hello", "gyrus write m hello"),
            ("gyrus -q write -m m hello", "gyrus -q write m hello"),
            ("gyrus write -n 5 -m m -p hello", "gyrus write m -n 5 -- hello"),
            ("gyrus write --prompt=-x --model=m", "gyrus write m -- -x"),
            ("gyrus write -mm -phi --json", "gyrus write m --json -- hi"),
            ("gyrus write m -- -p", "gyrus write m -- -p"),
            ("gyrus write -m", "gyrus write -m"),
            ("gyrus learn -m x", "gyrus learn -m x"),
            ("gyrus write --models x", "gyrus write --models x"),
            ("gyrus LEARNS x", "gyrus LEARNS x"),
            ("gyrus Help Learn", "gyrus help learn"),
            ("gyrus --version", "gyrus --version"),
        ] {
            assert_eq!(normal(typed), read, "{typed}");
        }
    }
}
