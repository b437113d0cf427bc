//! Rotary embeddings in GGUF metadata: the scaling of frequencies by a rule, or by divisors in a tensor.
//!
//! llama.cpp multiplies the rotated queries and keys by `rope.scaling.attn_factor`, and with YaRN by
//! `1 + 0.1 ln(factor)` too.

use gyrus_formats::gguf::Value;

use super::entries::Entries;
use crate::{Error, Result, Rope, RopeScaling};

/// The tensors with divisors of frequencies.
pub(super) const DIVISORS: &str = "rope_freqs.weight";
pub(super) const LONG: &str = "rope_factors_long.weight";
pub(super) const SHORT: &str = "rope_factors_short.weight";
/// The defaults of YaRN's paper.
const BETA_FAST: f64 = 32.0;
const BETA_SLOW: f64 = 1.0;

/// The rotary embedding of layers with full attention.
pub(super) fn read(
    entries: &Entries<'_>,
    head_width: usize,
    positions: usize,
    interleaved: bool,
) -> Result<Rope> {
    let theta = entries.number("rope.freq_base")?.unwrap_or(10_000.0);
    let dimensions = entries.optional_count("rope.dimension_count")?.unwrap_or(head_width);
    if theta <= 0.0 || dimensions == 0 || !dimensions.is_multiple_of(2) || dimensions > head_width {
        let got = format!("{dimensions} of {head_width} elements, base {theta}");
        let expected = "an even part of a head, and a base above 0";
        return Err(entries.error("rope.dimension_count", got, expected));
    }
    let scaling = scaling(entries, dimensions, positions)?;
    Ok(Rope { theta, dimensions, interleaved, scaling })
}

fn scaling(entries: &Entries<'_>, dimensions: usize, positions: usize) -> Result<RopeScaling> {
    let pairs = dimensions / 2;
    let given = match entries.nonzero("rope.scaling.factor")? {
        Some(factor) => Some(factor),
        // The name of old files.
        None => entries.nonzero("rope.scale_linear")?,
    };
    let factor = given.filter(|&factor| factor > 0.0).unwrap_or(1.0);
    let attention_factor = entries.nonzero("rope.scaling.attn_factor")?.unwrap_or(1.0);
    let original = entries.optional_count("rope.scaling.original_context_length")?;
    let original_positions = original.filter(|&original| original > 0).unwrap_or(positions);
    let kind = entries.text("rope.scaling.type")?;
    let yarn = yarn(entries, factor, original_positions, attention_factor)?;
    let divisors = |name: &str| divisors(entries, name, pairs);
    if let (Some(long), Some(short)) = (divisors(LONG)?, divisors(SHORT)?) {
        return Ok(RopeScaling::LongRope { short, long, original_positions, attention_factor });
    }
    // Divisors for every length; Llama 3's scaling is one.
    let constant = |divisors: Vec<f64>| RopeScaling::LongRope {
        long: divisors.clone(),
        short: divisors,
        original_positions: positions,
        attention_factor,
    };
    let linear = match kind {
        Some("none" | "longrope") => 1.0,
        None | Some("linear") => factor,
        Some("yarn") => match divisors(DIVISORS)? {
            None => return Ok(yarn),
            Some(_) => return Err(entries.error("rope.scaling.type", "'yarn' and divisors", "one of them")),
        },
        Some(other) => {
            let expected = "none, linear, yarn or longrope";
            return Err(entries.error("rope.scaling.type", format!("'{other}'"), expected));
        }
    };
    match divisors(DIVISORS)? {
        Some(divisors) => Ok(constant(divisors.into_iter().map(|divisor| divisor * linear).collect())),
        None if attention_factor != 1.0 => Ok(constant(vec![linear; pairs])),
        None if linear != 1.0 => Ok(RopeScaling::Linear { factor: linear }),
        None => Ok(RopeScaling::None),
    }
}

/// The divisors in a tensor, if there is one.
fn divisors(entries: &Entries<'_>, name: &str, pairs: usize) -> Result<Option<Vec<f64>>> {
    let Some(tensor) = entries.file.tensors.get(name) else { return Ok(None) };
    let wrong =
        |got: String| Error::tensor(&entries.file.path, name, got, format!("{pairs} numbers above 0"));
    if tensor.columns() != pairs || tensor.rows() != 1 {
        return Err(wrong(format!("the shape {:?}", tensor.shape())));
    }
    let divisors: Vec<f64> = tensor.floats().into_iter().map(f64::from).collect();
    match divisors.iter().find(|divisor| !divisor.is_finite() || **divisor <= 0.0) {
        Some(divisor) => Err(wrong(format!("the number {divisor}"))),
        None => Ok(Some(divisors)),
    }
}

