//! Signals between units, events or numbers, and their forms.

/// Form of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The same numbers at every step.
    Constant,
    /// Events without numbers: spikes.
    Binary,
    /// Events with one number each.
    Graded,
    /// Numbers for all elements, at every step.
    Dense,
}

impl Form {
    pub(crate) fn events(self) -> bool {
        matches!(self, Self::Binary | Self::Graded)
    }
}

/// A signal at one step: events or numbers, as its [`Form`] says.
#[derive(Clone, Default)]
pub(crate) struct Signal {
    /// Elements that spiked, ascending.
    pub(crate) events: Vec<u32>,
    /// A number per event, if graded.
    pub(crate) values: Vec<f32>,
    /// A number per element, if constant or dense.
    pub(crate) row: Vec<f32>,
    /// Packed spikes instead of events, if [`Unit::packed`](crate::plan::Unit::packed) is set.
    pub(crate) words: Vec<u32>,
}

impl Signal {
    /// Resets the signal to silence.
    pub(crate) fn begin(&mut self, form: Form, elements: usize) {
        self.events.clear();
        self.values.clear();
        self.row.clear();
        self.words.clear();
        if !form.events() {
            self.row.resize(elements, 0.0);
        }
    }

    /// Writes the numbers of all elements to `to`.
    pub(crate) fn write(&self, form: Form, to: &mut [f32]) {
        if !form.events() {
            to.copy_from_slice(&self.row);
            return;
        }
        to.fill(0.0);
        for (at, &event) in self.events.iter().enumerate() {
            to[event as usize] = self.values.get(at).copied().unwrap_or(1.0);
        }
    }

    /// Copies another signal into this one's memory.
    pub(crate) fn copy_from(&mut self, other: &Signal) {
        self.events.clone_from(&other.events);
        self.values.clone_from(&other.values);
        self.row.clone_from(&other.row);
        self.words.clone_from(&other.words);
    }
}
