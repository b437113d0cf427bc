//! Tests of this crate, in one program.
#![allow(clippy::unwrap_used)]

mod learning;
