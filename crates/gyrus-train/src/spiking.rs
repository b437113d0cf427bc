//! Spiking networks: calibration before a conversion, evaluation over time, energy estimates, and what `run.json` says of them.

pub(crate) mod activity;
pub(crate) mod agreement;
pub(crate) mod calibrate;
pub(crate) mod conversion;
pub mod energy;
pub(crate) mod over_time;
