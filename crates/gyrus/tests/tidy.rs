//! The house keeps its own rules: crates use lower floors only, `ARCHITECTURE.md` lists every crate with what it uses and
//! every dependency with who uses it, files stay short, and every file says what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a source file, at most.
const LONGEST_FILE: usize = 500;

type Names = BTreeSet<String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// What a manifest depends on, by the names of the packages.
#[derive(Default)]
struct Manifest {
    normal: Names,
    tests: Names,
}

fn dependencies(table: Option<&toml::Value>) -> Names {
    let table = table.and_then(toml::Value::as_table);
    table.into_iter().flat_map(|table| table.keys().cloned()).collect()
}

fn manifests() -> BTreeMap<String, Manifest> {
    let mut found = BTreeMap::new();
    let crates = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    for folder in crates.chain([root().join("bench")]) {
        let Ok(text) = fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        let manifest: toml::Value = toml::from_str(&text).unwrap();
        let name = manifest["package"]["name"].as_str().unwrap().to_owned();
        let mut all = Manifest {
            normal: dependencies(manifest.get("dependencies")),
            tests: dependencies(manifest.get("dev-dependencies")),
        };
        let targets = manifest.get("target").and_then(toml::Value::as_table);
        for target in targets.into_iter().flat_map(|targets| targets.values()) {
            all.normal.extend(dependencies(target.get("dependencies")));
        }
        found.insert(name, all);
    }
    found
}

/// The words in backticks of a table's cell.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows of the table in ARCHITECTURE.md whose head begins with `head`, cell by cell.
fn table(head: &str) -> Vec<Vec<String>> {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<Vec<String>> = rows.map(cells).collect();
    assert!(rows.len() > 3, "ARCHITECTURE.md has no table that begins with {head:?}");
    rows
}

fn is_ours(name: &str) -> bool {
    name == "gyrus" || name.starts_with("gyrus-")
}

#[test]
fn the_architecture_lists_every_crate_with_the_crates_that_it_uses() {
    let manifests = manifests();
    let mut listed = Names::new();
    for row in table("| floor | crate |") {
        let name = quoted(&row[1]).remove(0);
        let manifest = manifests.get(&name).unwrap_or_else(|| panic!("there is no crate `{name}`"));
        let uses: Names = quoted(&row[3]).into_iter().map(|short| format!("gyrus-{short}")).collect();
        let really: Names = manifest.normal.iter().filter(|name| is_ours(name)).cloned().collect();
        assert_eq!(uses, really, "ARCHITECTURE.md (left) against the manifest of {name} (right)");
        listed.insert(name);
    }
    let all: Names = manifests.into_keys().collect();
    assert_eq!(listed, all, "the crates of ARCHITECTURE.md (left) against those of the workspace (right)");
}

#[test]
fn crates_use_their_own_floor_or_lower_ones_and_never_in_a_circle() {
    let rows = table("| floor | crate |");
    let mut floors: Vec<String> = rows.iter().map(|row| row[0].clone()).collect();
    floors.dedup();
    let floor_of: BTreeMap<String, usize> = rows
        .iter()
        .map(|row| (quoted(&row[1]).remove(0), floors.iter().position(|floor| *floor == row[0]).unwrap()))
        .collect();
    let manifests = manifests();
    for (name, manifest) in &manifests {
        for used in manifest.normal.iter().filter(|name| is_ours(name)) {
            assert!(floor_of[used] <= floor_of[name], "{name} uses {used}, which lives above it");
        }
    }
    // Crates whose dependencies are all done are done; where a circle is, nothing more can be.
    let mut done = Names::new();
    while done.len() < manifests.len() {
        let ready =
            |manifest: &Manifest| manifest.normal.iter().all(|used| !is_ours(used) || done.contains(used));
        let next: Vec<&String> = manifests
            .iter()
            .filter(|(name, all)| !done.contains(*name) && ready(all))
            .map(|(name, _)| name)
            .collect();
        assert!(!next.is_empty(), "crates use each other in a circle; outside of it are only {done:?}");
        done.extend(next.into_iter().cloned());
    }
}

#[test]
fn the_architecture_gives_a_reason_for_every_dependency() {
    let mut used: BTreeMap<String, Names> = BTreeMap::new();
    for (name, manifest) in manifests() {
        let short = name.strip_prefix("gyrus-").unwrap_or(&name).to_owned();
        for dependency in manifest.normal.iter().filter(|name| !is_ours(name)) {
            used.entry(dependency.clone()).or_default().insert(short.clone());
        }
        for dependency in
            manifest.tests.iter().filter(|name| !is_ours(name) && !manifest.normal.contains(*name))
        {
            used.entry(dependency.clone()).or_default().insert("tests".to_owned());
        }
    }
    let mut listed: BTreeMap<String, Names> = BTreeMap::new();
    for row in table("| dependency | used by |") {
        let by = row[1].split(',').map(|short| short.trim().to_owned()).collect();
        for name in quoted(&row[0]) {
            assert!(!row[2].is_empty(), "{name} has no reason in ARCHITECTURE.md");
            listed.insert(name, Names::clone(&by));
        }
    }
    let wrong: Vec<String> = used
        .iter()
        .filter(|(name, by)| listed.get(*name) != Some(by))
        .map(|(name, by)| format!("`{name}` is used by {by:?}, listed with {:?}", listed.get(name)))
        .collect();
    assert!(wrong.is_empty(), "the dependency table of ARCHITECTURE.md:\n{}", wrong.join("\n"));
    let gone: Vec<&String> = listed.keys().filter(|name| !used.contains_key(*name)).collect();
    assert!(gone.is_empty(), "ARCHITECTURE.md lists dependencies that nothing uses: {gone:?}");
}

fn source_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            source_files(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut files = Vec::new();
    for folder in ["crates", "bench", "fuzz"] {
        source_files(&root().join(folder), &mut files);
    }
    assert!(files.len() > 200, "{} files were found", files.len());
    let mut problems = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root()).unwrap().display();
        let lines = text.lines().count();
        if lines > LONGEST_FILE {
            problems.push(format!("{name} has {lines} lines: cut it"));
        }
        let first = text.lines().find(|line| !line.starts_with("#!["));
        if !first.is_some_and(|line| line.starts_with("//!")) {
            problems.push(format!("{name} does not begin with a `//!` paragraph"));
        }
    }
    assert!(problems.is_empty(), "at most {LONGEST_FILE} lines a file:\n{}", problems.join("\n"));
}

#[test]
fn every_file_of_tests_is_compiled() {
    let mut forgotten = Vec::new();
    for krate in fs::read_dir(root().join("crates")).unwrap() {
        let folder = krate.unwrap().path().join("tests");
        // Without this file each other one is a program of its own, which Cargo finds by itself.
        let Ok(all) = fs::read_to_string(folder.join("all.rs")) else { continue };
        for file in fs::read_dir(&folder).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "all") else { continue };
            if !all.lines().any(|line| line == format!("mod {module};")) {
                forgotten.push(folder.join(&name));
            }
        }
    }
    assert!(forgotten.is_empty(), "`all.rs` beside them does not name {forgotten:?}");
}
