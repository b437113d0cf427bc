//! Where the shared data lie, and a reader of `tar` archives.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A file or folder of the shared data; `None`, with a line that says so, where it is missing.
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("GYRUS_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let path = root.join("simulate").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} does not exist", path.display());
    None
}

/// Unpacks the files of a gzipped archive into a folder.
#[allow(dead_code)] // Each test file uses a part.
pub(crate) fn unpack(archive: &Path, folder: &Path) {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(archive).unwrap()).read_to_end(&mut bytes).unwrap();
    let mut at = 0;
    while at + 512 <= bytes.len() && bytes[at] != 0 {
        let text = |from: usize, length: usize| {
            let field = &bytes[at + from..at + from + length];
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(length);
            String::from_utf8_lossy(&field[..end]).trim().to_owned()
        };
        let (name, size) = (text(0, 100), usize::from_str_radix(&text(124, 12), 8).unwrap());
        if bytes[at + 156] == b'0' {
            let path = folder.join(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes[at + 512..at + 512 + size]).unwrap();
        }
        at += 512 + size.next_multiple_of(512);
    }
}
