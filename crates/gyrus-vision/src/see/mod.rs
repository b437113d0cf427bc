//! What each layer of a network has learned: which patches excite its units and what they are selective for, what a best
//! picture of a unit looks like, where a decision came from, and how representations change with depth.
//!
//! Every view is a function on plain data. [`layers()`] says what the layers and their units are. [`Collector`] gathers what
//! units do over many examples. [`Attribution`] explains one answer. [`maximize()`] synthesizes. [`gabor`], [`probe`],
//! [`similarity`] and [`circuits`] give the numbers of the field; [`spikes`] looks at spiking networks.

pub mod attention;
pub mod attribution;
pub mod circuits;
pub mod gabor;
mod layers;
pub mod maximize;
pub mod probe;
pub mod similarity;
pub mod spikes;
mod statistics;

use gyrus_blueprint::Shapes;

pub use attribution::{Attribution, Method};
pub use layers::{Layer, Patch, ReceptiveField, layers, receptive_fields};
pub use maximize::{Maximize, maximize};
pub use statistics::{Collector, Excitation, LayerStatistics, UnitStatistics, grid_means};

/// Bytes that the signals of one batch, and their gradients, may take.
const MOST_BYTES: usize = 1 << 30;

/// How many inputs pass a network at once, at most `most`: few where its signals are large.
#[must_use]
pub fn rows_of_batch(shapes: &Shapes, most: usize) -> usize {
    let numbers = |&node: &usize| shapes.output(node).iter().product::<usize>();
    let numbers = shapes.order().iter().map(numbers).fold(1usize, usize::saturating_add);
    (MOST_BYTES / numbers.saturating_mul(8)).clamp(1, most.max(1))
}
