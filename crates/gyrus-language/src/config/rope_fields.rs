//! The rotary embeddings in `config.json`: one for all layers, or one for each kind of layer.

use serde_json::{Map, Value};

use super::Family;
use super::fields::Fields;
use crate::Result;
use crate::config::rope::{Rope, RopeScaling};

/// SmolLM3: which layers do not rotate.
pub(super) fn without_rope(fields: &Fields<'_>, layers: usize) -> Result<Vec<bool>> {
    let interval = fields.count_or("no_rope_layer_interval", 4)?;
    let Some(list) = fields.array("no_rope_layers")? else {
        return Ok((0..layers).map(|layer| (layer + 1).is_multiple_of(interval)).collect());
    };
    let flags: Option<Vec<bool>> = list.iter().map(|flag| flag.as_u64().map(|flag| flag == 0)).collect();
    flags.filter(|flags| flags.len() >= layers).ok_or_else(|| {
        let got = format!("{} values", list.len());
        fields.error("no_rope_layers", got, format!("0 or 1 for each of the {layers} layers"))
    })
}

/// Which rotary embedding a layer uses.
#[derive(Clone, Copy)]
pub(super) struct RopeOfLayer {
    full: usize,
    sliding: usize,
}

impl RopeOfLayer {
    pub(super) fn of(self, sliding: bool) -> usize {
        if sliding { self.sliding } else { self.full }
    }
}

/// The rotary embeddings, and which of them each layer uses.
pub(super) fn ropes(
    fields: &Fields<'_>,
    family: Family,
    (head_width, layers, maximum_positions): (usize, usize, usize),
) -> Result<(Vec<Rope>, Vec<Option<RopeOfLayer>>)> {
    let empty = Map::new();
    let parameters = fields.object("rope_parameters")?;
    let scaling = fields.object("rope_scaling")?;
    let partial = fields.optional_number("partial_rotary_factor")?;
    let default_theta = if family == Family::SmolLm3 { 2e6 } else { 1e4 };
    let default_partial = if family == Family::Glm4 { 0.5 } else { 1.0 };
    let common = Common {
        head_width,
        maximum_positions,
        original_positions: match family {
            Family::Phi3 => Some(fields.count_or("original_max_position_embeddings", 4096)?),
            _ => fields.optional_count("original_max_position_embeddings")?,
        },
        partial: partial.unwrap_or(default_partial),
        interleaved: family == Family::Glm4,
        family,
    };
    if family == Family::Gemma3 {
        let one = |kind: &str, map: Option<&Map<String, Value>>, field: &str, default: f64| -> Result<Rope> {
            let theta = fields.positive(field, Some(default))?;
            let given = match parameters.and_then(|parameters| parameters.get(kind)) {
                None | Some(Value::Null) => map.unwrap_or(&empty),
                Some(Value::Object(given)) => given,
                Some(_) => {
                    return Err(fields.error("rope_parameters", kind, "an object for each kind of layer"));
                }
            };
            common.rope(&fields.within(&format!("rope_parameters.{kind}."), given), theta)
        };
        let full = one("full_attention", scaling, "rope_theta", 1e6)?;
        let sliding = one("sliding_attention", None, "rope_local_base_freq", 1e4)?;
        return Ok((vec![full, sliding], vec![Some(RopeOfLayer { full: 0, sliding: 1 }); layers]));
    }
    let theta = fields.positive("rope_theta", Some(default_theta))?;
    let (prefix, given) = match (parameters, scaling) {
        (_, Some(scaling)) => ("rope_scaling.", scaling),
        (Some(parameters), None) => ("rope_parameters.", parameters),
        (None, None) => ("rope_parameters.", &empty),
    };
    let rope = common.rope(&fields.within(prefix, given), theta)?;
    let of_layer = RopeOfLayer { full: 0, sliding: 0 };
    let which = if family == Family::SmolLm3 {
        let without = without_rope(fields, layers)?;
        without[..layers].iter().map(|without| (!without).then_some(of_layer)).collect()
    } else {
        vec![Some(of_layer); layers]
    };
    Ok((vec![rope], which))
}

struct Common {
    head_width: usize,
    maximum_positions: usize,
    original_positions: Option<usize>,
    partial: f64,
    interleaved: bool,
    family: Family,
}

