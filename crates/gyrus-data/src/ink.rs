//! Drawings in gray: whether training images show light on black or ink on paper, and new images brought into the same form.
//!
//! MNIST's digits are light on black, fill 20 of 28 pixels and are centered by their mass. A digit on paper that is only
//! scaled to 28 pixels looks like nothing that such a network has seen: it answers anything, and is sure of it. What all
//! training images have in common is therefore measured, and an image that differs is turned, cropped and scaled to match.

use image::imageops::{self, FilterType};
use image::{GrayImage, Luma, RgbImage};
use serde::{Deserialize, Serialize};

use crate::Images;

/// Training images that are looked at, evenly spread.
const LOOKED_AT: usize = 2000;

/// Fewer images than this show nothing in common.
const ENOUGH: usize = 20;

/// The share of the training images that must agree.
const AGREE: f32 = 0.99;

/// Ink is what is farther from the ground than this share of the strongest ink.
const INK_SHARE: f32 = 0.35;

/// Less contrast than this, of 1, is an empty sheet.
const EMPTY: f32 = 0.15;

/// How far the size of the ink may be from that of all training images, as a share of the side, before it is scaled.
const TOLERANCE: f32 = 0.06;

/// What the ink of all training images has in common. Brightness is on the scale 0 to 1, lengths are shares of the side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ink {
    /// Brightness of what is drawn on: the median of the borders.
    pub ground: f32,
    /// Brightness of the strongest ink.
    pub strongest: f32,
    /// The longer side of the box around the ink: its mean, and the least and the most among nearly all images.
    pub extent: [f32; 3],
    /// Where the center is, from the left and from the top.
    pub center: [f32; 2],
    /// Whether the center is that of mass, rather than that of the box.
    pub by_mass: bool,
}

/// An image as a network sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `[height, width, channels]`.
    pub pixels: Vec<u8>,
    /// What was changed beyond the size, one sentence each.
    pub notes: Vec<String>,
}

/// The ink in one image.
struct Found {
    ground: f32,
    strongest: f32,
    /// Left, top, right and bottom in pixels; the last two are outside.
    bounds: [usize; 4],
    /// Center of mass in pixels.
    mass: [f32; 2],
}

impl Ink {
    /// What these images have in common; `None` for color, for few images, or where they differ.
    #[must_use]
    pub fn of(images: &Images) -> Option<Self> {
        if images.channels != 1 || images.count < ENOUGH || images.height.min(images.width) < 8 {
            return None;
        }
        let step = images.count.div_ceil(LOOKED_AT);
        let looked_at = (0..images.count).step_by(step).filter_map(|index| images.get(index));
        let found: Vec<Found> =
            looked_at.filter_map(|pixels| find(pixels, images.width, images.height)).collect();
        if found.len() < ENOUGH {
            return None;
        }
        let share = |holds: &dyn Fn(&Found) -> bool| {
            found.iter().filter(|found| holds(found)).count() as f32 / found.len() as f32
        };
        let dark = share(&|found| found.ground < 0.3 && found.strongest > found.ground);
        let light = share(&|found| found.ground > 0.7 && found.strongest < found.ground);
        if dark.max(light) < AGREE {
            return None;
        }
        let mean = |value: &dyn Fn(&Found) -> f32| found.iter().map(value).sum::<f32>() / found.len() as f32;
        let sides = [images.width as f32, images.height as f32];
        let center = |found: &Found, by_mass: bool, axis: usize| {
            let [.., right, bottom] = found.bounds;
            let end = [right, bottom][axis];
            let boxed = (found.bounds[axis] + end) as f32 / 2.0;
            (if by_mass { found.mass[axis] } else { boxed }) / sides[axis]
        };
        let centers =
            [false, true].map(|by_mass| [0, 1].map(|axis| mean(&|found| center(found, by_mass, axis))));
        let spread = [false, true].map(|by_mass| {
            let from = |found: &Found, axis: usize| {
                (center(found, by_mass, axis) - centers[usize::from(by_mass)][axis]).powi(2)
            };
            mean(&|found| from(found, 0) + from(found, 1))
        });
        let by_mass = spread[1] < spread[0];
        let mut extents: Vec<f32> = found.iter().map(|found| found.extent(sides)).collect();
        extents.sort_by(f32::total_cmp);
        let at = |share: f32| extents[((extents.len() - 1) as f32 * share) as usize];
        Some(Self {
            ground: mean(&|found| found.ground),
            strongest: mean(&|found| found.strongest),
            extent: [mean(&|found| found.extent(sides)), at(1.0 - AGREE), at(AGREE)],
            center: centers[usize::from(by_mass)],
            by_mass,
        })
    }

