//! `gyrus devices`: what can compute here.

use crate::common::*;

#[test]
fn devices_are_listed_with_what_is_missing() {
    let listed = json(run("devices --json", &[]));
    let devices = listed["devices"].as_array().unwrap();
    let names: Vec<&str> = devices.iter().map(|device| device["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["cpu", "cuda", "wgpu", "vulkan", "metal"]);
    assert!(devices[0]["problem"].is_null(), "{}", devices[0]);
    for device in &devices[1..] {
        if device["is_built"] == false {
            let problem = device["problem"].as_str().unwrap();
            assert!(problem.contains("--features"), "{problem}");
        }
    }
}

#[test]
fn a_name_of_no_device_is_refused() {
    let sentence = refused(&run("devices gpu", &[]));
    assert!(sentence.contains("there is no device `gpu`"), "{sentence}");
    let sentence = refused(&run("learn digits --device cpu:software", &[]));
    assert!(sentence.contains("there is no device `cpu:software`"), "{sentence}");
}
