//! What `gyrus serve` takes beyond the plainest requests: bodies as official clients send them, responses, tokens, reasoning,
//! tools with any template, schemas as people write them, web pages of other origins.

use crate::common;
use crate::common::gyrus;
use crate::serving;
use crate::serving::{Serving, content, question, send};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";

/// A template in the form of ChatML that knows no tools.
const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const MARKS: [&str; 2] = ["<|im_start|>", "<|im_end|>"];
/// The token of `<|im_end|>`: after three special ones and 96 letters.
const IM_END: usize = 3 + 96 + 1;

/// The token of a letter.
fn letter(letter: char) -> String {
    (3 + 1 + letter as u32 - ' ' as u32).to_string()
}

fn schema(schema: &Value) -> Value {
    json!({"type": "json_schema", "json_schema": {"name": "s", "schema": schema}})
}

/// The prompt of a body, as the model reads it.
fn prompt(server: &Serving, body: &Value) -> String {
    let tokens = server.post("/tokenize", body).json()["tokens"].clone();
    let text = server.post("/detokenize", &json!({"tokens": tokens})).json();
    text["content"].as_str().unwrap().to_owned()
}

#[test]
fn bodies_of_official_clients_are_taken() {
    let server = Serving::tiny(&[]);
    let y = json!({"role": "assistant", "content": "y"});
    let with = |more: Value| {
        let mut answer = y.clone();
        answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"messages": [{"role": "user", "content": "x"}, answer, {"role": "user", "content": "z"}]})
    };
    let part = json!([{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]);
    let path = json!({"type": "object", "properties": {"p": {"type": "string", "format": "path", "maxLength": 5}},
        "required": ["p"], "additionalProperties": false});
    let encoded = json!({"$defs": {"A B": {"type": "boolean"}}, "type": "object",
        "properties": {"x": {"$ref": "#/$defs/A%20B"}}, "required": ["x"], "additionalProperties": false});
    for more in [
        with(json!({"annotations": []})),
        with(json!({"reasoning_content": "t", "refusal": null, "audio": null, "function_call": null})),
        json!({"messages": [{"role": "user", "content": part}]}),
        json!({"chat_template_kwargs": {"enable_thinking": false}}),
        json!({"response_format": schema(&path)}),
        json!({"response_format": schema(&encoded)}),
    ] {
        let body = question("x", &more);
        let answer = server.post(CHAT, &question("x", &more)).json();
        if body["response_format"].is_object() && answer["choices"][0]["finish_reason"] == "stop" {
            let value: Value = serde_json::from_str(content(&answer)).unwrap();
            assert!(value["p"].is_string() || value["x"].is_boolean(), "{answer}");
        }
    }
}

#[test]
fn arguments_of_a_call_are_an_object() {
    let server = Serving::tiny(&[]);
    for parameters in [json!({}), json!({"type": "object", "properties": {}}), Value::Null] {
        let tools = json!([{"type": "function", "function": {"name": "f", "parameters": parameters}}]);
        let more =
            json!({"tools": tools, "tool_choice": "required", "max_tokens": 60, "seed": 1, "temperature": 1});
        let answer = server.post(CHAT, &question("x", &more)).json();
        let call = &answer["choices"][0]["message"]["tool_calls"][0]["function"];
        assert_eq!((&call["name"], &call["arguments"]), (&json!("f"), &json!("{}")), "{answer}");
    }
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}]);
    let error = server.post(CHAT, &question("x", &json!({"tools": tools}))).error(400);
    assert_eq!(error["param"], "tools[0].function.parameters.type");
}

