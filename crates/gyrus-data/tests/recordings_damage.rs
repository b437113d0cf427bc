//! Damaged and hostile files of events: one sentence with file and byte, no panic, bounded memory.

use std::io::{Read, Write};
use std::path::Path;

use gyrus_data::recordings::{Format, cochlea, from_bytes, recognize};
use proptest::prelude::*;

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn evt2(body: &[u32]) -> Vec<u8> {
    [b"% evt 2.0\n% geometry 640x480\n% end\n".to_vec(), words(body)].concat()
}

fn evt3(body: &[u16]) -> Vec<u8> {
    let body = body.iter().flat_map(|word| word.to_le_bytes()).collect();
    [b"% format EVT3;height=480;width=640\n% end\n".to_vec(), body].concat()
}

fn dat(header: &str, body: &[u32]) -> Vec<u8> {
    [header.as_bytes(), &[12, 8], &words(body)].concat()
}

fn aedat3(packet: &[u32], body: &[u32]) -> Vec<u8> {
    let header = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n".to_vec();
    [header, words(packet), words(body)].concat()
}

/// The bytes of the file with others in the place of some.
fn changed(name: &str, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = golden(name);
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

#[test]
fn what_is_wrong_is_said_with_its_byte() {
    let atis = |time: u8| [1, 2, 0, 0, time];
    let aedat4 = "plain.aedat4";
    let first_packet =
        |name: &str| 18 + u32::from_le_bytes(*golden(name)[14..].first_chunk().unwrap()) as usize;
    let packet = first_packet(aedat4);
    let mut no_events = golden(aedat4);
    let place = no_events.windows(4).position(|window| window == b"EVTS").unwrap();
    no_events[place..place + 4].copy_from_slice(b"FRME");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "byte 0: got 0 bytes that are no known format of events"),
        (b"hello, world".to_vec(), "byte 0: got 12 bytes that are no known format of events"),
        (
            [atis(9), atis(8)].concat(),
            "byte 5: got event 1 at 8 µs, expected times that do not go back: 9 µs or later",
        ),
        (b"#!AER-DAT3.0\r\n".to_vec(), "byte 9: got version \"3.0\", expected AEDAT version 2.0, 3.1 or 4.0"),
        (b"#!AER-DAT".to_vec(), "byte 9: got version \"\""),
        (
            b"#!AER-DAT2.0\r\n# AEChip: Cochlea\r\n".to_vec(),
            "byte 14: got the chip \"Cochlea\", expected DVS128, DAVIS240",
        ),
        (
            golden("dvs128.aedat")[..golden("dvs128.aedat").len() - 3].to_vec(),
            "byte 591: got the end of the file after 5 of 8 bytes, expected events of 8 bytes",
        ),
        (b"#!AER-DAT3.1\r\n#Format: RAW\r\n".to_vec(), "byte 28: got no end of the header"),
        (b"#!AER-DAT3.1\r\n#Format: LZ\r\n#!END-HEADER\r\n".to_vec(), "got the coding \"LZ\", expected RAW"),
        (aedat3(&[1, 8], &[]), "byte 61: got the end of the file after 8 bytes, expected a packet's header"),
        (
            aedat3(&[1, 8, 4, 0, u32::MAX, u32::MAX, 0], &[]),
            "byte 81: got 4294967295 events of 8 bytes in 0 bytes, expected a packet that lies within the file",
        ),
        (
            aedat3(&[1, 4, 4, 0, 1, 1, 1], &[1]),
            "byte 65: got polarity events of 4 bytes with their time at 4",
        ),
        (
            aedat3(&[1, 8, 4, 0, 1, 1, 1], &[1, 1 << 31]),
            "byte 93: got the time -2147483648, expected 31 bits",
        ),
        (
            aedat3(&[1, 8, 4, 0, 1, 1, 1], &[200 << 17 | 1, 0]),
            "byte 89: got event 0 at column 200, row 0, expected a sensor of 128 by 128 pixels",
        ),
        (
            aedat3(&[1, 8, 4, 0, 2, 2, 2], &[1, 7, 1, 6]),
            "byte 97: got event 1 at 6 µs, expected times that do not go back: 7 µs or later",
        ),
        (changed(aedat4, 14, &[0xff; 4]), "byte 14: got a header that is longer than the file"),
        (changed(aedat4, 18, &[0xff; 4]), "byte 18: got a damaged header table"),
        (
            changed(aedat4, 22, b"NOHE"),
            "byte 18: got a damaged header table, expected a FlatBuffer of type IOHE",
        ),
        (no_events, "byte 18: got no stream of type EVTS"),
        (changed(aedat4, packet + 4, &[0xff; 4]), "got a packet of 4294967295 bytes where"),
        (changed(aedat4, packet + 16, b"FRME"), "got a damaged packet, expected a FlatBuffer of type EVTS"),
        (changed("lz4.aedat4", first_packet("lz4.aedat4") + 8, &[0xff; 8]), "got damaged compressed data"),
        (
            changed("zstandard.aedat4", first_packet("zstandard.aedat4") + 8, &[0xff; 8]),
            "got damaged compressed data",
        ),
        (b"% evt 2.1\n".to_vec(), "byte 0: got the coding \"2.1\", expected DAT version 2, EVT2 or EVT3"),
        (b"% format EVT4;width=1\n".to_vec(), "got the coding \"EVT4\""),
        (dat("% Version 1\n", &[]), "got the coding \"DAT version 1\""),
        (
            b"% Version 2\n\x0c\x10".to_vec(),
            "byte 12: got type and size [12, 16], expected [0, 8] or [12, 8]",
        ),
        (b"% Version 2\n".to_vec(), "byte 12: got type and size []"),
        (
            dat("% Width 10\n% Height 10\n", &[0, 1, 0, 10 << 14]),
            "byte 33: got event 1 at column 0, row 10, expected a sensor of 10 by 10 pixels",
        ),
        (dat("% Version 2\n", &[5, 0, 4, 0]), "byte 22: got event 1 at 4 µs"),
        (evt2(&[0x3000_0000]), "byte 35: got a word of type 0x3, expected a type that the format specifies"),
        (evt2(&[0x8000_0001, 700 << 11]), "byte 39: got event 0 at column 700, row 0"),
        (
            evt2(&[0x8000_0002, 0, 0x8000_0001, 0]),
            "byte 47: got event 1 at 64 µs, expected times that do not go back: 128 µs or later",
        ),
        ([evt2(&[]), vec![1, 2]].concat(), "byte 37: got the end of the file after 2 of 4 bytes"),
        (evt3(&[0x1000]), "byte 41: got a word of type 0x1"),
        (evt3(&[0x8000, 0x6009, 0x2000, 0x6008, 0x2000]), "byte 49: got event 1 at 8 µs"),
        (evt3(&vec![0x4000; 200]), "got a vector that goes on to column 2064, expected columns up to 2047"),
        (b"Event Stream\x01\0\0\x01\0\0\0\0".to_vec(), "byte 12: got version 1.0.0"),
        (b"Event Stream\x02\0\0\x00\0\0\0\0".to_vec(), "byte 15: got a stream of type 0"),
        (b"Event Stream\x02\0\0\x01".to_vec(), "byte 0: got the end of the file after 16 bytes"),
        (
            b"Event Stream\x02\0\0\x01\x0a\0\x0a\0\x02\x01\0\x0a\0".to_vec(),
            "byte 20: got event 0 at column 1, row 10, expected a sensor of 10 by 10 pixels",
        ),
        (
            b"Event Stream\x02\0\0\x01\x0a\0\x0a\0\xff\x02\x01\0".to_vec(),
            "byte 21: got the end of the file after 3",
        ),
        (golden("shd_test.h5"), "got an HDF5 file of many recordings, expected a file with one recording"),
    ];
    let mut wrong = Vec::new();
    for (bytes, expected) in cases {
        let message = from_bytes(&bytes, Path::new("x.raw")).unwrap_err().to_string();
        if !(message.starts_with("x.raw") && message.contains(expected)) {
            wrong.push(format!("{message:?} lacks {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn clocks_wrap_as_their_formats_say() {
    let times = |bytes: &[u8]| from_bytes(bytes, Path::new("x")).unwrap().time_us;
    assert_eq!(times(&evt2(&[0x8fff_ffff, 0, 0x8000_0000, 0])), [(1 << 34) - 64, 1 << 34]);
    // Events before the first upper half of the time have none.
    assert_eq!(times(&evt2(&[0, 0x8000_0001, 0])), [64]);
    assert_eq!(
        times(&evt3(&[0x2000, 0x8fff, 0x6fff, 0x2000, 0x8000, 0x2000, 0x6001, 0x2000])),
        [(1 << 24) - 1, 1 << 24, (1 << 24) + 1]
    );
    // 240 is no row but a wrap of the recording chip's clock.
    assert_eq!(times(&[1, 2, 0, 0, 9, 0, 240, 0, 0, 0, 1, 2, 0, 0, 3]), [9, 8195]);
}

#[test]
fn a_packet_that_decompresses_to_gigabytes_is_refused() {
    let golden = golden("zstandard.aedat4");
    let header = u32::from_le_bytes(*golden[14..].first_chunk().unwrap()) as usize;
    for (code, bomb) in [
        (1_u32, {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            (0..300).for_each(|_| encoder.write_all(&[0; 1 << 20]).unwrap());
            encoder.finish().unwrap()
        }),
        (3, zstd::stream::encode_all(std::io::repeat(0).take(300 << 20), 1).unwrap()),
    ] {
        let mut file = golden[..18 + header].to_vec();
        // The header's compression, its second word from the table on, and no index.
        let table = 18 + u32::from_le_bytes(*golden[18..].first_chunk().unwrap()) as usize;
        file[table + 4..table + 8].copy_from_slice(&code.to_le_bytes());
        let index = table + 12;
        file[index..index + 8].copy_from_slice(&(-1_i64).to_le_bytes());
        file.extend(words(&[0, bomb.len() as u32]));
        file.extend(bomb);
        let message = from_bytes(&file, Path::new("x")).unwrap_err().to_string();
        assert!(message.contains("decompresses to more than 268435456 bytes"), "{message}");
    }
}

#[test]
fn a_damaged_file_of_spikes_is_refused() {
    let open = |bytes: &[u8]| cochlea::from_bytes(bytes, Path::new("x.h5"));
    let file = golden("shd_test.h5");
    let heap = file.windows(4).position(|window| window == b"GCOL").unwrap();
    for (at, bytes, expected) in [
        (heap, &b"GCAL"[..], "got the bytes [47, 43, 41, 4c, 01, 00, 00, 00], expected a heap collection"),
        (heap + 8, &[0xff; 8], "got a heap collection of 18446744073709551615 bytes"),
        (heap + 24, &[0xff; 8], "which is longer than its collection"),
    ] {
        let mut file = file.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        let mut open = open(&file).unwrap();
        let message = (0..3).find_map(|index| open.recording(index).err()).unwrap().to_string();
        assert!(
            message.starts_with("x.h5, byte") && message.contains(expected),
            "{message:?} lacks {expected:?}"
        );
    }
    for (bytes, expected) in [
        (&b"\x89HDF\r\n\x1a\n"[..], "x.h5: got a damaged file"),
        (&file[..file.len() / 2], "x.h5: got"),
        (&golden("dvs128.aedat"), "x.h5: got a damaged file"),
    ] {
        let message = open(bytes).err().unwrap().to_string();
        assert!(message.starts_with(expected), "{message:?} lacks {expected:?}");
    }
}

const FILES: [&str; 6] =
    ["dvs128.aedat", "davis240.aedat", "davis240.aedat3", "plain.aedat4", "lz4.aedat4", "zstandard.aedat4"];

/// No event lies outside, and no time goes back, whatever the bytes.
fn holds(bytes: &[u8]) {
    if let Ok(events) = from_bytes(bytes, Path::new("x")) {
        assert!(events.time_us.is_sorted());
        assert!(events.x.iter().all(|x| usize::from(*x) < events.width));
        assert!(events.y.iter().all(|y| usize::from(*y) < events.height));
        assert_eq!([events.x.len(), events.y.len(), events.on.len()], [events.len(); 3]);
    }
    if recognize(bytes, Path::new("x")).is_ok_and(|format| format == Format::Cochlea)
        && let Ok(mut file) = cochlea::from_bytes(bytes, Path::new("x"))
    {
        for index in 0..file.len().min(100) {
            if let Ok(events) = file.recording(index) {
                assert!(events.time_us.is_sorted());
            }
        }
    }
}

proptest! {
    #[test]
    fn cut_and_changed_files_end_in_events_or_an_error(
        file in 0..FILES.len() + 3,
        cut in 0.0..1.0,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = match file.checked_sub(FILES.len()) {
            None => golden(FILES[file]),
            Some(0) => golden("shd_test.h5"),
            Some(1) => evt2(&[0x8000_0001, 5, 0x1000_0007, 0x8000_0002, 9]),
            Some(_) => evt3(&[0x8001, 0x6001, 0x0005, 0x2006, 0x3007, 0x4fff, 0x50ff, 0x8002, 0x2001]),
        };
        let whole = bytes.len();
        if cut > 0.5 {
            bytes.truncate((whole as f64 * cut) as usize);
        }
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        holds(&bytes);
    }

    #[test]
    fn any_words_behind_a_header_end_in_events_or_an_error(
        kind in 0..4, body in prop::collection::vec(any::<u32>(), 0..200),
    ) {
        let halves: Vec<u16> = body.iter().flat_map(|word| [*word as u16, (*word >> 16) as u16]).collect();
        holds(&match kind {
            0 => evt2(&body),
            1 => evt3(&halves),
            2 => dat("% Version 2\n", &body),
            _ => [b"Event Stream\x02\0\0\x01\xff\xff\xff\xff".to_vec(), words(&body)].concat(),
        });
    }
}
