//! Chat templates: a conversation as text, by the Jinja template that a model was trained with, rendered like
//! `transformers`.
//!
//! Templates are untrusted. They see the messages, the tools, the variables of a request and the date, and nothing else: no
//! files, no other templates. Their steps and the size of their output are limited.

mod functions;
mod tags;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::OnceLock;

use chrono::{DateTime, Local, NaiveDateTime};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, Serde};
use minijinja::{AutoEscape, Environment, ErrorKind, Value};
use serde_json::{Map, Value as Json, json};

use crate::{Error, Result};

/// The fuel of a template. A step, or 64 bytes of output, costs one unit: enough for some ten thousand messages, and no
/// more than 128 MB of memory.
const FUEL: u64 = 2_000_000;
/// The most bytes of a template and of its output.
const MAXIMUM_BYTES: usize = 1 << 24;
/// The deepest nesting of macros.
const RECURSION: usize = 64;
/// The name of the template that is used unless there are tools and a template for them.
const DEFAULT: &str = "default";
/// The name of the template for conversations with tools.
const TOOL_USE: &str = "tool_use";
/// A text that no conversation contains, to see what a template does with it.
const PROBE: &str = "gyrus-probe";

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

/// The templates that come with a model, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatTemplates {
    /// By name. `default` is used for every conversation, except that `tool_use`, where there is one, is used for those with
    /// tools.
    pub by_name: BTreeMap<String, String>,
    /// Special tokens as text, by the names that templates use: `bos_token`, `eos_token`, `pad_token`, and so on.
    pub special_tokens: BTreeMap<String, String>,
}

impl ChatTemplates {
    /// One template for everything.
    #[must_use]
    pub fn of(template: impl Into<String>) -> Self {
        let by_name = BTreeMap::from([(DEFAULT.to_owned(), template.into())]);
        Self { by_name, special_tokens: BTreeMap::new() }
    }

    /// The default template.
    #[must_use]
    pub fn default_text(&self) -> Option<&str> {
        self.by_name.get(DEFAULT).map(String::as_str)
    }

    /// The template of conversations with tools.
    #[must_use]
    pub fn tools_text(&self) -> Option<&str> {
        self.by_name.get(TOOL_USE).map(String::as_str).or_else(|| self.default_text())
    }

    /// Its templates and special tokens as a model's, where the model has none of its own.
    pub(crate) fn or_special(mut self, names: [(&str, String); 2]) -> Self {
        for (name, text) in names {
            self.special_tokens.entry(name.to_owned()).or_insert(text);
        }
        self
    }
}

impl From<String> for ChatTemplates {
    fn from(template: String) -> Self {
        Self::of(template)
    }
}

/// A conversation in the form of `transformers`, with everything that templates may use.
#[derive(Clone, Copy, Debug)]
pub struct ChatInput<'a> {
    /// Objects with `role`, `content` and optionally `reasoning_content` and `tool_calls`, whose arguments are objects.
    pub messages: &'a [Json],
    /// Tools, described by JSON schemas.
    pub tools: &'a [Json],
    /// Variables of this template, such as `enable_thinking`.
    pub variables: &'a Map<String, Json>,
    /// Whether to add the beginning of the model's answer.
    pub answer: bool,
}

/// Compiled templates.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    special_tokens: BTreeMap<String, String>,
    /// Whether content must be a list of parts.
    parts: OnceLock<bool>,
}

impl ChatTemplate {
    /// Compiles a template; `begin` and `end` are the beginning-of-text and end-of-text tokens as text.
    ///
    /// # Errors
    /// [`Error::Request`] for a template that is too long or not valid Jinja.
    pub fn new(template: &str, begin: &str, end: &str) -> Result<Self> {
        let special = [("bos_token", begin.to_owned()), ("eos_token", end.to_owned())];
        Self::compile(&ChatTemplates::of(template).or_special(special))
    }

