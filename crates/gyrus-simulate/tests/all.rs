//! All tests of this crate from outside, as one program: each program more is linked with the whole library again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod circuit_files;
mod common;
mod competition;
mod plasticity;
mod processes;
mod published;
mod references;
mod rules;
mod simulation;
mod sonata;
mod timed_changes;
mod traces;
