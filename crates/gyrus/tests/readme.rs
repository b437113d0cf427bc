//! What the documents show must hold: the blueprint, and every file that a page refers to. The README's Rust example is a
//! documentation test of the library.

use std::path::{Path, PathBuf};

use gyrus::blueprint::Blueprint;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What stands between each `start` and the next `end`.
fn between<'a>(text: &'a str, start: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(move |rest| Some(rest.split_once(end)?.0))
}

#[test]
fn the_blueprint_of_the_commands_page_fits_the_digits() {
    let page = page("docs/commands.md");
    let mut files = between(&page, "```toml\n", "```");
    let toml = files.find(|toml| toml.contains("[[node]]")).expect("the page shows a blueprint");
    let blueprint = Blueprint::from_toml(toml).unwrap();
    let shapes = blueprint.shapes().unwrap();
    let shape = |name: &str| shapes.output(blueprint.index_of(name).unwrap()).to_string();
    assert_eq!((shape("input"), shape("output")), ("[1, 8, 8]".into(), "[10]".into()));
}

#[test]
fn the_circuit_of_the_commands_page_can_be_built() {
    let page = page("docs/commands.md");
    let mut files = between(&page, "```toml\n", "```");
    let toml = files.find(|toml| toml.contains("[[population]]")).expect("the page shows a circuit");
    let circuit = gyrus::simulate::CircuitFile::parse(toml, Path::new("")).unwrap();
    let need = circuit.check().unwrap();
    assert_eq!((need.neurons, need.synapses), (1000, 80 * 1000 + 20 * 1000 - 20));
}

#[test]
fn every_file_that_a_page_links_to_exists() {
    let mut seen = 0;
    let pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md"];
    for name in pages.into_iter().chain(["docs/commands.md", "docs/evidence.md"]) {
        let text = page(name);
        let folder = root().join(name).parent().unwrap().to_owned();
        for link in between(&text, "](", ")").filter(|link| !link.starts_with("http")) {
            let file = link.split('#').next().unwrap_or_default();
            assert!(folder.join(file).exists(), "{name} links to `{file}`, which does not exist");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen} links were found");
}

#[test]
fn every_source_file_that_the_architecture_names_exists() {
    let text = page("ARCHITECTURE.md");
    let mut seen = 0;
    for file in between(&text, "`gyrus", "`").filter(|file| file.contains("/src/")) {
        let file = format!("crates/gyrus{file}");
        assert!(root().join(&file).exists(), "ARCHITECTURE.md names `{file}`, which does not exist");
        seen += 1;
    }
    assert!(seen > 15, "{seen} files were found");
}
