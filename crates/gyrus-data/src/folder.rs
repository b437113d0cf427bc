//! A folder of images as a data set: each sub-folder is a class.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gyrus_files::counted;
use rayon::prelude::*;

use crate::image_files::is_image;
use crate::{Dataset, Error, Images, Preprocessing, Resize, Result, Skipped, image_files};

/// Levels of folders within a class that are looked into.
const DEEPEST: usize = 8;

/// The largest side in pixels unless the caller chooses.
const LARGEST_SIDE: u32 = 128;

/// What programs leave in folders.
const IGNORED: [&str; 3] = ["__MACOSX", "Thumbs.db", "desktop.ini"];

/// A file and its class.
pub(crate) type File = (PathBuf, u32);

/// What the images of one part (training, test, or all) become.
struct Part {
    /// Red, green and blue, `[count, side, side, 3]`.
    pixels: Vec<u8>,
    labels: Vec<u32>,
    skipped: Vec<Skipped>,
}

/// Reads a folder in which each sub-folder is a class of images of any size, in its sub-folders as well.
///
/// Where the sub-folders are `train`, `val` and `test` (or two of these, or their longer names), the classes are inside
/// these; otherwise a fixed stratified fifth is held back as test. Images become squares of `side` pixels; if it is `None`,
/// the median of all widths and heights, rounded to a multiple of 8 from 8 to 128. They are gray if all are gray. One
/// that cannot be decoded is listed in [`Dataset::skipped`]; files of other kinds are counted in a note, hidden folders are
/// ignored.
///
/// # Errors
/// No sub-folders, a single class, a class without two usable images, a test class that is not in `train`, a
/// `side` outside of 1 to 4096, or a folder that cannot be listed.
pub fn folder(path: &Path, side: Option<usize>) -> Result<Dataset> {
    if let Some(side) = side.filter(|side| !(1..=4096).contains(side)) {
        return Err(Error::mismatch(path, format!("a side of {side} pixels"), "1 to 4096"));
    }
    let listing = Listing::of(path, is_image, "images")?;
    let side = side.unwrap_or_else(|| {
        typical_side(listing.train.iter().chain(&listing.validation).chain(&listing.test))
    });
    read(path, listing, &Shown { height: side, width: side, resize: None, wanted: None })
}

/// As [`folder`], with images as a trained network wants to see them: its size, its way of resizing, its number of channels,
/// its mean and deviation.
///
/// # Errors
/// As there; a preprocessing that is not for images.
pub fn folder_for(path: &Path, preprocessing: &Preprocessing) -> Result<Dataset> {
    let Preprocessing::Image { height, width, channels, resize, .. } = *preprocessing else {
        return Err(Error::mismatch(path, "a folder of images", "what the network takes, which is no image"));
    };
    let listing = Listing::of(path, is_image, "images")?;
    let mut dataset = read(path, listing, &Shown { height, width, resize, wanted: Some(channels) })?;
    dataset.preprocessing = preprocessing.clone();
    Ok(dataset)
}

/// How the images of a folder are decoded.
struct Shown {
    height: usize,
    width: usize,
    resize: Option<Resize>,
    /// Channels; by the images if there is no number.
    wanted: Option<usize>,
}

