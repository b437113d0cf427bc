//! The warp against a plain oracle, and the meaning of each setting.

use super::*;
use crate::random::Purpose;
use proptest::prelude::*;

const IDENTITY: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut value = 0;
    while value < 256 {
        table[value] = value as f32;
        value += 1;
    }
    table
};

fn run(augment: &Augment, size: Size, pixels: &[u8], seed: u64) -> Vec<f32> {
    let tables = vec![IDENTITY; size.channels];
    let mut out = vec![f32::NAN; pixels.len()];
    let mut stream = Stream::new(Purpose::Augment, seed, 0, 0);
    augment_image(augment, size, pixels, &tables, &mut stream, &mut Vec::new(), &mut out);
    out
}

/// Bilinear interpolation as in a textbook: each neighbor fetched on its own, black or the edge outside.
fn oracle(augment: &Augment, size: Size, pixels: &[u8], seed: u64) -> Vec<f32> {
    let inverse = Inverse::draw(augment, size, &mut Stream::new(Purpose::Augment, seed, 0, 0));
    let fetch = |x: i64, y: i64, channel: usize| {
        let (cx, cy) = (x.clamp(0, size.width as i64 - 1), y.clamp(0, size.height as i64 - 1));
        if augment.outside == Outside::Black && (cx, cy) != (x, y) {
            return 0.0;
        }
        f32::from(pixels[(cy as usize * size.width + cx as usize) * size.channels + channel])
    };
    let mut out = Vec::new();
    for row in 0..size.height {
        for column in 0..size.width {
            let (x, y) = (column as f32, row as f32);
            let sx = inverse.xx * x + inverse.xy * y + inverse.x0;
            let sy = inverse.yx * x + inverse.yy * y + inverse.y0;
            let (fx, fy) = (sx - sx.floor(), sy - sy.floor());
            let (x0, y0) = (sx.floor() as i64, sy.floor() as i64);
            for channel in 0..size.channels {
                let upper = (1.0 - fx) * fetch(x0, y0, channel) + fx * fetch(x0 + 1, y0, channel);
                let lower = (1.0 - fx) * fetch(x0, y0 + 1, channel) + fx * fetch(x0 + 1, y0 + 1, channel);
                out.push((1.0 - fy) * upper + fy * lower);
            }
        }
    }
    out
}

proptest! {
    #[test]
    fn the_warp_agrees_with_the_oracle(
        height in 1_usize..9, width in 1_usize..40, channels in 1_usize..5, seed: u64,
        shift_pixels in 0_f32..12.0, rotate_degrees in 0_f32..180.0, scale in 0_f32..0.5,
        shear_degrees in 0_f32..40.0, flip_horizontal: bool, edge: bool, whole_pixels: bool,
    ) {
        let fraction = if whole_pixels { 0.0 } else { 1.0 };
        let [rotate_degrees, scale, shear_degrees] = [rotate_degrees, scale, shear_degrees].map(|v| v * fraction);
        let outside = if edge { Outside::Edge } else { Outside::Black };
        let augment = Augment {
            shift_pixels, rotate_degrees, scale, shear_degrees, flip_horizontal, outside, ..Default::default()
        };
        let size = Size { height, width, channels };
        let pixels: Vec<u8> = (0..height * width * channels).map(|i| (i * 37 % 256) as u8).collect();
        for (ours, theirs) in run(&augment, size, &pixels, seed).iter().zip(oracle(&augment, size, &pixels, seed)) {
            prop_assert!((ours - theirs).abs() < 0.02, "{ours} and {theirs}");
        }
    }

    #[test]
    fn absurd_settings_still_give_finite_images(
        values in prop::collection::vec(prop::num::f32::ANY, 6), seed: u64,
    ) {
        let augment = Augment {
            shift_pixels: values[0], rotate_degrees: values[1], scale: values[2], shear_degrees: values[3],
            erase_fraction: values[4], noise: values[5], ..Default::default()
        };
        let size = Size { height: 4, width: 5, channels: 1 };
        let out = run(&augment, size, &[200; 20], seed);
        prop_assert!(out.iter().all(|value| value.is_finite()), "{augment:?} gives {out:?}");
    }
}

#[test]
fn mirroring_alone_is_exact() {
    let size = Size { height: 2, width: 3, channels: 1 };
    let pixels = [1, 2, 3, 4, 5, 6];
    let augment = Augment { flip_horizontal: true, ..Default::default() };
    let plain: Vec<f32> = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let mirrored: Vec<f32> = vec![3.0, 2.0, 1.0, 6.0, 5.0, 4.0];
    let results: Vec<_> = (0..64).map(|seed| run(&augment, size, &pixels, seed)).collect();
    assert!(results.iter().all(|result| *result == plain || *result == mirrored));
    let count = results.iter().filter(|result| **result == mirrored).count();
    assert!((16..48).contains(&count), "{count} of 64 mirrored");
}

#[test]
fn shifts_alone_move_by_whole_pixels() {
    let size = Size { height: 5, width: 5, channels: 1 };
    let mut pixels = [0; 25];
    pixels[12] = 255;
    let augment = Augment { shift_pixels: 2.0, ..Default::default() };
    let mut places = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let out = run(&augment, size, &pixels, seed);
        assert_eq!(out.iter().filter(|value| **value != 0.0).count(), 1);
        places.insert(out.iter().position(|value| *value == 255.0).unwrap());
    }
    assert_eq!(places.len(), 25, "each shift of -2 to 2 in both directions occurs");
}

#[test]
fn erasing_removes_a_square_of_about_the_asked_area() {
    let size = Size { height: 20, width: 20, channels: 3 };
    let augment = Augment { erase_fraction: 0.09, ..Default::default() };
    let erased = |seed| run(&augment, size, &[9; 1200], seed).iter().filter(|v| **v == 0.0).count() / 3;
    let counts: Vec<usize> = (0..50).map(erased).collect();
    assert_eq!(counts.iter().max(), Some(&36), "6 by 6 where no edge cuts it");
    assert!(counts.iter().all(|count| *count >= 9));
}

#[test]
fn names_are_parsed_and_unknown_ones_refused() {
    for name in ["none", "light", "digits", "strong", "photos"] {
        let augment: Augment = name.parse().unwrap();
        let json = serde_json::to_string(&augment).unwrap();
        assert_eq!(serde_json::from_str::<Augment>(&json).unwrap(), augment);
        assert_eq!(augment == Augment::default(), name == "none");
    }
    let error = "heavy".parse::<Augment>().unwrap_err().to_string();
    assert_eq!(error, "got the augmentation 'heavy', expected one of none, light, digits, strong, photos");
    assert_eq!("digits".parse::<Augment>().unwrap().scaled_to(14).shift_pixels, 1.0);
}
