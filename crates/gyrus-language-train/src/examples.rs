//! Examples for tuning: a `.jsonl` file with one example per line.
//!
//! | line | what is learned |
//! |---|---|
//! | `{"prompt": "...", "completion": "..."}` | the completion and the end of the text |
//! | `{"messages": [{"role": "user", "content": "..."}, ...]}` | each answer of the assistant and its end |
//! | `{"text": "..."}` | all of it |
//!
//! Messages become text through the model's chat template, as in inference. Each token is either learned or only read. If a
//! template renders earlier answers differently later on (for example without their reasoning), the conversation becomes one
//! example per answer.

use std::path::Path;

use gyrus_language::{ChatTemplate, DecoderConfig, Error as LanguageError, Message, Tokenizer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::corpus::{kind, read_text};
use crate::{Error, Result};

/// The most examples that are read.
const MAXIMUM_EXAMPLES: usize = 1 << 26;
/// The most messages of a conversation: the template is rendered once for each answer.
const MAXIMUM_MESSAGES: usize = 1 << 12;

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample {
    /// A text, all of which is learned.
    Text(String),
    /// A prompt and its completion.
    Completion {
        /// Only read.
        prompt: String,
        /// Learned.
        completion: String,
    },
    /// A conversation.
    Messages(Vec<Message>),
}

/// A tokenized example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Whether each token is learned, given those before it.
    pub learned: Vec<bool>,
}

/// The lines of a file.
#[derive(Clone, Debug)]
pub struct Samples {
    /// The name of the file, without its extension.
    pub name: String,
    /// Line numbers, from 1, and their content.
    pub lines: Vec<(usize, Sample)>,
    /// SHA-256 over the file, in hexadecimal.
    pub fingerprint: String,
}

impl Samples {
    /// Reads a `.jsonl` file.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Io`], [`gyrus_formats::Error::Format`] for bytes that are not UTF-8,
    /// [`gyrus_formats::Error::Field`] with the number of an invalid line, [`gyrus_formats::Error::Mismatch`] for a file without
    /// examples.
    pub fn read(path: &Path) -> Result<Self> {
        let mut left = crate::corpus::MAXIMUM_BYTES;
        Self::parse(path, &read_text(path, &mut left)?)
    }

    /// Parses the text of such a file; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let filled = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let lines: Vec<(usize, Sample)> = filled
            .map(|(index, line)| Ok((index + 1, sample(path, index + 1, line)?)))
            .collect::<Result<_>>()?;
        if lines.is_empty() || lines.len() > MAXIMUM_EXAMPLES {
            let got = gyrus_files::counted(lines.len() as u64, "example");
            return Err(Error::mismatch(
                path,
                got,
                format!("1 to {MAXIMUM_EXAMPLES} lines with one example each"),
            ));
        }
        let fingerprint = gyrus_files::hexadecimal(&Sha256::digest(text.as_bytes()));
        let name = path.file_stem().map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned());
        Ok(Self { name, lines, fingerprint })
    }

    /// Tokenizes the examples for a model.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Field`] with the number of a line that the model's tokenizer or template refuses.
    pub fn encode(
        &self,
        path: &Path,
        tokenizer: &Tokenizer,
        template: Option<&ChatTemplate>,
        config: &DecoderConfig,
    ) -> Result<Vec<Example>> {
        let encoder = Encoder { tokenizer, template, config };
        let mut examples = Vec::with_capacity(self.lines.len());
        for (line, sample) in &self.lines {
            let encoded = encoder.encode(sample).map_err(|error| match error {
                Error::Language(LanguageError::Request { what, got, expected }) => {
                    Error::field(path, format!("line {line}: {what}"), got, expected)
                }
                other => other,
            })?;
            examples.extend(encoded);
        }
        let outside = |token: &u32| *token as usize >= config.vocabulary;
        if let Some(token) = examples.iter().flat_map(|example| &example.tokens).find(|token| outside(token))
        {
            let expected = format!("less than the vocabulary's {}", config.vocabulary);
            return Err(Error::request("a token of the tokenizer", token.to_string(), expected));
        }
        Ok(examples)
    }
}

