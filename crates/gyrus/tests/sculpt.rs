//! `gyrus sculpt`: meshes are judged, compared and written anew, and pictures become solids.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::*;

/// A closed tetrahedron, in OBJ.
const TETRAHEDRON: &str = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../gyrus-sculpt/tests/golden/triposr")
}

#[test]
fn a_mesh_is_judged_compared_and_written_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = folder.path().join("a.obj");
    fs::write(&mesh, TETRAHEDRON).unwrap();
    let sheet = json(run("sculpt --json --inspect", &[&mesh]));
    assert_eq!(
        (&sheet["watertight"], &sheet["euler_characteristic"], &sheet["faces"]),
        (&true.into(), &2.into(), &4.into())
    );
    assert!((sheet["volume"].as_f64().unwrap() - 1.0 / 6.0).abs() < 1e-9);
    let text = stdout(&succeeded(run("sculpt --inspect", &[&mesh])));
    assert!(text.contains("watertight                    yes"), "{text}");
    for end in ["glb", "obj", "ply", "stl", "usdz"] {
        let out = folder.path().join("b").with_extension(end);
        let report = json(run("sculpt --json --overwrite --out", &[&out, &mesh]));
        assert_eq!(report["quality"]["faces"], 4);
        let page = fs::read_to_string(folder.path().join("b.html")).unwrap();
        assert!(page.contains("<canvas") && !page.contains("https://"));
        if end != "usdz" {
            let found = json(run("sculpt --json --points 1000 --compare", &[&out, &mesh]));
            assert_eq!(found["iou"], 1.0, "{end}");
        }
    }
}

#[test]
fn what_cannot_be_made_is_said_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (open, out) = (folder.path().join("open.obj"), folder.path().join("c.glb"));
    fs::write(&open, "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n").unwrap();
    let said = failed(&run("sculpt --require-watertight --out", &[&out, &open]), 2);
    assert!(said.contains("not watertight: 3 boundary edges"), "{said}");
    fs::write(&open, "v 0 0 0\nf 1 2 9\n").unwrap();
    let said = failed(&run("sculpt --out", &[&out, &open]), 2);
    assert!(said.contains("open.obj, line 2: the vertex `2`; expected a number from 1 to 1"), "{said}");
    let said = failed(&run("sculpt --out", &[&folder.path().join("d.fbx"), &open]), 2);
    assert!(said.contains("expected a name that ends in .glb"), "{said}");
    let picture = golden().join("picture.png");
    let said = failed(&run("sculpt --out", &[&out, &picture]), 2);
    assert!(said.contains("is a picture; give the model that makes it a solid with --model"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_picture_becomes_a_closed_colored_solid() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("solid.glb");
    let (model, picture) = (golden(), golden().join("picture.png"));
    let arguments = "sculpt --json --resolution 40 --level 0.5 --faces 500 --out";
    let report = json(run(arguments, &[&out, Path::new("--model"), &model, &picture]));
    let quality = &report["quality"];
    assert_eq!((&quality["watertight"], &quality["manifold"]), (&true.into(), &true.into()), "{report}");
    assert_eq!((&quality["vertex_colors"], &report["background"]), (&true.into(), &"alpha".into()));
    assert!(quality["faces"].as_u64().unwrap() <= 500 && report["silhouette_iou"].as_f64().is_some());
    let again = json(run("sculpt --json --inspect", &[&out]));
    assert_eq!(again["faces"], quality["faces"]);
    let said =
        failed(&run("sculpt --resolution 40 --out", &[&out, Path::new("--model"), &model, &picture]), 2);
    assert!(said.contains("exists; choose another --out"), "{said}");
    let said = failed(
        &run("sculpt --level 1e30 --overwrite --out", &[&out, Path::new("--model"), &model, &picture]),
        2,
    );
    assert!(said.contains("the model sees no object here"), "{said}");
}

#[test]
fn a_network_that_learned_shapes_makes_solids_of_pictures_and_sentences() {
    let folder = tempfile::tempdir().unwrap();
    let (model, out) = (folder.path().join("shapes"), folder.path().join("solid.glb"));
    // Two objects at a time for some seconds: enough to see that something is there.
    let learned = gyrus::LearnShapes {
        steps: 60,
        batch_size: 4,
        learning_rate: 2e-3,
        judged_objects: 0,
        ..gyrus::LearnShapes::new()
    }
    .out(&model)
    .run(&mut gyrus::Quiet)
    .unwrap();
    // Guessing costs 0.69; 0.56 was measured.
    assert!(learned.validation_loss < 0.6 && learned.judged.is_empty(), "{learned:?}");
    assert!(fs::read_to_string(&learned.page).unwrap().contains("volumetric IoU"));
    let picture = folder.path().join("picture.png");
    gyrus::sculpt_train::Part::Validation.object(0, 1).picture().save(&picture).unwrap();
    let arguments = "sculpt --json --overwrite --resolution 40 --level 2 --out";
    for input in [picture.as_path(), Path::new("a red torus on a blue box")] {
        let report = json(run(arguments, &[&out, Path::new("--model"), &model, input]));
        assert_eq!(report["quality"]["watertight"], true, "{report}");
    }
    let said =
        failed(&run(arguments, &[&out, Path::new("--model"), &model, Path::new("a red spaceship")]), 2);
    assert!(said.contains("does not know the word `spaceship`; it knows a, an"), "{said}");
    let said = failed(&run(arguments, &[&out, Path::new("--model"), &golden(), Path::new("a red box")]), 2);
    assert!(said.contains("solids of pictures only"), "{said}");
    let said = failed(&run("sculpt", &[Path::new("a red box")]), 2);
    assert!(said.contains("give a model that learned captions"), "{said}");
}

#[test]
fn learning_shapes_refuses_what_it_has_no_use_for() {
    for (arguments, part) in [
        ("learn shapes", "gyrus learn shapes --procedural"),
        ("learn digits --procedural", "--procedural is for `shapes`, and the data is digits"),
        ("learn shapes --procedural --optimizer sgd", "--optimizer is for networks that learn from examples"),
        ("learn shapes --procedural --layers 3", "--layers is for language models"),
        ("learn shapes --procedural --schedule steep", "steep"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let said = failed(&run(&format!("{arguments} --out"), &[&folder.path().join("run")]), 2);
        assert!(said.contains(part), "{arguments}: {said}");
    }
}
