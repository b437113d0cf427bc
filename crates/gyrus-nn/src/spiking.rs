//! Settings of a spiking network: steps, encoder, readout, surrogate gradient.

mod encoder;
mod readout;
mod sample;
mod settings;
mod surrogate;

pub use encoder::{Encoder, Intensity, rounded};
pub use readout::Readout;
pub use sample::EncodedSample;
pub use settings::SpikingSettings;
pub use surrogate::{SURROGATE_NAMES, surrogate};
