//! JSON schemas as people write them, turned into what the engine of [`Constraints`](super::Constraints) follows.
//!
//! A change never admits more than the schema does: annotations are dropped, a keyword that the engine lacks is replaced by an
//! equal or stricter one, and where there is none the schema is refused with the place and the keyword. References of every
//! form (percent-encoded, with `~1`, to anchors) become references to plain names. Integers are bounded, because a model may
//! write digits without end.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::disjoint::are_disjoint;

/// The largest integer that every reader of JSON keeps (JavaScript's safe integers).
const LARGEST_INTEGER: i64 = (1 << 53) - 1;
/// The formats that the engine enforces.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"];
/// Keywords that the engine knows, of those without a schema inside.
const PLAIN: [&str; 15] = [
    "const",
    "enum",
    "type",
    "minItems",
    "maxItems",
    "required",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "multipleOf",
    "format",
];

/// A schema that cannot be followed.
pub(super) struct Problem {
    /// A JSON pointer into the schema.
    pub(super) place: String,
    pub(super) got: String,
}

type Result<T> = std::result::Result<T, Problem>;

fn problem<T>(place: &str, got: impl Into<String>) -> Result<T> {
    Err(Problem { place: format!("#{place}"), got: got.into() })
}

/// A schema for the engine.
pub(super) struct Prepared {
    pub(super) schema: Value,
    /// The names of its `$defs`, and where they stand in the schema as it was given.
    pub(super) origins: BTreeMap<String, String>,
}

/// Prepares a schema.
pub(super) fn prepare(schema: &Value) -> Result<Prepared> {
    let mut preparation = Preparation { root: schema, names: BTreeMap::new(), queue: Vec::new() };
    let mut whole = match preparation.schema(schema, "")? {
        Value::Bool(true) => Map::new(),
        Value::Object(fields) => fields,
        _ => return problem("", "false, which nothing matches"),
    };
    let mut definitions = Map::new();
    while let Some((name, pointer)) = preparation.queue.pop() {
        let target = schema.pointer(&pointer).unwrap_or(&Value::Null);
        definitions.insert(name, preparation.schema(target, &pointer)?);
    }
    if !definitions.is_empty() {
        whole.insert("$defs".to_owned(), Value::Object(definitions));
    }
    let origins = preparation.names.into_iter().map(|(pointer, name)| (name, pointer)).collect();
    Ok(Prepared { schema: Value::Object(whole), origins })
}

struct Preparation<'a> {
    root: &'a Value,
    /// Names of what is referred to, by its place.
    names: BTreeMap<String, String>,
    queue: Vec<(String, String)>,
}

/// The fields of a schema, which are taken one by one.
struct Fields<'a> {
    given: &'a Map<String, Value>,
    place: &'a str,
}

impl Fields<'_> {
    fn at(&self, name: &str) -> String {
        format!("{}/{}", self.place, name.replace('~', "~0").replace('/', "~1"))
    }

    fn list(&self, name: &str) -> Result<&[Value]> {
        match self.given.get(name) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => problem(&self.at(name), "something else than a list"),
        }
    }

    fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.given.contains_key(*name))
    }

    fn refuse<T>(&self, name: &str) -> Result<T> {
        problem(self.place, format!("the keyword {name}, which cannot be enforced here"))
    }
}

