//! What the page's script works on: pictures as PNG, signed maps as bytes.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{FeatureUnit, FeaturesReport, Link, SignedMap};
use crate::Picture;
use crate::sections::data_uri;

/// All units with their pictures and connections.
pub(super) fn data(report: &FeaturesReport<'_>) -> Value {
    let mut pool = Pool::default();
    let layers: Vec<Value> = (report.layers.iter())
        .map(|layer| {
            let units: Vec<Value> = layer.units.iter().map(|of| unit(of, &mut pool)).collect();
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
    json!({ "layers": layers, "trigger": trigger, "spikes": spikes, "pictures": pool.pictures })
}

/// Pictures of examples, each once: many units are excited by the same ones.
#[derive(Default)]
struct Pool<'a> {
    places: HashMap<&'a Picture, Option<usize>>,
    pictures: Vec<String>,
}

impl<'a> Pool<'a> {
    /// The number of a picture; none for one that cannot be shown.
    fn number(&mut self, picture: &'a Picture) -> Option<usize> {
        *self.places.entry(picture).or_insert_with(|| {
            self.pictures.push(data_uri(picture)?);
            Some(self.pictures.len() - 1)
        })
    }
}

fn unit<'a>(unit: &'a FeatureUnit, pool: &mut Pool<'a>) -> Value {
    let top: Vec<Value> = (unit.top.iter())
        .map(|top| json!([short(top.value), top.label, top.patch, pool.number(&top.picture)]))
        .collect();
    json!({
        "number": unit.number,
        "name": unit.name,
        "filter": unit.filter.as_ref().map(signed),
        "best": unit.best.as_ref().and_then(data_uri),
        "triggered": unit.triggered.as_ref().map(signed),
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

/// Four digits.
fn short(value: f64) -> Value {
    let digits = format!("{value:.3e}");
    json!(digits.parse::<f64>().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_excites_several_units_is_in_the_page_once() {
        let picture = |pixels: [u8; 4]| Picture { pixels: pixels.to_vec(), height: 2, width: 2, channels: 1 };
        let pictures = [picture([1, 2, 3, 4]), picture([5, 6, 7, 8]), picture([1, 2, 3, 4])];
        let broken = Picture { channels: 2, ..picture([0; 4]) };
        let mut pool = Pool::default();
        let numbers = pictures.each_ref().map(|picture| pool.number(picture));
        assert_eq!(numbers, [Some(0), Some(1), Some(0)]);
        assert_eq!(pool.number(&broken), None);
        assert_eq!(pool.pictures.len(), 2);
    }

    #[test]
    fn signed_values_keep_their_sign_and_scale() {
        let map = SignedMap { height: 1, width: 3, channels: 1, values: vec![-0.5, 0.0, 0.25] };
        assert_eq!(signed(&map), json!([1, 3, 1, 0.5, STANDARD.encode([129u8, 0, 64])]));
    }
}
