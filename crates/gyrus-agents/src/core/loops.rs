//! Runs that go in circles: the same call again and again, or calls that find nothing new.

use std::collections::HashMap;

/// Notices repeated calls and rounds without anything new.
#[derive(Clone, Debug)]
pub struct LoopDetector {
    calls: HashMap<String, u32>,
    /// Calls of tools without new evidence, one after another.
    fruitless: u32,
    /// How often the same call may be made.
    pub most_repeats: u32,
    /// How many calls in a row may find nothing new.
    pub most_fruitless: u32,
}

impl Default for LoopDetector {
    fn default() -> Self {
        Self { calls: HashMap::new(), fruitless: 0, most_repeats: 2, most_fruitless: 6 }
    }
}

impl LoopDetector {
    /// Counts a call by the name of its tool and its arguments.
    ///
    /// # Errors
    /// A sentence, if it was made too often.
    pub fn call(&mut self, tool: &str, arguments: &str) -> Result<(), String> {
        let count = self.calls.entry(format!("{tool} {arguments}")).or_default();
        *count += 1;
        if *count > self.most_repeats {
            return Err(format!("the call was made {} times already", *count - 1));
        }
        Ok(())
    }

    /// Counts what a call found.
    pub fn found(&mut self, new_evidence: usize) {
        self.fruitless = if new_evidence == 0 { self.fruitless + 1 } else { 0 };
    }

    /// Whether calls find nothing new any more.
    #[must_use]
    pub fn is_fruitless(&self) -> bool {
        self.fruitless >= self.most_fruitless
    }
}
