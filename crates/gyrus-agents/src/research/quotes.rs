//! Research without a model: quotes, and nothing else.

use std::collections::HashMap;

use serde_json::json;

use super::answer::{Answer, AnsweredClaim, Effort};
use super::select::select_quotes;
use crate::claims::{TokenKind, tokens};
use crate::core::{Agent, Context, Effect, Event};
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
    /// Calls of the web that wait, the last first.
    waiting: Vec<(&'static str, String)>,
    failures: Vec<String>,
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

/// The weights of words by their stems.
pub(super) fn weights(words: &[WordWeight]) -> HashMap<String, f64> {
    words.iter().map(|word| (word.term.clone(), word.weight)).collect()
}

impl Quotes {
    /// An agent for this question.
    #[must_use]
    pub fn new(question: &str, effort: Effort, has_web: bool) -> Self {
        Self {
            question: question.to_owned(),
            effort,
            searches: Vec::new(),
            words: Vec::new(),
            waiting: if has_web { vec![("web_search", question.to_owned())] } else { Vec::new() },
            failures: Vec::new(),
        }
    }

    fn search(&mut self, query: String) -> Effect {
        self.searches.push(query.clone());
        Effect::Tool { name: "search".to_owned(), argument: query }
    }

    /// What to search for next: words that no quote has so far, then names that the best quotes brought up.
    fn next_query(&self, context: &Context<'_>) -> Option<String> {
        let (most, _) = self.effort.searches();
        if self.searches.len() >= most + 1 || context.is_fruitless {
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
        for quote in quotes.iter().take(2) {
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
        let quotes = select_quotes(context.evidence, &weights(&self.words), self.effort.quotes());
        let mut stems = Words::default();
        let quoted: Vec<String> = quotes.iter().flat_map(|quote| stems.terms(&quote.text)).collect();
        let mut not_found = Vec::new();
        for word in self.words.iter().filter(|word| !quoted.contains(&word.term)) {
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
                let query = subject(&self.question);
                return self.search(query);
            }
            Event::Tool(output) => {
                if let (true, Ok(words)) = (
                    self.words.is_empty(),
                    serde_json::from_value::<Vec<WordWeight>>(output.facts["words"].clone()),
                ) {
                    self.words = words;
                }
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
