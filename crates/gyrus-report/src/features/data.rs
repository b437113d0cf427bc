//! What the page's script works on: pictures as PNG, signed maps as bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{FeatureUnit, FeaturesReport, Link, SignedMap, TopExample};
use crate::Picture;
use crate::sections::data_uri;

/// All units with their pictures and connections.
pub(super) fn data(report: &FeaturesReport<'_>) -> Value {
    let layers: Vec<Value> = (report.layers.iter())
        .map(|layer| {
            let units: Vec<Value> = layer.units.iter().map(unit).collect();
            json!({ "name": layer.name, "units": units })
        })
        .collect();
    let trigger = if report.is_spiking { "spike-triggered average" } else { "activation-triggered average" };
    let spikes: Vec<Value> = (report.spikes.iter().flat_map(|spikes| &spikes.layers))
        .map(|layer| {
            let most = layer.counts.iter().copied().max().unwrap_or(0).max(1);
            let bytes: Vec<u8> = layer.counts.iter().map(|count| (count * 255 / most) as u8).collect();
            json!([layer.height, layer.width, layer.steps, STANDARD.encode(bytes)])
        })
        .collect();
    json!({ "layers": layers, "trigger": trigger, "spikes": spikes })
}

fn unit(unit: &FeatureUnit) -> Value {
    let top: Vec<Value> =
        unit.top.iter().map(|top| json!([short(top.value), top.label, top.patch])).collect();
    json!({
        "number": unit.number,
        "name": unit.name,
        "filter": unit.filter.as_ref().map(signed),
        "best": unit.best.as_ref().and_then(data_uri),
        "triggered": unit.triggered.as_ref().map(signed),
        "strip": strip(&unit.top).as_ref().and_then(data_uri),
        "top": top,
        "facts": unit.facts,
        "below": unit.below.iter().map(link).collect::<Vec<_>>(),
        "above": unit.above.iter().map(link).collect::<Vec<_>>(),
    })
}

fn link(link: &Link) -> Value {
    json!([link.layer, link.unit, short(link.sum.into()), short(link.norm.into()), signed(&link.weights)])
}

/// Rows, columns, channels, the largest size of a value, and the values from -127 to 127 as bytes.
fn signed(map: &SignedMap) -> Value {
    let largest = map.values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let byte = |value: &f32| if largest > 0.0 { (value / largest * 127.0).round() as i8 as u8 } else { 0 };
    let bytes: Vec<u8> = map.values.iter().map(byte).collect();
    json!([map.height, map.width, map.channels, short(largest.into()), STANDARD.encode(bytes)])
}

/// Pictures of one size side by side.
fn strip(top: &[TopExample]) -> Option<Picture> {
    let first = &top.first()?.picture;
    let (height, width, channels) = (first.height, first.width, first.channels);
    let row = width * channels;
    if top.iter().any(|top| top.picture.pixels.len() != height * row) {
        return None;
    }
    let pixels = (0..height).flat_map(|y| top.iter().map(move |top| &top.picture.pixels[y * row..][..row]));
    Some(Picture { pixels: pixels.collect::<Vec<_>>().concat(), height, width: width * top.len(), channels })
}

/// Four digits.
fn short(value: f64) -> Value {
    let digits = format!("{value:.3e}");
    json!(digits.parse::<f64>().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strip_holds_its_pictures_side_by_side() {
        let top = |pixels: [u8; 4]| TopExample {
            picture: Picture { pixels: pixels.to_vec(), height: 2, width: 2, channels: 1 },
            patch: None,
            value: 1.0,
            label: String::new(),
        };
        let strip = strip(&[top([1, 2, 3, 4]), top([5, 6, 7, 8])]).expect("one size");
        assert_eq!(strip.pixels, [1, 2, 5, 6, 3, 4, 7, 8]);
        assert_eq!((strip.height, strip.width), (2, 4));
    }

    #[test]
    fn signed_values_keep_their_sign_and_scale() {
        let map = SignedMap { height: 1, width: 3, channels: 1, values: vec![-0.5, 0.0, 0.25] };
        assert_eq!(signed(&map), json!([1, 3, 1, 0.5, STANDARD.encode([129u8, 0, 64])]));
    }
}