#[test]
fn tools_beside_a_schema_give_a_call_or_json() {
    let server = Serving::tiny(&[]);
    let number = json!({"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"],
        "additionalProperties": false});
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
    let (mut calls, mut values) = (0, 0);
    for seed in 0..12 {
        let mut answers = Vec::new();
        for stream in [false, true] {
            let more =
                json!({"tools": tools, "response_format": schema(&number), "seed": seed, "stream": stream});
            let response = server.post(CHAT, &question("x", &more));
            let deltas = match stream {
                false => vec![response.json()["choices"][0]["message"].clone()],
                true => response.chunks().iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect(),
            };
            let text: String = deltas.iter().filter_map(|delta| delta["content"].as_str()).collect();
            let call = deltas.iter().find_map(|delta| delta["tool_calls"].as_array());
            answers.push((text, call.map(|calls| calls[0]["function"].clone())));
        }
        assert_eq!(answers[0], answers[1]);
        match &answers[0] {
            (text, Some(call)) => {
                assert_eq!((text.as_str(), &call["arguments"]), ("", &json!("{}")));
                calls += 1;
            }
            (text, None) => {
                let value: Value = serde_json::from_str(text).unwrap();
                assert!(value == json!({"n": 1}) || value == json!({"n": 2}), "{text}");
                values += 1;
            }
        }
    }
    assert!(calls > 0 && values > 0, "{calls} calls, {values} values");
    let more = json!({"tools": tools, "response_format": {"type": "json_object"}, "max_tokens": 5});
    server.post(CHAT, &question("x", &more)).json();
}

#[test]
fn a_model_whose_template_knows_no_tools_is_told_in_words() {
    let server = Serving::tiny_of(CHATML, &MARKS, &[]);
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {
        "type": "object", "properties": {"x": {"enum": ["a", "b"]}}, "required": ["x"], "additionalProperties": false}}}]);
    let body = question("Hi", &json!({"tools": tools, "tool_choice": "required", "seed": 3}));
    let answer = server.post(CHAT, &body).json();
    let call = answer["choices"][0]["message"]["tool_calls"][0].clone();
    let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert!(arguments["x"] == "a" || arguments["x"] == "b", "{answer}");
    let history = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "12"}]);
    let text = prompt(&server, &json!({"messages": history, "tools": tools}));
    for part in [
        "<|im_start|>system\nBe brief.\n\n# Tools\n",
        "<tools>\n{\"type\":\"function\"",
        "<|im_start|>assistant\n<tool_call>\n{\"name\":\"f\",\"arguments\":",
        "<|im_start|>user\n<tool_response>\n12\n</tool_response><|im_end|>\n<|im_start|>assistant\n",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_turn_ends_where_the_template_ends_it() {
    let server = Serving::tiny_of(CHATML, &MARKS, &[]);
    let more = json!({"logit_bias": {IM_END.to_string(): 100}, "max_tokens": 50});
    let answer = server.post(CHAT, &question("Hi", &more)).json();
    assert_eq!((content(&answer), &answer["choices"][0]["finish_reason"]), ("", &json!("stop")));
    assert_eq!(answer["usage"]["completion_tokens"], 1, "{answer}");
    // An answer that is bound to a schema ends by it as well, as soon as it may end.
    let bias = json!({IM_END.to_string(): 100, letter('7'): 50});
    let more =
        json!({"response_format": schema(&json!({"type": "integer"})), "logit_bias": bias, "max_tokens": 50});
    let answer = server.post(CHAT, &question("Hi", &more)).json();
    assert_eq!((content(&answer), &answer["choices"][0]["finish_reason"]), ("7", &json!("stop")));
    // A plain completion goes on.
    let body =
        json!({"model": "tiny", "prompt": "Hi", "logit_bias": {IM_END.to_string(): 100}, "max_tokens": 5});
    assert_eq!(server.post("/v1/completions", &body).json()["choices"][0]["finish_reason"], "length");
}

#[test]
fn reasoning_is_kept_apart() {
    let template = "{% for m in messages %}{{ m.role }}: {% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>\
        {% endif %}{{ m.content }}\n{% endfor %}assistant: {% if enable_thinking is not defined or enable_thinking %}<think>\n\
        {% endif %}";
    let server = Serving::tiny_of(template, &[], &[]);
    let ask = |server: &Serving, more: Value| {
        let mut body =
            question("Hi", &json!({"max_tokens": 6, "temperature": 0, "logit_bias": {letter('x'): 100}}));
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.post(CHAT, &body)
    };
    let message = ask(&server, json!({})).json()["choices"][0]["message"].clone();
    assert_eq!((&message["reasoning_content"], &message["content"]), (&json!("xxxxxx"), &json!("")));
    let deltas = ask(&server, json!({"stream": true})).chunks();
    let thought: String = deltas
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["reasoning_content"].as_str())
        .collect();
    assert_eq!(thought, "xxxxxx");
    for more in
        [json!({"chat_template_kwargs": {"enable_thinking": false}}), json!({"reasoning_effort": "none"})]
    {
        let message = ask(&server, more).json()["choices"][0]["message"].clone();
        assert_eq!((&message["content"], message.get("reasoning_content")), (&json!("xxxxxx"), None));
    }
    assert_eq!(ask(&server, json!({"reasoning_effort": "huge"})).error(400)["param"], "reasoning_effort");
    // What is bound to a schema is an answer.
    let bound =
        ask(&server, json!({"response_format": schema(&json!({"const": "x"})), "logit_bias": {}})).json();
    assert_eq!(content(&bound), "\"x\"");
    let history = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning_content": "c"}]);
    let text = prompt(&server, &json!({"messages": history, "add_generation_prompt": false}));
    assert!(text.contains("assistant: <think>c</think>b\n"), "{text}");
    drop(server);
    let kwargs = ["--reasoning-format", "none", "--chat-template-kwargs", "{\"enable_thinking\": true}"];
    let plain = Serving::tiny_of(template, &[], &kwargs);
    let message = ask(&plain, json!({})).json()["choices"][0]["message"].clone();
    assert_eq!((&message["content"], message.get("reasoning_content")), (&json!("xxxxxx"), None));
}

