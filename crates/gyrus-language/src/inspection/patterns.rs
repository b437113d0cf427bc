//! How well attention heads follow patterns known from the literature, each as a share of attention from 0 to 1.
//!
//! On the text itself: the mean over its tokens of the attention to the previous token (Clark et al. 2019, and the
//! previous-token heads of Olsson et al. 2022), to the first token (the attention sink of Xiao et al. 2023), and so on. The
//! first two tokens are excluded, for which these targets coincide, and an encoder's last two.
//!
//! Induction heads continue an earlier pattern: at a token they attend to what followed its previous occurrence. Measured by
//! prefix matching as in Olsson et al. 2022: the model reads 25 random tokens four times, and the score is the attention to
//! the tokens that followed the same token in earlier repeats, summed over these and averaged over the tokens from the second
//! repeat on. Uniform attention would score about 0.03.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::texts::TokenTexts;
use crate::{Decoder, Observation, Result};

/// Number of random tokens in a repeat.
const PERIOD: usize = 25;
/// With fewer tokens, the score would mean little.
const SHORTEST_PERIOD: usize = 8;
const REPEATS: usize = 4;

/// What a head may attend to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// The previous token.
    Previous,
    /// The next token; encoders only.
    Next,
    /// The first token.
    First,
    /// The last token; encoders only.
    Last,
    /// The token itself.
    Own,
    /// The token after an earlier occurrence of the same token; decoders only.
    Induction,
}

impl Pattern {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Previous => "previous_token",
            Self::Next => "next_token",
            Self::First => "first_token",
            Self::Last => "last_token",
            Self::Own => "own_token",
            Self::Induction => "induction",
        }
    }

    /// A description of what such a head does.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Previous => "attend to the previous token",
            Self::Next => "attend to the next token",
            Self::First => "attend to the first token",
            Self::Last => "attend to the last token",
            Self::Own => "attend to the token itself",
            Self::Induction => "attend to what followed this token before",
        }
    }
}

/// How well each head follows one pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadPattern {
    /// The pattern.
    pub pattern: Pattern,
    /// Shares of attention, `[layers, heads]`.
    pub scores: Vec<f64>,
}

impl HeadPattern {
    /// The heads in descending order of their scores, as indices into `scores`.
    #[must_use]
    pub fn ranking(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.scores.len()).collect();
        order.sort_by(|&a, &b| self.scores[b].total_cmp(&self.scores[a]).then(a.cmp(&b)));
        order
    }
}

/// The patterns measured on the text itself; empty for a text with too few tokens.
pub(super) fn of_text(seen: &Observation, is_encoder: bool) -> Vec<HeadPattern> {
    let length = seen.tokens();
    let tokens = if is_encoder { 2..length.saturating_sub(2) } else { 2..length };
    if tokens.is_empty() {
        return Vec::new();
    }
    let place = |pattern: Pattern, token: usize| match pattern {
        Pattern::Previous => token - 1,
        Pattern::Next => token + 1,
        Pattern::First => 0,
        Pattern::Last => length - 1,
        Pattern::Own | Pattern::Induction => token,
    };
    let patterns: &[Pattern] = match is_encoder {
        true => &[Pattern::Previous, Pattern::Next, Pattern::First, Pattern::Last, Pattern::Own],
        false => &[Pattern::Previous, Pattern::First, Pattern::Own],
    };
    let count = tokens.len() as f64;
    let measured = patterns.iter().map(|&pattern| {
        let share = |map: &[f32]| {
            let shares = tokens.clone().map(|token| f64::from(map[token * length + place(pattern, token)]));
            shares.sum::<f64>() / count
        };
        HeadPattern { pattern, scores: heads(seen).map(share).collect() }
    });
    measured.collect()
}

/// The maps of all heads, layer by layer.
fn heads(seen: &Observation) -> impl Iterator<Item = &[f32]> {
    (0..seen.layers()).flat_map(move |layer| (0..seen.heads()).map(move |head| seen.map(layer, head)))
}

/// Prefix matching on repeated random tokens; `None` if the model reads or has too few tokens.
pub(super) fn induction(
    decoder: &Decoder,
    text: &[u32],
    names: &TokenTexts<'_>,
) -> Result<Option<HeadPattern>> {
    let config = decoder.config();
    let longest = config.maximum_positions.min(Observation::longest(config.layers.len(), config.heads));
    let drawn = random_words(config.vocabulary, PERIOD.min(longest.saturating_sub(1) / REPEATS), names);
    let period = drawn.len();
    if period < SHORTEST_PERIOD {
        return Ok(None);
    }
    // The special token that texts begin with.
    let begin: Vec<u32> =
        text.first().copied().filter(|&token| names.plain(token).is_none()).into_iter().collect();
    let tokens = [&begin[..], &drawn.repeat(REPEATS)].concat();
    let seen = decoder.observe(&tokens)?;
    let score = |map| prefix_matching(map, begin.len(), period);
    Ok(Some(HeadPattern { pattern: Pattern::Induction, scores: heads(&seen).map(score).collect() }))
}

