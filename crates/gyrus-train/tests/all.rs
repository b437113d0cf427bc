//! All tests of this crate from outside, as one program: each program more is linked with the whole library again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod devices;
mod run_folder;
