//! Measures of rankings, as trec_eval has them.

use std::collections::HashMap;

/// Which documents answer which topic.
#[derive(Clone, Debug, Default)]
pub struct Judgments {
    relevant: HashMap<String, Vec<String>>,
}

impl Judgments {
    /// Reads lines of `topic 0 document relevance`; a relevance above 0 counts.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut relevant: HashMap<String, Vec<String>> = HashMap::new();
        for line in text.lines() {
            let parts: Vec<&str> = line.split_whitespace().collect();
            if let [topic, _, document, relevance] = parts[..]
                && relevance.parse().is_ok_and(|relevance: i64| relevance > 0)
            {
                relevant.entry(topic.to_owned()).or_default().push(document.to_owned());
            }
        }
        Self { relevant }
    }

    /// The documents that answer a topic.
    #[must_use]
    pub fn of(&self, topic: &str) -> &[String] {
        self.relevant.get(topic).map_or(&[], Vec::as_slice)
    }

    /// Topics with at least one.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.relevant.keys().map(String::as_str)
    }
}

/// The mean of the precision at each relevant document, where those that are missing count as 0.
#[must_use]
pub fn average_precision<S: AsRef<str>>(ranking: &[S], relevant: &[String]) -> f64 {
    let (mut hits, mut sum) = (0.0, 0.0);
    for (rank, document) in ranking.iter().enumerate() {
        if relevant.iter().any(|known| known == document.as_ref()) {
            hits += 1.0;
            sum += hits / (rank + 1) as f64;
        }
    }
    sum / relevant.len().max(1) as f64
}

/// The share of relevant documents among the first `depth`.
#[must_use]
pub fn precision_at<S: AsRef<str>>(ranking: &[S], relevant: &[String], depth: usize) -> f64 {
    let first = ranking.iter().take(depth);
    first.filter(|document| relevant.iter().any(|known| known == document.as_ref())).count() as f64
        / depth.max(1) as f64
}

/// The share of the relevant documents that are among the first `depth`.
#[must_use]
pub fn recall_at<S: AsRef<str>>(ranking: &[S], relevant: &[String], depth: usize) -> f64 {
    let first = &ranking[..ranking.len().min(depth)];
    let found =
        relevant.iter().filter(|known| first.iter().any(|document| document.as_ref() == known.as_str()));
    found.count() as f64 / relevant.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_those_of_trec_eval() {
        let judgments = Judgments::parse("1 0 a 1\n1 0 b 0\n1 0 c 2\n\n2 0 x 1\n");
        let relevant = judgments.of("1");
        assert_eq!(relevant, ["a", "c"]);
        let ranking = ["b", "a", "d", "c"];
        assert!((average_precision(&ranking, relevant) - (1.0 / 2.0 + 2.0 / 4.0) / 2.0).abs() < 1e-12);
        assert!((precision_at(&ranking, relevant, 2) - 0.5).abs() < 1e-12);
        assert!((recall_at(&ranking, relevant, 3) - 0.5).abs() < 1e-12);
        assert!(judgments.of("3").is_empty());
    }
}
