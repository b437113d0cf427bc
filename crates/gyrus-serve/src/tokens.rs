//! `/tokenize` and `/detokenize`, with the fields of llama.cpp's server and of vLLM's.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use gyrus_language::Tokenizer;
use serde_json::{Map, Value, json};

use crate::chat::{messages, variables};
use crate::error::{ApiError, Result};
use crate::fields::Fields;
use crate::handlers::{Shared, body, json_response};
use crate::service::{Service, Writer};
use crate::tools::tools;

/// The text model: the one with this name, or the only one.
fn writer<'a>(service: &'a Service, fields: &mut Fields) -> Result<&'a Writer, ApiError> {
    match fields.string("model")? {
        Some(name) => service.writer(&name),
        None => service.writer.as_ref().ok_or_else(|| ApiError::invalid("this server has no text model")),
    }
}

pub(crate) async fn tokenize(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    let body = body(request).await?;
    let made = tokio::task::spawn_blocking(move || tokenized(&service, &body)).await;
    made.map_err(|_| ApiError::server("the text could not be read"))?.map(|value| json_response(&value))
}

fn tokenized(service: &Arc<Service>, body: &[u8]) -> Result<Value, ApiError> {
    let mut fields = Fields::parse(body)?;
    let writer = writer(service, &mut fields)?;
    let tokenizer = &writer.engine.model().tokenizer;
    let (content, prompt) = (fields.string("content")?, fields.string("prompt")?);
    // The default of each server.
    let special = fields.flag("add_special")?.or(fields.flag("add_special_tokens")?);
    let names = fields.flag("parse_special")?;
    let pieces = fields.flag("with_pieces")?.unwrap_or(false);
    let texts = fields.flag("return_token_strs")?.unwrap_or(false);
    let tokens = match (content, prompt) {
        (Some(_), Some(_)) => return Err(ApiError::field("prompt", "it beside content", "one of them")),
        (Some(text), None) => encoded(tokenizer, &text, special.unwrap_or(false), names.unwrap_or(true))?,
        (None, Some(text)) => encoded(tokenizer, &text, special.unwrap_or(true), names.unwrap_or(true))?,
        (None, None) if fields.peek("messages").is_some() => {
            let talk = writer.talk()?;
            let messages = messages(&mut fields)?;
            let tools = tools(&mut fields)?;
            let variables = variables(&mut fields)?;
            let answer = fields.flag("add_generation_prompt")?.unwrap_or(true);
            encoded(tokenizer, &talk.render(&messages, &tools, &variables, answer)?, false, true)?
        }
        (None, None) => return Err(ApiError::field("content", "nothing", "a text, or prompt, or messages")),
    };
    fields.finish()?;
    let text = |&token: &u32| tokenizer.text(token).unwrap_or_default();
    let mut answer = json!({
        "tokens": tokens, "count": tokens.len(), "max_model_len": writer.engine.options().context, "token_strs": null,
    });
    if pieces {
        let piece = |token: &u32| json!({"id": token, "piece": text(token)});
        answer["tokens"] = tokens.iter().map(piece).collect();
    }
    if texts {
        answer["token_strs"] = tokens.iter().map(text).collect();
    }
    Ok(answer)
}

/// The tokens of a text: `special` puts the beginning-of-text tokens before it, `names` reads the names of special tokens in it.
fn encoded(tokenizer: &Tokenizer, text: &str, special: bool, names: bool) -> Result<Vec<u32>, ApiError> {
    if !names {
        return Ok(tokenizer.encode(text, special)?);
    }
    let mut tokens = if special { tokenizer.encode("", true)? } else { Vec::new() };
    tokens.extend(tokenizer.encode_chat(text)?);
    Ok(tokens)
}

pub(crate) async fn detokenize(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    let mut fields = Fields::parse(&body(request).await?)?;
    let writer = writer(&service, &mut fields)?;
    let model = writer.engine.model();
    let list = fields.list("tokens")?;
    let list = fields.required("tokens", list)?;
    fields.finish()?;
    let mut tokens = Vec::with_capacity(list.len());
    for value in &list {
        let token = value.as_u64().and_then(|token| u32::try_from(token).ok());
        let vocabulary = model.decoder.config().vocabulary;
        let token = token.filter(|&token| (token as usize) < vocabulary);
        tokens.push(token.ok_or_else(|| {
            ApiError::field(
                "tokens",
                value.to_string().chars().take(40).collect::<String>(),
                format!("tokens below {vocabulary}"),
            )
        })?);
    }
    let text = decoded(&model.tokenizer, &tokens)?;
    let mut answer = Map::new();
    // The names of both servers.
    for name in ["content", "prompt"] {
        answer.insert(name.to_owned(), Value::from(text.as_str()));
    }
    Ok(json_response(&Value::Object(answer)))
}

/// The text of tokens, in which special tokens appear by name.
fn decoded(tokenizer: &Tokenizer, tokens: &[u32]) -> Result<String, ApiError> {
    let mut stream = tokenizer.stream(&[]);
    let mut text = String::new();
    for &token in tokens {
        if tokenizer.decode(&[token])?.is_empty()
            && let Some(name) = tokenizer.text(token).filter(|name| !name.is_empty())
            && !name.starts_with("<0x")
            && tokenizer.encode_chat(&name)? == [token]
        {
            text += &stream.finish();
            text += &name;
        } else {
            text += &stream.push(token)?;
        }
    }
    Ok(text + &stream.finish())
}
