//! Pictures of meshes: a z-buffer on the CPU, for turntables and silhouettes. Two samples a pixel in each direction.

use image::{Rgb, Rgba, RgbaImage};
use rayon::prelude::*;

use crate::Mesh;
use crate::mesh::{cross, dot, length, minus};

/// Samples along a side of a pixel.
const SAMPLES: usize = 2;
/// Rows of samples of a task.
const BAND: usize = 32;
/// Nearest distance that is drawn, as a share of the camera's distance.
const NEAR: f64 = 0.05;
/// Light from everywhere; the rest comes from the camera's upper left.
const AMBIENT: f64 = 0.35;

/// A camera that looks at a point, y up.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// What it looks at.
    pub center: [f64; 3],
    /// Distance from there.
    pub distance: f64,
    /// Turn around the y axis from +z towards +x, in degrees.
    pub azimuth: f64,
    /// Height above the horizon, in degrees.
    pub elevation: f64,
    /// Vertical angle of view, in degrees.
    pub angle: f64,
}

impl View {
    /// A view from which the whole mesh is seen.
    #[must_use]
    pub fn of(mesh: &Mesh, azimuth: f64, elevation: f64) -> Self {
        let (low, high) = mesh.bounds();
        let (low, high) = (low.map(f64::from), high.map(f64::from));
        let center = [0, 1, 2].map(|axis| f64::midpoint(low[axis], high[axis]));
        let radius = (0.5 * length(minus(high, low))).max(1e-9);
        let angle: f64 = 35.0;
        let distance = 1.05 * radius / (0.5 * angle).to_radians().sin();
        Self { center, distance, azimuth, elevation, angle }
    }

    /// The camera's place, and its right, up and backward directions.
    fn frame(&self) -> ([f64; 3], [[f64; 3]; 3]) {
        let (turn, height) = (self.azimuth.to_radians(), self.elevation.clamp(-89.9, 89.9).to_radians());
        let back = [height.cos() * turn.sin(), height.sin(), height.cos() * turn.cos()];
        let right = [turn.cos(), 0.0, -turn.sin()];
        let place = [0, 1, 2].map(|axis| self.center[axis] + self.distance * back[axis]);
        (place, [right, cross(back, right), back])
    }
}

/// A square picture of a mesh on a transparent ground. Same mesh, same picture, for any number of threads.
///
/// # Panics
/// If a face names a vertex that is not there.
#[must_use]
pub fn render(mesh: &Mesh, view: &View, size: u32) -> RgbaImage {
    let side = size as usize * SAMPLES;
    let (place, axes) = view.frame();
    let focal = 0.5 * side as f64 / (0.5 * view.angle).to_radians().tan();
    // Column and row in samples, and depth.
    let projected: Vec<[f64; 3]> = mesh
        .positions
        .par_iter()
        .map(|position| {
            let from = minus(position.map(f64::from), place);
            let [x, y, depth] = [dot(from, axes[0]), dot(from, axes[1]), -dot(from, axes[2])];
            let scale = focal / depth;
            [0.5 * side as f64 + scale * x, 0.5 * side as f64 - scale * y, depth]
        })
        .collect();
    let light = [0, 1, 2].map(|axis| 0.8 * axes[2][axis] + 0.45 * axes[1][axis] - 0.4 * axes[0][axis]);
    let light = light.map(|part| part / length(light));
    let scene =
        Scene { mesh, projected, side, light, nearest: NEAR * view.distance, normals: mesh.normals() };
    let mut samples = vec![[0u8; 4]; side * side];
    samples.par_chunks_mut(BAND * side).enumerate().for_each(|(band, rows)| scene.draw(band * BAND, rows));
    RgbaImage::from_fn(size, size, |x, y| {
        let mut sum = [0u32; 4];
        for sample in 0..SAMPLES * SAMPLES {
            let (column, row) =
                (x as usize * SAMPLES + sample % SAMPLES, y as usize * SAMPLES + sample / SAMPLES);
            let [red, green, blue, alpha] = samples[row * side + column].map(u32::from);
            sum = [sum[0] + red * alpha, sum[1] + green * alpha, sum[2] + blue * alpha, sum[3] + alpha];
        }
        let part = |part: u32| (part / sum[3].max(1)) as u8;
        Rgba([part(sum[0]), part(sum[1]), part(sum[2]), (sum[3] / (SAMPLES * SAMPLES) as u32) as u8])
    })
}

/// Views from around a mesh, beside each other in rows of four, on a ground of this color.
#[must_use]
pub fn turntable(mesh: &Mesh, size: u32, ground: Rgb<u8>) -> image::RgbImage {
    let mut picture = image::RgbImage::from_pixel(4 * size, 2 * size, ground);
    for turn in 0..8 {
        let own = render(mesh, &View::of(mesh, 45.0 * f64::from(turn), 15.0), size);
        let (left, top) = (turn % 4 * size, turn / 4 * size);
        for (x, y, pixel) in own.enumerate_pixels() {
            let to = picture.get_pixel_mut(left + x, top + y);
            let alpha = u32::from(pixel.0[3]);
            for channel in 0..3 {
                let mixed = u32::from(pixel.0[channel]) * alpha + u32::from(to.0[channel]) * (255 - alpha);
                to.0[channel] = (mixed / 255) as u8;
            }
        }
    }
    picture
}

struct Scene<'a> {
    mesh: &'a Mesh,
    projected: Vec<[f64; 3]>,
    side: usize,
    light: [f64; 3],
    nearest: f64,
    normals: Vec<[f32; 3]>,
}

