//! Pictures: decoding, transparency, resizing.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(pixels) = gyrus_data::image_files::decode(bytes, 8, 12, 3) {
        assert_eq!(pixels.len(), 8 * 12 * 3);
    }
});
