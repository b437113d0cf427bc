//! All tests of this crate from outside, as one program: each program more is linked with the whole library again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "documents")]
mod bad_input;
#[cfg(feature = "documents")]
mod claims;
mod common;
mod gold;
mod grader;
mod grammar;
#[cfg(feature = "documents")]
mod research;
#[cfg(feature = "documents")]
mod research_data;
#[cfg(feature = "documents")]
mod retrieval;
mod semantics;
#[cfg(all(feature = "documents", feature = "network"))]
mod web;
