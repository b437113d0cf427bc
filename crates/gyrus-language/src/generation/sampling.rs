//! Sampling the next token from logits.
//!
//! In this order, which is that of `transformers`: logits of tokens in the text are reduced (repetition penalty, Keskar et al.
//! 2019; then OpenAI's presence and frequency penalties), all are divided by the temperature, the `top_k` largest are kept,
//! then the fewest whose probabilities sum to `top_p` (Holtzman et al. 2020), then those with at least `min_p` times the
//! largest probability (Nguyen et al. 2024), and one is drawn. The random number depends on (seed, step) alone.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::{Error, Result};

/// Sampling parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divisor of the logits; at 0 the most probable token is chosen.
    pub temperature: f32,
    /// Keep this many of the most probable tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the fewest most probable tokens whose probabilities sum to this; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens with at least this share of the largest probability; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens that are in the text; 1 changes nothing.
    pub repetition_penalty: f32,
    /// Subtracted from the logits of tokens generated at least once; 0 changes nothing.
    pub presence_penalty: f32,
    /// Subtracted from the logit of a token for each time it was generated; 0 changes nothing.
    pub frequency_penalty: f32,
    /// Random seed.
    pub seed: u64,
}

impl Default for Sampling {
    /// Samples from the model's unchanged probabilities.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: 0,
        }
    }
}

impl Sampling {
    /// Fails for parameters out of range.
    ///
    /// # Errors
    /// [`Error::Request`] that names the first of them.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            ("temperature", self.temperature, 0.0..=100.0),
            ("top-p", self.top_p, 0.0..=1.0),
            ("min-p", self.min_p, 0.0..=1.0),
            ("repetition penalty", self.repetition_penalty, 0.01..=100.0),
            ("presence penalty", self.presence_penalty, -100.0..=100.0),
            ("frequency penalty", self.frequency_penalty, -100.0..=100.0),
        ];
        for (what, value, range) in ranges {
            if !range.contains(&value) {
                let expected = format!("{} to {}", range.start(), range.end());
                return Err(Error::request(what, value.to_string(), expected));
            }
        }
        Ok(())
    }

    /// The next token after the tokens `text`, given its logits, which may be modified. `step` is the number of tokens
    /// generated so far, which are the last ones in `text`.
    ///
    /// # Errors
    /// [`Error::Request`] if no logit is a finite number: the weights are damaged or the arithmetic overflowed.
    pub fn choose(&self, logits: &mut [f32], text: &[u32], step: u64) -> Result<u32> {
        self.penalize_repetition(logits, text);
        self.penalize_generated(logits, &text[text.len().saturating_sub(step as usize)..]);
        let better = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        let candidates = || (0..).zip(logits.iter().copied()).filter(|(_, logit)| !logit.is_nan());
        let best = candidates().min_by(better).filter(|best| best.1.is_finite());
        let Some((best_token, best_logit)) = best else {
            return Err(Error::request("logits", "no finite number", "undamaged weights"));
        };
        if self.temperature == 0.0 || self.top_k == 1 {
            return Ok(best_token);
        }
        let mut kept: Vec<(u32, f32)> = candidates().collect();
        if self.top_k > 0 && self.top_k < kept.len() {
            kept.select_nth_unstable_by(self.top_k - 1, better);
            kept.truncate(self.top_k);
        }
        // From logits to weights, the largest of which is 1.
        for (_, value) in &mut kept {
            *value = ((*value - best_logit) / self.temperature).exp();
        }
        if self.min_p > 0.0 && self.top_p >= 1.0 {
            // The largest weight is 1, so no sum is needed.
            kept.retain(|(_, weight)| *weight >= self.min_p);
        }
        if self.top_p < 1.0 {
            kept.sort_unstable_by(better);
            let total: f64 = kept.iter().map(|(_, weight)| f64::from(*weight)).sum();
            let mut sum = 0.0;
            let enough = |(_, weight): &(u32, f32)| {
                let before = sum;
                sum += f64::from(*weight);
                before >= f64::from(self.top_p) * total
            };
            let end = kept.iter().position(enough).unwrap_or(kept.len());
            kept.truncate(end.max(1));
            kept.retain(|(_, weight)| *weight >= self.min_p);
        } else if self.top_k > 0 {
            // Selection leaves an arbitrary order.
            kept.sort_unstable_by(better);
        }
        let total: f64 = kept.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(step);
        // 53 bits, the precision of a double.
        let mut left = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64 * total;
        for (token, weight) in &kept {
            left -= f64::from(*weight);
            if left < 0.0 {
                return Ok(*token);
            }
        }
        // Rounding may leave a small remainder.
        Ok(kept.iter().rev().find(|(_, weight)| *weight > 0.0).map_or(best_token, |(token, _)| *token))
    }

    fn penalize_repetition(&self, logits: &mut [f32], text: &[u32]) {
        if self.repetition_penalty == 1.0 {
            return;
        }
        for (token, _) in counts(text) {
            if let Some(logit) = logits.get_mut(token) {
                *logit = if *logit > 0.0 {
                    *logit / self.repetition_penalty
                } else {
                    *logit * self.repetition_penalty
                };
            }
        }
    }

    fn penalize_generated(&self, logits: &mut [f32], generated: &[u32]) {
        if self.presence_penalty == 0.0 && self.frequency_penalty == 0.0 {
            return;
        }
        for (token, count) in counts(generated) {
            if let Some(logit) = logits.get_mut(token) {
                *logit -= self.presence_penalty + self.frequency_penalty * count as f32;
            }
        }
    }
}