#[test]
fn a_template_that_fails_costs_chat_alone() {
    for template in ["{% for %}", "{{ raise_exception('never') }}"] {
        let server = Serving::tiny_of(template, &[], &[]);
        for (path, body) in
            [(CHAT, question("Hi", &json!({}))), (RESPONSES, json!({"model": "tiny", "input": "Hi"}))]
        {
            let error = server.post(path, &body).error(400);
            assert!(error["message"].as_str().unwrap().contains("chat template"), "{error}");
        }
        let body = json!({"model": "tiny", "prompt": "Hi", "max_tokens": 2});
        server.post("/v1/completions", &body).json();
    }
    // A file that is given must be right.
    let folder = tempfile::tempdir().unwrap();
    let (model, file) = (serving::tiny_model(folder.path()), folder.path().join("wrong.jinja"));
    std::fs::write(&file, "{% for %}").unwrap();
    let output = gyrus(["serve", model.to_str().unwrap(), "--chat-template", file.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("wrong.jinja"), "{said}");
}

#[test]
fn templates_with_generation_blocks_and_dates_render() {
    let folder = tempfile::tempdir().unwrap();
    let model = serving::tiny_model(folder.path());
    let file = folder.path().join("chat_template.jinja");
    let body = json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]});
    let generation = "{% for m in messages %}{% if m.role == \"assistant\" %}{% generation %}{{ m.content }}{% endgeneration %}\
        {% else %}{{ m.content }}{% endif %}{% endfor %}";
    let date = "Today: {{ strftime_now(\"%Y-%m-%d\") }}. {% for m in messages %}{{ m.content }}{% endfor %}";
    for template in [generation, date] {
        std::fs::write(&file, template).unwrap();
        let server = Serving::start(&model, &["--chat-template", file.to_str().unwrap()]);
        let text = prompt(&server, &body);
        if template == generation {
            assert_eq!(text, "ab");
        } else {
            let date = text.strip_prefix("Today: ").and_then(|text| text.strip_suffix(". ab")).unwrap();
            assert!(date.len() == 10 && date.starts_with("20"), "{text}");
        }
        server.post(CHAT, &question("x", &json!({"max_tokens": 1}))).json();
    }
}

