//! All tests of this crate from outside, as one program: each program more is linked with the whole library again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ask;
mod common;
mod damage;
mod determinism;
mod devices;
mod disk;
mod event_body;
mod events;
mod examples;
mod learn_text;
mod learning;
mod nir;
mod nir_inputs;
mod one_neuron;
mod people;
mod pictures;
mod program;
mod quantize;
mod readme;
mod refusals;
mod sculpt;
mod see;
mod see_network;
mod serve;
mod serve_load;
mod serve_requests;
mod serving;
mod simulate;
mod simulate_learning;
mod snapshots;
mod spike;
mod spiking;
mod text_inputs;
mod tidy;
mod transfer;
mod tune;
mod write;
