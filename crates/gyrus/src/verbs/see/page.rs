//! The page of `see`: what was seen, as plain data for its rendering.

use std::path::Path;

use gyrus_language::inspection::{Candidate, Inspection, Predictions};
use gyrus_report::{HeadPattern, InspectedToken, InspectionReport, LensCell, grouped};

use super::{Habit, Kind, habits};
use crate::verbs::counted;

/// The page.
pub(super) fn page<'a>(model: &Path, kind: &Kind, look: &'a Inspection) -> String {
    let seen = &look.observation;
    let predictions = look.predictions.as_ref();
    let heads =
        format!("{} of {}", counted(seen.layers() as u64, "layer"), counted(seen.heads() as u64, "head"));
    let headline = match predictions.and_then(Predictions::perplexity) {
        Some(perplexity) => (format!("{perplexity:.1}"), "perplexity of the input"),
        None => (look.tokens.len().to_string(), "tokens"),
    };
    let mut facts =
        vec![("layers", seen.layers().to_string()), ("heads per layer", seen.heads().to_string())];
    if let Some(predictions) = predictions {
        facts.insert(0, ("tokens", look.tokens.len().to_string()));
        if let Some(bits) = predictions.mean_surprisal_bits() {
            facts.push(("bits per token", format!("{bits:.2}")));
        }
        let first = predictions.places.iter().filter(|place| place.rank == Some(1)).count();
        facts.push((
            "predicted correctly",
            format!("{first} of {}", predictions.places.len().saturating_sub(1)),
        ));
    }
    facts.push(("vocabulary", grouped(kind.vocabulary as u128)));
    let pairs = |candidates: &[Candidate]| -> Vec<(&'a str, f64)> {
        let text = |token| predictions.map_or("", |predictions| predictions.text(token));
        candidates.iter().map(|best| (text(best.token), best.probability)).collect()
    };
    let lens = |predictions: &'a Predictions, place: usize| -> Vec<LensCell<'a>> {
        let cells = predictions.lens.iter().map(|layer| &layer[place]);
        cells
            .map(|cell| LensCell {
                top: pairs(&cell.top),
                answer_probability: cell.answer_probability,
                next_rank: cell.next_rank,
            })
            .collect()
    };
    let tokens = look.texts.iter().zip(&look.special).enumerate().map(|(index, (text, is_special))| {
        let place = predictions.map(|predictions| &predictions.places[index]);
        InspectedToken {
            text,
            is_special: *is_special,
            surprise: place.and_then(|place| Some((place.surprisal_bits?, place.probability?, place.rank?))),
            next: place.map_or_else(Vec::new, |place| pairs(&place.next)),
            lens: predictions.map_or_else(Vec::new, |predictions| lens(predictions, index)),
        }
    });
    let patterns = habits(look).into_iter();
    let patterns = patterns.map(|Habit { description, heads }| HeadPattern { description, heads });
    InspectionReport {
        name: &kind.name,
        kind: &format!("{} · {heads}", kind.family),
        headline,
        facts,
        tokens: tokens.collect(),
        predicts: predictions.is_some(),
        layers_and_heads: (seen.layers(), seen.heads()),
        map: &|layer, head| seen.map(layer, head),
        patterns: patterns.collect(),
        settings: vec![
            ("model", model.display().to_string()),
            ("Gyrus", env!("CARGO_PKG_VERSION").to_owned()),
        ],
    }
    .to_html()
}
