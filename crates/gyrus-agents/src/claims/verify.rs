//! A claim beside the text that it cites.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::tokens::{Token, TokenKind, tokens};
use crate::retrieval::sentences;

/// Neighboring sentences that may support a claim together.
const TOGETHER: usize = 3;
/// The least share of a claim's other words that must stand in the text.
const LEAST_WORDS: f64 = 0.6;

/// From this share of its words on, a claim is nearly one sentence of the text, and must be what that sentence says.
const NEARLY: f64 = 0.7;
/// Numbers with at most this many tokens from one to the next stand together.
const NEAR: usize = 3;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// The text says it word for word.
    Quoted,
    /// Everything that can be checked stands there.
    Supported,
    /// Not so, for this reason.
    Unverified {
        /// What is missing or different.
        reason: String,
    },
}

impl Verdict {
    /// Whether a reader may rely on it as far as a program can tell.
    #[must_use]
    pub fn is_supported(&self) -> bool {
        !matches!(self, Self::Unverified { .. })
    }
}

/// Pairs of opposite directions, as stems.
const OPPOSITES: [(&str, &str); 38] = [
    ("increas", "decreas"),
    ("increas", "reduc"),
    ("increas", "lower"),
    ("increas", "declin"),
    ("increas", "diminish"),
    ("higher", "lower"),
    ("high", "low"),
    ("more", "less"),
    ("more", "fewer"),
    ("rise", "fall"),
    ("rose", "fell"),
    ("up", "down"),
    ("upregul", "downregul"),
    ("up-regul", "down-regul"),
    ("elev", "reduc"),
    ("elev", "decreas"),
    ("enhanc", "reduc"),
    ("enhanc", "inhibit"),
    ("enhanc", "impair"),
    ("promot", "inhibit"),
    ("promot", "suppress"),
    ("promot", "prevent"),
    ("activ", "inhibit"),
    ("activ", "inactiv"),
    ("induc", "inhibit"),
    ("induc", "prevent"),
    ("stimul", "inhibit"),
    ("improv", "worsen"),
    ("improv", "impair"),
    ("gain", "loss"),
    ("posit", "negat"),
    ("befor", "after"),
    ("earlier", "later"),
    ("larger", "smaller"),
    ("best", "worst"),
    ("first", "last"),
    ("presenc", "absenc"),
    ("protect", "harm"),
];

/// Whether `quote` stands in `text`, whatever the spaces and the forms of quotation marks.
#[must_use]
pub fn is_quote(quote: &str, text: &str) -> bool {
    let (quote, text) = (plain(quote), plain(text));
    let quote = quote.trim_matches(['"', ' ', '.', '…']);
    if quote.chars().filter(|letter| letter.is_alphanumeric()).count() < 3 {
        return false;
    }
    // Whole words only: "9 mice" is no quote of "19 mice", nor "1 mg" of "0.1 mg".
    text.match_indices(quote).any(|(at, _)| {
        let before = text[..at].chars().rev().take(2).collect::<Vec<_>>();
        let after = text[at + quote.len()..].chars().take(2).collect::<Vec<_>>();
        let begins = quote.chars().next().is_some_and(char::is_alphanumeric);
        let ends = quote.chars().next_back().is_some_and(char::is_alphanumeric);
        let inside = |near: &[char]| match near {
            [letter, ..] if letter.is_alphanumeric() => true,
            ['.' | ',', digit] => digit.is_ascii_digit(),
            _ => false,
        };
        let minus =
            matches!(before.first(), Some('-' | '−')) && quote.starts_with(|c: char| c.is_ascii_digit());
        !(begins && (inside(&before) || minus)) && !(ends && inside(&after))
    })
}

fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            _ if letter.is_whitespace() => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            '“' | '”' | '„' => out.push('"'),
            '‘' | '’' => out.push('\''),
            _ => out.push(letter),
        }
    }
    out.trim().to_owned()
}

/// Checks a claim against the texts that it cites. Each text is taken by itself: what only two of them say together is unverified,
/// unless their sentences stand in one of them.
#[must_use]
pub fn verify(claim: &str, cited: &[&str]) -> Verdict {
    verify_with(claim, cited, &[])
}

