//! Low-rank adapters: their settings, and which linear layers get one.

use gyrus_language::Parameter;

/// Settings of the low-rank adapters to train.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    /// Rows of `A` and columns of `B`.
    pub rank: usize,
    /// The adapter's output is scaled by `alpha / rank`.
    pub alpha: f64,
    /// The linear layers to adapt, by the end of their names, such as `q_proj`.
    pub targets: Vec<String>,
    /// Dropout of the adapter's inputs in training.
    pub dropout: f32,
}

impl Lora {
    /// Whether a weight gets an adapter.
    pub(crate) fn adapts(&self, weight: &Parameter) -> bool {
        let name = weight.module();
        let ends = |target: &String| name == target || name.ends_with(&format!(".{target}"));
        weight.can_be_adapted() && self.targets.iter().any(ends)
    }

    pub(crate) fn scale(&self) -> f32 {
        (self.alpha / self.rank as f64) as f32
    }
}
