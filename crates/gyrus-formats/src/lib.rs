//! Model files as people have them: safetensors, GGUF and PyTorch's own, opened as tensors by name.
//!
//! A [`Checkpoint`] holds a file's [`Tensor`]s by name. Their numbers stay in the mapped file, in the format in which they
//! are stored ([`Format`]), and the kernels read them there. [`safetensors::read_folder`], [`gguf::Gguf::parse`] and
//! [`pytorch::read`] open the three kinds of files. With the feature `hub`, `hub::Hub` downloads models and data sets. This crate knows no model: which tensors belong together is the
//! business of the crates that use it.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use gyrus_formats::{Tensor, safetensors};
//!
//! let folder = std::env::temp_dir().join(format!("gyrus-formats-{}", std::process::id()));
//! std::fs::create_dir_all(&folder)?;
//! let weight = Tensor::of_floats(vec![2, 3], vec![0.5; 6]);
//! safetensors::write(&folder, &BTreeMap::from([("layer.weight".to_owned(), weight)]))?;
//!
//! let mut checkpoint = safetensors::read_folder(&folder)?;
//! let weight = checkpoint.take("layer.weight", &[2, 3])?;
//! let mut output = [0.0; 2];
//! weight.linear(&[1.0, 1.0, 2.0], &mut output);
//! assert_eq!(output, [2.0, 2.0]);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bytes;
mod checkpoint;
mod error;
pub mod gguf;
#[cfg(feature = "hub")]
pub mod hub;
pub mod pytorch;
pub mod safetensors;
mod tensor;

pub use bytes::Bytes;
pub use checkpoint::Checkpoint;
pub use error::{Error, Result};
pub use gyrus_kernels::stored::Format;
pub use tensor::Tensor;
