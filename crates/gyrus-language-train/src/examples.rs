//! Examples for tuning, as tokens of which some are learned.
//!
//! [`Samples`] are read from a file of JSON records: JSON Lines, a list, or an object that holds a list; plain or gzipped.
//!
//! | record | what is learned |
//! |---|---|
//! | `{"prompt": "...", "completion": "..."}` | the completion and the end of the text |
//! | `{"messages": [{"role": "user", "content": "..."}, ...]}` | each answer of the assistant and its end |
//! | `{"conversations": [{"from": "human", "value": "..."}, ...]}` (ShareGPT) | the same |
//! | `{"instruction": "...", "input": "...", "output": "..."}` (Alpaca) | the output and its end |
//! | `{"text": "..."}` | all of it |
//!
//! Messages become text through the model's chat template, as in inference, and so do instructions where the model has one;
//! without, they are put in Alpaca's words. An answer with `"weight": 0` is read, not learned. If a template renders earlier
//! answers differently later on (for example without their reasoning), the conversation becomes one example per answer.

use std::path::Path;

use gyrus_language::{ChatTemplate, DecoderConfig, Error as LanguageError, Tokenizer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::corpus::{name, read_text};
use crate::records::{Place, records};
use crate::sample::{Conversation, Sample, sample};
use crate::{Error, Result};

/// The most examples that are read.
const MAXIMUM_EXAMPLES: usize = 1 << 26;

/// A tokenized example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Whether each token is learned, given those before it.
    pub learned: Vec<bool>,
}

/// The examples in a file.
#[derive(Clone, Debug)]
pub struct Samples {
    /// The name of the file, without its extension.
    pub name: String,
    /// Their places and contents.
    pub samples: Vec<(Place, Sample)>,
    /// SHA-256 over the text of the file, in hexadecimal.
    pub fingerprint: String,
}

impl Samples {
    /// Reads a file of records.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Io`], [`gyrus_formats::Error::Format`] for bytes that are not text,
    /// [`gyrus_formats::Error::Field`] with the place of an invalid record, [`gyrus_formats::Error::Mismatch`] for a file
    /// without examples.
    pub fn read(path: &Path) -> Result<Self> {
        let mut left = crate::corpus::MAXIMUM_BYTES;
        Self::parse(path, &read_text(path, &mut left)?)
    }