/// What the entries say, if the scaling is YaRN.
fn yarn(
    entries: &Entries<'_>,
    factor: f64,
    original_positions: usize,
    attention: f64,
) -> Result<RopeScaling> {
    let number = |name: &str, default: f64| -> Result<f64> {
        Ok(entries.number(&format!("rope.scaling.yarn_{name}"))?.filter(|&n| n >= 0.0).unwrap_or(default))
    };
    let extrapolated = number("ext_factor", 1.0)?;
    if extrapolated != 0.0 && extrapolated != 1.0 {
        return Err(entries.error("rope.scaling.yarn_ext_factor", extrapolated.to_string(), "0 or 1"));
    }
    let own = number("attn_factor", 0.0)?;
    Ok(RopeScaling::Yarn {
        factor,
        original_positions,
        beta_fast: number("beta_fast", BETA_FAST)?,
        beta_slow: number("beta_slow", BETA_SLOW)?,
        truncate: true,
        // 1 is what writers put where there is nothing to say.
        attention_factor: if own == 0.0 || own == 1.0 { default_attention(factor) } else { own } * attention,
    })
}

/// The factor of the rotated queries and keys in YaRN's paper.
fn default_attention(factor: f64) -> f64 {
    if factor > 1.0 { 0.1 * factor.ln() + 1.0 } else { 1.0 }
}

/// The metadata of a rotary embedding.
///
/// # Errors
/// A description of what the format cannot express.
pub(super) fn entries(rope: &Rope) -> std::result::Result<Vec<(&'static str, Value)>, String> {
    let number = Value::Number;
    let text = |text: &str| Value::Text(text.to_owned());
    let integer = |value: usize| Value::Integer(value as i128);
    let theta = match rope.scaling {
        // A larger base, whatever the length.
        RopeScaling::Alpha { alpha } => {
            let dimensions = rope.dimensions as f64;
            rope.theta * alpha.powf(dimensions / (dimensions - 2.0).max(1.0))
        }
        _ => rope.theta,
    };
    let mut entries =
        vec![("rope.dimension_count", integer(rope.dimensions)), ("rope.freq_base", number(theta))];
    match &rope.scaling {
        RopeScaling::None | RopeScaling::Llama3 { .. } | RopeScaling::Alpha { .. } => {}
        RopeScaling::LongRope { short, long, original_positions, attention_factor } => {
            if short != long {
                entries.push(("rope.scaling.type", text("longrope")));
                entries.push(("rope.scaling.original_context_length", integer(*original_positions)));
            }
            if *attention_factor != 1.0 {
                entries.push(("rope.scaling.attn_factor", number(*attention_factor)));
            }
        }
        RopeScaling::Linear { factor } => {
            entries.push(("rope.scaling.type", text("linear")));
            entries.push(("rope.scaling.factor", number(*factor)));
        }
        RopeScaling::Yarn {
            factor,
            original_positions,
            beta_fast,
            beta_slow,
            truncate: true,
            attention_factor,
        } => {
            entries.push(("rope.scaling.type", text("yarn")));
            entries.push(("rope.scaling.factor", number(*factor)));
            entries.push(("rope.scaling.original_context_length", integer(*original_positions)));
            if *beta_fast != BETA_FAST {
                entries.push(("rope.scaling.yarn_beta_fast", number(*beta_fast)));
            }
            if *beta_slow != BETA_SLOW {
                entries.push(("rope.scaling.yarn_beta_slow", number(*beta_slow)));
            }
            let beyond = attention_factor / default_attention(*factor);
            if (beyond - 1.0).abs() > 1e-6 {
                entries.push(("rope.scaling.attn_factor", number(beyond)));
            }
        }
        other => return Err(format!("RoPE scaling {other:?}")),
    }
    Ok(entries)
}

/// Tensors of divisors of plain frequencies, if the scaling needs them.
pub(super) fn tensors(rope: &Rope) -> Vec<(&'static str, Vec<f32>)> {
    let floats = |divisors: &[f64]| divisors.iter().map(|&divisor| divisor as f32).collect();
    match &rope.scaling {
        RopeScaling::Llama3 { .. } => {
            let plain = Rope::plain(rope.theta, rope.dimensions).inverse_frequencies(0);
            let divisors = plain.into_iter().zip(rope.inverse_frequencies(0)).map(|(plain, own)| plain / own);
            vec![(DIVISORS, divisors.collect())]
        }
        RopeScaling::LongRope { short, long, .. } if short == long => vec![(DIVISORS, floats(short))],
        RopeScaling::LongRope { short, long, .. } => vec![(LONG, floats(long)), (SHORT, floats(short))],
        _ => Vec::new(),
    }
}
