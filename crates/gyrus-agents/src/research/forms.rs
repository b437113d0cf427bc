//! The forms in which a model answers, as JSON schemas.

use serde_json::{Value, json};

/// Search queries.
pub(super) fn queries_schema(most: usize) -> Value {
    json!({
        "type": "object",
        "properties": {"queries": {"type": "array", "maxItems": most, "items": {"type": "string"}}},
        "required": ["queries"],
        "additionalProperties": false,
    })
}

/// Quotes with the evidence that they stand in.
pub(super) fn notes_schema() -> Value {
    let note = json!({
        "type": "object",
        "properties": {"evidence": {"type": "string"}, "quote": {"type": "string"}},
        "required": ["evidence", "quote"],
        "additionalProperties": false,
    });
    json!({
        "type": "object",
        "properties": {"notes": {"type": "array", "maxItems": 8, "items": note}},
        "required": ["notes"],
        "additionalProperties": false,
    })
}

/// Claims with the evidence that they cite, and what is missing.
pub(super) fn claims_schema(most: usize) -> Value {
    let texts = json!({"type": "array", "maxItems": 8, "items": {"type": "string"}});
    let claim = json!({
        "type": "object",
        "properties": {"text": {"type": "string"}, "evidence": texts, "calculations": texts},
        "required": ["text", "evidence"],
        "additionalProperties": false,
    });
    json!({
        "type": "object",
        "properties": {"claims": {"type": "array", "maxItems": most, "items": claim}, "missing": texts},
        "required": ["claims"],
        "additionalProperties": false,
    })
}
