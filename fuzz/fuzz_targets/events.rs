//! Recordings of events, in every format with one recording a file. The first byte picks the header that is put in front
//! (or none), so that each reader is reached from the start.
#![no_main]

use std::path::Path;

use gyrus_data::recordings::frames::{Grid, Slicing, frames};
use libfuzzer_sys::fuzz_target;

const HEADERS: [&[u8]; 11] = [
    b"",
    b"#!AER-DAT2.0\r\n# AEChip: DVS128\r\n",
    b"#!AER-DAT2.0\r\n# AEChip: DAVIS346\r\n",
    b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n",
    b"#!AER-DAT3.1\r\n#!END-HEADER\r\n",
    b"#!AER-DAT4.0\r\n",
    b"% Version 2\n\x0c\x08",
    b"% evt 2.0\n% end\n",
    b"% evt 3.0\n% end\n",
    b"% format EVT3;width=64;height=48\n% end\n",
    b"Event Stream\x02\0\0\x01",
];

fuzz_target!(|input: (u8, &[u8])| {
    let (header, body) = input;
    let file = [HEADERS[usize::from(header) % HEADERS.len()], body].concat();
    let path = Path::new("fuzz");
    let Ok(events) = gyrus_data::recordings::from_bytes(&file, path) else { return };
    assert!(events.time_us.is_sorted());
    assert_eq!([events.x.len(), events.y.len(), events.on.len()], [events.len(); 3]);
    // The sensor is as the file says, or as its events reach: frames of a few pixels take any.
    let grid = Grid { width: 4, height: 4, ..Grid::of(&events) };
    let count = |slicing| {
        let frames = frames(&events, slicing, grid, path).expect("events lie on their sensor");
        frames.counts.iter().map(|n| usize::from(*n)).sum::<usize>()
    };
    // A count stops at 255; up to there no event is lost.
    if events.len() <= 255 && events.width > 0 && events.height > 0 {
        assert_eq!(count(Slicing::Frames(3)), events.len());
        assert_eq!(count(Slicing::EventCount(7)), events.len());
    }
});