    /// The image as `width` by `height` gray pixels in the form of the training images; `plain` makes the pixels of an image
    /// that has this form already.
    pub(crate) fn show(
        &self,
        image: RgbImage,
        height: usize,
        width: usize,
        plain: impl Fn(RgbImage) -> Vec<u8>,
    ) -> Seen {
        let (from_width, from_height) = (image.width() as usize, image.height() as usize);
        let gray = image::DynamicImage::from(image.clone()).into_luma8();
        let as_it_is = |image| Seen { pixels: plain(image), notes: Vec::new() };
        let Some(found) = find(gray.as_raw(), from_width, from_height) else { return as_it_is(image) };
        let turned = (found.ground - 0.5) * (self.ground - 0.5) < 0.0
            && (found.strongest > found.ground) != (self.strongest > self.ground);
        let frame = from_width.max(from_height) as f32;
        let extent = found.extent([frame; 2]);
        let [_, least, most] = self.extent;
        let fits = (least - TOLERANCE..=most + TOLERANCE).contains(&extent);
        let same_size = (from_width, from_height) == (width, height);
        let mut notes = Vec::new();
        if turned {
            let names = |light: bool| if light { "light on black" } else { "ink on paper" };
            let light = self.strongest > self.ground;
            notes.push(format!(
                "this is {}, and the network learned from {}: the brightness was turned",
                names(!light),
                names(light)
            ));
        }
        if !turned && (fits || same_size) {
            return as_it_is(image);
        }
        let gray = if turned { self.relit(&gray, &found) } else { gray };
        if fits && from_width == from_height {
            let image = image::DynamicImage::from(gray).into_rgb8();
            return Seen { pixels: plain(image), notes };
        }
        notes.push(format!(
            "what is drawn fills {:.0} % of the image, and {:.0} % of those that the network learned from: it was cropped, \
             scaled and centered like them",
            100.0 * extent,
            100.0 * self.extent[0]
        ));
        Seen { pixels: self.placed(&gray, &found, height, width), notes }
    }

    /// The brightness of another ground and ink, mapped to those of the training images.
    fn relit(&self, gray: &GrayImage, found: &Found) -> GrayImage {
        let scale = (self.strongest - self.ground) / (found.strongest - found.ground);
        let table: [u8; 256] = std::array::from_fn(|value| {
            let brightness = self.ground + (value as f32 / 255.0 - found.ground) * scale;
            let (low, high) = (self.ground.min(self.strongest), self.ground.max(self.strongest));
            (255.0 * brightness.clamp(low, high)).round() as u8
        });
        let mut lit = gray.clone();
        lit.pixels_mut().for_each(|pixel| pixel.0[0] = table[usize::from(pixel.0[0])]);
        lit
    }

