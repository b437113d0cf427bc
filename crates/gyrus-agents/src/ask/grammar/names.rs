//! What the names of a question mean: columns, tables and measures.

use super::super::join;
use super::super::lexicon::{Meaning, quoted};
use super::draft::{Draft, Place};

impl Draft<'_> {
    /// The column among the meanings: the only one, or the only one of a table that the question names.
    pub(super) fn column(&self, meanings: &[Meaning], shown: &str) -> Result<Option<Place>, String> {
        let all: Vec<Place> = meanings
            .iter()
            .filter_map(|meaning| match meaning {
                Meaning::Column(table, column) => Some((*table, *column)),
                _ => None,
            })
            .collect();
        self.choose(&all, shown)
    }

    pub(super) fn choose(&self, all: &[Place], shown: &str) -> Result<Option<Place>, String> {
        let known = |table: &usize| self.named.contains(table) || self.tables.contains(table);
        let of_named: Vec<Place> = all.iter().copied().filter(|(table, _)| known(table)).collect();
        match (all, &of_named[..]) {
            ([], _) => Ok(None),
            ([place], _) | (_, [place]) => Ok(Some(*place)),
            (_, several) => {
                let several = if several.is_empty() { all } else { several };
                if let Some(place) = self.nearest(several, shown) {
                    return Ok(Some(place));
                }
                let names: Vec<String> = several
                    .iter()
                    .take(4)
                    .map(|&(table, column)| {
                        let of = &self.schema.tables[table];
                        format!("{}.{}", of.name, of.columns[column].name)
                    })
                    .collect();
                Err(format!("`{shown}` may mean {}; name the table too", names.join(" or ")))
            }
        }
    }

    /// The column that is fewer references away than all others from what the question names.
    pub(super) fn nearest(&self, all: &[Place], shown: &str) -> Option<Place> {
        let known: Vec<usize> = self.named.iter().chain(&self.tables).copied().collect();
        if known.is_empty() {
            return None;
        }
        let distance = |place: &Place| join::distance(self.schema, &known, place.0);
        let least = all.iter().filter_map(distance).min()?;
        let mut nearest = all.iter().filter(|place| distance(place) == Some(least));
        let (Some(&place), None) = (nearest.next(), nearest.next()) else { return None };
        let of = &self.schema.tables[place.0];
        let text =
            format!("`{shown}` is {}.{}, the nearest of {}", of.name, of.columns[place.1].name, all.len());
        let mut assumed = self.assumed.borrow_mut();
        if !assumed.contains(&text) {
            assumed.push(text);
        }
        Some(place)
    }

    pub(super) fn measure(meanings: &[Meaning]) -> Option<usize> {
        meanings.iter().find_map(|meaning| match meaning {
            Meaning::Measure(measure) => Some(*measure),
            _ => None,
        })
    }

    /// The expression of a measure, whose tables the query needs.
    pub(super) fn measure_sql(&mut self, measure: usize) -> String {
        let measure = &self.measures[measure];
        measure.tables.iter().for_each(|&table| self.use_table(table));
        let text = format!("{} is {}", measure.name, measure.sql);
        if !self.assumptions.contains(&text) {
            self.assumptions.push(text);
        }
        measure.sql.clone()
    }

    pub(super) fn show_measure(&mut self, measure: usize) {
        let name = quoted(self.dialect, &self.measures[measure].name);
        let sql = format!("{} AS {name}", self.measure_sql(measure));
        if !self.shown.contains(&sql) {
            self.shown.push(sql);
        }
        self.has_aggregate = true;
        self.measured = Some(measure);
    }

    pub(super) fn table(meanings: &[Meaning]) -> Option<usize> {
        meanings.iter().find_map(|meaning| match meaning {
            Meaning::Table(table) => Some(*table),
            _ => None,
        })
    }

    /// The column by which a person knows a row of a table.
    pub(super) fn label(&self, table: usize) -> Place {
        let columns = &self.schema.tables[table].columns;
        let has =
            |word: &str| columns.iter().position(|column| column.name.to_ascii_lowercase().contains(word));
        (table, has("name").or_else(|| has("title")).unwrap_or(0))
    }
}
