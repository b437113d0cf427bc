//! A text table as a data set: which columns are numbers, which are categories, what is asked, and the encoding.
//!
//! All that is learned from the data (means, deviations, levels) is learned from the training rows alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use crate::dataset::{SPLIT_SEED, TRAIN_FRACTION};
use crate::sheet::{self, Sheet};
use crate::{
    ColumnEncoding, ColumnKind, Dataset, Error, Examples, Features, Preprocessing, Result, Table, Targets,
    Task, split_indices,
};

/// A column of categories keeps this many levels; where it has more, the rarest share one.
const MAXIMUM_LEVELS: usize = 64;

/// Integers with more distinct values than this are quantities, not classes.
const MAXIMUM_INTEGER_CLASSES: usize = 20;

/// Larger numbers are read as text: their squares and sums would leave the range of `f32`.
const LARGEST: f64 = 1e30;

/// Standardized values are kept within this: an outlier in a new file must not become infinite.
const LARGEST_STANDARDIZED: f64 = 1e6;

/// Reads a CSV file (comma, semicolon or tab) with one header line and learns to predict the column `target`.
///
/// It is a classification if the target holds text, or integers with at most 20 distinct values, each on average
/// in two rows or more; otherwise a regression. The decision and every column left out is in [`Dataset::notes`].
/// A stratified fifth of the rows, always the same, is held back as test.
///
/// # Errors
/// An unreadable or malformed file (with the line), a target that does not exist (with the nearest name) or does
/// not vary, no usable column, or too few rows.
pub fn table(path: &Path, target: &str) -> Result<Dataset> {
    let mut sheet = sheet::read_file(path)?;
    let target_column = column(&sheet, target).ok_or_else(|| unknown_column(path, &sheet, target))?;
    let mut notes = Vec::new();

    let before = sheet.rows.len();
    sheet.rows.retain(|row| !is_missing(&row[target_column]));
    if sheet.rows.len() < before {
        notes.push(format!("{} rows without a value of '{target}' were left out", before - sheet.rows.len()));
    }
    let texts: Vec<&str> = sheet.rows.iter().map(|row| row[target_column].as_str()).collect();
    let decision = Decision::of(&texts, target, path, &mut notes)?;
    let placeholder = match &decision {
        Decision::Classes { labels, .. } => Targets::Classes(labels.clone()),
        Decision::Values(values) => Targets::Values(vec![0.0; values.len()]),
    };
    let (train_rows, test_rows) = split_indices(&placeholder, TRAIN_FRACTION, SPLIT_SEED);
    if test_rows.is_empty() {
        let got = format!("{} rows with a value of '{target}'", sheet.rows.len());
        return Err(Error::mismatch(path, got, "enough to test with: two of a class"));
    }

    let mut columns = Vec::new();
    for (at, name) in sheet.header.iter().enumerate().filter(|(at, _)| *at != target_column) {
        let all: Vec<&str> = sheet.rows.iter().map(|row| row[at].as_str()).collect();
        let train: Vec<&str> = train_rows.iter().map(|row| all[*row]).collect();
        if let Some(kind) = learn_column(name, &all, &train, &mut notes) {
            columns.push(ColumnEncoding { name: name.clone(), kind });
        }
    }
    if columns.is_empty() {
        return Err(Error::mismatch(
            path,
            "no column to learn from",
            "a column that varies beside the target",
        ));
    }

    let (task, targets) = decision.finish(target, &train_rows);
    let features = Features::Table(encode(&sheet, &columns, path)?);
    let examples = Examples { features, targets };
    let (train, test) = (examples.subset(&train_rows), examples.subset(&test_rows));
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let preprocessing = Preprocessing::Table { columns, target: target.to_owned() };
    let mut dataset = Dataset::new(name, task, train, test, preprocessing);
    dataset.notes = notes;
    Ok(dataset)
}

