//! All tests of this crate from outside, as one program: each program more is linked with the whole library again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attribution;
mod checkpoints;
mod families;
mod onnx;
mod publish;
mod published;
mod transformers;
mod two_towers;
mod views;