/// Parses one line.
fn sample(path: &Path, line: usize, text: &str) -> Result<Sample> {
    let wrong = |field: &str, got: String, expected: &str| {
        let place = if field.is_empty() { format!("line {line}") } else { format!("line {line}: {field}") };
        Error::field(path, place, got, expected)
    };
    let shape = "an object with prompt and completion, with messages, or with text";
    let value: Value = serde_json::from_str(text).map_err(|error| wrong("", error.to_string(), shape))?;
    let text_of = |of: &Value, field: &str, name: &str| match of.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(wrong(name, kind(other).to_owned(), "a string")),
        None => Err(wrong(name, "nothing".to_owned(), "a string")),
    };
    let has = |field: &str| value.get(field).is_some();
    match (has("prompt") || has("completion"), value.get("messages"), has("text")) {
        (true, None, false) => {
            let completion = text_of(&value, "completion", "completion")?;
            if completion.is_empty() {
                return Err(wrong("completion", "an empty string".to_owned(), "text to learn"));
            }
            Ok(Sample::Completion { prompt: text_of(&value, "prompt", "prompt")?, completion })
        }
        (false, Some(messages), false) => {
            let list =
                messages.as_array().filter(|list| list.len() <= MAXIMUM_MESSAGES).ok_or_else(|| {
                    let expected = format!("a list of at most {MAXIMUM_MESSAGES} messages");
                    wrong("messages", kind(messages).to_owned(), &expected)
                })?;
            let message = |(index, message): (usize, &Value)| {
                let part = |field: &str| text_of(message, field, &format!("messages[{index}].{field}"));
                Ok(Message { role: part("role")?, content: part("content")? })
            };
            let messages: Vec<Message> = list.iter().enumerate().map(message).collect::<Result<_>>()?;
            if !messages.iter().any(is_answer) {
                let expected = "at least one message with the role assistant";
                return Err(wrong("messages", "no answer to learn".to_owned(), expected));
            }
            Ok(Sample::Messages(messages))
        }
        (false, None, true) => {
            let text = text_of(&value, "text", "text")?;
            if text.is_empty() {
                return Err(wrong("text", "an empty string".to_owned(), "text to learn"));
            }
            Ok(Sample::Text(text))
        }
        (false, None, false) => Err(wrong("", "none of them".to_owned(), shape)),
        _ => Err(wrong("", "several of them".to_owned(), shape)),
    }
}

fn is_answer(message: &Message) -> bool {
    message.role == "assistant"
}

struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    template: Option<&'a ChatTemplate>,
    config: &'a DecoderConfig,
}

/// The length of the common beginning of two sequences.
fn shared(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl Encoder<'_> {
    fn encode(&self, sample: &Sample) -> Result<Vec<Example>> {
        match sample {
            Sample::Text(text) => {
                let tokens = self.ended(self.tokenizer.encode(text, true)?);
                let learned = vec![true; tokens.len()];
                Ok(vec![Example { tokens, learned }])
            }
            Sample::Completion { prompt, completion } => {
                let before = self.tokenizer.encode(prompt, true)?;
                let tokens = self.tokenizer.encode(&format!("{prompt}{completion}"), true)?;
                // A token that spans the border is learned.
                let first = shared(&before, &tokens);
                let tokens = self.ended(tokens);
                let learned = (0..tokens.len()).map(|place| place >= first).collect();
                Ok(vec![Example { tokens, learned }])
            }
            Sample::Messages(messages) => self.conversation(messages),
        }
    }

    fn ended(&self, mut tokens: Vec<u32>) -> Vec<u32> {
        if let Some(&end) = self.config.end_of_text.first()
            && tokens.last() != Some(&end)
        {
            tokens.push(end);
        }
        tokens
    }

    fn conversation(&self, messages: &[Message]) -> Result<Vec<Example>> {
        let template = self.template.ok_or_else(|| {
            Error::request("messages", "a model without a chat template", "prompt and completion, or text")
        })?;
        let last = messages.iter().rposition(is_answer).unwrap_or_default();
        let messages = &messages[..=last];
        let whole = template.render(messages, false)?;
        let mut answers = Vec::new();
        for (index, _) in messages.iter().enumerate().filter(|(_, message)| is_answer(message)) {
            let before = template.render(&messages[..index], true)?;
            let after =
                if index == last { whole.clone() } else { template.render(&messages[..=index], false)? };
            if !after.starts_with(&before) {
                let got = format!("{after:?} after {before:?}");
                let expected = "a template whose generation prompt is the beginning of the answer";
                return Err(Error::request("chat template", shortened(&got), expected));
            }
            answers.push((before, after));
        }
        if answers.iter().all(|(_, after)| whole.starts_with(after.as_str())) {
            let tokens = self.tokenizer.encode_chat(&whole)?;
            let mut learned = vec![false; tokens.len()];
            for (before, after) in &answers {
                self.mark(&tokens, before, after, &mut learned)?;
            }
            return Ok(vec![Example { tokens, learned }]);
        }
        let example = |(before, after): &(String, String)| {
            let tokens = self.tokenizer.encode_chat(after)?;
            let mut learned = vec![false; tokens.len()];
            self.mark(&tokens, before, after, &mut learned)?;
            Ok(Example { tokens, learned })
        };
        answers.iter().map(example).collect()
    }

    /// Marks as learned the tokens of `after` that `before` lacks, up to the one that ends the answer.
    fn mark(&self, tokens: &[u32], before: &str, after: &str, learned: &mut [bool]) -> Result<()> {
        let first = shared(&self.tokenizer.encode_chat(before)?, tokens);
        let end = shared(&self.tokenizer.encode_chat(after)?, tokens);
        for place in first..end {
            learned[place] = true;
            if self.config.end_of_text.contains(&tokens[place]) {
                break;
            }
        }
        Ok(())
    }
}

