//! The query that a draft asks for.

use super::super::join;
use super::super::lexicon::qualified;
use super::draft::Draft;

impl Draft<'_> {
    /// The query, and what was taken for granted.
    pub(super) fn sql(mut self) -> Result<(String, Vec<String>), String> {
        if self.shown.is_empty() {
            let Some(&table) = self.tables.first() else {
                return Err("it is not said what to show".to_owned());
            };
            match self.order.is_some() && self.ranks_groups || !self.groups.is_empty() {
                true => self.show(self.label(table)),
                false => {
                    let columns = 0..self.schema.tables[table].columns.len();
                    columns.for_each(|column| self.show((table, column)));
                }
            }
        }
        let mut groups = self.groups.clone();
        for &place in &self.groups.clone() {
            if !self.plain.contains(&place) {
                self.plain.insert(0, place);
                self.shown.insert(0, qualified(self.dialect, self.schema, place.0, place.1));
            }
        }
        if self.ranks_groups || self.has_aggregate && !groups.is_empty() {
            groups.extend(self.plain.iter().filter(|place| !self.groups.contains(place)));
        } else if self.has_aggregate && !self.plain.is_empty() {
            return Err("some of this is of single rows and some of all rows; say `for each`".to_owned());
        } else if !groups.is_empty() {
            return Err("groups are named, but nothing that is counted or summed".to_owned());
        }
        if self.has_aggregate && self.order.is_some() && groups.is_empty() {
            return Err("an order of one row means nothing".to_owned());
        }
        let unconnected = |table: usize| {
            format!(
                "no foreign key connects {} with the rest of the question",
                self.schema.tables[table].name
            )
        };
        let mut sql =
            format!("SELECT {}{} ", if self.is_distinct { "DISTINCT " } else { "" }, self.shown.join(", "));
        sql += &join::from(self.dialect, self.schema, &self.tables).map_err(unconnected)?;
        if !self.conditions.is_empty() {
            sql += &format!(" WHERE {}", self.conditions.join(" AND "));
        }
        if !groups.is_empty() {
            let names: Vec<String> = groups
                .iter()
                .map(|&(table, column)| qualified(self.dialect, self.schema, table, column))
                .collect();
            sql += &format!(" GROUP BY {}", names.join(", "));
        }
        if let Some((by, descending)) = &self.order {
            sql += &format!(" ORDER BY {by}{}", if *descending { " DESC" } else { "" });
        }
        if let Some(limit) = self.limit {
            sql += &format!(" LIMIT {limit}");
        }
        self.assumptions.append(&mut self.assumed.take());
        let names: Vec<String> =
            self.tables.iter().map(|&table| self.schema.tables[table].name.clone()).collect();
        if names.len() > 1 {
            self.assumptions.push(format!("{} are joined by their foreign keys", names.join(", ")));
        }
        Ok((sql, self.assumptions))
    }
}