impl Preparation<'_> {
    fn schema(&mut self, schema: &Value, place: &str) -> Result<Value> {
        let given = match schema {
            Value::Bool(_) => return Ok(schema.clone()),
            Value::Object(given) => given,
            _ => return problem(place, "something else than an object, true or false"),
        };
        let fields = Fields { given, place };
        let mut new = Map::new();
        for (name, value) in given {
            match name.as_str() {
                "$ref" => {
                    let reference = self.reference(value, &fields)?;
                    new.insert(name.clone(), Value::String(reference));
                }
                "$dynamicRef" | "$recursiveRef" | "not" => return fields.refuse(name),
                "if" if fields.has_any(&["then", "else"]) => return fields.refuse(name),
                "properties" | "patternProperties" => {
                    new.insert(name.clone(), self.map(value, &fields.at(name))?);
                }
                "anyOf" | "allOf" | "prefixItems" => {
                    new.insert(name.clone(), self.all(fields.list(name)?, &fields.at(name))?);
                }
                "items" | "additionalItems" | "additionalProperties" => {
                    let value = match value {
                        Value::Array(list) if name == "items" => self.all(list, &fields.at(name))?,
                        other => self.schema(other, &fields.at(name))?,
                    };
                    new.insert(name.clone(), value);
                }
                "exclusiveMinimum" | "exclusiveMaximum" => {
                    new.insert(name.clone(), value.clone());
                }
                plain if PLAIN.contains(&plain) => {
                    new.insert(name.clone(), value.clone());
                }
                // Those that need more follow below; everything else is an annotation.
                _ => {}
            }
        }
        self.one_of(&fields, &mut new)?;
        format(&mut new);
        unique_items(&fields)?;
        contains(&fields)?;
        dependencies(&fields, &mut new)?;
        self.property_names(&fields, &mut new)?;
        unevaluated(&fields, &mut new)?;
        bound_integers(&mut new);
        Ok(Value::Object(new))
    }

    fn map(&mut self, value: &Value, place: &str) -> Result<Value> {
        let Value::Object(fields) = value else { return problem(place, "something else than an object") };
        let within = Fields { given: fields, place };
        let of = |(name, value): (&String, &Value)| Ok((name.clone(), self.schema(value, &within.at(name))?));
        Ok(Value::Object(fields.iter().map(of).collect::<Result<_>>()?))
    }

    fn all(&mut self, list: &[Value], place: &str) -> Result<Value> {
        let of = |(index, value): (usize, &Value)| self.schema(value, &format!("{place}/{index}"));
        list.iter().enumerate().map(of).collect()
    }

    /// A reference by a plain name.
    fn reference(&mut self, value: &Value, fields: &Fields<'_>) -> Result<String> {
        let place = fields.at("$ref");
        let Some(text) = value.as_str() else { return problem(&place, "something else than a string") };
        let id = self.root.get("$id").and_then(Value::as_str).unwrap_or_default().trim_end_matches('#');
        let fragment = text.strip_prefix(id).filter(|_| !id.is_empty()).unwrap_or(text);
        let fragment = match fragment.strip_prefix('#') {
            Some(fragment) => percent_decoded(fragment),
            None if fragment.is_empty() => String::new(),
            None => return problem(&place, format!("{text:?}, which is outside of this schema")),
        };
        let pointer = match fragment.is_empty() || fragment.starts_with('/') {
            true => Some(fragment.trim_end_matches('/').to_owned()),
            false => anchor(self.root, &fragment, String::new()),
        };
        let Some(pointer) = pointer.filter(|pointer| self.root.pointer(pointer).is_some()) else {
            return problem(&place, format!("{text:?}, which is not in this schema"));
        };
        let next = format!("d{}", self.names.len());
        let queue = &mut self.queue;
        let name = self.names.entry(pointer.clone()).or_insert_with(|| {
            queue.push((next.clone(), pointer));
            next
        });
        Ok(format!("#/$defs/{name}"))
    }

    /// Alternatives that exclude each other are as good as any of them.
    fn one_of(&mut self, fields: &Fields<'_>, new: &mut Map<String, Value>) -> Result<()> {
        let options = fields.list("oneOf")?;
        if options.is_empty() {
            return Ok(());
        }
        let all = self.all(options, &fields.at("oneOf"))?;
        let mut pairs =
            options.iter().enumerate().flat_map(|(at, a)| options[at + 1..].iter().map(move |b| (a, b)));
        let keyword = match pairs.all(|(a, b)| are_disjoint(self.root, a, b)) {
            true => "anyOf",
            // The engine may see that they exclude each other.
            false => "oneOf",
        };
        if new.contains_key(keyword) {
            add(new, "allOf", json!({keyword: all}));
        } else {
            new.insert(keyword.to_owned(), all);
        }
        Ok(())
    }

    /// Names of properties that are one of a few, or match a pattern.
    fn property_names(&mut self, fields: &Fields<'_>, new: &mut Map<String, Value>) -> Result<()> {
        let names = match fields.given.get("propertyNames") {
            None | Some(Value::Bool(true)) => return Ok(()),
            Some(Value::Object(names)) => names,
            Some(_) => return fields.refuse("propertyNames"),
        };
        let asks = |name: &&str| !matches!(*name, "type" | "title" | "description" | "$comment");
        let asked: Vec<&str> = names.keys().map(String::as_str).filter(asks).collect();
        if fields.has_any(&["properties", "patternProperties"]) && !asked.is_empty() {
            return fields.refuse("propertyNames");
        }
        let rest = new.get("additionalProperties").cloned().unwrap_or(Value::Bool(true));
        let length = |name: &str| names.get(name).and_then(Value::as_u64);
        match asked[..] {
            [] => return Ok(()),
            ["enum"] | ["const"] => {
                let list = names.get("enum").and_then(Value::as_array).cloned();
                let list = list.or_else(|| Some(vec![names.get("const")?.clone()])).unwrap_or_default();
                let property = |name: &Value| Some((name.as_str()?.to_owned(), rest.clone()));
                let properties: Map<String, Value> = list.iter().filter_map(property).collect();
                new.insert("properties".to_owned(), Value::Object(properties));
            }
            ["pattern"] => {
                let pattern = names.get("pattern").and_then(Value::as_str).unwrap_or_default();
                new.insert("patternProperties".to_owned(), json!({pattern: rest}));
            }
            _ if asked.iter().all(|name| matches!(*name, "minLength" | "maxLength")) => {
                let most = length("maxLength").map(|most| most.to_string()).unwrap_or_default();
                let pattern = format!("^[\\s\\S]{{{},{most}}}$", length("minLength").unwrap_or(0));
                new.insert("patternProperties".to_owned(), json!({pattern: rest}));
            }
            _ => return fields.refuse("propertyNames"),
        }
        new.insert("additionalProperties".to_owned(), Value::Bool(false));
        Ok(())
    }
}

