//! The tensors of a model file or folder, by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gyrus_files::hexadecimal;
use sha2::{Digest, Sha256};

use crate::{Error, Result, Tensor};

/// Tensors by name, and the file they come from.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Tensors by name, read from `path`.
    #[must_use]
    pub fn new(path: &Path, tensors: BTreeMap<String, Tensor>) -> Self {
        Self { path: path.to_owned(), tensors }
    }

    /// The file or folder that they were read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors.
    #[must_use]
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// SHA-256 over names, formats, shapes and weights, in hexadecimal. Reads every byte.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for (name, tensor) in &self.tensors {
            // The description ends in a character that no name contains, so that different tensors never hash alike.
            hash.update(format!("{name:?} {} {:?}\0", tensor.format().name(), tensor.shape()));
            hash.update(tensor.bytes());
        }
        hexadecimal(&hash.finalize())
    }

    /// Removes and returns a tensor, which must be present and have this shape.
    ///
    /// # Errors
    /// [`Error::Tensor`] if it is missing or has another shape.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let found = self.tensors.remove(name);
        let tensor =
            found.ok_or_else(|| Error::tensor(&self.path, name, "no such tensor", format!("{shape:?}")))?;
        if tensor.shape() != shape {
            let got = format!("the shape {:?}", tensor.shape());
            return Err(Error::tensor(&self.path, name, got, format!("{shape:?}")));
        }
        Ok(tensor)
    }

    /// Adds a tensor, or replaces the one of this name.
    pub fn insert(&mut self, name: &str, tensor: Tensor) {
        self.tensors.insert(name.to_owned(), tensor);
    }
}
