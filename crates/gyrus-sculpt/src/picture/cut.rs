//! An object cut from a plain background, without a network: the colors of the border are found (k-means), the distances of
//! all pixels to them are split in two (Otsu 1979), and what hangs together with the border on the near side is background.

use image::RgbaImage;

use crate::{Error, Result};

/// Colors of the border.
const COLORS: usize = 5;
/// Rounds of k-means.
const ROUNDS: usize = 12;
/// Steps of the histogram of distances.
const STEPS: usize = 256;
/// Share of the picture that an object takes.
const SHARE: std::ops::RangeInclusive<f64> = 0.005..=0.95;

/// The largest thing that stands out from the border, with everything else transparent.
///
/// # Errors
/// If nothing stands out.
pub fn cut_out(picture: &RgbaImage) -> Result<RgbaImage> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let nothing = || {
        Error::Request(
            "no object stands out from the background; expected a picture with a transparent or a plain one"
                .to_owned(),
        )
    };
    if width < 8 || height < 8 {
        return Err(nothing());
    }
    let colors: Vec<[f32; 3]> =
        picture.pixels().map(|pixel| lab([pixel.0[0], pixel.0[1], pixel.0[2]])).collect();
    let edge = (width.min(height) / 50).max(1);
    let is_edge = |at: usize| {
        let (x, y) = (at % width, at / width);
        x < edge || y < edge || x + edge >= width || y + edge >= height
    };
    let border: Vec<[f32; 3]> = (0..colors.len()).filter(|at| is_edge(*at)).map(|at| colors[at]).collect();
    let palette = palette(&border);
    let distances: Vec<f32> = colors.iter().map(|color| nearest(&palette, *color).1.sqrt()).collect();
    let level = split(&distances);
    // What hangs together with the border on the near side.
    let mut is_background = vec![false; colors.len()];
    let mut open: Vec<usize> = (0..colors.len())
        .filter(|at| {
            let (x, y) = (at % width, at / width);
            (x == 0 || y == 0 || x + 1 == width || y + 1 == height) && distances[*at] < level
        })
        .collect();
    open.iter().for_each(|at| is_background[*at] = true);
    flood(&mut open, width, height, |at| {
        distances[at] < level && !std::mem::replace(&mut is_background[at], true)
    });
    // The largest of what is left.
    let mut part_of = vec![0u32; colors.len()];
    let (mut parts, mut largest) = (0, (0, 0));
    for start in 0..colors.len() {
        if is_background[start] || part_of[start] != 0 {
            continue;
        }
        parts += 1;
        part_of[start] = parts;
        let (mut size, mut open) = (1, vec![start]);
        flood(&mut open, width, height, |at| {
            let is_new = !is_background[at] && part_of[at] == 0;
            if is_new {
                part_of[at] = parts;
                size += 1;
            }
            is_new
        });
        largest = largest.max((size, parts));
    }
    if !SHARE.contains(&(f64::from(largest.0) / colors.len() as f64)) {
        return Err(nothing());
    }
    let mut cut = picture.clone();
    for (pixel, part) in cut.pixels_mut().zip(&part_of) {
        pixel.0[3] = if *part == largest.1 { 255 } else { 0 };
    }
    Ok(cut)
}

/// Visits the neighbors of the open places, and theirs, where `enters` says so.
fn flood(open: &mut Vec<usize>, width: usize, height: usize, mut enters: impl FnMut(usize) -> bool) {
    while let Some(at) = open.pop() {
        let (x, y) = (at % width, at / width);
        let near = [
            (x > 0).then(|| at - 1),
            (x + 1 < width).then_some(at + 1),
            (y > 0).then(|| at - width),
            (y + 1 < height).then_some(at + width),
        ];
        open.extend(near.into_iter().flatten().filter(|at| enters(*at)));
    }
}

/// The index of the nearest color, and the square of its distance.
fn nearest(palette: &[[f32; 3]], color: [f32; 3]) -> (usize, f32) {
    let square = |own: &[f32; 3]| (0..3).map(|part| (own[part] - color[part]).powi(2)).sum::<f32>();
    let all = palette.iter().map(square).enumerate();
    all.fold((0, f32::INFINITY), |best, own| if own.1 < best.1 { own } else { best })
}

