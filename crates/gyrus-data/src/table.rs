//! A text table as a data set: which columns are numbers, which are categories, what is asked, and the encoding.
//!
//! All that is learned from the data (means, deviations, levels) is learned from the training rows alone.

mod cells;
mod columns;
mod target;

use std::path::Path;

use crate::dataset::{SPLIT_SEED, TRAIN_FRACTION};
use crate::random::{Purpose, Stream};
use crate::sheet::{self, Sheet};
use crate::{
    ColumnEncoding, Dataset, Error, Examples, Features, Preprocessing, Result, Table, Targets, split_indices,
};
use columns::{encode, index_column, learn_column, position, unknown_column, usual_decimal};
use target::Decision;

pub use cells::Decimal;

/// Columns that are shown of a row.
const COLUMNS_SHOWN: usize = 12;

/// A row of a file, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// The line in the file, counted from 1.
    pub line: u64,
    /// The first columns that are learned from, with their values.
    pub values: String,
}

/// Rows of a file as network input.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedRows {
    /// The encoded columns.
    pub table: Table,
    /// The line of each row in the file, counted from 1.
    pub lines: Vec<u64>,
    /// Cells that could not be used or that no training row had, one sentence for each column.
    pub notes: Vec<String>,
}

/// Reads a CSV file (comma, semicolon, tab or vertical bar; UTF-8 or UTF-16) with one header line and learns to predict the
/// column `target`.
///
/// It is a classification if the target holds text, or integers with at most 20 distinct values, each on average
/// in two rows or more; otherwise a regression. The decision and every column left out is in [`Dataset::notes`].
/// A first column that only counts the rows is left out. A stratified fifth of the rows, always the same, is held back as
/// test.
///
/// # Errors
/// An unreadable or malformed file (with the line), a target that does not exist (with the nearest name) or does
/// not vary, no usable column, or too few rows.
pub fn table(path: &Path, target: &str) -> Result<Dataset> {
    let source = Source::read(path, target)?;
    let (train_rows, test_rows) = split_indices(&source.placeholder(), TRAIN_FRACTION, SPLIT_SEED);
    if test_rows.is_empty() {
        let got =
            gyrus_files::counted(source.sheet.rows.len() as u64, "row") + " with a value of '" + target + "'";
        return Err(Error::mismatch(path, got, "enough to test with: two of a class"));
    }
    source.dataset(&train_rows, &test_rows)
}

/// The names of the columns of a table.
///
/// # Errors
/// An unreadable or malformed file.
pub fn columns(path: &Path) -> Result<Vec<String>> {
    Ok(sheet::read_file(path)?.header)
}

/// As [`table`], but all rows of `path` are training rows, and those of the file `test` are the test.
///
/// # Errors
/// As for [`table`], for both files; a class in `test` that no training row has, with the line.
pub fn table_with_test(path: &Path, target: &str, test: &Path) -> Result<Dataset> {
    let source = Source::read(path, target)?;
    let all: Vec<usize> = (0..source.sheet.rows.len()).collect();
    let mut dataset = source.dataset(&all, &[])?;
    let Preprocessing::Table { columns, .. } = &dataset.preprocessing else { return Ok(dataset) };
    let mut sheet = sheet::read_file(test)?;
    let at = position(&sheet, target).ok_or_else(|| unknown_column(test, &sheet, target))?;
    let mut notes = std::mem::take(&mut sheet.notes);
    let targets = target::targets_of_test(&mut sheet, at, &source.decision, &dataset.task, test, &mut notes)?;
    let (table, more) = encode(&sheet, columns, test)?;
    let rows: Vec<usize> = (0..sheet.rows.len()).collect();
    let source_rows = shown(&sheet, columns, &rows);
    let examples = Examples { features: Features::Table(table), targets };
    let name = test.display();
    let mut changed =
        Dataset::new(dataset.name, dataset.task, dataset.train, examples, dataset.preprocessing);
    notes.extend(more);
    dataset.notes.extend(notes.into_iter().map(|note| format!("{name}: {note}")));
    changed.notes = dataset.notes;
    changed.test_rows = source_rows;
    Ok(changed)
}

/// `folds` data sets of the same rows: each has another part of them as test, encoded by its own training rows. Every row is
/// a test row once; the parts are stratified and always the same.
///
/// # Errors
/// As for [`table`]; fewer rows than folds.
pub fn table_folds(path: &Path, target: &str, folds: usize) -> Result<Vec<Dataset>> {
    let source = Source::read(path, target)?;
    let rows = source.sheet.rows.len();
    if !(2..=rows).contains(&folds) {
        let got = format!("{folds} folds of {rows} rows");
        return Err(Error::mismatch(path, got, "from 2 folds to as many as there are rows"));
    }
    let fold_of = fold_of_rows(&source.placeholder(), folds);
    (0..folds)
        .map(|fold| {
            let (test, train) = (0..rows).partition::<Vec<usize>, _>(|row| fold_of[*row] == fold);
            source.dataset(&train, &test)
        })
        .collect()
}