fn read(path: &Path, mut listing: Listing, shown: &Shown) -> Result<Dataset> {
    let split = !listing.test.is_empty() || listing.test_folder.is_some();
    let (height, width) = (shown.height, shown.width);
    let mut train = decode_all(&listing.train, shown);
    let validation = decode_all(&listing.validation, shown);
    let test = decode_all(&listing.test, shown);
    let minimum = if split { 1 } else { 2 };
    for (class, name) in listing.classes.iter().enumerate() {
        let usable = train.labels.iter().filter(|label| **label as usize == class).count();
        if usable < minimum {
            let got = format!("{usable} usable images");
            let expected =
                format!("at least {minimum} images in each class (PNG, JPEG, WebP, BMP, GIF, TIFF)");
            return Err(Error::mismatch(&listing.train_folder.join(name), got, expected));
        }
    }
    if let Some(folder) = listing.test_folder.as_ref().filter(|_| test.labels.is_empty()) {
        return Err(Error::mismatch(folder, "no usable image", "at least one to test with"));
    }
    let held_back: Vec<usize> = (0..validation.labels.len()).map(|at| train.labels.len() + at).collect();
    train.pixels.extend(validation.pixels);
    train.labels.extend(validation.labels);
    train.skipped.extend(validation.skipped);

    let gray = match shown.wanted {
        Some(channels) => channels == 1,
        None => {
            let parts = [&train.pixels, &test.pixels];
            parts.into_iter().flat_map(|part| part.as_chunks().0).all(|[r, g, b]| r == g && g == b)
        }
    };
    let images = |pixels: Vec<u8>| Images {
        count: pixels.len() / (height * width * 3),
        pixels: if gray { pixels.into_iter().step_by(3).collect() } else { pixels },
        height,
        width,
        channels: if gray { 1 } else { 3 },
    };
    let title = path.canonicalize().map(|path| name(&path)).unwrap_or_else(|_| name(path));
    let class_count = listing.classes.len();
    let classes = std::mem::take(&mut listing.classes);
    let (train_images, test_images) = (images(train.pixels), images(test.pixels));
    let mut dataset = if split {
        Dataset::of_images(title, classes, (train_images, train.labels), (test_images, test.labels))
    } else {
        Dataset::split_images(title, classes, &train_images, &train.labels)
    };
    dataset.validation = held_back;
    dataset.skipped = train.skipped;
    dataset.skipped.extend(test.skipped);
    let color = if gray { "gray" } else { "color" };
    dataset.notes.push(format!(
        "{} in {class_count} classes, resized to {height} by {width} pixels, {color}",
        counted((dataset.train.len() + dataset.test.len()) as u64, "image"),
    ));
    dataset.notes.extend(listing.notes);
    if !dataset.skipped.is_empty() {
        let count = counted(dataset.skipped.len() as u64, "image");
        dataset.notes.push(format!("skipped: {count} that could not be decoded"));
    }
    Ok(dataset)
}

/// The files of a data set in a folder.
pub(crate) struct Listing {
    pub(crate) classes: Vec<String>,
    pub(crate) train: Vec<File>,
    /// Training files that choose the epoch; empty where there is no such part.
    pub(crate) validation: Vec<File>,
    pub(crate) test: Vec<File>,
    pub(crate) train_folder: PathBuf,
    pub(crate) test_folder: Option<PathBuf>,
    /// What a person should know about the folder, one sentence each.
    pub(crate) notes: Vec<String>,
}

impl Listing {
    /// The `wanted` files of a folder; `what` says in an error what they should be.
    pub(crate) fn of(path: &Path, wanted: fn(&Path) -> bool, what: &str) -> Result<Self> {
        let mut notes = Vec::new();
        let path = inner(path, wanted, &mut notes)?;
        let Parts { train, validation, test } = parts(&path)?.unwrap_or_default();
        let train_folder = train.unwrap_or(path);
        // Where there is one other part only, it tests.
        let (validation, test_folder) = match (validation, test) {
            (Some(validation), None) => {
                notes.push(format!("there is no test part: '{}' is used as test", name(&validation)));
                (None, Some(validation))
            }
            parts => parts,
        };
        let mut others = BTreeMap::new();
        let (classes, train) = class_files(&train_folder, None, wanted, what, &mut others)?;
        let mut part = |folder: &Option<PathBuf>| -> Result<Vec<File>> {
            let Some(folder) = folder else { return Ok(Vec::new()) };
            Ok(class_files(folder, Some(&classes), wanted, what, &mut others)?.1)
        };
        let (validation, test) = (part(&validation)?, part(&test_folder)?);
        if !others.is_empty() {
            let count: usize = others.values().sum();
            let kinds = others.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>();
            let count = counted(count as u64, "file");
            notes.push(format!("left out: {count} that cannot be read as {what}: {}", kinds.join(", ")));
        }
        Ok(Self { classes, train, validation, test, train_folder, test_folder, notes })
    }
}

