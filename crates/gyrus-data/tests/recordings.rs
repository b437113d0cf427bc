//! Recordings of events: real ones against what other readers find in them, and small ones by other writers.

use std::path::{Path, PathBuf};

use gyrus_data::recordings::frames::{Grid, Slicing, frames};
use gyrus_data::recordings::{Events, Format, cochlea, read};
use gyrus_data::{EventOptions, Features, Preprocessing, Targets, event_folder, event_recordings};
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(golden("events.json")).unwrap()).unwrap()
}

/// A real recording, or `None` after saying that it is not there.
fn real(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("GYRUS_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let path = data.join("neuromorphic").join(name);
    if !path.exists() {
        println!("skipped: {} does not exist", path.display());
        return None;
    }
    Some(path)
}

type Event = (i64, u16, u16, bool);

fn event(events: &Events, index: usize) -> Event {
    (events.time_us[index], events.x[index], events.y[index], events.on[index])
}

/// Format and sensor, number of events and of ON events, first and last event, sums of times, columns and rows.
type Facts = (Format, (usize, usize), (usize, usize), Event, Event, (i128, u64, u64));

fn facts(events: &Events) -> Facts {
    let summary = events.summary();
    assert_eq!(summary.on + summary.off, events.len());
    assert_eq!(
        (summary.first_us, summary.last_us),
        (events.time_us.first().copied(), events.time_us.last().copied())
    );
    let sum = |values: &[u16]| values.iter().map(|value| u64::from(*value)).sum();
    (
        events.format,
        (events.width, events.height),
        (summary.events, summary.on),
        event(events, 0),
        event(events, events.len() - 1),
        (events.time_us.iter().map(|time| i128::from(*time)).sum(), sum(&events.x), sum(&events.y)),
    )
}

/// What expelliarmus 1.1 (DAT, EVT2), aedat 2.3, faery 0.7 (EVT3 but for the times, Event Stream) and NumPy find. EVT3's
/// times are those of a decoder written from the specification: expelliarmus takes 11 steps back of the sensor's lower
/// clock, of 10 or 11 µs each, for wraps; faery holds the time there.
#[test]
fn real_recordings_are_what_other_readers_find() {
    let cases: [(&str, Facts); 6] = [
        (
            "tonic/sample_nmnist.bin",
            (
                Format::Atis,
                (34, 34),
                (4325, 2145),
                (654, 7, 15, true),
                (311_175, 21, 14, true),
                (690_487_405, 74_457, 71_931),
            ),
        ),
        (
            "tonic/sample.aedat4",
            (
                Format::Aedat4,
                (320, 240),
                (111_954, 55_023),
                (1_605_537_493_718_345, 154, 204, false),
                (1_605_537_494_308_262, 88, 237, true),
                (179_746_344_603_429_281_628, 18_342_405, 15_105_898),
            ),
        ),
        (
            "tonic/sample_ncars.dat",
            (
                Format::Dat,
                (78, 42),
                (2009, 1350),
                (0, 25, 8, false),
                (99_952, 75, 28, true),
                (98_196_680, 93_457, 40_463),
            ),
        ),
        (
            "prophesee/evt2_sample.raw",
            (
                Format::Evt2,
                (600, 476),
                (539_481, 367_855),
                (1_317_888, 237, 121, true),
                (1_367_888, 210, 142, true),
                (724_340_275_912, 171_811_022, 110_162_026),
            ),
        ),
        (
            "prophesee/evt3_sample.raw",
            (
                Format::Evt3,
                (1280, 720),
                (219_596, 115_532),
                (11_718_656, 874, 200, false),
                (11_727_457, 1218, 572, true),
                (2_574_324_900_467, 159_113_225, 85_638_051),
            ),
        ),
        (
            "faery/dvs.es",
            (
                Format::EventStream,
                (320, 240),
                (473_225, 270_001),
                (0, 0, 239, true),
                (999_000, 38, 46, true),
                // faery counts rows from the top: 473,225 · 239 − 57,092,979 = 56,007,796, its sum.
                (200_862_071_000, 72_946_016, 57_092_979),
            ),
        ),
    ];
    for (name, expected) in cases {
        let Some(path) = real(name) else { return };
        assert_eq!(facts(&read(&path).unwrap()), expected, "{name}");
    }
}

#[test]
fn golden_files_hold_what_their_writers_put_into_them() {
    for (name, format, size) in [
        ("dvs128.aedat", Format::Aedat2, (128, 128)),
        ("davis240.aedat", Format::Aedat2, (240, 180)),
        ("davis240.aedat3", Format::Aedat3, (240, 180)),
        ("plain.aedat4", Format::Aedat4, (346, 260)),
        ("lz4.aedat4", Format::Aedat4, (346, 260)),
        ("zstandard.aedat4", Format::Aedat4, (346, 260)),
    ] {
        let events = read(&golden(name)).unwrap();
        assert_eq!((events.format, (events.width, events.height)), (format, size), "{name}");
        let found: Vec<Value> = (0..events.len())
            .map(|index| {
                let (time, x, y, on) = event(&events, index);
                serde_json::json!([time, x, y, u8::from(on)])
            })
            .collect();
        assert_eq!(Value::from(found), expected()["events"][name], "{name}");
    }
}

#[test]
fn spikes_of_a_cochlea_are_sorted_and_labeled() {
    for (name, width) in [("shd_train.h5", 700), ("shd_test.h5", 700), ("ssc_valid.h5", 700)] {
        let expected = &expected()["cochlea"][name];
        let mut file = cochlea::open(&golden(name)).unwrap();
        assert_eq!(serde_json::json!(file.labels()), expected["labels"], "{name}");
        match &expected["classes"] {
            Value::Null => assert_eq!(file.classes(), ["0", "1"]),
            classes => assert_eq!(&serde_json::json!(file.classes()), classes, "{name}"),
        }
        for index in 0..file.len() {
            let events = file.recording(index).unwrap();
            assert_eq!((events.width, events.height, events.polarity), (width, 1, false));
            let found: Vec<_> = events.time_us.iter().zip(&events.x).collect();
            assert_eq!(serde_json::json!(found), expected["recordings"][index], "{name}, {index}");
        }
        let message = file.recording(99).unwrap_err().to_string();
        assert!(message.contains("the recording 99"), "{message}");
    }
    let message = read(&golden("shd_train.h5")).unwrap_err().to_string();
    assert!(message.contains("an HDF5 file of many recordings"), "{message}");
}

#[test]
fn the_frames_of_a_real_recording_lose_no_event() {
    let Some(path) = real("tonic/sample_nmnist.bin") else { return };
    let events = read(&path).unwrap();
    let total = |slicing| {
        let frames = frames(&events, slicing, Grid::of(&events), &path).unwrap();
        let on: usize = frames.counts.iter().skip(1).step_by(2).map(|n| usize::from(*n)).sum();
        (frames.steps, frames.counts.iter().map(|n| usize::from(*n)).sum::<usize>(), on)
    };
    assert_eq!(total(Slicing::Frames(10)), (10, 4325, 2145));
    assert_eq!(total(Slicing::Window { window_us: 10_000 }), (32, 4325, 2145));
    assert_eq!(total(Slicing::Clock { window_us: 10_000, frames: 32 }), (32, 4325, 2145));
    assert_eq!(total(Slicing::EventCount(1000)), (5, 4325, 2145));
}

/// N-MNIST's own form of an event.
fn atis(time_us: u32, x: u8, y: u8, on: bool) -> [u8; 5] {
    let [_, high, middle, low] = time_us.to_be_bytes();
    [x, y, u8::from(on) << 7 | high, middle, low]
}

const OPTIONS: EventOptions = EventOptions { steps: 2, binary: false, side: None };

#[test]
fn a_folder_of_recordings_is_a_data_set() {
    let folder = tempfile::tempdir().unwrap();
    for (part, class, name, bytes) in [
        (
            "Train",
            "0",
            "a.bin",
            [atis(10, 0, 0, true), atis(12, 1, 2, false), atis(20, 1, 2, false)].concat(),
        ),
        ("Train", "1", "b.bin", [atis(5, 3, 0, true), atis(6, 3, 0, true)].concat()),
        ("Train", "1", "broken.bin", vec![1, 2, 3]),
        ("Test", "1", "c.bin", atis(0, 2, 1, true).to_vec()),
        ("Test", "1", "notes.txt", b"no events".to_vec()),
    ] {
        let folder = folder.path().join(part).join(class);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    assert!(gyrus_data::is_event_folder(folder.path()));
    let dataset = event_folder(folder.path(), OPTIONS).unwrap();
    assert_eq!(dataset.preprocessing.shape(), [2, 3, 4, 2]);
    let Features::Frames(train) = &dataset.train.features else { panic!("frames") };
    let at = |step: usize, row: usize, column: usize, on: usize| ((step * 3 + row) * 4 + column) * 2 + on;
    let mut first = vec![0; 48];
    (first[at(0, 0, 0, 1)], first[at(0, 2, 1, 0)], first[at(1, 2, 1, 0)]) = (1, 1, 1);
    assert_eq!(train.counts[..48], first);
    assert_eq!(dataset.train.targets, Targets::Classes(vec![0, 1]));
    assert_eq!(dataset.test.targets, Targets::Classes(vec![1]));
    assert_eq!(dataset.skipped.len(), 1);
    assert!(dataset.skipped[0].path.ends_with("broken.bin"));
    assert_eq!(
        dataset.notes[0],
        "3 recordings in 2 classes, each as 2 frames of equal length, 4 by 3 pixels"
    );

    // What `predict` reads is what was learned from, and what a batch holds.
    let file = folder.path().join("Train/0/a.bin");
    let (input, rows) = dataset.preprocessing.decode_events(&file).unwrap();
    assert_eq!((rows, input), (1, first.iter().map(|n| f32::from(*n)).collect()));
    let mut batch = Vec::new();
    gyrus_data::fill_batch(&dataset.train, &dataset.preprocessing, &[1, 0], None, &mut batch);
    assert_eq!(batch[48..], dataset.preprocessing.decode_events(&file).unwrap().0);

    let small = event_folder(folder.path(), EventOptions { side: Some(2), ..OPTIONS }).unwrap();
    assert_eq!(small.preprocessing.shape(), [2, 2, 2, 2]);
    let huge = event_folder(folder.path(), EventOptions { steps: usize::MAX, ..OPTIONS });
    assert!(huge.unwrap_err().to_string().contains("numbers in all"));
}

#[test]
fn folders_that_are_no_data_set_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let message = || event_folder(folder.path(), OPTIONS).unwrap_err().to_string();
    std::fs::create_dir(folder.path().join("a")).unwrap();
    std::fs::write(folder.path().join("a/1.bin"), atis(0, 0, 0, true)).unwrap();
    assert!(message().contains("a single class, 'a', expected at least two sub-folders of files of events"));
    std::fs::create_dir(folder.path().join("b")).unwrap();
    assert!(message().contains("got 1 usable recordings, expected at least 2 files of events in each class"));
}

#[test]
fn empty_recordings_and_a_part_for_validation_are_said() {
    let folder = tempfile::tempdir().unwrap();
    for (part, count) in [("train", 3), ("val", 2), ("test", 1)] {
        for class in ["a", "b"] {
            let path = folder.path().join(part).join(class);
            std::fs::create_dir_all(&path).unwrap();
            for number in 0..count {
                // A clock that wraps, and nothing else.
                let empty = (part, class, number) == ("train", "a", 2);
                let bytes = if empty { [0, 240, 0, 0, 0] } else { atis(1, 2, 9, true) };
                std::fs::write(path.join(format!("{number}.bin")), bytes).unwrap();
            }
        }
    }
    let dataset = event_folder(folder.path(), OPTIONS).unwrap();
    assert_eq!((dataset.train.len(), dataset.test.len()), (10, 2));
    assert_eq!(dataset.validation, [6, 7, 8, 9]);
    let said = "1 recording holds no event: nothing can be learned from them";
    assert!(dataset.notes.contains(&said.to_owned()), "{:?}", dataset.notes);
}

#[test]
fn a_file_of_spikes_is_a_data_set_with_its_test_file() {
    let dataset = event_recordings(&golden("shd_train.h5"), EventOptions { steps: 100, ..OPTIONS }).unwrap();
    assert_eq!(dataset.preprocessing.shape(), [100, 1, 700, 1]);
    assert_eq!((dataset.train.len(), dataset.test.len()), (6, 3));
    let Features::Frames(train) = &dataset.train.features else { panic!("frames") };
    // Five recordings of 40 spikes and an empty one.
    assert_eq!(train.counts.iter().map(|n| u32::from(*n)).sum::<u32>(), 200);
    let said = dataset.notes.iter().filter(|note| note.contains("no event: nothing can be learned")).count();
    assert_eq!(said, 1, "{:?}", dataset.notes);
    let Preprocessing::Events { window_us: Some(window_us), .. } = dataset.preprocessing else {
        panic!("frames on the clock")
    };
    let expected = expected();
    let recording = &expected["cochlea"]["shd_train.h5"]["recordings"][1];
    for spike in recording.as_array().unwrap() {
        let (time, channel) = (spike[0].as_u64().unwrap(), spike[1].as_u64().unwrap());
        let at = 100 * 700 + (time / window_us * 700 + channel) as usize;
        assert!(train.counts[at] > 0, "a spike of channel {channel} at {time} µs");
    }
    let (input, rows) = dataset.preprocessing.decode_events(&golden("shd_test.h5")).unwrap();
    assert_eq!((rows, input.len()), (3, 3 * 100 * 700));

    // Without a test file beside it a fifth of each class is held back.
    let alone = event_recordings(&golden("ssc_valid.h5"), OPTIONS).unwrap();
    assert_eq!((alone.train.len(), alone.test.len()), (2, 1));
}
