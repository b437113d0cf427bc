//! Visits every part of a query and decides.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArguments, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query,
    Select, SelectFlavor, SelectItem, SetExpr, Statement, TableAlias, TableFactor, Value, ValueWithSpan,
    Visit, Visitor,
};

use super::functions::{self, TABLE_FUNCTIONS, is_function};
use super::{Dialect, first_word};
use crate::database::closest;
use crate::{Refusal, Rules, Schema};

/// Boxed, as the visitor asks, to keep the stack small.
type Decision = ControlFlow<Box<Refusal>>;

fn refuse(refusal: Refusal) -> Decision {
    ControlFlow::Break(Box::new(refusal))
}

fn clause(name: &str) -> Decision {
    refuse(Refusal::Clause(name.to_owned()))
}

pub(super) struct Walk<'a> {
    dialect: Dialect,
    schema: &'a Schema,
    rules: &'a Rules,
    /// Names of common table expressions, in lower case. Each is taken for known in the whole query; where it is not, the
    /// engine says so.
    pub(super) named: Vec<String>,
    /// Names and aliases of the tables that the query reads, in lower case: in PostgreSQL each is a value too, a whole row.
    rows: Vec<String>,
}

/// Collects what tables are called in a query.
struct Called(Vec<String>);

impl Visitor for Called {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, .. } = factor {
            let alias = alias.as_ref().map(|alias| alias.name.value.clone());
            let last = name.0.last().map(ToString::to_string);
            self.0.extend(alias.or(last).map(|called| called.trim_matches('"').to_ascii_lowercase()));
        }
        ControlFlow::Continue(())
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(dialect: Dialect, schema: &'a Schema, rules: &'a Rules, query: &Query) -> Self {
        let mut called = Called(Vec::new());
        if dialect == Dialect::Postgres || dialect == Dialect::DuckDb {
            let _ = query.visit(&mut called);
        }
        Self { dialect, schema, rules, named: Vec::new(), rows: called.0 }
    }

    /// Columns of a table under other names would pass a private one by.
    fn alias(&self, alias: Option<&TableAlias>) -> Decision {
        match alias {
            Some(TableAlias { columns, .. }) if !columns.is_empty() => {
                clause("new names for the columns of a table")
            }
            Some(TableAlias { at: Some(_), .. }) => clause("an index alias"),
            _ => ControlFlow::Continue(()),
        }
    }

    fn table(&self, name: &ObjectName) -> Decision {
        let shown = name.to_string();
        let unknown =
            || refuse(Refusal::Table { name: shown.clone(), meant: self.schema.table_like(&shown) });
        let mut parts = Vec::new();
        for part in &name.0 {
            let ObjectNamePart::Identifier(part) = part else { return clause("a computed name") };
            parts.push(part.value.as_str());
        }
        let home = match self.dialect {
            Dialect::Sqlite | Dialect::DuckDb => Some("main"),
            Dialect::Postgres => Some("public"),
            Dialect::MySql => None,
        };
        let name = match parts[..] {
            [name] => name,
            [schema, name] if home.is_some_and(|home| home.eq_ignore_ascii_case(schema)) => name,
            _ => return unknown(),
        };
        let is_named = parts.len() == 1 && self.named.contains(&name.to_ascii_lowercase());
        if is_named || self.schema.table(name).is_some() { ControlFlow::Continue(()) } else { unknown() }
    }

    fn function(&self, function: &Function) -> Decision {
        let shown = function.name.to_string();
        let name = match &function.name.0[..] {
            [ObjectNamePart::Identifier(name)] => name.value.to_ascii_lowercase(),
            _ => shown.to_ascii_lowercase(),
        };
        if !matches!(function.parameters, FunctionArguments::None) {
            return clause("a function with parameters");
        }
        match is_function(self.dialect, &name) {
            true => ControlFlow::Continue(()),
            false => {
                refuse(Refusal::Function { meant: closest(&name, functions::all(self.dialect)), name: shown })
            }
        }
    }

    /// A column by name; whether it exists is for the engine to say.
    fn column(&self, table: Option<&str>, name: &str) -> Decision {
        // A qualifier may be an alias, so any table's private column of this name counts.
        let table = table.filter(|table| self.schema.table(table).is_some());
        match self.rules.private(table, name) {
            Some(private) => refuse(Refusal::Private(private)),
            None => ControlFlow::Continue(()),
        }
    }

    /// Columns that a join compares without naming them as expressions.
    fn join(&self, join: &JoinOperator) -> Decision {
        let constraint = match join {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint)
            | JoinOperator::CrossJoin(constraint) => constraint,
            _ => return clause("a join of another database"),
        };
        match constraint {
            JoinConstraint::On(_) | JoinConstraint::None => ControlFlow::Continue(()),
            JoinConstraint::Natural => self.all_columns(),
            JoinConstraint::Using(names) | JoinConstraint::UsingAlias(names, _) => {
                for name in names {
                    match name.0.last() {
                        Some(ObjectNamePart::Identifier(name)) => self.column(None, &name.value)?,
                        _ => return clause("a computed name"),
                    }
                }
                ControlFlow::Continue(())
            }
        }
    }

    /// All columns at once: none of the tables may have a private one.
    fn all_columns(&self) -> Decision {
        match self.rules.private.first() {
            Some((table, column)) => refuse(Refusal::Clause(format!(
                "* beside the private column {table}.{column}; columns must be named: it"
            ))),
            None => ControlFlow::Continue(()),
        }
    }
}

