//! How tables are connected: the shortest way along foreign keys.

use std::collections::VecDeque;

use super::lexicon::{qualified, quoted};
use crate::Schema;
use crate::guard::Dialect;

/// An edge: a column that refers to another table's column.
#[derive(Clone, Copy, Debug)]
struct Edge {
    from: (usize, usize),
    to: (usize, usize),
}

fn edges(schema: &Schema) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (table, of) in schema.tables.iter().enumerate() {
        for (column, named) in of.columns.iter().enumerate() {
            let Some((target, key)) = &named.references else { continue };
            let same = |name: &str, other: &str| name.eq_ignore_ascii_case(other);
            let target = schema.tables.iter().position(|table| same(&table.name, target));
            let key = target.and_then(|target| {
                let columns = &schema.tables[target].columns;
                let named = columns.iter().position(|column| same(&column.name, key));
                Some((target, named.or_else(|| columns.iter().position(|column| column.is_key))?))
            });
            edges.extend(key.map(|to| Edge { from: (table, column), to }));
        }
    }
    edges
}

/// `FROM a JOIN b ON ...` over all these tables, of which the first comes first.
///
/// # Errors
/// The first table that no foreign key connects with the others.
pub(super) fn from(dialect: Dialect, schema: &Schema, tables: &[usize]) -> Result<String, usize> {
    let edges = edges(schema);
    let Some(&first) = tables.first() else { return Ok(String::new()) };
    let mut joined = vec![first];
    let mut sql = format!("FROM {}", quoted(dialect, &schema.tables[first].name));
    for &table in tables {
        if joined.contains(&table) {
            continue;
        }
        for (edge, next) in path(&edges, &joined, table).ok_or(table)? {
            let name = quoted(dialect, &schema.tables[next].name);
            let [one, other] =
                [edge.from, edge.to].map(|(table, column)| qualified(dialect, schema, table, column));
            sql += &format!(" JOIN {name} ON {one} = {other}");
            joined.push(next);
        }
    }
    Ok(sql)
}

/// How many references lie between some tables and another.
pub(super) fn distance(schema: &Schema, tables: &[usize], wanted: usize) -> Option<usize> {
    path(&edges(schema), tables, wanted).map(|way| way.len())
}

/// The shortest way from the joined tables to another: edges, each with the table that it adds.
fn path(edges: &[Edge], joined: &[usize], wanted: usize) -> Option<Vec<(Edge, usize)>> {
    let mut ways: Vec<(usize, Vec<(Edge, usize)>)> = Vec::new();
    let mut queue: VecDeque<usize> = VecDeque::new();
    let mut seen = joined.to_vec();
    for &table in joined {
        ways.push((table, Vec::new()));
        queue.push_back(ways.len() - 1);
    }
    while let Some(place) = queue.pop_front() {
        let (table, way) = ways[place].clone();
        if table == wanted {
            return Some(way);
        }
        for edge in edges {
            let next = match (edge.from.0 == table, edge.to.0 == table) {
                (true, false) => edge.to.0,
                (false, true) => edge.from.0,
                _ => continue,
            };
            if !seen.contains(&next) {
                seen.push(next);
                let mut longer = way.clone();
                longer.push((*edge, next));
                ways.push((next, longer));
                queue.push_back(ways.len() - 1);
            }
        }
    }
    None
}
