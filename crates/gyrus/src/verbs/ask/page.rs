//! The page of an answer.

use gyrus_agents::Cell;
use gyrus_agents::ask::{ChartKind, number};
use gyrus_report::{QuestionChart, QuestionReport};

use super::AskReport;

pub(super) fn page(report: &AskReport) -> String {
    let answer = &report.answer;
    let rows = &answer.rows;
    let is_number = (0..rows.columns.len()).map(|column| {
        rows.rows
            .iter()
            .all(|row| matches!(row.get(column), Some(Cell::Integer(_) | Cell::Real(_) | Cell::Null)))
    });
    let chart = answer.chart.as_ref().map(|chart| QuestionChart {
        is_line: chart.kind == ChartKind::Line,
        labels: rows.rows.iter().map(|row| row[chart.label].to_string()).collect(),
        series: chart
            .values
            .iter()
            .map(|&column| {
                let values = rows.rows.iter().map(|row| number(&row[column])).collect();
                (rows.columns[column].clone(), values)
            })
            .collect(),
    });
    let shown = |cell: &Cell| match cell {
        Cell::Null => String::new(),
        other => other.to_string(),
    };
    QuestionReport {
        question: &answer.question,
        database: &report.database,
        sentence: &answer.sentence,
        sql: &rows.sql,
        columns: &rows.columns,
        is_number: is_number.collect(),
        rows: rows.rows.iter().map(|row| row.iter().map(shown).collect()).collect(),
        is_cut: rows.is_cut,
        chart,
        assumptions: &answer.assumptions,
        provenance: vec![(
            "",
            vec![
                ("database", report.database.clone()),
                ("query written by", report.translator.clone()),
                ("queries refused before", answer.repairs.to_string()),
            ],
        )],
    }
    .to_html()
}
