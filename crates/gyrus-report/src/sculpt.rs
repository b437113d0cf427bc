//! The page of a solid: turning under the pointer, still pictures for browsers without WebGL, and its quality sheet.

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gyrus_blueprint::escaped;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::page::{Facts, STYLE, begin_page_with, end_page, facts, provenance, section};

const SCRIPT: &str = include_str!("sculpt.js");
const OWN_STYLE: &str = include_str!("sculpt.css");

/// What the page shows.
#[derive(Debug, Clone, Default)]
pub struct SculptReport<'a> {
    /// The name of the object.
    pub name: &'a str,
    /// What it was made from.
    pub kind: &'a str,
    /// The result in large letters, and what it is.
    pub headline: (String, &'a str),
    /// Other numbers, with their names first.
    pub facts: Facts<'a>,
    /// The solid.
    pub solid: Solid<'a>,
    /// Views from around it, as PNG.
    pub turntable: &'a [u8],
    /// Pictures beside each other, as PNG, each with what it is: the input, silhouettes.
    pub pictures: Vec<(&'a str, Vec<u8>)>,
    /// The quality sheet.
    pub quality: Facts<'a>,
    /// What a person should know, one sentence each.
    pub notes: &'a [String],
    /// Settings, in groups with a title.
    pub provenance: Vec<(&'a str, Facts<'a>)>,
}

/// Triangles with colors, y up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Solid<'a> {
    /// Position of each vertex.
    pub positions: &'a [[f32; 3]],
    /// Vertices of each face.
    pub faces: &'a [[u32; 3]],
    /// Color of each vertex, 0 to 1; may be empty.
    pub colors: &'a [[f32; 3]],
}

impl SculptReport<'_> {
    /// The whole page.
    #[must_use]
    pub fn to_html(&self) -> String {
        let hash = STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()));
        let policy = format!("; script-src 'sha256-{hash}'");
        let title = format!("{} · gyrus sculpt", self.name);
        let mut page = begin_page_with(&title, &policy, &[STYLE, OWN_STYLE]);
        let _ = write!(
            page,
            "<header><p class=\"overline\">Gyrus sculpt</p>\n<h1>{}</h1>\n<p class=\"lead\">{}</p></header>\n\
             <section class=\"stage\"><canvas id=\"solid\" tabindex=\"0\" role=\"img\" aria-label=\"the object; drag or use the arrow keys to turn it\" hidden></canvas>\n\
             <figure id=\"still\"><img src=\"{}\" alt=\"eight views from around the object\"></figure>\n\
             <p class=\"note\" id=\"hint\" hidden>Drag to turn, scroll or pinch to come closer, arrow keys work too.</p></section>\n\
             <section class=\"headline\"><div class=\"hero\"><p class=\"value\">{}</p><p class=\"label\">{}</p></div>\n{}</section>\n",
            escaped(self.name),
            escaped(self.kind),
            image(self.turntable),
            escaped(&self.headline.0),
            escaped(self.headline.1),
            facts(&self.facts),
        );
        let notes: String =
            self.notes.iter().map(|note| format!("<p class=\"note\">{}</p>", escaped(note))).collect();
        page.push_str(&notes);
        let figure = |(name, png): &(&str, Vec<u8>)| {
            format!(
                "<figure><img src=\"{}\" alt=\"\"><figcaption>{}</figcaption></figure>",
                image(png),
                escaped(name)
            )
        };
        let pictures: String = self.pictures.iter().map(figure).collect();
        if !pictures.is_empty() {
            section(
                &mut page,
                "views",
                "From the input's view",
                &format!("<div class=\"views\">{pictures}</div>"),
            );
        }
        let still =
            format!("<figure class=\"turntable\"><img src=\"{}\" alt=\"\"></figure>", image(self.turntable));
        section(&mut page, "turntable", "From all sides", &still);
        section(&mut page, "quality", "Quality sheet", &provenance(&[("", self.quality.clone())]));
        section(&mut page, "provenance", "Provenance", &provenance(&self.provenance));
        let _ = write!(
            page,
            "<script type=\"application/json\" id=\"data\">{}</script>\n<script>{SCRIPT}</script>\n",
            self.data()
        );
        end_page(page)
    }

    /// Positions as 16-bit numbers within their bounds, faces and colors, each as base64.
    fn data(&self) -> serde_json::Value {
        let (mut low, mut high) = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
        for position in self.solid.positions {
            for axis in 0..3 {
                low[axis] = low[axis].min(position[axis]);
                high[axis] = high[axis].max(position[axis]);
            }
        }
        let size = (0..3).map(|axis| high[axis] - low[axis]).fold(f32::MIN_POSITIVE, f32::max);
        let quantized = self.solid.positions.iter().flat_map(|position| {
            [0, 1, 2].map(|axis| ((position[axis] - low[axis]) / size * 65_535.0).round() as u16)
        });
        let positions: Vec<u8> = quantized.flat_map(u16::to_le_bytes).collect();
        let faces: Vec<u8> =
            self.solid.faces.iter().flatten().flat_map(|vertex| vertex.to_le_bytes()).collect();
        let colors: Vec<u8> = self
            .solid
            .colors
            .iter()
            .flatten()
            .map(|part| (part.clamp(0.0, 1.0) * 255.0).round() as u8)
            .collect();
        let extent = [0, 1, 2].map(|axis| (high[axis] - low[axis]) / size);
        json!({
            "extent": extent,
            "positions": STANDARD.encode(positions),
            "faces": STANDARD.encode(faces),
            "colors": STANDARD.encode(colors),
        })
    }
}

fn image(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_one_file_whose_policy_names_its_script_and_escapes_names() {
        let positions = [[0.0; 3], [2.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
        let solid = Solid { positions: &positions, faces: &[[0, 1, 2]], colors: &[] };
        let page = SculptReport { name: "<b>chair", solid, turntable: &[1, 2, 3], ..SculptReport::default() }
            .to_html();
        assert!(page.contains("&lt;b&gt;chair") && !page.contains("<b>chair"));
        let hash = STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()));
        assert!(page.contains(&format!("script-src 'sha256-{hash}'")));
        assert!(!page.contains("http://") && !page.contains("https://"));
        let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["extent"], json!([1.0, 0.5, 0.0]));
        let bytes = STANDARD.decode(data["positions"].as_str().unwrap()).unwrap();
        assert_eq!((bytes.len(), bytes[6], bytes[7]), (18, 255, 255));
    }
}
