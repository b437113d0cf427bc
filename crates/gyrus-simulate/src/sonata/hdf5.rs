//! HDF5 files of SONATA, read within bounds: an array never takes more memory than its file can hold.

use std::path::{Path, PathBuf};

use hdf5_pure::{AttrValue, DType, Dataset, File, Layout};

use crate::error::in_file;
use crate::{Error, Result};

/// Decoded bytes allowed for a compressed array, on top of [`EXPANSION`] for each byte of the file.
const BUDGET: u64 = 256 << 20;
const EXPANSION: u64 = 32;

/// An open file.
pub(super) struct Tree {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl Tree {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let unreadable = |source| Error::Read { path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(unreadable(std::io::Error::other("not a file")));
        }
        let file = File::open(path).map_err(|error| in_file(path, "", format!("not HDF5: {error}")))?;
        Ok(Self { file, path: path.to_owned(), bytes: metadata.len() })
    }

    pub(super) fn wrong(&self, place: &str, problem: impl Into<String>) -> Error {
        in_file(&self.path, place, problem)
    }

    /// Names of the groups in a group, sorted.
    pub(super) fn groups(&self, place: &str) -> Result<Vec<String>> {
        let group = self.file.group(place).map_err(|error| self.wrong(place, error.to_string()))?;
        let mut names = group.groups().map_err(|error| self.wrong(place, error.to_string()))?;
        names.sort();
        Ok(names)
    }

    /// Whether there is such an array.
    pub(super) fn has(&self, place: &str) -> bool {
        self.file.dataset(place).is_ok()
    }

    /// A text attribute of an array.
    pub(super) fn text(&self, place: &str, name: &str) -> Option<String> {
        let attributes = self.file.dataset(place).ok()?.attrs().ok()?;
        attributes.get(name).and_then(AttrValue::as_str).map(str::to_owned)
    }

    /// Whole numbers of at least 0.
    pub(super) fn wholes(&self, place: &str) -> Result<Vec<u64>> {
        let array = self.array(place)?;
        let wrong = |error: hdf5_pure::Error| self.wrong(place, error.to_string());
        match array.dtype().map_err(wrong)? {
            DType::U8 | DType::U16 | DType::U32 | DType::U64 => array.read_u64().map_err(wrong),
            DType::I8 | DType::I16 | DType::I32 | DType::I64 => {
                let values = array.read_i64().map_err(wrong)?;
                let values: Result<Vec<u64>, _> = values.into_iter().map(u64::try_from).collect();
                values.map_err(|_| self.wrong(place, "it holds a negative number; expected none below 0"))
            }
            other => Err(self.wrong(place, format!("it holds {other}; expected whole numbers"))),
        }
    }

    /// Finite numbers; whole ones are converted.
    pub(super) fn numbers(&self, place: &str) -> Result<Vec<f64>> {
        let array = self.array(place)?;
        let wrong = |error: hdf5_pure::Error| self.wrong(place, error.to_string());
        let values = match array.dtype().map_err(wrong)? {
            DType::F32 | DType::F64 => array.read_f64().map_err(wrong)?,
            _ => self.wholes(place)?.into_iter().map(|value| value as f64).collect(),
        };
        match values.iter().position(|value| !value.is_finite()) {
            Some(place_in) => {
                Err(self
                    .wrong(place, format!("number {place_in} is {}; expected finite ones", values[place_in])))
            }
            None => Ok(values),
        }
    }

    /// Whether an array holds numbers.
    pub(super) fn is_numeric(&self, place: &str) -> bool {
        let kind = self.file.dataset(place).ok().and_then(|array| array.dtype().ok());
        !matches!(kind, None | Some(DType::String | DType::VariableLengthString))
    }

    /// An array of one dimension, whose size was checked.
    fn array(&self, place: &str) -> Result<Dataset> {
        let wrong = |error: hdf5_pure::Error| self.wrong(place, error.to_string());
        let array = self.file.dataset(place).map_err(wrong)?;
        let shape = array.shape().map_err(wrong)?;
        let [elements] = shape[..] else {
            return Err(self.wrong(place, format!("its shape is {shape:?}; expected one dimension")));
        };
        let size = array.element_size().map_err(wrong)?;
        let (chunk, limit) = match array.layout().map_err(wrong)? {
            Layout::Chunked { chunk_shape, .. } => {
                let chunk = chunk_shape.iter().try_fold(1u64, |product, extent| product.checked_mul(*extent));
                (chunk, BUDGET.saturating_add(self.bytes.saturating_mul(EXPANSION)))
            }
            _ => (Some(0), self.bytes),
        };
        let bytes = chunk.and_then(|chunk| elements.max(chunk).checked_mul(size));
        if bytes.is_none_or(|bytes| bytes > limit) {
            let problem =
                format!("its {elements} elements are more than a file of {} bytes can hold", self.bytes);
            return Err(self.wrong(place, problem));
        }
        Ok(array)
    }
}
