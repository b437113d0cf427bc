//! Days and microseconds as ISO 8601 writes them, in the proleptic Gregorian calendar.

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Year, month and day of a number of days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A day, from the days since 1970-01-01.
pub(super) fn date(days: i64) -> String {
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A time of day, from the microseconds since midnight; fractions only where there are some.
pub(super) fn time(micros: i64) -> String {
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match rest {
        0 => text,
        rest => format!("{text}.{}", format!("{rest:06}").trim_end_matches('0')),
    }
}

/// A day and a time, from the microseconds since 1970-01-01T00:00:00.
pub(super) fn moment(micros: i64) -> String {
    format!("{} {}", date(micros.div_euclid(DAY)), time(micros.rem_euclid(DAY)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_dates() {
        assert_eq!([date(0), date(-1), date(19_782)], ["1970-01-01", "1969-12-31", "2024-02-29"]);
        assert_eq!(date(-719_468), "0000-03-01");
        assert_eq!(moment(1_700_000_000_250_000), "2023-11-14 22:13:20.25");
        assert_eq!([time(0), time(86_399_000_000)], ["00:00:00", "23:59:59"]);
    }
}
