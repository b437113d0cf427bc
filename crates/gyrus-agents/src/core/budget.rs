//! What a run may spend. The limits are hard: an effect that could exceed one is not done. A part is kept back for the answer, so
//! that a run which has spent everything else still says what it found.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The limits of a run; none for what is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Tokens that models read and write.
    pub tokens: Option<u64>,
    /// Milliseconds.
    pub ms: Option<u64>,
    /// Calls of models and tools together.
    pub calls: Option<u64>,
    /// Tokens that are kept back for the answer.
    pub reserve_tokens: u64,
    /// Calls that are kept back for the answer.
    pub reserve_calls: u64,
}

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spend {
    /// Tokens that models read.
    pub tokens_in: u64,
    /// Tokens that models wrote.
    pub tokens_out: u64,
    /// Whether some of these were estimated, because an endpoint did not say.
    pub is_estimated: bool,
    /// Calls of models.
    pub model_calls: u64,
    /// Calls of tools.
    pub tool_calls: u64,
    /// Milliseconds.
    pub ms: u64,
}

/// The limit that a run met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// Of tokens.
    Tokens,
    /// Of time.
    Time,
    /// Of calls.
    Calls,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokens => "the limit of tokens",
            Self::Time => "the limit of time",
            Self::Calls => "the limit of calls",
        })
    }
}

impl Spend {
    /// Tokens that were read and written.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens_in.saturating_add(self.tokens_out)
    }

    /// Calls of models and tools.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.model_calls.saturating_add(self.tool_calls)
    }
}

impl Limits {
    /// Whether a call that needs at most `tokens` tokens is allowed; `is_final` for the answer, which may use what is kept back.
    ///
    /// # Errors
    /// The limit that forbids it.
    pub fn allow(&self, spend: &Spend, tokens: u64, is_final: bool) -> Result<(), Limit> {
        let (reserve_tokens, reserve_calls) =
            if is_final { (0, 0) } else { (self.reserve_tokens, self.reserve_calls) };
        let needed_calls = spend.calls().saturating_add(1).saturating_add(reserve_calls);
        if self.calls.is_some_and(|most| needed_calls > most) {
            return Err(Limit::Calls);
        }
        let needed = spend.tokens().saturating_add(tokens).saturating_add(reserve_tokens);
        if tokens > 0 && self.tokens.is_some_and(|most| needed > most) {
            return Err(Limit::Tokens);
        }
        // The answer may still be asked for when the time is over only if some of it is left.
        let most_ms = self.ms.map(|ms| if is_final { ms } else { ms.saturating_sub(ms / 10) });
        if most_ms.is_some_and(|most| spend.ms >= most) {
            return Err(Limit::Time);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn allowed_calls_never_exceed_a_limit(
            most_tokens in 0u64..2000, most_calls in 0u64..20, reserve in 0u64..300,
            wishes in proptest::collection::vec((0u64..400, any::<bool>()), 0..60),
        ) {
            let limits = Limits {
                tokens: Some(most_tokens), calls: Some(most_calls), ms: None, reserve_tokens: reserve, reserve_calls: 1,
            };
            let mut spend = Spend::default();
            for (tokens, is_final) in wishes {
                if limits.allow(&spend, tokens, is_final).is_ok() {
                    spend.tokens_out += tokens;
                    spend.model_calls += 1;
                    if !is_final && tokens > 0 {
                        prop_assert!(spend.tokens() + reserve <= most_tokens);
                        prop_assert!(spend.calls() < most_calls);
                    }
                }
                prop_assert!(spend.tokens() <= most_tokens && spend.calls() <= most_calls);
            }
        }
    }
}
