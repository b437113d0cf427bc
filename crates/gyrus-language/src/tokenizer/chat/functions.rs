//! What `transformers` gives to templates: `tojson`, which is Python's `json.dumps`, and `strftime_now`.

use std::fmt::Write;

use chrono::NaiveDateTime;
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::MAXIMUM_BYTES;

/// The deepest nesting of values that is written.
const DEEPEST: usize = 200;
/// The longest format of a date, and the widest indentation.
const LONGEST_FORMAT: usize = 256;
const WIDEST_INDENT: usize = 64;

type Result<T> = std::result::Result<T, Error>;

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// The time in the format of Python's `strftime`.
pub(super) fn formatted(now: &NaiveDateTime, format: &str) -> Result<String> {
    let mut text = String::new();
    if format.len() > LONGEST_FORMAT || write!(text, "{}", now.format(format)).is_err() {
        return Err(wrong(format!("strftime_now: {format:?} is not a format of dates")));
    }
    Ok(text)
}

/// Jinja's `is iterable`: strings and what is undefined are, none is not.
pub(super) fn is_iterable(value: &Value) -> bool {
    match value.kind() {
        ValueKind::None => false,
        ValueKind::String | ValueKind::Undefined => true,
        _ => value.try_iter().is_ok(),
    }
}

/// Jinja's `is sequence`: whatever has a length and elements, strings and mappings included.
pub(super) fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map | ValueKind::Undefined)
}

/// How JSON is written: the arguments of `tojson`.
struct Style {
    ascii: bool,
    /// Spaces, or a text, before each element on a line of its own.
    indent: Option<String>,
    item: String,
    key: String,
    sorted: bool,
}

/// `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(super) fn to_json(value: &Value, arguments: &Rest<Value>, options: &Kwargs) -> Result<String> {
    const NAMES: [&str; 4] = ["ensure_ascii", "indent", "separators", "sort_keys"];
    if arguments.len() > NAMES.len() {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    let mut given: [Option<Value>; 4] = [const { None }; 4];
    for (place, name) in NAMES.into_iter().enumerate() {
        let by_name: Option<Value> = options.get(name)?;
        given[place] = by_name.or_else(|| arguments.get(place).cloned()).filter(|value| !value.is_none());
    }
    options.assert_all_used()?;
    let [ascii, indent, separators, sorted] = given;
    let indent = match indent {
        None => None,
        Some(indent) => Some(match (indent.as_str(), indent.as_i64()) {
            (Some(text), _) if text.len() <= WIDEST_INDENT => text.to_owned(),
            (None, Some(spaces)) if spaces <= WIDEST_INDENT as i64 => " ".repeat(spaces.max(0) as usize),
            _ => return Err(wrong(format!("tojson: the indent {indent} is not at most {WIDEST_INDENT}"))),
        }),
    };
    let (item, key) = match separators {
        None => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
        Some(pair) => {
            let texts: Vec<String> =
                pair.try_iter()?.filter_map(|text| text.as_str().map(str::to_owned)).take(3).collect();
            match <[String; 2]>::try_from(texts) {
                Ok([item, key]) if item.len() + key.len() <= WIDEST_INDENT => (item, key),
                _ => return Err(wrong("tojson: separators are two short strings")),
            }
        }
    };
    let is_true = |flag: Option<Value>| flag.is_some_and(|flag| flag.is_true());
    let style = Style { ascii: is_true(ascii), indent, item, key, sorted: is_true(sorted) };
    let mut text = String::new();
    style.write(value, 0, &mut text)?;
    Ok(text)
}

impl Style {
    fn write(&self, value: &Value, depth: usize, text: &mut String) -> Result<()> {
        if depth > DEEPEST || text.len() > MAXIMUM_BYTES {
            return Err(Error::new(
                ErrorKind::BadSerialization,
                "too deep or too long to be written as JSON",
            ));
        }
        match value.kind() {
            ValueKind::Undefined | ValueKind::None => text.push_str("null"),
            ValueKind::Bool => text.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if value.is_integer() => *text += &value.to_string(),
            ValueKind::Number => *text += &python_float(f64::try_from(value.clone())?),
            ValueKind::String => self.quote(value.as_str().unwrap_or_default(), text),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?.map(|item| (None, item));
                self.block(['[', ']'], items, depth, text)?;
            }
            ValueKind::Map => {
                let mut items = Vec::new();
                for name in value.try_iter()? {
                    let key = match name.kind() {
                        ValueKind::String => name.as_str().unwrap_or_default().to_owned(),
                        ValueKind::Number | ValueKind::Bool | ValueKind::None => {
                            let mut key = String::new();
                            self.write(&name, depth + 1, &mut key)?;
                            key
                        }
                        _ => return Err(Error::new(ErrorKind::BadSerialization, "keys must be strings")),
                    };
                    items.push((Some(key), value.get_item(&name)?));
                }
                if self.sorted {
                    items.sort_by(|(a, _), (b, _)| a.cmp(b));
                }
                self.block(['{', '}'], items.into_iter(), depth, text)?;
            }
            _ => return Err(Error::new(ErrorKind::BadSerialization, "this is not serializable as JSON")),
        }
        Ok(())
    }

    fn block(
        &self,
        [open, close]: [char; 2],
        items: impl Iterator<Item = (Option<String>, Value)>,
        depth: usize,
        text: &mut String,
    ) -> Result<()> {
        text.push(open);
        let mut empty = true;
        for (key, value) in items {
            if !std::mem::replace(&mut empty, false) {
                *text += &self.item;
            }
            self.line(depth + 1, text);
            if let Some(key) = key {
                self.quote(&key, text);
                *text += &self.key;
            }
            self.write(&value, depth + 1, text)?;
        }
        if !empty {
            self.line(depth, text);
        }
        text.push(close);
        Ok(())
    }

    fn line(&self, depth: usize, text: &mut String) {
        if let Some(indent) = &self.indent {
            text.push('\n');
            (0..depth).for_each(|_| *text += indent);
        }
    }

    fn quote(&self, string: &str, text: &mut String) {
        text.push('"');
        for letter in string.chars() {
            match letter {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\u{8}' => text.push_str("\\b"),
                '\u{c}' => text.push_str("\\f"),
                letter if letter < ' ' || self.ascii && !(' '..='~').contains(&letter) => {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        *text += &format!("\\u{unit:04x}");
                    }
                }
                letter => text.push(letter),
            }
        }
        text.push('"');
    }
}

/// A number as Python's `repr` writes it: the shortest digits, with an exponent below 1e-4 and from 1e16 on.
fn python_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let short = format!("{number:e}");
    let (digits, exponent) = short.split_once('e').unwrap_or((&short, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = number.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_pythons() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.5, "1.5"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e-5, "1.25e-05"),
            (0.0001, "0.0001"),
            (-3.5e300, "-3.5e+300"),
        ] {
            assert_eq!(python_float(number), text);
        }
    }
}
