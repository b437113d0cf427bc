//! A query in the making.

use std::cell::RefCell;

use super::super::lexicon::{Meaning, qualified, quoted};
use super::super::semantics::Measure;
use super::parts::Part;
use crate::Schema;
use crate::guard::Dialect;

/// A column as (table, column).
pub(super) type Place = (usize, usize);

/// What the parts of a question ask for.
pub(super) struct Draft<'a> {
    pub(super) schema: &'a Schema,
    pub(super) dialect: Dialect,
    pub(super) measures: &'a [Measure],
    parts: &'a [Part],
    /// Tables that the question names.
    pub(super) named: Vec<usize>,
    /// Tables that the query needs, in the order of their mention.
    pub(super) tables: Vec<usize>,
    /// What is shown: expressions.
    pub(super) shown: Vec<String>,
    /// Plain columns among them, which are what groups are of.
    pub(super) plain: Vec<Place>,
    pub(super) has_aggregate: bool,
    pub(super) conditions: Vec<String>,
    pub(super) groups: Vec<Place>,
    pub(super) order: Option<(String, bool)>,
    pub(super) limit: Option<u64>,
    /// Rows are counted or summed for the order: a group for each shown column.
    pub(super) ranks_groups: bool,
    pub(super) is_distinct: bool,
    pub(super) assumptions: Vec<String>,
    /// What choosing between columns took for granted.
    pub(super) assumed: RefCell<Vec<String>>,
    /// The measure that was named last.
    pub(super) measured: Option<usize>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        schema: &'a Schema,
        dialect: Dialect,
        measures: &'a [Measure],
        parts: &'a [Part],
    ) -> Self {
        let mut named = Vec::new();
        for part in parts {
            let Part::Name(meanings, _) = part else { continue };
            for meaning in meanings {
                match meaning {
                    Meaning::Table(table) => named.push(*table),
                    Meaning::Measure(measure) => named.extend(&measures[*measure].tables),
                    _ => {}
                }
            }
        }
        Self {
            schema,
            dialect,
            measures,
            parts,
            named,
            tables: Vec::new(),
            shown: Vec::new(),
            plain: Vec::new(),
            has_aggregate: false,
            conditions: Vec::new(),
            groups: Vec::new(),
            order: None,
            limit: None,
            ranks_groups: false,
            is_distinct: false,
            assumptions: Vec::new(),
            assumed: RefCell::default(),
            measured: None,
        }
    }

    /// Reads all parts.
    pub(super) fn read(mut self) -> Result<Self, String> {
        let mut at = 0;
        while at < self.parts.len() {
            at = self.part(at)?;
        }
        Ok(self)
    }

    /// The next part that is not a filler.
    fn next(&self, mut at: usize) -> usize {
        while matches!(self.parts.get(at), Some(Part::Filler)) {
            at += 1;
        }
        at
    }

    /// Reads one part with what belongs to it; the place after it.
    fn part(&mut self, at: usize) -> Result<usize, String> {
        match &self.parts[at] {
            Part::Filler | Part::And => Ok(at + 1),
            Part::Count => self.count(at + 1),
            Part::Aggregate(_) => self.aggregate(at),
            Part::Extreme { largest } => self.extreme(at + 1, *largest, 1),
            Part::Top(count) => self.top(at + 1, *count),
            Part::Each => self.each(at + 1),
            Part::Order => self.ordered(at + 1),
            Part::Descending => {
                match &mut self.order {
                    Some((_, descending)) => *descending = true,
                    None => return Err("it is not said what the order is by".to_owned()),
                }
                Ok(at + 1)
            }
            Part::Distinct => {
                self.is_distinct = true;
                Ok(at + 1)
            }
            Part::Compare(_) => Err("it is not said what is compared with the number".to_owned()),
            Part::Or => Err("`or` stands between things that are not values of one column".to_owned()),
            Part::Number(number) => self.year(number, at),
            Part::Name(meanings, shown) => self.name(meanings, shown, at),
        }
    }

    pub(super) fn use_table(&mut self, table: usize) {
        if !self.tables.contains(&table) {
            self.tables.push(table);
        }
    }

    fn column_sql(&mut self, (table, column): Place) -> String {
        self.use_table(table);
        qualified(self.dialect, self.schema, table, column)
    }

    pub(super) fn show(&mut self, place: Place) {
        let sql = self.column_sql(place);
        if !self.plain.contains(&place) {
            self.plain.push(place);
            self.shown.push(sql);
        }
    }

    /// "how many": of a table its rows, of a column its different values.
    fn count(&mut self, at: usize) -> Result<usize, String> {
        let mut at = self.next(at);
        let distinct = matches!(self.parts.get(at), Some(Part::Distinct));
        if distinct {
            at = self.next(at + 1);
        }
        let Some(Part::Name(meanings, shown)) = self.parts.get(at) else {
            return Err("it is not said what is counted".to_owned());
        };
        if let (Some(table), false) = (Self::table(meanings), distinct) {
            self.use_table(table);
            self.shown.push("count(*) AS \"count\"".to_owned());
        } else if let Some(place) = self.column(meanings, shown)? {
            let sql = self.column_sql(place);
            self.shown.push(format!("count(DISTINCT {sql}) AS \"count\""));
            if !distinct {
                self.assumptions.push(format!("`{shown}` is counted by its different values"));
            }
        } else {
            return Err(format!("`{shown}` cannot be counted"));
        }
        self.has_aggregate = true;
        Ok(at + 1)
    }

    /// "average age", "minimum and maximum of the price".
    fn aggregate(&mut self, at: usize) -> Result<usize, String> {
        let mut functions = Vec::new();
        let mut at = at;
        loop {
            match self.parts.get(at) {
                Some(Part::Aggregate(function)) => functions.push(*function),
                Some(Part::And | Part::Filler) => {}
                Some(Part::Name(meanings, shown)) => {
                    let Some(place) = self.column(meanings, shown)? else {
                        // A measure is a sum already.
                        if let (Some(measure), ["sum"]) = (Self::measure(meanings), &functions[..]) {
                            self.show_measure(measure);
                            return Ok(at + 1);
                        }
                        return Err(format!("`{shown}` is no column of numbers"));
                    };
                    let sql = self.column_sql(place);
                    let column = &self.schema.tables[place.0].columns[place.1].name;
                    let named = |function: &&str| {
                        let name = quoted(self.dialect, &format!("{} of {column}", word(function)));
                        format!("{function}({sql}) AS {name}")
                    };
                    self.shown.extend(functions.iter().map(named));
                    self.has_aggregate = true;
                    return Ok(at + 1);
                }
                _ => return Err(format!("it is not said what the {} is of", functions.join(" and "))),
            }
            at += 1;
        }
    }

    /// "the highest age": the rows with it; "the most invoices": the group with most rows.
    fn extreme(&mut self, at: usize, largest: bool, limit: u64) -> Result<usize, String> {
        let begin = at;
        let at = self.next(at);
        let named = match self.parts.get(at) {
            Some(Part::Name(meanings, shown)) => Some((meanings, shown)),
            _ => None,
        };
        let measure = named.and_then(|(meanings, _)| Self::measure(meanings));
        let is_other = named.is_some_and(|(meanings, _)| {
            meanings.iter().any(|meaning| matches!(meaning, Meaning::Table(_) | Meaning::Column(..)))
        });
        // "bought most": the measure stands before.
        let before = if is_other { None } else { self.measured };
        if let Some(measure) = measure.or(before) {
            if self.order.is_some() {
                return Err("two orders are asked for".to_owned());
            }
            self.show_measure(measure);
            let by = self.measure_sql(measure);
            (self.order, self.limit, self.ranks_groups) = (Some((by, largest)), Some(limit), true);
            return Ok(if named.is_some_and(|(meanings, _)| Self::measure(meanings).is_some()) {
                at + 1
            } else {
                begin
            });
        }
        let Some((meanings, shown)) = named else {
            return Err("it is not said what is the most of".to_owned());
        };
        let by = match (Self::table(meanings), self.column(meanings, shown)) {
            (Some(table), _) => {
                self.use_table(table);
                self.ranks_groups = true;
                "count(*)".to_owned()
            }
            (None, column) => match column? {
                Some(place) => self.column_sql(place),
                None => return Err(format!("`{shown}` has no order")),
            },
        };
        if self.order.is_some() {
            return Err("two orders are asked for".to_owned());
        }
        (self.order, self.limit) = (Some((by, largest)), Some(limit));
        Ok(at + 1)
    }

    /// "top 5 countries by total".
    fn top(&mut self, at: usize, count: u64) -> Result<usize, String> {
        let at = self.next(at);
        let Some(Part::Name(meanings, shown)) = self.parts.get(at) else {
            return Err("it is not said what the top is of".to_owned());
        };
        match (self.column(meanings, shown)?, Self::table(meanings)) {
            (Some(place), None) => self.show(place),
            (_, Some(table)) => self.show(self.label(table)),
            (None, None) => return Err(format!("`{shown}` has no top")),
        }
        let by = self.next(at + 1);
        match self.parts.get(by) {
            Some(Part::Count) => {
                let after = self.extreme(by + 1, true, count)?;
                self.shown.push("count(*) AS \"count\"".to_owned());
                Ok(after)
            }
            Some(Part::Name(meanings, _)) if Self::measure(meanings).is_some() => {
                let measure = Self::measure(meanings).unwrap_or_default();
                self.show_measure(measure);
                let sql = self.measure_sql(measure);
                self.ranks_groups = true;
                (self.order, self.limit) = (Some((sql, true)), Some(count));
                Ok(by + 1)
            }
            Some(Part::Name(meanings, shown)) => {
                let Some(place) = self.column(meanings, shown)? else {
                    return Err(format!("`{shown}` has no order"));
                };
                let sql = self.column_sql(place);
                let is_grouped = self.plain.iter().any(|shown| shown.0 != place.0);
                self.ranks_groups |= is_grouped;
                let by = if is_grouped { format!("sum({sql})") } else { sql };
                let column = &self.schema.tables[place.0].columns[place.1].name;
                let name = if is_grouped { format!("sum of {column}") } else { column.clone() };
                self.shown.push(format!("{by} AS {}", quoted(self.dialect, &name)));
                (self.order, self.limit) = (Some((by, true)), Some(count));
                Ok(self.next(at + 1) + 1)
            }
            _ => Err("it is not said what the top is by".to_owned()),
        }
    }

    fn each(&mut self, at: usize) -> Result<usize, String> {
        let at = self.next(at);
        let Some(Part::Name(meanings, shown)) = self.parts.get(at) else {
            return Err("it is not said what the groups are".to_owned());
        };
        let place = match (self.column(meanings, shown), Self::table(meanings)) {
            (Ok(Some(place)), _) => place,
            (_, Some(table)) => self.label(table),
            (Err(reason), None) => return Err(reason),
            (Ok(None), None) => return Err(format!("`{shown}` makes no groups")),
        };
        self.use_table(place.0);
        self.groups.push(place);
        Ok(at + 1)
    }

    fn ordered(&mut self, at: usize) -> Result<usize, String> {
        let at = self.next(at);
        let Some(Part::Name(meanings, shown)) = self.parts.get(at) else {
            return Err("it is not said what the order is by".to_owned());
        };
        if let Some(measure) = Self::measure(meanings) {
            self.show_measure(measure);
            self.order = Some((self.measure_sql(measure), false));
            self.ranks_groups = !self.plain.is_empty();
            return Ok(at + 1);
        }
        let Some(place) = self.column(meanings, shown)? else {
            return Err(format!("`{shown}` has no order"));
        };
        let sql = self.column_sql(place);
        self.order = Some((sql, false));
        Ok(at + 1)
    }

    /// A number that stands alone is a year, if there is one column of dates.
    fn year(&mut self, number: &str, at: usize) -> Result<usize, String> {
        let is_year =
            number.len() == 4 && number.parse::<u32>().is_ok_and(|year| (1000..3000).contains(&year));
        let mut dates = Vec::new();
        for &table in self.named.iter().chain(&self.tables) {
            for (place, column) in self.schema.tables[table].columns.iter().enumerate() {
                let (name, kind) = (column.name.to_ascii_lowercase(), column.kind.to_ascii_lowercase());
                let is_date = kind.contains("date")
                    || kind.contains("time")
                    || name.contains("date")
                    || name.contains("year");
                if is_date && !dates.contains(&(table, place)) {
                    dates.push((table, place));
                }
            }
        }
        let ([place], true) = (&dates[..], is_year) else {
            return Err(format!("it is not said what {number} is"));
        };
        let (table, column) = *place;
        let sql = self.column_sql(*place);
        let named = &self.schema.tables[table].columns[column];
        let is_number = named.kind.to_ascii_lowercase().contains("int");
        self.assumptions
            .push(format!("{number} is the year of {}.{}", self.schema.tables[table].name, named.name));
        self.conditions.push(match (is_number, self.dialect) {
            (true, _) => format!("{sql} = {number}"),
            (false, Dialect::Sqlite) => format!("strftime('%Y', {sql}) = '{number}'"),
            (false, Dialect::MySql) => format!("year({sql}) = {number}"),
            (false, Dialect::Postgres | Dialect::DuckDb) => format!("extract(year FROM {sql}) = {number}"),
        });
        Ok(at + 1)
    }

    fn name(&mut self, meanings: &[Meaning], shown: &str, at: usize) -> Result<usize, String> {
        let column = self.column(meanings, shown);
        if let Ok(Some(place)) = column {
            // A comparison, a number or a value of the column may follow.
            let next = self.next(at + 1);
            match (self.parts.get(next), self.parts.get(next + 1)) {
                (Some(Part::Compare(operator)), Some(Part::Number(number))) => {
                    let sql = self.column_sql(place);
                    self.conditions.push(format!("{sql} {operator} {number}"));
                    return Ok(next + 2);
                }
                // "names of the 5 largest" is no condition on names.
                (Some(Part::Number(_)), Some(Part::Extreme { .. })) => {
                    return Err(
                        "so many of the largest are not understood; say `top 5 ... by ...`".to_owned()
                    );
                }
                (Some(Part::Number(number)), _) => {
                    let sql = self.column_sql(place);
                    self.conditions.push(format!("{sql} = {number}"));
                    return Ok(next + 1);
                }
                (Some(Part::Name(values, _)), _) if value_of(values, place).is_some() => {
                    return self.values(place, next);
                }
                _ => {}
            }
        }
        let values: Vec<Place> = meanings
            .iter()
            .filter_map(|meaning| match meaning {
                Meaning::Value(table, column, _) => Some((*table, *column)),
                _ => None,
            })
            .collect();
        let table = Self::table(meanings);
        match (column, table) {
            (Ok(None), None) if Self::measure(meanings).is_some() => {
                self.show_measure(Self::measure(meanings).unwrap_or_default());
            }
            // A table with a column of its own name, such as the airlines of airlines: what it is called is meant.
            (Ok(Some(place)), Some(table)) if place.0 == table => self.show(place),
            (Ok(Some(place)), None) => self.show(place),
            (_, Some(table)) => self.use_table(table),
            (Ok(None), None) => {
                if let Some(place) = self.choose(&values, shown)? {
                    return self.values(place, at);
                }
            }
            (Err(reason), None) => return Err(reason),
        }
        Ok(at + 1)
    }

    /// One value of a column, or several with "or" between them.
    fn values(&mut self, place: Place, at: usize) -> Result<usize, String> {
        let mut found = Vec::new();
        let mut at = at;
        while let Some(Part::Name(meanings, _)) = self.parts.get(at) {
            let Some(value) = value_of(meanings, place) else { break };
            found.push(format!("'{}'", value.replace('\'', "''")));
            at += 1;
            match self.parts.get(at) {
                // One row has one value, so "Asia and Europe" means either.
                Some(Part::Or | Part::And) if matches!(self.parts.get(at + 1), Some(Part::Name(next, _)) if value_of(next, place).is_some()) =>
                {
                    at += 1;
                }
                _ => break,
            }
        }
        let sql = self.column_sql(place);
        self.conditions.push(match &found[..] {
            [value] => format!("{sql} = {value}"),
            several => format!("{sql} IN ({})", several.join(", ")),
        });
        Ok(at)
    }
}

/// A function's name in a sentence.
fn word(function: &str) -> &'static str {
    match function {
        "avg" => "average",
        "sum" => "sum",
        "max" => "largest",
        _ => "smallest",
    }
}

fn value_of(meanings: &[Meaning], place: Place) -> Option<&str> {
    meanings.iter().find_map(|meaning| match meaning {
        Meaning::Value(table, column, value) if (*table, *column) == place => Some(value.as_str()),
        _ => None,
    })
}
