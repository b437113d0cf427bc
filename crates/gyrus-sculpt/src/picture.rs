//! From a picture to what the model sees: the object alone, on gray, in the middle.

mod cut;

use std::io::Cursor;
use std::path::Path;

pub use cut::cut_out;
use gyrus_files::read_bounded;
use image::{DynamicImage, ImageReader, Limits, RgbaImage};
use rayon::prelude::*;

use crate::{Error, Result};

/// Longest picture file, and longest side of a picture.
const MOST_BYTES: u64 = 1 << 28;
const MOST_PIXELS: u32 = 16_384;
/// Share of the picture that the object takes along its longer side.
const FOREGROUND: f64 = 0.85;

/// How the object was told from its background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    /// By the picture's own transparency.
    Alpha,
    /// By color: what hangs together with the border and is like it is background.
    Cut,
}

/// Reads a picture.
///
/// # Errors
/// If the file cannot be read, or is not a picture that is known.
pub fn read_picture(path: &Path) -> Result<DynamicImage> {
    let bytes = read_bounded(path, MOST_BYTES)?;
    let mut reader = ImageReader::new(Cursor::new(&bytes));
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_PIXELS);
    limits.max_image_height = Some(MOST_PIXELS);
    reader.limits(limits);
    let decoded =
        reader.with_guessed_format().map_err(image::ImageError::IoError).and_then(ImageReader::decode);
    decoded.map_err(|error| Error::format(path, error, "a picture, such as PNG, JPEG or WebP"))
}

/// The object with transparent surroundings: as the picture has it, or cut out.
///
/// # Errors
/// If nothing stands out from the background.
pub fn object(picture: &DynamicImage) -> Result<(RgbaImage, Background)> {
    let rgba = picture.to_rgba8();
    let has_alpha = picture.color().has_alpha() && rgba.pixels().any(|pixel| pixel.0[3] < 255);
    if has_alpha { Ok((rgba, Background::Alpha)) } else { Ok((cut_out(&rgba)?, Background::Cut)) }
}

/// The object in the middle of a square on gray, `[side, side, 3]`, 0 to 1: cropped to what is not transparent, enlarged by
/// a margin, blended with gray in bytes and resized with an antialiased bilinear filter, as TripoSR's own program does it.
///
/// # Errors
/// If everything is transparent.
pub fn centered(object: &RgbaImage, side: usize) -> Result<Vec<f32>> {
    let (mut low, mut high) = ([u32::MAX; 2], [0; 2]);
    for (x, y, _) in object.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[3] > 0) {
        (low, high) = ([low[0].min(x), low[1].min(y)], [high[0].max(x), high[1].max(y)]);
    }
    // The last row and column are left out there, and so here.
    if low[0] >= high[0] || low[1] >= high[1] {
        return Err(Error::Request("the picture shows no object: nothing in it is opaque".to_owned()));
    }
    let extent = [high[0] - low[0], high[1] - low[1]];
    let square = extent[0].max(extent[1]);
    let full = (f64::from(square) / FOREGROUND) as u32;
    let place = |axis: usize| (square - extent[axis]) / 2 + (full - square) / 2;
    let (left, top) = (place(0), place(1));
    let full = full as usize;
    let mut pixels = vec![gray(&[0; 4], 0); full * full * 3];
    for y in 0..extent[1] {
        for x in 0..extent[0] {
            let pixel = object.get_pixel(low[0] + x, low[1] + y).0;
            let at = ((top + y) as usize * full + (left + x) as usize) * 3;
            (0..3).for_each(|channel| pixels[at + channel] = gray(&pixel, channel));
        }
    }
    Ok(resized(&pixels, full, side))
}

/// A channel of a pixel on gray, cut to whole bytes.
fn gray(pixel: &[u8; 4], channel: usize) -> f32 {
    let [value, alpha] = [pixel[channel], pixel[3]].map(|byte| f32::from(byte) / 255.0);
    ((value * alpha + (1.0 - alpha) * 0.5) * 255.0).floor() / 255.0
}

/// A square of 3 channels in another size: each pixel is a weighted mean of those under a tent as wide as it is itself.
fn resized(pixels: &[f32], from: usize, to: usize) -> Vec<f32> {
    let scale = from as f32 / to as f32;
    let support = scale.max(1.0);
    let taps: Vec<(usize, Vec<f32>)> = (0..to)
        .map(|place| {
            let center = scale * (place as f32 + 0.5);
            let first = ((center - support + 0.5).max(0.0)) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            let weight = |at: usize| (1.0 - ((at as f32 - center + 0.5) / support).abs()).max(0.0);
            let weights: Vec<f32> = (first..end).map(weight).collect();
            let sum: f32 = weights.iter().sum();
            (first, weights.iter().map(|weight| weight / sum).collect())
        })
        .collect();
    let mut wide = vec![0.0; from * to * 3];
    wide.par_chunks_mut(to * 3).zip(pixels.par_chunks(from * 3)).for_each(|(to, row)| {
        for (pixel, (first, weights)) in to.chunks_exact_mut(3).zip(&taps) {
            for (channel, value) in pixel.iter_mut().enumerate() {
                let values = row[first * 3..].chunks_exact(3).map(|pixel| pixel[channel]);
                *value = weights.iter().zip(values).map(|(weight, value)| weight * value).sum();
            }
        }
    });
    let mut result = vec![0.0; to * to * 3];
    result.par_chunks_mut(to * 3).zip(&taps).for_each(|(row, (first, weights))| {
        for (step, weight) in weights.iter().enumerate() {
            let from = &wide[(first + step) * to * 3..][..to * 3];
            row.iter_mut().zip(from).for_each(|(to, from)| *to += weight * from);
        }
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_comes_to_the_middle_of_gray() {
        let mut picture = RgbaImage::new(40, 30);
        for (x, y) in (5..16).flat_map(|x| (10..16).map(move |y| (x, y))) {
            picture.put_pixel(x, y, image::Rgba([255, 0, 0, 255]));
        }
        let pixels = centered(&picture, 20).unwrap();
        let at = |x: usize, y: usize| pixels[(y * 20 + x) * 3];
        assert!((at(0, 0) - 127.0 / 255.0).abs() < 1e-6 && (at(10, 10) - 1.0).abs() < 1e-6);
        // 85 % wide, and half as high.
        assert!(at(2, 10) > 0.9 && at(10, 1) < 0.6 && at(10, 17) < 0.6, "{} {}", at(2, 10), at(10, 1));
        assert!(centered(&RgbaImage::new(9, 9), 20).is_err());
    }
}
