//! A whole training on the device that `GYRUS_TEST_DEVICE` names, beside the same on the CPU.

use gyrus_blueprint::preset;
use gyrus_data::digits;
use gyrus_tensor::device;
use gyrus_train::{
    Begin, Existing, MetricsRow, Observer, Outcome, Progress, RunFolder, RunRecord, Settings, learn,
};

struct Silent;

impl Observer for Silent {
    fn step(&mut self, _: &Progress) {}
    fn evaluated(&mut self, _: &MetricsRow, _: &str) {}
}

/// Share of the test digits that are right after six epochs.
fn accuracy(name: &str) -> f64 {
    let (dataset, blueprint) = (digits(), preset("digits-cnn", [1, 8, 8], 10).unwrap());
    let settings = Settings {
        seed: 0,
        epochs: 6,
        batch_size: 64,
        learning_rate: 3e-3,
        optimizer: "adamw".into(),
        schedule: "cosine".into(),
        augment: "none".parse().unwrap(),
        weight_decay: 0.01,
        label_smoothing: 0.0,
        threads: 2,
        device: name.into(),
        spiking: None,
    };
    let record = RunRecord::new(&dataset, None, 1, settings);
    let place = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(place.path().join("run"), Existing::Refuse).unwrap();
    let device = device(name).unwrap_or_else(|error| panic!("{error}"));
    let outcome = learn(&dataset, &blueprint, record, &folder, &device, Begin::Fresh, &mut Silent).unwrap();
    let Outcome::Finished(learned) = outcome else { panic!("nobody stops it") };
    learned.record.results.unwrap().test.unwrap().accuracy.unwrap()
}

#[test]
fn digits_are_learned_as_well_as_on_the_cpu() {
    let Ok(name) = std::env::var("GYRUS_TEST_DEVICE") else {
        println!("skipped: GYRUS_TEST_DEVICE names no device");
        return;
    };
    let [own, cpu] = [name.as_str(), "cpu"].map(accuracy);
    println!("{name} {:.2} %, cpu {:.2} %", own * 100.0, cpu * 100.0);
    assert!(cpu > 0.95 && (own - cpu).abs() <= 0.005, "{name} has {own}, the CPU {cpu}");
}
