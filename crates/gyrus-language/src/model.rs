//! Model files: opening them ([`Parts::open`], [`gguf`], [`llama2c`]) and writing them for other programs ([`write_folder`],
//! [`gguf::write()`]).

mod export;
pub mod gguf;
pub mod llama2c;
mod open;
mod parts;
mod templates;

pub use export::{DESCRIBING_FILES, write_folder, write_model_folder};
pub use parts::{Model, Parts};
