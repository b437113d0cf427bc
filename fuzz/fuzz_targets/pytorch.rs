//! No bytes make the reader of PyTorch's files panic, run away, or do anything but read tensors.

#![no_main]

use std::path::Path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(checkpoint) = gyrus_formats::pytorch::parse(Path::new("fuzz.bin"), &bytes.to_vec().into()) else { return };
    for tensor in checkpoint.tensors().values() {
        assert_eq!(tensor.floats().len(), tensor.rows() * tensor.columns());
    }
});
