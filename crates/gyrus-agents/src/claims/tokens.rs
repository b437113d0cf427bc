//! The parts of a sentence that a check compares: numbers, names, words, negations.

use crate::retrieval::{Words, is_stop_word, next_word};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A number, in digits or in words.
    Number,
    /// A name or symbol: `Oslo`, `TNF-alpha`, `mRNA`.
    Name,
    /// Another word.
    Word,
    /// A word that says little: `the`, `of`.
    Small,
    /// `not`, `no`, `without`.
    Negation,
}

/// A token of a sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// What it is compared by: a number in digits, a stem, a name in small letters.
    pub form: String,
    /// Its bytes in the text.
    pub start: usize,
    /// The byte behind it.
    pub end: usize,
}

/// Words that negate.
const NEGATIONS: [&str; 29] = [
    "absence", "absent", "aren't", "barely", "can't", "cannot", "couldn't", "didn't", "doesn't", "don't",
    "fail", "failed", "fails", "hardly", "hasn't", "haven't", "isn't", "lack", "lacked", "lacking", "lacks",
    "neither", "never", "no", "nor", "not", "unable", "without", "won't",
];
/// More of them, which a contraction makes.
const CONTRACTED: [&str; 4] = ["shouldn't", "wasn't", "weren't", "wouldn't"];
/// Numbers in words.
const NUMBERS: [(&str, &str); 30] = [
    ("billion", "1e9"),
    ("eight", "8"),
    ("eighteen", "18"),
    ("eighty", "80"),
    ("eleven", "11"),
    ("fifteen", "15"),
    ("fifty", "50"),
    ("five", "5"),
    ("forty", "40"),
    ("four", "4"),
    ("fourteen", "14"),
    ("half", "0.5"),
    ("hundred", "1e2"),
    ("million", "1e6"),
    ("nine", "9"),
    ("ninety", "90"),
    ("once", "1x"),
    ("seven", "7"),
    ("seventy", "70"),
    ("six", "6"),
    ("sixty", "60"),
    ("ten", "10"),
    ("thirteen", "13"),
    ("thirty", "30"),
    ("thousand", "1e3"),
    ("three", "3"),
    ("twelve", "12"),
    ("twenty", "20"),
    ("twice", "2x"),
    ("two", "2"),
];
/// Words that say little, beyond the stop words.
const SMALL: [&str; 62] = [
    "about",
    "all",
    "also",
    "among",
    "any",
    "approximately",
    "been",
    "being",
    "between",
    "both",
    "can",
    "could",
    "did",
    "do",
    "does",
    "during",
    "each",
    "either",
    "from",
    "had",
    "has",
    "have",
    "he",
    "her",
    "his",
    "how",
    "i",
    "its",
    "may",
    "might",
    "must",
    "our",
    "over",
    "own",
    "she",
    "should",
    "so",
    "some",
    "than",
    "them",
    "those",
    "through",
    "under",
    "up",
    "us",
    "very",
    "via",
    "we",
    "were",
    "what",
    "when",
    "where",
    "which",
    "while",
    "who",
    "whom",
    "whose",
    "why",
    "within",
    "would",
    "you",
    "your",
];

/// The tokens of a text. `is_start` tells whether its first word begins a sentence, so that its capital says nothing.
#[must_use]
pub fn tokens(text: &str) -> Vec<Token> {
    let mut words = Words::default();
    let mut found: Vec<Token> = Vec::new();
    let mut from = 0;
    let mut begins = true;
    while let Some((start, end)) = next_word(text, from) {
        let word = &text[start..end];
        let gap = &text[from..start];
        if gap.contains(['.', '!', '?', ':', '\n', '"', '“']) {
            begins = true;
        }
        let lower = word.to_lowercase().replace('’', "'");
        let (kind, form) = classified(word, &lower, begins, &mut words);
        // A minus sign or a decimal point before a number belongs to it, a percent sign behind it makes it another number.
        let form = match kind {
            TokenKind::Number => signed(text, start, end, form),
            _ => form,
        };
        found.push(Token { kind, form, start, end });
        begins = false;
        from = end.max(from + 1);
    }
    found
}

