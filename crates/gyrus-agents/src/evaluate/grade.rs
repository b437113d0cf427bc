//! When two results are the same.

use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::{Cell, Rows};

/// Relative distance of two numbers that count as equal: a sum in another order differs by less.
const TOLERANCE: f64 = 1e-6;
/// Most columns whose order is tried out; of more, the order must be the same.
const MOST_COLUMNS: usize = 12;

/// Whether two results hold the same rows, whatever the names of the columns and their order; in any order, unless
/// `is_ordered`. A whole number equals the same number as a float; of an empty result only the number of rows counts.
///
/// The order of columns is found, not guessed: a column can only stand for one that has the same values.
#[must_use]
pub fn same(ours: &Rows, gold: &Rows, is_ordered: bool) -> bool {
    if ours.rows.len() != gold.rows.len() {
        return false;
    }
    if gold.rows.is_empty() {
        return true;
    }
    let width = gold.columns.len();
    if ours.columns.len() != width {
        return false;
    }
    let keep: Vec<usize> = (0..width).collect();
    if equal_rows(ours, gold, &keep, is_ordered) {
        return true;
    }
    if width > MOST_COLUMNS {
        return false;
    }
    // Which of our columns can stand for a gold one: the same values, in whatever order.
    let sorted = |rows: &Rows, column: usize| {
        let mut cells: Vec<&Cell> = rows.rows.iter().map(|row| &row[column]).collect();
        cells.sort_by(|a, b| order(a, b));
        cells.into_iter().cloned().collect::<Vec<_>>()
    };
    let ours_sorted: Vec<_> = (0..width).map(|column| sorted(ours, column)).collect();
    let candidates: Vec<Vec<usize>> = (0..width)
        .map(|gold_column| {
            let wanted = sorted(gold, gold_column);
            let fits = |own: &usize| ours_sorted[*own].iter().zip(&wanted).all(|(a, b)| equal(a, b));
            (0..width).filter(fits).collect()
        })
        .collect();
    let mut tried = 0;
    assign(ours, gold, &candidates, &mut Vec::new(), is_ordered, &mut tried)
}

/// Tries the assignments of columns, at most some thousands.
fn assign(
    ours: &Rows,
    gold: &Rows,
    candidates: &[Vec<usize>],
    chosen: &mut Vec<usize>,
    is_ordered: bool,
    tried: &mut usize,
) -> bool {
    let Some(own) = candidates.get(chosen.len()) else {
        *tried += 1;
        return equal_rows(ours, gold, chosen, is_ordered);
    };
    for &column in own {
        if *tried > 5000 {
            return false;
        }
        if !chosen.contains(&column) {
            chosen.push(column);
            if assign(ours, gold, candidates, chosen, is_ordered, tried) {
                return true;
            }
            chosen.pop();
        }
    }
    false
}

/// Whether the rows are equal if our columns are taken in this order.
fn equal_rows(ours: &Rows, gold: &Rows, columns: &[usize], is_ordered: bool) -> bool {
    let pick = |row: &Vec<Cell>| -> Vec<Cell> { columns.iter().map(|&column| row[column].clone()).collect() };
    let mut left: Vec<Vec<Cell>> = ours.rows.iter().map(pick).collect();
    let mut right: Vec<Vec<Cell>> = gold.rows.clone();
    if !is_ordered {
        let by = |a: &Vec<Cell>, b: &Vec<Cell>| {
            a.iter()
                .zip(b)
                .map(|(a, b)| order(a, b))
                .find(|found| found.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        };
        left.sort_by(by);
        right.sort_by(by);
    }
    left.iter().zip(&right).all(|(a, b)| a.iter().zip(b).all(|(a, b)| equal(a, b)))
}

fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Integer(number) => Some(*number as f64),
        Cell::Real(number) => Some(*number),
        _ => None,
    }
}

fn equal(a: &Cell, b: &Cell) -> bool {
    match (a, b) {
        (Cell::Integer(a), Cell::Integer(b)) => a == b,
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a == b || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()),
            (None, None) => a == b,
            _ => false,
        },
    }
}

/// An order of cells in which equal numbers are equal, rounded so that what is nearly equal sorts alike.
fn order(a: &Cell, b: &Cell) -> std::cmp::Ordering {
    let kind = |cell: &Cell| match cell {
        Cell::Null => 0,
        Cell::Integer(_) | Cell::Real(_) => 1,
        Cell::Text(_) => 2,
        Cell::Bytes { .. } => 3,
    };
    let rounded = |number: f64| -> f64 { format!("{number:.4e}").parse().unwrap_or(number) };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => rounded(a).total_cmp(&rounded(b)),
        _ => kind(a).cmp(&kind(b)).then_with(|| match (a, b) {
            (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
            (Cell::Bytes { bytes: a }, Cell::Bytes { bytes: b }) => a.cmp(b),
            _ => std::cmp::Ordering::Equal,
        }),
    }
}

/// Whether the outermost query of a gold answer asks for an order, so that another order of rows is another answer.
#[must_use]
pub fn gold_is_ordered(sql: &str) -> bool {
    let parsed = Parser::new(&GenericDialect {}).with_recursion_limit(64).try_with_sql(sql);
    let Ok(statements) = parsed.and_then(|mut parser| parser.parse_statements()) else { return false };
    matches!(statements.first(), Some(sqlparser::ast::Statement::Query(query)) if query.order_by.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(cells: &[&[f64]]) -> Rows {
        let width = cells.first().map_or(0, |row| row.len());
        Rows {
            columns: vec!["c".to_owned(); width],
            rows: cells.iter().map(|row| row.iter().map(|cell| Cell::Real(*cell)).collect()).collect(),
            ..Rows::default()
        }
    }

    #[test]
    fn order_of_rows_and_columns_does_not_count_and_values_do() {
        let gold = rows(&[&[1.0, 10.0], &[2.0, 20.0]]);
        assert!(same(&rows(&[&[2.0, 20.0], &[1.0, 10.0]]), &gold, false));
        assert!(!same(&rows(&[&[2.0, 20.0], &[1.0, 10.0]]), &gold, true));
        assert!(same(&rows(&[&[10.0, 1.0], &[20.0, 2.0]]), &gold, true));
        assert!(!same(&rows(&[&[20.0, 1.0], &[10.0, 2.0]]), &gold, false));
        assert!(!same(&rows(&[&[1.0, 10.0]]), &gold, false));
        assert!(!same(&rows(&[&[1.0], &[2.0]]), &gold, false));
        assert!(same(&rows(&[&[1.0, 10.000_000_1], &[2.0, 20.0]]), &gold, false));
        assert!(!same(&rows(&[&[1.0, 10.01], &[2.0, 20.0]]), &gold, false));
        let whole =
            Rows { rows: vec![vec![Cell::Integer(1)]], columns: vec!["n".to_owned()], ..Rows::default() };
        assert!(same(&whole, &rows(&[&[1.0]]), false));
        let text = Rows { rows: vec![vec![Cell::Text("1".to_owned())]], ..whole.clone() };
        assert!(!same(&text, &whole, false));
        assert!(gold_is_ordered("SELECT a FROM t ORDER BY a LIMIT 3"));
        assert!(!gold_is_ordered("SELECT a FROM (SELECT a FROM t ORDER BY a)"));
    }
}
