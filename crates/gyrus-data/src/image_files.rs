//! Images: from the bytes of a PNG, JPEG or WebP file to the pixels that a network expects.
//!
//! 16-bit images are reduced to 8 bits, transparency is laid on white paper, a rotation in the EXIF data is
//! ignored. Resizing stretches (the proportions are not kept): what is more than four times too large is averaged
//! down to that, then the Catmull-Rom kernel follows, widened when shrinking, so that fine detail is averaged and not
//! aliased. Gray is computed last, by the Rec. 709 weights.

use std::io::Cursor;
use std::path::Path;

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageReader, RgbImage};

use crate::{Error, Preprocessing, Result};

/// The largest image that is decoded, in pixels; checked before anything is allocated for it.
pub const MAXIMUM_PIXELS: u64 = 100_000_000;

/// The largest file that is read, in bytes.
const MAXIMUM_BYTES: u64 = 512 << 20;

/// Why bytes are not an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The bytes are not those of a known format, or damaged.
    #[error("not an intact PNG, JPEG or WebP image: {0}")]
    Decode(#[from] image::ImageError),
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
    dimensions(bytes)?;
    let mut image = opaque(reader(bytes)?.decode()?);
    // The kernel over an image of a camera's size would take longer than decoding it, and would hardly differ.
    let enough = (image.width().min(4 * target_width), image.height().min(4 * target_height));
    if image.dimensions() != enough {
        image = imageops::thumbnail(&image, enough.0, enough.1);
    }
    if image.dimensions() != (target_width, target_height) {
        image = imageops::resize(&image, target_width, target_height, FilterType::CatmullRom);
    }
    Ok(match channels {
        1 => DynamicImage::from(image).into_luma8().into_raw(),
        _ => image.into_raw(),
    })
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

/// The bytes of an image file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    Ok(gyrus_files::read_bounded(path, MAXIMUM_BYTES)?)
}

impl Preprocessing {
    /// Decodes an image file to the size and channels of this preprocessing, `[height, width, channels]`; not yet
    /// normalized.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Image`]; [`Error::Mismatch`] where this preprocessing is for tables.
    pub fn decode_file(&self, path: &Path) -> Result<Vec<u8>> {
        let Self::Image { height, width, channels, .. } = self else {
            return Err(Error::mismatch(path, "an image", "a CSV file, which this network learned from"));
        };
        let bytes = read_file(path)?;
        decode(&bytes, *height, *width, *channels)
            .map_err(|source| Error::Image { path: path.to_owned(), source })
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