/// The distinct tokens and how often each occurs.
fn counts(tokens: &[u32]) -> Vec<(usize, usize)> {
    let mut tokens = tokens.to_vec();
    tokens.sort_unstable();
    tokens.chunk_by(|a, b| a == b).map(|run| (run[0] as usize, run.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(sampling: Sampling, logits: &[f32]) -> Vec<f64> {
        let draws = 20_000;
        let mut counts = vec![0.0; logits.len()];
        for step in 0..draws {
            counts[sampling.choose(&mut logits.to_vec(), &[], step).unwrap() as usize] += 1.0 / draws as f64;
        }
        counts
    }

    fn assert_shares(sampling: Sampling, logits: &[f32], expected: &[f64]) {
        let got = shares(sampling, logits);
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 0.015, "{sampling:?}: {got:?}, expected {expected:?}");
            assert!(*expected > 0.0 || *got == 0.0, "{sampling:?}: {got:?}, expected {expected:?}");
        }
    }

    #[test]
    fn draws_follow_the_probabilities_that_each_filter_leaves() {
        let logits: Vec<f32> = [0.1f32, 0.4, 0.2, 0.3].map(f32::ln).to_vec();
        let plain = Sampling { seed: 3, ..Sampling::default() };
        assert_shares(plain, &logits, &[0.1, 0.4, 0.2, 0.3]);
        assert_shares(Sampling { top_k: 2, ..plain }, &logits, &[0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0]);
        assert_shares(Sampling { top_p: 0.65, ..plain }, &logits, &[0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0]);
        assert_shares(Sampling { top_p: 0.0, ..plain }, &logits, &[0.0, 1.0, 0.0, 0.0]);
        assert_shares(Sampling { min_p: 0.49, ..plain }, &logits, &[0.0, 4.0 / 9.0, 2.0 / 9.0, 3.0 / 9.0]);
        let both = Sampling { min_p: 0.6, top_p: 0.95, ..plain };
        assert_shares(both, &logits, &[0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0]);
        let squares = [0.01, 0.16, 0.04, 0.09].map(|square: f64| square / 0.3);
        assert_shares(Sampling { temperature: 0.5, ..plain }, &logits, &squares);
        assert_shares(Sampling { temperature: 0.0, ..plain }, &logits, &[0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn tokens_of_the_text_are_penalized_once() {
        let greedy = Sampling { temperature: 0.0, repetition_penalty: 2.0, ..Sampling::default() };
        assert_eq!(greedy.choose(&mut [1.0, 1.5, -3.0], &[1, 1], 0).unwrap(), 0);
        assert_eq!(greedy.choose(&mut [-1.0, -1.5, -3.0], &[0], 0).unwrap(), 1);
        assert_eq!(greedy.choose(&mut [1.0, 1.0], &[9], 0).unwrap(), 0, "the first of equals");
    }

    #[test]
    fn tokens_that_were_written_are_penalized_by_presence_and_by_count() {
        let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
        let presence = Sampling { presence_penalty: 1.0, ..greedy };
        assert_eq!(presence.choose(&mut [2.0, 1.5], &[0], 0).unwrap(), 0, "the prompt does not count");
        assert_eq!(presence.choose(&mut [2.0, 1.5], &[0], 1).unwrap(), 1);
        assert_eq!(presence.choose(&mut [2.0, 0.5], &[0, 0], 2).unwrap(), 0, "once, however often");
        let frequency = Sampling { frequency_penalty: 0.4, ..greedy };
        assert_eq!(frequency.choose(&mut [2.0, 1.5], &[0], 1).unwrap(), 0);
        assert_eq!(frequency.choose(&mut [2.0, 1.5], &[1, 0, 0], 2).unwrap(), 1);
    }

    #[test]
    fn numbers_that_mean_nothing_are_refused() {
        for wrong in [
            Sampling { temperature: -1.0, ..Sampling::default() },
            Sampling { temperature: f32::NAN, ..Sampling::default() },
            Sampling { top_p: 1.5, ..Sampling::default() },
            Sampling { min_p: -0.1, ..Sampling::default() },
            Sampling { repetition_penalty: 0.0, ..Sampling::default() },
        ] {
            wrong.check().unwrap_err();
        }
        Sampling::default().choose(&mut [f32::NAN, f32::NAN], &[], 0).unwrap_err();
        assert_eq!(Sampling::default().choose(&mut [f32::NAN, 1.0], &[], 0).unwrap(), 1);
    }
}
