//! The page of a language model's inspection: the input by surprise, the attention maps, the logit lens.
//!
//! This is the only page with a script, which lets it respond to pointer and keyboard. The page's policy allows this script by
//! its SHA-256 hash and no other. Everything from outside is in the page as escaped text and as JSON that is never executed.

mod lens;

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gyrus_blueprint::{escaped, is_direction_override};
use image::ImageEncoder as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::html::shortened;
use crate::page::{Facts, STYLE, SWIPE, begin_page_with, end_page, facts, provenance, section};

const SCRIPT: &str = include_str!("inspection.js");
pub(crate) const OWN_STYLE: &str = include_str!("inspection.css");
/// The most characters of a token that are shown.
const LETTERS: usize = 40;
/// Bits of surprise at which a token has the full color.
const SURPRISING_BITS: f64 = 12.0;

/// What the page shows.
pub struct InspectionReport<'a> {
    /// The name of the model.
    pub name: &'a str,
    /// What kind of model it is.
    pub kind: &'a str,
    /// The result in large letters, and what it is.
    pub headline: (String, &'a str),
    /// Other numbers, with their names first.
    pub facts: Facts<'a>,
    /// The input.
    pub tokens: Vec<InspectedToken<'a>>,
    /// Whether the model predicts the next token, as decoders do.
    pub predicts: bool,
    /// Number of layers, and of heads per layer.
    pub layers_and_heads: (usize, usize),
    /// The attention map of (layer, head): `[tokens, tokens]` probabilities.
    pub map: &'a dyn Fn(usize, usize) -> &'a [f32],
    /// Attention patterns, with the heads that follow them most closely.
    pub patterns: Vec<HeadPattern<'a>>,
    /// Settings, with their names first.
    pub settings: Facts<'a>,
}

/// A token of the input. What only decoders have is empty for an encoder.
#[derive(Debug, Clone, Default)]
pub struct InspectedToken<'a> {
    /// The token's text.
    pub text: &'a str,
    /// Whether it is a special token rather than text.
    pub is_special: bool,
    /// Surprise in bits, probability and rank, given the tokens before it; none for the first token.
    pub surprise: Option<(f64, f64, usize)>,
    /// The most probable next tokens, with their probabilities.
    pub next: Vec<(&'a str, f64)>,
    /// The logit lens after 0, 1, 2, ... layers.
    pub lens: Vec<LensCell<'a>>,
}

/// The logit lens at one token and layer: the residual stream, decoded by the model's head.
#[derive(Debug, Clone)]
pub struct LensCell<'a> {
    /// The most probable tokens.
    pub top: Vec<(&'a str, f64)>,
    /// The probability of the model's answer, the most probable token after the last layer.
    pub answer_probability: f64,
    /// The rank of the actual next token.
    pub next_rank: Option<usize>,
}

/// An attention pattern and the heads that follow it most closely.
#[derive(Debug, Clone)]
pub struct HeadPattern<'a> {
    /// What heads of this pattern do.
    pub description: &'a str,
    /// Layer, head and share of attention, highest first.
    pub heads: Vec<(usize, usize, f64)>,
}

impl InspectionReport<'_> {
    /// The whole page.
    #[must_use]
    pub fn to_html(&self) -> String {
        let hash = STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()));
        let title = format!("{} · gyrus see", self.name);
        let policy = format!("; script-src 'sha256-{hash}'");
        let mut page = begin_page_with(&title, &policy, &[STYLE, OWN_STYLE]);
        let _ = write!(
            page,
            "<header><p class=\"overline\">Gyrus see</p>\n<h1>{}</h1>\n<p class=\"lead\">{}</p></header>\n\
             <section class=\"headline\"><div class=\"hero\"><p class=\"value\">{}</p><p class=\"label\">{}</p></div>\n\
             {}</section>\n",
            escaped(self.name),
            escaped(self.kind),
            escaped(&self.headline.0),
            escaped(self.headline.1),
            facts(&self.facts),
        );
        section(&mut page, "text", "Input and surprise", &text(self));
        section(&mut page, "attention", "Attention maps", &attention(self));
        if self.predicts {
            section(&mut page, "lens", "Logit lens", &lens::lens(self));
        }
        let settings = provenance(&[("", self.settings.clone())]);
        section(&mut page, "provenance", "Provenance", &settings);
        // In JSON, only strings contain this character, which could end the element.
        let data = data(self).to_string().replace('<', "\\u003c");
        let _ = write!(
            page,
            "<script type=\"application/json\" id=\"data\">{data}</script>\n<script>{SCRIPT}</script>\n"
        );
        end_page(page)
    }
}

