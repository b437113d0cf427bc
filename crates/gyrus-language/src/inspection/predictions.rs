//! A decoder's predictions at each position of a text, and the logit lens (nostalgebraist 2020): its predictions if the
//! residual stream after an earlier layer went directly to the head.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::texts::TokenTexts;
use crate::{Decoder, Error, Observation, Result};

/// The most logits held in memory together: 64 MiB.
const LOGITS: usize = 1 << 24;
/// The number of tokens kept for each layer and position.
const LENS_TOP: usize = 5;

/// A token and its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The token.
    pub token: u32,
    /// From 0 to 1.
    pub probability: f64,
}

/// One token of the text and what the model predicted.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The probability of the token given those before it; `None` for the first.
    pub probability: Option<f64>,
    /// `-log2` of the probability, in bits; finite even if the probability rounds to 0.
    pub surprisal_bits: Option<f64>,
    /// Its rank among all tokens by probability, from 1.
    pub rank: Option<usize>,
    /// The model's predictions for the next token, the most probable first.
    pub next: Vec<Candidate>,
}

/// The logit lens at one layer and position.
#[derive(Clone, Debug, PartialEq)]
pub struct LensCell {
    /// The most probable tokens.
    pub top: Vec<Candidate>,
    /// The probability of the answer: the most probable token after the last layer.
    pub answer_probability: f64,
    /// The rank of the next token of the text, from 1; `None` for the last position.
    pub next_rank: Option<usize>,
}

/// The predictions of a decoder on a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// The text's tokens.
    pub places: Vec<Place>,
    /// `[layers + 1][tokens]`: the first is the embedding, the last the model's predictions.
    pub lens: Vec<Vec<LensCell>>,
    /// The texts of all tokens that occur.
    pub texts: BTreeMap<u32, String>,
}

/// The evaluated logits of one position.
struct Evaluated {
    top: Vec<Candidate>,
    answer_probability: f64,
    /// Probability, negative log probability and rank of the next token.
    next: Option<(f64, f64, usize)>,
}

impl Predictions {
    pub(super) fn new(
        decoder: &Decoder,
        seen: &Observation,
        tokens: &[u32],
        top: usize,
        names: &mut TokenTexts<'_>,
    ) -> Result<Self> {
        let last = evaluated(decoder, seen.stream(seen.layers()), tokens, None, top.max(LENS_TOP))?;
        let answers: Vec<u32> = last.iter().map(|place| place.top[0].token).collect();
        let mut lens = Vec::with_capacity(seen.layers() + 1);
        for layers in 0..seen.layers() {
            let places = evaluated(decoder, seen.stream(layers), tokens, Some(&answers), LENS_TOP)?;
            lens.push(places.into_iter().map(Evaluated::into_cell).collect());
        }
        let before = std::iter::once(None).chain(last.iter().map(|place| place.next));
        let places = last.iter().zip(before).map(|(place, own)| Place {
            probability: own.map(|own| own.0),
            surprisal_bits: own.map(|own| own.1 / std::f64::consts::LN_2),
            rank: own.map(|own| own.2),
            next: place.top.iter().take(top).copied().collect(),
        });
        let places: Vec<Place> = places.collect();
        lens.push(last.into_iter().map(Evaluated::into_cell).collect::<Vec<_>>());
        for candidate in places.iter().flat_map(|place| &place.next) {
            names.text(candidate.token);
        }
        for candidate in lens.iter().flatten().flat_map(|cell: &LensCell| &cell.top) {
            names.text(candidate.token);
        }
        Ok(Self { places, lens, texts: names.known().clone() })
    }

    /// The mean surprisal of the tokens after the first, in bits; `None` for a single token.
    #[must_use]
    pub fn mean_surprisal_bits(&self) -> Option<f64> {
        let bits: Vec<f64> = self.places.iter().filter_map(|place| place.surprisal_bits).collect();
        (!bits.is_empty()).then(|| bits.iter().sum::<f64>() / bits.len() as f64)
    }

    /// 2 to the power of the mean surprisal.
    #[must_use]
    pub fn perplexity(&self) -> Option<f64> {
        self.mean_surprisal_bits().map(f64::exp2)
    }

