//! The tensors of a file or folder by name, each taken out by who knows its shape.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gyrus_files::hexadecimal;
use sha2::{Digest, Sha256};

use crate::{Error, Result, Tensor};

/// Tensors by name, and where they come from.
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

    /// SHA-256 over names, formats, shapes and weights, in hexadecimal. Reads all of them.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for (name, tensor) in &self.tensors {
            // The description ends in a character that is in no name, so that parts cannot be taken for others.
            hash.update(format!("{name:?} {} {:?}\0", tensor.format().name(), tensor.shape()));
            hash.update(tensor.bytes());
        }
        hexadecimal(&hash.finalize())
    }

    /// Takes a tensor out; it must be there, with this shape.
    ///
    /// # Errors
    /// [`Error::Tensor`] where it is not.
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

    /// Puts a tensor in the place of the one with this name, or beside the others.
    pub fn insert(&mut self, name: &str, tensor: Tensor) {
        self.tensors.insert(name.to_owned(), tensor);
    }
}
