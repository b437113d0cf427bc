//! All tests of this crate from outside, as one program: each program more is linked with the whole library again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod closed_forms;
mod common;
mod conversion;
mod counts;
mod golden;
mod network;
mod networks_in_time;
mod neurobench;
mod neurons_of_peers;
mod nir;
mod refusals;
mod vision_nodes;
