//! What a column of texts holds.

use rusqlite::types::{ToSqlOutput, Value, ValueRef};

/// Marks of a missing value, beside an empty cell, in columns of numbers and dates.
const MISSING: [&str; 10] = ["na", "n/a", "nan", "null", "none", "nil", "-", "?", "#n/a", "."];

fn is_mark(text: &str) -> bool {
    MISSING.iter().any(|mark| text.eq_ignore_ascii_case(mark))
}

/// What all values of a column, seen one after the other, can be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    integer: bool,
    real: bool,
    date: bool,
    moment: bool,
    /// Day, month, year with these two marks of order: a first number above 12, a second one.
    slashed: bool,
    first_above_12: bool,
    second_above_12: bool,
    any: bool,
}

/// What a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Real,
    Date,
    Moment,
    /// Dates as `31/12/2020`, or as `12/31/2020`.
    Slashed {
        month_first: bool,
    },
    Text,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            integer: true,
            real: true,
            date: true,
            moment: true,
            slashed: true,
            first_above_12: false,
            second_above_12: false,
            any: false,
        }
    }
}

impl Seen {
    pub(super) fn see(&mut self, text: &str) {
        if text.is_empty() || is_mark(text) {
            return;
        }
        self.any = true;
        self.integer = self.integer && integer(text).is_some();
        self.real = self.real && real(text).is_some();
        self.date = self.date && is_date(text);
        self.moment = self.moment && (is_date(text) || is_moment(text));
        if self.slashed {
            match slashed(text) {
                Some((first, second, _)) => {
                    self.first_above_12 |= first > 12;
                    self.second_above_12 |= second > 12;
                }
                None => self.slashed = false,
            }
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self { any: false, .. } => Kind::Text,
            Self { integer: true, .. } => Kind::Integer,
            Self { real: true, .. } => Kind::Real,
            Self { date: true, .. } => Kind::Date,
            Self { moment: true, .. } => Kind::Moment,
            Self { slashed: true, first_above_12, second_above_12, .. }
                if first_above_12 != second_above_12 =>
            {
                Kind::Slashed { month_first: *second_above_12 }
            }
            _ => Kind::Text,
        }
    }

    /// Whether the order of day and month cannot be told.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.any && self.slashed && self.first_above_12 == self.second_above_12
    }
}

impl Kind {
    /// The type as it is declared.
    pub(super) fn declared(self) -> &'static str {
        match self {
            Self::Integer => "INTEGER",
            Self::Real => "REAL",
            Self::Date | Self::Slashed { .. } => "DATE",
            Self::Moment => "DATETIME",
            Self::Text => "TEXT",
        }
    }

    /// A cell as it is stored, and whether a mark stood for a missing value.
    pub(super) fn value(self, text: &str) -> (ToSqlOutput<'_>, bool) {
        if text.is_empty() {
            return (ToSqlOutput::Owned(Value::Null), false);
        }
        if self != Self::Text && is_mark(text) {
            return (ToSqlOutput::Owned(Value::Null), true);
        }
        let own = match self {
            Self::Integer => integer(text).map(Value::Integer),
            Self::Real => real(text).map(Value::Real),
            Self::Slashed { month_first } => slashed(text).map(|(first, second, year)| {
                let (month, day) = if month_first { (first, second) } else { (second, first) };
                Value::Text(format!("{year:04}-{month:02}-{day:02}"))
            }),
            Self::Date | Self::Moment | Self::Text => None,
        };
        (own.map_or(ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())), ToSqlOutput::Owned), false)
    }
}

/// A whole number; not "007" or "+47", which name something.
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_name = digits.len() > 1 && digits.starts_with('0') || digits.starts_with('+');
    if is_name { None } else { text.parse().ok() }
}

fn real(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let mut letters = digits.chars();
    let is_name = letters.next() == Some('0') && letters.next().is_some_and(|letter| letter.is_ascii_digit());
    let begins = digits.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.');
    if is_name || !begins { None } else { text.parse().ok().filter(|number: &f64| number.is_finite()) }
}

fn number(text: &str, digits: usize) -> Option<u32> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// `2020-12-31`
fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let (Some(year), Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    number(year, 4).is_some()
        && number(month, 2).is_some_and(|month| (1..=12).contains(&month))
        && number(day, 2).is_some_and(|day| (1..=31).contains(&day))
}

/// `2020-12-31 23:59:59`, with `T` between, parts of seconds or a zone.
fn is_moment(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', ' ']) else { return false };
    let time = time.trim_end_matches('Z');
    let time = time.split(['+', '-']).next().unwrap_or(time);
    let mut parts = time.split(':');
    is_date(date)
        && parts.next().is_some_and(|hour| number(hour, 2).is_some())
        && parts.next().is_some_and(|minute| number(minute, 2).is_some())
        && parts.next().is_none_or(|second| second.parse::<f64>().is_ok())
        && parts.next().is_none()
}

/// `31/12/2020` or `12/31/2020`: the three numbers.
fn slashed(text: &str) -> Option<(u32, u32, u32)> {
    let date = text.split(' ').next()?;
    // A time behind it would be lost.
    if date.len() != text.len() {
        return None;
    }
    let mut parts = date.split(['/', '.']);
    let (first, second, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let short =
        |text: &str| number(text, 1).or_else(|| number(text, 2)).filter(|part| (1..=31).contains(part));
    Some((short(first)?, short(second)?, number(year, 4)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(values: &[&str]) -> Kind {
        let mut seen = Seen::default();
        values.iter().for_each(|value| seen.see(value));
        seen.kind()
    }

    #[test]
    fn columns_are_what_all_their_values_are() {
        assert_eq!(kind(&["1", "-20", "", "NA"]), Kind::Integer);
        assert_eq!(kind(&["1", "2.5", "1e3"]), Kind::Real);
        assert_eq!(kind(&["007", "008"]), Kind::Text);
        assert_eq!(kind(&["+4712", "1"]), Kind::Text);
        assert_eq!(kind(&["9223372036854775808"]), Kind::Real);
        assert_eq!(kind(&["2020-12-31", ""]), Kind::Date);
        assert_eq!(kind(&["2020-12-31", "2020-12-31T10:00:00Z", "2020-01-01 10:00"]), Kind::Moment);
        assert_eq!(kind(&["2020-13-31"]), Kind::Text);
        assert_eq!(kind(&["1/2/2020", "1/31/2020"]), Kind::Slashed { month_first: true });
        assert_eq!(kind(&["1.2.2020", "31.1.2020"]), Kind::Slashed { month_first: false });
        assert_eq!(kind(&["1/2/2020", "3/4/2020"]), Kind::Text);
        assert_eq!(kind(&["inf", "1"]), Kind::Text);
        assert_eq!(kind(&["", "NA"]), Kind::Text);
    }
}
