//! Tells the program from which commit a release was built: `GYRUS_COMMIT` where a packager sets it, otherwise git's word.
//! Other profiles do not ask: a working tree is no commit, and asking would compile everything anew after each one.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=GYRUS_COMMIT");
    let told = std::env::var("GYRUS_COMMIT").ok().filter(|commit| !commit.trim().is_empty());
    let commit = told.or_else(|| match std::env::var("PROFILE").as_deref() {
        Ok("release") => from_git(),
        _ => None,
    });
    if let Some(commit) = commit {
        println!("cargo:rustc-env=GYRUS_BUILT_FROM={}", commit.trim());
    }
}

/// The commit and its day, and whether the tree differed from it when it was built; none outside a repository of this project.
fn from_git() -> Option<String> {
    // A package that lies inside somebody else's repository is not of its commits.
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]) {
            println!("cargo:rerun-if-changed={}", path.trim());
        }
    }
    let commit = git(&["show", "--no-patch", "--format=%h (%cs", "HEAD"])?;
    let changed = git(&["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"])
        .is_some_and(|text| !text.is_empty());
    Some(format!("{}{})", commit.trim(), if changed { ", changed" } else { "" }))
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
