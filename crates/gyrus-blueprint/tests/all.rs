//! All tests of this crate from outside, as one program: each program more is linked with the whole library again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod drawing;
mod errors;
mod in_nir;
mod neurons;
mod nir;
mod nir_damage;
mod nir_written;
mod presets;
mod properties;
mod toml;
mod vision_nodes;
