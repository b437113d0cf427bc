//! Chat templates: a conversation as text, by the Jinja template that a model was trained with, rendered like
//! `transformers`.
//!
//! Templates are untrusted. They see the messages and nothing else: no files, no other templates, no clock (`strftime_now`
//! is undefined, so templates that check for it fall back to a fixed date). Their steps and the size of their output are
//! limited.

use std::io::{self, Write};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{AutoEscape, Environment, ErrorKind, State, Value};
use serde_json::ser::{Formatter, PrettyFormatter};

use crate::{Error, Result};

/// The fuel of a template. A step, or 64 bytes of output, costs one unit: enough for some ten thousand messages, and no
/// more than 128 MB of memory.
const FUEL: u64 = 2_000_000;
/// The most bytes of a template and of its output.
const MAXIMUM_BYTES: usize = 1 << 24;
/// The deepest nesting of macros.
const RECURSION: usize = 64;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user` or `assistant`; some models have more.
    pub role: String,
    /// The text of the message.
    pub content: String,
}

impl Message {
    /// A message from `role`.
    #[must_use]
    pub fn new(role: &str, content: &str) -> Self {
        Self { role: role.to_owned(), content: content.to_owned() }
    }
}

/// A compiled template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// The beginning-of-text and end-of-text tokens as text, which templates insert.
    begin: String,
    end: String,
}

const NAME: &str = "chat";

impl ChatTemplate {
    /// Compiles a template; `begin` and `end` are the beginning-of-text and end-of-text tokens as text.
    ///
    /// # Errors
    /// [`Error::Request`] for a template that is too long or not valid Jinja.
    pub fn new(template: &str, begin: &str, end: &str) -> Result<Self> {
        if template.len() > MAXIMUM_BYTES {
            let expected = format!("at most {MAXIMUM_BYTES}");
            return Err(Error::request("chat template", format!("{} bytes", template.len()), expected));
        }
        let mut environment = Environment::new();
        // The settings of `transformers`.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| refused(&error))?);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", |reason: String| -> std::result::Result<Value, _> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, reason))
        });
        environment.add_template_owned(NAME, template.to_owned()).map_err(|error| refused(&error))?;
        Ok(Self { environment, begin: begin.to_owned(), end: end.to_owned() })
    }

    /// The text of a conversation. `answer` adds the beginning of the model's answer.
    ///
    /// # Errors
    /// [`Error::Request`] if the template refuses the messages (with the template's own reason), runs for too long or
    /// produces too much text.
    pub fn render(&self, messages: &[Message], answer: bool) -> Result<String> {
        let messages: Vec<Value> =
            messages.iter().map(|Message { role, content }| minijinja::context! { role, content }).collect();
        self.fill(Value::from(messages), Value::from(()), answer)
    }

    /// [`Self::render`] for messages with everything that templates may use, in the form of `transformers`: objects with
    /// `role`, `content` and optionally `tool_calls`, whose arguments are objects; `tools` are described by JSON schemas.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn render_with_tools(
        &self,
        messages: &[serde_json::Value],
        tools: &[serde_json::Value],
        answer: bool,
    ) -> Result<String> {
        let tools = if tools.is_empty() { Value::from(()) } else { Value::from(Serde(tools)) };
        self.fill(Value::from(Serde(messages)), tools, answer)
    }

    fn fill(&self, messages: Value, tools: Value, answer: bool) -> Result<String> {
        let context = minijinja::context! {
            messages,
            tools,
            add_generation_prompt => answer,
            bos_token => self.begin.as_str(),
            eos_token => self.end.as_str(),
        };
        let template = self.environment.get_template(NAME).map_err(|error| refused(&error))?;
        let mut text = Bounded(Vec::new());
        template.render_captured_to(context, &mut text).map_err(|error| refused(&error))?;
        String::from_utf8(text.0)
            .map_err(|error| Error::request("chat template", error.to_string(), "text in UTF-8"))
    }
}

fn refused(error: &minijinja::Error) -> Error {
    let mut got = error.to_string();
    // A message from `raise_exception` is the whole reason.
    if error.kind() == ErrorKind::InvalidOperation
        && let Some(reason) = error.detail()
    {
        got = format!("\"{reason}\"");
    }
    Error::request("chat template", got, "messages that the model's template accepts")
}

/// A buffer of limited size.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAXIMUM_BYTES {
            return Err(io::Error::other(format!("more than {MAXIMUM_BYTES} bytes of text")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// JSON as Python writes it: spaces after commas and colons, non-ASCII characters unescaped.
fn to_json(_: &State<'_, '_>, value: Value, options: Kwargs) -> std::result::Result<Value, minijinja::Error> {
    let failed = |error: serde_json::Error| {
        minijinja::Error::new(ErrorKind::BadSerialization, "cannot be written as JSON").with_source(error)
    };
    let indent: Option<usize> = options.get("indent")?;
    // Python's other options change the text too, so they are refused.
    options.assert_all_used()?;
    let mut bytes = Vec::new();
    match indent {
        Some(indent) => {
            let spaces = vec![b' '; indent.min(16)];
            let formatter = PrettyFormatter::with_indent(&spaces);
            let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
            serde::Serialize::serialize(&value, &mut serializer).map_err(failed)?;
        }
        None => {
            let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Spaced);
            serde::Serialize::serialize(&value, &mut serializer).map_err(failed)?;
        }
    }
    Ok(Value::from(String::from_utf8_lossy(&bytes).into_owned()))
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str) -> Result<String> {
        ChatTemplate::new(template, "<s>", "</s>")?.render(&[Message::new("user", "Hi")], true)
    }

    #[test]
    fn templates_that_never_end_or_write_without_end_are_stopped() {
        let said = render("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}");
        assert!(said.unwrap_err().to_string().contains("fuel"));
        let many = "{% for i in range(9999) %}{% for j in range(99) %}0123456789012345678901234567890123456789\
                    {% endfor %}{% endfor %}";
        render(many).unwrap_err();
        render("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").unwrap_err();
    }

    #[test]
    fn texts_that_grow_in_memory_are_stopped() {
        let grow = ["x ~ x", "x + x", "[x, x]|join", "x|replace('a', 'aa')", "x.replace('a', 'aa')", "x * 2"];
        for grow in grow.into_iter().chain(["'%s%s'|format(x, x)", "x[:] ~ x[:]", "(x, x)|string"]) {
            let template =
                format!("{{% set x = 'aaaaaaaa' %}}{}", format!("{{% set x = {grow} %}}").repeat(60));
            let said = render(&template).unwrap_err().to_string();
            assert!(said.contains("fuel"), "{grow}: {said}");
        }
    }

    #[test]
    fn nothing_but_the_messages_is_seen() {
        for template in
            ["{% include '/etc/hostname' %}", "{% import 'x' as y %}", "{{ messages.__class__.mro() }}"]
        {
            let got = render(template);
            assert!(got.as_ref().is_err() || got.as_deref().is_ok_and(str::is_empty), "{template}: {got:?}");
        }
        assert_eq!(render("{{ strftime_now is defined }}").unwrap(), "False");
    }

    #[test]
    fn the_reason_of_a_template_is_told() {
        let said = render("{{ raise_exception('only users may speak') }}").unwrap_err().to_string();
        assert!(said.contains("only users may speak"), "{said}");
    }
}