fn signed(text: &str, start: usize, end: usize, form: String) -> String {
    let before = text[..start].chars().next_back();
    let earlier = text[..start].chars().rev().nth(1);
    let is_minus = matches!(before, Some('-' | '−'))
        && earlier.is_none_or(|letter| letter.is_whitespace() || letter == '(');
    let after = text[end..].trim_start_matches([' ', '\u{a0}', '\u{202f}']);
    let is_percent = after.starts_with('%') || after.starts_with("percent") || after.starts_with("per cent");
    format!("{}{form}{}", if is_minus { "-" } else { "" }, if is_percent { "%" } else { "" })
}

fn classified(word: &str, lower: &str, begins: bool, words: &mut Words) -> (TokenKind, String) {
    if let Some(number) = number(lower) {
        return (TokenKind::Number, number);
    }
    if NEGATIONS.binary_search(&lower).is_ok() || CONTRACTED.contains(&lower) {
        return (TokenKind::Negation, lower.to_owned());
    }
    if is_stop_word(lower) || SMALL.binary_search(&lower).is_ok() || lower.chars().count() < 2 {
        let is_symbol =
            lower.chars().count() < 2 && word.chars().all(char::is_uppercase) && !begins && word != "I";
        if !is_symbol {
            return (TokenKind::Small, lower.to_owned());
        }
    }
    let capitals = word.chars().filter(|letter| letter.is_uppercase()).count();
    let inner = word.chars().skip(1).any(char::is_uppercase);
    let has_digit = word.chars().any(|letter| letter.is_ascii_digit());
    if inner || has_digit || (capitals > 0 && !begins) {
        let form = lower.strip_suffix("'s").unwrap_or(lower);
        // A plural of an abbreviation is the abbreviation: miRNAs.
        let form = form.strip_suffix('s').filter(|_| inner && word.ends_with('s')).unwrap_or(form);
        return (TokenKind::Name, form.to_owned());
    }
    (TokenKind::Word, words.term(lower).map_or(lower.to_owned(), str::to_owned))
}

/// A number in one form: `1,000.50` and `1000.5` are alike.
fn number(lower: &str) -> Option<String> {
    if let Ok(at) = NUMBERS.binary_search_by_key(&lower, |row| row.0) {
        return Some(NUMBERS[at].1.to_owned());
    }
    let digits = ["st", "nd", "rd", "th", "s", "x"]
        .iter()
        .find_map(|ending| lower.strip_suffix(ending))
        .unwrap_or(lower);
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ','));
    if !is_number {
        return None;
    }
    let plain = digits.replace(',', "");
    if plain.matches('.').count() > 1 {
        return Some(plain);
    }
    let (whole, part) = plain.split_once('.').unwrap_or((&plain, ""));
    let whole = whole.trim_start_matches('0');
    let part = part.trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted() {
        assert!(NEGATIONS.is_sorted() && SMALL.is_sorted() && NUMBERS.is_sorted_by_key(|row| row.0));
    }

    #[test]
    fn a_sentence_becomes_what_is_compared() {
        let found = tokens(
            "In Oslo, 1,000.50 mice didn't take TNF-alpha (−3 %) on the 2nd of May; five miRNAs rose.",
        );
        let shown: Vec<(TokenKind, &str)> =
            found.iter().map(|token| (token.kind, token.form.as_str())).collect();
        use TokenKind::{Name, Negation, Number, Small, Word};
        assert_eq!(
            shown,
            [
                (Small, "in"),
                (Name, "oslo"),
                (Number, "1000.5"),
                (Word, "mice"),
                (Negation, "didn't"),
                (Word, "take"),
                (Name, "tnf"),
                (Word, "alpha"),
                (Number, "-3%"),
                (Small, "on"),
                (Small, "the"),
                (Number, "2"),
                (Small, "of"),
                (Small, "may"),
                (Number, "5"),
                (Name, "mirna"),
                (Word, "rose"),
            ]
        );
    }
}