/// Adds to a list.
fn add(new: &mut Map<String, Value>, name: &str, value: Value) {
    if let Value::Array(list) = new.entry(name).or_insert_with(|| json!([])) {
        list.push(value);
    }
}

/// Formats that the engine lacks: those of the standard become stricter ones, others are annotations.
fn format(new: &mut Map<String, Value>) {
    let Some(Value::String(format)) = new.get("format") else {
        new.remove("format");
        return;
    };
    let known = match format.as_str() {
        known if FORMATS.contains(&known) => return,
        "idn-email" => "email",
        "idn-hostname" => "hostname",
        "iri" | "uri-reference" | "iri-reference" | "uri-template" => "uri",
        other => {
            let pattern = match other {
                "json-pointer" => Some("^(/[A-Za-z0-9_-]+)*$"),
                "relative-json-pointer" => Some("^(0|[1-9][0-9]*)(/[A-Za-z0-9_-]+)*$"),
                "regex" => Some("^[A-Za-z0-9 _-]*$"),
                _ => None,
            };
            if let Some(pattern) = pattern {
                add(new, "allOf", json!({"pattern": pattern}));
            }
            new.remove("format");
            return;
        }
    };
    new.insert("format".to_owned(), Value::from(known));
}

fn unique_items(fields: &Fields<'_>) -> Result<()> {
    let few = fields.given.get("maxItems").and_then(Value::as_u64).is_some_and(|most| most <= 1);
    match fields.given.get("uniqueItems") {
        Some(Value::Bool(true)) if !few => fields.refuse("uniqueItems"),
        _ => Ok(()),
    }
}