impl Preprocessing {
    /// Encodes the rows of a CSV file as the training rows were encoded. The target column may be there or not.
    ///
    /// # Errors
    /// An unreadable or malformed file, a missing column, text where a number is expected (with the line);
    /// [`Error::Mismatch`] where this preprocessing is for images.
    pub fn encode_csv(&self, path: &Path) -> Result<Table> {
        let Self::Table { columns, .. } = self else {
            return Err(Error::mismatch(path, "a CSV file", "an image, which this network learned from"));
        };
        encode(&sheet::read_file(path)?, columns, path)
    }
}

/// The task that the target column defines.
enum Decision {
    Classes { names: Vec<String>, labels: Vec<u32> },
    Values(Vec<f64>),
}

impl Decision {
    fn of(texts: &[&str], target: &str, path: &Path, notes: &mut Vec<String>) -> Result<Self> {
        let numbers: Option<Vec<f64>> = texts.iter().map(|text| number(text)).collect();
        let distinct = |count: usize| {
            if count < 2 {
                let got = format!("{count} distinct values in the target '{target}'");
                return Err(Error::mismatch(path, got, "a target that varies"));
            }
            Ok(count)
        };
        let Some(numbers) = numbers else {
            let names: BTreeSet<&str> = texts.iter().copied().collect();
            let count = distinct(names.len())?;
            if count * 2 > texts.len() {
                let got = format!("{count} different texts in {} rows of the target '{target}'", texts.len());
                return Err(Error::mismatch(path, got, "classes that repeat, or numbers"));
            }
            notes.push(format!("target '{target}' is text with {count} distinct values: classification"));
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            let numbers: HashMap<&str, u32> = names.iter().map(String::as_str).zip(0..).collect();
            let labels = texts.iter().map(|text| numbers[text]).collect();
            return Ok(Self::Classes { names, labels });
        };
        let integers: Option<Vec<i64>> =
            numbers.iter().map(|n| (n.fract() == 0.0 && n.abs() < 1e15).then_some(*n as i64)).collect();
        let values: BTreeSet<u64> = numbers.iter().map(|n| (n + 0.0).to_bits()).collect();
        let count = distinct(values.len())?;
        if let Some(integers) = integers
            && count <= MAXIMUM_INTEGER_CLASSES
            && count * 2 <= texts.len()
        {
            notes.push(format!("target '{target}' is integer with {count} distinct values: classification"));
            let order: BTreeSet<i64> = integers.iter().copied().collect();
            let numbers: HashMap<i64, u32> = order.iter().copied().zip(0..).collect();
            let names = order.iter().map(i64::to_string).collect();
            return Ok(Self::Classes { names, labels: integers.iter().map(|n| numbers[n]).collect() });
        }
        notes.push(format!("target '{target}' is numeric with {count} distinct values: regression"));
        Ok(Self::Values(numbers))
    }

    fn finish(self, target: &str, train_rows: &[usize]) -> (Task, Targets) {
        match self {
            Self::Classes { names, labels } => {
                (Task::Classification { classes: names }, Targets::Classes(labels))
            }
            Self::Values(values) => {
                let (mean, deviation) = moments(train_rows.iter().map(|row| values[*row]));
                let targets = values.iter().map(|value| standardize(*value, mean, deviation)).collect();
                let (mean, deviation) = (mean as f32, deviation as f32);
                (Task::Regression { target: target.to_owned(), mean, deviation }, Targets::Values(targets))
            }
        }
    }
}

/// The encoding of one column, or `None` (with a note) where there is nothing to learn from it.
fn learn_column(name: &str, all: &[&str], train: &[&str], notes: &mut Vec<String>) -> Option<ColumnKind> {
    let present: Vec<&str> = train.iter().copied().filter(|text| !is_missing(text)).collect();
    let missing = present.len() < train.len();
    if present.is_empty() {
        notes.push(format!("column '{name}' is empty and was left out"));
        return None;
    }
    let distinct: BTreeSet<&str> = present.iter().copied().collect();
    if distinct.len() == 1 && !missing {
        notes.push(format!("column '{name}' is always '{}' and was left out", present[0]));
        return None;
    }
    let all_present = || all.iter().filter(|text| !is_missing(text));
    let numeric = all_present().filter(|text| number(text).is_some()).count();
    if numeric == all_present().count() {
        let (mean, deviation) = moments(present.iter().filter_map(|text| number(text)));
        return Some(ColumnKind::Numeric { mean, deviation, missing_indicator: missing });
    }
    if distinct.len() == present.len() {
        notes.push(format!("column '{name}' has a different text in each row and was left out"));
        return None;
    }
    if numeric * 2 > all_present().count()
        && let Some(text) = all_present().find(|text| number(text).is_none())
    {
        notes.push(format!("column '{name}' is read as text because of values like '{text}'"));
    }
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
    Some(ColumnKind::Categorical { levels, other: missing || rare })
}

