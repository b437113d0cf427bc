//! What was measured, as a table for people and as one JSON object for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::measure::{median, tenth_percentile};
use crate::works::{MEMORY_RATIO_GOAL, Work};

const MEBIBYTE: f64 = (1 << 20) as f64;

/// What one side needed for one work.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    median_us: f64,
    tenth_percentile_us: f64,
    times: usize,
    peak_bytes: u64,
    /// The resident size right after `import torch`, before there was any work.
    #[serde(skip_serializing_if = "Option::is_none")]
    import_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_accuracy: Option<f64>,
}

impl Side {
    /// A side from its times in microseconds and its sizes in bytes.
    pub(crate) fn new(version: String, times_us: &[f64], peak_bytes: u64, import_bytes: Option<u64>) -> Self {
        Self {
            version,
            median_us: median(times_us),
            tenth_percentile_us: tenth_percentile(times_us),
            times: times_us.len(),
            peak_bytes,
            import_bytes,
            test_accuracy: None,
        }
    }

    /// The same with the accuracy (0 to 1) that the program reported.
    pub(crate) fn with_test_accuracy(self, test_accuracy: Option<f64>) -> Self {
        Self { test_accuracy, ..self }
    }
}

/// One work, measured.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    work: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ours: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    torch: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_ratio: Option<f64>,
    time_ratio_goal: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_ratio: Option<f64>,
    memory_ratio_goal: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    torch_variant: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    torch_variants_us: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    torch_extra_us: BTreeMap<String, f64>,
}

impl Row {
    /// A row from its sides: ours and PyTorch, or PyTorch alone.
    pub(crate) fn new(work: &Work, mut sides: Vec<Side>) -> Self {
        let torch = sides.pop();
        let ours = sides.pop();
        let both = ours.as_ref().zip(torch.as_ref());
        Self {
            work: work.name,
            parameters: None,
            time_ratio: both.map(|(ours, torch)| ours.median_us / torch.median_us),
            time_ratio_goal: work.time_ratio_goal,
            memory_ratio: both.map(|(ours, torch)| ours.peak_bytes as f64 / torch.peak_bytes as f64),
            memory_ratio_goal: MEMORY_RATIO_GOAL,
            ours,
            torch,
            torch_variant: None,
            torch_variants_us: BTreeMap::new(),
            torch_extra_us: BTreeMap::new(),
        }
    }

    /// The same with the number of trainable numbers in the network.
    pub(crate) fn with_parameters(self, parameters: u64) -> Self {
        Self { parameters: Some(parameters), ..self }
    }

    /// The same with the variant of PyTorch that was measured, the times of all that were tried, and the times
    /// of those tried for information only (10th percentiles, in microseconds).
    pub(crate) fn with_variants(
        self,
        variant: String,
        variants_us: BTreeMap<String, f64>,
        extra_us: BTreeMap<String, f64>,
    ) -> Self {
        Self {
            torch_variant: Some(variant),
            torch_variants_us: variants_us,
            torch_extra_us: extra_us,
            ..self
        }
    }
}

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    processor: String,
    threads: u32,
    rounds: u32,
    works: Vec<Row>,
}

impl Report {
    /// A report on this machine.
    pub(crate) fn new(threads: u32, rounds: u32, works: Vec<Row>) -> Self {
        let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = information
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or("unknown processor", |(_, name)| name.trim());
        Self { processor: processor.to_owned(), threads, rounds, works }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let torch_version = self
            .works
            .iter()
            .filter_map(|row| row.torch.as_ref())
            .map(|side| side.version.as_str())
            .find(|version| !version.is_empty());
        let torch_name = format!("PyTorch {}", torch_version.unwrap_or_default());
        let torch_name = torch_name.trim();
        writeln!(
            f,
            "{}, {} threads each, {} rounds. Time: median (10th percentile) in ms. Memory: peak in MiB\n\
             (PyTorch: without what the import alone takes). \"at most\" is the goal for the ratio ours / PyTorch.\n",
            self.processor, self.threads, self.rounds
        )?;
        writeln!(
            f,
            "{:<18} {:>22} {:>22} {:>6} {:>7}  {:>7} {:>15} {:>6} {:>7}  variant of PyTorch",
            "work", "Gyrus", torch_name, "ratio", "at most", "Gyrus", "PyTorch", "ratio", "at most"
        )?;
        for row in &self.works {
            writeln!(
                f,
                "{:<18} {:>22} {:>22} {:>6} {:>7}  {:>7} {:>15} {:>6} {:>7}  {}",
                row.work,
                time(row.ours.as_ref()),
                time(row.torch.as_ref()),
                ratio(row.time_ratio),
                row.time_ratio_goal,
                memory(row.ours.as_ref()),
                memory(row.torch.as_ref()),
                ratio(row.memory_ratio),
                row.memory_ratio_goal,
                row.torch_variant.as_deref().unwrap_or("-"),
            )?;
        }
        for row in self.works.iter().filter(|row| !row.torch_extra_us.is_empty()) {
            let extra: Vec<_> =
                row.torch_extra_us.iter().map(|(name, us)| format!("{name} {:.3} ms", us / 1e3)).collect();
            writeln!(f, "For information, {}: {}", row.work, extra.join(", "))?;
        }
        for row in &self.works {
            for (name, side) in [("Gyrus", &row.ours), ("PyTorch", &row.torch)] {
                if let Some(accuracy) = side.as_ref().and_then(|side| side.test_accuracy) {
                    writeln!(f, "{}, {name}: test accuracy {:.2} %", row.work, accuracy * 100.0)?;
                }
            }
        }
        Ok(())
    }
}

fn time(side: Option<&Side>) -> String {
    side.map_or("-".to_owned(), |side| {
        format!("{:.3} ({:.3})", side.median_us / 1e3, side.tenth_percentile_us / 1e3)
    })
}

fn memory(side: Option<&Side>) -> String {
    side.map_or("-".to_owned(), |side| {
        let peak = side.peak_bytes as f64 / MEBIBYTE;
        match side.import_bytes {
            Some(import) => {
                format!("{peak:.0} ({:.0})", peak - import as f64 / MEBIBYTE)
            }
            None => format!("{peak:.0}"),
        }
    })
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::works::WORKS;

    fn side(median_us: f64, peak_bytes: u64) -> Side {
        Side::new("1.0".to_owned(), &[median_us], peak_bytes, None)
    }

    #[test]
    fn ratios_are_ours_over_theirs() {
        let row = Row::new(&WORKS[0], vec![side(1000.0, 100 << 20), side(4000.0, 200 << 20)]);
        assert_eq!((row.time_ratio, row.memory_ratio), (Some(0.25), Some(0.5)));
        let text = Report::new(2, 7, vec![row]).to_string();
        assert!(text.contains("1.000 (1.000)") && text.contains("  0.25 "), "{text}");
    }

    #[test]
    fn a_side_alone_has_no_ratio() {
        let row = Row::new(&WORKS[0], vec![side(4000.0, 200 << 20)]);
        assert_eq!((row.time_ratio, row.memory_ratio), (None, None));
        assert!(row.ours.is_none() && row.torch.is_some());
        let json = serde_json::to_value(Report::new(2, 7, vec![row])).unwrap();
        assert!(json["works"][0].get("time_ratio").is_none());
        assert_eq!(json["works"][0]["torch"]["median_us"], 4000.0);
    }
}
