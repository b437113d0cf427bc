//! The peak resident size of a process, from Linux (`VmHWM`).

use std::path::Path;

use anyhow::{Context, Result};

/// The peak resident size in bytes of the process whose `/proc` directory is named `process` ("self" or a
/// process number).
///
/// # Errors
/// If the process has ended, or the system has no `/proc`.
pub(crate) fn peak_bytes(process: &str) -> Result<u64> {
    let path = Path::new("/proc").join(process).join("status");
    let status = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    parse(&status).with_context(|| format!("{}: no line 'VmHWM: N kB'", path.display()))
}

fn parse(status: &str) -> Option<u64> {
    let size = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = size.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_peak_and_not_the_present_size() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse(status), Some(2048 * 1024));
        assert_eq!(parse("Name:\tx\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn memory_that_was_touched_counts() {
        let before = peak_bytes("self").unwrap();
        let touched = vec![1_u8; 64 << 20];
        assert_eq!(touched.iter().filter(|&&byte| byte == 1).count(), 64 << 20);
        assert!(peak_bytes("self").unwrap() >= before.max(64 << 20));
    }
}
