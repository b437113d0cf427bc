//! Research without a model: quotes, and nothing else.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::answer::{Answer, AnsweredClaim, Effort, Quote};
use super::driver::Reach;
use super::select::select_quotes;
use crate::claims::{TokenKind, tokens};
use crate::core::{Agent, Context, Effect, Event, EvidenceId, EvidenceKind, ToolOutput};
use crate::retrieval::{WordWeight, Words};

/// Words of questions, which say nothing about their subject.
const ASKING: [&str; 34] = [
    "about", "any", "can", "could", "did", "do", "does", "explain", "find", "give", "had", "has", "have",
    "how", "i", "many", "me", "much", "please", "say", "tell", "there", "was", "were", "what", "when",
    "where", "which", "who", "whom", "whose", "why", "would", "you",
];

/// The agent without a model.
pub struct Quotes {
    question: String,
    effort: Effort,
    searches: Vec<String>,
    /// Words of the question as the index has them.
    words: Vec<WordWeight>,
    /// Calls of other tools that wait, the last first.
    waiting: Vec<(&'static str, String)>,
    failures: Vec<String>,
    reach: Reach,
    /// Rows that answer the whole question.
    answers: Vec<EvidenceId>,
    assumed: Vec<String>,
}

/// Pages that are opened after a search of the web.
const PAGES: usize = 2;

/// A question without its asking words.
pub(super) fn subject(question: &str) -> String {
    let words = question.split_whitespace().filter(|word| {
        let plain = word.trim_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase();
        ASKING.binary_search(&plain.as_str()).is_err()
    });
    let subject: Vec<&str> = words.collect();
    if subject.is_empty() { question.to_owned() } else { subject.join(" ") }
}

/// Takes over the words of a search: the first one says which words there are, later ones where else they stand.
pub(super) fn merge_words(words: &mut Vec<WordWeight>, found: &Value) {
    let Ok(found) = serde_json::from_value::<Vec<WordWeight>>(found.clone()) else { return };
    if words.is_empty() {
        *words = found;
        return;
    }
    for word in words {
        let other = found.iter().find(|other| other.term == word.term);
        word.passages = word.passages.max(other.map_or(0, |other| other.passages));
    }
}

/// Evidence of a tool that answers the whole question.
pub(super) fn answers(output: &ToolOutput, context: &Context<'_>) -> Vec<EvidenceId> {
    let count = output.facts["answers"].as_u64().unwrap_or(0) as usize;
    context.found.iter().take(count).map(|found| found.0).collect()
}

/// What a tool took for granted.
pub(super) fn assumed(output: &ToolOutput) -> Vec<String> {
    let notes = output.facts["assumed"].as_array().into_iter().flatten();
    notes.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The weights of words by their stems.
pub(super) fn weights(words: &[WordWeight]) -> HashMap<String, f64> {
    words.iter().map(|word| (word.term.clone(), word.weight)).collect()
}

impl Quotes {
    /// An agent for this question.
    #[must_use]
    pub fn new(question: &str, effort: Effort, reach: Reach) -> Self {
        let mut waiting = Vec::new();
        if reach.web {
            waiting.push(("web_search", question.to_owned()));
        }
        if reach.data && reach.documents {
            waiting.push(("ask", question.to_owned()));
        }
        Self {
            question: question.to_owned(),
            effort,
            searches: Vec::new(),
            words: Vec::new(),
            waiting,
            failures: Vec::new(),
            reach,
            answers: Vec::new(),
            assumed: Vec::new(),
        }
    }

    fn search(&mut self, query: String) -> Effect {
        self.searches.push(query.clone());
        let name = match self.reach.documents {
            true => "search",
            false if query == self.question => "ask",
            false => "data",
        };
        Effect::Tool { name: name.to_owned(), argument: query }
    }

    /// What to search for next: words that no quote has so far, then names that the best quotes brought up.
    fn next_query(&self, context: &Context<'_>) -> Option<String> {
        let (most, _) = self.effort.searches();
        let is_answered = !self.answers.is_empty() && !self.reach.documents;
        if self.searches.len() > most || context.is_fruitless || is_answered {
            return None;
        }
        let quotes = select_quotes(context.evidence, &weights(&self.words), self.effort.quotes());
        let mut stems = Words::default();
        let quoted: Vec<String> = quotes.iter().flat_map(|quote| stems.terms(&quote.text)).collect();
        let missing: Vec<&str> = self
            .words
            .iter()
            .filter(|word| word.passages > 0 && !quoted.contains(&word.term))
            .map(|word| word.word.as_str())
            .collect();
        let asked = |query: &str| self.searches.iter().any(|known| known.eq_ignore_ascii_case(query));
        let query = missing.join(" ");
        if !query.is_empty() && !asked(&query) {
            return Some(query);
        }
        // A name of the best quotes that the question does not have leads on to what is said of it elsewhere.
        let known: Vec<String> = stems.terms(&self.question);
        // Rows hold names of columns too.
        let is_row = |quote: &&Quote| {
            context.evidence.get(quote.evidence).is_some_and(|found| found.draft.kind == EvidenceKind::Result)
        };
        for quote in quotes.iter().take(2).filter(|quote| !is_row(quote)) {
            let found = tokens(&quote.text);
            let mut names =
                found.iter().filter(|token| token.kind == TokenKind::Name && token.form.len() > 2);
            let new = names.find(|token| !known.contains(&token.form));
            if let Some(name) = new {
                let query = format!("{} {}", &quote.text[name.start..name.end], subject(&self.question));
                if !asked(&query) {
                    return Some(query);
                }
            }
        }
        None
    }

    fn finish(&self, context: &Context<'_>, stopped: &str) -> Effect {
        let most = self.effort.quotes();
        let answers = self.answers.iter().filter_map(|id| Quote::of(context.evidence, *id, None));
        let mut quotes: Vec<Quote> = answers.take(most).collect();
        let left = most - quotes.len();
        // Rows that were found by words would only stand beside the answer, documents may say more.
        let more = select_quotes(context.evidence, &weights(&self.words), most);
        let more = more.into_iter().filter(|quote| !self.answers.contains(&quote.evidence));
        quotes.extend(more.take(left));
        let mut stems = Words::default();
        let quoted: Vec<String> = quotes.iter().flat_map(|quote| stems.terms(&quote.text)).collect();
        let mut not_found = Vec::new();
        for word in self.words.iter().filter(|word| self.answers.is_empty() && !quoted.contains(&word.term)) {
            not_found.push(match word.passages {
                0 => format!("\"{}\" stands in no source", word.word),
                _ => format!("\"{}\" stands in the sources, but in no quote", word.word),
            });
        }
        if quotes.is_empty() {
            not_found.insert(0, "no passage that fits the question".to_owned());
        }
        let claims = quotes.into_iter().map(|quote| AnsweredClaim {
            text: quote.text.clone(),
            is_verified: true,
            reason: None,
            calculations: Vec::new(),
            quotes: vec![quote],
        });
        let mut notes = vec!["no language model: quotes only, no synthesis".to_owned()];
        notes.extend(self.assumed.iter().cloned());
        notes.extend(self.failures.iter().map(|failure| format!("a search failed: {failure}")));
        let answer = Answer {
            question: self.question.clone(),
            claims: claims.collect(),
            not_found,
            searches: self.searches.clone(),
            stopped: stopped.to_owned(),
            notes,
            ..Answer::default()
        };
        Effect::Finish(json!(answer))
    }
}

impl Agent for Quotes {
    fn step(&mut self, event: &Event, context: &Context<'_>) -> Effect {
        match event {
            Event::Start => {
                let query =
                    if self.reach.documents { subject(&self.question) } else { self.question.clone() };
                return self.search(query);
            }
            Event::Tool(output) => {
                merge_words(&mut self.words, &output.facts["words"]);
                self.answers.extend(answers(output, context));
                self.assumed.extend(assumed(output));
                let pages = output.addresses.iter().take(PAGES).rev();
                self.waiting.extend(pages.map(|address| ("fetch", address.clone())));
            }
            Event::ToolFailed(reason) | Event::Refused(reason) => self.failures.push(reason.clone()),
            Event::Spent(limit) => return self.finish(context, &limit.to_string()),
            Event::Reply(_) | Event::ModelFailed(_) => {}
        }
        if let Some((tool, argument)) = self.waiting.pop() {
            if tool == "web_search" {
                self.searches.push(format!("web: {argument}"));
            }
            return Effect::Tool { name: tool.to_owned(), argument };
        }
        match self.next_query(context) {
            Some(query) => self.search(query),
            None => self.finish(context, "the searches were done"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_words_are_left_out() {
        assert!(ASKING.is_sorted());
        assert_eq!(subject("How many owls are there in Oslo?"), "owls are in Oslo?");
        assert_eq!(subject("what?"), "what?");
    }
}