/// A token made visible: signs for line ends and for tokens of blanks alone, no characters that change the direction.
fn visible(text: &str) -> String {
    if text.is_empty() {
        return "∅".to_owned();
    }
    let blank = text.chars().all(|letter| letter == ' ');
    let letter = |letter: char| match letter {
        ' ' if blank => '␣',
        '\n' => '↵',
        '\t' => '⇥',
        letter if letter.is_control() || is_direction_override(letter) => '\u{fffd}',
        letter => letter,
    };
    shortened(&text.chars().map(letter).collect::<String>(), LETTERS)
}

fn text(report: &InspectionReport<'_>) -> String {
    let mut tokens =
        String::from("<div class=\"tokens\" role=\"group\" aria-label=\"the tokens of the input\">");
    for (index, token) in report.tokens.iter().enumerate() {
        let (heat, title) = match token.surprise {
            None => (0.0, format!("token {index}")),
            Some((bits, probability, rank)) => (
                75.0 * (bits / SURPRISING_BITS).clamp(0.0, 1.0),
                format!("token {index}: {bits:.1} bits, probability {}, rank {rank}", share(probability)),
            ),
        };
        let _ = write!(
            tokens,
            "<button type=\"button\" class=\"token{}\" style=\"--heat:{heat:.0}%\" title=\"{}\">{}</button>",
            if token.is_special { " mark" } else { "" },
            escaped(&title),
            escaped(&visible(token.text)),
        );
        if token.text.ends_with('\n') {
            tokens.push_str("<br>");
        }
    }
    if !report.predicts {
        let intro =
            "<p class=\"intro\">Select a token to see what it attends to in the enlarged map below.</p>";
        return format!("{intro}{tokens}</div>");
    }
    tokens.push_str("<button type=\"button\" class=\"token end\">next</button></div>");
    let mut panel = String::from("<h3>Expected after the whole input</h3><ol class=\"bars\">");
    for (text, probability) in report.tokens.last().map_or(&[][..], |token| &token.next) {
        let _ = write!(
            panel,
            "<li style=\"--share:{:.2}%\"><span class=\"name\">{}</span><span class=\"share\">{}</span></li>",
            probability * 100.0,
            escaped(&visible(text)),
            share(*probability),
        );
    }
    format!(
        "<p class=\"intro\">The color of a token shows how much it surprised the model, in bits: 1 bit is a coin toss, 10 bits are \
         one in a thousand. Select a token to see what the model expected in its place, and what it attends to in the enlarged \
         map below.</p>\
         <div class=\"beside\"><div>{tokens}<p class=\"scale\">expected <i></i> {SURPRISING_BITS} bits and more</p></div>\
         <div class=\"panel\" id=\"expected\" aria-live=\"polite\">{panel}</ol></div></div>"
    )
}