#[test]
fn schemas_as_people_write_them() {
    let server = Serving::tiny(&[]);
    let digits = json!({letter('7'): 50});
    let integer = json!({"response_format": schema(&json!({"type": "integer"})), "logit_bias": digits, "max_tokens": 99});
    let answer = server.post(CHAT, &question("x", &integer)).json();
    assert_eq!(answer["choices"][0]["finish_reason"], "stop", "{answer}");
    assert!(content(&answer).parse::<i64>().unwrap().abs() < 1 << 53, "{answer}");
    let animals = json!({"oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
        "discriminator": {"propertyName": "kind"}, "$defs": {
            "Cat": {"type": "object", "properties": {"kind": {"const": "cat"}}, "required": ["kind"],
                "additionalProperties": false},
            "Dog": {"type": "object", "properties": {"kind": {"const": "dog"}}, "required": ["kind"],
                "additionalProperties": false}}});
    let answer = server.post(CHAT, &question("x", &json!({"response_format": schema(&animals)}))).json();
    let kind: Value = serde_json::from_str(content(&answer)).unwrap();
    assert!(kind["kind"] == "cat" || kind["kind"] == "dog", "{kind}");
    for (wrong, place, reason) in [
        (
            json!({"properties": {"a": {"type": "array", "uniqueItems": true}}}),
            "#/properties/a",
            "uniqueItems",
        ),
        (json!({"items": {"not": {"type": "string"}}}), "#/items", "not"),
        (json!({"$ref": "#/$defs/none"}), "#/$ref", "none"),
        (json!({"properties": {"a": {"type": "string", "pattern": "(?<!a)b"}}}), "#/properties/a", "look"),
        (json!({"anyOf": [{"type": "color"}]}), "#/anyOf/0", "color"),
        (
            json!({"$defs": {"t": {"items": {"type": "color"}}}, "items": {"$ref": "#/$defs/t"}}),
            "#/$defs/t/items",
            "color",
        ),
    ] {
        let error = server.post(CHAT, &question("x", &json!({"response_format": schema(&wrong)}))).error(400);
        assert_eq!(error["param"], "response_format.json_schema.schema");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&format!("{place}: ")) && message.contains(reason), "{message}");
    }
}

#[test]
fn responses_are_the_chats_answers() {
    let server = Serving::tiny(&[]);
    let body = json!({"model": "tiny", "instructions": "Be brief.", "input": "Hi", "seed": 5, "max_output_tokens": 30,
        "logit_bias": {"2": -100}});
    let messages = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]);
    let chat = json!({"model": "tiny", "messages": messages, "seed": 5, "max_tokens": 30, "logit_bias": {"2": -100}});
    let chat = server.post(CHAT, &chat).json();
    let whole = server.post(RESPONSES, &body).json();
    assert_eq!((&whole["object"], &whole["status"]), (&json!("response"), &json!("incomplete")));
    assert_eq!(whole["incomplete_details"]["reason"], "max_output_tokens");
    let item = &whole["output"][0];
    assert_eq!((&item["type"], &item["role"]), (&json!("message"), &json!("assistant")));
    assert_eq!(item["content"][0]["text"], content(&chat));
    assert_eq!(whole["usage"]["output_tokens"], chat["usage"]["completion_tokens"]);
    assert_eq!(whole["usage"]["input_tokens"], chat["usage"]["prompt_tokens"]);

    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let events = server.post(RESPONSES, &streamed).named_events();
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let begin = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ];
    assert_eq!(kinds[..4], begin);
    let end = [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ];
    assert_eq!(kinds[kinds.len() - 4..], end);
    let text: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(text, content(&chat));
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{event}");
    }
    assert_eq!(events.last().unwrap()["response"]["output"][0]["content"][0]["text"], text);

    // A call, its result, and on.
    let tools = json!([{"type": "function", "name": "f", "parameters": {"type": "object",
        "properties": {"x": {"enum": [1, 2]}}, "required": ["x"], "additionalProperties": false}, "strict": true}]);
    let body = json!({"model": "tiny", "input": [{"role": "user", "content": "Hi"}], "tools": tools,
        "tool_choice": {"type": "function", "name": "f"}, "stream": true});
    let events = server.post(RESPONSES, &body).named_events();
    let last = &events.last().unwrap()["response"];
    assert_eq!((&last["status"], last["output"].as_array().unwrap().len()), (&json!("completed"), 1));
    let call = &last["output"][0];
    assert_eq!((&call["type"], &call["name"]), (&json!("function_call"), &json!("f")));
    let done = events.iter().find(|event| event["type"] == "response.function_call_arguments.done").unwrap();
    assert_eq!(done["arguments"], call["arguments"]);
    let input = json!([{"role": "user", "content": "Hi"}, call,
        {"type": "function_call_output", "call_id": call["call_id"], "output": "12"}]);
    server
        .post(RESPONSES, &json!({"model": "tiny", "input": input, "tools": tools, "max_output_tokens": 3}))
        .json();

    let bound = json!({"type": "json_schema", "name": "s", "schema": {"const": "x"}, "strict": true});
    let body = json!({"model": "tiny", "input": "Hi", "text": {"format": bound}});
    let whole = server.post(RESPONSES, &body).json();
    assert_eq!(
        (&whole["output"][0]["content"][0]["text"], &whole["status"]),
        (&json!("\"x\""), &json!("completed"))
    );
    let kept = json!({"model": "tiny", "input": "Hi", "previous_response_id": "resp_1"});
    assert_eq!(server.post(RESPONSES, &kept).error(400)["param"], "previous_response_id");
}

