//! The forms in which models call tools, and the JSON schemas of calls.

use serde_json::{Value, json};

use super::Tool;
use super::reader::Part;

/// The form in which a model calls tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolForm {
    /// `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`: Hermes, Qwen, SmolLM3.
    Hermes,
    /// The whole answer is `{"name": ..., "parameters": {...}}`: Llama 3.
    Llama,
    /// `[TOOL_CALLS][{"name": ..., "arguments": {...}}, ...]`: Mistral.
    Mistral,
}

impl ToolForm {
    /// The form in a chat template; `None` if it does not support tools.
    #[must_use]
    pub fn of_template(template: &str) -> Option<Self> {
        if !template.contains("tools") {
            return None;
        }
        if ["[ARGS]", "<function=", "<arg_key>"].iter().any(|mark| template.contains(mark)) {
            // Newer forms of Mistral, Qwen's coders and GLM: told in words instead.
            None
        } else if template.contains("[TOOL_CALLS]") {
            Some(Self::Mistral)
        } else if template.contains("<tool_call>") {
            Some(Self::Hermes)
        } else if template.contains("\"parameters\"") || template.contains("<|python_tag|>") {
            Some(Self::Llama)
        } else {
            None
        }
    }

    /// The beginning of a call in the text.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::Hermes => "<tool_call>",
            Self::Llama => "<|python_tag|>",
            Self::Mistral => "[TOOL_CALLS]",
        }
    }

    /// Special tokens that belong to a call.
    pub(crate) fn special_tokens(self) -> &'static [&'static str] {
        match self {
            Self::Hermes => &["<tool_call>", "</tool_call>"],
            Self::Llama => &["<|python_tag|>"],
            Self::Mistral => &["[TOOL_CALLS]"],
        }
    }

    /// Appended to the prompt if the answer must be a call, so that only its JSON remains to be generated.
    pub(crate) fn forced_begin(self) -> &'static str {
        match self {
            Self::Hermes => "<tool_call>\n",
            Self::Llama => "",
            Self::Mistral => "[TOOL_CALLS]",
        }
    }

    /// The field that holds the arguments.
    fn arguments(self) -> &'static str {
        match self {
            Self::Hermes | Self::Mistral => "arguments",
            Self::Llama => "parameters",
        }
    }

    /// The JSON schema of a call of one of these tools.
    pub(crate) fn forced_schema(self, tools: &[&Tool]) -> Value {
        let place = if self == Self::Mistral { "#/items" } else { "#" };
        let of = |tool: &Tool, place: String| {
            let arguments = self.arguments();
            let parameters = moved(&tool.parameters, &format!("{place}/properties/{arguments}"));
            json!({
                "type": "object",
                "properties": {"name": {"const": tool.name}, arguments: parameters},
                "required": ["name", arguments],
                "additionalProperties": false,
            })
        };
        let call = match tools {
            [tool] => of(tool, place.to_owned()),
            several => {
                let any = several.iter().enumerate();
                let any: Vec<Value> =
                    any.map(|(index, tool)| of(tool, format!("{place}/anyOf/{index}"))).collect();
                json!({"anyOf": any})
            }
        };
        match self {
            Self::Mistral => json!({"type": "array", "items": call, "minItems": 1, "maxItems": 1}),
            Self::Hermes | Self::Llama => call,
        }
    }

    /// The JSON schema of an answer that is either JSON of `schema` or a call of one of these tools.
    pub(crate) fn beside_schema(self, tools: &[&Tool], schema: &Value) -> Value {
        let calls = self.forced_schema(tools);
        json!({"anyOf": [moved(schema, "#/anyOf/0"), moved(&calls, "#/anyOf/1")]})
    }

    /// How a call begins that is JSON without marks, without white space.
    pub(crate) fn bare_beginning(self, tool: &str) -> String {
        let list = if self == Self::Mistral { "[" } else { "" };
        format!("{list}{{\"name\":{},\"{}\":", Value::from(tool), self.arguments())
    }

    /// Parses JSON into calls.
    pub(super) fn calls(self, text: &str) -> Option<Vec<Part>> {
        let value: Value = serde_json::from_str(text.trim()).ok()?;
        let list = match value {
            Value::Array(list) => list,
            one => vec![one],
        };
        let call = |call: Value| {
            let name = call.get("name")?.as_str()?.to_owned();
            let arguments = call.get("arguments").or_else(|| call.get("parameters"));
            // Arguments are an object, or JSON of one.
            let arguments = match arguments {
                None | Some(Value::Null) => "{}".to_owned(),
                Some(Value::String(text)) => {
                    let inner = serde_json::from_str::<Value>(text).ok();
                    inner.filter(Value::is_object).map(|_| text.clone())?
                }
                Some(object @ Value::Object(_)) => object.to_string(),
                Some(_) => return None,
            };
            Some(Part::Call { name, arguments })
        };
        list.into_iter().map(call).collect::<Option<Vec<Part>>>().filter(|calls| !calls.is_empty())
    }
}

