//! Checkpoints that do not fit are refused with the names; configurations with the field.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gyrus_formats::{Tensor, safetensors};
use gyrus_vision::Model;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// What is said of the small ResNet after a change of its tensors.
fn said(change: impl FnOnce(&mut BTreeMap<String, Tensor>)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = safetensors::read_folder(&golden("resnet_basic")).unwrap().tensors().clone();
    change(&mut tensors);
    safetensors::write(folder.path(), &tensors).unwrap();
    fs::copy(golden("resnet_basic").join("config.json"), folder.path().join("config.json")).unwrap();
    match Model::open(folder.path(), None) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::of_floats(shape.to_vec(), vec![0.0; shape.iter().product()])
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    assert_eq!(said(|_| {}), "");
    let missing = said(|tensors| {
        tensors.remove("layer2.0.bn1.running_var").unwrap();
        tensors.remove("layer3.0.bn2.weight").unwrap();
    });
    assert!(missing.contains("missing: layer2.0.bn1.running_var, layer3.0.bn2.weight"), "{missing}");
    assert!(missing.contains("read as ResNet"), "{missing}");
    let missing = said(|tensors| {
        tensors.remove("layer3.0.conv2.weight").unwrap();
    });
    assert!(missing.contains("missing: layer3.0.conv2.weight"), "{missing}");
    let extra = said(|tensors| {
        tensors.insert("layer9.0.conv1.weight".to_owned(), zeros(&[2, 2]));
    });
    assert!(extra.contains("not part of the network: layer9.0.conv1.weight"), "{extra}");
    let misshapen = said(|tensors| {
        tensors.insert("bn1.bias".to_owned(), zeros(&[7]));
    });
    assert!(misshapen.contains("of another shape: bn1.bias has [7] where [64] is needed"), "{misshapen}");
    // Axes of length 1 say nothing.
    assert_eq!(
        said(|tensors| {
            tensors.insert("bn1.bias".to_owned(), zeros(&[1, 64, 1]));
        }),
        ""
    );
    let absurd = said(|tensors| {
        tensors.insert("fc.weight".to_owned(), zeros(&[0, 8]));
    });
    assert!(absurd.contains("out_features is 0"), "{absurd}");
}

#[test]
fn wrappers_of_names_are_taken_off() {
    let text = said(|tensors| {
        let wrapped =
            std::mem::take(tensors).into_iter().map(|(name, tensor)| (format!("module.{name}"), tensor));
        tensors.extend(wrapped);
    });
    assert_eq!(text, "");
}

#[test]
fn what_is_no_vision_network_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = BTreeMap::from([("encoder.weight".to_owned(), zeros(&[3, 3]))]);
    safetensors::write(folder.path(), &tensors).unwrap();
    let text = Model::open(folder.path(), None).unwrap_err().to_string();
    assert!(text.contains("encoder.weight") && text.contains("ConvNeXt"), "{text}");
    let text = Model::open(&golden("vision.json"), None).unwrap_err().to_string();
    assert!(text.contains("is no model"), "{text}");
}

/// What is said of a configuration.
fn configured(config: &str, processor: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(golden("resnet_basic").join("model.safetensors"), folder.path().join("model.safetensors"))
        .unwrap();
    fs::write(folder.path().join("config.json"), config).unwrap();
    fs::write(folder.path().join("preprocessor_config.json"), processor).unwrap();
    match Model::open(folder.path(), None) {
        Ok(model) => serde_json::to_string(&model.preprocessing).unwrap(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn preprocessing_comes_from_the_configuration() {
    let timm = r#"{"pretrained_cfg": {"input_size": [3, 96, 96], "crop_pct": 0.95, "interpolation": "bicubic",
        "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}, "label_names": ["a", "b", "c", "d", "e"]}"#;
    let got = configured(timm, "{}");
    for part in
        [r#""height":96"#, r#""filter":"bicubic""#, r#""shorter_side":101"#, r#""mean":[0.5,0.5,0.5]"#]
    {
        assert!(got.contains(part), "{part}: {got}");
    }
    let processor = r#"{"do_center_crop": true, "crop_size": {"height": 64, "width": 64}, "size": {"shortest_edge": 80},
        "resample": 2, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5]}"#;
    let got = configured("{}", processor);
    for part in
        [r#""height":64"#, r#""filter":"bilinear""#, r#""shorter_side":80"#, r#""mean":[0.1,0.2,0.3]"#]
    {
        assert!(got.contains(part), "{part}: {got}");
    }
    let got = configured("{}", r#"{"size": {"height": 48, "width": 48}, "resample": 3}"#);
    assert!(got.contains(r#""height":48"#) && !got.contains("shorter_side"), "{got}");
    let got = configured(
        r#"{"convnext": 1}"#,
        r#"{"size": {"shortest_edge": 64}, "crop_pct": 0.875, "resample": 3}"#,
    );
    assert!(got.contains(r#""shorter_side":73"#), "{got}");
    for (config, processor, words) in [
        (r#"{"input_size": [3, 96, 97]}"#, "{}", ["`input_size`", "[3, side, side]"]),
        (r#"{"pretrained_cfg": {"crop_pct": 7}}"#, "{}", ["`pretrained_cfg.crop_pct`", "from 0.1 to 1"]),
        (r#"{"interpolation": "magic"}"#, "{}", ["`interpolation`", "bilinear"]),
        (r#"{"image_size": 99999999}"#, "{}", ["`image_size`", "from 1 to 4096"]),
        ("{}", r#"{"image_mean": [1, 2]}"#, ["`image_mean`", "three numbers"]),
        ("{}", r#"{"resample": 9}"#, ["`resample`", "1, 2 or 3"]),
        ("{", "{}", ["config.json", "JSON"]),
    ] {
        let got = configured(config, processor);
        assert!(words.iter().all(|word| got.contains(word)), "{config} {processor}: {got}");
    }
}
