//! Images: from the bytes of a file to the pixels that a network expects.
//!
//! PNG, JPEG, WebP, BMP, GIF (its first image), TIFF and the PNM family. 16-bit images are reduced to 8 bits, transparency is
//! laid on white paper, and the orientation in the metadata is applied, so that the image stands upright. Resizing stretches
//! (the proportions are not kept): what is more than four times too large is averaged down to that, then the Catmull-Rom
//! kernel follows, widened when shrinking, so that fine detail is averaged and not aliased. Gray is computed last, by the Rec.
//! 709 weights.

use std::io::Cursor;
use std::path::Path;

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

use crate::{Error, Preprocessing, Resize, Result, Seen};

/// The largest image that is decoded, in pixels; checked before anything is allocated for it.
pub const MAXIMUM_PIXELS: u64 = 100_000_000;

/// The largest file that is read, in bytes.
const MAXIMUM_BYTES: u64 = 512 << 20;

/// The endings of files that are read as images, in lower case.
pub const EXTENSIONS: [&str; 14] =
    ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "gif", "tif", "tiff", "pgm", "ppm", "pbm", "pnm"];

/// Whether a file is an image that is read here, by its ending.
#[must_use]
pub fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    EXTENSIONS.iter().any(|known| extension == *known) && !path.is_dir()
}

/// Why bytes are not an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The bytes are not those of a known format, or damaged.
    #[error("not an intact image (PNG, JPEG, WebP, BMP, GIF, TIFF or PNM): {}", .0.to_string().trim())]
    Decode(#[from] image::ImageError),
    /// The file ends in the middle of the image.
    #[error("the file ends before its image does: it was cut off")]
    CutOff,
    /// The header announces an image that is too large or empty.
    #[error("got an image of {width} by {height} pixels, expected 1 to {MAXIMUM_PIXELS} pixels in all")]
    Size {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The image cannot have this size or number of channels as a network input.
    #[error(
        "cannot resize to {width} by {height} pixels with {channels} channels: expected 1 or 3 channels and sides from 1 to 65535"
    )]
    Target {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// Channels.
        channels: usize,
    },
}

/// Width and height from the header, without decoding the image.
///
/// # Errors
/// [`ImageError::Decode`] for an unknown or broken header, [`ImageError::Size`].
pub fn dimensions(bytes: &[u8]) -> std::result::Result<(u32, u32), ImageError> {
    let (width, height) = reader(bytes)?.into_dimensions()?;
    if !(1..=MAXIMUM_PIXELS).contains(&(u64::from(width) * u64::from(height))) {
        return Err(ImageError::Size { width, height });
    }
    Ok((width, height))
}

/// Decodes and resizes: `[height, width, channels]`, channels last.
///
/// # Errors
/// Damaged data, an image beyond [`MAXIMUM_PIXELS`], or an impossible target size.
pub fn decode(
    bytes: &[u8],
    height: usize,
    width: usize,
    channels: usize,
) -> std::result::Result<Vec<u8>, ImageError> {
    let target = || ImageError::Target { width, height, channels };
    if !matches!(channels, 1 | 3) {
        return Err(target());
    }
    let side = |side: usize| u16::try_from(side).ok().filter(|side| *side > 0).map(u32::from);
    let (target_width, target_height) = (side(width).ok_or_else(target)?, side(height).ok_or_else(target)?);
    let upright = upright(bytes)?;
    Ok(fit(upright, target_width, target_height, channels))
}

/// [`decode`] with another way of resizing.
///
/// # Errors
/// As there.
pub fn decode_resized(
    bytes: &[u8],
    height: usize,
    width: usize,
    channels: usize,
    resize: Resize,
) -> std::result::Result<Vec<u8>, ImageError> {
    let in_range = |side: usize| (1..=usize::from(u16::MAX)).contains(&side);
    if !matches!(channels, 1 | 3) || !in_range(height) || !in_range(width) {
        return Err(ImageError::Target { width, height, channels });
    }
    let pixels = resize.apply(&upright(bytes)?, height, width);
    Ok(match (channels, RgbImage::from_raw(width as u32, height as u32, pixels)) {
        (1, Some(image)) => DynamicImage::from(image).into_luma8().into_raw(),
        (_, image) => image.map(RgbImage::into_raw).unwrap_or_default(),
    })
}

