//! Ink on paper, shown to a network that knows light on black.

use gyrus_data::{Features, Images, Ink, Preprocessing, Seen, digits};
use image::{GrayImage, RgbImage};

/// What a network that learned from digits sees of this image.
fn seen(image: &RgbImage) -> Seen {
    let file = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
    image.save(file.path()).unwrap();
    digits().preprocessing.see_file(file.path()).unwrap()
}

fn known() -> Ink {
    let Features::Images(images) = digits().train.features else { panic!("images") };
    Ink::of(&images).expect("digits have their ink in common")
}

/// A plus sign of this brightness on this ground, `[side, side]`, its box `size` wide.
fn plus(side: u32, size: u32, ground: u8, ink: u8) -> RgbImage {
    let from = side / 10;
    let (middle, half) = (from + size / 2, size / 8);
    RgbImage::from_fn(side, side, |x, y| {
        let inside = |a: u32, b: u32| (from..from + size).contains(&a) && b.abs_diff(middle) <= half;
        image::Rgb([if inside(x, y) || inside(y, x) { ink } else { ground }; 3])
    })
}

#[test]
fn digits_are_light_on_black_and_fill_their_frame() {
    let ink = known();
    assert!(ink.ground < 0.05 && ink.strongest > 0.8, "{ink:?}");
    assert!(ink.extent[0] > 0.95 && ink.extent[1] > 0.8, "{ink:?}");
    assert!(ink.center.iter().all(|center| (center - 0.5).abs() < 0.06), "{ink:?}");
}

#[test]
fn ink_on_paper_is_turned_cropped_and_said() {
    let seen = seen(&plus(200, 80, 230, 30));
    assert_eq!(seen.notes.len(), 2, "{:?}", seen.notes);
    assert!(seen.notes[0].starts_with("this is ink on paper, and the network learned from light on black"));
    assert!(seen.notes[1].starts_with("what is drawn fills 40 % of the image"), "{:?}", seen.notes);
    assert!(seen.pixels[0] < 30 && seen.pixels[8 * 4 + 4] > 180, "{:?}", seen.pixels);
    // The arms reach all four sides.
    let reaches = [4, 8 * 4, 8 * 4 + 7, 8 * 7 + 4];
    assert!(reaches.iter().all(|at| seen.pixels[*at] > 100), "{:?}", seen.pixels);
}

#[test]
fn what_looks_like_the_training_images_stays() {
    let Features::Images(images) = digits().test.features else { panic!("images") };
    for index in (0..images.count).step_by(9) {
        let pixels = images.get(index).unwrap();
        let image = GrayImage::from_raw(8, 8, pixels.to_vec()).unwrap();
        let seen = seen(&image::DynamicImage::from(image).into_rgb8());
        assert_eq!((seen.pixels.as_slice(), seen.notes.len()), (pixels, 0), "test image {index}");
    }
    let blank = RgbImage::from_pixel(40, 40, image::Rgb([255; 3]));
    assert!(seen(&blank).notes.is_empty(), "an empty sheet has no ink");
}

#[test]
fn color_few_images_and_photographs_have_nothing_in_common() {
    let images = |channels: usize, count: usize, pixel: fn(usize) -> u8| Images {
        pixels: (0..64 * channels * count).map(pixel).collect(),
        count,
        height: 8,
        width: 8,
        channels,
    };
    assert_eq!(Ink::of(&images(3, 30, |at| (at * 7 % 251) as u8)), None);
    assert_eq!(Ink::of(&images(1, 5, |_| 0)), None);
    assert_eq!(Ink::of(&images(1, 30, |at| (at * at * 7 % 251) as u8)), None);
    let Preprocessing::Image { ink, .. } = digits().preprocessing else { panic!("images") };
    assert_eq!(ink, Some(known()));
}
