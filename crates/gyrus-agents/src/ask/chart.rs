//! Which rows can be drawn, and how: rules on the types of the columns, never code that a model wrote.

use serde::Serialize;

use crate::{Cell, Rows};

/// Most bars.
const MOST_BARS: usize = 40;
/// Most lines, or groups of bars.
const MOST_SERIES: usize = 3;
/// Eighths of a block.
const BLOCKS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// How rows are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChartKind {
    /// A bar for each row.
    Bars,
    /// A line over time.
    Line,
}

/// A drawing of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chart {
    /// Bars or a line.
    pub kind: ChartKind,
    /// The column that names the rows.
    pub label: usize,
    /// The columns of numbers.
    pub values: Vec<usize>,
}

/// How these rows are drawn: one column that names each row once, and up to three of numbers.
#[must_use]
pub fn chart(rows: &Rows) -> Option<Chart> {
    let count = rows.rows.len();
    if count < 2 || rows.is_cut || rows.columns.len() < 2 || rows.columns.len() > MOST_SERIES + 1 {
        return None;
    }
    let cells = |column: usize| rows.rows.iter().filter_map(move |row| row.get(column));
    let is_number = |column: usize| {
        cells(column).all(|cell| matches!(cell, Cell::Integer(_) | Cell::Real(_) | Cell::Null))
            && cells(column).any(|cell| !matches!(cell, Cell::Null))
    };
    let is_time = |column: usize| {
        let name = rows.columns[column].to_lowercase();
        let is_year = ["year", "month", "quarter", "week", "day"].iter().any(|word| name.contains(word))
            && cells(column).all(|cell| matches!(cell, Cell::Integer(_)));
        is_year || cells(column).all(|cell| matches!(cell, Cell::Text(text) if is_date(text)))
    };
    let all = 0..rows.columns.len();
    let time = all.clone().find(|&column| is_time(column));
    let label =
        time.or_else(|| all.clone().find(|&column| cells(column).all(|cell| matches!(cell, Cell::Text(_)))))?;
    let values: Vec<usize> = all.filter(|&column| column != label && is_number(column)).collect();
    // Numbers that name something are not drawn.
    let is_name = |column: usize| {
        let name = rows.columns[column].to_lowercase();
        name == "id" || name.ends_with("_id") || rows.columns[column].ends_with("Id")
    };
    if values.is_empty()
        || values.len() + 1 != rows.columns.len()
        || values.iter().any(|&column| is_name(column))
    {
        return None;
    }
    let mut names: Vec<String> = cells(label).map(ToString::to_string).collect();
    let ordered = names.is_sorted();
    names.sort();
    names.dedup();
    if names.len() != count {
        return None;
    }
    match time {
        Some(_) if count > 2 && ordered => Some(Chart { kind: ChartKind::Line, label, values }),
        _ if count <= MOST_BARS => Some(Chart { kind: ChartKind::Bars, label, values }),
        _ => None,
    }
}

/// `2010`, `2010-05`, `2010-05-31` and what follows such a day.
fn is_date(text: &str) -> bool {
    let digits = |part: Option<&str>, count: usize| {
        part.is_none_or(|part| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let day = text.split([' ', 'T']).next().unwrap_or(text);
    let mut parts = day.split('-');
    let year = parts.next();
    year.is_some_and(|year| year.len() == 4)
        && digits(year, 4)
        && digits(parts.next(), 2)
        && digits(parts.next(), 2)
        && parts.next().is_none()
}

/// A cell as a number.
#[must_use]
pub fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Integer(number) => Some(*number as f64),
        Cell::Real(number) if number.is_finite() => Some(*number),
        _ => None,
    }
}

impl Chart {
    /// Bars of blocks for a terminal, one for each row, of the first column of numbers: so many letters wide at most. Negative
    /// numbers have bars of another letter.
    #[must_use]
    pub fn blocks(&self, rows: &Rows, width: usize) -> Vec<String> {
        let Some(&column) = self.values.first() else { return Vec::new() };
        let value = |row: &[Cell]| row.get(column).and_then(number);
        let largest = rows.rows.iter().filter_map(|row| value(row)).map(f64::abs).fold(0.0, f64::max);
        rows.rows
            .iter()
            .map(|row| match value(row) {
                Some(number) if largest > 0.0 => {
                    let eighths = (number.abs() / largest * width as f64 * 8.0).round() as usize;
                    if number < 0.0 {
                        return "░".repeat(eighths.div_ceil(8));
                    }
                    let whole = "█".repeat(eighths / 8);
                    match eighths % 8 {
                        0 => whole,
                        rest => format!("{whole}{}", BLOCKS[rest - 1]),
                    }
                }
                _ => String::new(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn rows(columns: &[&str], rows: &[&[Cell]]) -> Rows {
        Rows {
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            rows: rows.iter().map(|row| row.to_vec()).collect(),
            ..Rows::default()
        }
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    #[test]
    fn rules_choose_the_drawing() {
        let bars = rows(&["country", "n"], &[&[text("A"), Cell::Integer(4)], &[text("B"), Cell::Integer(1)]]);
        let chart_of = chart(&bars).unwrap();
        assert_eq!((chart_of.kind, chart_of.label, &chart_of.values[..]), (ChartKind::Bars, 0, &[1][..]));
        assert_eq!(chart_of.blocks(&bars, 4), ["████", "█"]);
        let years: Vec<Vec<Cell>> = (2009..2013)
            .map(|year| vec![Cell::Integer(year), Cell::Real(f64::from(year as i32 - 2000))])
            .collect();
        let years: Vec<&[Cell]> = years.iter().map(Vec::as_slice).collect();
        assert_eq!(chart(&rows(&["year", "sum"], &years)).unwrap().kind, ChartKind::Line);
        for (columns, cells) in [
            (["id", "name"], [[Cell::Integer(1), text("A")], [Cell::Integer(2), text("B")]]),
            (["name", "n"], [[text("A"), Cell::Integer(1)], [text("A"), Cell::Integer(2)]]),
            (["name", "other"], [[text("A"), text("x")], [text("B"), text("y")]]),
        ] {
            let cells: Vec<&[Cell]> = cells.iter().map(|row| &row[..]).collect();
            assert_eq!(chart(&rows(&columns, &cells)), None, "{columns:?}");
        }
    }
}
