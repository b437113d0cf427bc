//! CIFAR-10 batches. Real ones have thousands of bytes, so that the input is repeated to whole records.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (length, bytes) = input;
    let repeated: Vec<u8> =
        bytes.iter().copied().cycle().take(if bytes.is_empty() { 0 } else { length.into() }).collect();
    if let Ok((images, labels)) = gyrus_data::cifar::read_batch(&repeated[..], Path::new("fuzz")) {
        assert_eq!(images.count, labels.len());
        assert_eq!(images.pixels.len(), images.count * 3072);
    }
});
