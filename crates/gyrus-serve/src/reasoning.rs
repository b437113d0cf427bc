//! Reasoning in an answer: what stands between a model's marks is kept apart, as `reasoning_content`.

/// How a model marks its reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) begin: &'static str,
    pub(crate) end: &'static str,
}

/// The known marks: DeepSeek, Qwen, SmolLM3, Granite, GLM and others; Magistral.
const KNOWN: [Marks; 2] =
    [Marks { begin: "<think>", end: "</think>" }, Marks { begin: "[THINK]", end: "[/THINK]" }];

impl Marks {
    /// The marks that a chat template mentions.
    pub(crate) fn of_template(template: &str) -> Option<Self> {
        KNOWN.into_iter().find(|marks| template.contains(marks.begin) || template.contains(marks.end))
    }

    /// Whether a prompt ends inside of reasoning that it has begun.
    pub(crate) fn is_open(self, prompt: &str) -> bool {
        prompt.trim_end().ends_with(self.begin)
    }
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Reasoning(String),
    Answer(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Only white space, or the beginning of a mark, has arrived.
    Before,
    Inside,
    /// Only white space has arrived since the reasoning.
    Between,
    Answering,
}

/// Reads an answer as it arrives.
#[derive(Clone, Debug)]
pub(crate) struct ReasoningReader {
    marks: Marks,
    state: State,
    held: String,
    /// Whether reasoning has been shown.
    reasoned: bool,
}

impl ReasoningReader {
    /// A reader; without marks everything is the answer. `open` means that the prompt has begun the reasoning.
    pub(crate) fn new(marks: Option<Marks>, open: bool) -> Self {
        let state = match (marks, open) {
            (None, _) => State::Answering,
            (Some(_), false) => State::Before,
            (Some(_), true) => State::Inside,
        };
        Self { marks: marks.unwrap_or(KNOWN[0]), state, held: String::new(), reasoned: false }
    }

    /// Whether reasoning is going on.
    pub(crate) fn is_inside(&self) -> bool {
        self.state == State::Inside
    }

    /// What `text` completes.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Said> {
        self.held += text;
        let mut said = Vec::new();
        while !self.held.is_empty() {
            let Marks { begin, end } = self.marks;
            match self.state {
                State::Before => {
                    let trimmed = self.held.trim_start();
                    if let Some(rest) = trimmed.strip_prefix(begin) {
                        self.held = rest.to_owned();
                        self.state = State::Inside;
                    } else if begin.starts_with(trimmed) {
                        break;
                    } else {
                        self.state = State::Answering;
                    }
                }
                State::Inside => {
                    if let Some(place) = self.held.find(end) {
                        let rest = self.held.split_off(place + end.len());
                        self.held.truncate(place);
                        self.reason(true, &mut said);
                        self.held = rest;
                        self.state = State::Between;
                    } else {
                        self.reason(false, &mut said);
                        break;
                    }
                }
                State::Between => {
                    self.held = self.held.trim_start().to_owned();
                    if !self.held.is_empty() {
                        self.state = State::Answering;
                    }
                }
                State::Answering => said.push(Said::Answer(std::mem::take(&mut self.held))),
            }
        }
        said
    }

    /// What was held back, after the answer has ended.
    pub(crate) fn finish(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        match self.state {
            State::Inside => self.reason(true, &mut said),
            State::Before | State::Answering if !self.held.is_empty() => {
                said.push(Said::Answer(std::mem::take(&mut self.held)));
            }
            _ => self.held.clear(),
        }
        said
    }

    /// Shows held reasoning without the white space around it; unless all of it is there, what could be the mark of its end,
    /// and the white space before that, stay held.
    fn reason(&mut self, whole: bool, said: &mut Vec<Said>) {
        if !self.reasoned {
            self.held = self.held.trim_start().to_owned();
        }
        let end = self.marks.end;
        let kept = (1..end.len()).rev().find(|&length| self.held.ends_with(&end[..length])).unwrap_or(0);
        let shown = self.held.len() - if whole { 0 } else { kept };
        let shown = self.held[..shown].trim_end().len();
        let rest = self.held.split_off(shown);
        let text = std::mem::replace(&mut self.held, if whole { String::new() } else { rest });
        if !text.is_empty() {
            self.reasoned = true;
            said.push(Said::Reasoning(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reasoning and answer of a text that arrives in pieces of `size` characters.
    fn read(open: bool, text: &str, size: usize) -> (String, String) {
        let mut reader = ReasoningReader::new(Some(KNOWN[0]), open);
        let letters: Vec<char> = text.chars().collect();
        let mut said: Vec<Said> =
            letters.chunks(size).flat_map(|piece| reader.push(&piece.iter().collect::<String>())).collect();
        said.extend(reader.finish());
        let mut read = (String::new(), String::new());
        for said in said {
            match said {
                Said::Reasoning(text) => read.0 += &text,
                Said::Answer(text) => read.1 += &text,
            }
        }
        read
    }

    #[test]
    fn reasoning_is_kept_apart_however_it_comes() {
        for size in [1, 2, 5, 1000] {
            for (open, text, reasoning, answer) in [
                (
                    false,
                    "<think>\nLet me  see: 1 < 2.\n</think>\n\nYes, é.",
                    "Let me  see: 1 < 2.",
                    "Yes, é.",
                ),
                (true, "\nHm </thin\n\n</think>\nYes", "Hm </thin", "Yes"),
                (false, "Plain <think>text</think>", "", "Plain <think>text</think>"),
                (false, "<think></think>Yes", "", "Yes"),
                (false, " <thinking>", "", " <thinking>"),
                (true, "cut off </th", "cut off </th", ""),
                (false, "<think>cut off ", "cut off", ""),
                (false, "<th", "", "<th"),
                (false, "", "", ""),
            ] {
                assert_eq!(
                    read(open, text, size),
                    (reasoning.to_owned(), answer.to_owned()),
                    "{text:?} {size}"
                );
            }
        }
        let mut reader = ReasoningReader::new(None, false);
        assert_eq!(reader.push("<think>"), [Said::Answer("<think>".to_owned())]);
    }

    #[test]
    fn marks_come_from_templates() {
        assert_eq!(Marks::of_template("content.split('</think>')[-1]"), Some(KNOWN[0]));
        assert_eq!(Marks::of_template("[THINK]{{ x }}[/THINK]"), Some(KNOWN[1]));
        assert_eq!(Marks::of_template("{{ messages }}"), None);
        assert!(KNOWN[0].is_open("<|assistant|><think>\n") && !KNOWN[0].is_open("<think>\n\n</think>\n\n"));
    }
}
