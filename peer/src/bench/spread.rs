//! How values are spread.

/// Of values in any order, the one that this share of them does not exceed.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    quantile_sorted(&sorted(values), share)
}

/// Of sorted values.
pub(crate) fn quantile_sorted(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((share * last as f64).round() as usize).copied().unwrap_or_default()
}

pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

pub(crate) fn standard_deviation(values: &[f64]) -> f64 {
    let mean_value = mean(values);
    mean(&values.iter().map(|value| (value - mean_value).powi(2)).collect::<Vec<_>>()).sqrt()
}

/// Which share of `values` is under `bound`.
pub(crate) fn share_under(values: &[f64], bound: f64) -> f64 {
    values.iter().filter(|value| **value < bound).count() as f64 / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_came() {
        let mut values: Vec<f64> = (1..=1_000).map(f64::from).collect();
        values.reverse();
        assert_eq!(quantile(&values, 0.5), 501.0);
        assert_eq!(quantile(&values, 0.99), 990.0);
        assert_eq!(quantile(&values, 1.0), 1_000.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn shares_and_spreads_of_few_values() {
        assert_eq!(share_under(&[1.0, 2.0, 3.0, 4.0], 3.0), 0.5);
        assert_eq!(share_under(&[], 3.0), 0.0);
        assert_eq!((mean(&[2.0, 4.0]), standard_deviation(&[2.0, 4.0])), (3.0, 1.0));
    }
}