/// The beginning of a text, for a message.
fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(200).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyrus_language::{Piece, PieceKind, SentencePiece};

    /// A vocabulary of single letters; 1 begins and 2 ends a text.
    fn tokenizer() -> Tokenizer {
        let control = |text: &str| Piece { text: text.into(), score: 0.0, kind: PieceKind::Control };
        let mut pieces = vec![control("<unk>"), control("<s>"), control("</s>")];
        let letter = |letter: u8| Piece { text: vec![letter], score: -1.0, kind: PieceKind::Text };
        pieces.extend((b' '..=b'~').chain([b'\n']).map(letter));
        Tokenizer::of_sentencepiece(SentencePiece::new(pieces, 0), vec![1], false)
    }

    fn config() -> DecoderConfig {
        DecoderConfig { end_of_text: vec![2], ..DecoderConfig::llama(99, 8, 1, (1, 1), 8, 1e4) }
    }

    fn learned(template: Option<&str>, line: &str) -> Result<Vec<(String, String)>> {
        let samples = Samples::parse(Path::new("x.jsonl"), line)?;
        let template = template.map(|template| ChatTemplate::new(template, "<s>", "</s>").unwrap());
        let tokenizer = tokenizer();
        let examples = samples.encode(Path::new("x.jsonl"), &tokenizer, template.as_ref(), &config())?;
        let text = |tokens: Vec<u32>| {
            tokens
                .iter()
                .map(|&token| tokenizer.text(token).unwrap())
                .map(|t| if t.is_empty() { " ".into() } else { t })
                .collect()
        };
        Ok(examples
            .iter()
            .map(|example| {
                let kept = example.tokens.iter().zip(&example.learned).filter(|(_, learned)| **learned);
                (text(example.tokens.clone()), text(kept.map(|(token, _)| *token).collect()))
            })
            .collect())
    }

    const PLAIN: &str = "{% for m in messages %}{{ m.role }}:{{ m.content }}</s>;{% endfor %}\
                         {% if add_generation_prompt %}assistant:{% endif %}";
    const TALK: &str = r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},
                         {"role":"user","content":"c"},{"role":"assistant","content":"d"},{"role":"user","content":"e"}]}"#;

    #[test]
    fn only_answers_and_their_ends_are_learned() {
        let line = r#"{"prompt": "ab", "completion": "cd"}"#;
        assert_eq!(learned(None, line).unwrap(), [("<s>abcd</s>".into(), "cd</s>".into())]);
        assert_eq!(learned(None, r#"{"text": "ab"}"#).unwrap()[0].1, "<s>ab</s>");
        let talk = TALK.replace('\n', " ");
        let whole = "user:a</s>;assistant:b</s>;user:c</s>;assistant:d</s>;";
        assert_eq!(learned(Some(PLAIN), &talk).unwrap(), [(whole.into(), "b</s>d</s>".into())]);
    }

    #[test]
    fn a_template_that_rewrites_earlier_answers_makes_an_example_of_each() {
        // The last message is shown with a mark that it loses later.
        let template = "{% for m in messages %}{% if loop.last and m.role == 'assistant' %}assistant:!{{ m.content }}</s>\
                        {% else %}{{ m.role }}:{{ m.content }}</s>{% endif %}{% endfor %}\
                        {% if add_generation_prompt %}assistant:{% endif %}";
        let talk = TALK.replace('\n', " ");
        assert_eq!(
            learned(Some(template), &talk).unwrap(),
            [
                ("user:a</s>assistant:!b</s>".into(), "!b</s>".into()),
                ("user:a</s>assistant:b</s>user:c</s>assistant:!d</s>".into(), "!d</s>".into()),
            ]
        );
    }

    #[test]
    fn wrong_lines_are_named() {
        let good = r#"{"prompt": "a", "completion": "b"}"#;
        for (line, part) in [
            ("{", "line 2"),
            ("3", "none of them"),
            (r#"{"text": "a", "prompt": "b"}"#, "several"),
            (r#"{"prompt": "a"}"#, "completion': got nothing"),
            (r#"{"prompt": ["a"], "completion": "b"}"#, "prompt': got a list"),
            (r#"{"prompt": "a", "completion": ""}"#, "an empty string"),
            (r#"{"messages": []}"#, "no answer"),
            (r#"{"messages": [{"role": "user"}]}"#, "messages[0].content"),
            (r#"{"messages": [{"role": "assistant", "content": "a"}]}"#, "without a chat template"),
            (r#"{"text": ""}"#, "an empty string"),
        ] {
            let said = learned(None, &format!("{good}\n{line}\n")).unwrap_err().to_string();
            assert!(said.contains(part) && said.contains("line 2"), "{said}");
        }
        assert!(learned(None, "\n\n").unwrap_err().to_string().contains("0 examples"));
    }
}
