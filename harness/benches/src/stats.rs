//! Medians and ratios with their spread.

use std::fmt;

use serde::Serialize;

/// What many measurements of the same thing say together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How many there were.
    pub count: usize,
    /// Half of them are below it.
    pub median: f64,
    /// A quarter is below it.
    pub lower: f64,
    /// A quarter is above it.
    pub upper: f64,
    /// The smallest.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Summary {
    /// Sums up; `None` if there is nothing to sum up. Values that are no numbers are left out.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Summary> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        Some(Summary {
            count: sorted.len(),
            median: quantile(&sorted, 0.5)?,
            lower: quantile(&sorted, 0.25)?,
            upper: quantile(&sorted, 0.75)?,
            min: *sorted.first()?,
            max: *sorted.last()?,
        })
    }

    /// The ratios `a / b` of what was measured in the same round. Rounds in which one is missing (dropped) do not count.
    pub fn of_ratios(a: &[Option<f64>], b: &[Option<f64>]) -> Option<Summary> {
        Summary::of(a.iter().zip(b).filter_map(|(a, b)| Some((*a)? / (*b)?)))
    }
}

/// The median, and the quartiles around it: `1.56 (1.50-1.61)`. With `{:.1}` one digit after the point.
impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = out.precision().unwrap_or(2);
        write!(out, "{:.digits$} ({:.digits$}-{:.digits$})", self.median, self.lower, self.upper)
    }
}

/// The value below which `share` of a sorted list lies, between two neighbours if need be.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * (sorted.len().checked_sub(1)?) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        let summary = Summary::of([4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!((summary.median, summary.lower, summary.upper), (2.5, 1.75, 3.25));
        assert_eq!((summary.min, summary.max, summary.count), (1.0, 4.0, 4));
        assert_eq!(format!("{summary:.1}"), "2.5 (1.8-3.2)");
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(Summary::of([]), None);
        assert_eq!(Summary::of([f64::NAN]), None);
    }

    #[test]
    fn a_round_counts_only_if_both_were_measured() {
        let summary = Summary::of_ratios(&[Some(2.0), None, Some(3.0)], &[Some(1.0), Some(1.0), None]);
        assert_eq!(summary.map(|it| (it.median, it.count)), Some((2.0, 1)));
    }
}