/// The same, where numbers may also be results of recorded calculations, to the digits that the claim gives.
#[must_use]
pub fn verify_with(claim: &str, cited: &[&str], calculated: &[f64]) -> Verdict {
    if cited.is_empty() {
        return Verdict::Unverified { reason: "it cites nothing".to_owned() };
    }
    let mut own = tokens(claim);
    own.retain(|token| token.kind != TokenKind::Number || !is_result(&token.form, calculated));
    if !own.iter().any(|token| matches!(token.kind, TokenKind::Number | TokenKind::Name | TokenKind::Word)) {
        return Verdict::Unverified { reason: "it says nothing that can be checked".to_owned() };
    }
    if cited.iter().any(|text| is_quote(claim, text) && whole_sentences(claim, text)) {
        return Verdict::Quoted;
    }
    if let Some(verdict) = beside_nearest(&own, cited) {
        return verdict;
    }
    let mut nearest: Option<(f64, String)> = None;
    for text in cited {
        let ranges = sentences(text);
        for first in 0..ranges.len() {
            for count in 1..=TOGETHER.min(ranges.len() - first) {
                let stretch = &text[ranges[first].start..ranges[first + count - 1].end];
                match compare(&own, &tokens(stretch)) {
                    Ok(_) => return Verdict::Supported,
                    Err((share, reason)) => {
                        if nearest.as_ref().is_none_or(|best| share > best.0) {
                            nearest = Some((share, reason));
                        }
                    }
                }
            }
        }
    }
    let reason = nearest.map_or("the cited text is empty".to_owned(), |nearest| nearest.1);
    Verdict::Unverified { reason }
}

/// Whether a number is one of these, rounded to the digits that it has.
fn is_result(form: &str, calculated: &[f64]) -> bool {
    let digits = form.trim_end_matches('%');
    let places = digits.split_once('.').map_or(0, |(_, part)| part.len());
    let Ok(value) = digits.parse::<f64>() else { return false };
    calculated.iter().any(|result| (value - result).abs() <= 0.5 * 10f64.powi(-(places as i32)) + 1e-12)
}

/// The verdict on a claim that is nearly one sentence of the texts: where it differs from that sentence, what is near it cannot help.
fn beside_nearest(claim: &[Token], cited: &[&str]) -> Option<Verdict> {
    let mut best: Option<(f64, Result<(), String>)> = None;
    for text in cited {
        for range in sentences(text) {
            let (share, result) = match compare(claim, &tokens(&text[range])) {
                Ok(share) => (share, Ok(())),
                Err((share, reason)) => (share, Err(reason)),
            };
            let is_better =
                best.as_ref().is_none_or(|(known, old)| share > *known || (share >= *known && old.is_err()));
            if is_better {
                best = Some((share, result));
            }
        }
    }
    let (_, result) = best.filter(|(share, _)| *share >= NEARLY)?;
    Some(match result {
        Ok(()) => Verdict::Supported,
        Err(reason) => Verdict::Unverified { reason },
    })
}

/// Whether what surrounds a quote in its sentence does not negate it: each of its sentences has as much negation as the one that it
/// is taken from.
fn whole_sentences(claim: &str, text: &str) -> bool {
    let negations =
        |part: &str| tokens(part).iter().filter(|token| token.kind == TokenKind::Negation).count();
    let all = sentences(text);
    sentences(claim).into_iter().all(|range| {
        let part = &claim[range];
        all.iter().any(|range| {
            let sentence = &text[range.clone()];
            is_quote(part, sentence) && negations(sentence) == negations(part)
        })
    })
}

/// Compares a claim with a stretch of text; how much of it stands there, and what does not.
fn compare(claim: &[Token], text: &[Token]) -> Result<f64, (f64, String)> {
    let known: HashSet<&str> = text.iter().map(|token| token.form.as_str()).collect();
    let of = |kind: TokenKind| claim.iter().filter(move |token| token.kind == kind);
    let content: Vec<&Token> = claim
        .iter()
        .filter(|token| matches!(token.kind, TokenKind::Word | TokenKind::Name | TokenKind::Number))
        .collect();
    let present = content.iter().filter(|token| known.contains(token.form.as_str())).count();
    let share = present as f64 / content.len().max(1) as f64;
    for (kind, what) in [(TokenKind::Number, "number"), (TokenKind::Name, "name")] {
        if let Some(token) = of(kind).find(|token| !stands(token, text, &known)) {
            return Err((share, format!("the {what} {} is not in the cited text", token.form)));
        }
    }
    let words: Vec<&Token> = of(TokenKind::Word).collect();
    let missing: Vec<&&Token> = words.iter().filter(|token| !known.contains(token.form.as_str())).collect();
    if words.len() - missing.len() < (LEAST_WORDS * words.len() as f64).ceil() as usize {
        let named: Vec<&str> = missing.iter().take(4).map(|token| token.form.as_str()).collect();
        return Err((share, format!("the cited text does not speak of {}", named.join(", "))));
    }
    if let Some((ours, theirs)) = opposite(claim, text) {
        return Err((share, format!("the claim says {ours}, the cited text {theirs}")));
    }
    let negations =
        |tokens: &[Token]| tokens.iter().filter(|token| token.kind == TokenKind::Negation).count() % 2;
    let near = nearby(claim, text);
    if negations(claim) != negations(&near) {
        return Err((share, "the claim and the cited text differ in negation".to_owned()));
    }
    if let Some(form) = negated_otherwise(claim, text) {
        return Err((share, format!("the claim and the cited text differ in the negation of {form}")));
    }
    if !in_order(claim, text) {
        return Err((share, "the numbers or names stand in another order in the cited text".to_owned()));
    }
    Ok(share)
}

