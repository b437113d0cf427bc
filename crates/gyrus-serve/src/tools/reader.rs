//! Reading an answer as it arrives: text that could be the beginning of a call is held back until that is decided.

use std::collections::VecDeque;

use super::ToolForm;

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text for the user.
    Text(String),
    /// A call of a tool.
    Call {
        /// The tool's name.
        name: String,
        /// The arguments as JSON, if the model keeps to its form.
        arguments: String,
    },
}

/// Reads an answer as it arrives.
#[derive(Clone, Debug)]
pub struct ToolReader {
    /// `None` without tools: everything is text.
    form: Option<ToolForm>,
    /// The answer is a forced call, without its beginning.
    forced: bool,
    /// Only whitespace has arrived so far.
    fresh: bool,
    /// The last part was a call: whitespace after it is dropped.
    after_call: bool,
    /// A possible or incomplete call.
    held: String,
    /// Inside a call.
    calling: bool,
    /// How calls without marks begin, while the answer may be one instead of other JSON.
    bare: Vec<String>,
    /// Everything is text.
    plain: bool,
}

impl ToolReader {
    /// A reader of an answer; `forced` means that the answer is a forced call.
    #[must_use]
    pub fn new(form: Option<ToolForm>, forced: bool) -> Self {
        let forced = forced && form.is_some();
        Self {
            form,
            forced,
            fresh: true,
            after_call: false,
            held: String::new(),
            calling: forced,
            bare: Vec::new(),
            plain: form.is_none(),
        }
    }

    /// A reader of an answer that is either JSON of a schema or a call of one of these tools.
    pub(crate) fn beside_schema(form: ToolForm, tools: &[&str]) -> Self {
        let bare = tools.iter().map(|tool| form.bare_beginning(tool)).collect();
        Self { bare, ..Self::new(Some(form), false) }
    }

    /// Decides whether the answer is a call without marks; returns whether that is decided.
    fn decide(&mut self, form: ToolForm) -> bool {
        let begin = self.held.trim_start();
        let marked = begin.starts_with(form.begin());
        let packed: String = begin.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
        let called = self.bare.iter().any(|bare| packed.starts_with(bare));
        let open = form.begin().starts_with(begin) || self.bare.iter().any(|bare| bare.starts_with(&packed));
        if !marked && !called && open {
            return false;
        }
        self.bare.clear();
        self.plain = !marked && !called;
        self.forced |= called;
        self.calling |= called;
        true
    }

    /// The form of calls; `None` without tools.
    pub(crate) fn form(&self) -> Option<ToolForm> {
        self.form
    }

    /// The parts that `text` completes.
    pub fn push(&mut self, text: &str) -> Vec<Part> {
        self.held += text;
        if let Some(form) = self.form.filter(|_| !self.bare.is_empty())
            && !self.decide(form)
        {
            return Vec::new();
        }
        let Some(form) = self.form.filter(|_| !self.plain) else {
            let text = std::mem::take(&mut self.held);
            return if text.is_empty() { Vec::new() } else { vec![Part::Text(text)] };
        };
        let mut parts = VecDeque::new();
        while !self.forced && self.advance(form, &mut parts) {}
        parts.into()
    }

    /// The remaining parts after the answer has ended.
    pub fn finish(&mut self) -> Vec<Part> {
        let held = std::mem::take(&mut self.held);
        let Some(form) = self.form.filter(|_| !held.is_empty()) else { return Vec::new() };
        let calling = std::mem::take(&mut self.calling);
        if !calling && self.after_call && held.trim().is_empty() {
            return Vec::new();
        }
        let body = held.trim_start();
        let body = body.strip_prefix(form.begin()).unwrap_or(body);
        let body = body.trim_end().strip_suffix("</tool_call>").unwrap_or(body);
        match form.calls(body).filter(|_| calling) {
            Some(calls) => calls,
            None => vec![Part::Text(held)],
        }
    }

    /// Takes one part out of the held text; returns whether there may be more.
    fn advance(&mut self, form: ToolForm, parts: &mut VecDeque<Part>) -> bool {
        if self.calling {
            // Only this form marks the end of a call.
            const END: &str = "</tool_call>";
            if form != ToolForm::Hermes {
                return false;
            }
            let Some(end) = self.held.find(END) else { return false };
            let rest = self.held.split_off(end + END.len());
            let call = std::mem::replace(&mut self.held, rest);
            let body = &call[form.begin().len()..end];
            match form.calls(body) {
                Some(calls) => parts.extend(calls),
                None => parts.push_back(Part::Text(call)),
            }
            (self.calling, self.after_call) = (false, true);
            return true;
        }
        if form == ToolForm::Llama && self.fresh {
            let begin = self.held.trim_start();
            if begin.is_empty() || (begin.len() < form.begin().len() && form.begin().starts_with(begin)) {
                return false;
            }
            if begin.starts_with('{') || begin.starts_with(form.begin()) {
                self.calling = true;
                return true;
            }
        }
        if let Some(place) = self.held.find(form.begin()) {
            let call = self.held.split_off(place);
            let text = std::mem::replace(&mut self.held, call);
            self.show(text, parts);
            self.calling = true;
            return true;
        }
        if self.after_call && self.held.trim().is_empty() {
            return false;
        }
        // Keep the longest suffix that could be the beginning of a call.
        let begin = form.begin();
        let kept = (1..begin.len()).rev().find(|&length| self.held.ends_with(&begin[..length])).unwrap_or(0);
        let kept = self.held.split_off(self.held.len() - kept);
        let text = std::mem::replace(&mut self.held, kept);
        self.show(text, parts);
        false
    }