fn attention(report: &InspectionReport<'_>) -> String {
    let (layers, heads) = report.layers_and_heads;
    let reach = if report.predicts { "itself and the tokens before it" } else { "all tokens of the input" };
    let mut html = format!(
        "<p class=\"intro\">In each head, every token (row) divides its attention among {reach} (columns); a row sums to 1. \
         <span class=\"on-light\">Darker</span><span class=\"on-dark\">Brighter</span> \
         means more attention. Layers and heads count from 0, as in the names of the tensors. Select a map to enlarge it; its \
         values are read from the image, with an error of at most 0.4 percentage points.</p>"
    );
    if !report.patterns.is_empty() {
        html.push_str("<div class=\"scroll\"><table class=\"habits\"><tbody>");
        for pattern in &report.patterns {
            let _ = write!(html, "<tr><th scope=\"row\">{}</th><td>", escaped(pattern.description));
            for &(layer, head, score) in &pattern.heads {
                let _ = write!(
                    html,
                    "<button type=\"button\" class=\"go\" data-map=\"{}\">layer {layer}, head {head}: {score:.2}</button>",
                    layer * heads + head,
                );
            }
            html.push_str("</td></tr>");
        }
        html.push_str("</tbody></table></div>");
    }
    // As many maps side by side as fit on the page, neither too small to see nor needlessly large.
    let side = (950 / heads.max(1)).saturating_sub(6).clamp(36, 112);
    let sharp = if report.tokens.len() <= side { " sharp" } else { "" };
    let _ = write!(
        html,
        "{SWIPE}<div class=\"scroll\"><table class=\"maps{sharp}\" style=\"--side:{side}px\"><thead><tr><th></th>"
    );
    for head in 0..heads {
        let _ = write!(html, "<th scope=\"col\">{head}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    for layer in 0..layers {
        let _ = write!(html, "<tr><th scope=\"row\">layer {layer}</th>");
        for head in 0..heads {
            let habits: Vec<String> = (report.patterns.iter())
                .filter_map(|pattern| {
                    let found = pattern.heads.iter().find(|(l, h, _)| (*l, *h) == (layer, head))?;
                    Some(format!("{}: {:.2}", pattern.description, found.2))
                })
                .collect();
            let source = map_image((report.map)(layer, head), report.tokens.len()).unwrap_or_default();
            let _ = write!(
                html,
                "<td><button type=\"button\" class=\"map\" title=\"{}\"><img src=\"{source}\" alt=\"layer {layer}, \
                 head {head}\"></button></td>",
                escaped(&habits.join("; ")),
            );
        }
        html.push_str("</tr>");
    }
    html.push_str(
        "</tbody></table></div>\n<figure id=\"large\" hidden><figcaption></figcaption><div class=\"beside\"><div>\
         <canvas tabindex=\"0\" role=\"img\" aria-label=\"the selected map; move through it with the arrow keys\"></canvas></div>\
         <div class=\"panel\"><p id=\"cell\" aria-live=\"polite\"></p><div id=\"looks\"></div></div></div></figure>",
    );
    html
}

/// A map as an image: black, with the square root of each probability as its opacity, so that small ones are visible.
fn map_image(map: &[f32], tokens: usize) -> Option<String> {
    let shades =
        map.iter().flat_map(|probability| [0, (probability.clamp(0.0, 1.0).sqrt() * 255.0).round() as u8]);
    let pixels: Vec<u8> = shades.collect();
    let side = u32::try_from(tokens).ok()?;
    if side == 0 || pixels.len() != 2 * tokens * tokens {
        return None;
    }
    let mut png = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    encoder.write_image(&pixels, side, side, image::ExtendedColorType::La8).ok()?;
    Some(format!("data:image/png;base64,{}", STANDARD.encode(png)))
}

/// A probability with a few digits, however small.
fn share(probability: f64) -> String {
    match probability * 100.0 {
        value if value >= 10.0 => format!("{value:.0} %"),
        value if value >= 0.095 => format!("{value:.1} %"),
        value => format!("{value:.1e} %"),
    }
}

/// The script's data: each text once, and numbers with few digits.
fn data(report: &InspectionReport<'_>) -> Value {
    let (mut texts, mut places) = (Vec::new(), BTreeMap::new());
    let mut index = |text: &str| {
        let text = visible(text);
        *places.entry(text.clone()).or_insert_with(|| {
            texts.push(text);
            texts.len() - 1
        })
    };
    let short = |value: f64| {
        let digits = format!("{value:.3e}");
        json!(digits.parse::<f64>().unwrap_or(value))
    };
    let mut pairs = |list: &[(&str, f64)]| -> Value {
        list.iter().map(|(text, probability)| json!([index(text), short(*probability)])).collect()
    };
    let next: Vec<Value> = report.tokens.iter().map(|token| pairs(&token.next)).collect();
    let layers = if report.predicts { report.layers_and_heads.0 + 1 } else { 0 };
    let lens: Vec<Value> = (0..layers)
        .map(|layer| {
            let cells = report.tokens.iter().filter_map(|token| token.lens.get(layer));
            cells
                .map(|cell| json!([pairs(&cell.top), short(cell.answer_probability), cell.next_rank]))
                .collect()
        })
        .collect();
    let tokens: Vec<usize> = report.tokens.iter().map(|token| index(token.text)).collect();
    let of = |value: &dyn Fn((f64, f64, usize)) -> Value| -> Value {
        report.tokens.iter().map(|token| token.surprise.map(value)).collect()
    };
    let first = report.patterns.first().and_then(|pattern| pattern.heads.first());
    json!({
        "tokens": tokens,
        "surprisal": of(&|surprise| short(surprise.0)),
        "probability": of(&|surprise| short(surprise.1)),
        "rank": of(&|surprise| json!(surprise.2)),
        "next": report.predicts.then_some(next),
        "lens": lens,
        "heads": report.layers_and_heads.1,
        "first": first.map_or(0, |(layer, head, _)| layer * report.layers_and_heads.1 + head),
        "texts": texts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page of these tokens in a model of one layer and two heads.
    fn page(tokens: &[&str]) -> String {
        let map = vec![1.0 / tokens.len() as f32; tokens.len() * tokens.len()];
        let lens = |text| LensCell { top: vec![(text, 0.75)], answer_probability: 0.5, next_rank: Some(2) };
        let token = |text| InspectedToken {
            text,
            is_special: false,
            surprise: Some((3.0, 0.125, 4)),
            next: vec![(text, 0.75)],
            lens: vec![lens(text), lens(text)],
        };
        InspectionReport {
            name: tokens[0],
            kind: tokens[0],
            headline: (tokens[0].to_owned(), "perplexity"),
            facts: vec![("tokens", tokens[0].to_owned())],
            tokens: tokens.iter().map(|text| token(text)).collect(),
            predicts: true,
            layers_and_heads: (1, 2),
            map: &|_, _| {
                // The maps must live as long as the report's data.
                Box::leak(map.clone().into_boxed_slice())
            },
            patterns: vec![HeadPattern {
                description: "attend to the previous token",
                heads: vec![(0, 1, 0.5)],
            }],
            settings: vec![("model", tokens[0].to_owned())],
        }
        .to_html()
    }

    #[test]
    fn hostile_tokens_stay_text() {
        let hostile = "</script><script>alert(1)</script><img src=x onerror='a'>\"\u{202e}";
        let page = page(&[hostile, "ok"]);
        assert_eq!(page.matches("<script").count(), 2, "the page's data and its script");
        assert!(!page.contains("<img src=x") && !page.contains('\u{202e}'));
        assert_eq!(page.matches("</script>").count(), 2);
        let start = page.find("id=\"data\">").unwrap() + 10;
        let data: Value =
            serde_json::from_str(&page[start..start + page[start..].find("</script>").unwrap()]).unwrap();
        assert!(data["texts"][0].as_str().unwrap().starts_with("</script><script>alert(1)"));
    }

    #[test]
    fn the_policy_allows_the_pages_own_script_alone_and_no_network() {
        let page = page(&["a", "b"]);
        let start = page.find("<script>").unwrap() + 8;
        let script = &page[start..start + page[start..].find("</script>").unwrap()];
        let hash = STANDARD.encode(Sha256::digest(script.as_bytes()));
        assert!(page.contains(&format!(
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{hash}'\""
        )));
        assert!(!page.contains("http://") && !page.contains("https://"));
    }

    #[test]
    fn tokens_are_made_visible() {
        assert_eq!([visible("\n\n"), visible("  "), visible(" a")], ["↵↵", "␣␣", " a"]);
        assert_eq!([visible(""), visible("a\u{7}")], ["∅", "a\u{fffd}"]);
        assert_eq!(visible(&"x".repeat(99)).chars().count(), LETTERS);
        assert_eq!([share(0.5), share(0.0123), share(1e-7)], ["50 %", "1.2 %", "1.0e-5 %"]);
    }

    #[test]
    fn an_image_holds_the_root_of_each_probability() {
        let uri = map_image(&[1.0, 0.0, 0.25, 0.75], 2).unwrap();
        let png = STANDARD.decode(uri.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        let pixels = image::load_from_memory(&png).unwrap().into_luma_alpha8();
        let alpha: Vec<u8> = pixels.pixels().map(|pixel| pixel.0[1]).collect();
        assert_eq!(alpha, [255, 0, 128, 221]);
        assert_eq!(map_image(&[1.0], 2), None);
    }
}
