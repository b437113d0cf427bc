//! Atomic file replacement: a reader, or a restart after a crash, finds either the old content or the new, never part of
//! it.
//!
//! The bytes go to a temporary file beside the target and are flushed to disk, then the temporary file is renamed over the
//! target. Flushing the directory makes the rename itself survive a power cut.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

const TEMPORARY_PREFIX: &str = ".gyrus-";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Writes `bytes` to the file at `path`, creating or replacing it atomically, and returns once they are on disk.
///
/// A new file gets the default permissions of the process (its umask).
///
/// # Errors
/// Whatever the operating system refuses. The old file is then unchanged and the temporary file is removed; only a killed
/// process leaves one behind.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
    fill_atomically(path, |file| file.write_all(bytes))
}

/// [`write_atomically`] for files too large to hold in memory: `fill` writes the content.
///
/// # Errors
/// As [`write_atomically`].
pub fn fill_atomically(
    path: impl AsRef<Path>,
    fill: impl FnOnce(&mut fs::File) -> io::Result<()>,
) -> io::Result<()> {
    let path = path.as_ref();
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected the path of a file")),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX).suffix(TEMPORARY_SUFFIX);
    // Temporary files are private by default; the final file should not be.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary = builder.tempfile_in(directory)?;
    fill(temporary.as_file_mut())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|refused| refused.error)?;
    sync_directory(directory)
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    match fs::File::open(directory)?.sync_all() {
        // Some network file systems cannot flush a directory; the file has been renamed anyway.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        other => other,
    }
}

#[cfg(not(unix))]
fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether a file name belongs to a temporary file of [`write_atomically`].
#[must_use]
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY_PREFIX) && name.ends_with(TEMPORARY_SUFFIX)
}

/// Removes the temporary files that killed writers left in a directory.
///
/// # Errors
/// Whatever the operating system refuses.
pub fn remove_temporaries(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_temporary) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn it_writes_and_replaces() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write_atomically(&path, b"first, and long").unwrap();
        write_atomically(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(directory.path()), ["file"]);
    }

    #[test]
    #[cfg(unix)]
    fn a_written_file_has_the_permissions_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let [ours, usual] = ["ours", "usual"].map(|name| directory.path().join(name));
        write_atomically(&ours, b"").unwrap();
        fs::write(&usual, b"").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&usual));
    }

    #[test]
    fn a_rename_that_is_refused_leaves_no_trace() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("a-directory");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("inside"), b"kept").unwrap();
        write_atomically(&target, b"new").unwrap_err();
        assert_eq!(names(directory.path()), ["a-directory"]);
        assert_eq!(fs::read(target.join("inside")).unwrap(), b"kept");
    }

    #[test]
    fn a_missing_directory_and_a_path_without_a_name_are_errors() {
        let directory = tempfile::tempdir().unwrap();
        let error = write_atomically(directory.path().join("none/file"), b"").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(write_atomically("/", b"").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(names(directory.path()), [""; 0]);
    }

    #[test]
    #[cfg(unix)]
    fn a_directory_without_write_permission_keeps_the_old_file() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, b"old").unwrap();
        let set_mode =
            |mode| fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
        set_mode(0o555);
        if fs::write(directory.path().join("probe"), b"").is_ok() {
            println!("skipped: this user may write to read-only directories");
            return;
        }
        let error = write_atomically(&path, b"new").unwrap_err();
        set_mode(0o755);
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(directory.path()), ["file"]);
    }
}
