//! What tools may do, decided in code before each call.
//!
//! Three things together let a text that somebody planted send secrets away: private data was read, text of strangers was read,
//! and what the model composes leaves the machine. A run that has done the first two loses the third: it may still open addresses
//! that the person or a search gave it word for word, but nothing that a model made up. Tools that write cannot be granted at all.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// Whose text a tool brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The person's own documents and databases: private, and trusted as far as any text is.
    Private,
    /// Anybody's.
    Stranger,
}

/// What a tool does beyond its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolEffect {
    /// Nothing.
    Read,
    /// Its arguments leave the machine.
    Egress,
    /// It changes something. Never granted.
    Write,
}

/// What the policy knows of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// Whose text it brings.
    pub origin: Origin,
    /// What it does.
    pub effect: ToolEffect,
}

impl ToolSpec {
    /// A tool.
    #[must_use]
    pub fn new(name: &str, origin: Origin, effect: ToolEffect) -> Self {
        Self { name: name.to_owned(), origin, effect }
    }
}

/// Whether a call is granted.
pub type Grant = Result<(), String>;

/// The policy of a run, and what the run has read.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    tools: Vec<ToolSpec>,
    has_read_private: bool,
    has_read_stranger: bool,
    /// What the person, or a search, gave word for word.
    given: HashSet<String>,
}

impl Policy {
    /// A policy for these tools; those that write are left out. `question` is the person's.
    #[must_use]
    pub fn new(tools: Vec<ToolSpec>, question: &str) -> Self {
        let tools = tools.into_iter().filter(|tool| tool.effect != ToolEffect::Write).collect();
        let words =
            question.split_whitespace().map(|word| word.trim_matches(['<', '>', '(', ')', ',', '"', '\'']));
        let given = words.chain([question]).map(str::to_owned).collect();
        Self { tools, given, ..Self::default() }
    }

    /// Whether this tool may be called with this argument: what would leave the machine.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, tool: &str, argument: &str) -> Grant {
        let Some(spec) = self.tools.iter().find(|spec| spec.name == tool) else {
            let known: Vec<&str> = self.tools.iter().map(|spec| spec.name.as_str()).collect();
            return Err(format!("there is no tool {tool}; there are {}", known.join(", ")));
        };
        let closed = self.has_read_private && self.has_read_stranger;
        if spec.effect == ToolEffect::Egress && closed && !self.given.contains(argument) {
            return Err(format!(
                "{tool} is closed: this run has read private documents and text of strangers, so nothing that it composes \
                 may leave the machine"
            ));
        }
        Ok(())
    }

    /// Notes what a call brought: whose text, and the addresses that it named.
    pub fn has_read(&mut self, tool: &str, addresses: &[String]) {
        let origin = self.tools.iter().find(|spec| spec.name == tool).map(|spec| spec.origin);
        match origin {
            Some(Origin::Private) => self.has_read_private = true,
            Some(Origin::Stranger) => self.has_read_stranger = true,
            None => {}
        }
        // What came after the door was closed was still named by a search, not by the model.
        self.given.extend(addresses.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        let tools = vec![
            ToolSpec::new("search", Origin::Private, ToolEffect::Read),
            ToolSpec::new("web_search", Origin::Stranger, ToolEffect::Egress),
            ToolSpec::new("fetch", Origin::Stranger, ToolEffect::Egress),
            ToolSpec::new("delete", Origin::Private, ToolEffect::Write),
        ];
        Policy::new(tools, "What says https://a.example/x?")
    }

    #[test]
    fn what_a_model_composes_stays_after_private_and_foreign_text() {
        let mut policy = policy();
        assert!(policy.check("fetch", "https://b.example/?q=made+up").is_ok());
        policy.has_read("search", &[]);
        assert!(policy.check("web_search", "secret of the documents").is_ok());
        policy.has_read("web_search", &["https://found.example/".to_owned()]);
        assert!(policy.check("fetch", "https://b.example/?q=secret").is_err());
        assert!(policy.check("web_search", "secret of the documents").is_err());
        assert!(policy.check("fetch", "https://found.example/").is_ok());
        assert!(policy.check("fetch", "https://found.example/?q=secret").is_err());
        assert!(policy.check("web_search", "What says https://a.example/x?").is_ok());
        assert!(policy.check("search", "anything").is_ok());
    }

    #[test]
    fn tools_that_write_do_not_exist() {
        assert!(policy().check("delete", "").unwrap_err().contains("there is no tool delete"));
    }
}
