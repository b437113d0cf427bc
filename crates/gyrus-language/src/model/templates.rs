//! The chat templates of a model: beside a Hugging Face folder's configuration, or in the metadata of a GGUF file; and the
//! tokens with which they end a turn.

use std::collections::BTreeMap;
use std::path::Path;

use gyrus_formats::gguf::{Gguf, Value as Entry};
use serde_json::Value;

use super::{Model, Parts};
use crate::small::{read_json, read_small};
use crate::{ChatTemplate, ChatTemplates, DecoderConfig, Error, Message, Result, Tokenizer};

/// The folder of named templates.
const NAMED_FOLDER: &str = "additional_chat_templates";
/// The most templates that are read.
const MOST_TEMPLATES: usize = 64;
/// The special tokens that templates know by name.
const SPECIAL_TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// The key of templates in GGUF files.
const KEY: &str = "tokenizer.chat_template";
/// Tokens that end a message of a model that waits for a tool, which only some templates mention.
const ENDS_OF_MESSAGES: [&str; 3] = ["<|eom_id|>", "<|eot_id|>", "<|call|>"];

/// The templates of a folder: `chat_template.jinja` with `additional_chat_templates/NAME.jinja`, `chat_template.json`, or the
/// field of `tokenizer_config.json`, in this order.
pub(super) fn of_folder(folder: &Path) -> Result<Option<ChatTemplates>> {
    let path = folder.join("tokenizer_config.json");
    let config = read_json(&path)?;
    let mut by_name = BTreeMap::new();
    let whole = folder.join("chat_template.jinja");
    if whole.is_file() {
        by_name.insert("default".to_owned(), text(&whole)?);
        named_files(&folder.join(NAMED_FOLDER), &mut by_name)?;
    } else {
        let beside = folder.join("chat_template.json");
        if let Some(value) = read_json(&beside)? {
            by_name = of_field(&beside, &value)?;
        }
        if let Some(value) = config.as_ref().filter(|_| by_name.is_empty()) {
            by_name = of_field(&path, value)?;
        }
    }
    if by_name.is_empty() {
        return Ok(None);
    }
    let mut special_tokens = BTreeMap::new();
    for name in SPECIAL_TOKENS {
        // A string, or an object with more about the token.
        let token = config.as_ref().and_then(|config| config.get(name));
        let token = token.and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str()));
        special_tokens.extend(token.map(|token| (name.to_owned(), token.to_owned())));
    }
    Ok(Some(ChatTemplates { by_name, special_tokens }))
}

fn text(path: &Path) -> Result<String> {
    String::from_utf8(read_small(path)?).map_err(|error| Error::mismatch(path, error.to_string(), "UTF-8"))
}

fn named_files(folder: &Path, by_name: &mut BTreeMap<String, String>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())).take(MOST_TEMPLATES) {
        if path.extension().is_some_and(|extension| extension == "jinja")
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
        {
            by_name.insert(name.to_owned(), text(&path)?);
        }
    }
    Ok(())
}

/// The field `chat_template`: a template, a list of named ones, or an object of them.
fn of_field(path: &Path, value: &Value) -> Result<BTreeMap<String, String>> {
    let expected = "a template, or a list of objects with name and template";
    let wrong = |got: &Value| {
        let got: String = got.to_string().chars().take(80).collect();
        Error::field(path, "chat_template", got, expected)
    };
    match value.get("chat_template") {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::String(template)) => Ok(BTreeMap::from([("default".to_owned(), template.clone())])),
        Some(Value::Array(list)) if list.len() <= MOST_TEMPLATES => {
            let named = |entry: &Value| {
                let text = |field: &str| entry.get(field).and_then(Value::as_str).map(str::to_owned);
                text("name").zip(text("template")).ok_or_else(|| wrong(entry))
            };
            list.iter().map(named).collect()
        }
        Some(Value::Object(named)) if named.len() <= MOST_TEMPLATES => {
            let text = |(name, template): (&String, &Value)| {
                template.as_str().map(|text| (name.clone(), text.to_owned())).ok_or_else(|| wrong(template))
            };
            named.iter().map(text).collect()
        }
        Some(other) => Err(wrong(other)),
    }
}