/// The fold of each row: the rows of a class, in random order, go round.
fn fold_of_rows(targets: &Targets, folds: usize) -> Vec<usize> {
    let class = |row: usize| match targets {
        Targets::Classes(classes) => classes[row],
        Targets::Values(_) => 0,
    };
    let mut order: Vec<usize> = (0..targets.len()).collect();
    Stream::new(Purpose::Split, SPLIT_SEED, 1, folds as u64).shuffle(&mut order);
    order.sort_by_key(|row| class(*row));
    let mut fold_of = vec![0; order.len()];
    order.into_iter().enumerate().for_each(|(place, row)| fold_of[row] = place % folds);
    fold_of
}

impl Preprocessing {
    /// Encodes the rows of a CSV file as the training rows were encoded. The target column may be there or not. Cells that are
    /// no numbers among numbers are missing values, with a note.
    ///
    /// # Errors
    /// An unreadable or malformed file, a missing column, a column of numbers without any (with the line);
    /// [`Error::Mismatch`] where this preprocessing is for images.
    pub fn encode_csv(&self, path: &Path) -> Result<EncodedRows> {
        let Self::Table { columns, .. } = self else {
            return Err(Error::mismatch(path, "a CSV file", "an image, which this network learned from"));
        };
        let mut sheet = sheet::read_file(path)?;
        let (table, more) = encode(&sheet, columns, path)?;
        let mut notes = std::mem::take(&mut sheet.notes);
        notes.extend(more);
        Ok(EncodedRows { table, lines: sheet.lines, notes })
    }
}

/// A file that was read, and what its target column asks.
struct Source<'a> {
    path: &'a Path,
    target: &'a str,
    target_column: usize,
    sheet: Sheet,
    decision: Decision,
    usual: Decimal,
    /// Why the first column is left out.
    index: Option<&'static str>,
    notes: Vec<String>,
}

impl<'a> Source<'a> {
    fn read(path: &'a Path, target: &'a str) -> Result<Self> {
        let mut sheet = sheet::read_file(path)?;
        let target_column = position(&sheet, target).ok_or_else(|| unknown_column(path, &sheet, target))?;
        let mut notes = std::mem::take(&mut sheet.notes);
        let usual = usual_decimal(&sheet);
        // Before rows without a target are removed, so that counting shows.
        let index = index_column(&sheet).filter(|_| target_column != 0);
        let decision = Decision::of(&mut sheet, target_column, usual, path, &mut notes)?;
        Ok(Self { path, target, target_column, sheet, decision, usual, index, notes })
    }

    /// Targets as far as a split needs them.
    fn placeholder(&self) -> Targets {
        match &self.decision {
            Decision::Classes { labels, .. } => Targets::Classes(labels.clone()),
            Decision::Values { values, .. } => Targets::Values(vec![0.0; values.len()]),
        }
    }

    fn dataset(&self, train_rows: &[usize], test_rows: &[usize]) -> Result<Dataset> {
        let Self { path, target, target_column, sheet, index, .. } = self;
        let mut notes = self.notes.clone();
        let mut columns = Vec::new();
        let learn = |at: usize, notes: &mut Vec<String>| {
            let kind = learn_column(sheet, at, train_rows, self.usual, notes)?;
            Some(ColumnEncoding { name: sheet.header[at].clone(), kind })
        };
        for at in (0..sheet.header.len()).filter(|at| at != target_column) {
            match index.filter(|_| at == 0) {
                Some(why) => {
                    let name = &sheet.header[0];
                    notes.push(format!("the first column, '{name}', {why}, and was left out"));
                }
                None => columns.extend(learn(at, &mut notes)),
            }
        }
        if columns.is_empty() && index.is_some() {
            // What counts the rows may be all that there is, as the time of a series.
            notes.pop_if(|note| note.starts_with("the first column"));
            columns.extend(learn(0, &mut notes));
        }
        if columns.is_empty() {
            return Err(Error::mismatch(
                path,
                "no column to learn from",
                "a column that varies beside the target",
            ));
        }
        let (task, targets) = self.decision.finish(target, train_rows);
        // What only test rows have is no news to the person who learns.
        let (table, _) = encode(sheet, &columns, path)?;
        let examples = Examples { features: Features::Table(table), targets };
        let (train, test) = (examples.subset(train_rows), examples.subset(test_rows));
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let rows = shown(sheet, &columns, test_rows);
        let preprocessing = Preprocessing::Table { columns, target: (*target).to_owned() };
        let mut dataset = Dataset::new(name, task, train, test, preprocessing);
        dataset.notes = notes;
        dataset.test_rows = rows;
        Ok(dataset)
    }
}

/// These rows for a person.
fn shown(sheet: &Sheet, columns: &[ColumnEncoding], rows: &[usize]) -> Vec<SourceRow> {
    let places: Vec<usize> = columns.iter().filter_map(|column| position(sheet, &column.name)).collect();
    let row = |row: &usize| {
        let cells = places.iter().take(COLUMNS_SHOWN);
        let cells = cells.map(|at| format!("{} = {}", sheet.header[*at], sheet.rows[*row][*at]));
        let more = if places.len() > COLUMNS_SHOWN { ", ..." } else { "" };
        let values = format!("{}{more}", cells.collect::<Vec<_>>().join(", "));
        SourceRow { line: sheet.lines[*row], values }
    };
    rows.iter().map(row).collect()
}
