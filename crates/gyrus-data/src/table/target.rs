//! The target column: classes or numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::cells::{Decimal, decimal_of, is_code, is_missing, number};
use super::columns::{are_slips, moments, odd_cells, standardize};
use crate::sheet::{Sheet, cells};
use crate::{Error, Result, Targets, Task};

/// Integers with more distinct values than this are quantities, not classes.
const MAXIMUM_INTEGER_CLASSES: usize = 20;

/// Classes of a single row that are named.
const SINGLES_NAMED: usize = 3;

/// The task that the target column defines.
pub(super) enum Decision {
    Classes { names: Vec<String>, labels: Vec<u32>, decimal: Option<Decimal> },
    Values { values: Vec<f64>, decimal: Decimal },
}

impl Decision {
    /// Looks at the column `at`; rows without a value of it are removed from the sheet.
    pub(super) fn of(
        sheet: &mut Sheet,
        at: usize,
        usual: Decimal,
        path: &Path,
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        let target = sheet.header[at].clone();
        keep_rows(sheet, at, notes, &target, |text| !is_missing(text));
        let column = |sheet: &Sheet| sheet.rows.iter().map(|row| row[at].clone()).collect::<Vec<String>>();
        let texts = column(sheet);
        let decimal = decimal_of(texts.iter().map(String::as_str), usual);
        let value = |text: &str| number(text, decimal);
        let odd = texts.iter().filter(|text| value(text).is_none()).count();
        let is_number = |text: &str| value(text).is_some();
        let are_codes =
            texts.iter().any(|text| is_code(text)) && texts.iter().all(|text| text.parse::<u64>().is_ok());
        if are_codes || odd > 0 && !are_slips_of_many_values(&texts, odd, is_number) {
            return Self::of_texts(&texts, &target, path, notes);
        }
        if odd > 0 {
            let places = odd_cells(sheet, at, |text| !is_number(text));
            notes.push(format!("rows whose '{target}' is no number were left out: {}", cells(&places)));
            keep_rows(sheet, at, &mut Vec::new(), &target, is_number);
        }
        let numbers: Vec<f64> = column(sheet).iter().filter_map(|text| value(text)).collect();
        if decimal == Decimal::Comma && texts.iter().any(|text| text.contains(',')) {
            notes.push(format!("target '{target}' has decimal commas"));
        }
        Self::of_numbers(numbers, decimal, &target, path, notes)
    }

    fn of_texts(texts: &[String], target: &str, path: &Path, notes: &mut Vec<String>) -> Result<Self> {
        let mut counts = BTreeMap::<&str, usize>::new();
        texts.iter().for_each(|text| *counts.entry(text.as_str()).or_default() += 1);
        let count = varied(counts.len(), target, path)?;
        if count * 2 > texts.len() {
            let got = format!("{count} different texts in {} rows of the target '{target}'", texts.len());
            return Err(Error::mismatch(path, got, "classes that repeat, or numbers"));
        }
        notes.push(format!("target '{target}' is text with {count} distinct values: classification"));
        note_singles(counts.iter().map(|(name, count)| ((*name).to_owned(), *count)), notes);
        let names: Vec<String> = counts.into_keys().map(str::to_owned).collect();
        let numbers: HashMap<&str, u32> = names.iter().map(String::as_str).zip(0..).collect();
        let labels = texts.iter().map(|text| numbers[text.as_str()]).collect();
        Ok(Self::Classes { names, labels, decimal: None })
    }

    fn of_numbers(
        numbers: Vec<f64>,
        decimal: Decimal,
        target: &str,
        path: &Path,
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        let integers: Option<Vec<i64>> =
            numbers.iter().map(|n| (n.fract() == 0.0 && n.abs() < 1e15).then_some(*n as i64)).collect();
        let values: BTreeSet<u64> = numbers.iter().map(|n| (n + 0.0).to_bits()).collect();
        let count = varied(values.len(), target, path)?;
        if let Some(integers) = integers
            && count <= MAXIMUM_INTEGER_CLASSES
            && count * 2 <= numbers.len()
        {
            notes.push(format!("target '{target}' is integer with {count} distinct values: classification"));
            let mut counts = BTreeMap::<i64, usize>::new();
            integers.iter().for_each(|integer| *counts.entry(*integer).or_default() += 1);
            note_singles(counts.iter().map(|(name, count)| (name.to_string(), *count)), notes);
            let places: HashMap<i64, u32> = counts.keys().copied().zip(0..).collect();
            let names = counts.keys().map(i64::to_string).collect();
            let labels = integers.iter().map(|n| places[n]).collect();
            return Ok(Self::Classes { names, labels, decimal: Some(decimal) });
        }
        notes.push(format!("target '{target}' is numeric with {count} distinct values: regression"));
        Ok(Self::Values { values: numbers, decimal })
    }

