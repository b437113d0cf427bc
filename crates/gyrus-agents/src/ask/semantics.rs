//! The semantic file: what the words of questions mean in one database, and what nobody may see.
//!
//! ```toml
//! database = "shop.sqlite"
//! privacy = "schema"
//! private = ["customer.phone"]
//! conventions = ["Amounts are in euros, without tax."]
//! joins = ["invoice.buyer = customer.id"]
//!
//! [measures]
//! revenue = "sum(invoice.amount)"
//!
//! [synonyms]
//! client = "customer"
//! bought = "revenue"
//! ```

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sqlparser::ast::{Expr, Visit, Visitor};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use super::lexicon::{Meaning, words};
use crate::{Database, Error, Result, Schema};

/// Most bytes of a semantic file.
pub const MOST_SEMANTICS_BYTES: u64 = 64 << 10;

/// What a model may see of a database. Private columns it never sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Privacy {
    /// Names and types of tables and columns, never a value.
    #[default]
    Schema,
    /// Also how many rows and different values there are, and the range of numbers and dates.
    Aggregates,
    /// Also some values.
    Full,
}

/// The semantic file of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Semantics {
    /// The file or name of the database that it is about; none for whichever it lies beside.
    pub database: Option<String>,
    /// What a model may see.
    pub privacy: Privacy,
    /// Columns that nobody may read, as `table.column`.
    pub private: Vec<String>,
    /// What is understood by everybody who works with this database, a sentence each; a model reads them.
    pub conventions: Vec<String>,
    /// References that the database does not declare, as `table.column = table.column`.
    pub joins: Vec<String>,
    /// Names of expressions over rows, whose columns are written `table.column`.
    pub measures: BTreeMap<String, String>,
    /// Other words for a table, a column or a measure.
    pub synonyms: BTreeMap<String, String>,
}

/// An expression with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Measure {
    pub(super) name: String,
    pub(super) sql: String,
    pub(super) tables: Vec<usize>,
}

/// What the file adds to the words of the schema.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    pub(super) measures: Vec<Measure>,
    pub(super) synonyms: Vec<(String, Meaning)>,
}

impl Semantics {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::File`] with the line where it is not as it should be.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |reason: String| Error::File { path: path.to_owned(), reason };
        let size = path.metadata().map_err(|error| failed(error.to_string()))?.len();
        if size > MOST_SEMANTICS_BYTES {
            return Err(failed(format!("{size} bytes; the most is {MOST_SEMANTICS_BYTES}")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        toml::from_str(&text).map_err(|error| failed(error.to_string().trim().replace('\n', " ")))
    }

    /// Whether the file is about this database.
    #[must_use]
    pub fn is_about(&self, database: &str) -> bool {
        let name = Path::new(database).file_name().map(|name| name.to_string_lossy().into_owned());
        self.database.as_ref().is_none_or(|own| own == database || Some(own) == name.as_ref())
    }

    /// Enters joins and private columns into a database, whose guards enforce them from now on.
    ///
    /// # Errors
    /// In words, the entry that names something that is not there.
    pub fn apply(&self, database: &mut dyn Database) -> std::result::Result<(), String> {
        let mut private = Vec::new();
        for named in &self.private {
            let (table, column) = place(database.schema(), named, "private")?;
            let of = &database.schema().tables[table];
            private.push((of.name.clone(), of.columns[column].name.clone()));
        }
        database.hide(&private);
        for join in &self.joins {
            let Some((from, to)) = join.split_once('=') else {
                return Err(format!("joins: {join}; expected table.column = table.column"));
            };
            let (from, to) =
                (place(database.schema(), from, "joins")?, place(database.schema(), to, "joins")?);
            let target = &database.schema().tables[to.0];
            let target = (target.name.clone(), target.columns[to.1].name.clone());
            database.schema_mut().tables[from.0].columns[from.1].references = Some(target);
        }
        self.words(database.schema()).map(|_| ())
    }

    /// What the file adds to the words of the schema.
    pub(super) fn words(&self, schema: &Schema) -> std::result::Result<Words, String> {
        let mut found = Words::default();
        for (name, expression) in &self.measures {
            found.measures.push(measure(schema, name, expression)?);
        }
        for (synonym, meant) in &self.synonyms {
            let measure = found.measures.iter().position(|measure| measure.name.eq_ignore_ascii_case(meant));
            let table = schema.tables.iter().position(|table| table.name.eq_ignore_ascii_case(meant));
            let meaning = match (measure, table, schema.place(meant)) {
                (Some(measure), ..) => Meaning::Measure(measure),
                (None, Some(table), _) => Meaning::Table(table),
                (None, None, Some((table, column))) => Meaning::Column(table, column),
                _ => {
                    return Err(format!(
                        "synonyms: {synonym} = {meant}; expected a table, a table.column or a measure"
                    ));
                }
            };
            if words(synonym).is_empty() {
                return Err(format!("synonyms: `{synonym}` is not a word"));
            }
            found.synonyms.push((synonym.clone(), meaning));
        }
        Ok(found)
    }
}

fn place(schema: &Schema, named: &str, list: &str) -> std::result::Result<(usize, usize), String> {
    let named = named.trim();
    schema.place(named).ok_or_else(|| {
        let meant =
            schema.column_like(named).map_or(String::new(), |meant| format!("; did you mean {meant}?"));
        format!("{list}: there is no column {named}{meant}")
    })
}

/// The columns that an expression names, and whether one of its functions is over rows.
struct Named<'a> {
    schema: &'a Schema,
    tables: Vec<usize>,
    sums: bool,
    wrong: Option<String>,
}

impl Visitor for Named<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        match expression {
            Expr::CompoundIdentifier(names) => {
                let named = names.iter().map(|name| name.value.as_str()).collect::<Vec<_>>().join(".");
                match self.schema.place(&named) {
                    Some((table, _)) if !self.tables.contains(&table) => self.tables.push(table),
                    Some(_) => {}
                    None => self.wrong = Some(format!("there is no column {named}")),
                }
            }
            Expr::Identifier(name) => self.wrong = Some(format!("write table.column in place of {name}")),
            Expr::Subquery(_) => self.wrong = Some("a query inside of it".to_owned()),
            Expr::Function(function) => {
                let name = function.name.to_string().to_ascii_lowercase();
                self.sums |= ["sum", "avg", "count", "min", "max", "total"].contains(&name.as_str());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn measure(schema: &Schema, name: &str, expression: &str) -> std::result::Result<Measure, String> {
    let wrong = |reason: String| format!("measures: {name} = {expression}: {reason}");
    let mut parser = Parser::new(&GenericDialect {})
        .with_recursion_limit(32)
        .try_with_sql(expression)
        .map_err(|error| wrong(error.to_string()))?;
    let parsed = parser.parse_expr().map_err(|error| wrong(error.to_string()))?;
    if parser.peek_token().token != sqlparser::tokenizer::Token::EOF {
        return Err(wrong("expected one expression".to_owned()));
    }
    let mut named = Named { schema, tables: Vec::new(), sums: false, wrong: None };
    let _ = parsed.visit(&mut named);
    match named.wrong {
        Some(reason) => Err(wrong(reason)),
        None if !named.sums => Err(wrong("expected sum, avg, count, min or max over rows".to_owned())),
        None if named.tables.is_empty() => Err(wrong("it names no column".to_owned())),
        None => Ok(Measure { name: name.to_owned(), sql: parsed.to_string(), tables: named.tables }),
    }
}
