//! MNIST and Fashion-MNIST from their standard four IDX files, gzipped or not.

use std::path::Path;

use crate::{Dataset, Error, Images, Result, idx, read};

/// More images than any ten-class set in MNIST's format has (EMNIST Digits: 240,000).
const MAXIMUM_COUNT: u64 = 300_000;
const SIDE: usize = 28;

/// The names of Fashion-MNIST's classes.
pub(crate) const FASHION_CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// The names of MNIST's classes.
pub(crate) const DIGIT_CLASSES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// MNIST from a folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
/// `t10k-labels-idx1-ubyte` (also spelled `train-images.idx3-ubyte`, each with or without `.gz`).
///
/// # Errors
/// A file that is missing, damaged, of another shape than 28 by 28, or whose labels do not match its images.
pub fn mnist(directory: &Path) -> Result<Dataset> {
    from_idx("mnist", &DIGIT_CLASSES, directory)
}

/// Fashion-MNIST; files and errors as for [`mnist`].
///
/// # Errors
/// As for [`mnist`].
pub fn fashion_mnist(directory: &Path) -> Result<Dataset> {
    from_idx("fashion-mnist", &FASHION_CLASSES, directory)
}

fn from_idx(name: &str, classes: &[&str; 10], directory: &Path) -> Result<Dataset> {
    let train = part(directory, "train", "training")?;
    let test = part(directory, "t10k", "test")?;
    Ok(Dataset::of_images(name, classes.map(str::to_owned).to_vec(), train, test))
}

/// The images and labels of one part.
fn part(directory: &Path, prefix: &str, part: &str) -> Result<(Images, Vec<u32>)> {
    let find = |what: &str, dimensions: u8| {
        let hyphen = format!("{prefix}-{what}-idx{dimensions}-ubyte");
        let dot = format!("{prefix}-{what}.idx{dimensions}-ubyte");
        read::find(directory, &format!("{part} {what}"), &[&hyphen, &dot])
    };
    let images_path = find("images", 3)?;
    let labels_path = find("labels", 1)?;

    let images = idx::read(read::open(&images_path)?, &images_path, 3, MAXIMUM_COUNT * (SIDE * SIDE) as u64)?;
    let count = images.shape[0];
    if images.shape[1..] != [SIDE, SIDE] {
        let got = format!("images of {} by {} pixels", images.shape[1], images.shape[2]);
        return Err(Error::format(&images_path, 8, got, format!("{SIDE} by {SIDE}")));
    }
    let labels = idx::read(read::open(&labels_path)?, &labels_path, 1, MAXIMUM_COUNT)?;
    if labels.shape[0] != count {
        let got = format!("{} labels", labels.shape[0]);
        let expected = format!("{count}, one for each image of {}", images_path.display());
        return Err(Error::format(&labels_path, 4, got, expected));
    }
    if let Some(at) = labels.values.iter().position(|label| *label > 9) {
        let got = format!("the label {}", labels.values[at]);
        return Err(Error::format(&labels_path, 8 + at as u64, got, "a label from 0 to 9"));
    }
    let images = Images { pixels: images.values, count, height: SIDE, width: SIDE, channels: 1 };
    Ok((images, labels.values.into_iter().map(u32::from).collect()))
}
