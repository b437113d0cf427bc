//! Axes: their ticks, and the position of a value.

use crate::html::number;

/// An axis from a lowest to a highest value, linear or logarithmic.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    is_logarithmic: bool,
    ticks: Vec<f64>,
}

/// From this ratio of largest to smallest value on, the axis is logarithmic.
const LOGARITHMIC_FROM: f64 = 25.0;
/// The most ticks of a logarithmic axis.
const MOST_TICKS: usize = 9;

impl Scale {
    /// A linear axis that covers all finite `values` and ends at round numbers, with about `count` ticks.
    pub(crate) fn linear(values: impl Iterator<Item = f64>, count: usize) -> Self {
        let (mut low, mut high) = extent(values).unwrap_or((0.0, 1.0));
        if high - low <= 1e-12 * high.abs().max(low.abs()).max(1e-300) {
            let room = if high == 0.0 { 1.0 } else { high.abs() * 0.1 };
            (low, high) = (low - room, high + room);
        }
        let step = round_step((high - low) / count.max(1) as f64);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let ticks: Vec<f64> =
            (0..=(last - first) as usize).map(|tick| (first + tick as f64) * step).collect();
        Self { low: first * step, high: last * step, is_logarithmic: false, ticks }
    }

    /// A logarithmic axis if all values are positive and far apart, otherwise a linear one that begins at 0.
    pub(crate) fn for_loss(values: impl Iterator<Item = f64> + Clone) -> Self {
        match extent(values.clone()) {
            Some((low, high)) if low > 0.0 && high / low >= LOGARITHMIC_FROM => Self::logarithmic(low, high),
            Some((low, _)) if low < 0.0 => Self::linear(values, 5),
            _ => Self::linear(values.chain([0.0]), 5),
        }
    }

    /// An axis for shares from 0 to 1, as long as the values need.
    pub(crate) fn for_shares(values: impl Iterator<Item = f64>) -> Self {
        let scale = Self::linear(values, 5);
        let ticks: Vec<f64> =
            scale.ticks.into_iter().filter(|tick| (-1e-9..=1.0 + 1e-9).contains(tick)).collect();
        Self { low: scale.low.max(0.0), high: scale.high.min(1.0), is_logarithmic: false, ticks }
    }

    /// Whole numbers from `first` to `last`.
    pub(crate) fn whole(first: f64, last: f64, count: usize) -> Self {
        let step = round_step(((last - first) / count.max(1) as f64).max(1.0)).ceil();
        let start = (first / step).ceil() * step;
        let mut ticks: Vec<f64> =
            (0..).map(|tick| start + tick as f64 * step).take_while(|tick| *tick <= last).collect();
        if ticks.first().is_none_or(|tick| *tick - first >= step * 0.6) {
            ticks.insert(0, first);
        }
        let (low, high) = if last > first { (first, last) } else { (first - 0.5, first + 0.5) };
        Self { low, high, is_logarithmic: false, ticks }
    }

    /// A logarithmic axis with ticks at exactly these increasing numbers above 0.
    pub(crate) fn at(values: &[f64]) -> Self {
        match values {
            [first, .., last] if first < last => {
                Self { low: *first, high: *last, is_logarithmic: true, ticks: values.to_vec() }
            }
            [first, ..] => Self { ticks: values[..1].to_vec(), ..Self::whole(*first, *first, 1) },
            [] => Self::whole(1.0, 1.0, 1),
        }
    }

    fn logarithmic(low: f64, high: f64) -> Self {
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let all: Vec<f64> = (first..=last)
            .flat_map(|decade| [1.0, 2.0, 5.0].map(|factor| factor * 10.0_f64.powi(decade)))
            .collect();
        let start = all.iter().rposition(|tick| *tick <= low * (1.0 + 1e-9)).unwrap_or(0);
        let end = all.iter().position(|tick| *tick >= high * (1.0 - 1e-9)).unwrap_or(all.len() - 1);
        let mut ticks = all[start..=end].to_vec();
        let (low, high) = (all[start], all[end]);
        if ticks.len() > MOST_TICKS {
            // Every third element begins a decade; of very many decades, every second or third is enough.
            let decades: Vec<f64> =
                (start..=end).filter(|index| index % 3 == 0).map(|index| all[index]).collect();
            let every = decades.len().div_ceil(MOST_TICKS).max(1);
            ticks = decades.into_iter().step_by(every).collect();
        }
        Self { low, high, is_logarithmic: true, ticks }
    }

