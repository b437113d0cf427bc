//! Medians and percentiles of measured times.

/// The median of `values` (the mean of the middle two if their number is even); NaN for none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => (sorted[length / 2 - 1] + sorted[length / 2]) / 2.0,
    }
}

/// The 10th percentile of `values` by nearest rank; NaN for none.
pub(crate) fn tenth_percentile(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let rank = sorted.len().div_ceil(10);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(&[]).is_nan());
        let values: Vec<f64> = (1..=30).rev().map(f64::from).collect();
        assert_eq!(tenth_percentile(&values), 3.0);
        assert_eq!(tenth_percentile(&[5.0]), 5.0);
        assert!(tenth_percentile(&[]).is_nan());
    }
}
