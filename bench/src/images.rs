//! The images that both sides of a workload use: the first training images of MNIST in one small file, so that neither side
//! holds the whole data set in memory or spends time decoding it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use gyrus_data::{Features, Targets};

/// Pixels per image.
pub(crate) const PIXELS: usize = 28 * 28;
/// Images in the file: the largest batch.
const COUNT: usize = 128;

/// Writes the file: 128 images of 784 bytes, then 128 labels of one byte. Returns its path.
///
/// # Errors
/// If the data are missing or damaged, or the file cannot be written.
pub(crate) fn write(data: Option<&Path>, to: &Path) -> Result<PathBuf> {
    let data = gyrus_data::mnist(&crate::whole::data_directory(data)?)?;
    let examples = data.train.subset(&(0..COUNT).collect::<Vec<_>>());
    let (Features::Images(images), Targets::Classes(classes)) = (examples.features, examples.targets) else {
        bail!("expected MNIST to be images with classes");
    };
    let mut bytes = images.pixels;
    bytes.extend(classes.iter().map(|&class| class as u8));
    std::fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(to.to_path_buf())
}

/// Reads the first `count` intensities (`[count, 784]`, 0 to 1) and labels of such a file.
///
/// # Errors
/// If the file cannot be read or has another length.
pub(crate) fn read(from: &Path, count: usize) -> Result<(Vec<f32>, Vec<u32>)> {
    let bytes = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if bytes.len() != COUNT * (PIXELS + 1) || count > COUNT {
        bail!("{}: {} bytes, expected {}", from.display(), bytes.len(), COUNT * (PIXELS + 1));
    }
    let (pixels, labels) = bytes.split_at(COUNT * PIXELS);
    let intensities = pixels[..count * PIXELS].iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    Ok((intensities, labels[..count].iter().map(|&label| u32::from(label)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_and_labels_are_read_and_other_files_refused() {
        let path = std::env::temp_dir().join(format!("gyrus-bench-images-{}", std::process::id()));
        let mut bytes = vec![51; COUNT * PIXELS];
        bytes.extend((0..COUNT).map(|i| (i % 10) as u8));
        std::fs::write(&path, &bytes).unwrap();
        let (intensities, labels) = read(&path, 12).unwrap();
        assert!(intensities.len() == 12 * PIXELS && intensities.iter().all(|&p| p == 0.2));
        assert_eq!(labels, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
        std::fs::write(&path, &bytes[1..]).unwrap();
        assert!(read(&path, 12).unwrap_err().to_string().contains("bytes, expected"));
        std::fs::remove_file(&path).unwrap();
    }
}