    /// The number of layers after which the logit lens shows the model's answer at this position for good; 0 is the embedding.
    ///
    /// # Panics
    /// If the text has no such position.
    #[must_use]
    pub fn settles(&self, place: usize) -> usize {
        let first = |cells: &Vec<LensCell>| cells[place].top.first().map(|candidate| candidate.token);
        let answer = self.lens.last().and_then(first);
        self.lens.iter().rposition(|cells| first(cells) != answer).map_or(0, |layers| layers + 1)
    }

    /// The text of a token.
    #[must_use]
    pub fn text(&self, token: u32) -> &str {
        self.texts.get(&token).map_or("", String::as_str)
    }
}

impl Evaluated {
    fn into_cell(mut self) -> LensCell {
        self.top.truncate(LENS_TOP);
        LensCell {
            top: self.top,
            answer_probability: self.answer_probability,
            next_rank: self.next.map(|next| next.2),
        }
    }
}

/// Evaluates the head on each row of a residual stream, `[tokens, width]`; by default the most probable token is the answer.
fn evaluated(
    decoder: &Decoder,
    stream: &[f32],
    tokens: &[u32],
    answers: Option<&[u32]>,
    top: usize,
) -> Result<Vec<Evaluated>> {
    let (width, vocabulary) = (decoder.config().width, decoder.config().vocabulary);
    // In parts of similar size: very few rows use another kernel, which may change the last bits.
    let parts = tokens.len().div_ceil((LOGITS / vocabulary).max(1));
    let rows = tokens.len().div_ceil(parts);
    let mut places = Vec::with_capacity(tokens.len());
    for rows in stream.chunks(rows * width) {
        let logits = decoder.lens(rows);
        let first = places.len();
        let part: Result<Vec<Evaluated>> = logits
            .par_chunks(vocabulary)
            .enumerate()
            .map(|(row, logits)| {
                let place = first + row;
                evaluate(logits, tokens.get(place + 1).copied(), answers.map(|answers| answers[place]), top)
            })
            .collect();
        places.extend(part?);
    }
    Ok(places)
}

fn evaluate(logits: &[f32], next: Option<u32>, answer: Option<u32>, top: usize) -> Result<Evaluated> {
    if let Some(logit) = logits.iter().find(|logit| !logit.is_finite()) {
        return Err(Error::request("logits", logit.to_string(), "finite numbers, from undamaged weights"));
    }
    let better = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut candidates: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
    let top = top.clamp(1, candidates.len());
    candidates.select_nth_unstable_by(top - 1, better);
    candidates.truncate(top);
    candidates.sort_unstable_by(better);
    let largest = f64::from(candidates[0].1);
    // In vocabulary order, so the result does not depend on threads.
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
    let cost = |logit: f32| largest + sum.ln() - f64::from(logit);
    let probability = |logit: f32| (-cost(logit)).exp();
    let of = |token: u32| logits[token as usize];
    let next = next.map(|token| {
        let own = (token, of(token));
        let rank = 1 + (0..).zip(logits.iter().copied()).filter(|other| better(other, &own).is_lt()).count();
        (probability(own.1), cost(own.1), rank)
    });
    let top: Vec<Candidate> = candidates
        .iter()
        .map(|&(token, logit)| Candidate { token, probability: probability(logit) })
        .collect();
    let answer_probability = answer.map_or(top[0].probability, |token| probability(of(token)));
    Ok(Evaluated { top, answer_probability, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_become_probabilities_ranks_and_surprisal() {
        let logits = [1.0f32.ln(), 4.0f32.ln(), 1.0f32.ln(), 2.0f32.ln()];
        let found = evaluate(&logits, Some(2), Some(3), 2).unwrap();
        let tokens: Vec<u32> = found.top.iter().map(|candidate| candidate.token).collect();
        assert_eq!(tokens, [1, 3]);
        assert!((found.top[0].probability - 0.5).abs() < 1e-6);
        assert!((found.answer_probability - 0.25).abs() < 1e-6);
        let (probability, nats, rank) = found.next.unwrap();
        // The first of two equal tokens comes first.
        assert_eq!(rank, 4);
        assert!((probability - 0.125).abs() < 1e-6 && (nats - 8f64.ln()).abs() < 1e-6);
        // A probability that underflows still has a surprisal.
        let (probability, nats, rank) = evaluate(&[0.0, -2000.0], Some(1), None, 9).unwrap().next.unwrap();
        assert_eq!((probability, nats, rank), (0.0, 2000.0, 2));
        let said = evaluate(&[0.0, f32::NAN], None, None, 1).err().unwrap().to_string();
        assert!(said.contains("NaN"), "{said}");
    }
}