    pub(crate) fn is_logarithmic(&self) -> bool {
        self.is_logarithmic
    }

    pub(crate) fn ticks(&self) -> &[f64] {
        &self.ticks
    }

    /// The position of a value: 0 at the low end, 1 at the high end.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let on = |value: f64| if self.is_logarithmic { value.log10() } else { value };
        (on(value) - on(self.low)) / (on(self.high) - on(self.low))
    }

    /// The text of a tick.
    pub(crate) fn label(tick: f64) -> String {
        if tick.abs() >= 1e4 || (tick != 0.0 && tick.abs() < 1e-4) {
            let text = format!("{tick:.2e}");
            let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
            let digits = digits.trim_end_matches('0').trim_end_matches('.');
            return format!("{digits}e{power}").replace('-', "−");
        }
        // Avoids ticks such as 0.30000000000000004.
        number((tick * 1e9).round() / 1e9).replace('-', "−")
    }
}

/// The smallest and the largest finite value.
fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.is_finite()).fold(None, |extent, value| {
        let (low, high) = extent.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

/// The next of 1, 2, 5, 10, 20, 50, ... (and their fractions) that is at least `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10.0_f64.powf(rough.max(1e-300).log10().floor());
    [1.0, 2.0, 5.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= rough * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<String> {
        scale.ticks().iter().map(|tick| Scale::label(*tick)).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        let scale = Scale::linear([0.03, 0.97].into_iter(), 5);
        assert_eq!(labels(&scale), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!((scale.place(0.0), scale.place(1.0)), (0.0, 1.0));
        assert_eq!(labels(&Scale::linear([-7.0, 12.0].into_iter(), 5)), ["−10", "−5", "0", "5", "10", "15"]);
    }

    #[test]
    fn a_loss_over_decades_is_logarithmic() {
        let scale = Scale::for_loss([2.3, 0.04].into_iter());
        assert!(scale.is_logarithmic());
        assert_eq!(labels(&scale), ["0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5"]);
        assert!(!Scale::for_loss([2.3, 0.4].into_iter()).is_logarithmic());
        assert_eq!(Scale::for_loss([2.3, 0.4].into_iter()).place(0.0), 0.0);
        assert_eq!(labels(&Scale::for_loss([2.3, 0.0041].into_iter())), ["0.01", "0.1", "1"]);
        assert!(Scale::for_loss([1e-30, 1e30].into_iter()).ticks().len() <= MOST_TICKS);
    }

    #[test]
    fn labels_are_short() {
        let ticks = [0.1 + 0.2, 3.0 * 2e-4, 3.0 * 2e-5, -2.5e6, 0.0];
        assert_eq!(ticks.map(Scale::label), ["0.3", "0.0006", "6e−5", "−2.5e6", "0"]);
    }

    #[test]
    fn shares_end_at_one() {
        let scale = Scale::for_shares([0.62, 0.989].into_iter());
        assert_eq!(scale.place(1.0), 1.0);
        assert_eq!(labels(&scale), ["0.6", "0.7", "0.8", "0.9", "1"]);
    }

    #[test]
    fn epochs_are_whole() {
        assert_eq!(labels(&Scale::whole(1.0, 4.0, 6)), ["1", "2", "3", "4"]);
        assert_eq!(labels(&Scale::whole(1.0, 30.0, 6)), ["1", "5", "10", "15", "20", "25", "30"]);
        assert_eq!(Scale::whole(1.0, 1.0, 6).place(1.0), 0.5);
    }

    #[test]
    fn ticks_at_given_numbers() {
        let scale = Scale::at(&[1.0, 2.0, 8.0]);
        assert_eq!(labels(&scale), ["1", "2", "8"]);
        assert!((scale.place(2.0) - 1.0 / 3.0).abs() < 1e-12 && scale.place(8.0) == 1.0);
        for few in [&[][..], &[4.0], &[4.0, 4.0]] {
            assert!(Scale::at(few).place(4.0).is_finite(), "{few:?}");
        }
    }

    #[test]
    fn nothing_and_nonsense_still_make_an_axis() {
        for values in [vec![], vec![f64::NAN], vec![3.0, 3.0], vec![0.0], vec![f64::INFINITY, -2.0]] {
            for scale in [
                Scale::linear(values.iter().copied(), 5),
                Scale::for_loss(values.iter().copied()),
                Scale::for_shares(values.iter().copied()),
            ] {
                assert!(scale.place(scale.low).is_finite(), "{values:?}: {scale:?}");
            }
        }
    }
}