    /// The ink, scaled to the extent of the training images and put where they have it.
    fn placed(&self, gray: &GrayImage, found: &Found, height: usize, width: usize) -> Vec<u8> {
        let [left, top, right, bottom] = found.bounds;
        let (box_width, box_height) = (right - left, bottom - top);
        let sides = [width as f32, height as f32];
        let scale = self.extent[0] / (box_width as f32 / sides[0]).max(box_height as f32 / sides[1]);
        let to =
            |length: usize, most: usize| ((length as f32 * scale).round() as usize).clamp(1, most) as u32;
        let (to_width, to_height) = (to(box_width, width), to(box_height, height));
        let cut =
            imageops::crop_imm(gray, left as u32, top as u32, box_width as u32, box_height as u32).to_image();
        let enough = (cut.width().min(4 * to_width), cut.height().min(4 * to_height));
        let cut =
            if cut.dimensions() == enough { cut } else { imageops::thumbnail(&cut, enough.0, enough.1) };
        let small = imageops::resize(&cut, to_width, to_height, FilterType::CatmullRom);
        let ground = (255.0 * self.ground).round().clamp(0.0, 255.0) as u8;
        let mut sheet = GrayImage::from_pixel(width as u32, height as u32, Luma([ground]));
        let inner = match find(small.as_raw(), to_width as usize, to_height as usize).filter(|_| self.by_mass)
        {
            // The border of a box may be ink, so that the ground must be known.
            Some(_) => mass(small.as_raw(), to_width as usize, self.ground),
            None => [to_width as f32 / 2.0, to_height as f32 / 2.0],
        };
        let place = |axis: usize, length: u32, side: usize| {
            let start = (self.center[axis] * side as f32 - inner[axis]).round();
            start.clamp(0.0, (side as u32 - length) as f32) as i64
        };
        imageops::replace(&mut sheet, &small, place(0, to_width, width), place(1, to_height, height));
        sheet.into_raw()
    }
}

impl Found {
    /// The longer side of the box, as a share of the sides of its frame.
    fn extent(&self, sides: [f32; 2]) -> f32 {
        let [left, top, right, bottom] = self.bounds;
        ((right - left) as f32 / sides[0]).max((bottom - top) as f32 / sides[1])
    }
}

/// The center of mass of what differs from the ground.
fn mass(pixels: &[u8], width: usize, ground: f32) -> [f32; 2] {
    let (mut sum, mut center) = (0.0_f64, [0.0_f64; 2]);
    for (at, pixel) in pixels.iter().enumerate() {
        let weight = f64::from((f32::from(*pixel) / 255.0 - ground).abs());
        sum += weight;
        center[0] += weight * ((at % width) as f64 + 0.5);
        center[1] += weight * ((at / width) as f64 + 0.5);
    }
    center.map(|center| (center / sum.max(1e-9)) as f32)
}

/// The ink of a gray image, `[height, width]`; `None` where there is none.
fn find(pixels: &[u8], width: usize, height: usize) -> Option<Found> {
    if width < 2 || height < 2 {
        return None;
    }
    let row = |y: usize| &pixels[y * width..][..width];
    let mut border: Vec<u8> = row(0).iter().chain(row(height - 1)).copied().collect();
    border.extend((1..height - 1).flat_map(|y| [row(y)[0], row(y)[width - 1]]));
    border.sort_unstable();
    let ground = f32::from(border[border.len() / 2]) / 255.0;
    let mut histogram = [0_usize; 256];
    pixels.iter().for_each(|pixel| histogram[usize::from(*pixel)] += 1);
    // The brightness that so many pixels are below: a speck is no ink.
    let quantile = |skipped: usize| {
        let mut left = skipped;
        let at = histogram.iter().position(|count| {
            let inside = *count > left;
            left = left.saturating_sub(*count);
            inside
        });
        at.unwrap_or(255) as f32 / 255.0
    };
    let specks = pixels.len() / 200;
    let (darkest, lightest) = (quantile(specks), quantile(pixels.len() - 1 - specks));
    let strongest = if ground - darkest > lightest - ground { darkest } else { lightest };
    let contrast = (strongest - ground).abs();
    if contrast < EMPTY {
        return None;
    }
    let inked = |pixel: u8| (f32::from(pixel) / 255.0 - ground) / (strongest - ground) > INK_SHARE;
    let mut bounds = [width, height, 0, 0];
    for (at, _) in pixels.iter().enumerate().filter(|(_, pixel)| inked(**pixel)) {
        let (x, y) = (at % width, at / width);
        bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x + 1), bounds[3].max(y + 1)];
    }
    if bounds[0] >= bounds[2] || bounds[1] >= bounds[3] {
        return None;
    }
    Some(Found { ground, strongest, bounds, mass: mass(pixels, width, ground) })
}
