//! A file is replaced as a whole or not at all.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::{Error, Result};

/// Writes `bytes` beside `path`, and gives them its name once they are all there.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    with(path, |file| file.write_all(bytes))
}

/// [`write`] of what `fill` writes.
pub(crate) fn with(path: &Path, fill: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".gyrus-").suffix(".tmp");
    // A temporary file is private unless asked otherwise; what it becomes should not be.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    fill(file.as_file_mut()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
