//! A server of the Model Context Protocol over standard input and output: tools for other assistants.
//!
//! A message is one line of JSON-RPC 2.0. What a server with tools alone needs is here: `initialize` (of the versions up to 2025-11-25;
//! later ones have no handshake, and none is asked for), `ping`, `tools/list`, `tools/call`. Batches are not part of the protocol any
//! more. A message that is no JSON, or too long, is answered with an error, and the next one is read.

use std::io::{self, BufRead, Read, Write};

use serde_json::{Value, json};

/// The longest message, in bytes.
const LONGEST: u64 = 8 << 20;
/// Versions of the protocol, the newest first.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// A tool as clients see it.
#[derive(Clone, Debug, PartialEq)]
pub struct McpTool {
    /// Its name.
    pub name: &'static str,
    /// What it does, for a model to read.
    pub description: String,
    /// The JSON schema of its arguments.
    pub schema: Value,
}

/// Tools that only read.
pub trait McpTools {
    /// The tools.
    fn tools(&self) -> Vec<McpTool>;

    /// Calls one: its result as an object.
    ///
    /// # Errors
    /// A sentence, which the client's model sees.
    fn call(&mut self, name: &str, arguments: &Value) -> Result<Value, String>;
}

/// Serves until the input ends.
///
/// # Errors
/// If input or output fail.
pub fn serve(
    tools: &mut dyn McpTools,
    version: &str,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut *input).take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let is_whole = line.ends_with(b"\n") || (line.len() as u64) < LONGEST;
        if !is_whole {
            skip_line(input)?;
        }
        let answer = match serde_json::from_slice::<Value>(&line) {
            _ if !is_whole => {
                Some(failure(&Value::Null, -32600, &format!("a message has at most {LONGEST} bytes")))
            }
            _ if line.iter().all(u8::is_ascii_whitespace) => None,
            Ok(message) => answered(tools, version, &message),
            Err(error) => Some(failure(&Value::Null, -32700, &format!("this is no JSON: {error}"))),
        };
        if let Some(answer) = answer {
            writeln!(output, "{answer}")?;
            output.flush()?;
        }
    }
}

fn skip_line(input: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let part = input.fill_buf()?;
        let end = part.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(part.len(), |end| end + 1);
        let is_over = end.is_some() || part.is_empty();
        input.consume(length);
        if is_over {
            return Ok(());
        }
    }
}

fn failure(id: &Value, code: i64, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

/// The answer to a message; none to notifications and to answers.
fn answered(tools: &mut dyn McpTools, version: &str, message: &Value) -> Option<Value> {
    let Some(method) = message["method"].as_str() else {
        let is_answer = message.get("result").is_some() || message.get("error").is_some();
        return (!is_answer).then(|| failure(&Value::Null, -32600, "a message needs a method"));
    };
    let id = message.get("id").filter(|id| !id.is_null())?;
    let params = &message["params"];
    let result = match method {
        "initialize" => {
            let wanted = params["protocolVersion"].as_str().unwrap_or_default();
            let agreed = VERSIONS.iter().find(|known| **known == wanted).unwrap_or(&VERSIONS[0]);
            json!({
                "protocolVersion": agreed,
                "capabilities": {"tools": {"listChanged": false}},
                "serverInfo": {"name": "gyrus", "version": version},
            })
        }
        "ping" => json!({}),
        "tools/list" => {
            let read_only = json!({"readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false});
            let listed = tools.tools().into_iter().map(|tool| {
                json!({
                    "name": tool.name,
                    "description": tool.description,
                    "inputSchema": tool.schema,
                    "annotations": read_only,
                })
            });
            json!({"tools": listed.collect::<Vec<_>>()})
        }
        "tools/call" => {
            let name = params["name"].as_str().unwrap_or_default();
            let known: Vec<&str> = tools.tools().iter().map(|tool| tool.name).collect();
            if !known.contains(&name) {
                let text = format!("there is no tool '{name}'; there are {}", known.join(", "));
                return Some(failure(id, -32602, &text));
            }
            match tools.call(name, &params["arguments"]) {
                Ok(result) => json!({
                    "content": [{"type": "text", "text": result.to_string()}],
                    "structuredContent": result,
                    "isError": false,
                }),
                Err(error) => json!({"content": [{"type": "text", "text": error}], "isError": true}),
            }
        }
        method => return Some(failure(id, -32601, &format!("there is no method '{method}'"))),
    };
    Some(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl McpTools for Echo {
        fn tools(&self) -> Vec<McpTool> {
            vec![McpTool {
                name: "echo",
                description: "says it again".to_owned(),
                schema: json!({"type": "object"}),
            }]
        }

        fn call(&mut self, _: &str, arguments: &Value) -> Result<Value, String> {
            match arguments["text"].as_str() {
                Some(text) => Ok(json!({"text": text})),
                None => Err("echo needs a text".to_owned()),
            }
        }
    }

    fn said(input: &str) -> Vec<Value> {
        let mut output = Vec::new();
        serve(&mut Echo, "1", &mut input.as_bytes(), &mut output).unwrap();
        String::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_client_finds_and_calls_tools() {
        let answers = said(concat!(
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#,
            "\n",
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            "\n\n",
            r#"{"jsonrpc":"2.0","id":"a","method":"tools/list"}"#,
            "\n",
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}}"#,
            "\n",
            r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"echo"}}"#,
            "\n",
        ));
        assert_eq!(answers.len(), 4);
        assert_eq!(answers[0]["result"]["protocolVersion"], "2025-06-18");
        assert_eq!(answers[1]["id"], "a");
        assert_eq!(answers[1]["result"]["tools"][0]["annotations"]["readOnlyHint"], true);
        assert_eq!(answers[2]["result"]["structuredContent"]["text"], "x");
        assert_eq!(answers[3]["result"]["isError"], true);
    }

    #[test]
    fn what_is_wrong_is_answered_and_the_next_message_read() {
        let long = "x".repeat(LONGEST as usize + 10);
        let input = format!(
            "nonsense\n{long}\n{{\"id\":1}}\n{{\"id\":1,\"method\":\"x\"}}\n{{\"id\":2,\"method\":\"tools/call\",\"params\":{{\"name\":\"rm\"}}}}\n{{\"id\":3,\"method\":\"ping\"}}"
        );
        let answers = said(&input);
        let codes: Vec<i64> =
            answers.iter().map(|answer| answer["error"]["code"].as_i64().unwrap_or(0)).collect();
        assert_eq!(codes, [-32700, -32600, -32600, -32601, -32602, 0]);
    }
}