impl Common {
    fn rope(&self, fields: &Fields<'_>, theta: f64) -> Result<Rope> {
        let theta = fields.positive("rope_theta", Some(theta))?;
        let partial = fields.positive("partial_rotary_factor", Some(self.partial))?;
        let dimensions = (self.head_width as f64 * partial.min(1.0)) as usize;
        let kind = match (fields.text("rope_type")?, fields.text("type")?) {
            (Some(kind), _) | (None, Some(kind)) => kind,
            (None, None) => "default",
        };
        // Phi-3 was published with two other names for this.
        let kind =
            if self.family == Family::Phi3 && matches!(kind, "su" | "yarn") { "longrope" } else { kind };
        let original = |fields: &Fields<'_>| -> Result<usize> {
            let given = fields.optional_count("original_max_position_embeddings")?;
            Ok(self.original_positions.or(given).unwrap_or(self.maximum_positions))
        };
        let factor = |fields: &Fields<'_>| fields.positive("factor", None);
        let scaling = match kind {
            "default" => RopeScaling::None,
            "linear" => RopeScaling::Linear { factor: factor(fields)? },
            "dynamic" => match fields.optional_number("alpha")?.filter(|&alpha| alpha != 0.0) {
                Some(alpha) if self.family == Family::HunYuanDense && alpha > 0.0 => {
                    RopeScaling::Alpha { alpha }
                }
                Some(alpha) => {
                    return Err(fields.error(
                        "alpha",
                        alpha.to_string(),
                        "a number above 0, in a HunYuan model",
                    ));
                }
                None => RopeScaling::Dynamic {
                    factor: factor(fields)?,
                    original_positions: self.maximum_positions,
                },
            },
            "yarn" => self.yarn(fields, original(fields)?)?,
            "llama3" => RopeScaling::Llama3 {
                factor: factor(fields)?,
                low: fields.positive("low_freq_factor", None)?,
                high: fields.positive("high_freq_factor", None)?,
                original_positions: original(fields)?,
            },
            "longrope" => {
                let original_positions = original(fields)?;
                let longer = self.maximum_positions as f64 / original_positions as f64;
                let factor = fields.positive("factor", Some(longer))?;
                let default = if factor <= 1.0 {
                    1.0
                } else {
                    (1.0 + factor.ln() / (original_positions as f64).ln()).sqrt()
                };
                RopeScaling::LongRope {
                    short: fields.numbers("short_factor", dimensions / 2)?,
                    long: fields.numbers("long_factor", dimensions / 2)?,
                    original_positions,
                    attention_factor: fields.positive("attention_factor", Some(default))?,
                }
            }
            other => {
                let expected = "default, linear, dynamic, yarn, llama3 or longrope";
                return Err(fields.error("rope_type", format!("'{other}'"), expected));
            }
        };
        // Published files have these beside kinds that do not use them.
        let unused = ["factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim"];
        let unused = ["original_max_position_embeddings", "alpha"].iter().chain(&unused).copied();
        let inert: Vec<&str> =
            if matches!(scaling, RopeScaling::Yarn { .. }) { Vec::new() } else { unused.collect() };
        fields.finish(&inert)?;
        Ok(Rope { theta, dimensions, interleaved: self.interleaved, scaling })
    }

    fn yarn(&self, fields: &Fields<'_>, original_positions: usize) -> Result<RopeScaling> {
        let longer = self.maximum_positions as f64 / original_positions as f64;
        let factor = fields.positive("factor", Some(longer))?;
        let scale = |strength: f64| if factor <= 1.0 { 1.0 } else { 0.1 * strength * factor.ln() + 1.0 };
        let default = match (fields.optional_number("mscale")?, fields.optional_number("mscale_all_dim")?) {
            (Some(one), Some(all)) if one != 0.0 && all != 0.0 => scale(one) / scale(all),
            _ => scale(1.0),
        };
        Ok(RopeScaling::Yarn {
            factor,
            original_positions,
            beta_fast: fields.positive("beta_fast", Some(32.0))?,
            beta_slow: fields.positive("beta_slow", Some(1.0))?,
            truncate: fields.flag("truncate", true)?,
            attention_factor: fields.positive("attention_factor", Some(default))?,
        })
    }
}

impl<'a> Fields<'a> {
    fn within(&self, prefix: &str, map: &'a Map<String, Value>) -> Fields<'a> {
        Fields::new(self.path(), prefix, map)
    }
}
