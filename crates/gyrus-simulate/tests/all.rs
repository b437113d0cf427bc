//! All tests of this crate from outside, as one program: each program more is linked with the whole library again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod circuit_files;
mod common;
mod plasticity;
mod published;
mod rules;
mod simulation;
mod sonata;
mod traces;
