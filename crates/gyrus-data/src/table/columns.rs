//! Columns of a table: what kind each is, what is left out, and the numbers that a row becomes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::cells::{Decimal, decimal_of, is_code, is_missing, number};
use crate::sheet::{Sheet, cells};
use crate::{ColumnEncoding, ColumnKind, Error, Result, Table};

/// A column of categories keeps this many levels; where it has more, the rarest share one.
const MAXIMUM_LEVELS: usize = 64;

/// Standardized values are kept within this: an outlier in a new file must not become infinite.
const LARGEST_STANDARDIZED: f64 = 1e6;

/// Deviations from the mean beyond which a value makes a long tail.
const FAR: f64 = 8.0;

/// Names of columns that only tell rows apart.
const IDENTIFIERS: [&str; 8] = ["id", "index", "idx", "row", "rowid", "row_id", "no", "nr"];

/// Whether cells that are no numbers are slips among numbers: one in twenty at most, or a single one among ten.
pub(super) fn are_slips(odd: usize, present: usize) -> bool {
    odd * 20 <= present || odd == 1 && present > 10
}

/// Why the first column only counts the rows, if it does.
pub(super) fn index_column(sheet: &Sheet) -> Option<&'static str> {
    if !sheet.first_is_named {
        return Some("has no name, as the row numbers that pandas and R write");
    }
    let integers: Vec<i64> = sheet.rows.iter().map(|row| row[0].parse().ok()).collect::<Option<_>>()?;
    let counts = integers.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]));
    if counts && integers.len() > 2 && matches!(integers.first(), Some(0 | 1)) {
        return Some("only counts the rows");
    }
    let is_identifier = IDENTIFIERS.contains(&sheet.header[0].to_ascii_lowercase().as_str());
    let distinct = integers.iter().collect::<BTreeSet<_>>().len() == integers.len();
    (is_identifier && distinct).then_some("numbers the rows")
}

/// How numbers are written in the columns that leave it open: with commas where another column is certain of them, or where
/// semicolons separate the fields and no column has points.
pub(super) fn usual_decimal(sheet: &Sheet) -> Decimal {
    let of = |at: usize| {
        let cells = || sheet.rows.iter().map(move |row| row[at].as_str());
        // A column that reads differently under both defaults says nothing.
        let decimals = [Decimal::Point, Decimal::Comma].map(|usual| decimal_of(cells(), usual));
        let said = (decimals[0] == decimals[1]).then_some(decimals[0])?;
        let present = cells().filter(|text| !is_missing(text)).count();
        let numbers = cells().filter(|text| number(text, said).is_some()).count();
        are_slips(present.saturating_sub(numbers), present).then_some(said)
    };
    let said: Vec<Decimal> = (0..sheet.header.len()).filter_map(of).collect();
    let commas = said.contains(&Decimal::Comma);
    if commas || sheet.delimiter == b';' && !said.contains(&Decimal::Point) {
        Decimal::Comma
    } else {
        Decimal::Point
    }
}

