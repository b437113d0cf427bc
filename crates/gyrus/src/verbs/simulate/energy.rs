//! Energy of the processors, from the counters that Linux shows (RAPL).

use std::fs;
use std::path::{Path, PathBuf};

/// Published energy of a synaptic event of the microcircuit in µJ: NEST on two EPYC 7702 (Kurth et al. 2022,
/// doi:10.1088/2634-4386/ac55fc) and GeNN on an RTX 4090 (Golosio et al. 2023, doi:10.3390/app13179598).
pub(super) const NEST_MICROJOULES: f64 = 0.33;
pub(super) const GENN_MICROJOULES: f64 = 0.074;

/// Counters of all packages, and what they showed at the beginning.
pub(super) struct Meter(Vec<(PathBuf, u64)>);

fn read(folder: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
}

impl Meter {
    pub(super) fn start() -> Self {
        Self::within(Path::new("/sys/class/powercap"))
    }

    fn within(folder: &Path) -> Self {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let packages = entries.filter(|entry| {
            // `intel-rapl:0` is a package, `intel-rapl:0:1` a part of it; AMD's have the same names.
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("intel-rapl:") && name.matches(':').count() == 1
        });
        Self(packages.filter_map(|entry| Some((entry.path(), read(&entry.path(), "energy_uj")?))).collect())
    }

    /// Joules since the beginning; none without counters.
    pub(super) fn joules(&self) -> Option<f64> {
        let used = self.0.iter().map(|(folder, before)| {
            let now = read(folder, "energy_uj")?;
            // A counter begins again after its largest value.
            let more = match now.checked_sub(*before) {
                Some(more) => more,
                None => (read(folder, "max_energy_range_uj")? - before).saturating_add(now),
            };
            Some(more as f64 / 1e6)
        });
        let used: Option<Vec<f64>> = used.collect();
        used.filter(|used| !used.is_empty()).map(|used| used.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_added_and_may_begin_again() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, energy: u64| {
            let own = folder.path().join(name);
            fs::create_dir_all(&own).unwrap();
            fs::write(own.join("energy_uj"), format!("{energy}\n")).unwrap();
            fs::write(own.join("max_energy_range_uj"), "10000000\n").unwrap();
        };
        assert_eq!(Meter::within(folder.path()).joules(), None);
        write("intel-rapl:0", 1_000_000);
        write("intel-rapl:0:0", 5);
        write("intel-rapl:1", 9_000_000);
        let meter = Meter::within(folder.path());
        write("intel-rapl:0", 4_000_000);
        write("intel-rapl:1", 500_000);
        assert_eq!(meter.joules(), Some(4.5));
    }
}