#[test]
fn texts_become_tokens_and_tokens_texts() {
    let server = Serving::tiny_of(CHATML, &MARKS, &["--alias", "small", "--alias", "gpt-4o"]);
    let tokens = |body: Value| server.post("/tokenize", &body).json();
    let ab = json!([letter('a').parse::<u32>().unwrap(), letter('b').parse::<u32>().unwrap()]);
    assert_eq!(tokens(json!({"content": "ab"}))["tokens"], ab);
    let with = tokens(json!({"model": "small", "prompt": "ab", "return_token_strs": true}));
    assert_eq!((&with["count"], &with["token_strs"]), (&json!(3), &json!(["<s>", "a", "b"])));
    let pieces = tokens(json!({"content": "a", "add_special": true, "with_pieces": true}));
    assert_eq!(pieces["tokens"][0], json!({"id": 1, "piece": "<s>"}));
    let chat = tokens(json!({"messages": [{"role": "user", "content": "ab"}]}))["tokens"].clone();
    let back = server.post("/detokenize", &json!({"tokens": chat})).json();
    assert_eq!(back["content"], "<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n");
    assert_eq!(back["prompt"], back["content"]);
    assert_eq!(server.post("/detokenize", &json!({"tokens": [9999]})).error(400)["param"], "tokens");
    assert_eq!(server.post("/tokenize", &json!({"content": "a", "x": 1})).error(400)["param"], "x");
    server.post("/tokenize", &json!({"content": "a", "model": "other"})).error(404);

    let names: Vec<Value> = server.get("/v1/models").json()["data"].as_array().unwrap().clone();
    let names: Vec<&str> = names.iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["small", "gpt-4o", "tiny"]);
    for name in names {
        let answer = server.post(CHAT, &question("x", &json!({"model": name, "max_tokens": 1}))).json();
        assert_eq!(answer["model"], name);
    }
}

