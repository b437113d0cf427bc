//! HDF5 files as plain trees of groups, arrays and strings, read within limits and written.
//!
//! NIR uses little of HDF5: groups, numeric arrays (contiguous, or in chunks compressed by gzip) and strings of variable
//! length. [`read`] loads everything into memory, and checks each size against the file's before it allocates: an
//! uncompressed array must lie within the file; compressed data, and data linked from many places, must fit into a budget of
//! 256 MiB plus 32 times the file. Depth and number of objects are limited too, so groups that contain themselves end in an
//! error. Cost: two copies of the numbers, in the file's bytes and decoded.

use std::collections::BTreeMap;

use hdf5_pure::{DType, Dataset, File, FileBuilder, GroupBuilder, Layout, VlenStringReadOptions};

use crate::{Error, MAX_EDGES, MAX_NODES, Result};

/// Deepest nesting of groups; each nested graph takes two levels.
const MAX_DEPTH: usize = 64;
/// Groups and arrays of a file together.
const MAX_OBJECTS: usize = 20 * MAX_NODES;
/// Decoded bytes allowed for any file, on top of [`EXPANSION`].
const BUDGET: u64 = 256 << 20;
/// Decoded bytes allowed per byte of the file.
const EXPANSION: u64 = 32;
/// The longest edge of a chunk. With longer ones `hdf5-pure` 0.47 writes files that the HDF5 library, and so Python's `nir`,
/// refuses ("stored chunk dimension encoding length does not match").
const MOST_OF_CHUNK: u64 = 65_535;
/// Shorter arrays are not worth compressing.
const LEAST_PACKED: usize = 256;

/// One group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tree {
    pub(super) fields: BTreeMap<String, Field>,
    pub(super) groups: BTreeMap<String, Tree>,
}

/// One dataset, row-major; an empty shape is a scalar.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) shape: Vec<usize>,
    pub(super) data: Data,
}

/// The types that NIR files hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Text(Vec<String>),
    Whole(Vec<i64>),
    Single(Vec<f32>),
    Double(Vec<f64>),
}

impl Data {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Whole(values) => values.len(),
            Self::Single(values) => values.len(),
            Self::Double(values) => values.len(),
        }
    }
}

impl Field {
    pub(super) fn text(text: &str) -> Self {
        Self { shape: Vec::new(), data: Data::Text(vec![text.to_owned()]) }
    }

    pub(super) fn whole(value: i64) -> Self {
        Self { shape: Vec::new(), data: Data::Whole(vec![value]) }
    }

    pub(super) fn double(value: f64) -> Self {
        Self { shape: Vec::new(), data: Data::Double(vec![value]) }
    }

    pub(super) fn wholes(values: &[usize]) -> Self {
        // Extents are at most 2³¹, as a blueprint checks.
        let data = values.iter().map(|&value| value as i64).collect();
        Self { shape: vec![values.len()], data: Data::Whole(data) }
    }
}

/// Reads a whole file.
pub(super) fn read(bytes: Vec<u8>) -> Result<Tree> {
    let not_nir = |error: hdf5_pure::Error| Error::NotNir { reason: error.to_string() };
    let length = bytes.len() as u64;
    let file = File::from_bytes(bytes).map_err(not_nir)?;
    let budget = BUDGET.saturating_add(length.saturating_mul(EXPANSION));
    Reader { length, budget, objects: 0 }.group(&file.root(), String::new(), 0)
}

/// What remains of the limits.
struct Reader {
    length: u64,
    budget: u64,
    objects: usize,
}

impl Reader {
    fn group(&mut self, group: &hdf5_pure::Group, place: String, depth: usize) -> Result<Tree> {
        if depth > MAX_DEPTH {
            let problem = format!("groups lie more than {MAX_DEPTH} deep; a group may contain itself");
            // The beginning of such a long path is enough.
            let place = place.split('/').take(8).collect::<Vec<_>>().join("/") + "/...";
            return Err(Error::NirData { place, problem });
        }
        let wrong = |error: hdf5_pure::Error| Error::NirData {
            place: if place.is_empty() { "/".to_owned() } else { place.clone() },
            problem: error.to_string(),
        };
        let mut tree = Tree::default();
        for (name, dataset) in group.iter_datasets().map_err(wrong)? {
            let place = format!("{place}/{name}");
            self.count(&place)?;
            let field = self.field(&dataset, &place)?;
            tree.fields.insert(name, field);
        }
        for (name, child) in group.iter_groups().map_err(wrong)? {
            let place = format!("{place}/{name}");
            self.count(&place)?;
            let child = self.group(&child, place, depth + 1)?;
            tree.groups.insert(name, child);
        }
        Ok(tree)
    }

    fn count(&mut self, place: &str) -> Result<()> {
        self.objects += 1;
        if self.objects > MAX_OBJECTS {
            let problem = format!("the file has more than {MAX_OBJECTS} groups and arrays");
            return Err(Error::NirData { place: place.to_owned(), problem });
        }
        Ok(())
    }

