//! Sums over rows in interleaved chains of additions.

/// Chains per sum.
pub(crate) const LANES: usize = 16;

/// `sum over i of term([rows[0][i], rows[1][i], ...])`; all rows must be at least as long as the first.
#[inline(always)]
pub(crate) fn sum_of<const N: usize>(rows: [&[f32]; N], term: impl Fn([f32; N]) -> f32) -> f32 {
    let length = rows[0].len();
    let rows = rows.map(|row| &row[..length]);
    let mut lanes = [0.0f32; LANES];
    let chunks = rows.map(|row| row.as_chunks::<LANES>().0);
    for index in 0..length / LANES {
        let chunks = chunks.map(|chunks| &chunks[index]);
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane += term(chunks.map(|chunk| chunk[i]));
        }
    }
    let rest = rows.map(|row| &row[length / LANES * LANES..]);
    for (i, lane) in lanes.iter_mut().enumerate().take(length % LANES) {
        *lane += term(rest.map(|row| row[i]));
    }
    // Folds the chains in halves, an order that vector instructions share.
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::sum_of;

    #[test]
    fn every_element_is_in_it_once() {
        for length in [0usize, 1, 15, 16, 17, 100] {
            let row: Vec<f32> = (0..length).map(|i| i as f32).collect();
            let sum = (length * length.saturating_sub(1) / 2) as f32;
            assert_eq!(sum_of([&row], |[x]| x), sum);
            assert_eq!(sum_of([&row, &vec![2.0; length]], |[x, y]| x * y), 2.0 * sum);
        }
    }
}
