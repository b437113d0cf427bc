//! The packets of AEDAT 4.0: a header with each compression and a whole stream, and behind it one packet with what comes.
//!
//! A fuzzer alone rarely finds a FlatBuffer, an XML text and a packet that fit together, which `events` needs. A packet of
//! compression 0 is reached by its bytes, those of LZ4 and Zstandard by what the fuzzer makes of the golden files.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

const TEXT: &str = "<node name=\"0\" path=\"/0/\"><attr key=\"typeIdentifier\" type=\"string\">EVTS</attr>\
                    <node name=\"info\" path=\"/0/info/\"></node></node>";

/// The header table: compression, no index, the text.
fn header(compression: u8) -> Vec<u8> {
    let mut table = vec![24, 0, 0, 0];
    table.extend(b"IOHE");
    // From byte 8: a vtable of 10 bytes for a table of 20, with fields at 4, 8 and 16; then two bytes of padding.
    table.extend([10, 0, 20, 0, 4, 0, 8, 0, 16, 0, 0, 0, 0, 0, 0, 0]);
    // From byte 24: the way back to the vtable, the compression, the index, the way to the text.
    table.extend(16_u32.to_le_bytes());
    table.extend([compression, 0, 0, 0]);
    table.extend((-1_i64).to_le_bytes());
    table.extend(4_u32.to_le_bytes());
    table.extend((TEXT.len() as u32).to_le_bytes());
    table.extend(TEXT.as_bytes());
    table
}

fuzz_target!(|input: (u8, &[u8])| {
    let (compression, packet) = input;
    let header = header(compression % 5);
    let mut file = b"#!AER-DAT4.0\r\n".to_vec();
    file.extend((header.len() as u32).to_le_bytes());
    file.extend(header);
    // The header alone must be one that is read.
    let empty = gyrus_data::recordings::from_bytes(&file, Path::new("fuzz")).expect("a whole header");
    assert!(empty.is_empty());
    file.extend(0_u32.to_le_bytes());
    file.extend((packet.len() as u32).to_le_bytes());
    file.extend(packet);
    if let Ok(events) = gyrus_data::recordings::from_bytes(&file, Path::new("fuzz")) {
        assert!(events.time_us.is_sorted());
    }
});