fn contains(fields: &Fields<'_>) -> Result<()> {
    let may_be_none = fields.given.get("minContains").and_then(Value::as_u64) == Some(0);
    let says_nothing = may_be_none && !fields.has_any(&["maxContains"]);
    match fields.has_any(&["contains"]) && !says_nothing {
        true => fields.refuse("contains"),
        false => Ok(()),
    }
}

/// What depends on a property that is required is required too.
fn dependencies(fields: &Fields<'_>, new: &mut Map<String, Value>) -> Result<()> {
    for keyword in ["dependentRequired", "dependencies", "dependentSchemas"] {
        let Some(Value::Object(list)) = fields.given.get(keyword) else { continue };
        for (trigger, needed) in list {
            let is_required = |new: &Map<String, Value>| {
                new.get("required")
                    .and_then(Value::as_array)
                    .is_some_and(|list| list.contains(&json!(trigger)))
            };
            match needed {
                Value::Array(needed) if needed.is_empty() => {}
                Value::Array(needed) if is_required(new) => {
                    for name in needed {
                        add(new, "required", name.clone());
                    }
                }
                _ => return fields.refuse(keyword),
            }
        }
    }
    Ok(())
}

/// Without alternatives, what is unevaluated is what is additional.
fn unevaluated(fields: &Fields<'_>, new: &mut Map<String, Value>) -> Result<()> {
    for (keyword, known, plain) in [
        ("unevaluatedProperties", "additionalProperties", "additionalProperties"),
        ("unevaluatedItems", "items", "items"),
    ] {
        match fields.given.get(keyword) {
            None | Some(Value::Bool(true)) => {}
            Some(Value::Object(any)) if any.is_empty() => {}
            Some(_) if fields.has_any(&[known]) => {}
            Some(Value::Bool(false)) if !fields.has_any(&["allOf", "anyOf", "oneOf", "$ref", "contains"]) => {
                new.insert(plain.to_owned(), Value::Bool(false));
            }
            Some(_) => return fields.refuse(keyword),
        }
    }
    Ok(())
}

/// Gives integers the bounds that they lack.
fn bound_integers(new: &mut Map<String, Value>) {
    let is_integer = match new.get("type") {
        Some(Value::String(kind)) => kind == "integer",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "integer"),
        _ => false,
    };
    if !is_integer || new.contains_key("enum") || new.contains_key("const") {
        return;
    }
    let bound = |names: [&str; 2]| names.iter().filter_map(|name| new.get(*name)?.as_f64()).next();
    let (lower, upper) = (bound(["minimum", "exclusiveMinimum"]), bound(["maximum", "exclusiveMaximum"]));
    let largest = LARGEST_INTEGER as f64;
    if upper.is_none() && lower.is_none_or(|lower| lower < largest) {
        new.insert("maximum".to_owned(), json!(LARGEST_INTEGER));
    }
    if lower.is_none() && upper.is_none_or(|upper| upper > -largest) {
        new.insert("minimum".to_owned(), json!(-LARGEST_INTEGER));
    }
}

/// The place of a schema with this anchor.
fn anchor(value: &Value, name: &str, place: String) -> Option<String> {
    let named = |field: &str| value.get(field).and_then(Value::as_str) == Some(name);
    if named("$anchor") || named("$dynamicAnchor") {
        return Some(place);
    }
    match value {
        Value::Object(fields) => {
            let within = Fields { given: fields, place: &place };
            fields.iter().find_map(|(field, value)| anchor(value, name, within.at(field)))
        }
        Value::Array(list) => {
            list.iter().enumerate().find_map(|(index, value)| anchor(value, name, format!("{place}/{index}")))
        }
        _ => None,
    }
}

/// The text that a fragment of an address stands for.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
