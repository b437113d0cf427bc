//! What the tests share.

use std::path::{Path, PathBuf};

/// The folder of real databases, if it is there.
pub(crate) fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("GYRUS_DATA").map_or(beside, PathBuf::from).join("databases");
    if !folder.is_dir() {
        println!("skipped: {} is absent", folder.display());
        return None;
    }
    Some(folder)
}
