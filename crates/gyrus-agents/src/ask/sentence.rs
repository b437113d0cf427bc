//! The answer in a sentence, filled from the rows alone.

use crate::{Cell, Rows};

/// Rows told in a sentence; of more, only the number.
const TOLD: usize = 3;

/// What the rows say, in one sentence.
#[must_use]
pub fn sentence(rows: &Rows) -> String {
    let count = rows.rows.len();
    let more = if rows.is_cut { "more than " } else { "" };
    match (&rows.columns[..], &rows.rows[..]) {
        (_, []) => "There are no such rows.".to_owned(),
        ([column], [row]) => match &row[..] {
            [Cell::Null] => format!("There is no {column}: no row has a value."),
            [cell] => format!("The answer is {} ({column}).", shown(cell)),
            _ => String::new(),
        },
        (_, [row]) => {
            let pairs =
                rows.columns.iter().zip(row).map(|(column, cell)| format!("{column} {}", shown(cell)));
            format!("One row: {}.", pairs.collect::<Vec<_>>().join(", "))
        }
        ([_], all) if count <= TOLD => {
            let cells: Vec<String> = all.iter().flatten().map(shown).collect();
            format!("{count} rows: {}.", cells.join(", "))
        }
        (_, [first, ..]) => {
            let pairs =
                rows.columns.iter().zip(first).map(|(column, cell)| format!("{column} {}", shown(cell)));
            format!("{more}{count} rows; the first: {}.", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A cell as a person reads it: no more digits than are there.
fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Real(number) => {
            let text = format!("{number:.4}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_say_what_the_rows_hold() {
        let rows = |columns: &[&str], rows: Vec<Vec<Cell>>| Rows {
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            rows,
            ..Rows::default()
        };
        let text = |text: &str| Cell::Text(text.to_owned());
        assert_eq!(sentence(&rows(&["n"], vec![vec![Cell::Integer(6)]])), "The answer is 6 (n).");
        assert_eq!(sentence(&rows(&["n"], vec![])), "There are no such rows.");
        assert_eq!(sentence(&rows(&["avg"], vec![vec![Cell::Null]])), "There is no avg: no row has a value.");
        assert_eq!(
            sentence(&rows(&["country", "sum"], vec![vec![text("USA"), Cell::Real(102.98)]])),
            "One row: country USA, sum 102.98."
        );
        assert_eq!(sentence(&rows(&["c"], vec![vec![text("a")], vec![text("b")]])), "2 rows: a, b.");
    }
}
