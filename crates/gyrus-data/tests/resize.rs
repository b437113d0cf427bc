//! Resizing beside Pillow, bit for bit: `golden/vision.py` made the pictures.

use gyrus_data::image_files::decode_resized;
use gyrus_data::{Filter, Resize};
use serde_json::Value;

#[test]
fn every_byte_is_that_of_pillow() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pillow.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 36);
    for case in cases {
        let number = |name: &str| case[name].as_u64().map(|number| number as usize);
        let (width, height) = (number("width").unwrap(), number("height").unwrap());
        let pixels: Vec<u8> =
            (0..width * height * 3).map(|index| ((index * 7919 + index / 11 * 131) % 256) as u8).collect();
        let mut png = std::io::Cursor::new(Vec::new());
        let image = image::RgbImage::from_raw(width as u32, height as u32, pixels).unwrap();
        image.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let filter = match case["filter"].as_str().unwrap() {
            "bilinear" => Filter::Bilinear,
            "bicubic" => Filter::Bicubic,
            _ => Filter::Lanczos,
        };
        let resize = Resize { filter, shorter_side: number("shorter_side") };
        let side = number("side").unwrap();
        let seen = decode_resized(png.get_ref(), side, side, 3, resize).unwrap();
        let expected = case["pixels"].as_str().unwrap();
        let hex: String = seen.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected, "{width}x{height} by {resize:?} to {side}");
    }
}