/// The whole image in eight bits of red, green and blue, as a person would see it.
pub(crate) fn upright(bytes: &[u8]) -> std::result::Result<RgbImage, ImageError> {
    dimensions(bytes)?;
    let reader = reader(bytes)?;
    // Decoders of JPEG fill what is missing with gray.
    if reader.format() == Some(ImageFormat::Jpeg) && !jpeg_ends(bytes) {
        return Err(ImageError::CutOff);
    }
    let mut decoder = reader.into_decoder()?;
    // Metadata that cannot be read says nothing.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(opaque(image))
}

/// Red, green and blue, each replaced by the pixel's gray.
pub(crate) fn grayed(pixels: Vec<u8>, height: usize, width: usize) -> Vec<u8> {
    let image = RgbImage::from_raw(width as u32, height as u32, pixels);
    let gray = image.map(|image| DynamicImage::from(image).into_luma8().into_raw()).unwrap_or_default();
    gray.into_iter().flat_map(|gray| [gray; 3]).collect()
}

/// Resizes; sides from 1 to 65535.
fn fit(mut image: RgbImage, target_width: u32, target_height: u32, channels: usize) -> Vec<u8> {
    // The kernel over an image of a camera's size would take longer than decoding it, and would hardly differ.
    let enough = (image.width().min(4 * target_width), image.height().min(4 * target_height));
    if image.dimensions() != enough {
        image = imageops::thumbnail(&image, enough.0, enough.1);
    }
    if image.dimensions() != (target_width, target_height) {
        image = imageops::resize(&image, target_width, target_height, FilterType::CatmullRom);
    }
    match channels {
        1 => DynamicImage::from(image).into_luma8().into_raw(),
        _ => image.into_raw(),
    }
}

/// Whether the last scan of a JPEG file is followed by the end of the image. Thumbnails, which have ends of their own, lie in
/// segments that are passed over.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let mut at = 2;
    while at + 1 < bytes.len() {
        if bytes[at] != 0xff {
            // Compressed data, up to the next marker.
            at += 1;
            continue;
        }
        match bytes[at + 1] {
            0xd9 => return true,
            // Filling, a byte of data, restarts.
            0xff => at += 1,
            0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
            _ => match bytes.get(at + 2..at + 4) {
                Some(length) => at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]])),
                None => return false,
            },
        }
    }
    false
}

fn reader(bytes: &[u8]) -> std::result::Result<ImageReader<Cursor<&[u8]>>, ImageError> {
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(image::ImageError::IoError)?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(8 * MAXIMUM_PIXELS);
    reader.limits(limits);
    Ok(reader)
}