/// The colors around which others gather, begun with those that lie farthest apart.
fn palette(colors: &[[f32; 3]]) -> Vec<[f32; 3]> {
    let mut palette = vec![colors[0]];
    while palette.len() < COLORS {
        let farthest = colors.iter().map(|color| (nearest(&palette, *color).1, color));
        let (_, color) =
            farthest.fold((-1.0, &colors[0]), |best, own| if own.0 > best.0 { own } else { best });
        palette.push(*color);
    }
    let mut members = vec![0.0f32; COLORS];
    for _ in 0..ROUNDS {
        let mut sums = vec![[0.0f64; 3]; COLORS];
        members.fill(0.0);
        for color in colors {
            let own = nearest(&palette, *color).0;
            members[own] += 1.0;
            (0..3).for_each(|part| sums[own][part] += f64::from(color[part]));
        }
        for (index, sum) in sums.iter().enumerate().filter(|(index, _)| members[*index] > 0.0) {
            palette[index] = sum.map(|part| (part / f64::from(members[index])) as f32);
        }
    }
    // A color that few have belongs to an object that reaches the border.
    let few = 0.05 * colors.len() as f32;
    let kept: Vec<[f32; 3]> = palette
        .iter()
        .zip(&members)
        .filter(|(_, members)| **members >= few)
        .map(|(color, _)| *color)
        .collect();
    if kept.is_empty() { palette } else { kept }
}

/// The distance that splits distances into two groups with the least spread within them.
fn split(distances: &[f32]) -> f32 {
    let most = distances.iter().copied().fold(0.0, f32::max).max(1e-6);
    let mut counts = vec![0.0f64; STEPS];
    for distance in distances {
        counts[((distance / most * STEPS as f32) as usize).min(STEPS - 1)] += 1.0;
    }
    let all: f64 = counts.iter().sum();
    let total: f64 = counts.iter().enumerate().map(|(step, count)| step as f64 * count).sum();
    let (mut below, mut sum, mut best) = (0.0, 0.0, (0.0, 0));
    for (step, count) in counts.iter().enumerate() {
        below += count;
        sum += step as f64 * count;
        if below == 0.0 || below == all {
            continue;
        }
        let apart = sum / below - (total - sum) / (all - below);
        let between = below * (all - below) * apart * apart;
        if between > best.0 {
            best = (between, step);
        }
    }
    most * (best.1 + 1) as f32 / STEPS as f32
}

/// CIE Lab of a color in sRGB, in which distances are as they look.
fn lab(color: [u8; 3]) -> [f32; 3] {
    let [red, green, blue] = color.map(|byte| {
        let value = f32::from(byte) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    let root = |value: f32| if value > 0.008_856 { value.cbrt() } else { 7.787 * value + 16.0 / 116.0 };
    let x = root((0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505);
    let y = root(0.2126 * red + 0.7152 * green + 0.0722 * blue);
    let z = root((0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089);
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgba;

    #[test]
    fn a_disk_is_cut_from_a_shaded_wall_and_a_wall_alone_is_refused() {
        let wall = |x: u32, y: u32| Rgba([180 + (x / 4) as u8, 190 + (y / 4) as u8, 200, 255]);
        let plain = RgbaImage::from_fn(120, 100, wall);
        assert!(
            cut_out(&plain).is_err_and(|error| error.to_string().contains("no object stands out")) || {
                // A slope in brightness may be split, but never as a thing in the middle.
                let cut = cut_out(&plain).unwrap();
                cut.get_pixel(60, 50).0[3] == 0 || cut.pixels().filter(|pixel| pixel.0[3] > 0).count() < 6000
            }
        );
        let is_disk = |x: u32, y: u32| (f64::from(x) - 60.0).hypot(f64::from(y) - 50.0) < 25.0;
        // The disk has a hole of the wall's color, which stays part of it.
        let picture = RgbaImage::from_fn(120, 100, |x, y| {
            let is_hole = (58..62).contains(&x) && (48..52).contains(&y);
            if is_disk(x, y) && !is_hole { Rgba([150, 30, 40, 255]) } else { wall(x, y) }
        });
        let cut = cut_out(&picture).unwrap();
        assert!(cut.enumerate_pixels().all(|(x, y, pixel)| (pixel.0[3] == 255) == is_disk(x, y)));
    }
}