    fn show(&mut self, text: String, parts: &mut VecDeque<Part>) {
        let blank = text.trim().is_empty();
        if text.is_empty() || self.after_call && blank {
            return;
        }
        self.fresh &= blank;
        self.after_call = false;
        parts.push_back(Part::Text(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of an answer that arrives in pieces of `size` characters, with texts joined.
    fn read(form: ToolForm, forced: bool, answer: &str, size: usize) -> Vec<Part> {
        let mut reader = ToolReader::new(Some(form), forced);
        let letters: Vec<char> = answer.chars().collect();
        let mut parts = Vec::new();
        for piece in letters.chunks(size) {
            parts.extend(reader.push(&piece.iter().collect::<String>()));
        }
        parts.extend(reader.finish());
        let mut joined: Vec<Part> = Vec::new();
        for part in parts {
            match (joined.last_mut(), part) {
                (Some(Part::Text(before)), Part::Text(text)) => *before += &text,
                (_, part) => joined.push(part),
            }
        }
        joined
    }

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    fn call(name: &str, arguments: &str) -> Part {
        Part::Call { name: name.to_owned(), arguments: arguments.to_owned() }
    }

    #[test]
    fn calls_beside_a_schema_are_told_from_other_json() {
        for size in [1, 3, 1000] {
            let read = |form, answer: &str| {
                let mut reader = ToolReader::beside_schema(form, &["f", "other"]);
                let letters: Vec<char> = answer.chars().collect();
                let mut parts: Vec<Part> = letters
                    .chunks(size)
                    .flat_map(|piece| reader.push(&piece.iter().collect::<String>()))
                    .collect();
                parts.extend(reader.finish());
                let mut joined: Vec<Part> = Vec::new();
                for part in parts {
                    match (joined.last_mut(), part) {
                        (Some(Part::Text(before)), Part::Text(text)) => *before += &text,
                        (_, part) => joined.push(part),
                    }
                }
                joined
            };
            for form in [ToolForm::Hermes, ToolForm::Llama, ToolForm::Mistral] {
                let bare = form.bare_beginning("f").replace(':', ": ") + "{\"x\": 1}}";
                let bare = if form == ToolForm::Mistral { bare + "]" } else { bare };
                assert_eq!(read(form, &bare), [call("f", "{\"x\":1}")]);
                for json in ["{\"name\": \"else\", \"arguments\": 1}", "{\"a\": \"<tool_call>\"}", "[1]", "{"]
                {
                    assert_eq!(read(form, json), [text(json)]);
                }
            }
            let marked = "<tool_call>{\"name\": \"f\", \"arguments\": {}}";
            assert_eq!(read(ToolForm::Hermes, marked), [call("f", "{}")]);
        }
    }

    #[test]
    fn calls_are_found_in_every_form_however_they_come() {
        use ToolForm::{Hermes, Llama, Mistral};
        for size in [1, 2, 3, 7, 1000] {
            let answer = "Let me see. <tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>\n\
                          <tool_call>{\"name\": \"g\", \"arguments\": {}}</tool_call>";
            let expected = [text("Let me see. "), call("f", "{\"x\":1}"), call("g", "{}")];
            assert_eq!(read(Hermes, false, &format!("{answer}\n"), size), expected, "{size}");
            let more = format!("{answer}\n And more <");
            assert_eq!(read(Hermes, false, &more, size)[3..], [text("\n And more <")], "{size}");
            let cut = "<tool_call>{\"name\": \"g\", \"arguments\": {}}";
            assert_eq!(read(Hermes, false, cut, size), [call("g", "{}")], "the end may be a special token");
            assert_eq!(read(Hermes, false, "a <tool_x> b <too", size), [text("a <tool_x> b <too")]);
            let broken = "<tool_call>{\"name\": </tool_call> or so";
            assert_eq!(read(Hermes, false, broken, size), [text(broken)]);
            let answer = " {\"name\": \"f\", \"parameters\": {\"x\": [1]}}";
            assert_eq!(read(Llama, false, answer, size), [call("f", "{\"x\":[1]}")]);
            let answer = "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}";
            assert_eq!(read(Llama, false, answer, size), [call("f", "{}")]);
            assert_eq!(read(Llama, false, "{braces} are text", size), [text("{braces} are text")]);
            assert_eq!(read(Llama, false, "Hi {you}", size), [text("Hi {you}")]);
            let answer =
                "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": {}}]";
            assert_eq!(read(Mistral, false, answer, size), [call("f", "{}"), call("g", "{}")]);
            for form in [Hermes, Llama, Mistral] {
                assert_eq!(read(form, true, "{\"name\": \"f\", \"arguments\": {}}", size), [call("f", "{}")]);
                assert_eq!(
                    read(form, true, "{\"name\": \"f\", ", size),
                    [text("{\"name\": \"f\", ")],
                    "cut off"
                );
                assert_eq!(read(form, false, "plain words", size), [text("plain words")]);
            }
        }
        let mut reader = ToolReader::new(None, false);
        assert_eq!(reader.push("<tool_call>"), [text("<tool_call>")], "without tools all is text");
        assert_eq!(reader.finish(), []);
    }
}