/// Eight bits of red, green and blue, with what is transparent laid on white.
fn opaque(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let transparent = image.into_rgba8();
    let mut opaque = RgbImage::new(transparent.width(), transparent.height());
    for (to, from) in opaque.pixels_mut().zip(transparent.pixels()) {
        let [.., alpha] = from.0.map(u32::from);
        for (to, from) in to.0.iter_mut().zip(from.0) {
            // At most 255 * 255, so that the rounded quotient fits a byte.
            *to = ((u32::from(from) * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        }
    }
    opaque
}

/// An image as a network sees it, in brightness 0 to 255.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputImage {
    /// `[height, width, channels]`.
    pub pixels: Vec<u8>,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 (gray) or 3 (red, green, blue).
    pub channels: usize,
}

/// Writes images side by side, at most ten in a row, as one PNG file; small ones are enlarged so that pixels show.
///
/// # Errors
/// [`Error::Io`], [`Error::Image`]; no image.
pub fn write_sheet(path: &Path, images: &[InputImage]) -> Result<()> {
    const IN_A_ROW: usize = 10;
    const SEEN_SIDE: usize = 160;
    let Some(first) = images.first().filter(|first| first.height * first.width > 0) else {
        return Err(Error::mismatch(path, "no image to show", "at least one"));
    };
    let factor = (SEEN_SIDE / first.height.max(first.width)).max(1);
    let (cell_width, cell_height) = (first.width * factor + 4, first.height * factor + 4);
    let columns = images.len().min(IN_A_ROW);
    let size = (columns * cell_width, images.len().div_ceil(IN_A_ROW) * cell_height);
    let mut sheet = RgbImage::from_pixel(size.0 as u32, size.1 as u32, image::Rgb([128, 128, 160]));
    for (index, image) in images.iter().enumerate() {
        let (left, top) = (index % IN_A_ROW * cell_width + 2, index / IN_A_ROW * cell_height + 2);
        for y in 0..image.height.min(first.height) * factor {
            for x in 0..image.width.min(first.width) * factor {
                let at = (y / factor * image.width + x / factor) * image.channels;
                let color = std::array::from_fn(|channel| image.pixels[at + channel % image.channels]);
                sheet.put_pixel((left + x) as u32, (top + y) as u32, image::Rgb(color));
            }
        }
    }
    let mut bytes = Cursor::new(Vec::new());
    sheet
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|source| Error::Image { path: path.to_owned(), source: source.into() })?;
    gyrus_files::write_atomically(path, &bytes.into_inner()).map_err(|source| Error::io(path, source))
}

/// The bytes of an image file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    Ok(gyrus_files::read_bounded(path, MAXIMUM_BYTES)?)
}

impl Preprocessing {
    /// Decodes an image file to the size and channels of this preprocessing, `[height, width, channels]`; not yet
    /// normalized. A drawing is brought into the form of the training images, and what was done is said.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Image`]; [`Error::Mismatch`] where this preprocessing is for tables.
    pub fn see_file(&self, path: &Path) -> Result<Seen> {
        let Self::Image { height, width, channels, ink, resize, .. } = self else {
            return Err(Error::mismatch(path, "an image", "a CSV file, which this network learned from"));
        };
        let bytes = read_file(path)?;
        let wrong = |source| Error::Image { path: path.to_owned(), source };
        let Some(ink) = ink.filter(|_| *channels == 1) else {
            let pixels = match resize {
                Some(resize) => decode_resized(&bytes, *height, *width, *channels, *resize),
                None => decode(&bytes, *height, *width, *channels),
            };
            let pixels = pixels.map_err(wrong)?;
            return Ok(Seen { pixels, notes: Vec::new() });
        };
        let target = || wrong(ImageError::Target { width: *width, height: *height, channels: *channels });
        let side = |side: usize| u16::try_from(side).ok().filter(|side| *side > 0).map(u32::from);
        let (to_width, to_height) = (side(*width).ok_or_else(target)?, side(*height).ok_or_else(target)?);
        let plain = |image| fit(image, to_width, to_height, 1);
        Ok(ink.show(upright(&bytes).map_err(wrong)?, *height, *width, plain))
    }

    /// The pixels of [`Self::see_file`].
    ///
    /// # Errors
    /// As there.
    pub fn decode_file(&self, path: &Path) -> Result<Vec<u8>> {
        Ok(self.see_file(path)?.pixels)
    }

    /// Normalizes pixels (`[.., channels]`) as [`crate::fill_batch`] does; empty where this is for tables.
    #[must_use]
    pub fn normalize(&self, pixels: &[u8]) -> Vec<f32> {
        let tables = self.brightness_tables();
        if tables.is_empty() {
            return Vec::new();
        }
        let mut out = vec![0.0; pixels.len()];
        crate::augment::normalize(pixels, &tables, &mut out);
        out
    }
}
