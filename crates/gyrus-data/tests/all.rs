//! All tests of this crate from outside, as one program: each program more is linked with the whole library again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod failing;
#[cfg(feature = "hub")]
mod hub;
mod image_files;
mod ink;
mod recordings;
mod recordings_damage;
mod resize;
mod standard_files;
mod table_encoding;
mod tables;