/// The attention of a map, `[tokens, tokens]`, to the tokens after earlier occurrences of each token. The sequence is `begin`
/// tokens, then repeats of `period` different ones.
fn prefix_matching(map: &[f32], begin: usize, period: usize) -> f64 {
    let length = map.len().isqrt();
    let share = |token: usize| -> f64 {
        let repeats = (token - begin) / period;
        (1..=repeats).map(|back| f64::from(map[token * length + token - back * period + 1])).sum()
    };
    let tokens = begin + period..length;
    tokens.clone().map(share).sum::<f64>() / tokens.len() as f64
}

/// Distinct tokens that contain letters, always the same for a vocabulary. Vocabularies begin with special and very common
/// tokens and end with rare ones, so an eighth at each end is excluded.
fn random_words(vocabulary: usize, count: usize, names: &TokenTexts<'_>) -> Vec<u32> {
    let (first, choices) = (vocabulary / 8, vocabulary - 2 * (vocabulary / 8));
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut words: Vec<u32> = Vec::with_capacity(count);
    // The limit ends the search in vocabularies without such tokens.
    for _ in 0..200 * count {
        if words.len() == count {
            break;
        }
        let choice = ((u128::from(random.next_u64()) * choices as u128) >> 64) as usize;
        let Ok(token) = u32::try_from(first + choice) else { continue };
        let is_word = |text: String| text.chars().any(char::is_alphanumeric);
        if !words.contains(&token) && names.plain(token).is_some_and(is_word) {
            words.push(token);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map in which each token gives all attention to one other.
    fn map(length: usize, place: impl Fn(usize) -> usize) -> Vec<f32> {
        let mut map = vec![0.0; length * length];
        (0..length).for_each(|token| map[token * length + place(token)] = 1.0);
        map
    }

    fn even(length: usize) -> Vec<f32> {
        let share = |at: usize| if at % length <= at / length { 1.0 / (at / length + 1) as f32 } else { 0.0 };
        (0..length * length).map(share).collect()
    }

    fn scores(maps: &[Vec<f32>], is_encoder: bool) -> Vec<(Pattern, Vec<f64>)> {
        let length = maps[0].len().isqrt();
        let mut seen = Observation::new(length, 1, maps.len(), 1).unwrap();
        seen.add_maps(|to| to.copy_from_slice(&maps.concat()));
        of_text(&seen, is_encoder).into_iter().map(|found| (found.pattern, found.scores)).collect()
    }

    #[test]
    fn heads_are_known_by_where_they_look() {
        let maps = [map(9, |i| i.saturating_sub(1)), map(9, |_| 0), map(9, |i| i)];
        let found = scores(&maps, false);
        let expected = [
            (Pattern::Previous, vec![1.0, 0.0, 0.0]),
            (Pattern::First, vec![0.0, 1.0, 0.0]),
            (Pattern::Own, vec![0.0, 0.0, 1.0]),
        ];
        assert_eq!(found, expected);
        let found = scores(&[map(9, |i| (i + 1).min(8)), map(9, |_| 8)], true);
        assert_eq!(found[1], (Pattern::Next, vec![1.0, 0.0]));
        assert_eq!(found[3], (Pattern::Last, vec![0.0, 1.0]));
        assert_eq!(scores(&[map(2, |_| 0)], false), [], "two tokens say nothing");
        assert_eq!(scores(&[map(4, |_| 0)], true), []);
        let ranking = HeadPattern { pattern: Pattern::Own, scores: vec![0.1, 0.5, 0.5, 0.9] }.ranking();
        assert_eq!(ranking, [3, 1, 2, 0]);
    }

    #[test]
    fn a_head_that_continues_what_was_before_has_the_score_1() {
        for begin in [0, 1] {
            let length = begin + 100;
            let continues = map(length, |token| if token < begin + 25 { 0 } else { token - 24 });
            assert_eq!(prefix_matching(&continues, begin, 25), 1.0);
            let from_the_first = map(length, |token| begin + (token.max(begin) - begin) % 25 + 1);
            let score = prefix_matching(&from_the_first, begin, 25);
            assert_eq!(score, 1.0, "any earlier repeat counts");
            assert_eq!(prefix_matching(&map(length, |token| token.saturating_sub(1)), begin, 25), 0.0);
            let score = prefix_matching(&even(length), begin, 25);
            assert!((0.028..0.034).contains(&score), "{score}");
        }
    }
}
