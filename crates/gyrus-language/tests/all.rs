//! All tests of this crate from outside, as one program: each program more is linked with the whole library again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attention_maps;
mod chat_templates;
mod common;
mod constraints;
mod damage;
mod decoders;
mod encoders;
mod engine;
mod gguf_of_others;
mod published;
mod see;
mod stories;
mod tokens;
mod vocabularies;
