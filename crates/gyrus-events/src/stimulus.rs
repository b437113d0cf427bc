//! Samples: their kinds, and their input at each step.

use gyrus_kernels::events::list_spikes;

use crate::signal::Signal;

/// Kind of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StimulusKind {
    /// A current that is the same at every step.
    Constant,
    /// Numbers that enter at the first step only; nodes that follow without neurons in between run at that step only.
    Once,
    /// Numbers of each step.
    Frames,
    /// Spikes of each step.
    Spikes,
}

/// A sample, channels-last.
#[derive(Clone, Copy, Debug)]
pub enum Stimulus<'a> {
    /// `[elements]`
    Constant(&'a [f32]),
    /// `[elements]`
    Once(&'a [f32]),
    /// `[steps, elements]`
    Frames(&'a [f32]),
    /// Packed spikes, `[steps, words(elements)]`.
    Spikes(&'a [u32]),
}

impl Stimulus<'_> {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> StimulusKind {
        match self {
            Self::Constant(_) => StimulusKind::Constant,
            Self::Once(_) => StimulusKind::Once,
            Self::Frames(_) => StimulusKind::Frames,
            Self::Spikes(_) => StimulusKind::Spikes,
        }
    }
}

/// Writes the sample's numbers or spikes of one step to `to`.
pub(crate) fn enter(stimulus: Stimulus<'_>, step: usize, inputs: usize, to: &mut Signal) {
    match stimulus {
        Stimulus::Constant(x) | Stimulus::Once(x) => to.row.copy_from_slice(x),
        Stimulus::Frames(x) => to.row.copy_from_slice(&x[step * inputs..][..inputs]),
        Stimulus::Spikes(bits) => {
            let words = inputs.div_ceil(u32::BITS as usize);
            to.events.clear();
            list_spikes(&bits[step * words..][..words], &mut to.events);
        }
    }
}
