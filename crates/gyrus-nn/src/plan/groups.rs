//! How many rows of a batch a pass takes through a part of the plan at once.
//!
//! Activations of large images do not fit into the caches for a whole batch: each step would read them from memory and write them
//! back. A few rows do fit, and each thread can take its own. Behind layers that make the image smaller more rows fit, and the
//! weights, which are larger there, are read less often. So the plan is cut where a single activation is alive, and each part has its
//! own number of rows. An answer does not depend on the cuts: every kernel sums a row's numbers in the same order in any batch.

use core::ops::Range;

use gyrus_blueprint::Blueprint;

use super::{Plan, Source};

/// Floats of the largest activation of a group, about.
const FLOATS: usize = 1 << 20;
/// How many times as many rows the next part must allow to be a part of its own: the activation between parts is copied.
const WORTH: usize = 4;

/// Steps, and the rows that they take at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) steps: Range<usize>,
    pub(crate) rows: usize,
}

impl Plan {
    /// The parts of a plan of a dense network, in order.
    pub(crate) fn groups(&self, blueprint: &Blueprint) -> Vec<Group> {
        let Ok(shapes) = blueprint.shapes() else { return Vec::new() };
        let floats = |step: usize| shapes.output(self.steps[step].node).iter().product::<usize>();
        // The last step that reads the input, and each step's result.
        let (mut input, mut last) = (0, vec![0; self.steps.len()]);
        for (index, step) in self.steps.iter().enumerate() {
            for source in [Some(step.source), step.second].into_iter().flatten() {
                match source {
                    Source::Input => input = index,
                    Source::Step(step) => last[step] = index,
                }
            }
        }
        let mut groups: Vec<Group> = Vec::new();
        let (mut first, mut largest) = (0, 1);
        // The last use of everything but the latest result.
        let mut others = input;
        for index in 0..self.steps.len() {
            largest = largest.max(floats(index));
            let end = index + 1 == self.steps.len();
            if end || others <= index {
                let rows = (FLOATS / largest).max(1);
                match groups.last_mut() {
                    Some(group) if rows < WORTH * group.rows => {
                        group.steps.end = index + 1;
                        group.rows = group.rows.min(rows);
                    }
                    _ => groups.push(Group { steps: first..index + 1, rows }),
                }
                // The next part reads this result.
                (first, largest) = (index + 1, floats(index));
            }
            others = others.max(last[index]);
        }
        groups
    }
}
