//! Named arrays of 32-bit floats, such as the parameters of a network, in memory and as a safetensors file.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, View, serialize};

use crate::{Error, Result};

/// A row-major array.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateTensor {
    /// Its shape, as in PyTorch.
    pub shape: Vec<usize>,
    /// As many values as the shape has elements.
    pub values: Vec<f32>,
}

/// Arrays by name; in a network, names are `<node>.<parameter>`.
pub type State = BTreeMap<String, StateTensor>;

/// An array to be written; its bytes are made only when needed.
struct Written<'a>(&'a StateTensor);

impl View for Written<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.0.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        size_of_val(&self.0.values[..])
    }
}

/// The bytes of a safetensors file with these arrays and `metadata`. Equal input gives equal bytes.
///
/// # Errors
/// [`Error::Safetensors`] if a shape does not match the number of values.
pub fn to_safetensors(state: &State, metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let count = |shape: &[usize]| shape.iter().try_fold(1usize, |all, &extent| all.checked_mul(extent));
    let wrong = state.iter().find(|(_, tensor)| count(&tensor.shape) != Some(tensor.values.len()));
    if let Some((name, StateTensor { shape, values })) = wrong {
        let reason = format!("`{name}` has {} values for the shape {shape:?}", values.len());
        return Err(Error::Safetensors { reason });
    }
    let views = state.iter().map(|(name, tensor)| (name, Written(tensor)));
    // The writer sorts tensors, not metadata: with one key at most, equal input gives equal bytes.
    let metadata: HashMap<String, String> = metadata.clone().into_iter().collect();
    serialize(views, (!metadata.is_empty()).then_some(metadata)).map_err(refused)
}

fn refused(error: SafeTensorError) -> Error {
    Error::Safetensors { reason: error.to_string() }
}

/// Reads the arrays and the metadata from the bytes of a safetensors file of F32 tensors.
///
/// # Errors
/// [`Error::Safetensors`] if the file is malformed, [`Error::TensorType`] if it holds other number types.
pub fn from_safetensors(bytes: &[u8]) -> Result<(State, BTreeMap<String, String>)> {
    let refused = |error: safetensors::SafeTensorError| Error::Safetensors { reason: error.to_string() };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(refused)?;
    let metadata = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
    let file = SafeTensors::deserialize(bytes).map_err(refused)?;
    let mut state = State::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(Error::TensorType { name: name.into(), dtype: format!("{:?}", view.dtype()) });
        }
        let (chunks, _) = view.data().as_chunks::<4>();
        let values = chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        state.insert(name.into(), StateTensor { shape: view.shape().to_vec(), values });
    }
    Ok((state, metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_round_trips_and_damage_is_refused() {
        let mut state = State::new();
        state.insert("a.weight".into(), StateTensor { shape: vec![2, 3], values: vec![0.5; 6] });
        state.insert("b".into(), StateTensor { shape: vec![1], values: vec![-1.0] });
        let metadata = BTreeMap::from([("k".to_string(), "v".to_string())]);
        let bytes = to_safetensors(&state, &metadata).unwrap();
        assert_eq!(bytes, to_safetensors(&state, &metadata).unwrap());
        assert_eq!(from_safetensors(&bytes).unwrap(), (state, metadata));
        for cut in [0, 7, 8, 20, bytes.len() - 1] {
            assert!(from_safetensors(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut huge = bytes.clone();
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(from_safetensors(&huge).is_err());
    }
}