fn encode(sheet: &Sheet, columns: &[ColumnEncoding], path: &Path) -> Result<Table> {
    let places = columns
        .iter()
        .map(|wanted| column(sheet, &wanted.name).ok_or_else(|| unknown_column(path, sheet, &wanted.name)))
        .collect::<Result<Vec<usize>>>()?;
    let lookups: Vec<HashMap<&str, usize>> = columns
        .iter()
        .map(|column| match &column.kind {
            ColumnKind::Numeric { .. } => HashMap::new(),
            ColumnKind::Categorical { levels, .. } => levels.iter().map(String::as_str).zip(0..).collect(),
        })
        .collect();
    let width: usize = columns.iter().map(|column| column.kind.width()).sum();
    let mut values = vec![0.0; sheet.rows.len() * width];
    for (row, (texts, line)) in sheet.rows.iter().zip(&sheet.lines).enumerate() {
        let mut cells = &mut values[row * width..][..width];
        for ((column, place), lookup) in columns.iter().zip(&places).zip(&lookups) {
            let text = texts[*place].as_str();
            let (own, rest) = std::mem::take(&mut cells).split_at_mut(column.kind.width());
            cells = rest;
            match &column.kind {
                ColumnKind::Numeric { mean, deviation, missing_indicator } => {
                    if is_missing(text) {
                        // The value stays 0, which is the mean.
                        if *missing_indicator {
                            own[1] = 1.0;
                        }
                    } else {
                        let value = number(text).ok_or_else(|| {
                            let got = format!("'{text}' in column '{}'", column.name);
                            Error::line(path, *line, got, "a number")
                        })?;
                        own[0] = standardize(value, *mean, *deviation);
                    }
                }
                ColumnKind::Categorical { levels, other } => match lookup.get(text) {
                    Some(level) => own[*level] = 1.0,
                    None if *other => own[levels.len()] = 1.0,
                    None => {}
                },
            }
        }
    }
    Ok(Table { values, rows: sheet.rows.len(), columns: width })
}

fn column(sheet: &Sheet, name: &str) -> Option<usize> {
    sheet.header.iter().position(|column| column == name)
}

fn unknown_column(path: &Path, sheet: &Sheet, name: &str) -> Error {
    let nearest = sheet.header.iter().max_by(|a, b| {
        let similarity = |column: &str| strsim::jaro_winkler(&column.to_lowercase(), &name.to_lowercase());
        similarity(a).total_cmp(&similarity(b))
    });
    let nearest = nearest.map(|column| format!("did you mean '{column}'? ")).unwrap_or_default();
    let expected = format!("one of the columns ({nearest}there are {})", sheet.header.join(", "));
    Error::mismatch(path, format!("no column '{name}'"), expected)
}

fn is_missing(text: &str) -> bool {
    text.is_empty() || ["NA", "NaN", "null", "?"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.abs() <= LARGEST)
}

/// Mean and deviation; the deviation of values that do not vary is 1.
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    let deviation = (values.map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    // Below this the "variation" is rounding.
    (mean, if deviation > 1e-12 * mean.abs().max(1e-12) { deviation } else { 1.0 })
}

fn standardize(value: f64, mean: f64, deviation: f64) -> f32 {
    ((value - mean) / deviation).clamp(-LARGEST_STANDARDIZED, LARGEST_STANDARDIZED) as f32
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