/// The encoding of one column, or `None` (with a note) where there is nothing to learn from it. `usual` is how numbers are
/// written where the column leaves it open.
pub(super) fn learn_column(
    sheet: &Sheet,
    at: usize,
    train_rows: &[usize],
    usual: Decimal,
    notes: &mut Vec<String>,
) -> Option<ColumnKind> {
    let name = &sheet.header[at];
    let all = || sheet.rows.iter().map(|row| row[at].as_str());
    let train = || train_rows.iter().map(|row| sheet.rows[*row][at].as_str());
    let present: Vec<&str> = train().filter(|text| !is_missing(text)).collect();
    if present.is_empty() {
        notes.push(format!("column '{name}' is empty and was left out"));
        return None;
    }
    let distinct: BTreeSet<&str> = present.iter().copied().collect();
    if distinct.len() == 1 && present.len() == train_rows.len() {
        notes.push(format!("column '{name}' is always '{}' and was left out", present[0]));
        return None;
    }
    let every = || all().filter(|text| !is_missing(text));
    let decimal = decimal_of(every(), usual);
    let value = |text: &str| number(text, decimal);
    let (count, odd) = (every().count(), every().filter(|text| value(text).is_none()).count());
    let code = every().find(|text| is_code(text)).filter(|_| every().all(|text| text.parse::<u64>().is_ok()));
    let numbers = present.iter().filter_map(|text| value(text));
    if are_slips(odd, count) && code.is_none() && numbers.clone().next().is_some() {
        if odd > 0 {
            let places = odd_cells(sheet, at, |text| value(text).is_none());
            notes.push(format!(
                "column '{name}' holds what is no number, taken as missing: {}",
                cells(&places)
            ));
        }
        if decimal == Decimal::Comma && every().any(|text| text.contains(',')) {
            notes.push(format!("column '{name}' has decimal commas"));
        } else if let Some(text) = every().find(|text| text.contains(',') && value(text).is_some()) {
            let number = value(text).unwrap_or_default();
            notes.push(format!("column '{name}' groups digits by commas: '{text}' is {number}"));
        }
        let missing = numbers.clone().count() < train_rows.len();
        let tail = long_tail(numbers.clone());
        if tail.is_some() {
            notes.push(format!("column '{name}' has a long tail: its values are compressed"));
        }
        let (mean, deviation) = tail.unwrap_or_else(|| moments(numbers));
        let long_tail = tail.is_some();
        let (low, high) = numbers_range(present.iter().filter_map(|text| value(text)));
        let limits = Some([low - (high - low) / 2.0, high + (high - low) / 2.0]);
        return Some(ColumnKind::Numeric {
            mean,
            deviation,
            missing_indicator: missing,
            decimal,
            long_tail,
            limits,
        });
    }
    if distinct.len() == present.len() {
        let what = if code.is_some() { "code" } else { "text" };
        notes.push(format!("column '{name}' has a different {what} in each row and was left out"));
        return None;
    }
    if let Some(code) = code {
        notes.push(format!(
            "column '{name}' holds codes such as '{code}', which are categories and not numbers"
        ));
    } else if odd * 2 < count
        && let Some(text) = every().find(|text| value(text).is_none())
    {
        notes.push(format!(
            "column '{name}' is read as text because {odd} of {count} cells are no numbers, such as '{text}'"
        ));
    }
    let missing = present.len() < train_rows.len();
    Some(categories(name, &present, missing, notes))
}

fn categories(name: &str, present: &[&str], missing: bool, notes: &mut Vec<String>) -> ColumnKind {
    let mut counts = BTreeMap::<&str, usize>::new();
    present.iter().for_each(|text| *counts.entry(text).or_default() += 1);
    let rare = counts.len() > MAXIMUM_LEVELS;
    let mut levels: Vec<(&str, usize)> = counts.into_iter().collect();
    if rare {
        notes.push(format!(
            "column '{name}' has {} distinct values: the {} most frequent are kept, the others share one",
            levels.len(),
            MAXIMUM_LEVELS - 1,
        ));
        // The sort is stable: among equals the alphabet decides.
        levels.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        levels.truncate(MAXIMUM_LEVELS - 1);
        levels.sort_unstable();
    }
    let levels = levels.into_iter().map(|(level, _)| level.to_owned()).collect();
    ColumnKind::Categorical { levels, other: missing || rare }
}

/// The cells of a column that are not missing and of which `is_odd` holds, each with its line.
pub(super) fn odd_cells(sheet: &Sheet, at: usize, is_odd: impl Fn(&str) -> bool) -> Vec<String> {
    let rows = sheet.rows.iter().map(|row| row[at].as_str()).zip(&sheet.lines);
    let odd = rows.filter(|(text, _)| !is_missing(text) && is_odd(text));
    odd.map(|(text, line)| format!("'{text}' (line {line})")).collect()
}

