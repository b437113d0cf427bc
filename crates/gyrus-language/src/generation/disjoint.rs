//! Whether two JSON schemas exclude each other, so that exactly one of them holds where any does.

use serde_json::{Map, Value};

/// The longest chain of references and properties that is followed.
const DEEPEST: usize = 8;
const TYPES: [&str; 6] = ["null", "boolean", "number", "string", "array", "object"];

/// Whether no value matches both schemas, as far as constants, types and required properties show. `root` is what their
/// references point into.
pub(super) fn are_disjoint(root: &Value, a: &Value, b: &Value) -> bool {
    within(root, a, b, 0)
}

fn within(root: &Value, a: &Value, b: &Value, depth: usize) -> bool {
    if a == &Value::Bool(false) || b == &Value::Bool(false) {
        return true;
    }
    let (Some(a), Some(b)) = (resolved(root, a, 0), resolved(root, b, 0)) else { return false };
    if depth > DEEPEST {
        return false;
    }
    let alternatives = |schema: &Map<String, Value>| {
        ["anyOf", "oneOf"].into_iter().find_map(|name| schema.get(name)?.as_array().cloned())
    };
    for (one, other) in [(a, b), (b, a)] {
        if let Some(options) = alternatives(one) {
            let other = Value::Object(other.clone());
            return options.iter().all(|option| within(root, option, &other, depth + 1));
        }
    }
    match (values(a), values(b)) {
        (Some(of_a), Some(of_b)) => return !of_a.iter().any(|value| of_b.contains(value)),
        (Some(values), None) => return !values.iter().any(|value| types(b).contains(&type_of(value))),
        (None, Some(values)) => return !values.iter().any(|value| types(a).contains(&type_of(value))),
        (None, None) => {}
    }
    let (of_a, of_b) = (types(a), types(b));
    let both: Vec<&&str> = of_a.iter().filter(|kind| of_b.contains(kind)).collect();
    match both[..] {
        [] => true,
        [&"object"] => {
            let shared = required(a).into_iter().filter(|name| required(b).contains(name));
            let differ = |name: &str| match (property(a, name), property(b, name)) {
                (Some(a), Some(b)) => within(root, a, b, depth + 1),
                _ => false,
            };
            shared.into_iter().any(differ) || forbids(a, b) || forbids(b, a)
        }
        _ => false,
    }
}

/// Whether `one` does not allow a property that `other` requires.
fn forbids(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    one.get("additionalProperties") == Some(&Value::Bool(false))
        && !one.contains_key("patternProperties")
        && required(other).into_iter().any(|name| property(one, name).is_none())
}

fn resolved<'a>(root: &'a Value, schema: &'a Value, depth: usize) -> Option<&'a Map<String, Value>> {
    let schema = schema.as_object()?;
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) if depth < DEEPEST => {
            resolved(root, root.pointer(reference.strip_prefix('#')?)?, depth + 1)
        }
        Some(_) => None,
        None => Some(schema),
    }
}

/// The values that match, if they are listed.
fn values(schema: &Map<String, Value>) -> Option<Vec<Value>> {
    schema.get("const").map(|value| vec![value.clone()]).or_else(|| schema.get("enum")?.as_array().cloned())
}

/// The types that match; integers are numbers.
fn types(schema: &Map<String, Value>) -> Vec<&str> {
    let number = |kind| if kind == "integer" { "number" } else { kind };
    match schema.get("type") {
        Some(Value::String(kind)) => vec![number(kind.as_str())],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).map(number).collect(),
        _ => TYPES.to_vec(),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn required(schema: &Map<String, Value>) -> Vec<&str> {
    let list = schema.get("required").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn property<'a>(schema: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    schema.get("properties")?.get(name)
}