/// A name may stand in the text as a word, a number only as itself.
fn stands(token: &Token, text: &[Token], known: &HashSet<&str>) -> bool {
    if known.contains(token.form.as_str()) {
        return true;
    }
    token.kind == TokenKind::Name
        && text.iter().any(|other| {
            other.kind == TokenKind::Word
                && token.form.starts_with(&other.form)
                && token.form.len() <= other.form.len() + 2
        })
}

/// The part of a text between the first and the last word that the claim has too, with two words around.
fn nearby(claim: &[Token], text: &[Token]) -> Vec<Token> {
    let forms: HashSet<&str> = claim
        .iter()
        .filter(|token| !matches!(token.kind, TokenKind::Small | TokenKind::Negation))
        .map(|token| token.form.as_str())
        .collect();
    let places: Vec<usize> = text
        .iter()
        .enumerate()
        .filter(|(_, token)| forms.contains(token.form.as_str()))
        .map(|(at, _)| at)
        .collect();
    match (places.first(), places.last()) {
        (Some(first), Some(last)) => text[first.saturating_sub(3)..(last + 3).min(text.len())].to_vec(),
        _ => text.to_vec(),
    }
}

/// A direction of the claim whose opposite stands in the text while it does not itself.
fn opposite<'a>(claim: &'a [Token], text: &'a [Token]) -> Option<(&'a str, &'a str)> {
    let has = |tokens: &'a [Token], stem: &str| -> Option<&'a str> {
        tokens.iter().find(|token| token.form == stem).map(|token| token.form.as_str())
    };
    let pairs = OPPOSITES.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]);
    pairs.into_iter().find_map(|(ours, theirs)| {
        let said = has(claim, ours)?;
        let other = has(text, theirs)?;
        (has(text, ours).is_none() && has(claim, theirs).is_none()).then_some((said, other))
    })
}

/// How many negations stand directly before each number, name and word, small words between them aside.
fn negated(tokens: &[Token]) -> Vec<(&str, usize)> {
    let mut pending = 0;
    let mut all = Vec::new();
    for token in tokens {
        match token.kind {
            TokenKind::Negation => pending += 1,
            TokenKind::Small => {}
            TokenKind::Number | TokenKind::Name | TokenKind::Word => {
                all.push((token.form.as_str(), std::mem::take(&mut pending)));
            }
        }
    }
    all
}

/// What the claim negates and the text nowhere, or the other way round.
fn negated_otherwise<'a>(claim: &'a [Token], text: &[Token]) -> Option<&'a str> {
    let known = negated(text);
    let differs = |(form, count): &(&str, usize)| {
        let mut same = known.iter().filter(|(other, _)| other == form).peekable();
        same.peek().is_some() && !same.any(|(_, other)| other == count)
    };
    negated(claim).into_iter().find(differs).map(|(form, _)| form)
}

/// Whether numbers that stand together in the claim (`2 of 53 (4 %)`) stand together in the text.
fn together(claim: &[Token], text: &[Token]) -> bool {
    let places = |tokens: &[Token]| -> Vec<usize> {
        (0..tokens.len()).filter(|&at| tokens[at].kind == TokenKind::Number).collect()
    };
    let (ours, theirs) = (places(claim), places(text));
    let runs = ours.chunk_by(|a, b| b - a <= NEAR);
    // Each way that a run has been followed so far ends at one of these places.
    runs.into_iter().filter(|run| run.len() > 1).all(|run| {
        let stands = |at: usize, place: usize| text[place].form == claim[at].form;
        let mut ends: Vec<usize> = theirs.iter().copied().filter(|&place| stands(run[0], place)).collect();
        for pair in run.windows(2) {
            let most = pair[1] - pair[0] + 1;
            let follows = |&place: &usize| {
                stands(pair[1], place) && ends.iter().any(|&end| place > end && place - end <= most)
            };
            ends = theirs.iter().copied().filter(follows).collect();
        }
        !ends.is_empty()
    })
}

