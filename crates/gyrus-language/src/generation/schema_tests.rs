//! Tests of [`super::prepare`].

use super::*;

#[track_caller]
fn prepared(schema: Value) -> Value {
    match prepare(&schema) {
        Ok(prepared) => prepared.schema,
        Err(problem) => panic!("{}: {}", problem.place, problem.got),
    }
}

#[track_caller]
fn refused(schema: Value) -> (String, String) {
    match prepare(&schema) {
        Ok(prepared) => panic!("{}", prepared.schema),
        Err(problem) => (problem.place, problem.got),
    }
}

#[test]
fn annotations_are_dropped_and_formats_become_stricter() {
    let schema = json!({"title": "T", "$comment": "c", "x-guidance": {"lenient": true}, "type": "object", "properties": {
        "title": {"type": "string", "format": "path", "deprecated": true},
        "mail": {"type": "string", "format": "idn-email"},
        "when": {"format": "date", "type": "string"},
        "p": {"type": "string", "format": "json-pointer"},
    }});
    let expected = json!({"type": "object", "properties": {
        "title": {"type": "string"}, "mail": {"type": "string", "format": "email"},
        "when": {"format": "date", "type": "string"},
        "p": {"type": "string", "allOf": [{"pattern": "^(/[A-Za-z0-9_-]+)*$"}]},
    }});
    assert_eq!(prepared(schema), expected);
    assert_eq!(prepared(Value::Bool(true)), json!({}));
}

#[test]
fn references_of_every_form_are_found() {
    for reference in ["#/$defs/A%20B", "#/$defs/A B", "#there", "https://example.org/s#/$defs/A%20B"] {
        let schema = json!({"$id": "https://example.org/s", "$defs": {"A B": {"$anchor": "there", "type": "boolean"}},
            "items": {"$ref": reference}});
        let expected = json!({"items": {"$ref": "#/$defs/d0"}, "$defs": {"d0": {"type": "boolean"}}});
        assert_eq!(prepared(schema), expected, "{reference}");
    }
    let odd =
        json!({"components": {"a/b": {"items": {"$ref": "#/components/a~1b"}}}, "$ref": "#/components/a~1b"});
    assert_eq!(
        prepared(odd),
        json!({"$ref": "#/$defs/d0", "$defs": {"d0": {"items": {"$ref": "#/$defs/d0"}}}})
    );
    let whole = json!({"properties": {"child": {"$ref": "#"}}});
    let child = json!({"properties": {"child": {"$ref": "#/$defs/d0"}}});
    assert_eq!(prepared(whole), json!({"properties": child["properties"], "$defs": {"d0": child}}));
    let (place, got) = refused(json!({"items": {"$ref": "#/$defs/none"}}));
    assert!(place == "#/items/$ref" && got.contains("none"), "{place}: {got}");
    let (_, got) = refused(json!({"$ref": "https://example.org/schema.json"}));
    assert!(got.contains("outside"), "{got}");
}

#[test]
fn alternatives_that_exclude_each_other_are_any_of_them() {
    let animals = json!({
        "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
        "discriminator": {"propertyName": "kind"},
        "$defs": {
            "Cat": {"type": "object", "properties": {"kind": {"const": "cat"}}, "required": ["kind"]},
            "Dog": {"type": "object", "properties": {"kind": {"enum": ["dog", "wolf"]}}, "required": ["kind"]},
        },
    });
    assert!(prepared(animals)["anyOf"].is_array());
    for (a, b, apart) in [
        (json!({"type": "integer"}), json!({"type": "string"}), true),
        (json!({"type": "integer"}), json!({"type": "number"}), false),
        (json!({"const": "a"}), json!({"type": ["null", "number"]}), true),
        (json!({"enum": [1, 2]}), json!({"enum": [2, 3]}), false),
        (json!({"type": "object", "required": ["x"]}), json!({"type": "object", "required": ["y"]}), false),
        (
            json!({"type": "object", "required": ["x"]}),
            json!({"type": "object", "properties": {"y": {}}, "additionalProperties": false}),
            true,
        ),
        (json!({"anyOf": [{"type": "null"}, {"const": 3}]}), json!({"type": "string"}), true),
        (json!({}), json!({"type": "string"}), false),
    ] {
        let keyword = if apart { "anyOf" } else { "oneOf" };
        assert!(prepared(json!({"oneOf": [a, b]})).get(keyword).is_some(), "{a} {b}");
    }
}

#[test]
fn keywords_that_the_engine_lacks_are_replaced_or_refused() {
    let of = |schema: Value| prepared(schema);
    assert_eq!(of(json!({"type": "array", "uniqueItems": false})), json!({"type": "array"}));
    assert_eq!(of(json!({"maxItems": 1, "uniqueItems": true})), json!({"maxItems": 1}));
    assert_eq!(
        of(json!({"required": ["a"], "dependentRequired": {"a": ["b"]}})),
        json!({"required": ["a", "b"]})
    );
    assert_eq!(
        of(json!({"type": "object", "properties": {"a": {}}, "unevaluatedProperties": false})),
        json!({"type": "object", "properties": {"a": {}}, "additionalProperties": false})
    );
    assert_eq!(
        of(json!({"propertyNames": {"enum": ["a", "b"]}, "additionalProperties": {"type": "null"}})),
        json!({"additionalProperties": false, "properties": {"a": {"type": "null"}, "b": {"type": "null"}}})
    );
    assert_eq!(
        of(json!({"propertyNames": {"maxLength": 3}})),
        json!({"patternProperties": {"^[\\s\\S]{0,3}$": true}, "additionalProperties": false})
    );
    assert_eq!(of(json!({"propertyNames": {"type": "string"}})), json!({}));
    for (schema, keyword) in [
        (json!({"uniqueItems": true}), "uniqueItems"),
        (json!({"not": {"type": "string"}}), "not"),
        (json!({"if": {"type": "string"}, "then": {}}), "if"),
        (json!({"contains": {}}), "contains"),
        (json!({"dependentRequired": {"a": ["b"]}}), "dependentRequired"),
        (json!({"dependentSchemas": {"a": {}}}), "dependentSchemas"),
        (json!({"propertyNames": {"format": "uuid"}}), "propertyNames"),
        (json!({"anyOf": [{}], "unevaluatedProperties": false}), "unevaluatedProperties"),
    ] {
        let (place, got) = refused(json!({"properties": {"a/b": schema}}));
        assert_eq!(place, "#/properties/a~1b");
        assert!(got.contains(keyword), "{got}");
    }
    for wrong in
        [json!(3), json!(false), json!({"properties": 1}), json!({"anyOf": {}}), json!({"items": "x"})]
    {
        refused(wrong);
    }
}

#[test]
fn integers_are_bounded() {
    let most = LARGEST_INTEGER;
    let of = |schema: Value| prepared(schema);
    assert_eq!(of(json!({"type": "integer"})), json!({"type": "integer", "maximum": most, "minimum": -most}));
    assert_eq!(
        of(json!({"type": ["integer", "null"], "minimum": 3})),
        json!({"type": ["integer", "null"], "minimum": 3, "maximum": most})
    );
    assert_eq!(
        of(json!({"type": "integer", "exclusiveMaximum": -5})),
        json!({"type": "integer", "exclusiveMaximum": -5, "minimum": -most})
    );
    let large = json!({"type": "integer", "minimum": 9e18});
    assert_eq!(of(large.clone()), large);
    let few = json!({"type": "integer", "enum": [1, 2]});
    assert_eq!(of(few.clone()), few);
}
