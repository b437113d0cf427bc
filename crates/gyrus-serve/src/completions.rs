//! Requests for `/v1/completions`.

use serde_json::Value;

use crate::error::{ApiError, Result};
use crate::fields::{Fields, kind};
use crate::sampling::Settings;

/// The most prompts of a request.
const MOST_PROMPTS: usize = 256;
/// The most alternatives that can be reported with each token.
const MOST_ALTERNATIVES: u64 = 20;
/// The default maximum of generated tokens, as in OpenAI's interface.
const DEFAULT_TOKENS: usize = 16;

/// A request for completions of prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct CompletionRequest {
    pub(crate) model: String,
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) settings: Settings,
    pub(crate) alternatives: Option<usize>,
}

/// A prompt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
}

impl CompletionRequest {
    /// Parses the body of a request.
    ///
    /// # Errors
    /// For an invalid request; names the field.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        let model = fields.string("model")?;
        let model = fields.required("model", model)?;
        let prompts = prompts(&mut fields, "prompt", MOST_PROMPTS)?;
        let mut settings = Settings::take(&mut fields)?;
        settings.maximum_tokens.get_or_insert(DEFAULT_TOKENS);
        let alternatives = fields.count("logprobs", 0, MOST_ALTERNATIVES)?;
        if fields.flag("echo")? == Some(true) {
            return Err(ApiError::unsupported("echo"));
        }
        if fields.count("best_of", 0, u64::MAX)?.is_some_and(|best| best != settings.choices) {
            return Err(ApiError::unsupported("best_of"));
        }
        if fields.string("suffix")?.is_some_and(|suffix| !suffix.is_empty()) {
            return Err(ApiError::unsupported("suffix"));
        }
        fields.finish()?;
        Ok(Self { model, prompts, settings, alternatives })
    }
}

/// A string, a list of strings, a list of tokens, or a list of lists of tokens.
pub(crate) fn prompts(fields: &mut Fields, name: &str, most: usize) -> Result<Vec<Prompt>, ApiError> {
    let expected = "a string, a list of strings, a list of tokens, or a list of lists of tokens";
    let value = fields.value(name);
    let list = match fields.required(name, value)? {
        Value::Array(list) => list,
        one => vec![one],
    };
    if list.first().is_some_and(Value::is_number) {
        return Ok(vec![Prompt::Tokens(tokens(&list, name)?)]);
    }
    if !(1..=most).contains(&list.len()) {
        return Err(ApiError::field(name, format!("{} texts", list.len()), format!("1 to {most}")));
    }
    list.into_iter()
        .map(|prompt| match prompt {
            Value::String(text) => Ok(Prompt::Text(text)),
            Value::Array(list) => Ok(Prompt::Tokens(tokens(&list, name)?)),
            other => Err(ApiError::field(name, kind(&other), expected)),
        })
        .collect()
}

fn tokens(list: &[Value], name: &str) -> Result<Vec<u32>, ApiError> {
    let token = |value: &Value| {
        let token = value.as_u64().and_then(|token| u32::try_from(token).ok());
        token.ok_or_else(|| ApiError::field(name, kind(value), "tokens only, as integers"))
    };
    list.iter().map(token).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prompts_come_as_texts_and_as_tokens() {
        let parse = |prompt: Value| {
            CompletionRequest::parse(json!({"model": "m", "prompt": prompt}).to_string().as_bytes())
        };
        let text = |text: &str| Prompt::Text(text.to_owned());
        assert_eq!(parse(json!("a")).unwrap().prompts, [text("a")]);
        assert_eq!(parse(json!(["a", "b"])).unwrap().prompts, [text("a"), text("b")]);
        assert_eq!(parse(json!([1, 2])).unwrap().prompts, [Prompt::Tokens(vec![1, 2])]);
        assert_eq!(parse(json!([[1], [2]])).unwrap().prompts.len(), 2);
        for wrong in [json!([]), json!([1, "a"]), json!([[-1]]), json!({}), json!([true])] {
            assert!(parse(wrong).is_err());
        }
        let body = json!({"model": "m", "prompt": "a", "echo": true}).to_string();
        assert_eq!(CompletionRequest::parse(body.as_bytes()).unwrap_err().json()["error"]["param"], "echo");
        assert_eq!(parse(json!("a")).unwrap().settings.maximum_tokens, Some(16));
    }
}