/// The templates in a file's metadata: `tokenizer.chat_template`, and `tokenizer.chat_template.NAME` for the names in
/// `tokenizer.chat_templates`.
pub(super) fn of_gguf(file: &Gguf, tokenizer: &Tokenizer) -> Result<Option<ChatTemplates>> {
    let mut by_name = BTreeMap::new();
    if let Some(template) = file.text(KEY)? {
        by_name.insert("default".to_owned(), template.to_owned());
    }
    for name in file.texts("tokenizer.chat_templates")?.unwrap_or_default().iter().take(MOST_TEMPLATES) {
        if let Some(template) = file.text(&format!("{KEY}.{name}"))? {
            by_name.insert(name.clone(), template.to_owned());
        }
    }
    let mut special_tokens = BTreeMap::new();
    for (name, key) in
        [("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("pad_token", "padding")]
    {
        let token = file.count(&format!("tokenizer.ggml.{key}_token_id"))?;
        let token = token.and_then(|token| tokenizer.text(u32::try_from(token).ok()?));
        special_tokens.extend(token.map(|token| (name.to_owned(), token)));
    }
    Ok((!by_name.is_empty()).then_some(ChatTemplates { by_name, special_tokens }))
}

/// The metadata of templates.
pub(super) fn entries(templates: &ChatTemplates) -> Vec<(String, Entry)> {
    let named = templates.by_name.iter().filter(|(name, _)| *name != "default");
    let mut entries: Vec<(String, Entry)> =
        named.clone().map(|(name, text)| (format!("{KEY}.{name}"), Entry::Text(text.clone()))).collect();
    if !entries.is_empty() {
        let names = named.map(|(name, _)| name.clone()).collect();
        entries.push(("tokenizer.chat_templates".to_owned(), Entry::Texts(names)));
    }
    entries.extend(templates.default_text().map(|text| (KEY.to_owned(), Entry::Text(text.to_owned()))));
    entries
}

/// The field `chat_template` of a `tokenizer_config.json`.
pub(super) fn field(templates: &ChatTemplates) -> Value {
    match (templates.default_text(), templates.by_name.len()) {
        (Some(text), 1) => Value::from(text),
        _ => {
            let named = templates.by_name.iter();
            named.map(|(name, template)| serde_json::json!({"name": name, "template": template})).collect()
        }
    }
}

/// The compiled templates; none if the model has none.
fn compiled(
    templates: Option<&ChatTemplates>,
    tokenizer: &Tokenizer,
    config: &DecoderConfig,
) -> Result<Option<ChatTemplate>> {
    let text = |token: Option<u32>| token.and_then(|token| tokenizer.text(token)).unwrap_or_default();
    let (begin, end) = (text(config.beginning_of_text), text(config.end_of_text.first().copied()));
    let compile = |templates: &ChatTemplates| {
        let special = [("bos_token", begin), ("eos_token", end)];
        ChatTemplate::compile(&templates.clone().or_special(special))
    };
    templates.map(compile).transpose()
}

impl Model {
    /// The compiled chat templates; `None` if the model has none.
    ///
    /// # Errors
    /// As [`ChatTemplate::compile`].
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>> {
        compiled(self.chat_template.as_ref(), &self.tokenizer, self.decoder.config())
    }

    /// Uses this template instead of the model's own.
    ///
    /// # Errors
    /// As [`ChatTemplate::compile`].
    pub fn set_chat_template(&mut self, template: &str) -> Result<()> {
        let special_tokens = self.chat_template.take().map(|given| given.special_tokens).unwrap_or_default();
        self.chat_template = Some(ChatTemplates { special_tokens, ..ChatTemplates::of(template) });
        self.chat_template().map(|_| ())
    }

    /// The tokens with which `template` ends a turn of the assistant: the special token after an answer, be it the answer's
    /// end or the beginning of the next turn. They end a chat just as end-of-text tokens do.
    #[must_use]
    pub fn turn_ends(&self, template: &ChatTemplate) -> Vec<u32> {
        const ANSWER: &str = "gyrus-answer";
        let said = [("user", "a"), ("assistant", ANSWER), ("user", "b")];
        let said = said.map(|(role, text)| Message::new(role, text));
        let mut ends = Vec::new();
        for messages in [&said[..], &said[..2]] {
            let Ok(text) = template.render(messages, false) else { continue };
            let Some((_, after)) = text.rsplit_once(ANSWER) else { continue };
            let tokens = self.tokenizer.encode_chat(after.trim_start()).unwrap_or_default();
            ends.extend(tokens.first().copied().filter(|&token| self.is_mark(token)));
        }
        let templates = self.chat_template.iter().flat_map(|templates| templates.by_name.values());
        let texts: Vec<&String> = templates.collect();
        let mentioned =
            ENDS_OF_MESSAGES.into_iter().filter(|name| texts.iter().any(|text| text.contains(name)));
        let tokens = mentioned.filter_map(|name| self.tokenizer.token(name));
        ends.extend(tokens.filter(|&token| self.is_mark(token)));
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// Whether a token is special, or looks like a mark of a template: `<|user|>`.
    fn is_mark(&self, token: u32) -> bool {
        let text = self.tokenizer.text(token).unwrap_or_default();
        let bracketed = text.len() > 2 && text.starts_with('<') && text.ends_with('>');
        bracketed || self.tokenizer.decode(&[token]).is_ok_and(|text| text.is_empty())
    }
}

impl Parts {
    /// The compiled chat templates; `None` if the model has none.
    ///
    /// # Errors
    /// As [`ChatTemplate::compile`].
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>> {
        compiled(self.chat_template.as_ref(), &self.tokenizer, &self.config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_of_a_folder_are_found_in_every_form() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let read = || of_folder(folder.path()).unwrap();
        assert_eq!(read(), None);
        let mut config =
            json!({"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}, "pad_token": null});
        write("tokenizer_config.json", &config.to_string());
        assert_eq!(read(), None);
        config["chat_template"] = json!("one");
        write("tokenizer_config.json", &config.to_string());
        let templates = read().unwrap();
        assert_eq!(templates.default_text(), Some("one"));
        let special: Vec<(&str, &str)> =
            templates.special_tokens.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(special, [("bos_token", "<s>"), ("eos_token", "</s>")]);
        config["chat_template"] =
            json!([{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"}]);
        write("tokenizer_config.json", &config.to_string());
        let templates = read().unwrap();
        assert_eq!((templates.default_text(), templates.tools_text()), (Some("plain"), Some("tools")));
        assert_eq!(field(&templates), config["chat_template"]);
        write("chat_template.json", &json!({"chat_template": "beside"}).to_string());
        assert_eq!(read().unwrap().default_text(), Some("beside"));
        write("chat_template.jinja", "whole");
        std::fs::create_dir(folder.path().join(NAMED_FOLDER)).unwrap();
        write("additional_chat_templates/rag.jinja", "found");
        let templates = read().unwrap();
        assert_eq!((templates.default_text(), templates.by_name["rag"].as_str()), (Some("whole"), "found"));
        std::fs::remove_file(folder.path().join("chat_template.jinja")).unwrap();
        for wrong in [json!(3), json!([{"name": "default"}]), json!({"default": 1})] {
            write("chat_template.json", &json!({"chat_template": wrong}).to_string());
            assert!(of_folder(folder.path()).unwrap_err().to_string().contains("chat_template"), "{wrong}");
        }
    }
}
