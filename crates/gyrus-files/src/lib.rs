//! Files: atomic replacement, bounded reads, text in its usual encodings, and named arrays as safetensors.
//!
//! [`write_atomically`] replaces a file so that a crash at any time leaves either the old content or the new.
//! [`read_bounded`] reads a file up to a size limit, [`read_text`] a text as people have it.
//! [`to_safetensors`] and [`from_safetensors`] turn a [`State`], arrays of 32-bit floats by name, into the bytes of a
//! safetensors file and back; [`from_npy`] and [`to_npy`] do the same for one array in NumPy's format. [`counted`] writes
//! "1 image", "2 images". This crate depends on nothing else of Gyrus.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use gyrus_files::{State, StateTensor, from_safetensors, to_safetensors, write_atomically};
//!
//! let state = State::from([("bias".to_owned(), StateTensor { shape: vec![2], values: vec![0.5, -1.0] })]);
//! let path = std::env::temp_dir().join(format!("gyrus-files-{}.safetensors", std::process::id()));
//! write_atomically(&path, &to_safetensors(&state, &BTreeMap::new())?)?;
//! let (read, _metadata) = from_safetensors(&std::fs::read(&path)?)?;
//! assert_eq!(read, state);
//! # std::fs::remove_file(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arrays;
mod atomic;
mod counted;
mod error;
mod hexadecimal;
mod npy;
mod read;
mod text;

pub use arrays::{State, StateTensor, from_safetensors, to_safetensors};
pub use atomic::{fill_atomically, is_temporary, remove_temporaries, write_atomically};
pub use counted::counted;
pub use error::{Error, Result};
pub use hexadecimal::hexadecimal;
pub use npy::{from_npy, to_npy};
pub use read::read_bounded;
pub use text::{decode_text, read_text};