impl Visitor for Walk<'_> {
    type Break = Box<Refusal>;

    fn pre_visit_statement(&mut self, statement: &Statement) -> Decision {
        // The query itself is no statement here, so this one is nested: a write in a common table expression.
        refuse(Refusal::Statement(first_word(statement)))
    }

    fn pre_visit_query(&mut self, query: &Query) -> Decision {
        // Named in full, so that a new part of the tree must be decided here.
        let Query {
            with,
            body,
            order_by: _,
            limit_clause: _,
            fetch: _,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        if !locks.is_empty() {
            return clause("FOR UPDATE or FOR SHARE");
        }
        if for_clause.is_some() || settings.is_some() || format_clause.is_some() || !pipe_operators.is_empty()
        {
            return clause("FOR, SETTINGS, FORMAT or a pipe");
        }
        for expression in with.iter().flat_map(|with| &with.cte_tables) {
            if expression.from.is_some() {
                return clause("FROM after a common table expression");
            }
            let name = expression.alias.name.value.to_ascii_lowercase();
            // It would lend its name to the engine's own table elsewhere in the query.
            if name.starts_with("sqlite_") || name.starts_with("pragma_") {
                return clause("a common table expression with a name of the engine");
            }
            self.named.push(name);
        }
        self.body(body)
    }

    fn pre_visit_select(&mut self, select: &Select) -> Decision {
        let Select {
            select_token: _,
            optimizer_hints,
            distinct: _,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection: _,
            connect_by,
            group_by: _,
            cluster_by,
            distribute_by,
            sort_by,
            having: _,
            named_window: _,
            qualify: _,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        if into.is_some() {
            return clause("INTO");
        }
        if !optimizer_hints.is_empty() || select_modifiers.is_some() {
            return clause("an optimizer hint");
        }
        let others = [
            top.is_some(),
            exclude.is_some(),
            !lateral_views.is_empty(),
            prewhere.is_some(),
            !connect_by.is_empty(),
            !cluster_by.is_empty(),
            !distribute_by.is_empty(),
            !sort_by.is_empty(),
            value_table_mode.is_some(),
            !matches!(flavor, SelectFlavor::Standard),
        ];
        if others.contains(&true) {
            return clause("a clause of another database");
        }
        from.iter().flat_map(|table| &table.joins).try_for_each(|join| self.join(&join.join_operator))?;
        let is_all =
            |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        if projection.iter().any(is_all) { self.all_columns() } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Decision {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_directives,
                inheritance,
            } => {
                let odd = !with_hints.is_empty()
                    || version.is_some()
                    || *with_ordinality
                    || !partitions.is_empty()
                    || json_path.is_some()
                    || sample.is_some()
                    || !index_directives.is_empty()
                    || inheritance.is_some();
                if odd {
                    return clause("a table with hints, versions or samples");
                }
                self.alias(alias.as_ref())?;
                if args.is_some() {
                    let name = name.to_string().to_ascii_lowercase();
                    return match self.dialect == Dialect::Sqlite && TABLE_FUNCTIONS.contains(&name.as_str()) {
                        true => ControlFlow::Continue(()),
                        false => refuse(Refusal::Function { name, meant: None }),
                    };
                }
                self.table(name)
            }
            TableFactor::Derived { .. } => ControlFlow::Continue(()),
            TableFactor::NestedJoin { table_with_joins, .. } => {
                table_with_joins.joins.iter().try_for_each(|join| self.join(&join.join_operator))
            }
            TableFactor::UNNEST { .. } if self.dialect != Dialect::Sqlite => ControlFlow::Continue(()),
            other => {
                let text = other.to_string();
                clause(&format!("FROM {}", text.chars().take(40).collect::<String>()))
            }
        }
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> Decision {
        match &value.value {
            Value::Number(..) | Value::Boolean(_) | Value::Null | Value::HexStringLiteral(_) => {
                ControlFlow::Continue(())
            }
            // The parser has undone the escapes and does not write them again, so another text might run.
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text)
                if self.dialect == Dialect::MySql && text.contains('\\') =>
            {
                clause("a backslash in a text")
            }
            Value::SingleQuotedString(_) | Value::DoubleQuotedString(_) => ControlFlow::Continue(()),
            _ => clause("a text with a prefix, or a placeholder"),
        }
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> Decision {
        match expression {
            Expr::Function(function) => self.function(function),
            // A variable of the session or the server.
            Expr::Identifier(name) if name.value.starts_with('@') => clause("a variable"),
            Expr::CompoundIdentifier(names) if names.iter().any(|name| name.value.starts_with('@')) => {
                clause("a variable")
            }
            Expr::Identifier(name) => {
                let is_column = || {
                    let columns = self.schema.tables.iter().flat_map(|table| &table.columns);
                    columns.into_iter().any(|column| column.name.eq_ignore_ascii_case(&name.value))
                };
                if self.rows.contains(&name.value.to_ascii_lowercase()) && !is_column() {
                    self.all_columns()?;
                }
                self.column(None, &name.value)
            }
            Expr::CompoundIdentifier(names) => match &names[..] {
                [.., table, column] => self.column(Some(&table.value), &column.value),
                _ => ControlFlow::Continue(()),
            },
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => self.all_columns(),
            Expr::Prefixed { .. } | Expr::Prior(_) | Expr::OuterJoin(_) | Expr::Lambda(_) => {
                clause("an expression of another database")
            }
            // COLLATE and CONVERT name code of the engine; the engine knows its own.
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Walk<'_> {
    fn body(&self, body: &SetExpr) -> Decision {
        match body {
            SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => ControlFlow::Continue(()),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left)?;
                self.body(right)
            }
            SetExpr::Insert(statement)
            | SetExpr::Update(statement)
            | SetExpr::Delete(statement)
            | SetExpr::Merge(statement) => refuse(Refusal::Statement(first_word(statement))),
            SetExpr::Table(_) => clause("TABLE"),
        }
    }
}
