//! HDF5 files of spikes. Start from the small ones in `crates/gyrus-data/tests/golden`.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut file) = gyrus_data::recordings::cochlea::from_bytes(bytes, Path::new("fuzz")) else { return };
    for index in 0..file.len().min(64) {
        if let Ok(events) = file.recording(index) {
            assert!(events.time_us.is_sorted());
            assert!(events.x.iter().all(|x| usize::from(*x) < events.width));
        }
    }
});
