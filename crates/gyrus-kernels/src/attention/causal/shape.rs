//! The shape of causal attention.

use super::super::rotary::Rotation;

/// The shape of a causal attention layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CausalAttention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads, of which `heads` is a multiple.
    pub key_value_heads: usize,
    /// Elements of a head.
    pub head_width: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// `c` in `c * tanh(score / c)`, which caps the scores (Gemma 2).
    pub softcap: Option<f32>,
    /// How many tokens a token sees, including itself; without a window, all tokens before it.
    pub window: Option<usize>,
}

impl CausalAttention {
    /// Columns of a row of queries, keys and values.
    #[must_use]
    pub fn columns(&self) -> usize {
        (self.heads + 2 * self.key_value_heads) * self.head_width
    }

    /// Columns of a row of the result.
    #[must_use]
    pub fn query_columns(&self) -> usize {
        self.heads * self.head_width
    }

    /// Checks everything; returns the rows of `x`.
    pub(super) fn check(&self, ends: &[usize], x: &[f32], rotation: Option<Rotation<'_>>) -> usize {
        assert!(self.head_width > 0 && self.key_value_heads > 0, "a head has elements");
        assert!(self.heads.is_multiple_of(self.key_value_heads), "query heads come in groups");
        assert!(x.len().is_multiple_of(self.columns()), "x is [rows, columns]");
        let rows = x.len() / self.columns();
        let ordered = ends.windows(2).all(|pair| pair[0] <= pair[1]);
        assert!(ordered && ends.last().copied().unwrap_or(0) == rows, "the last sequence ends with the rows");
        assert!(self.window != Some(0), "a token sees itself");
        if let Some(Rotation { cosines, sines, pairs, .. }) = rotation {
            let longest = sequences(ends).map(|(start, end)| end - start).max().unwrap_or(0);
            assert!(2 * pairs <= self.head_width, "a head holds the pairs");
            assert!(
                cosines.len() == sines.len() && cosines.len() >= longest * pairs,
                "there are angles for every position"
            );
        }
        rows
    }

    /// The first token that the one at `position` sees.
    #[inline(always)]
    pub(super) fn first_seen(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

/// Start and end of each sequence.
pub(super) fn sequences(ends: &[usize]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let starts = core::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends.iter().copied())
}
