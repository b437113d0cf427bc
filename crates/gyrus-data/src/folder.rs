//! A folder of images as a data set: each sub-folder is a class.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::{Dataset, Error, Images, Result, Skipped, image_files};

/// A file and its class.
pub(crate) type File = (PathBuf, u32);

/// What the images of one part (training, test, or all) become.
struct Part {
    /// Red, green and blue, `[count, side, side, 3]`.
    pixels: Vec<u8>,
    labels: Vec<u32>,
    skipped: Vec<Skipped>,
}

/// Reads a folder in which each sub-folder is a class of PNG, JPEG or WebP images of any size.
///
/// Where there are exactly two sub-folders, `train` and `test`, the classes are inside these; otherwise a fixed
/// stratified fifth is held back as test. Images become squares of `side` pixels; if it is `None`, the
/// median of all widths and heights, rounded to a multiple of 8 from 8 to 64. They are gray if all are gray. One
/// that cannot be decoded is listed in [`Dataset::skipped`]; other files and hidden folders are ignored.
///
/// # Errors
/// No sub-folders, a single class, a class without two usable images, a test class that is not in `train`, a
/// `side` outside of 1 to 4096, or a folder that cannot be listed.
pub fn folder(path: &Path, side: Option<usize>) -> Result<Dataset> {
    if let Some(side) = side.filter(|side| !(1..=4096).contains(side)) {
        return Err(Error::mismatch(path, format!("a side of {side} pixels"), "1 to 4096"));
    }
    let (train_folder, test_folder) = match split_folders(path)? {
        Some((train, test)) => (train, Some(test)),
        None => (path.to_owned(), None),
    };
    let split = test_folder.is_some();

    let (classes, train_files) = class_files(&train_folder, None, is_image, "images")?;
    let test_files = match &test_folder {
        Some(folder) => class_files(folder, Some(&classes), is_image, "images")?.1,
        None => Vec::new(),
    };
    let side = side.unwrap_or_else(|| typical_side(train_files.iter().chain(&test_files)));

    let train = decode_all(&train_files, side);
    let test = decode_all(&test_files, side);
    let minimum = if split { 1 } else { 2 };
    for (class, name) in classes.iter().enumerate() {
        let usable = train.labels.iter().filter(|label| **label as usize == class).count();
        if usable < minimum {
            let got = format!("{usable} usable images");
            let expected = format!("at least {minimum} PNG, JPEG or WebP images in each class");
            return Err(Error::mismatch(&train_folder.join(name), got, expected));
        }
    }
    if let Some(folder) = test_folder.filter(|_| test.labels.is_empty()) {
        return Err(Error::mismatch(&folder, "no usable image", "at least one to test with"));
    }

    let gray =
        train.pixels.as_chunks().0.iter().chain(test.pixels.as_chunks().0).all(|[r, g, b]| r == g && g == b);
    let images = |pixels: Vec<u8>| Images {
        count: pixels.len() / (side * side * 3),
        pixels: if gray { pixels.into_iter().step_by(3).collect() } else { pixels },
        height: side,
        width: side,
        channels: if gray { 1 } else { 3 },
    };
    let title = path.canonicalize().map(|path| name(&path)).unwrap_or_else(|_| name(path));
    let class_count = classes.len();
    let (train_images, test_images) = (images(train.pixels), images(test.pixels));
    let mut dataset = if split {
        Dataset::of_images(title, classes, (train_images, train.labels), (test_images, test.labels))
    } else {
        Dataset::split_images(title, classes, &train_images, &train.labels)
    };
    dataset.skipped = train.skipped;
    dataset.skipped.extend(test.skipped);
    let color = if gray { "gray" } else { "color" };
    dataset.notes.push(format!(
        "{} images in {class_count} classes, resized to {side} by {side} pixels, {color}",
        dataset.train.len() + dataset.test.len(),
    ));
    if !dataset.skipped.is_empty() {
        dataset.notes.push(format!("{} images could not be decoded and were skipped", dataset.skipped.len()));
    }
    Ok(dataset)
}

pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What is in a folder, sorted so that every machine sees the same order.
pub(crate) fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    let io = |source| Error::io(path, source);
    let mut entries = std::fs::read_dir(path)
        .map_err(io)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(io)?;
    entries.sort();
    Ok(entries)
}

/// The sub-folders that are not hidden, sorted.
pub(crate) fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    let visible = |path: &PathBuf| path.is_dir() && !name(path).starts_with('.');
    Ok(entries(path)?.into_iter().filter(visible).collect())
}

/// The folders `train` and `test`, in upper or lower case, where a folder has these two sub-folders and no others.
pub(crate) fn split_folders(path: &Path) -> Result<Option<(PathBuf, PathBuf)>> {
    let folders = folders(path)?;
    let is = |folder: &Path, part: &str| name(folder).eq_ignore_ascii_case(part);
    Ok(match &folders[..] {
        [test, train] if is(test, "test") && is(train, "train") => Some((train.clone(), test.clone())),
        _ => None,
    })
}

/// The names of the classes and every `wanted` file with its class; `known` are the only classes allowed, and `what` says
/// in an error what the files should be.
pub(crate) fn class_files(
    path: &Path,
    known: Option<&[String]>,
    wanted: fn(&Path) -> bool,
    what: &str,
) -> Result<(Vec<String>, Vec<File>)> {
    let folders = folders(path)?;
    if folders.len() < 2 && known.is_none() {
        let got = match folders.first() {
            None => "no sub-folders".to_owned(),
            Some(only) => format!("a single class, '{}'", name(only)),
        };
        return Err(Error::mismatch(
            path,
            got,
            format!("at least two sub-folders of {what}, one for each class"),
        ));
    }
    let classes: Vec<String> = match known {
        Some(known) => known.to_vec(),
        None => folders.iter().map(|folder| name(folder)).collect(),
    };
    let mut files = Vec::new();
    for folder in &folders {
        let Some(class) = classes.iter().position(|class| *class == name(folder)) else {
            let expected = format!("only classes that are also in train: {}", classes.join(", "));
            return Err(Error::mismatch(folder, "a new class", expected));
        };
        files.extend(
            entries(folder)?.into_iter().filter(|path| wanted(path)).map(|path| (path, class as u32)),
        );
    }
    Ok((classes, files))
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    ["png", "jpg", "jpeg", "webp"].iter().any(|known| extension == *known) && !path.is_dir()
}

/// The median of all widths and heights, rounded to a multiple of 8 and kept within 8 to 64.
fn typical_side<'a>(files: impl Iterator<Item = &'a File>) -> usize {
    let files: Vec<_> = files.collect();
    let mut sides: Vec<u32> = files
        .par_iter()
        .filter_map(|(path, _)| {
            let reader = image::ImageReader::open(path).ok()?.with_guessed_format().ok()?;
            reader.into_dimensions().ok()
        })
        .flat_map_iter(|(width, height)| [width, height])
        .collect();
    sides.sort_unstable();
    let median = sides.get(sides.len() / 2).copied().unwrap_or(0).min(64);
    ((median as usize + 4) / 8 * 8).clamp(8, 64)
}

fn decode_all(files: &[File], side: usize) -> Part {
    let decoded: Vec<_> = files
        .par_iter()
        .map(|(path, _)| {
            let bytes = image_files::read_file(path).map_err(|error| error.to_string())?;
            image_files::decode(&bytes, side, side, 3).map_err(|error| error.to_string())
        })
        .collect();
    let mut part = Part { pixels: Vec::new(), labels: Vec::new(), skipped: Vec::new() };
    for ((path, label), image) in files.iter().zip(decoded) {
        match image {
            Ok(pixels) => {
                part.pixels.extend(pixels);
                part.labels.push(*label);
            }
            Err(reason) => part.skipped.push(Skipped { path: path.clone(), reason }),
        }
    }
    part
}