    /// Compiles the templates of a model.
    ///
    /// # Errors
    /// As [`Self::new`], and for templates of which none is the default.
    pub fn compile(templates: &ChatTemplates) -> Result<Self> {
        let mut environment = Environment::new();
        // The settings of `transformers`.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| refused(&error))?);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", |value: Value, arguments: Rest<Value>, options: Kwargs| {
            functions::to_json(&value, &arguments, &options)
        });
        environment.add_test("iterable", |value: Value| functions::is_iterable(&value));
        environment.add_test("sequence", |value: Value| functions::is_sequence(&value));
        environment.add_function("raise_exception", |reason: String| -> std::result::Result<Value, _> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, reason))
        });
        environment.add_function("strftime_now", |format: &str| {
            functions::formatted(&Local::now().naive_local(), format)
        });
        for name in [DEFAULT, TOOL_USE] {
            let Some(template) = templates.by_name.get(name) else { continue };
            if template.len() > MAXIMUM_BYTES {
                let expected = format!("at most {MAXIMUM_BYTES}");
                return Err(Error::request("chat template", format!("{} bytes", template.len()), expected));
            }
            let template = tags::plain_scopes(template);
            environment.add_template_owned(name, template).map_err(|error| refused(&error))?;
        }
        if templates.by_name.keys().all(|name| name != DEFAULT && name != TOOL_USE) {
            let names: Vec<&str> = templates.by_name.keys().map(String::as_str).collect();
            return Err(Error::request("chat template", names.join(", "), "one named default"));
        }
        let special_tokens = templates.special_tokens.clone();
        Ok(Self { environment, special_tokens, parts: OnceLock::new() })
    }

    /// The same at a fixed time, in seconds since 1970: `strftime_now` gives the same date whenever it is called.
    #[must_use]
    pub fn at(mut self, seconds: i64) -> Self {
        let now: NaiveDateTime = DateTime::from_timestamp(seconds, 0).unwrap_or_default().naive_utc();
        self.environment.add_function("strftime_now", move |format: &str| functions::formatted(&now, format));
        self
    }

    /// The text of a conversation. `answer` adds the beginning of the model's answer.
    ///
    /// # Errors
    /// [`Error::Request`] if the template refuses the messages (with the template's own reason), runs for too long or
    /// produces too much text.
    pub fn render(&self, messages: &[Message], answer: bool) -> Result<String> {
        let message = |Message { role, content }: &Message| json!({"role": role, "content": content});
        let messages: Vec<Json> = messages.iter().map(message).collect();
        self.render_input(&ChatInput { messages: &messages, tools: &[], variables: &Map::new(), answer })
    }

    /// [`Self::render_input`] without variables.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn render_with_tools(&self, messages: &[Json], tools: &[Json], answer: bool) -> Result<String> {
        self.render_input(&ChatInput { messages, tools, variables: &Map::new(), answer })
    }

    /// [`Self::render`] with everything that templates may use.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn render_input(&self, input: &ChatInput<'_>) -> Result<String> {
        if *self.parts.get_or_init(|| self.expects_parts()) {
            let messages: Vec<Json> = input.messages.iter().map(in_parts).collect();
            return self.fill(&ChatInput { messages: &messages, ..*input });
        }
        self.fill(input)
    }

    /// Whether content is shown only as a list of parts, as templates of models that also see images may do.
    fn expects_parts(&self) -> bool {
        let plain = [json!({"role": "user", "content": PROBE})];
        let shown = |messages: &[Json]| {
            let input = ChatInput { messages, tools: &[], variables: &Map::new(), answer: true };
            self.fill(&input).is_ok_and(|text| text.contains(PROBE))
        };
        !shown(&plain) && shown(&[in_parts(&plain[0])])
    }

    fn fill(&self, input: &ChatInput<'_>) -> Result<String> {
        let &ChatInput { messages, tools, variables, answer } = input;
        let has_tools = !tools.is_empty();
        let tools = if has_tools { Value::from(Serde(tools)) } else { Value::from(()) };
        let given = [
            ("messages", Value::from(Serde(messages))),
            ("tools", tools),
            ("documents", Value::from(())),
            ("add_generation_prompt", Value::from(answer)),
        ];
        let special =
            self.special_tokens.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str())));
        let variables = variables.iter().map(|(name, value)| (name.clone(), Value::from(Serde(value))));
        let given = given.into_iter().map(|(name, value)| (name.to_owned(), value));
        let context = Value::from_pairs(special.chain(variables).chain(given));
        let name = if has_tools { [TOOL_USE, DEFAULT] } else { [DEFAULT, TOOL_USE] };
        let template = self.environment.get_template(name[0]);
        let template = template.or_else(|_| self.environment.get_template(name[1]));
        let template = template.map_err(|error| refused(&error))?;
        let mut text = Bounded(Vec::new());
        template.render_captured_to(context, &mut text).map_err(|error| refused(&error))?;
        String::from_utf8(text.0)
            .map_err(|error| Error::request("chat template", error.to_string(), "text in UTF-8"))
    }
}

