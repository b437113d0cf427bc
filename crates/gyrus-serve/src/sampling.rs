//! Settings shared by chat and plain completions: sampling and stopping.

use gyrus_language::Sampling;
use serde_json::Value;

use crate::error::{ApiError, Result};
use crate::fields::{Fields, kind};

/// The most choices of a request.
const MOST_CHOICES: u64 = 128;
/// The most stop strings of a request, and the most bytes of each.
const MOST_STOPS: usize = 16;
const LONGEST_STOP: usize = 256;
/// The most tokens in a request's `logit_bias`.
const MOST_BIASES: usize = 1024;

/// The settings of a request; missing ones default to the model's recommended sampling.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<usize>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    presence_penalty: f32,
    frequency_penalty: f32,
    /// Random seed; `None` draws one.
    pub(crate) seed: Option<u64>,
    pub(crate) bias: Vec<(u32, f32)>,
    pub(crate) stop: Vec<String>,
    pub(crate) maximum_tokens: Option<usize>,
    /// Number of choices per prompt.
    pub(crate) choices: usize,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
}

impl Settings {
    pub(crate) fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        let settings = Self {
            temperature: fields.number("temperature", 0.0, 2.0)?,
            top_p: fields.number("top_p", 0.0, 1.0)?,
            top_k: fields.count("top_k", 0, u64::from(u32::MAX))?,
            min_p: fields.number("min_p", 0.0, 1.0)?,
            repetition_penalty: fields.number("repetition_penalty", 0.01, 100.0)?,
            presence_penalty: fields.number("presence_penalty", -2.0, 2.0)?.unwrap_or(0.0),
            frequency_penalty: fields.number("frequency_penalty", -2.0, 2.0)?.unwrap_or(0.0),
            seed: fields.seed("seed")?,
            bias: bias(fields)?,
            stop: stop(fields)?,
            maximum_tokens: maximum_tokens(fields)?,
            choices: fields.count("n", 1, MOST_CHOICES)?.unwrap_or(1),
            stream: fields.flag("stream")?.unwrap_or(false),
            include_usage: include_usage(fields)?,
        };
        if settings.include_usage && !settings.stream {
            return Err(ApiError::field("stream_options", "it without stream", "it only with stream"));
        }
        Ok(settings)
    }

    /// The sampling of one text.
    pub(crate) fn sampling(&self, recommended: Sampling, seed: u64) -> Sampling {
        Sampling {
            temperature: self.temperature.unwrap_or(recommended.temperature),
            top_k: self.top_k.unwrap_or(recommended.top_k),
            top_p: self.top_p.unwrap_or(recommended.top_p),
            min_p: self.min_p.unwrap_or(recommended.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(recommended.repetition_penalty),
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            seed,
        }
    }
}

fn maximum_tokens(fields: &mut Fields) -> Result<Option<usize>, ApiError> {
    let most = u64::from(u32::MAX);
    let old = fields.count("max_tokens", 0, most)?;
    let new = fields.count("max_completion_tokens", 0, most)?;
    match (old, new) {
        (Some(old), Some(new)) if old != new => {
            Err(ApiError::field("max_tokens", old, format!("{new} as max_completion_tokens, or one of them")))
        }
        (old, new) => Ok(new.or(old)),
    }
}

fn include_usage(fields: &mut Fields) -> Result<bool, ApiError> {
    let Some(options) = fields.value("stream_options") else { return Ok(false) };
    let mut options = Fields::of(options, "stream_options")?;
    let usage = options.flag("include_usage")?;
    // Padding against traffic analysis is not implemented; the flag has no effect.
    options.flag("include_obfuscation")?;
    options.finish()?;
    Ok(usage.unwrap_or(false))
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let list = match fields.value("stop") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
    };
    if list.len() > MOST_STOPS {
        return Err(ApiError::field(
            "stop",
            format!("{} strings", list.len()),
            format!("at most {MOST_STOPS}"),
        ));
    }
    list.into_iter()
        .map(|text| match text {
            Value::String(text) if (1..=LONGEST_STOP).contains(&text.len()) => Ok(text),
            Value::String(text) => {
                let got = format!("a string of {} bytes", text.len());
                Err(ApiError::field("stop", got, format!("1 to {LONGEST_STOP} bytes")))
            }
            other => Err(ApiError::field("stop", kind(&other), "a string or a list of strings")),
        })
        .collect()
}

fn bias(fields: &mut Fields) -> Result<Vec<(u32, f32)>, ApiError> {
    let list = match fields.value("logit_bias") {
        None => return Ok(Vec::new()),
        Some(Value::Object(list)) => list,
        Some(other) => return Err(ApiError::field("logit_bias", kind(&other), "an object")),
    };
    if list.len() > MOST_BIASES {
        let got = format!("{} tokens", list.len());
        return Err(ApiError::field("logit_bias", got, format!("at most {MOST_BIASES}")));
    }
    list.into_iter()
        .map(|(token, bias)| {
            let wrong = || ApiError::field("logit_bias", "another", "tokens with numbers from -100 to 100");
            let bias = bias.as_f64().filter(|bias| (-100.0..=100.0).contains(bias)).ok_or_else(wrong)?;
            // At -100, OpenAI's interface bans the token.
            let bias = match bias {
                -100.0 => f32::NEG_INFINITY,
                other => other as f32,
            };
            Ok((token.parse().map_err(|_| wrong())?, bias))
        })
        .collect()
}
