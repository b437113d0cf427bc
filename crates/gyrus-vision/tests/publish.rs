//! Published folders: each family in the layout of its program, and read back as the same network.

use std::path::{Path, PathBuf};

use gyrus_files::to_safetensors;
use gyrus_vision::Model;
use gyrus_vision::publish::{Layout, layout};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn write(folder: &Path, layout: &Layout) {
    let put = |name: &str, bytes: Vec<u8>| std::fs::write(folder.join(name), bytes).unwrap();
    put("config.json", serde_json::to_vec(&layout.config).unwrap());
    put("preprocessor_config.json", serde_json::to_vec(&layout.processor).unwrap());
    put("model.safetensors", to_safetensors(&layout.tensors, &Default::default()).unwrap());
    if let Some(blueprint) = &layout.blueprint {
        put("blueprint.toml", blueprint.clone().into_bytes());
    }
}

#[test]
fn families_have_the_layout_of_their_programs_and_are_read_as_the_same_network() {
    for (name, library, architecture) in [
        ("resnet_basic", "timm", "resnet18"),
        ("resnet_bottleneck", "timm", "resnet50"),
        ("convnext_timm", "timm", "convnext_tiny"),
        ("convnext_transformers", "transformers", "ConvNextForImageClassification"),
        ("vit_timm", "timm", "vit_small_patch16_224"),
        ("vit_transformers", "transformers", "ViTForImageClassification"),
        // Narrower than any that timm has by name.
        ("lite_lukemelas", "gyrus", "efficientnet-lite"),
        ("mobilenet_timm", "gyrus", "mobilenetv2"),
        ("clip_transformers", "gyrus", "vit"),
    ] {
        let mut model = Model::open(&golden(name), None).unwrap();
        model.classes = (0..model.classes.len()).map(|class| format!("thing {class}")).collect();
        let layout = layout(&model).unwrap();
        assert_eq!((layout.library.name(), layout.architecture.as_str()), (library, architecture), "{name}");
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &layout);
        let read = Model::open(folder.path(), None).unwrap();
        assert_eq!(read.classes, model.classes, "{name}");
        assert_eq!(read.preprocessing, model.preprocessing, "{name}");
        assert_eq!(read.parameters, model.parameters, "{name}");
        assert_eq!(read.blueprint.edges(), model.blueprint.edges(), "{name}");
    }
}

#[test]
fn a_network_that_differs_from_its_program_is_not_said_to_be_that() {
    let mut model = Model::open(&golden("resnet_basic"), None).unwrap();
    let mut text = model.blueprint.to_toml().unwrap();
    // Another activation, under the same names and with the same tensors.
    text = text.replacen("kind = \"ReLU\"", "kind = \"GELU\"", 1);
    model.blueprint = gyrus_blueprint::Blueprint::from_toml(&text).unwrap();
    let layout = layout(&model).unwrap();
    assert_eq!(layout.library.name(), "gyrus");
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &layout);
    assert_eq!(Model::open(folder.path(), None).unwrap().blueprint, model.blueprint);
}
