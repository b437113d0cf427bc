//! Tools: what a model may call, how calls appear in its text, and how to force one.
//!
//! Models are trained to call tools in different forms ([`ToolForm`]); the chat template shows which. A model whose template
//! shows none is told of its tools in words ([`generic`]). [`ToolReader`] reads an answer as it arrives.

mod form;
pub(crate) mod generic;
mod reader;

use serde_json::{Map, Value, json};

use crate::error::{ApiError, Result};
use crate::fields::{Fields, kind};

pub use form::ToolForm;
pub use reader::{Part, ToolReader};

/// The most tools of a request.
pub(crate) const MOST_TOOLS: usize = 128;
/// The most bytes of a tool's name.
const LONGEST_NAME: usize = 64;

/// A function that may be called.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tool {
    pub(crate) name: String,
    /// The schema of its arguments, which are an object.
    parameters: Value,
    /// As given, for the chat template.
    pub(crate) given: Value,
}

impl Tool {
    /// Takes the fields of a function; `given` is the tool as chat templates expect it.
    pub(crate) fn take(function: &mut Fields, given: Value) -> Result<Self, ApiError> {
        let name = function.string("name")?;
        let name = function.required("name", name)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.bytes().all(plain) {
            let expected = format!("1 to {LONGEST_NAME} letters, digits, underscores, dots and dashes");
            return Err(ApiError::field(&function.at("name"), "another name", expected));
        }
        function.string("description")?;
        // Forced calls follow the schema strictly.
        function.flag("strict")?;
        let place = function.at("parameters");
        let parameters = match function.value("parameters") {
            None => Map::new(),
            Some(Value::Object(parameters)) => parameters,
            Some(other) => return Err(ApiError::field(&place, kind(&other), "a JSON schema of an object")),
        };
        Ok(Self { name, parameters: of_object(parameters, &place)?, given })
    }
}

/// The schema of arguments, which are always an object: one that names no properties and does not say that others may be
/// added has none.
fn of_object(mut parameters: Map<String, Value>, place: &str) -> Result<Value, ApiError> {
    let is_object = match parameters.get("type") {
        None => true,
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        Some(_) => false,
    };
    if !is_object {
        return Err(ApiError::field(&format!("{place}.type"), "another type", "object"));
    }
    parameters.insert("type".to_owned(), json!("object"));
    const SAY_MORE: [&str; 9] = [
        "$ref",
        "additionalProperties",
        "allOf",
        "anyOf",
        "oneOf",
        "patternProperties",
        "propertyNames",
        "required",
        "unevaluatedProperties",
    ];
    let says_none =
        parameters.get("properties").is_none_or(|list| list.as_object().is_some_and(Map::is_empty));
    if says_none && !SAY_MORE.iter().any(|name| parameters.contains_key(*name)) {
        parameters.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    Ok(Value::Object(parameters))
}

/// Which tools an answer should call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ToolChoice {
    /// None.
    None,
    /// The model decides.
    Auto,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// The tools of a request.
pub(crate) fn tools(fields: &mut Fields) -> Result<Vec<Tool>, ApiError> {
    let list = fields.list("tools")?.unwrap_or_default();
    if list.len() > MOST_TOOLS {
        return Err(ApiError::field(
            "tools",
            format!("{} of them", list.len()),
            format!("at most {MOST_TOOLS}"),
        ));
    }
    let tool = |(index, given): (usize, Value)| {
        let mut tool = Fields::of(given.clone(), &format!("tools[{index}]"))?;
        if tool.string("type")?.as_deref() != Some("function") {
            return Err(ApiError::field(&tool.at("type"), "another", "function"));
        }
        let function = tool.value("function");
        let mut function = Fields::of(tool.required("function", function)?, &tool.at("function"))?;
        tool.finish()?;
        let tool = Tool::take(&mut function, given)?;
        function.finish()?;
        Ok(tool)
    };
    list.into_iter().enumerate().map(tool).collect()
}

/// The `tool_choice` of a request.
pub(crate) fn tool_choice(fields: &mut Fields, tools: &[Tool]) -> Result<ToolChoice, ApiError> {
    let wrong = || ApiError::field("tool_choice", "another", "none, auto, required, or one of the tools");
    let choice = match fields.value("tool_choice") {
        None => ToolChoice::Auto,
        Some(Value::String(choice)) => match choice.as_str() {
            "none" => ToolChoice::None,
            "auto" => ToolChoice::Auto,
            "required" => ToolChoice::Required,
            _ => return Err(wrong()),
        },
        Some(choice) => {
            let mut choice = Fields::of(choice, "tool_choice")?;
            if choice.string("type")?.as_deref() != Some("function") {
                return Err(ApiError::field("tool_choice.type", "another", "function"));
            }
            let function = choice.value("function");
            let mut function = Fields::of(choice.required("function", function)?, "tool_choice.function")?;
            choice.finish()?;
            let name = function.string("name")?;
            let name = function.required("name", name)?;
            function.finish()?;
            if !tools.iter().any(|tool| tool.name == name) {
                return Err(wrong());
            }
            ToolChoice::Named(name)
        }
    };
    if tools.is_empty() && choice == ToolChoice::Required {
        return Err(ApiError::field("tool_choice", "required", "tools to choose from"));
    }
    Ok(choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_always_an_object() {
        let parameters = |given: Value| {
            let body = json!({"name": "f", "parameters": given});
            Tool::take(&mut Fields::of(body.clone(), "tools[0].function").unwrap(), body)
                .map(|tool| tool.parameters)
        };
        let none = json!({"type": "object", "additionalProperties": false});
        assert_eq!(parameters(json!({})).unwrap(), none);
        assert_eq!(parameters(Value::Null).unwrap(), none);
        let open = json!({"type": "object", "additionalProperties": true});
        assert_eq!(parameters(open.clone()).unwrap(), open);
        let some = json!({"properties": {"x": {}}, "type": ["object", "null"]});
        assert_eq!(parameters(some).unwrap(), json!({"properties": {"x": {}}, "type": "object"}));
        for wrong in [json!([]), json!({"type": "array"}), json!(true)] {
            assert!(
                parameters(wrong).unwrap_err().json()["error"]["param"]
                    .as_str()
                    .unwrap()
                    .contains("parameters")
            );
        }
    }
}
