//! Where the gradients of a convolution go, and the order in which those of weight and bias are summed.

/// Where the gradients go; `None` for those that are not needed.
pub struct ConvolutionGradients<'a> {
    /// As long as the input.
    pub input: Option<&'a mut [f32]>,
    /// As long as the weight.
    pub weight: Option<&'a mut [f32]>,
    /// `[outputs]`.
    pub bias: Option<&'a mut [f32]>,
}

/// Groups of images with separate sums for the weight gradient: more groups where the sums are small, to balance the
/// threads.
const GROUPS: core::ops::RangeInclusive<usize> = 8..=16;
/// Floats of the sums of all groups, at most: with many groups, and with few.
const MANY_SUMS: usize = 1 << 19;
const SUMS_LIMIT: usize = 1 << 23;

/// Images per group, if its sums take `sums_len` floats.
pub(crate) fn images_per_group(batch: usize, sums_len: usize) -> usize {
    let groups = (MANY_SUMS / sums_len).clamp(*GROUPS.start(), *GROUPS.end());
    batch.div_ceil(groups.min((SUMS_LIMIT / sums_len).max(2)))
}

/// Adds up the groups' sums of the bias gradient, which lie at the end of each group, in order.
pub(crate) fn gather_bias(all_sums: &[f32], sums_len: usize, db: &mut [f32]) {
    db.fill(0.0);
    let start = sums_len - db.len();
    for sums in all_sums.chunks_exact(sums_len) {
        for (to, from) in db.iter_mut().zip(&sums[start..]) {
            *to += from;
        }
    }
}
