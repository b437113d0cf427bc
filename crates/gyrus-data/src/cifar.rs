//! CIFAR-10 in its binary version.
//!
//! A batch is a row of records without any header: one label byte, then 1,024 red, 1,024 green and 1,024 blue
//! bytes of an image of 32 by 32. Source: <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::io::Read;
use std::path::Path;

use crate::read::{self, Positioned};
use crate::{Dataset, Error, Images, Result};

/// Rows and columns of an image.
pub const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PLANE;

/// Records in a standard batch; more are refused.
const MAXIMUM_RECORDS: u64 = 10_000;

/// The names of the classes.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Reads one (decompressed) batch: images, channels last, and their labels; `path` is for the errors.
///
/// # Errors
/// [`Error::Format`] with the byte offset for an empty batch, a broken last record, more than 10,000 records, a
/// label above 9 or damaged gzip data; [`Error::Io`].
pub fn read_batch(reader: impl Read, path: &Path) -> Result<(Images, Vec<u32>)> {
    let mut reader = Positioned::new(reader, path);
    let bytes = reader.at_most(MAXIMUM_RECORDS * RECORD as u64)?;
    reader.end(&format!("the end of the batch after at most {MAXIMUM_RECORDS} records"))?;
    if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) {
        let whole = bytes.len() - bytes.len() % RECORD;
        let got = format!("the end of the file after {} bytes of a record", bytes.len() - whole);
        return Err(Error::format(path, bytes.len() as u64, got, format!("records of {RECORD} bytes")));
    }
    let count = bytes.len() / RECORD;
    let mut labels = Vec::with_capacity(count);
    let mut pixels = Vec::with_capacity(count * (RECORD - 1));
    for (number, record) in bytes.chunks_exact(RECORD).enumerate() {
        if record[0] > 9 {
            let offset = (number * RECORD) as u64;
            return Err(Error::format(
                path,
                offset,
                format!("the label {}", record[0]),
                "a label from 0 to 9",
            ));
        }
        labels.push(u32::from(record[0]));
        let planes = &record[1..];
        pixels.extend((0..PLANE).flat_map(|at| [planes[at], planes[PLANE + at], planes[2 * PLANE + at]]));
    }
    Ok((Images { pixels, count, height: SIDE, width: SIDE, channels: 3 }, labels))
}

/// CIFAR-10 from a folder with `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, each with or
/// without `.gz`, there or in its sub-folder `cifar-10-batches-bin`.
///
/// Fewer training batches are accepted and noted, as is `test_batch_first1000.bin` in place of the whole test.
///
/// # Errors
/// No training batch, no test batch, or a damaged one.
pub fn cifar10(directory: &Path) -> Result<Dataset> {
    let inner = directory.join("cifar-10-batches-bin");
    let directory = if inner.is_dir() { inner.as_path() } else { directory };
    let names: Vec<String> = (1..=5).map(|number| format!("data_batch_{number}.bin")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    read::find(directory, "training batch", &names)?;
    let found: Vec<_> =
        names.iter().filter_map(|name| read::find(directory, "training batch", &[name]).ok()).collect();
    let test_path = read::find(directory, "test batch", &["test_batch.bin", "test_batch_first1000.bin"])?;

    let mut train = Images { pixels: Vec::new(), count: 0, height: SIDE, width: SIDE, channels: 3 };
    let mut labels = Vec::new();
    for path in &found {
        let (batch, batch_labels) = read_batch(read::open(path)?, path)?;
        train.pixels.extend(batch.pixels);
        train.count += batch.count;
        labels.extend(batch_labels);
    }
    let test = read_batch(read::open(&test_path)?, &test_path)?;

    let (train_count, test_count) = (train.count, test.0.count);
    let mut dataset =
        Dataset::of_images("cifar10", CLASSES.map(str::to_owned).to_vec(), (train, labels), test);
    if found.len() < names.len() {
        let note = format!("{} of 5 training batches found: {train_count} images", found.len());
        dataset.notes.push(note);
    }
    if test_count < MAXIMUM_RECORDS as usize {
        let name = test_path.file_name().unwrap_or_default().to_string_lossy();
        dataset.notes.push(format!("{name} holds {test_count} of the 10000 test images"));
    }
    Ok(dataset)
}