/// Whether the numbers of a claim, and its names, follow each other in the text as they do in the claim.
fn in_order(claim: &[Token], text: &[Token]) -> bool {
    let follows = |wanted: &[&Token]| {
        let mut rest = text.iter();
        wanted.iter().all(|token| {
            rest.any(|other| {
                other.form == token.form
                    || (token.kind == TokenKind::Name
                        && other.form.len() > 2
                        && token.form.starts_with(&other.form))
            })
        })
    };
    let numbers: Vec<&Token> = claim.iter().filter(|token| token.kind == TokenKind::Number).collect();
    let names: Vec<&Token> = claim.iter().filter(|token| token.kind == TokenKind::Name).collect();
    follows(&numbers) && follows(&names) && fits(claim, text) && together(claim, text)
}

/// Whether each number of the claim stands beside a word in the text that it stands beside in the claim, if it has such words.
fn fits(claim: &[Token], text: &[Token]) -> bool {
    let beside = |tokens: &[Token], at: usize| -> HashSet<String> {
        let near = tokens[at.saturating_sub(4)..(at + 5).min(tokens.len())].iter();
        near.filter(|token| matches!(token.kind, TokenKind::Word | TokenKind::Name))
            .map(|token| token.form.clone())
            .collect()
    };
    let numbers = claim.iter().enumerate().filter(|(_, token)| token.kind == TokenKind::Number);
    numbers.into_iter().all(|(at, number)| {
        let ours = beside(claim, at);
        let places = text.iter().enumerate().filter(|(_, token)| token.form == number.form);
        ours.is_empty() || places.into_iter().any(|(place, _)| !beside(text, place).is_disjoint(&ours))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "In 2010, 34 patients in Oslo received aspirin and 12 in Bergen received placebo. \
        Aspirin did not reduce mortality (5.1 % versus 5.3 %). Kepler inhibited TNF-alpha in mice.";

    fn passes(claim: &str) -> bool {
        verify(claim, &[TEXT]).is_supported()
    }

    #[test]
    fn what_the_text_says_passes() {
        for claim in [
            "Aspirin did not reduce mortality (5.1 % versus 5.3 %).",
            "34 patients in Oslo received aspirin in the study.",
            "Aspirin did not reduce mortality.",
            "Kepler inhibited TNF-alpha in mice.",
            "In Oslo, 34 patients received aspirin.",
        ] {
            assert!(passes(claim), "{claim}: {:?}", verify(claim, &[TEXT]));
        }
        assert_eq!(
            verify("Aspirin  did not reduce\nmortality (5.1 % versus 5.3 %).", &[TEXT]),
            Verdict::Quoted
        );
    }

    #[test]
    fn what_was_changed_does_not() {
        for claim in [
            "35 patients in Oslo received aspirin.",
            "12 patients in Oslo received aspirin and 34 in Bergen received placebo.",
            "34 patients in Bergen received aspirin and 12 in Oslo received placebo.",
            "34 patients in Paris received aspirin.",
            "Aspirin reduced mortality.",
            "reduce mortality (5.1 % versus 5.3 %)",
            "Aspirin did not reduce mortality (5.3 % versus 5.1 %).",
            "Aspirin did not reduce mortality (5.1 versus 5.3).",
            "Kepler did not inhibit TNF-alpha in mice.",
            "In 2010, 34 patients in Oslo did not receive aspirin and 12 in Bergen did not receive placebo.",
            "TNF-alpha inhibited Kepler in mice.",
            "In 2011, 34 patients received aspirin.",
            "Whales sing at night.",
            "The.",
            "",
        ] {
            assert!(!passes(claim), "{claim}");
        }
        assert!(!verify("Aspirin did not reduce mortality.", &[]).is_supported());
    }

    #[test]
    fn quotes_are_whole_words() {
        assert!(is_quote("12 in “Bergen”".replace(['“', '”'], "").as_str(), TEXT));
        assert!(!is_quote("4 patients", TEXT));
        assert!(!is_quote("1 % versus", TEXT));
        assert!(!is_quote("a", TEXT));
        assert!(!is_quote("5 mg", "-5 mg"));
    }
}