#[test]
fn web_pages_of_named_origins_may_ask() {
    let server = Serving::tiny(&["--cors", "https://app.example", "--api-key", "secret"]);
    let ask = |method: &str, origin: &str, more: &[(&str, &str)]| {
        let headers: Vec<(&str, &str)> =
            [("Origin", origin)].into_iter().chain(more.iter().copied()).collect();
        let response = send(server.address, method, "/v1/models", &headers, b"");
        (response.status, response.head.to_ascii_lowercase())
    };
    let wanted =
        [("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "authorization")];
    let (status, head) = ask("OPTIONS", "https://app.example", &wanted);
    assert_eq!(status, 204, "{head}");
    for line in [
        "allow-origin: https://app.example",
        "allow-headers: authorization",
        "allow-methods: get, post, options",
    ] {
        assert!(head.contains(&format!("access-control-{line}\r\n")), "{line} in {head}");
    }
    let key = [("Authorization", "Bearer secret")];
    let (status, head) = ask("GET", "https://app.example", &key);
    assert!(status == 200 && head.contains("access-control-allow-origin: https://app.example\r\n"), "{head}");
    // An error can be read, too.
    let (status, head) = ask("GET", "https://app.example", &[]);
    assert!(status == 401 && head.contains("access-control-allow-origin"), "{head}");
    let (status, head) = ask("GET", "https://other.example", &key);
    assert!(status == 200 && !head.contains("access-control"), "{head}");
    let (status, _) = ask("OPTIONS", "https://other.example", &wanted);
    assert_eq!(status, 401);
}

#[test]
fn embeddings_beside_a_model_that_writes_and_alone() {
    let folder = tempfile::tempdir().unwrap();
    let encoder = serving::tiny_encoder(folder.path());
    let texts = ["a b c", "z", "a b c d e"];
    let lines = folder.path().join("texts.txt");
    std::fs::write(&lines, texts.join("\n")).unwrap();
    let out = folder.path().join("out.safetensors");
    let paths = [encoder.as_os_str(), lines.as_os_str(), "--out".as_ref(), out.as_os_str()];
    common::succeeded(gyrus(["embed".as_ref()].into_iter().chain(paths)).output().unwrap());
    let file = std::fs::read(&out).unwrap();
    let file = safetensors::SafeTensors::deserialize(&file).unwrap();
    let expected = file.tensor("embeddings").unwrap().data().to_vec();

    let beside = ["--embeddings", encoder.to_str().unwrap()];
    for server in [Serving::tiny(&beside), Serving::start(&encoder, &[])] {
        let body = json!({"model": "tiny-encoder", "input": texts});
        let answer = server.post("/v1/embeddings", &body).json();
        assert_eq!(answer["usage"]["prompt_tokens"], 9);
        let rows = answer["data"].as_array().unwrap();
        let got: Vec<u8> = rows
            .iter()
            .flat_map(|row| row["embedding"].as_array().unwrap())
            .flat_map(|number| (number.as_f64().unwrap() as f32).to_le_bytes())
            .collect();
        assert_eq!(got, expected, "as `gyrus embed` makes them");
        let body =
            json!({"model": "tiny-encoder", "input": "z", "encoding_format": "base64", "dimensions": 16});
        let text =
            server.post("/v1/embeddings", &body).json()["data"][0]["embedding"].as_str().unwrap().to_owned();
        assert_eq!(text.len(), (16 * 4usize).div_ceil(3) * 4, "{text}");
        let error =
            server.post("/v1/embeddings", &json!({"model": "tiny-encoder", "input": "z", "dimensions": 8}));
        assert_eq!(error.error(400)["param"], "dimensions");
        // The tokens of "z", as numbers.
        let of = |input: Value| {
            let body = json!({"model": "tiny-encoder", "input": input});
            server.post("/v1/embeddings", &body).json()["data"].clone()
        };
        assert_eq!(of(json!([26]))[0]["embedding"], of(json!("z"))[0]["embedding"]);
        assert_eq!(of(json!([[26], [1, 2]]))[1]["embedding"], of(json!("a b"))[0]["embedding"]);
        for wrong in [json!([30]), json!([[]]), json!([[1], {}]), json!([-1])] {
            let error = server.post("/v1/embeddings", &json!({"model": "tiny-encoder", "input": wrong}));
            assert_eq!(error.error(400)["param"], "input");
        }
        server.post(CHAT, &question("x", &json!({"model": "tiny-encoder"}))).error(404);
    }
}
