//! Cells of a table: which are missing, which are numbers, and how their decimals are written.

use serde::{Deserialize, Serialize};

/// Larger numbers are read as text: their squares and sums would leave the range of `f32`.
const LARGEST: f64 = 1e30;

/// The marks of a missing value: those of pandas' `read_csv`, and the question mark of the UCI repository. Upper and lower
/// case are the same.
const MISSING: [&str; 19] = [
    "?", "#n/a", "#n/a n/a", "#na", "-1.#ind", "-1.#qnan", "-nan", "1.#ind", "1.#qnan", "<na>", "n/a", "na",
    "nan", "none", "null", "#null!", "#div/0!", "#value!", "#ref!",
];

/// How the numbers of a column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decimal {
    /// `1,234.5`: the comma groups digits.
    #[default]
    Point,
    /// `1.234,5`: the point groups digits.
    Comma,
}

/// Whether a cell has no value.
pub(super) fn is_missing(text: &str) -> bool {
    text.is_empty() || MISSING.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether a cell is a code rather than a number: digits that begin with a zero.
pub(super) fn is_code(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The number in a cell. A currency sign, a percent sign and marks between groups of three digits are passed over.
pub(super) fn number(text: &str, decimal: Decimal) -> Option<f64> {
    let finite = |value: f64| Some(value).filter(|value| value.abs() <= LARGEST);
    if decimal == Decimal::Point
        && let Ok(value) = text.parse()
    {
        return finite(value);
    }
    let text = bare(text);
    let (mark, group) = match decimal {
        Decimal::Point => ('.', ','),
        Decimal::Comma => (',', '.'),
    };
    let spaces = ['\u{a0}', '\u{202f}', ' ', '\''];
    let (whole, fraction) = match text.split_once(mark) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let group = spaces.into_iter().find(|space| whole.contains(*space)).unwrap_or(group);
    if is_grouped(whole, group) {
        let plain = format!("{}.{}", whole.replace(group, ""), fraction.unwrap_or("0"));
        return plain.parse().ok().and_then(finite);
    }
    // A point number in a column of commas, as far as it cannot be grouped digits.
    text.replacen(mark, ".", 1).parse().ok().and_then(finite)
}

/// Without a sign of currency or percent.
fn bare(text: &str) -> &str {
    let text = text.strip_suffix(['%', '€', '$', '£']).unwrap_or(text);
    text.strip_prefix(['€', '$', '£']).unwrap_or(text).trim()
}

/// Whether digits stand in groups of three: `1,234` or `-12,345,678`, and not `0,942`.
fn is_grouped(whole: &str, group: char) -> bool {
    let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    let mut groups = digits.split(group);
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let first = groups.next().unwrap_or_default();
    let mut rest = groups.peekable();
    rest.peek().is_some()
        && (1..=3).contains(&first.len())
        && is_digits(first)
        && !first.starts_with('0')
        && rest.all(|part| part.len() == 3 && is_digits(part))
}

/// What a cell says about how decimals are written; `None` where both readings are numbers, or neither is.
pub(super) fn evidence(text: &str) -> Option<Decimal> {
    let text = bare(text);
    if !text.contains([',', '.']) {
        return None;
    }
    let reads = |decimal| number(text, decimal).is_some();
    match (text.rfind(','), text.rfind('.')) {
        // Whatever stands last marks the decimals.
        (Some(comma), Some(point)) if point > comma => reads(Decimal::Point).then_some(Decimal::Point),
        (Some(_), Some(_)) => reads(Decimal::Comma).then_some(Decimal::Comma),
        (Some(_), None) => alone(text, ',', Decimal::Comma, Decimal::Point),
        _ => alone(text, '.', Decimal::Point, Decimal::Comma),
    }
}

/// What a cell with one kind of mark says: a mark that cannot group digits is that of decimals, several can only group.
fn alone(text: &str, mark: char, decimals: Decimal, groups: Decimal) -> Option<Decimal> {
    let several = text.matches(mark).count() > 1;
    let said = match (several, is_grouped(text, mark)) {
        (false, false) => decimals,
        (true, true) => groups,
        _ => return None,
    };
    number(text, said).map(|_| said)
}

/// How the numbers among these cells are written; `usual` where nothing tells.
pub(super) fn decimal_of<'a>(cells: impl Iterator<Item = &'a str>, usual: Decimal) -> Decimal {
    let (mut points, mut commas) = (0_usize, 0_usize);
    for cell in cells {
        match evidence(cell) {
            Some(Decimal::Point) => points += 1,
            Some(Decimal::Comma) => commas += 1,
            None => {}
        }
    }
    match points.cmp(&commas) {
        std::cmp::Ordering::Less => Decimal::Comma,
        std::cmp::Ordering::Greater => Decimal::Point,
        std::cmp::Ordering::Equal => usual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_both_ways() {
        let point = [
            ("1.5", 1.5),
            ("-1,397", -1397.0),
            ("1,234.5", 1234.5),
            ("$1,234", 1234.0),
            ("12 %", 12.0),
            ("1e3", 1000.0),
            ("1 234 567", 1_234_567.0),
        ];
        for (text, value) in point {
            assert_eq!(number(text, Decimal::Point), Some(value), "{text}");
        }
        let comma = [
            ("0,942", 0.942),
            ("-1,397", -1.397),
            ("1.234,5", 1234.5),
            ("7", 7.0),
            ("1.234", 1234.0),
            ("0.5", 0.5),
        ];
        for (text, value) in comma {
            assert_eq!(number(text, Decimal::Comma), Some(value), "{text}");
        }
        for text in ["red", "1,2,3", "2e40", "inf", "", "1.2.3", "12,34,567"] {
            assert_eq!(number(text, Decimal::Point), None, "{text}");
        }
    }

    #[test]
    fn cells_tell_how_decimals_are_written() {
        let told = [
            ("0,942", Some(Decimal::Comma)),
            ("1,397", None),
            ("1,234.5", Some(Decimal::Point)),
            ("1.234,5", Some(Decimal::Comma)),
            ("1.5", Some(Decimal::Point)),
            ("1.234", None),
            ("1.2345", Some(Decimal::Point)),
            ("1.234.567", Some(Decimal::Comma)),
            ("12", None),
            ("a,b", None),
        ];
        for (text, expected) in told {
            assert_eq!(evidence(text), expected, "{text}");
        }
        assert_eq!(decimal_of(["1,397", "0,68"].into_iter(), Decimal::Point), Decimal::Comma);
        assert_eq!(decimal_of(["1,397"].into_iter(), Decimal::Point), Decimal::Point);
    }

    #[test]
    fn the_marks_of_pandas_are_missing_values() {
        let pandas = [
            "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
            "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
        ];
        assert!(pandas.iter().all(|mark| is_missing(mark)));
        assert!(!is_missing("no") && !is_missing("0"));
        assert!(is_code("00123") && is_code("01") && !is_code("0") && !is_code("0.5") && !is_code("12300"));
    }
}
