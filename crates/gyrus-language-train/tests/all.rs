//! All tests of this crate from outside, as one program: each program more is linked with the whole library again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../gyrus-language/tests/common/mod.rs"]
mod common;
mod devices;
mod families;
mod gradients;
mod peft;
