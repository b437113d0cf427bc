//! Text tables.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(sheet) = gyrus_data::sheet::parse(bytes, Path::new("fuzz")) {
        assert_eq!(sheet.rows.len(), sheet.lines.len());
        assert!(sheet.rows.iter().all(|row| row.len() == sheet.header.len()));
    }
});
