//! Low-rank adapters: how they are asked for, and which products get one.

use gyrus_language::Parameter;

/// Low-rank adapters to be trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    /// Rows of `A` and columns of `B`.
    pub rank: usize,
    /// The adapter's product is scaled by `alpha / rank`.
    pub alpha: f64,
    /// The products that are adapted, by the end of their names, such as `q_proj`.
    pub targets: Vec<String>,
    /// Share of the adapter's inputs that are dropped in training.
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