/// The rows of a sheet as numbers, and notes on cells that nothing like was learned from.
///
/// # Errors
/// A column that is not there, or one of numbers without a single number.
pub(super) fn encode(sheet: &Sheet, columns: &[ColumnEncoding], path: &Path) -> Result<(Table, Vec<String>)> {
    let width: usize = columns.iter().map(|column| column.kind.width()).sum();
    let mut values = vec![0.0; sheet.rows.len() * width];
    let mut notes = Vec::new();
    let mut start = 0;
    for column in columns {
        let name = &column.name;
        let at = position(sheet, name).ok_or_else(|| unknown_column(path, sheet, name))?;
        let cells_of = || sheet.rows.iter().map(|row| row[at].as_str());
        let own = values.chunks_exact_mut(width.max(1)).map(|row| &mut row[start..][..column.kind.width()]);
        match &column.kind {
            ColumnKind::Numeric { mean, deviation, missing_indicator, decimal, long_tail, limits } => {
                let decimal = decimal_of(cells_of(), *decimal);
                let mut numbers = 0;
                let mut beyond = Vec::new();
                for ((own, text), line) in own.zip(cells_of()).zip(&sheet.lines) {
                    // A missing value stays 0, which is the mean.
                    match number(text, decimal).filter(|_| !is_missing(text)) {
                        Some(value) => {
                            let [low, high] = limits.unwrap_or([f64::MIN, f64::MAX]);
                            if !(low..=high).contains(&value) {
                                beyond.push(format!("'{text}' (line {line})"));
                            }
                            let value = standardize(value.clamp(low, high.max(low)), *mean, *deviation);
                            own[0] = if *long_tail { value.asinh() } else { value };
                            numbers += 1;
                        }
                        None if *missing_indicator => own[1] = 1.0,
                        None => {}
                    }
                }
                if !beyond.is_empty() {
                    let places = cells(&beyond);
                    notes.push(format!(
                        "column '{name}' is far outside of what training rows had, and is taken as less: {places}"
                    ));
                }
                let odd = |text: &str| number(text, decimal).is_none();
                if let Some((text, line)) =
                    cells_of().zip(&sheet.lines).find(|(t, _)| !is_missing(t) && odd(t))
                {
                    if numbers == 0 {
                        return Err(Error::line(
                            path,
                            *line,
                            format!("'{text}' in column '{name}'"),
                            "a number",
                        ));
                    }
                    let places = cells(&odd_cells(sheet, at, odd));
                    notes
                        .push(format!("column '{name}' holds what is no number, taken as missing: {places}"));
                }
            }
            ColumnKind::Categorical { levels, other } => {
                let lookup: HashMap<&str, usize> = levels.iter().map(String::as_str).zip(0..).collect();
                for (own, text) in own.zip(cells_of()) {
                    match lookup.get(text) {
                        Some(level) => own[*level] = 1.0,
                        None if *other => own[levels.len()] = 1.0,
                        None => {}
                    }
                }
                let unseen = odd_cells(sheet, at, |text| !lookup.contains_key(text));
                // Where the rarest share one, a level that was kept out is nothing new.
                if !unseen.is_empty() && levels.len() + 1 < MAXIMUM_LEVELS {
                    notes.push(format!("column '{name}' holds what no training row had: {}", cells(&unseen)));
                }
            }
        }
        start += column.kind.width();
    }
    Ok((Table { values, rows: sheet.rows.len(), columns: width }, notes))
}

pub(super) fn position(sheet: &Sheet, name: &str) -> Option<usize> {
    sheet.header.iter().position(|column| column == name)
}

pub(super) fn unknown_column(path: &Path, sheet: &Sheet, name: &str) -> Error {
    let nearest = sheet.header.iter().max_by(|a, b| {
        let similarity = |column: &str| strsim::jaro_winkler(&column.to_lowercase(), &name.to_lowercase());
        similarity(a).total_cmp(&similarity(b))
    });
    let nearest = nearest.map(|column| format!("did you mean '{column}'? ")).unwrap_or_default();
    let expected = format!("one of the columns ({nearest}there are {})", sheet.header.join(", "));
    Error::mismatch(path, format!("no column '{name}'"), expected)
}

/// The least and the largest value.
fn numbers_range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// Median, and the deviation of a normal distribution with the same quartiles, of values some of which are far from all
/// others; `None` for other values, and where half of them are equal.
fn long_tail(values: impl Iterator<Item = f64> + Clone) -> Option<(f64, f64)> {
    let (mean, deviation) = moments(values.clone());
    if !values.clone().any(|value| (value - mean).abs() > FAR * deviation) {
        return None;
    }
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
    let spread = (at(0.75) - at(0.25)) / 1.349;
    (spread > 1e-6 * deviation).then_some((at(0.5), spread))
}

/// Mean and deviation; the deviation of values that do not vary is 1.
pub(super) fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    let deviation = (values.map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    // Below this the "variation" is rounding.
    (mean, if deviation > 1e-12 * mean.abs().max(1e-12) { deviation } else { 1.0 })
}

pub(super) fn standardize(value: f64, mean: f64, deviation: f64) -> f32 {
    ((value - mean) / deviation).clamp(-LARGEST_STANDARDIZED, LARGEST_STANDARDIZED) as f32
}
