//! TripoSR: the same numbers as the MIT Python code, stage by stage, on a tiny random model (golden/triposr.py), and the
//! layout of the published one.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use gyrus_files::{State, from_safetensors};
use gyrus_sculpt::triposr::{LEVEL, TripoSr, TripoSrConfig};
use gyrus_sculpt::{Background, Quality, centered, object, read_picture};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/triposr")
}

fn assert_close(found: &[f32], expected: &State, name: &str, most: f32) {
    let expected = &expected[name].values;
    assert_eq!(found.len(), expected.len(), "{name}");
    let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max);
    println!("{name}: at most {apart:e} apart");
    assert!(apart < most, "{name}: {apart:e} apart");
}

#[test]
fn every_stage_is_that_of_the_python_code() {
    let (expected, _) = from_safetensors(&fs::read(golden().join("expected.safetensors")).unwrap()).unwrap();
    let model = TripoSr::open(&golden()).unwrap();
    let quiet = &mut |_: &str, _: u64, _: u64| ();
    let (picture, background) = object(&read_picture(&golden().join("picture.png")).unwrap()).unwrap();
    assert_eq!(background, Background::Alpha);
    let pixels = centered(&picture, model.config().image_side).unwrap();
    assert_close(&pixels, &expected, "pixels", 1e-5);
    let image = model.image_tokens(&pixels, quiet);
    assert_close(&image, &expected, "image_tokens", 1e-4);
    let tokens = model.plane_tokens(&image, quiet);
    assert_close(&tokens, &expected, "plane_tokens", 1e-4);
    let sculpture = model.sculpture(&tokens);
    assert_close(sculpture.features(), &expected, "planes", 1e-4);
    let (points, _) = expected["points"].values.as_chunks::<3>();
    let found = sculpture.field(points);
    let densities: Vec<f32> = found.iter().map(|own| own.0).collect();
    assert_close(&densities, &expected, "density", 1e-4);
    let colors: Vec<f32> = found.iter().flat_map(|own| own.1).collect();
    assert_close(&colors, &expected, "color", 1e-4);
}

#[test]
fn a_surface_is_closed_colored_and_the_same_for_any_number_of_threads() {
    let model = TripoSr::open(&golden()).unwrap();
    let pixels = vec![0.4; 64 * 64 * 3];
    let run = |threads| {
        gyrus_kernels::with_threads(threads, || {
            let quiet = &mut |_: &str, _: u64, _: u64| ();
            let sculpture = model.look(&pixels, quiet);
            let mut densities: Vec<f32> = sculpture
                .field(
                    &(0..1000)
                        .map(|i| [i % 10, i / 10 % 10, i / 100].map(|a| a as f32 * 0.15 - 0.675))
                        .collect::<Vec<_>>(),
                )
                .iter()
                .map(|own| own.0)
                .collect();
            densities.sort_by(f32::total_cmp);
            let level = densities[700];
            let error = sculpture.mesh(33, 1e30, quiet).unwrap_err().to_string();
            assert!(error.contains("sees no object"), "{error}");
            assert!(sculpture.mesh(7, LEVEL, quiet).is_err());
            sculpture.mesh(33, level, quiet).unwrap().0
        })
        .unwrap()
    };
    let mesh = run(1);
    let quality = Quality::of(&mesh);
    assert!(quality.watertight && quality.manifold && quality.oriented, "{quality:?}");
    assert!(
        mesh.colors.len() == mesh.positions.len()
            && mesh.colors.iter().flatten().all(|c| (0.0..=1.0).contains(c))
    );
    assert!(mesh == run(3));
}

/// A file with the header of the published checkpoint, and a hole where its 1.7 GB of numbers would be.
fn header_only(folder: &Path, change: impl Fn(&mut BTreeMap<String, Vec<usize>>)) -> PathBuf {
    let text = fs::read_to_string(golden().join("shapes.json")).unwrap();
    let mut shapes: BTreeMap<String, Vec<usize>> = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (shapes.len(), shapes.values().map(|s| s.iter().product::<usize>()).sum()),
        (549, 419_275_628)
    );
    change(&mut shapes);
    let (mut header, mut at) = (serde_json::Map::new(), 0usize);
    for (name, shape) in &shapes {
        let end = at + 4 * shape.iter().product::<usize>();
        header.insert(
            name.clone(),
            serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [at, end]}),
        );
        at = end;
    }
    let mut header = serde_json::to_vec(&header).unwrap();
    header.resize(header.len().next_multiple_of(8), b' ');
    let path = folder.join("model.safetensors");
    let mut file = File::create(&path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(&header).unwrap();
    file.set_len((8 + header.len() + at) as u64).unwrap();
    path
}

#[test]
fn the_published_layout_opens_and_a_missing_or_misshapen_tensor_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = TripoSr::open(&header_only(folder.path(), |_| ())).unwrap();
    assert_eq!(*model.config(), TripoSrConfig::published());
    drop(model);
    for name in [
        "image_tokenizer.model.encoder.layer.11.output.dense.bias",
        "image_tokenizer.model.embeddings.cls_token",
        "backbone.transformer_blocks.15.attn2.to_k.weight",
        "tokenizer.embeddings",
        "decoder.layers.18.weight",
        "post_processor.upsample.bias",
    ] {
        let file = header_only(folder.path(), |shapes| drop(shapes.remove(name)));
        let error = TripoSr::open(&file).err().unwrap().to_string();
        assert!(error.contains(name) && error.contains("no such tensor"), "{error}");
        let file = header_only(folder.path(), |shapes| shapes.get_mut(name).unwrap().push(2));
        let error = TripoSr::open(&file).err().unwrap().to_string();
        assert!(error.contains(name) && error.contains("the shape"), "{error}");
    }
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert!(TripoSr::open(folder.path()).err().unwrap().to_string().contains("no weights"));
}