/// Moves a schema to another place, adapting its internal references.
fn moved(schema: &Value, place: &str) -> Value {
    match schema {
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| match (name.as_str(), value) {
                ("$ref", Value::String(target)) if target.starts_with('#') => {
                    (name.clone(), Value::String(format!("{place}{}", &target[1..])))
                }
                ("const" | "enum" | "default" | "examples", _) => (name.clone(), value.clone()),
                _ => (name.clone(), moved(value, place)),
            };
            Value::Object(fields.iter().map(field).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(|value| moved(value, place)).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_determine_forms() {
        let of = ToolForm::of_template;
        assert_eq!(of("{% if tools %}<tool_call>{% endif %}"), Some(ToolForm::Hermes));
        assert_eq!(of("{% if tools %}[TOOL_CALLS]{% endif %}"), Some(ToolForm::Mistral));
        assert_eq!(of("{% if tools %}{\"name\": x, \"parameters\": y}{% endif %}"), Some(ToolForm::Llama));
        assert_eq!(of("{{ messages[0].content }}<tool_call>"), None);
        assert_eq!(of("{% if tools %}[TOOL_CALLS]name[ARGS]{% endif %}"), None);
    }

    #[test]
    fn arguments_are_objects() {
        let calls = |text: &str| ToolForm::Hermes.calls(text);
        let call = |arguments: &str| Part::Call { name: "f".to_owned(), arguments: arguments.to_owned() };
        assert_eq!(calls("{\"name\": \"f\"}"), Some(vec![call("{}")]));
        assert_eq!(calls("{\"name\": \"f\", \"arguments\": null}"), Some(vec![call("{}")]));
        assert_eq!(
            calls("{\"name\": \"f\", \"arguments\": \"{\\\"x\\\": 1}\"}"),
            Some(vec![call("{\"x\": 1}")])
        );
        for wrong in ["[1]", "\"x\"", "3"] {
            assert_eq!(calls(&format!("{{\"name\": \"f\", \"arguments\": {wrong}}}")), None, "{wrong}");
        }
    }

    #[test]
    fn internal_references_of_schemas_keep_their_meaning() {
        let parameters =
            json!({"$defs": {"a": {"type": "integer"}}, "properties": {"x": {"$ref": "#/$defs/a"}}});
        let tool =
            |name: &str| Tool { name: name.to_owned(), parameters: parameters.clone(), given: Value::Null };
        let (f, g) = (tool("f"), tool("g"));
        let schema = ToolForm::Hermes.forced_schema(&[&f, &g]);
        let target =
            schema["anyOf"][1]["properties"]["arguments"]["properties"]["x"]["$ref"].as_str().unwrap();
        assert_eq!(schema.pointer(&target[1..]).unwrap(), &json!({"type": "integer"}));
        let schema = ToolForm::Mistral.forced_schema(&[&f]);
        let call = &schema["items"]["properties"]["arguments"]["properties"]["x"]["$ref"];
        assert_eq!(schema.pointer(&call.as_str().unwrap()[1..]).unwrap(), &json!({"type": "integer"}));
    }
}
