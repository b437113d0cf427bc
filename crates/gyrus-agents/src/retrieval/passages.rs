//! A text cut into passages: pieces that follow each other without gap or overlap, so that each byte of a text belongs to one.

use std::ops::Range;

/// The end of the sentence that holds byte `from`: after a mark of its end and a blank, or at an empty line, or at the end.
#[must_use]
pub fn sentence_end(text: &str, from: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\n' if blank_line(bytes, at) => return at + 1,
            b'.' | b'!' | b'?' => {
                let mut end = at + 1;
                while end < bytes.len()
                    && matches!(bytes[end], b'"' | b'\'' | b')' | b']' | b'.' | b'!' | b'?')
                {
                    end += 1;
                }
                if end == bytes.len() || (bytes[end].is_ascii_whitespace() && !is_abbreviation(text, at, end))
                {
                    return end;
                }
                at = end;
            }
            // 。！？ end a sentence without a blank.
            0xe3 if bytes[at..].starts_with("。".as_bytes()) => return at + 3,
            0xef if bytes[at..].starts_with("！".as_bytes()) || bytes[at..].starts_with("？".as_bytes()) => {
                return at + 3;
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Whether the line that begins after byte `at` is empty, or begins as a list, a heading or a table does.
fn blank_line(bytes: &[u8], at: usize) -> bool {
    let rest = &bytes[at + 1..];
    let blank = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
    match rest.get(blank) {
        None | Some(b'\n') => true,
        Some(b'#' | b'|') => true,
        Some(b'-' | b'*' | b'+') => rest.get(blank + 1) == Some(&b' '),
        _ => false,
    }
}

/// Whether a dot ends no sentence: after a single letter or a known short form, or before a small letter.
fn is_abbreviation(text: &str, dot: usize, end: usize) -> bool {
    const SHORT: [&str; 21] = [
        "al", "approx", "cf", "dr", "e.g", "eq", "etc", "fig", "figs", "i.e", "inc", "jr", "mr", "mrs", "ms",
        "prof", "ref", "st", "u.s", "vol", "vs",
    ];
    let next = text[end..].trim_start().chars().next();
    if next.is_some_and(char::is_lowercase) {
        return true;
    }
    if text.as_bytes()[dot] != b'.' {
        return false;
    }
    let before = &text[..dot];
    let word =
        before.rsplit(|c: char| !(c.is_alphanumeric() || c == '.')).next().unwrap_or_default().to_lowercase();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_alphabetic) && word != "i";
    initial || (SHORT.binary_search(&word.as_str()).is_ok() && next.is_some())
}

/// The sentences of a text, without the blanks around them.
#[must_use]
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let end = sentence_end(text, at);
        let piece = &text[at..end];
        let start = at + piece.len() - piece.trim_start().len();
        let stop = start + piece.trim().len();
        if stop > start {
            found.push(start..stop);
        }
        at = end;
    }
    found
}

/// Cuts a text into passages of about `most` bytes, at ends of paragraphs where possible, else of sentences, else between words.
///
/// `cuts` are further places that are better than others, such as ends of pages; ascending.
#[must_use]
pub fn passages(text: &str, most: usize, cuts: &[usize]) -> Vec<Range<usize>> {
    let most = most.max(64);
    let mut found = Vec::new();
    let mut start = 0;
    while start < text.len() {
        if text.len() - start <= most {
            found.push(start..text.len());
            break;
        }
        let mut limit = start + most;
        while !text.is_char_boundary(limit) {
            limit -= 1;
        }
        let end = best_cut(text, start, limit, cuts);
        found.push(start..end);
        start = end;
    }
    found
}

/// The best place to cut between `start` and `limit`; none of the first third unless nothing else is there.
fn best_cut(text: &str, start: usize, limit: usize, cuts: &[usize]) -> usize {
    let early = start + (limit - start) / 3;
    let given = cuts[..cuts.partition_point(|cut| *cut <= limit)].last().copied().filter(|cut| *cut > early);
    if let Some(cut) = given.filter(|cut| text.is_char_boundary(*cut)) {
        return cut;
    }
    let bytes = &text.as_bytes()[..limit];
    let paragraph =
        (early..limit.saturating_sub(1)).rev().find(|&at| bytes[at] == b'\n' && bytes[at + 1] == b'\n');
    if let Some(at) = paragraph {
        return at + 2;
    }
    let mut end = start;
    loop {
        let next = sentence_end(text, end);
        if next > limit || next == end {
            break;
        }
        end = next;
    }
    if end > early {
        return end;
    }
    match (early..limit).rev().find(|&at| bytes[at].is_ascii_whitespace()) {
        Some(at) => at + 1,
        None => limit,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sentences_end_where_they_should() {
        let text = "Dr. Smith et al. (2010) saw 3.5 % of J. Doe's mice. They ran! \"Why?\" he asked.\n\n# Head\nNo dot\n- item";
        let found: Vec<&str> = sentences(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(
            found,
            [
                "Dr. Smith et al. (2010) saw 3.5 % of J. Doe's mice.",
                "They ran!",
                "\"Why?\" he asked.",
                "# Head\nNo dot",
                "- item",
            ]
        );
    }

    proptest! {
        #[test]
        fn passages_cover_a_text_without_gap(text in "[a-c。é .\n]{0,400}", most in 64usize..200) {
            let mut at = 0;
            for range in passages(&text, most, &[]) {
                prop_assert_eq!(range.start, at);
                prop_assert!(range.end > range.start && range.len() <= most);
                prop_assert!(text.is_char_boundary(range.end));
                at = range.end;
            }
            prop_assert_eq!(at, text.len());
        }

        #[test]
        fn sentences_are_pieces_in_order(text in "\\PC{0,200}") {
            let mut at = 0;
            for range in sentences(&text) {
                prop_assert!(range.start >= at && range.end > range.start);
                prop_assert!(!text[range.clone()].trim().is_empty());
                at = range.end;
            }
        }
    }
}