    pub(super) fn finish(&self, target: &str, train_rows: &[usize]) -> (Task, Targets) {
        match self {
            Self::Classes { names, labels, .. } => {
                (Task::Classification { classes: names.clone() }, Targets::Classes(labels.clone()))
            }
            Self::Values { values, .. } => {
                let (mean, deviation) = moments(train_rows.iter().map(|row| values[*row]));
                let targets = values.iter().map(|value| standardize(*value, mean, deviation)).collect();
                let (mean, deviation) = (mean as f32, deviation as f32);
                (Task::Regression { target: target.to_owned(), mean, deviation }, Targets::Values(targets))
            }
        }
    }
}

/// The targets of another file, as `decision` and `task` understand them; rows without one are removed from the sheet.
pub(super) fn targets_of_test(
    sheet: &mut Sheet,
    at: usize,
    decision: &Decision,
    task: &Task,
    path: &Path,
    notes: &mut Vec<String>,
) -> Result<Targets> {
    let target = sheet.header[at].clone();
    keep_rows(sheet, at, notes, &target, |text| !is_missing(text));
    if sheet.rows.is_empty() {
        return Err(Error::mismatch(path, format!("no row with a value of '{target}'"), "rows to test with"));
    }
    let wrong = |line: u64, text: &str, expected: String| {
        Error::line(path, line, format!("'{text}' in the target '{target}'"), expected)
    };
    let rows = || sheet.rows.iter().map(|row| row[at].as_str()).zip(sheet.lines.iter().copied());
    match (decision, task) {
        (Decision::Values { decimal, .. }, Task::Regression { mean, deviation, .. }) => {
            let decimal = decimal_of(rows().map(|(text, _)| text), *decimal);
            let values = rows().map(|(text, line)| {
                let value = number(text, decimal).ok_or_else(|| wrong(line, text, "a number".into()))?;
                Ok(standardize(value, f64::from(*mean), f64::from(*deviation)))
            });
            Ok(Targets::Values(values.collect::<Result<_>>()?))
        }
        (Decision::Classes { names, decimal, .. }, _) => {
            let labels = rows().map(|(text, line)| {
                let integer =
                    decimal.and_then(|decimal| number(text, decimal)).map(|value| value.to_string());
                let name = integer.as_deref().unwrap_or(text);
                let label = names.iter().position(|known| known == name);
                label.map(|label| label as u32).ok_or_else(|| {
                    wrong(line, text, format!("a class of the training rows: {}", names.join(", ")))
                })
            });
            Ok(Targets::Classes(labels.collect::<Result<_>>()?))
        }
        _ => Err(Error::mismatch(path, "another task", "the task of the training rows")),
    }
}

/// Whether the cells that are no numbers are slips: rare, and among more values than classes have.
fn are_slips_of_many_values(texts: &[String], odd: usize, is_number: impl Fn(&str) -> bool) -> bool {
    let numbers: BTreeSet<&String> = texts.iter().filter(|text| is_number(text)).collect();
    are_slips(odd, texts.len()) && numbers.len() > MAXIMUM_INTEGER_CLASSES
}

/// Removes rows whose cell in column `at` is not wanted, and says how many.
fn keep_rows(
    sheet: &mut Sheet,
    at: usize,
    notes: &mut Vec<String>,
    target: &str,
    wanted: impl Fn(&str) -> bool,
) {
    let keep: Vec<bool> = sheet.rows.iter().map(|row| wanted(&row[at])).collect();
    let dropped = keep.iter().filter(|keep| !**keep).count();
    if dropped == 0 {
        return;
    }
    let rows = gyrus_files::counted(dropped as u64, "row");
    notes.push(format!("left out: {rows} without a value of '{target}'"));
    let mut kept = keep.iter();
    sheet.rows.retain(|_| kept.next().copied().unwrap_or(true));
    let mut kept = keep.iter();
    sheet.lines.retain(|_| kept.next().copied().unwrap_or(true));
}

fn varied(count: usize, target: &str, path: &Path) -> Result<usize> {
    if count < 2 {
        let got = format!("{count} distinct values in the target '{target}'");
        return Err(Error::mismatch(path, got, "a target that varies"));
    }
    Ok(count)
}

/// Says which classes have one row: nothing tests them.
fn note_singles(counts: impl Iterator<Item = (String, usize)>, notes: &mut Vec<String>) {
    let singles: Vec<String> =
        counts.filter(|(_, count)| *count == 1).map(|(name, _)| format!("'{name}'")).collect();
    if singles.is_empty() {
        return;
    }
    let shown = singles.iter().take(SINGLES_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = singles.len().saturating_sub(SINGLES_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    notes.push(format!("classes with a single row, which can be learned from but not tested: {shown}{more}"));
}