    /// Parses the text of such a file; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let records = records(path, text)?.into_iter();
        let samples: Vec<(Place, Sample)> =
            records.map(|record| Ok((record.place, sample(path, &record)?))).collect::<Result<_>>()?;
        if samples.is_empty() || samples.len() > MAXIMUM_EXAMPLES {
            let got = gyrus_files::counted(samples.len() as u64, "example");
            return Err(Error::mismatch(path, got, format!("1 to {MAXIMUM_EXAMPLES} examples")));
        }
        let fingerprint = gyrus_files::hexadecimal(&Sha256::digest(text.as_bytes()));
        Ok(Self { name: name(path, "data"), samples, fingerprint })
    }

    /// What the examples are, such as "conversations"; "examples" if there are several kinds.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        let mut kinds = self.samples.iter().map(|(_, sample)| sample.kind());
        let first = kinds.next().unwrap_or("examples");
        if kinds.all(|kind| kind == first) { first } else { "examples" }
    }

    /// Tokenizes the examples for a model.
    ///
    /// # Errors
    /// [`gyrus_formats::Error::Field`] with the place of a record that the model's tokenizer or template refuses.
    pub fn encode(
        &self,
        path: &Path,
        tokenizer: &Tokenizer,
        template: Option<&ChatTemplate>,
        config: &DecoderConfig,
    ) -> Result<Vec<Example>> {
        let encoder = Encoder { tokenizer, template, config };
        let mut examples = Vec::with_capacity(self.samples.len());
        for (place, sample) in &self.samples {
            let encoded = encoder.encode(sample).map_err(|error| match error {
                Error::Language(LanguageError::Request { what, got, expected }) => {
                    Error::field(path, format!("{place}: {what}"), got, expected)
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
            Sample::Completion { prompt, completion } => self.completion(prompt, completion),
            Sample::Instruction(instruction) => match self.template {
                Some(_) => self.conversation(&instruction.conversation()),
                None => self.completion(&instruction.prompt(), &instruction.output),
            },
            Sample::Conversation(conversation) => self.conversation(conversation),
        }
    }

    fn completion(&self, prompt: &str, completion: &str) -> Result<Vec<Example>> {
        let before = self.tokenizer.encode(prompt, true)?;
        let tokens = self.tokenizer.encode(&format!("{prompt}{completion}"), true)?;
        // A token that spans the border is learned.
        let first = shared(&before, &tokens);
        let tokens = self.ended(tokens);
        let learned = (0..tokens.len()).map(|place| place >= first).collect();
        Ok(vec![Example { tokens, learned }])
    }

    fn ended(&self, mut tokens: Vec<u32>) -> Vec<u32> {
        if let Some(&end) = self.config.end_of_text.first()
            && tokens.last() != Some(&end)
        {
            tokens.push(end);
        }
        tokens
    }

    fn conversation(&self, conversation: &Conversation) -> Result<Vec<Example>> {
        let template = self.template.ok_or_else(|| {
            Error::request("messages", "a model without a chat template", "prompt and completion, or text")
        })?;
        let Conversation { messages, learned, tools } = conversation;
        let Some(last) = learned.iter().rposition(|learned| *learned) else { return Ok(Vec::new()) };
        let render = |messages: &[Value], answer: bool| template.render_with_tools(messages, tools, answer);
        let messages = &messages[..=last];
        let whole = render(messages, false)?;
        let mut answers = Vec::new();
        for (index, _) in learned[..=last].iter().enumerate().filter(|(_, learned)| **learned) {
            let before = render(&messages[..index], true)?;
            let after = if index == last { whole.clone() } else { render(&messages[..=index], false)? };
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
            ("3", "got a number"),
            (r#"{"question": "a", "answer": "b"}"#, "the fields question, answer"),
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

    #[test]
    fn an_answer_of_weight_0_is_read_but_not_learned() {
        let talk = TALK.replace('\n', " ").replace(r#""b"}"#, r#""b","weight":0}"#);
        let whole = "user:a</s>;assistant:b</s>;user:c</s>;assistant:d</s>;";
        assert_eq!(learned(Some(PLAIN), &talk).unwrap(), [(whole.into(), "d</s>".into())]);
        let talk = TALK.replace('\n', " ").replace(r#""d"}"#, r#""d","weight":0}"#);
        let whole = "user:a</s>;assistant:b</s>;";
        assert_eq!(learned(Some(PLAIN), &talk).unwrap(), [(whole.into(), "b</s>".into())]);
    }

    #[test]
    fn alpaca_and_sharegpt_become_conversations_or_alpacas_words() {
        let alpaca = r#"{"instruction": "add", "input": "1 2", "output": "3", "text": "all of it"}"#;
        assert_eq!(
            learned(Some(PLAIN), alpaca).unwrap(),
            [("user:add\n\n1 2</s>;assistant:3</s>;".into(), "3</s>".into())]
        );
        let (all, answer) = learned(None, alpaca).unwrap().remove(0);
        assert!(all.starts_with("<s>Below is an instruction that describes a task, paired with"), "{all}");
        assert!(all.ends_with("### Instruction:\nadd\n\n### Input:\n1 2\n\n### Response:\n3</s>"), "{all}");
        assert_eq!(answer, "3</s>");
        let sharegpt =
            r#"{"id": 1, "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}"#;
        let same = r#"{"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}"#;
        for line in [sharegpt, same] {
            assert_eq!(
                learned(Some(PLAIN), line).unwrap(),
                [("user:a</s>;assistant:b</s>;".into(), "b</s>".into())]
            );
        }
    }

    #[test]
    fn calls_of_tools_are_learned_with_their_arguments() {
        let template = "{% for t in tools %}[{{ t.function.name }}]{% endfor %}{% for m in messages %}{{ m.role }}:\
                        {% for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}\
                        {{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";
        let line = r#"{"tools": [{"type": "function", "function": {"name": "f"}}], "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function",
             "function": {"name": "f", "arguments": "{\"x\":1}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "2"}, {"role": "assistant", "content": "b"}]}"#;
        let whole = r#"[f]user:a</s>assistant:f{"x": 1}</s>tool:2</s>assistant:b</s>"#;
        let kept = r#"f{"x": 1}</s>b</s>"#;
        assert_eq!(learned(Some(template), line).unwrap(), [(whole.into(), kept.into())]);
    }
}
