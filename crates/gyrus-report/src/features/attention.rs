//! Where a transformer looks: the map of each head of each block, and which learned positions are alike.

use std::fmt::Write;

use gyrus_blueprint::escaped;

use super::{AttentionMaps, FeaturesReport, SignedMap};
use crate::Picture;
use crate::sections::data_uri;

pub(super) fn attention(report: &FeaturesReport<'_>) -> String {
    let Some(attention) = &report.attention else { return String::new() };
    let mut html = format!(
        "<p class=\"intro\">For {}: what each head of each block gives to each patch, brighter for more; from the token that \
         answers, or on average over all patches where there is none. Below each map: how far a token looks on average over all \
         tokens, in patches.</p>",
        escaped(&attention.title)
    );
    if let Some(source) = data_uri(&attention.picture) {
        let _ = write!(
            html,
            "<div class=\"maps-row\"><figure><img src=\"{source}\" alt=\"what the network saw\"><figcaption>input</figcaption>\
             </figure></div>"
        );
    }
    for (name, heads) in &attention.layers {
        let _ = write!(html, "<h3 class=\"layer\">{}</h3><div class=\"grid-of-units\">", escaped(name));
        for (number, head) in heads.iter().enumerate() {
            if let Some(source) = data_uri(&bright(&head.map)) {
                let _ = write!(
                    html,
                    "<figure class=\"unit\"><img src=\"{source}\" alt=\"head {number} of {}\"><span>{number} · {:.1}</span></figure>",
                    escaped(name),
                    head.distance
                );
            }
        }
        html.push_str("</div>");
    }
    html + &positions(attention)
}

fn positions(attention: &AttentionMaps) -> String {
    let Some(montage) = &attention.positions else { return String::new() };
    let Some(source) = data_uri(&montage.picture()) else { return String::new() };
    format!(
        "<h3 class=\"layer\">Learned positions <small>{} by {} patches</small></h3><p class=\"intro\">Each small square stands at \
         the place of one patch and shows how alike its learned position is to that of every patch, white for the same. Where \
         neighbors are bright, the network has learned the picture's plane from examples alone.</p>\
         <figure class=\"positions sharp\"><img src=\"{source}\" alt=\"similarity of learned positions\"></figure>",
        montage.height, montage.width
    )
}

/// Black for 0, white for the largest value.
fn bright(map: &SignedMap) -> Picture {
    let largest = map.values.iter().copied().fold(1e-30f32, f32::max);
    let pixels = map.values.iter().map(|value| (255.0 * value / largest).round().clamp(0.0, 255.0) as u8);
    Picture { pixels: pixels.collect(), height: map.height, width: map.width, channels: 1 }
}

/// How alike the positions of the patches are: `[height, width, height, width]`, cosines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PositionSimilarity {
    /// Rows of patches.
    pub height: usize,
    /// Columns of patches.
    pub width: usize,
    /// Cosines.
    pub values: Vec<f32>,
}

impl PositionSimilarity {
    /// All maps, each at the place of its patch, with a line between them.
    fn picture(&self) -> Picture {
        let (height, width) = (self.height, self.width);
        let (rows, columns) = (height * (height + 1), width * (width + 1));
        let mut pixels = vec![96u8; rows * columns];
        for (patch, map) in self.values.chunks_exact((height * width).max(1)).enumerate() {
            let (top, left) = (patch / width * (height + 1), patch % width * (width + 1));
            for (at, value) in map.iter().enumerate() {
                let place = (top + at / width) * columns + left + at % width;
                pixels[place] = (127.5 + 127.5 * value).round().clamp(0.0, 255.0) as u8;
            }
        }
        Picture { pixels, height: rows, width: columns, channels: 1 }
    }
}
