//! No bytes make the ONNX reader panic, run away or take memory beyond its limits; what it reads, the writer writes, and that is
//! read as the same network.

#![no_main]

use std::path::Path;

use gyrus_vision::onnx::{parse, to_bytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzzed.onnx");
    let Ok(file) = parse(path, bytes) else { return };
    // Parameters that do not fit are found where the network is made, and by the writer.
    let Ok(written) = to_bytes(path, &file.blueprint, &file.parameters, &[]) else { return };
    let again = parse(path, &written).expect("what was written is read");
    assert_eq!(again.blueprint.shapes().is_ok(), file.blueprint.shapes().is_ok());
});
