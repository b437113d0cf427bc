//! IDX files, plain and gzipped, with any number of dimensions.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (dimensions, bytes) = input;
    if let Ok(idx) = gyrus_data::idx::read(bytes, Path::new("fuzz"), dimensions % 5, 1 << 20) {
        assert_eq!(idx.values.len(), idx.shape.iter().product::<usize>());
    }
});
