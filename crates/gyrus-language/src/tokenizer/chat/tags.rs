//! `{% generation %}` blocks, with which templates mark what a model writes. `transformers` uses them for masks in training;
//! for the text they are scopes and nothing else, so they become `{% with %}` blocks.

/// The template with its generation blocks as plain scopes. Comments, expressions and raw blocks stay as they are.
pub(super) fn plain_scopes(template: &str) -> String {
    let mut plain = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        plain += &rest[..at];
        rest = &rest[at..];
        let length = match rest.as_bytes().get(1) {
            Some(b'#') => rest.find("#}").map(|end| end + 2),
            Some(b'{') => end_of(rest, "}}"),
            Some(b'%') => end_of(rest, "%}"),
            _ => Some(1),
        };
        let Some(length) = length else { break };
        let (tag, after) = rest.split_at(length);
        rest = after;
        let name = tag.strip_prefix("{%").map(name_of);
        match name {
            Some("generation") => plain += &tag.replacen("generation", "with", 1),
            Some("endgeneration") => plain += &tag.replacen("endgeneration", "endwith", 1),
            Some("raw") => {
                let length = end_of_raw(rest);
                plain += tag;
                plain += &rest[..length];
                rest = &rest[length..];
            }
            _ => plain += tag,
        }
    }
    plain + rest
}

/// The first word of a tag after its opening mark.
fn name_of(tag: &str) -> &str {
    let tag = tag.trim_start_matches(['-', '+']).trim_start();
    let end = tag.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(tag.len());
    &tag[..end]
}

/// The length of a tag that ends with `close`, which may also stand in strings inside of it.
fn end_of(tag: &str, close: &str) -> Option<usize> {
    let bytes = tag.as_bytes();
    let (mut quote, mut at) = (None, 2);
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if open == byte => quote = None,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, _) if bytes[at..].starts_with(close.as_bytes()) => return Some(at + close.len()),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the tag that ends a raw block begins.
fn end_of_raw(text: &str) -> usize {
    let tags = text.match_indices("{%");
    tags.map(|(at, _)| at).find(|at| name_of(&text[at + 2..]) == "endraw").unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_are_replaced() {
        for (template, plain) in [
            ("{%- generation -%}a{%+ endgeneration %}", "{%- with -%}a{%+ endwith %}"),
            ("{%generation%}{{ x }}{%endgeneration%}", "{%with%}{{ x }}{%endwith%}"),
            ("{# {% generation %} #}{ {% if x %}", "{# {% generation %} #}{ {% if x %}"),
            ("{{ '{% generation %}' }}", "{{ '{% generation %}' }}"),
            ("{{ '\\'}}{% generation %}' }}", "{{ '\\'}}{% generation %}' }}"),
            ("{% raw %}{% generation %}{% endraw %}é", "{% raw %}{% generation %}{% endraw %}é"),
            ("{% generations %}{% set generation = 1 %}", "{% generations %}{% set generation = 1 %}"),
            ("{% generation", "{% generation"),
            ("{", "{"),
        ] {
            assert_eq!(plain_scopes(template), plain);
        }
    }
}
