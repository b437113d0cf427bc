//! Recordings of events, from `learn` to `predict`, as a person would run it.

use std::path::Path;

use crate::common::{assert_calm, json, run, stderr, stdout, succeeded};

/// Two classes in N-MNIST's layout and form: what moves in the upper left corner, and what moves in the lower right.
fn recordings(folder: &Path) {
    for (part, count) in [("Train", 20_u8), ("Test", 5)] {
        for (class, corner) in [("left", 0_u8), ("right", 8)] {
            let folder = folder.join(part).join(class);
            std::fs::create_dir_all(&folder).unwrap();
            for number in 0..count {
                let event = |step: u8| {
                    let place = |factor: u8| corner + step.wrapping_mul(factor).wrapping_add(number) % 8;
                    [place(3), place(5), (step % 2) << 7, 0, 4 * step]
                };
                let bytes: Vec<u8> = (0..50).flat_map(event).collect();
                std::fs::write(folder.join(format!("{number}.bin")), bytes).unwrap();
            }
        }
    }
}

#[test]
fn a_spiking_network_learns_recordings_and_predicts_new_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("corners"), folder.path().join("run"));
    recordings(&data);
    let learn = "learn --spiking --steps 3 --epochs 10 --blueprint perceptron --threads 2 --json --out";
    let result = json(run(learn, &[&out, &data]));
    assert_eq!(result["test_accuracy"], 1.0, "{result}");
    assert_eq!(result["test"]["examples"], 10);

    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(
        record["preprocessing"],
        serde_json::json!({"kind": "events", "steps": 3, "height": 16, "width": 16, "sensor_height": 16,
            "sensor_width": 16, "polarity": true, "binary": true, "window_us": null})
    );
    assert_eq!(
        record["settings"]["spiking"]["encoder"],
        serde_json::json!({"code": "frames", "binary": true})
    );

    let file = data.join("Test/right/1.bin");
    let result = json(run("predict --json", &[&out, &file]));
    assert_eq!(result["predictions"][0]["class"], "right");
    assert!(result["predictions"][0].get("row").is_none(), "{result}");

    let said = stdout(&succeeded(run("predict", &[&out, &file])));
    assert!(said.contains("1.bin: right"), "{said}");

    // A run.json that was edited so that its parts contradict each other is refused before anything is computed.
    let text = std::fs::read_to_string(out.join("run.json")).unwrap();
    for (from, to, expected) in [
        ("\"sensor_height\": 16", "\"sensor_height\": 3", "sensor_height by sensor_width"),
        (
            "\"binary\": true,\n    \"window_us\": null",
            "\"binary\": true,\n    \"window_us\": 0",
            "window_us",
        ),
        ("\"height\": 16", "\"height\": 0", "steps of height by width"),
        ("\"steps\": 3,\n    \"height\"", "\"steps\": 4,\n    \"height\"", "settings.spiking"),
    ] {
        let edited = text.replacen(from, to, 1);
        assert_ne!(edited, text, "{from}");
        std::fs::write(out.join("run.json"), edited).unwrap();
        let output = run("predict", &[&out, &file]);
        assert_calm(&output);
        assert!(!output.status.success() && stderr(&output).contains(expected), "{}", stderr(&output));
    }
    std::fs::write(out.join("run.json"), &text).unwrap();

    // A picture is no recording, and a pixel that the sensor does not have is refused.
    let other = folder.path().join("other.bin");
    for (bytes, expected) in [
        (&b"no events"[..], "9 bytes that are no known format of events"),
        (&[16, 0, 0, 0, 0], "event 0 at column 16, row 0, expected a sensor of 16 by 16 pixels"),
    ] {
        std::fs::write(&other, bytes).unwrap();
        let output = run("predict", &[&out, &other]);
        assert_calm(&output);
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

#[test]
fn a_file_of_spikes_is_learned_and_each_of_its_recordings_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gyrus-data/tests/golden");
    let learn = "learn --spiking --steps 7 --epochs 1 --blueprint perceptron --json --out";
    let result = json(run(learn, &[&out, &golden.join("shd_train.h5")]));
    // 700 channels to three classes, and a bias each.
    assert_eq!((&result["parameters"], &result["test"]["examples"]), (&2103.into(), &3.into()), "{result}");
    let result = json(run("predict --json", &[&out, &golden.join("shd_test.h5")]));
    let rows: Vec<_> = result["predictions"].as_array().unwrap().iter().map(|p| p["row"].clone()).collect();
    assert_eq!(rows, [1, 2, 3]);
}

#[test]
fn what_events_need_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("corners"), folder.path().join("run"));
    recordings(&data);
    for (line, expected) in [
        ("learn --out", "corners holds event recordings, which only spiking networks take: add --spiking"),
        (
            "learn --spiking --encoder rate --out",
            "unknown encoder for events `rate`; expected spikes or counts",
        ),
        (
            "learn --spiking --augment light --blueprint perceptron --out",
            "event recordings cannot be augmented; use --augment none",
        ),
    ] {
        let output = run(line, &[&out, &data]);
        assert_calm(&output);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}
