//! Images with labels from a Parquet file as the Hugging Face hub stores them: one column is a group
//! `{bytes, path}` with an encoded image, the column `label` an integer.

use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use rayon::prelude::*;

use crate::{Error, Images, Result, image_files};

/// More rows than any data set that is read here has (CIFAR-10 and MNIST: 60,000 and less).
const MAXIMUM_ROWS: i64 = 300_000;

/// All images and labels of a file; each image must have `shape` (side, channels), each label be below 10.
pub(crate) fn read_parquet(
    path: &Path,
    image_column: &str,
    shape: (usize, usize),
) -> Result<(Images, Vec<u32>)> {
    let (side, channels) = shape;
    let damaged = |error: parquet::errors::ParquetError| {
        Error::mismatch(
            path,
            format!("a damaged Parquet file ({error})"),
            "an intact one: delete it and try again",
        )
    };
    let reader = SerializedFileReader::new(File::open(path).map_err(|source| Error::io(path, source))?)
        .map_err(damaged)?;
    let rows = reader.metadata().file_metadata().num_rows();
    if !(1..=MAXIMUM_ROWS).contains(&rows) {
        return Err(Error::mismatch(path, format!("{rows} rows"), format!("1 to {MAXIMUM_ROWS}")));
    }

    let mut labels = Vec::new();
    let mut encoded = Vec::new();
    for (number, row) in reader.get_row_iter(None).map_err(damaged)?.enumerate() {
        let (mut bytes, mut label) = (None, None);
        for (name, field) in row.map_err(damaged)?.into_columns() {
            match field {
                Field::Group(group) if name == image_column => {
                    bytes = group.into_columns().into_iter().find_map(|(name, field)| match field {
                        Field::Bytes(bytes) if name == "bytes" => Some(bytes),
                        _ => None,
                    });
                }
                Field::Long(value) if name == "label" => {
                    label = u32::try_from(value).ok().filter(|label| *label < 10);
                }
                _ => {}
            }
        }
        let (Some(bytes), Some(label)) = (bytes, label) else {
            let expected = format!("'{image_column}' with the bytes of an image and a 'label' from 0 to 9");
            return Err(Error::mismatch(path, format!("row {number} without them"), expected));
        };
        encoded.push(bytes);
        labels.push(label);
    }

    let decode = |(number, bytes): (usize, &parquet::data_type::ByteArray)| {
        let wrong = |got: String| {
            Error::mismatch(path, format!("{got} in row {number}"), format!("an image of {side} by {side}"))
        };
        let (width, height) =
            image_files::dimensions(bytes.data()).map_err(|error| wrong(error.to_string()))?;
        if (width as usize, height as usize) != (side, side) {
            return Err(wrong(format!("{width} by {height} pixels")));
        }
        image_files::decode(bytes.data(), side, side, channels).map_err(|error| wrong(error.to_string()))
    };
    let images = encoded.par_iter().enumerate().map(decode).collect::<Result<Vec<_>>>()?;
    let images = Images { pixels: images.concat(), count: labels.len(), height: side, width: side, channels };
    Ok((images, labels))
}