/// A message whose content is a list of parts.
fn in_parts(message: &Json) -> Json {
    let mut message = message.clone();
    if let Some(Json::String(text)) = message.get("content") {
        message["content"] = json!([{"type": "text", "text": text}]);
    }
    message
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
    }

    #[test]
    fn dates_are_those_of_the_clock() {
        let template =
            ChatTemplate::new("Today: {{ strftime_now('%Y-%m-%d') }}. {{ messages[0].content }}", "", "");
        // The leap day of 2024, 13:05:09.
        let template = template.unwrap().at(1_709_211_909);
        assert_eq!(template.render(&[Message::new("user", "Hi")], true).unwrap(), "Today: 2024-02-29. Hi");
        let said = render("{{ strftime_now('%d %B %Y, %H:%M, %j') }}").unwrap();
        assert!(said.len() > 20 && !said.contains('%'), "{said}");
        assert!(render("{{ strftime_now('%!') }}").unwrap_err().to_string().contains("strftime_now"));
    }

    #[test]
    fn generation_blocks_are_scopes() {
        let template = "{% for m in messages %}{% if m.role == 'user' %}{% generation %}{{ m.content }}\
                        {% set x = 1 %}{% endgeneration %}{{ x is defined }}{% endif %}{% endfor %}";
        assert_eq!(render(template).unwrap(), "HiFalse");
    }

    #[test]
    fn the_template_for_tools_is_chosen_by_tools() {
        let mut templates = ChatTemplates::of("plain {{ pad_token }}");
        templates.by_name.insert("tool_use".to_owned(), "tools {{ tools | length }}".to_owned());
        templates.special_tokens.insert("pad_token".to_owned(), "<pad>".to_owned());
        let template = ChatTemplate::compile(&templates).unwrap();
        let render = |tools: &[Json]| {
            let input = ChatInput { messages: &[], tools, variables: &Map::new(), answer: true };
            template.render_input(&input).unwrap()
        };
        assert_eq!((render(&[]).as_str(), render(&[json!({})]).as_str()), ("plain <pad>", "tools 1"));
        templates.by_name = BTreeMap::from([("rag".to_owned(), String::new())]);
        assert!(ChatTemplate::compile(&templates).unwrap_err().to_string().contains("rag"));
    }

    #[test]
    fn content_comes_in_parts_where_a_template_knows_no_other() {
        let typed = "{% for m in messages %}{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}\
                     {% endfor %}{% endfor %}";
        assert_eq!(render(typed).unwrap(), "Hi");
    }

    #[test]
    fn values_that_share_their_parts_are_written_within_bounds() {
        let grow = "{% set x = [x, x] %}".repeat(60);
        render(&format!("{{% set x = 'aaaaaaaa' %}}{grow}{{{{ x | tojson }}}}")).unwrap_err();
        let deep =
            "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}";
        render(&format!("{deep}{{{{ ns.x | tojson }}}}")).unwrap_err();
    }

    #[test]
    fn the_reason_of_a_template_is_told() {
        let said = render("{{ raise_exception('only users may speak') }}").unwrap_err().to_string();
        assert!(said.contains("only users may speak"), "{said}");
    }
}
