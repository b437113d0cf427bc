//! Numbers and strings as the pages show them.

/// The first characters of a long string and an ellipsis; not escaped.
pub(crate) fn shortened(text: &str, letters: usize) -> String {
    match text.char_indices().nth(letters) {
        None => text.to_owned(),
        Some(_) => text.chars().take(letters.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// `1234567` as `1,234,567`.
#[must_use]
pub fn grouped(count: u128) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1`, `1.2 k`, `34.5 M`: about three digits.
#[must_use]
pub fn compact(count: u128) -> String {
    let value = count as f64;
    let (scale, unit) = match count {
        0..10_000 => return grouped(count),
        10_000..1_000_000 => (1e3, "k"),
        1_000_000..1_000_000_000 => (1e6, "M"),
        _ => (1e9, "G"),
    };
    let digits = if value / scale < 100.0 { 1 } else { 0 };
    format!("{:.digits$} {unit}", value / scale)
}

/// A number with about four significant digits.
#[must_use]
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "not a number".to_owned()
    } else if size == 0.0 {
        "0".to_owned()
    } else if (1e-4..1e7).contains(&size) {
        let digits = (3 - size.log10().floor() as i32).max(0) as usize;
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{value:.2e}")
    }
}

/// A unit of energy and the picojoules in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnergyUnit {
    /// Its symbol.
    pub name: &'static str,
    /// Picojoules.
    pub pj: f64,
}

impl EnergyUnit {
    /// The unit in which this many picojoules is a number from 1 to 1000: pJ, nJ, µJ, mJ or J.
    #[must_use]
    pub fn of(pj: f64) -> Self {
        let units = [("J", 1e12), ("mJ", 1e9), ("µJ", 1e6), ("nJ", 1e3)];
        let fits = units.into_iter().find(|(_, size)| pj >= *size);
        let (name, pj) = fits.unwrap_or(("pJ", 1.0));
        Self { name, pj }
    }
}

/// An energy as `12.3 nJ`.
#[must_use]
pub fn energy(pj: f64) -> String {
    let unit = EnergyUnit::of(pj);
    format!("{} {}", number(pj / unit.pj), unit.name)
}

/// A share from 0 to 1 as `98.89 %`.
pub(crate) fn percent(share: f64, digits: usize) -> String {
    if share.is_finite() { format!("{:.digits$} %", share * 100.0) } else { "–".to_owned() }
}

/// A share from 0 to 1 at an axis: `99.35 %`, with as many digits as it has.
pub(crate) fn percent_tick(share: f64) -> String {
    format!("{} %", number((share * 1e8).round() / 1e6))
}

/// `0.35 s`, `12.3 s`, `4 min 12 s`, `2 h 05 min`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "–".to_owned();
    }
    let whole = seconds.round() as u64;
    match seconds {
        ..10.0 => format!("{seconds:.2} s"),
        ..60.0 => format!("{seconds:.1} s"),
        ..3600.0 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_shortened_by_letters() {
        assert_eq!(shortened("äöüß", 4), "äöüß");
        assert_eq!(shortened("äöüßx", 4), "äöü…");
    }

    #[test]
    fn energies_have_a_unit_that_fits() {
        assert_eq!([energy(0.0), energy(999.0), energy(1500.0)], ["0 pJ", "999 pJ", "1.5 nJ"]);
        assert_eq!([energy(2.5e6), energy(1.234e9), energy(7e12)], ["2.5 µJ", "1.234 mJ", "7 J"]);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!([compact(9_999), compact(34_567), compact(1_234_567)], ["9,999", "34.6 k", "1.2 M"]);
        assert_eq!([compact(345_678), compact(12_300_000_000)], ["346 k", "12.3 G"]);
        assert_eq!(
            [number(0.0), number(0.1), number(-12.345), number(1234.5)],
            ["0", "0.1", "-12.35", "1234"]
        );
        assert_eq!([number(1.5e-5), number(3e9), number(f64::NAN)], ["1.50e-5", "3.00e9", "not a number"]);
        assert_eq!([0.9935, 0.3 - 0.1, 1.0].map(percent_tick), ["99.35 %", "20 %", "100 %"]);
        assert_eq!([percent(0.98888, 2), percent(f64::NAN, 1)], ["98.89 %", "–"]);
        assert_eq!([duration(0.346), duration(59.0), duration(252.2)], ["0.35 s", "59.0 s", "4 min 12 s"]);
        assert_eq!([duration(7500.0), duration(-1.0)], ["2 h 05 min", "–"]);
    }
}
