//! The words of a question, each with what it does in it.

use super::super::lexicon::{LONGEST, Lexicon, Meaning, words};

/// What a word or phrase does in a question.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ask) enum Part {
    /// Nothing.
    Filler,
    /// How many.
    Count,
    /// A function over rows.
    Aggregate(&'static str),
    /// The largest or the smallest, which is one row.
    Extreme {
        largest: bool,
    },
    /// So many rows of the largest.
    Top(u64),
    /// For each.
    Each,
    /// Ordered by what follows.
    Order,
    /// The order is a falling one.
    Descending,
    /// A comparison with the number that follows.
    Compare(&'static str),
    /// Without repetition.
    Distinct,
    And,
    Or,
    Number(String),
    /// Something of the database.
    Name(Vec<Meaning>, String),
}

/// Phrases with a meaning of their own, the longest first.
const PHRASES: &[(&str, Part)] = &[
    ("in descending order of", Part::Order),
    ("in ascending order of", Part::Order),
    ("in descending order", Part::Descending),
    ("in alphabetical order of", Part::Order),
    ("from highest to lowest", Part::Descending),
    ("from oldest to youngest", Part::Descending),
    ("greater than or equal to", Part::Compare(">=")),
    ("less than or equal to", Part::Compare("<=")),
    ("no less than", Part::Compare(">=")),
    ("no more than", Part::Compare("<=")),
    ("total number of", Part::Count),
    ("the number of", Part::Count),
    ("number of", Part::Count),
    ("the count of", Part::Count),
    ("how many", Part::Count),
    ("more than", Part::Compare(">")),
    ("greater than", Part::Compare(">")),
    ("larger than", Part::Compare(">")),
    ("higher than", Part::Compare(">")),
    ("bigger than", Part::Compare(">")),
    ("less than", Part::Compare("<")),
    ("smaller than", Part::Compare("<")),
    ("lower than", Part::Compare("<")),
    ("fewer than", Part::Compare("<")),
    ("at least", Part::Compare(">=")),
    ("at most", Part::Compare("<=")),
    ("for each", Part::Each),
    ("for every", Part::Each),
    ("of each", Part::Each),
    ("in each", Part::Each),
    ("of every", Part::Each),
    ("grouped by", Part::Each),
    ("ordered by", Part::Order),
    ("sorted by", Part::Order),
    ("order by", Part::Order),
    ("sort by", Part::Order),
    ("count", Part::Count),
    ("average", Part::Aggregate("avg")),
    ("mean", Part::Aggregate("avg")),
    ("avg", Part::Aggregate("avg")),
    ("total", Part::Aggregate("sum")),
    ("sum", Part::Aggregate("sum")),
    ("maximum", Part::Aggregate("max")),
    ("max", Part::Aggregate("max")),
    ("minimum", Part::Aggregate("min")),
    ("min", Part::Aggregate("min")),
    ("most", Part::Extreme { largest: true }),
    ("highest", Part::Extreme { largest: true }),
    ("largest", Part::Extreme { largest: true }),
    ("greatest", Part::Extreme { largest: true }),
    ("biggest", Part::Extreme { largest: true }),
    ("fewest", Part::Extreme { largest: false }),
    ("least", Part::Extreme { largest: false }),
    ("lowest", Part::Extreme { largest: false }),
    ("smallest", Part::Extreme { largest: false }),
    ("each", Part::Each),
    ("every", Part::Each),
    ("per", Part::Each),
    ("descending", Part::Descending),
    ("over", Part::Compare(">")),
    ("above", Part::Compare(">")),
    ("exceeding", Part::Compare(">")),
    ("under", Part::Compare("<")),
    ("below", Part::Compare("<")),
    ("different", Part::Distinct),
    ("distinct", Part::Distinct),
    ("unique", Part::Distinct),
    ("and", Part::And),
    ("or", Part::Or),
];

/// Words that carry nothing: the rest of a question says it all.
const FILLERS: &[&str] = &[
    "a", "all", "along", "also", "an", "any", "are", "as", "at", "by", "can", "compute", "could", "did",
    "display", "do", "does", "equal", "exist", "find", "for", "from", "get", "give", "had", "has", "have",
    "having", "her", "his", "i", "in", "is", "it", "its", "list", "many", "me", "much", "of", "on", "our",
    "out", "please", "report", "return", "s", "see", "show", "so", "tell", "than", "that", "the", "their",
    "them", "there", "these", "they", "this", "those", "to", "us", "was", "we", "were", "what", "where",
    "which", "who", "whose", "with", "would", "you",
];

/// The parts of a question.
///
/// # Errors
/// The words that mean nothing here, and what they may have been meant to be.
pub(super) fn parts(question: &str, lexicon: &Lexicon) -> Result<Vec<Part>, String> {
    let words = words(question);
    let mut parts = Vec::new();
    let mut unknown: Vec<String> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let (part, length) = part(&words[at..], parts.last(), lexicon);
        match part {
            Some(part) => parts.push(part),
            None => unknown.push(words[at].clone()),
        }
        at += length;
    }
    if unknown.is_empty() {
        return Ok(parts);
    }
    let shown: Vec<String> = unknown
        .iter()
        .map(|word| match lexicon.close_to(word) {
            Some(close) => format!("`{word}` (did you mean `{close}`?)"),
            None => format!("`{word}`"),
        })
        .collect();
    Err(format!(
        "without a language model only the words of the schema are understood, and here {} {} not; name a table, a column or a \
         value, or give a model",
        shown.join(", "),
        if shown.len() == 1 { "is" } else { "are" }
    ))
}

fn part(words: &[String], before: Option<&Part>, lexicon: &Lexicon) -> (Option<Part>, usize) {
    let phrase = PHRASES.iter().find_map(|(phrase, part)| {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        let same =
            words.len() >= phrase.len() && words.iter().zip(&phrase).all(|(word, other)| word == other);
        same.then(|| (part.clone(), phrase.len()))
    });
    let named = (1..=LONGEST.min(words.len())).rev().find_map(|length| {
        let meanings = lexicon.look_up(&words[..length])?;
        Some((Part::Name(meanings.to_vec(), words[..length].join(" ")), length))
    });
    // A name that is as long wins where a name must follow: "average total".
    let wants_name =
        matches!(before, Some(Part::Aggregate(_) | Part::Extreme { .. } | Part::Order | Part::Each));
    match (phrase, named) {
        (Some((_, of_phrase)), Some((name, of_name)))
            if of_name > of_phrase || wants_name && of_name == of_phrase =>
        {
            (Some(name), of_name)
        }
        (Some((part, length)), _) => (Some(part), length),
        (None, Some((name, length))) if length > 1 || !FILLERS.contains(&words[0].as_str()) => {
            (Some(name), length)
        }
        _ if words[0] == "top" => match words.get(1).and_then(|word| word.parse().ok()) {
            Some(count) => (Some(Part::Top(count)), 2),
            None => (None, 1),
        },
        _ if FILLERS.contains(&words[0].as_str()) => (Some(Part::Filler), 1),
        _ if words[0].parse::<f64>().is_ok_and(f64::is_finite) => (Some(Part::Number(words[0].clone())), 1),
        _ => (None, 1),
    }
}