impl Scene<'_> {
    /// Draws all faces into the rows of samples from `first` on.
    fn draw(&self, first: usize, rows: &mut [[u8; 4]]) {
        let count = rows.len() / self.side;
        let mut depths = vec![f64::INFINITY; rows.len()];
        for (index, face) in self.mesh.faces.iter().enumerate() {
            let [a, b, c] = face.map(|vertex| self.projected[vertex as usize]);
            if [a, b, c].iter().any(|corner| corner[2] < self.nearest) {
                continue;
            }
            let range = |axis: usize, start: usize, count: usize| {
                let values = [a[axis], b[axis], c[axis]];
                let low = values.iter().copied().fold(f64::INFINITY, f64::min) - start as f64;
                let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max) - start as f64;
                low.clamp(0.0, count as f64) as usize..high.ceil().clamp(0.0, count as f64) as usize
            };
            let area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
            if area == 0.0 {
                continue;
            }
            for row in range(1, first, count) {
                for column in range(0, 0, self.side) {
                    let (x, y) = (column as f64 + 0.5, (first + row) as f64 + 0.5);
                    let share = |p: [f64; 3], q: [f64; 3]| {
                        ((q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0])) / area
                    };
                    let shares = [share(b, c), share(c, a), share(a, b)];
                    if shares.iter().any(|share| *share < 0.0) {
                        continue;
                    }
                    // What is linear on the screen is the inverse of the depth.
                    let weights = [shares[0] / a[2], shares[1] / b[2], shares[2] / c[2]];
                    let sum: f64 = weights.iter().sum();
                    let at = row * self.side + column;
                    if 1.0 / sum < depths[at] {
                        depths[at] = 1.0 / sum;
                        rows[at] = self.shade(index, weights.map(|weight| weight / sum));
                    }
                }
            }
        }
    }

    fn shade(&self, index: usize, weights: [f64; 3]) -> [u8; 4] {
        let face = self.mesh.faces[index];
        let blend = |values: &[[f32; 3]]| {
            [0, 1, 2].map(|part| {
                (0..3).map(|k| weights[k] * f64::from(values[face[k] as usize][part])).sum::<f64>()
            })
        };
        let color = match (&self.mesh.texture, self.mesh.uvs.get(index)) {
            (Some(texture), Some(uvs)) => {
                let at = [0, 1].map(|axis| (0..3).map(|k| weights[k] * f64::from(uvs[k][axis])).sum::<f64>());
                texel(texture, at)
            }
            _ if !self.mesh.colors.is_empty() => blend(&self.mesh.colors),
            _ => [0.72, 0.72, 0.74],
        };
        let normal = blend(&self.normals);
        let lit = (dot(normal, self.light) / length(normal).max(1e-12)).abs();
        let light = AMBIENT + (1.0 - AMBIENT) * lit;
        let [red, green, blue] = color.map(|part| (255.0 * (part * light).clamp(0.0, 1.0)).round() as u8);
        [red, green, blue, 255]
    }
}

/// The nearest texel, 0 to 1; coordinates beyond the texture repeat it.
pub(crate) fn texel(texture: &image::RgbImage, at: [f64; 2]) -> [f64; 3] {
    let place = |value: f64, pixels: u32| {
        let value = if value.is_finite() { value.rem_euclid(1.0) } else { 0.0 };
        ((value * f64::from(pixels)) as u32).min(pixels.saturating_sub(1))
    };
    let (x, y) = (place(at[0], texture.width()), place(at[1], texture.height()));
    texture.get_pixel_checked(x, y).map_or([0.0; 3], |pixel| pixel.0.map(|part| f64::from(part) / 255.0))
}

impl Mesh {
    /// A color for each vertex: its own, that of the texture where its first face maps it, or none.
    #[must_use]
    pub fn vertex_colors(&self) -> Vec<[f32; 3]> {
        let Some(texture) = self.texture.as_ref().filter(|_| !self.uvs.is_empty()) else {
            return self.colors.clone();
        };
        let mut colors = vec![None; self.positions.len()];
        for (face, uvs) in self.faces.iter().zip(&self.uvs) {
            for (vertex, uv) in face.iter().zip(uvs) {
                colors[*vertex as usize]
                    .get_or_insert_with(|| texel(texture, uv.map(f64::from)).map(|part| part as f32));
            }
        }
        colors.into_iter().map(|color| color.unwrap_or([1.0; 3])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::tests::cube;

    #[test]
    fn a_cube_from_the_front_is_a_square_of_its_color_with_a_hard_edge() {
        let mut cube = cube();
        cube.colors = vec![[1.0, 0.5, 0.0]; 8];
        let view = View { center: [0.5; 3], distance: 3.5, azimuth: 0.0, elevation: 0.0, angle: 30.0 };
        let picture = render(&cube, &view, 100);
        // The front face is 3 away and 1 wide: 1 / (2 * 3 * tan 15°) of the picture.
        let wide = (0..100).filter(|x| picture.get_pixel(*x, 50).0[3] == 255).count();
        assert!((61..=63).contains(&wide), "{wide}");
        let middle = picture.get_pixel(50, 50).0;
        assert!(middle[0] > 150 && middle[0].abs_diff(2 * middle[1]) < 4 && middle[2] == 0, "{middle:?}");
        assert_eq!(picture.get_pixel(2, 2).0[3], 0);
        assert_eq!(turntable(&cube, 16, Rgb([9; 3])).dimensions(), (64, 32));
    }

    #[test]
    fn colors_of_vertices_come_from_the_texture() {
        let mut cube = cube();
        cube.uvs = vec![[[0.75, 0.25]; 3]; 12];
        cube.texture = Some(image::RgbImage::from_fn(2, 1, |x, _| Rgb([255 * x as u8, 0, 51])));
        assert!(cube.vertex_colors().iter().all(|color| *color == [1.0, 0.0, 0.2]));
    }
}