    fn field(&mut self, dataset: &Dataset, place: &str) -> Result<Field> {
        let refuse = |problem: String| Error::NirData { place: place.to_owned(), problem };
        let wrong = |error: hdf5_pure::Error| refuse(error.to_string());
        let extents = dataset.shape().map_err(wrong)?;
        let shape: Option<Vec<usize>> = extents.iter().map(|&extent| usize::try_from(extent).ok()).collect();
        let elements = extents.iter().try_fold(1u64, |product, &extent| product.checked_mul(extent));
        let (Some(shape), Some(elements)) = (shape, elements) else {
            return Err(refuse(format!("its shape {extents:?} exceeds all memory")));
        };
        let size = dataset.element_size().map_err(wrong)?;
        let layout = dataset.layout().map_err(wrong)?;
        // The largest allocation of decoding: all elements, or one chunk that may extend beyond them.
        let chunk = match &layout {
            Layout::Chunked { chunk_shape, .. } => {
                chunk_shape.iter().try_fold(1u64, |product, &extent| product.checked_mul(extent))
            }
            _ => Some(0),
        };
        let bytes = chunk.and_then(|chunk| elements.max(chunk).checked_mul(size));
        let limit = match layout {
            Layout::Chunked { .. } => self.budget,
            _ => self.budget.min(self.length),
        };
        let Some(bytes) = bytes.filter(|&bytes| bytes <= limit) else {
            return Err(refuse(format!(
                "its {elements} elements of {size} bytes (shape {extents:?}) are more than a file of {} bytes can hold",
                self.length
            )));
        };
        self.budget -= bytes;
        let data = match dataset.dtype().map_err(wrong)? {
            DType::F32 => Data::Single(dataset.read_f32().map_err(wrong)?),
            DType::F64 => Data::Double(dataset.read_f64().map_err(wrong)?),
            DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::U8 | DType::U16 | DType::U32 => {
                Data::Whole(dataset.read_i64().map_err(wrong)?)
            }
            DType::U64 => {
                let values = dataset.read_u64().map_err(wrong)?;
                let values: Result<Vec<i64>, _> = values.into_iter().map(i64::try_from).collect();
                Data::Whole(values.map_err(|_| refuse("it holds a whole number above 2^63".to_owned()))?)
            }
            DType::String => Data::Text(dataset.read_string().map_err(wrong)?),
            DType::VariableLengthString => {
                let payload = usize::try_from(self.budget.min(self.length)).unwrap_or(usize::MAX);
                let options = VlenStringReadOptions::new()
                    .with_max_elements(2 * MAX_EDGES)
                    .with_max_payload_bytes(payload);
                Data::Text(dataset.read_vlen_strings(options).map_err(wrong)?)
            }
            other => return Err(refuse(format!("it holds {other}; expected numbers or strings"))),
        };
        if let Data::Text(texts) = &data {
            // Several may refer to the same bytes of the file, and each becomes its own string.
            let bytes = texts.iter().map(|text| (text.len() + size_of::<String>()) as u64).sum();
            let left = self.budget.checked_sub(bytes);
            self.budget =
                left.ok_or_else(|| refuse("the file's strings are longer than it can hold".to_owned()))?;
        }
        if data.len() as u64 != elements {
            let problem =
                format!("it holds {} elements, but its shape {extents:?} needs {elements}", data.len());
            return Err(refuse(problem));
        }
        Ok(Field { shape, data })
    }
}

/// The bytes of a file with these contents.
pub(super) fn write(tree: Tree) -> Result<Vec<u8>> {
    let mut file = FileBuilder::new();
    for (name, field) in &tree.fields {
        put(file.create_dataset(name), field);
    }
    for (name, child) in tree.groups {
        let group = filled(file.create_group(&name), child);
        file.add_group(group.finish());
    }
    file.finish().map_err(|error| Error::NirWrite { reason: error.to_string() })
}

fn filled(mut group: GroupBuilder, tree: Tree) -> GroupBuilder {
    for (name, field) in &tree.fields {
        put(group.create_dataset(name), field);
    }
    for (name, child) in tree.groups {
        let child = filled(group.create_group(&name), child);
        group.add_group(child.finish());
    }
    group
}

fn put(dataset: &mut hdf5_pure::DatasetBuilder, field: &Field) {
    match &field.data {
        Data::Text(values) => {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            dataset.with_vlen_strings(&values);
        }
        Data::Whole(values) => {
            dataset.with_i64_data(values);
        }
        Data::Single(values) => {
            dataset.with_f32_data(values);
        }
        Data::Double(values) => {
            dataset.with_f64_data(values);
        }
    }
    let shape: Vec<u64> = field.shape.iter().map(|&extent| extent as u64).collect();
    dataset.with_shape(&shape);
    if field.data.len() >= LEAST_PACKED && !matches!(field.data, Data::Text(_)) {
        let chunk: Vec<u64> = shape.iter().map(|&extent| extent.clamp(1, MOST_OF_CHUNK)).collect();
        dataset.with_chunks(&chunk).with_deflate(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_edge_of_a_chunk_is_longer_than_the_hdf5_library_reads() {
        let data = Data::Single((0..70_000u32).map(|index| index as f32).collect());
        let length = data.len();
        let tree = Tree {
            fields: BTreeMap::from([("weight".to_owned(), Field { shape: vec![length, 1], data })]),
            ..Tree::default()
        };
        let bytes = write(tree.clone()).unwrap();
        let file = File::from_bytes(bytes.clone()).unwrap();
        let layout = file.dataset("weight").unwrap().layout().unwrap();
        assert!(
            matches!(&layout, Layout::Chunked { chunk_shape, .. } if chunk_shape[..] == [65_535, 1]),
            "{layout:?}"
        );
        assert_eq!(read(bytes).unwrap(), tree);
    }
}
