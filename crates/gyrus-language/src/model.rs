//! A model as people have it: opened from the known files and folders ([`Parts::open`], [`gguf`], [`llama2c`]), and
//! written for others ([`write_folder`], [`gguf::write()`]).

mod export;
pub mod gguf;
pub mod llama2c;
mod open;
mod parts;

pub use export::{write_folder, write_model_folder};
pub use parts::{Model, Parts};