/// The folder with the classes, where archives have put it into another one.
fn inner(path: &Path, wanted: fn(&Path) -> bool, notes: &mut Vec<String>) -> Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..3 {
        let [only] = &folders(&path)?[..] else { break };
        if folders(only)?.len() < 2 || entries(only)?.iter().any(|file| wanted(file)) {
            break;
        }
        path.clone_from(only);
        notes.push(format!("the classes are in {}", path.display()));
    }
    Ok(path)
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
    let visible = |path: &PathBuf| path.is_dir() && !name(path).starts_with('.') && name(path) != "__MACOSX";
    Ok(entries(path)?.into_iter().filter(visible).collect())
}

/// The parts of a data set.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) train: Option<PathBuf>,
    pub(crate) validation: Option<PathBuf>,
    pub(crate) test: Option<PathBuf>,
}

/// The parts of a folder whose sub-folders are `train` and others of a data set's usual parts, and nothing else.
pub(crate) fn parts(path: &Path) -> Result<Option<Parts>> {
    let mut parts = Parts::default();
    for folder in folders(path)? {
        let part = match name(&folder).to_ascii_lowercase().as_str() {
            "train" | "training" => &mut parts.train,
            "val" | "valid" | "validation" | "dev" => &mut parts.validation,
            "test" | "testing" => &mut parts.test,
            _ => return Ok(None),
        };
        if part.replace(folder).is_some() {
            return Ok(None);
        }
    }
    Ok(Some(parts)
        .filter(|parts| parts.train.is_some() && (parts.validation.is_some() || parts.test.is_some())))
}

/// The names of the classes and every `wanted` file with its class; `known` are the only classes allowed, `what` says
/// in an error what the files should be, and `others` counts other files by their endings.
fn class_files(
    path: &Path,
    known: Option<&[String]>,
    wanted: fn(&Path) -> bool,
    what: &str,
    others: &mut BTreeMap<String, usize>,
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
        let found = files_within(folder, wanted, others, DEEPEST)?;
        files.extend(found.into_iter().map(|path| (path, class as u32)));
    }
    Ok((classes, files))
}

/// Every `wanted` file in a folder and its sub-folders.
fn files_within(
    folder: &Path,
    wanted: fn(&Path) -> bool,
    others: &mut BTreeMap<String, usize>,
    depth: usize,
) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in entries(folder)? {
        let hidden = name(&path).starts_with('.') || IGNORED.contains(&name(&path).as_str());
        if wanted(&path) {
            files.push(path);
        } else if path.is_dir() && !hidden && depth > 0 {
            files.extend(files_within(&path, wanted, others, depth - 1)?);
        } else if !hidden && path.is_file() {
            let extension =
                path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
            *others
                .entry(extension.map_or("without ending".into(), |extension| format!(".{extension}")))
                .or_default() += 1;
        }
    }
    Ok(files)
}

/// The images in a folder and its sub-folders, sorted by path.
///
/// # Errors
/// A folder that cannot be listed.
pub fn images_within(folder: &Path) -> Result<Vec<PathBuf>> {
    files_within(folder, is_image, &mut BTreeMap::new(), DEEPEST)
}

/// The median of all widths and heights, rounded to a multiple of 8 and kept within 8 to 128.
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
    let median = sides.get(sides.len() / 2).copied().unwrap_or(0).min(LARGEST_SIDE);
    ((median as usize + 4) / 8 * 8).clamp(8, LARGEST_SIDE as usize)
}

fn decode_all(files: &[File], shown: &Shown) -> Part {
    let (height, width) = (shown.height, shown.width);
    let decoded: Vec<_> = files
        .par_iter()
        .map(|(path, _)| {
            let bytes = image_files::read_file(path).map_err(|error| error.to_string())?;
            let pixels = match shown.resize {
                Some(resize) => image_files::decode_resized(&bytes, height, width, 3, resize),
                None => image_files::decode(&bytes, height, width, 3),
            };
            // Gray is what is kept of a picture in three equal channels.
            let pixels = pixels.map_err(|error| error.to_string())?;
            Ok::<_, String>(if shown.wanted == Some(1) {
                image_files::grayed(pixels, height, width)
            } else {
                pixels
            })
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
