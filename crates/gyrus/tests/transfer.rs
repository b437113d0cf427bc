//! Networks that were trained before: `learn --from`, frozen and not, resumed, beside what a person gets wrong; and `predict` with
//! the model files of other programs.

use crate::common;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::*;
use gyrus::files::from_safetensors;
use image::GrayImage;
use serde_json::Value;

/// `folder/{train,test}/{zero,one,two}/*.png` out of the handwritten digits.
fn write_pictures(folder: &Path) {
    let digits = gyrus::data::digits();
    for (part, examples, most) in [("train", &digits.train, 30), ("test", &digits.test, 12)] {
        let (gyrus::data::Features::Images(images), gyrus::data::Targets::Classes(classes)) =
            (&examples.features, &examples.targets)
        else {
            panic!("digits are images")
        };
        for (class, name) in ["zero", "one", "two"].into_iter().enumerate() {
            let to = folder.join(part).join(name);
            fs::create_dir_all(&to).unwrap();
            let of_class = (0..images.count).filter(|&index| classes[index] as usize == class);
            for index in of_class.take(most) {
                let image = GrayImage::from_raw(8, 8, images.get(index).unwrap().to_vec()).unwrap();
                image.save(to.join(format!("{index}.png"))).unwrap();
            }
        }
    }
}

/// A run on the ten digits, and pictures of three of them.
fn setup(folder: &Path) -> (PathBuf, PathBuf) {
    let (run, pictures) = (folder.join("ten"), folder.join("pictures"));
    succeeded(common::run("learn digits --epochs 4 --json --out", &[&run]));
    write_pictures(&pictures);
    (run, pictures)
}

fn learn(line: &str, paths: &[(&str, &Path)]) -> Value {
    let mut arguments: Vec<std::ffi::OsString> = words(line).into_iter().map(Into::into).collect();
    for (option, path) in paths {
        arguments.extend([(*option).into(), path.as_os_str().to_owned()]);
    }
    json(gyrus(arguments).output().unwrap())
}

#[test]
fn a_linear_probe_changes_the_last_layer_only_and_a_resumed_one_has_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (ten, pictures) = setup(folder);
    let probe = folder.join("probe");
    let line = format!("learn {} --freeze --epochs 24 --json", pictures.display());
    let report = learn(&line, &[("--from", &ten), ("--out", &probe)]);
    assert!(report["test_accuracy"].as_f64().unwrap() > 0.9, "{report}");
    let neighbors = report["baselines"]
        .as_array()
        .unwrap()
        .iter()
        .find(|rule| rule["name"].as_str().unwrap().contains("nearest"));
    assert!(neighbors.unwrap()["accuracy"].as_f64().unwrap() > 0.5, "{report}");

    let parameters = |run: &Path| from_safetensors(&model(run)).unwrap().0;
    let (before, after) = (parameters(&ten), parameters(&probe));
    assert!(before.keys().eq(after.keys()));
    for (name, tensor) in &before {
        match name.starts_with("classifier.") {
            true => assert_eq!(after[name].shape[0], 3, "{name}"),
            false => assert_eq!(after[name], *tensor, "{name} is frozen"),
        }
    }
    let transfer = &record(&probe)["transfer"];
    assert_eq!((&transfer["family"], &transfer["frozen"]), (&"run".into(), &"flatten".into()), "{transfer}");
    assert!(!probe.join("pretrained.safetensors").exists());

    // Another run goes to the end in two parts; its model is then elsewhere.
    let parted = folder.join("parted");
    let constant = format!("{line} --schedule constant");
    let whole = folder.join("whole");
    learn(&constant, &[("--from", &ten), ("--out", &whole)]);
    let first = constant.replace("--epochs 24", "--epochs 9");
    learn(&first, &[("--from", &ten), ("--out", &parted)]);
    fs::rename(&ten, folder.join("gone")).unwrap();
    json(gyrus(words(&format!("learn --resume {} --epochs 24 --json", parted.display()))).output().unwrap());
    assert_eq!(model(&parted), model(&whole));
    json(
        gyrus(words(&format!("predict {} {}/test/two --json", probe.display(), pictures.display())))
            .output()
            .unwrap(),
    );
}

#[test]
fn all_layers_or_those_behind_a_node_learn() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (ten, pictures) = setup(folder);
    let line = format!("learn {} --epochs 15 --json", pictures.display());
    let all = folder.join("all");
    let report = learn(&line, &[("--from", &ten), ("--out", &all)]);
    assert!(report["test_accuracy"].as_f64().unwrap() > 0.75, "{report}");
    assert_eq!(record(&all)["transfer"].get("frozen"), None);

    let partly = folder.join("partly");
    learn(&format!("{line} --freeze pool"), &[("--from", &ten), ("--out", &partly)]);
    let parameters = |run: &Path| from_safetensors(&model(run)).unwrap().0;
    let (before, after) = (parameters(&ten), parameters(&partly));
    assert_eq!(before["conv1.weight"], after["conv1.weight"]);
    assert_ne!(before["conv3.weight"], after["conv3.weight"]);
}

#[test]
fn what_does_not_go_together_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (ten, pictures) = setup(folder);
    write_table(&folder.join("things.csv"), 60);
    fs::write(folder.join("text.pth"), "no model").unwrap();
    let (ten, pictures) = (ten.display(), pictures.display());
    let cases = [
        (format!("learn {pictures} --freeze"), "--freeze needs --from MODEL"),
        (format!("learn {pictures} --from {ten} --blueprint mlp"), "leave out --blueprint"),
        (format!("learn {pictures} --from {ten} --image-size 16"), "leave out --image-size"),
        (format!("learn {pictures} --from {ten} --spiking"), "gyrus spike"),
        (format!("learn {pictures} --from {ten} --freeze --augment light"), "leave out --augment"),
        (format!("learn things.csv --target kind --from {ten}"), "--from goes on from a network of images"),
        (format!("learn {pictures} --from nowhere"), "nowhere"),
        (format!("learn {pictures} --from text.pth"), "text.pth"),
        (format!("learn {pictures} --from {ten} --freeze conv9"), "`conv9`: there is no such node"),
        (format!("learn {pictures} --from {ten} --freeze classifier"), "nothing would be left"),
        (format!("predict {ten} x.png --classes text.pth"), "--classes is for networks of other programs"),
    ];
    for (line, expected) in cases {
        let said = refused(&gyrus(words(&line)).current_dir(folder).output().unwrap());
        assert!(said.contains(expected), "{line}: {said}");
        assert!(!folder.join("runs").exists(), "{line}");
    }
}

#[test]
fn a_published_network_says_what_it_sees() {
    let Some(weights) = real_data("weights/resnet_cifar") else { return };
    let Some(photographs) = real_data("photos_skimage") else { return };
    let file = weights.join("resnet20-12fca82f.safetensors");
    let answer = json(run("predict --json", &[&file, &photographs.join("chelsea.png")]));
    assert_eq!(answer["family"], "CIFAR ResNet");
    assert_eq!(answer["predictions"][0]["class"], "cat", "{answer}");
}
